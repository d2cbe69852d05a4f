package store

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"pic/internal/faultfs"
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
