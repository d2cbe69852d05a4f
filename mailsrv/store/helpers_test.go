package store

import (
	"fmt"
	"io"
	"log/slog"
	"strings"
	"sync"
	"testing"
)

var quiet = slog.New(slog.DiscardHandler)

func openStore(t testing.TB, dir string) *Store {
	t.Helper()
	s, err := Open(dir, quiet)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	return s
}

// reopen closes s and opens its folder again.
func reopen(t testing.TB, s *Store) *Store {
	t.Helper()
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	return openStore(t, s.dir)
}

func account(t testing.TB, s *Store, user string) *Account {
	t.Helper()
	a, err := s.Account(user)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(sync.OnceFunc(func() { a.Release() }))
	return a
}

// with runs f with an account and releases it.
func with(t testing.TB, s *Store, user string, f func(*Account)) {
	t.Helper()
	a, err := s.Account(user)
	if err != nil {
		t.Fatal(err)
	}
	defer a.Release()
	f(a)
}

func body(s string) *Body { return &Body{Head: []byte(s)} }

func put(t testing.TB, a *Account, box, text string, flags ...string) Appended {
	t.Helper()
	m, err := a.Mailbox(box)
	if err != nil {
		t.Fatal(err)
	}
	out, err := a.Append(t.Context(), m.ID, New{Body: body(text), Flags: flags, Aux: []byte("aux of " + text[:min(len(text), 9)])})
	if err != nil {
		t.Fatal(err)
	}
	return out
}

func text(t testing.TB, a *Account, m Message) string {
	t.Helper()
	c, err := a.Open(m)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	b, err := io.ReadAll(c)
	if err != nil {
		t.Fatal(err)
	}
	if err := c.Verify(); err != nil {
		t.Error(err)
	}
	return string(b)
}

// dump is everything that an account says of itself, as text.
func dump(t testing.TB, a *Account) string {
	t.Helper()
	var sb strings.Builder
	for _, m := range a.Mailboxes() {
		fmt.Fprintf(&sb, "%+v\n", m)
		buf := make([]Message, m.Messages)
		n, err := a.Messages(m.ID, 0, buf)
		if err != nil || n != m.Messages {
			t.Fatal(n, err)
		}
		unseen, deleted, size := 0, 0, int64(0)
		for _, x := range buf {
			if x.Flags&Seen == 0 {
				unseen++
			}
			if x.Flags&Deleted != 0 {
				deleted++
			}
			size += int64(x.Size)
			fmt.Fprintf(&sb, "  %+v %v %q\n", x, a.FlagNames(x.Flags), text(t, a, x))
		}
		if unseen != m.Unseen || deleted != m.Deleted || size != m.Bytes {
			t.Errorf("%s counts %d unseen, %d deleted, %d bytes; has %d, %d, %d", m.Name, m.Unseen, m.Deleted, m.Bytes, unseen, deleted, size)
		}
	}
	fmt.Fprintln(&sb, a.Subscriptions(), a.Summary())
	return sb.String()
}
