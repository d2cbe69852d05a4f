package imapd

import (
	"slices"

	"github.com/emersion/go-imap/v2"

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
	saved    []uint32 // what $ means
	// told are flags that the client knows of though they are later than modseq:
	// UID to modification sequence.
	told map[uint32]uint64
}

func newView(a *store.Account, box uint32, readOnly bool) (*view, store.Mailbox, error) {
	uids, m, err := a.UIDs(box)
	if err != nil {
		return nil, m, err
	}
	return &view{acct: a, box: box, readOnly: readOnly, uids: uids, modseq: m.ModSeq, expunged: m.Expunged}, m, nil
}

// flags are all that messages of the account can have now.
func (v *view) flags() []string {
	words, _ := v.acct.Keywords()
	v.keywords = len(words)
	out := make([]string, 0, len(systemFlags)+len(words)+1)
	for _, f := range systemFlags {
		out = append(out, string(f))
	}
	return append(out, words...)
}

// tell remembers that the client is told the flags of a message.
func (v *view) tell(uid uint32, modseq uint64) {
	if v.told == nil {
		v.told = map[uint32]uint64{}
	}
	v.told[uid] = modseq
}

// update tells the client what has changed.
func (v *view) update(s *session, allowExpunge bool) {
	rows, m, err := v.acct.Changed(v.box, v.modseq)
	gone := err != nil
	if gone || m.ModSeq == v.modseq && m.Expunged == v.expunged {
		if gone && allowExpunge {
			v.keep(s, nil)
		}
		return
	}
	if words, _ := v.acct.Keywords(); len(words) != v.keywords {
		s.str("* FLAGS ")
		words := v.flags()
		writeWords(s, words)
		s.str("\r\n")
	}
	if allowExpunge && m.Expunged > v.expunged {
		uids, now, err := v.acct.UIDs(v.box)
		if err != nil {
			return // deleted this moment; the next update tells
		}
		v.keep(s, uids)
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
		s.str("* ")
		s.num(int64(len(v.uids)))
		s.str(" EXISTS\r\n")
	}
	for _, r := range rows {
		i, ok := slices.BinarySearch(v.uids[:known], r.UID)
		if !ok || v.told[r.UID] == r.ModSeq {
			continue
		}
		s.flagsOf(uint32(i)+1, r, true)
	}
	v.modseq = m.ModSeq
	v.told = nil
}

// keep takes those that are not in the ascending uids out of the view.
func (v *view) keep(s *session, uids []uint32) {
	v.remove(s, func(uid uint32) bool {
		_, there := slices.BinarySearch(uids, uid)
		return !there
	})
}

// drop takes the ascending uids out of the view.
func (v *view) drop(s *session, uids []uint32) {
	v.remove(s, func(uid uint32) bool {
		_, is := slices.BinarySearch(uids, uid)
		return is
	})
}

// remove takes messages out of the view and tells the client, the last first so
// that the numbers of those before stay.
func (v *view) remove(s *session, is func(uid uint32) bool) {
	if s.qresync {
		var out []uint32
		v.uids = slices.DeleteFunc(v.uids, func(u uint32) bool {
			if is(u) {
				out = append(out, u)
				return true
			}
			return false
		})
		if len(out) > 0 {
			s.str("* VANISHED ")
			s.set(setOf(out))
			s.str("\r\n")
		}
		return
	}
	for i := len(v.uids) - 1; i >= 0; i-- {
		if is(v.uids[i]) {
			s.str("* ")
			s.num(int64(i) + 1)
			s.str(" EXPUNGE\r\n")
			v.uids[i] = 0 // no UID
		}
	}
	v.uids = slices.DeleteFunc(v.uids, func(u uint32) bool { return u == 0 })
}

// resolve returns the UIDs that a set means, ascending.
func (v *view) resolve(set set, uid bool) ([]uint32, error) {
	if set.saved {
		var out []uint32
		for _, u := range v.saved {
			if _, there := slices.BinarySearch(v.uids, u); there {
				out = append(out, u)
			}
		}
		return out, nil
	}
	if !uid {
		n := uint32(len(v.uids))
		for _, r := range set.spans {
			if r.from > n || r.to > n || n == 0 {
				return nil, &imap.Error{Type: imap.StatusResponseTypeBad, Code: imap.ResponseCodeClientBug, Text: "No message has that number"}
			}
		}
	}
	return v.in(set, uid), nil
}

// in is resolve, where numbers that mean nothing do not matter.
func (v *view) in(set set, uid bool) []uint32 {
	var out []uint32
	n := uint32(len(v.uids))
	if !uid {
		for _, r := range set.ranges(n) {
			if from, to := max(r.from, 1), min(r.to, n); from <= to {
				out = append(out, v.uids[from-1:to]...)
			}
		}
		return out
	}
	for _, r := range set.ranges(v.last()) {
		i, _ := slices.BinarySearch(v.uids, r.from)
		for ; i < len(v.uids) && v.uids[i] <= r.to; i++ {
			out = append(out, v.uids[i])
		}
	}
	return out
}

// last is the highest UID, 0 if there is none.
func (v *view) last() uint32 {
	if n := len(v.uids); n > 0 {
		return v.uids[n-1]
	}
	return 0
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
