package store

import (
	"errors"
	"fmt"
	"io"
	"strings"
	"sync"
	"testing"

	"pic/internal/faultfs"
)

// A full disk refuses, leaves nothing of what it refused, and serves again once
// there is room.
func TestFullDiskRefusesAndRecovers(t *testing.T) {
	for n := 1; ; n++ {
		dir := t.TempDir()
		s := openStore(t, dir)
		with(t, s, "gina", func(a *Account) { put(t, a, "INBOX", "before") })
		s.Close()
		ff := faultfs.FailAt(faultfs.OS, n, errors.New("no space left"))
		s, err := open(ff, dir, quiet)
		if err != nil {
			t.Fatal(err)
		}
		a, err := s.Account("gina")
		if err != nil {
			t.Fatal(err)
		}
		in, _ := a.Mailbox("INBOX")
		_, err = a.Append(t.Context(), in.ID, New{Body: body(strings.Repeat("during ", 1000))})
		failed := ff.Failed()
		if failed == (err == nil) {
			t.Fatalf("change %d: fault %v, error %v", n, failed, err)
		}
		if !failed {
			a.Release()
			s.Close()
			if n < 3 {
				t.Errorf("only %d changes were tried", n)
			}
			break
		}
		if final := a.Failed() != nil; failed && final != errors.Is(err, ErrFailed) {
			t.Errorf("change %d: %v, but failed is %v", n, err, a.Failed())
		}
		if got, _ := a.Mailbox("INBOX"); failed && got.Messages != 1 {
			t.Errorf("change %d: refused message is visible: %+v", n, got)
		}
		_, err = a.Append(t.Context(), in.ID, New{Body: body("after")})
		if (err == nil) != (a.Failed() == nil) {
			t.Errorf("change %d: then %v", n, err)
		}
		want := dump(t, a)
		final := a.Failed() != nil
		a.Release()
		s.Close()
		s = openStore(t, dir)
		with(t, s, "gina", func(a *Account) {
			// After a failed sync the message may be on disk or not.
			if got := dump(t, a); got != want && !final {
				t.Errorf("change %d:\n%s\nbecame\n%s", n, want, got)
			}
			put(t, a, "INBOX", "and on")
		})
		s.Close()
	}
}

// A body that cannot be read refuses that message alone.
func TestUnreadableBodyFailsAlone(t *testing.T) {
	s := openStore(t, t.TempDir())
	a := account(t, s, "hugo")
	in, _ := a.Mailbox("INBOX")
	short := &Body{Head: []byte("head"), Rest: io.NewSectionReader(strings.NewReader("short"), 0, 3<<20)}
	var wg sync.WaitGroup
	for i := range 20 {
		wg.Go(func() {
			b := body(fmt.Sprint(i))
			if i%5 == 0 {
				b = short
			}
			_, err := a.Append(t.Context(), in.ID, New{Body: b})
			if (err == nil) != (i%5 != 0) {
				t.Errorf("message %d: %v", i, err)
			}
		})
	}
	wg.Wait()
	want := dump(t, a)
	if got, _ := a.Mailbox("INBOX"); got.Messages != 16 {
		t.Errorf("%d messages", got.Messages)
	}
	a.Release()
	a.release = func() {}
	s = reopen(t, s)
	with(t, s, "hugo", func(a *Account) {
		if got := dump(t, a); got != want {
			t.Errorf("%s\nbecame\n%s", want, got)
		}
	})
}

// A fault of our own ends changes to one account; it can be read, and all others
// go on.
func TestPanicIsContained(t *testing.T) {
	s := openStore(t, t.TempDir())
	a, b := account(t, s, "jan"), account(t, s, "joy")
	put(t, a, "INBOX", "before")
	err := a.submit(&txn{prepare: func(*state, *pending) ([]op, error) { panic("oops") }})
	if !errors.Is(err, ErrFailed) {
		t.Error(err)
	}
	if _, err := a.Append(t.Context(), 1, New{Body: body("x")}); !errors.Is(err, ErrFailed) {
		t.Error(err)
	}
	if got := texts(t, a); got != "1=before" {
		t.Error(got)
	}
	put(t, b, "INBOX", "goes on")
}
