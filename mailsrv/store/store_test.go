package store

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
)

// Whatever was done must be there, to the letter, after the account was opened
// again.
func TestReplayGivesTheSameAccount(t *testing.T) {
	s := openStore(t, t.TempDir())
	ctx := t.Context()
	var want string
	with(t, s, "alice", func(a *Account) {
		in, _ := a.Mailbox("inbox")
		for i := range 20 {
			put(t, a, "INBOX", fmt.Sprint("message ", i))
		}
		put(t, a, "Drafts", "draft", `\Draft`, "$Odd", "$odd")
		must := func(err error) {
			t.Helper()
			if err != nil {
				t.Fatal(err)
			}
		}
		_, err := a.SetFlags(ctx, in.ID, []uint32{2, 3, 5, 99}, AddFlags, []string{`\Seen`, "$Work"})
		must(err)
		_, err = a.SetFlags(ctx, in.ID, []uint32{3}, SetFlags, []string{`\Deleted`})
		must(err)
		_, err = a.SetFlags(ctx, in.ID, []uint32{5}, RemoveFlags, []string{"$WORK", "$Never"})
		must(err)
		_, err = a.Expunge(ctx, in.ID, nil)
		must(err)
		must(a.Create(ctx, "Lists/golang/announce", ""))
		must(a.Create(ctx, "Späße", ""))
		lists, err := a.Mailbox("Lists/golang/announce")
		must(err)
		c, err := a.Copy(ctx, in.ID, lists.ID, []uint32{1, 2, 3, 4})
		must(err)
		if !slices.Equal(c.Src, []uint32{1, 2, 4}) || !slices.Equal(c.Dst, []uint32{1, 2, 3}) {
			t.Errorf("copied %v to %v", c.Src, c.Dst)
		}
		_, err = a.Move(ctx, in.ID, lists.ID, []uint32{10, 11})
		must(err)
		must(a.Subscribe(ctx, "Lists/golang"))
		must(a.Rename(ctx, "Lists", "Old/lists"))
		must(a.Delete(ctx, "Trash"))
		must(a.Unsubscribe(ctx, "Trash"))
		must(a.Rename(ctx, "INBOX", "Before"))
		put(t, a, "INBOX", "after")
		want = dump(t, a)
	})
	s = reopen(t, s)
	with(t, s, "alice", func(a *Account) {
		if got := dump(t, a); got != want {
			t.Errorf("before:\n%s\nafter:\n%s", want, got)
		}
	})
}

func TestUIDsAndUIDValidityNeverComeBack(t *testing.T) {
	s := openStore(t, t.TempDir())
	ctx := t.Context()
	var last Appended
	var validity uint32
	with(t, s, "bob", func(a *Account) {
		put(t, a, "INBOX", "one")
		last = put(t, a, "INBOX", "two")
		in, _ := a.Mailbox("INBOX")
		if _, err := a.Remove(ctx, in.ID, []uint32{1, 2}); err != nil {
			t.Fatal(err)
		}
		if err := a.Create(ctx, "tmp", ""); err != nil {
			t.Fatal(err)
		}
		m, _ := a.Mailbox("tmp")
		validity = m.UIDValidity
		if err := a.Delete(ctx, "tmp"); err != nil {
			t.Fatal(err)
		}
	})
	s = reopen(t, s)
	with(t, s, "bob", func(a *Account) {
		if got := put(t, a, "INBOX", "three"); got.UID <= last.UID || got.UIDValidity != last.UIDValidity {
			t.Errorf("after %+v came %+v", last, got)
		}
		if err := a.Create(ctx, "tmp", ""); err != nil {
			t.Fatal(err)
		}
		if m, _ := a.Mailbox("tmp"); m.UIDValidity <= validity {
			t.Errorf("UIDVALIDITY %d after %d", m.UIDValidity, validity)
		}
	})
}

