package store

import (
	"context"
	"errors"
	"sync"
	"time"
)

// AppendAll stores several messages in a mailbox as one change: all of them or
// none. If it fails, their bodies may stay in the log, where they take space and
// are nobody's.
func (a *Account) AppendAll(ctx context.Context, box uint32, all []New) ([]Appended, error) {
	now := time.Now()
	for i := range all {
		if err := all[i].check(ctx); err != nil {
			return nil, err
		}
		if all[i].Date.IsZero() {
			all[i].Date = now
		}
	}
	held, err := a.hold(all)
	if err != nil {
		return nil, err
	}
	var out []Appended
	t := &txn{alone: true}
	t.prepare = func(st *state, p *pending) ([]op, error) {
		b := st.boxes[box]
		if b == nil {
			return nil, ErrNoMailbox
		}
		out = out[:0]
		var names []string
		for i := range all {
			names = append(names, all[i].Flags...)
		}
		_, ops, err := st.intern(names, p)
		if err != nil {
			return nil, err
		}
		words := map[string]Flags{} // that get their bits only now
		for i := range ops {
			words[lower(ops[i].name)] = 1 << ops[i].num
		}
		for i, m := range held {
			flags, missing := st.bits(all[i].Flags)
			for _, w := range missing {
				flags |= words[lower(w)]
			}
			if m.UID, err = p.uid(b); err != nil {
				return nil, err
			}
			m.Flags, m.Date, m.Saved = flags, all[i].Date.Unix(), uint32(now.Unix())
			out = append(out, Appended{UID: m.UID, UIDValidity: b.validity})
			ops = append(ops, op{verb: opAdd, box: box, msg: m})
		}
		return ops, nil
	}
	if err := a.submit(t); err != nil {
		return nil, err
	}
	for i := range out {
		out[i].ModSeq = t.seq
	}
	return out, nil
}

// hold puts bodies into the log, in as few batches as it takes.
func (a *Account) hold(all []New) ([]Message, error) {
	held := make([]Message, len(all))
	errs := make([]error, len(all))
	var wg sync.WaitGroup
	for i := range all {
		wg.Go(func() {
			t := &txn{aux: all[i].Aux, body: all[i].Body}
			t.prepare = func(_ *state, p *pending) ([]op, error) {
				held[i] = Message{Size: uint32(all[i].Body.Size()), seg: p.seg, off: p.off}
				return []op{{verb: opHold}}, nil
			}
			errs[i] = a.submit(t)
			held[i].ID = uint32(t.seq)
		})
	}
	wg.Wait()
	return held, errors.Join(errs...)
}

// Replace stores a message in the mailbox to, and removes the message uid of the
// mailbox from, as one change (RFC 8508).
func (a *Account) Replace(ctx context.Context, from, uid, to uint32, n New) (Appended, error) {
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
		if !p.first {
			return nil, errAlone
		}
		b := st.boxes[from]
		if b == nil {
			return nil, ErrNoMailbox
		}
		if _, ok := b.find(uid); !ok {
			return nil, ErrNoMessage
		}
		ops, out, err = st.arrive(to, n, now, p)
		return append(ops, op{verb: opExpunge, box: from, uids: []span{{uid, uid}}}), err
	}
	if err := a.submit(t); err != nil {
		return Appended{}, err
	}
	out.ModSeq = t.seq
	return out, nil
}
