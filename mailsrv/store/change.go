package store

import (
	"context"
	"fmt"
	"time"
)

// A New is a message about to be stored.
type New struct {
	Flags []string
	Date  time.Time // internal date; zero: now
	Body  *Body     // at most 4 GiB
	Aux   []byte    // kept beside the body, see [Content.Aux]
}

// An Appended says where a new message is.
type Appended struct {
	UID         uint32
	UIDValidity uint32
	ModSeq      uint64
}

// Append stores a message in a mailbox. When it returns without error the
// message is safe and visible.
func (a *Account) Append(ctx context.Context, box uint32, n New) (Appended, error) {
	now := time.Now()
	if err := n.check(ctx); err != nil {
		return Appended{}, err
	}
	if n.Date.IsZero() {
		n.Date = now
	}
	var out Appended
	t := &txn{aux: n.Aux, body: n.Body}
	t.prepare = func(st *state, p *pending) (ops []op, err error) {
		ops, out, err = st.arrive(box, n, now, p)
		return ops, err
	}
	if err := a.submit(t); err != nil {
		return Appended{}, err
	}
	out.ModSeq = t.seq
	return out, nil
}

// check refuses what cannot be stored.
func (n *New) check(ctx context.Context) error {
	if n.Body.Size() > 1<<32-1 || len(n.Aux) > 1<<20 {
		return fmt.Errorf("%w: a message of %d bytes", ErrLimit, n.Body.Size())
	}
	return alive(ctx)
}

// arrive returns the operations that put the body of the frame into a mailbox.
func (st *state) arrive(box uint32, n New, now time.Time, p *pending) ([]op, Appended, error) {
	b := st.boxes[box]
	if b == nil {
		return nil, Appended{}, ErrNoMailbox
	}
	flags, ops, err := st.intern(n.Flags, p)
	if err != nil {
		return nil, Appended{}, err
	}
	uid, err := p.uid(b)
	if err != nil {
		return nil, Appended{}, err
	}
	return append(ops, op{verb: opAdd, box: box, here: true, msg: Message{
		UID: uid, Size: uint32(n.Body.Size()), Flags: flags, Date: n.Date.Unix(), Saved: uint32(now.Unix()),
		seg: p.seg, off: p.off,
	}}), Appended{UID: uid, UIDValidity: b.validity}, nil
}

// intern turns names of flags into bits, with operations for new keywords.
func (st *state) intern(names []string, p *pending) (Flags, []op, error) {
	f, missing := st.bits(names)
	if len(missing) == 0 {
		return f, nil, nil
	}
	if !p.first {
		return 0, nil, errAlone
	}
	var ops []op
	free := firstKeyword
	seen := map[string]uint32{}
	for _, n := range missing {
		if err := checkKeyword(n); err != nil {
			return 0, nil, err
		}
		key := lower(n)
		if _, ok := seen[key]; ok {
			continue
		}
		for free < 64 && st.keywords[free] != "" {
			free++
		}
		if free == 64 {
			return 0, nil, fmt.Errorf("%w: an account has at most %d keywords", ErrLimit, maxKeywords)
		}
		seen[key] = uint32(free)
		f |= 1 << free
		ops = append(ops, op{verb: opKeyword, num: uint32(free), name: n})
		free++
	}
	return f, ops, nil
}

func lower(s string) string {
	b := []byte(s)
	for i, c := range b {
		if 'A' <= c && c <= 'Z' {
			b[i] = c + 'a' - 'A'
		}
	}
	return string(b)
}

// SetFlags changes flags of messages, given by ascending UIDs; those that are
// gone are passed over. It returns the modification sequence of the change, 0 if
// none of them is there.
func (a *Account) SetFlags(ctx context.Context, box uint32, uids []uint32, how FlagOp, flags []string) (uint64, error) {
	seq, _, err := a.SetFlagsSince(ctx, box, uids, how, flags, 1<<64-1)
	return seq, err
}

// SetFlagsSince is SetFlags of those messages that have not changed after the
// modification sequence since. It returns those that have (RFC 7162 §3.1.3).
func (a *Account) SetFlagsSince(ctx context.Context, box uint32, uids []uint32, how FlagOp, flags []string, since uint64) (seq uint64, failed []uint32, err error) {
	if err := alive(ctx); err != nil {
		return 0, nil, err
	}
	t := &txn{}
	t.prepare = func(st *state, p *pending) ([]op, error) {
		b := st.boxes[box]
		if b == nil {
			return nil, ErrNoMailbox
		}
		there := b.present(uids)
		if since < 1<<64-1 {
			if !p.first { // what the batch has done already is not visible yet
				return nil, errAlone
			}
			there, failed = b.unchanged(there, since)
		}
		if len(there) == 0 {
			return nil, nil
		}
		var mask Flags
		var ops []op
		if how == RemoveFlags {
			mask, _ = st.bits(flags) // what is unknown is not set anywhere
		} else {
			var err error
			if mask, ops, err = st.intern(flags, p); err != nil {
				return nil, err
			}
		}
		return append(ops, op{verb: opFlags, box: box, uids: spansOf(there), how: how, mask: mask}), nil
	}
	err = a.submit(t)
	return t.seq, failed, err
}