func TestSegmentsRoll(t *testing.T) {
	s := openStore(t, t.TempDir())
	s.segSize = 1 << 20
	big := strings.Repeat("x", 100<<10)
	var want string
	with(t, s, "carol", func(a *Account) {
		for i := range 25 {
			put(t, a, "INBOX", fmt.Sprint(i, big))
		}
		if len(a.segs) < 3 {
			t.Errorf("%d segments for 2.5 MB", len(a.segs))
		}
		want = fmt.Sprint(a.Mailboxes())
	})
	s = reopen(t, s)
	with(t, s, "carol", func(a *Account) {
		if got := fmt.Sprint(a.Mailboxes()); got != want {
			t.Errorf("before %s after %s", want, got)
		}
		for i := range 25 {
			m, err := a.Message(1, uint32(i+1))
			if err != nil {
				t.Fatal(err)
			}
			if got := text(t, a, m); got != fmt.Sprint(i, big) {
				t.Errorf("message %d has another text of %d bytes", i, len(got))
			}
		}
		if n := len(a.files.open); n > maxFiles {
			t.Errorf("%d files are open", n)
		}
	})
}

func TestConcurrentWritersAllGetTheirOwn(t *testing.T) {
	s := openStore(t, t.TempDir())
	a := account(t, s, "dora")
	in, _ := a.Mailbox("INBOX")
	var wg sync.WaitGroup
	var mu sync.Mutex
	got := map[uint32]string{}
	for w := range 16 {
		wg.Go(func() {
			for i := range 25 {
				txt := fmt.Sprint("writer ", w, " message ", i)
				out, err := a.Append(t.Context(), in.ID, New{Body: body(txt), Flags: []string{fmt.Sprint("$w", w)}})
				if err != nil {
					t.Error(err)
					return
				}
				if _, err := a.SetFlags(t.Context(), in.ID, []uint32{out.UID}, AddFlags, []string{`\Seen`}); err != nil {
					t.Error(err)
				}
				mu.Lock()
				if got[out.UID] != "" {
					t.Errorf("UID %d given twice", out.UID)
				}
				got[out.UID] = txt
				mu.Unlock()
			}
		})
	}
	wg.Wait()
	if len(got) != 400 {
		t.Fatalf("%d messages", len(got))
	}
	for uid, want := range got {
		m, err := a.Message(in.ID, uid)
		if err != nil {
			t.Fatal(err)
		}
		if txt := text(t, a, m); txt != want || m.Flags&Seen == 0 {
			t.Errorf("UID %d is %q with flags %x, want %q", uid, txt, m.Flags, want)
		}
		if names := a.FlagNames(m.Flags); len(names) != 2 {
			t.Errorf("UID %d has flags %v", uid, names)
		}
	}
	buf := make([]Message, 1)
	for last := uint32(0); ; {
		n, _ := a.Messages(in.ID, last+1, buf)
		if n == 0 {
			break
		}
		if buf[0].UID <= last {
			t.Fatal("rows are not in order")
		}
		last = buf[0].UID
	}
}

func TestWatchersHearOfChanges(t *testing.T) {
	s := openStore(t, t.TempDir())
	a := account(t, s, "eve")
	in, _ := a.Mailbox("INBOX")
	drafts, _ := a.Mailbox("Drafts")
	c, stop := a.Watch(in.ID)
	all, stopAll := a.Watch(0)
	defer stopAll()
	put(t, a, "Drafts", "x")
	select {
	case <-c:
		t.Error("told of another mailbox")
	default:
	}
	<-all
	put(t, a, "INBOX", "x")
	put(t, a, "INBOX", "y")
	<-c
	select {
	case <-c:
		t.Error("told twice without anybody looking")
	default:
	}
	rows, box, err := a.Changed(in.ID, in.ModSeq)
	if err != nil || len(rows) != 2 || box.ModSeq != rows[1].ModSeq {
		t.Errorf("%v %+v %v", rows, box, err)
	}
	if rows, _, _ := a.Changed(drafts.ID, box.ModSeq); len(rows) != 0 {
		t.Errorf("unchanged mailbox has changes %v", rows)
	}
	stop()
	put(t, a, "INBOX", "z")
	select {
	case <-c:
		t.Error("told after stop")
	default:
	}
}

