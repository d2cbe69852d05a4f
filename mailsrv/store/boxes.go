package store

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"
)

// Create makes a mailbox, and those above it that are missing. use is its
// special use or empty; a use that another mailbox has is refused.
func (a *Account) Create(ctx context.Context, name, use string) error {
	name = canonical(strings.TrimSuffix(name, "/"))
	if err := checkName(name); err != nil {
		return err
	}
	return a.alone(ctx, func(st *state) ([]op, error) {
		if st.byName[name] != nil {
			return nil, ErrMailboxExists
		}
		if use != "" {
			for _, b := range st.boxes {
				if strings.EqualFold(b.use, use) {
					return nil, fmt.Errorf("%w: %s is the mailbox for %s", ErrMailboxExists, b.name, use)
				}
			}
		}
		ops, err := st.make(name)
		if err == nil {
			ops[len(ops)-1].use = use
		}
		return ops, err
	})
}

// make returns the operations that make a mailbox and those above it.
func (st *state) make(name string) ([]op, error) {
	var ops []op
	for i := 0; i <= len(name); i++ {
		if i < len(name) && name[i] != '/' || st.byName[name[:i]] != nil {
			continue
		}
		n := uint32(len(ops))
		ops = append(ops, op{verb: opCreate, box: st.nextBox + n, name: name[:i], num: st.newValidity() + n})
	}
	if len(st.boxes)+len(ops) > maxBoxes {
		return nil, fmt.Errorf("%w: an account has at most %d mailboxes", ErrLimit, maxBoxes)
	}
	return ops, nil
}

// Delete deletes a mailbox with all messages in it. Those below it stay.
func (a *Account) Delete(ctx context.Context, name string) error {
	name = canonical(name)
	if name == Inbox {
		return fmt.Errorf("%w: INBOX cannot be deleted", ErrName)
	}
	return a.alone(ctx, func(st *state) ([]op, error) {
		b := st.byName[name]
		if b == nil {
			return nil, ErrNoMailbox
		}
		return []op{{verb: opDelete, box: b.id}}, nil
	})
}

// Rename renames a mailbox and all below it. INBOX stays: its messages go to the
// new mailbox (RFC 9051 §6.3.6).
func (a *Account) Rename(ctx context.Context, from, to string) error {
	from, to = canonical(from), canonical(strings.TrimSuffix(to, "/"))
	if err := checkName(to); err != nil {
		return err
	}
	if strings.HasPrefix(to, from+"/") {
		return fmt.Errorf("%w: %s would be below itself", ErrName, from)
	}
	return a.alone(ctx, func(st *state) ([]op, error) {
		b := st.byName[from]
		if b == nil {
			return nil, ErrNoMailbox
		}
		if st.byName[to] != nil {
			return nil, ErrMailboxExists
		}
		if from == Inbox {
			return st.emptyInto(b, to)
		}
		var ops []op
		if i := strings.LastIndexByte(to, '/'); i > 0 && st.byName[to[:i]] == nil {
			var err error
			if ops, err = st.make(to[:i]); err != nil {
				return nil, err
			}
		}
		var moved []op
		for _, c := range st.boxes {
			rest, below := strings.CutPrefix(c.name, from+"/")
			if c != b && !below {
				continue
			}
			name := to
			if below {
				name = to + "/" + rest
			}
			if err := checkName(name); err != nil {
				return nil, err
			}
			if o := st.byName[name]; o != nil {
				return nil, fmt.Errorf("%w: %s", ErrMailboxExists, name)
			}
			moved = append(moved, op{verb: opRename, box: c.id, name: name})
			if st.subs[c.name] {
				moved = append(moved, op{verb: opSubscribe, name: c.name}, op{verb: opSubscribe, name: name, on: true})
			}
		}
		return append(ops, moved...), nil
	})
}

// emptyInto returns the operations that move all messages of b into a new
// mailbox.
func (st *state) emptyInto(b *box, name string) ([]op, error) {
	ops, err := st.make(name)
	if err != nil {
		return nil, err
	}
	id := ops[len(ops)-1].box
	now := uint32(time.Now().Unix())
	var all []uint32
	for i, m := range b.rows {
		all = append(all, m.UID)
		m.UID, m.Saved = uint32(i)+1, now
		ops = append(ops, op{verb: opAdd, box: id, msg: m})
	}
	if len(all) > 0 {
		ops = append(ops, op{verb: opExpunge, box: b.id, uids: spansOf(all)})
	}
	return ops, nil
}

// Subscribe adds a name to the subscriptions. There need not be such a mailbox.
func (a *Account) Subscribe(ctx context.Context, name string) error {
	return a.subscribe(ctx, name, true)
}

// Unsubscribe takes a name off the subscriptions.
func (a *Account) Unsubscribe(ctx context.Context, name string) error {
	return a.subscribe(ctx, name, false)
}

func (a *Account) subscribe(ctx context.Context, name string, on bool) error {
	name = canonical(name)
	if err := checkName(name); err != nil {
		return err
	}
	return a.alone(ctx, func(st *state) ([]op, error) {
		if st.subs[name] == on {
			return nil, nil
		}
		if on && len(st.subs) >= maxBoxes {
			return nil, fmt.Errorf("%w: an account has at most %d subscriptions", ErrLimit, maxBoxes)
		}
		return []op{{verb: opSubscribe, name: name, on: on}}, nil
	})
}

// Renew gives every mailbox a new UIDVALIDITY, so that clients forget what they
// knew. It is right after an older copy of the account was put back in place.
func (a *Account) Renew(ctx context.Context) error {
	if err := alive(ctx); err != nil {
		return err
	}
	return a.renew()
}

func (a *Account) renew() error {
	return a.submit(&txn{alone: true, prepare: func(st *state, _ *pending) ([]op, error) {
		return []op{{verb: opRenew, num: st.newValidity()}}, nil
	}})
}

func (a *Account) alone(ctx context.Context, prepare func(*state) ([]op, error)) error {
	if err := alive(ctx); err != nil {
		return err
	}
	return a.submit(&txn{alone: true, prepare: func(st *state, _ *pending) ([]op, error) { return prepare(st) }})
}

// Below reports whether there are mailboxes below name.
func (a *Account) Below(name string) bool {
	a.mu.RLock()
	defer a.mu.RUnlock()
	for n := range a.st.byName {
		if strings.HasPrefix(n, name+"/") {
			return true
		}
	}
	return false
}

// WithUse returns the mailbox that has a special use.
func (a *Account) WithUse(use string) (Mailbox, bool) {
	all := a.Mailboxes()
	i := slices.IndexFunc(all, func(m Mailbox) bool { return m.Use == use })
	if i < 0 {
		return Mailbox{}, false
	}
	return all[i], true
}