// unchanged parts UIDs that are there by whether they have changed after since.
func (b *box) unchanged(uids []uint32, since uint64) (same, changed []uint32) {
	for _, u := range uids {
		if i, ok := b.find(u); ok && b.rows[i].ModSeq > since {
			changed = append(changed, u)
		} else {
			same = append(same, u)
		}
	}
	return same, changed
}

// present returns those of the ascending uids that are in b.
func (b *box) present(uids []uint32) []uint32 {
	out := make([]uint32, 0, len(uids))
	i := 0
	for _, u := range uids {
		if i < len(b.rows) && b.rows[i].UID < u {
			if b.rows[i].UID+1 == u {
				i++
			} else {
				i, _ = b.find(u)
			}
		}
		if i < len(b.rows) && b.rows[i].UID == u {
			out = append(out, u)
		}
	}
	return out
}

// Expunge removes those messages that have the flag \Deleted, out of the given
// ascending UIDs or, if uids is nil, out of all. It returns the UIDs removed.
func (a *Account) Expunge(ctx context.Context, box uint32, uids []uint32) ([]uint32, error) {
	return a.expunge(ctx, box, uids, Deleted)
}

// Remove removes messages whatever their flags, given by ascending UIDs.
func (a *Account) Remove(ctx context.Context, box uint32, uids []uint32) ([]uint32, error) {
	return a.expunge(ctx, box, append([]uint32{}, uids...), 0)
}

func (a *Account) expunge(ctx context.Context, box uint32, uids []uint32, with Flags) ([]uint32, error) {
	if err := alive(ctx); err != nil {
		return nil, err
	}
	var gone []uint32
	t := &txn{}
	t.prepare = func(st *state, _ *pending) ([]op, error) {
		b := st.boxes[box]
		if b == nil {
			return nil, ErrNoMailbox
		}
		gone = gone[:0]
		add := func(m *Message) {
			if m.Flags&with == with {
				gone = append(gone, m.UID)
			}
		}
		if uids == nil {
			for i := range b.rows {
				add(&b.rows[i])
			}
		} else {
			b.each(spansOf(uids), func(i int) { add(&b.rows[i]) })
		}
		if len(gone) == 0 {
			return nil, nil
		}
		return []op{{verb: opExpunge, box: box, uids: spansOf(gone)}}, nil
	}
	err := a.submit(t)
	return gone, err
}

// A Copied says which messages were copied where. Src and Dst are parallel.
type Copied struct {
	UIDValidity uint32 // of the destination
	Src, Dst    []uint32
	ModSeq      uint64
}

// Copy copies messages, given by ascending UIDs; those that are gone are passed
// over. Bodies are shared.
func (a *Account) Copy(ctx context.Context, from, to uint32, uids []uint32) (Copied, error) {
	return a.transfer(ctx, from, to, uids, false)
}

// Move is Copy and Remove as one change.
func (a *Account) Move(ctx context.Context, from, to uint32, uids []uint32) (Copied, error) {
	return a.transfer(ctx, from, to, uids, true)
}

func (a *Account) transfer(ctx context.Context, from, to uint32, uids []uint32, move bool) (Copied, error) {
	if err := alive(ctx); err != nil {
		return Copied{}, err
	}
	now := uint32(time.Now().Unix())
	var out Copied
	t := &txn{}
	t.prepare = func(st *state, p *pending) ([]op, error) {
		src, dst := st.boxes[from], st.boxes[to]
		if src == nil || dst == nil {
			return nil, ErrNoMailbox
		}
		out = Copied{UIDValidity: dst.validity, Src: src.present(uids)}
		if len(out.Src) == 0 {
			return nil, nil
		}
		ops := make([]op, 0, len(out.Src)+1)
		for _, u := range out.Src {
			i, _ := src.find(u)
			m := src.rows[i]
			var err error
			if m.UID, err = p.uid(dst); err != nil {
				return nil, err
			}
			m.Saved = now
			out.Dst = append(out.Dst, m.UID)
			ops = append(ops, op{verb: opAdd, box: to, msg: m})
		}
		if move {
			ops = append(ops, op{verb: opExpunge, box: from, uids: spansOf(out.Src)})
		}
		return ops, nil
	}
	err := a.submit(t)
	out.ModSeq = t.seq
	return out, err
}
