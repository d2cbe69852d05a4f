package store

import (
	"context"
	"fmt"
	"maps"
)

// Bounds of annotations.
const (
	MaxMeta      = 8 << 10 // bytes of one
	maxMetaCount = 100     // of a mailbox
	maxMetaBytes = 4 << 20 // of the account
)

func (st *state) annotate(o *op) {
	if o.box != 0 && st.boxes[o.box] == nil {
		return
	}
	m := st.meta[o.box]
	if !o.on {
		delete(m, o.name)
		return
	}
	if m == nil {
		m = map[string]string{}
		st.meta[o.box] = m
	}
	m[o.name] = o.text
}

// Meta returns the annotations of a mailbox, or of the account if box is 0.
func (a *Account) Meta(box uint32) map[string]string {
	a.mu.RLock()
	defer a.mu.RUnlock()
	return maps.Clone(a.st.meta[box])
}

// SetMeta changes annotations of a mailbox, or of the account if box is 0, all
// or none of them. What is nil is removed.
func (a *Account) SetMeta(ctx context.Context, box uint32, set map[string]*string) error {
	return a.alone(ctx, func(st *state) ([]op, error) {
		if box != 0 && st.boxes[box] == nil {
			return nil, ErrNoMailbox
		}
		total, count := 0, len(st.meta[box])
		for _, m := range st.meta {
			for k, v := range m {
				total += len(k) + len(v)
			}
		}
		var ops []op
		for name, text := range set {
			old, had := st.meta[box][name]
			switch {
			case text == nil && !had, text != nil && had && *text == old:
				continue
			case text == nil:
				count--
				total -= len(name) + len(old)
				ops = append(ops, op{verb: opMeta, box: box, name: name})
				continue
			case len(*text) > MaxMeta || len(name) > maxName:
				return nil, fmt.Errorf("%w: an annotation has at most %d bytes", ErrLimit, MaxMeta)
			case !had:
				count++
			}
			total += len(name) + len(*text)
			ops = append(ops, op{verb: opMeta, box: box, name: name, on: true, text: *text})
		}
		if len(ops) > 0 && (count > maxMetaCount || total > maxMetaBytes) {
			return nil, fmt.Errorf("%w: a mailbox has at most %d annotations", ErrLimit, maxMetaCount)
		}
		return ops, nil
	})
}