func TestNames(t *testing.T) {
	for name, ok := range map[string]bool{
		"Work": true, "a/b/c": true, "Späße": true, "INBOX/x": true, "with space": true,
		"": false, "/a": false, "a//b": false, "a/": true, "a%": false, "x*": false, "a\x00b": false, "a\nb": false,
		" a": false, "a /b": false, "\xff": false, strings.Repeat("a", 300): false, strings.Repeat("a/", 20) + "a": false,
		"..": true, // names are not paths
	} {
		s := openStore(t, t.TempDir())
		with(t, s, "u", func(a *Account) {
			if err := a.Create(t.Context(), name, ""); (err == nil) != ok {
				t.Errorf("%q: %v", name, err)
			}
		})
		s.Close()
	}
}

func TestMailboxesRefuse(t *testing.T) {
	s := openStore(t, t.TempDir())
	a := account(t, s, "frank")
	ctx := t.Context()
	for name, tt := range map[string]struct{ got, want error }{
		"create twice":        {a.Create(ctx, "Sent", ""), ErrMailboxExists},
		"use twice":           {a.Create(ctx, "Gone", `\Trash`), ErrMailboxExists},
		"delete inbox":        {a.Delete(ctx, "inbox"), ErrName},
		"delete missing":      {a.Delete(ctx, "nope"), ErrNoMailbox},
		"rename missing":      {a.Rename(ctx, "nope", "x"), ErrNoMailbox},
		"rename to taken":     {a.Rename(ctx, "Sent", "Junk"), ErrMailboxExists},
		"rename below itself": {a.Rename(ctx, "Sent", "Sent/x"), ErrName},
	} {
		if !errors.Is(tt.got, tt.want) {
			t.Errorf("%s: %v, want %v", name, tt.got, tt.want)
		}
	}
	if _, err := a.Append(ctx, 999, New{Body: body("x")}); !errors.Is(err, ErrNoMailbox) {
		t.Error(err)
	}
	if _, err := a.Append(ctx, 1, New{Body: body("x"), Flags: []string{"bad flag"}}); !errors.Is(err, ErrName) {
		t.Error(err)
	}
	for i := range maxKeywords {
		put(t, a, "INBOX", "x", fmt.Sprint("$k", i))
	}
	if _, err := a.Append(ctx, 1, New{Body: body("x"), Flags: []string{"$more"}}); !errors.Is(err, ErrLimit) {
		t.Error(err)
	}
	done, cancel := context.WithCancel(ctx)
	cancel()
	if _, err := a.Append(done, 1, New{Body: body("x")}); !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
	for _, user := range []string{"", ".", "..", "a/b", "A", "a\x00", "../x"} {
		if _, err := s.Account(user); err == nil {
			t.Errorf("%q got an account", user)
		}
	}
}

func TestSecondProcessIsRefused(t *testing.T) {
	dir := t.TempDir()
	openStore(t, dir)
	if s, err := Open(dir, quiet); err == nil {
		s.Close()
		t.Error("two stores have one folder")
	}
}

func TestIdleAccountsCloseAndTotalsStay(t *testing.T) {
	s := openStore(t, t.TempDir())
	s.idle = 0
	with(t, s, "ida", func(a *Account) { put(t, a, "INBOX", "four") })
	for {
		s.mu.Lock()
		n := len(s.open)
		s.mu.Unlock()
		if n == 0 {
			break
		}
	}
	sum, err := s.Summary("ida")
	if err != nil || sum != (Summary{Messages: 1, Unseen: 1, Bytes: 4, Stored: 4}) {
		t.Errorf("%+v %v", sum, err)
	}
	if sum, err := s.Summary("nobody"); err != nil || sum != (Summary{}) {
		t.Errorf("%+v %v", sum, err)
	}
	if _, err := os.Stat(filepath.Join(s.dir, "nobody")); err == nil {
		t.Error("asking made an account")
	}
	users, err := s.Users()
	if err != nil || !slices.Equal(users, []string{"ida"}) {
		t.Errorf("%v %v", users, err)
	}
}
