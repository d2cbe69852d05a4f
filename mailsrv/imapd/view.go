package imapd

import (
	"errors"
	"slices"
	"strings"

	"github.com/emersion/go-imap/v2"
	"github.com/emersion/go-imap/v2/imapserver"

	"pic/mailsrv/store"
)

// A view is what the client of a session knows of its selected mailbox.
type view struct {
	acct     *store.Account
	box      uint32
	readOnly bool
	uids     []uint32 // by sequence number, from 1 on
	modseq   uint64   // changes up to here are known, but for expunges
	expunged uint64   // expunges up to here are known
	keywords int      // so many have been announced
	// told are flags that the client knows of though they are later than modseq:
	// UID to modification sequence.
	told map[uint32]uint64
	wake <-chan struct{}
	stop func()
}

func newView(a *store.Account, box uint32, readOnly bool) (*view, store.Mailbox, error) {
	wake, stop := a.Watch(box)
	uids, m, err := a.UIDs(box)
	if err != nil {
		stop()
		return nil, m, err
	}
	return &view{
		acct: a, box: box, readOnly: readOnly, uids: uids, modseq: m.ModSeq, expunged: m.Expunged,
		told: map[uint32]uint64{}, wake: wake, stop: stop,
	}, m, nil
}

// flags are all that messages of the account can have now.
func (v *view) flags() []imap.Flag {
	words, _ := v.acct.Keywords()
	v.keywords = len(words)
	return append(slices.Clip(systemFlags), toFlags(words)...)
}

// update tells the client what has changed.
func (v *view) update(w *imapserver.UpdateWriter, allowExpunge bool) error {
	rows, m, err := v.acct.Changed(v.box, v.modseq)
	gone := errors.Is(err, store.ErrNoMailbox)
	if err != nil && !gone {
		return err
	}
	if gone || m.ModSeq == v.modseq && m.Expunged == v.expunged {
		if gone && allowExpunge {
			return v.drop(w, nil)
		}
		return nil
	}
	if words, _ := v.acct.Keywords(); len(words) != v.keywords {
		if err := w.WriteMailboxFlags(v.flags()); err != nil {
			return err
		}
	}
	if allowExpunge && m.Expunged > v.expunged {
		uids, now, err := v.acct.UIDs(v.box)
		if err != nil {
			return nil // deleted this moment; the next update tells
		}
		if err := v.drop(w, uids); err != nil {
			return err
		}
		v.expunged = now.Expunged
		rows = slices.DeleteFunc(rows, func(r store.Message) bool { // gone since they were read
			_, there := slices.BinarySearch(uids, r.UID)
			return !there
		})
	}
	known := len(v.uids)
	for _, r := range rows {
		if known == 0 || r.UID > v.uids[known-1] {
			v.uids = append(v.uids, r.UID)
		}
	}
	if len(v.uids) > known {
		if err := w.WriteNumMessages(uint32(len(v.uids))); err != nil {
			return err
		}
	}
	for _, r := range rows {
		i, ok := slices.BinarySearch(v.uids[:known], r.UID)
		if !ok || v.told[r.UID] == r.ModSeq {
			continue
		}
		if err := w.WriteMessageFlags(uint32(i)+1, imap.UID(r.UID), toFlags(v.acct.FlagNames(r.Flags))); err != nil {
			return err
		}
	}
	v.modseq = m.ModSeq
	clear(v.told)
	return nil
}

// drop takes those that are not in the ascending uids out of the view.
func (v *view) drop(w interface{ WriteExpunge(uint32) error }, uids []uint32) error {
	return v.remove(w, func(uid uint32) bool {
		_, there := slices.BinarySearch(uids, uid)
		return !there
	})
}

// remove takes messages out of the view and tells the client, the last first so
// that the numbers of those before stay.
func (v *view) remove(w interface{ WriteExpunge(uint32) error }, is func(uid uint32) bool) error {
	for i := len(v.uids) - 1; i >= 0; i-- {
		if is(v.uids[i]) {
			if err := w.WriteExpunge(uint32(i) + 1); err != nil {
				return err
			}
			v.uids[i] = 0 // no UID
		}
	}
	v.uids = slices.DeleteFunc(v.uids, func(u uint32) bool { return u == 0 })
	return nil
}

// all are the UIDs of the view, not to be changed.
func (v *view) all() []uint32 { return v.uids }

// resolve returns the UIDs that a set means, ascending.
func (v *view) resolve(set imap.NumSet) ([]uint32, error) {
	var out []uint32
	switch set := set.(type) {
	case imap.SeqSet:
		n := uint32(len(v.uids))
		for _, r := range set {
			from, to := ends(r.Start, r.Stop, n)
			if from == 0 || to > n {
				return nil, &imap.Error{Type: imap.StatusResponseTypeBad, Code: imap.ResponseCodeClientBug, Text: "No message has that number"}
			}
			out = append(out, v.uids[from-1:to]...)
		}
	case imap.UIDSet:
		if imap.IsSearchRes(set) {
			return nil, &imap.Error{Type: imap.StatusResponseTypeBad, Text: "SEARCHRES is not offered"}
		}
		var last uint32
		if n := len(v.uids); n > 0 {
			last = v.uids[n-1]
		}
		for _, r := range set {
			from, to := ends(uint32(r.Start), uint32(r.Stop), last)
			i, _ := slices.BinarySearch(v.uids, from)
			for ; i < len(v.uids) && v.uids[i] <= to; i++ {
				out = append(out, v.uids[i])
			}
		}
	}
	if !slices.IsSorted(out) {
		slices.Sort(out)
	}
	return slices.Compact(out), nil
}

// ends are the ends of a range in which 0 stands for the last.
func ends(from, to, last uint32) (uint32, uint32) {
	if from == 0 {
		from = last
	}
	if to == 0 {
		to = last
	}
	return min(from, to), max(from, to)
}

// seq is the sequence number of a UID, 0 if the client does not know it.
func (v *view) seq(uid uint32) uint32 {
	i, ok := slices.BinarySearch(v.uids, uid)
	if !ok {
		return 0
	}
	return uint32(i) + 1
}

// each calls f with the messages of ascending UIDs that are still there, until
// it returns false. It reports whether all were there.
func (v *view) each(uids []uint32, f func(seq uint32, row store.Message) bool) (complete bool) {
	complete = true
	buf := make([]store.Message, 256)
	for len(uids) > 0 {
		n, err := v.acct.Messages(v.box, uids[0], buf)
		if err != nil || n == 0 {
			return false
		}
		for _, row := range buf[:n] {
			for len(uids) > 0 && uids[0] < row.UID {
				uids, complete = uids[1:], false
			}
			if len(uids) == 0 {
				break
			}
			if uids[0] != row.UID {
				continue
			}
			uids = uids[1:]
			if seq := v.seq(row.UID); seq > 0 && !f(seq, row) {
				return complete
			}
		}
	}
	return complete
}

func equalFold(f imap.Flag, s string) bool { return strings.EqualFold(string(f), s) }
