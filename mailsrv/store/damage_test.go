package store

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"pic/internal/faultfs"
)

// logOf makes an account with some messages and returns its folder, the path of
// its segment and where each frame begins.
func logOf(t *testing.T, texts ...string) (dir, path string, frames []int64) {
	t.Helper()
	dir = t.TempDir()
	s := openStore(t, dir)
	with(t, s, "kim", func(a *Account) {
		for _, x := range texts {
			put(t, a, "INBOX", x)
		}
		path = a.segs[0].path
		w := segmentWindow(t, path)
		for pos := int64(segHead); pos < w.size; {
			b, _ := w.bytes(pos, headLen)
			h, err := parseHead(b, a.segs[0].salt)
			if err != nil {
				t.Fatal(err)
			}
			frames = append(frames, pos)
			pos += h.size()
		}
	})
	s.Close()
	return dir, path, frames
}

func segmentWindow(t *testing.T, path string) *window {
	t.Helper()
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { f.Close() })
	info, _ := f.Stat()
	return &window{r: f, size: info.Size()}
}

func texts(t *testing.T, a *Account) string {
	t.Helper()
	in, err := a.Mailbox("INBOX")
	if err != nil {
		t.Fatal(err)
	}
	buf := make([]Message, in.Messages)
	a.Messages(in.ID, 0, buf)
	var out []string
	for _, m := range buf {
		out = append(out, fmt.Sprint(m.UID, "=", text(t, a, m)))
	}
	return strings.Join(out, " ")
}

// Wherever a crash cuts the last batch short, only that batch is gone, and the
// next message takes no UID that anybody has seen.
func TestTornTailIsCutAnywhere(t *testing.T) {
	dir, path, frames := logOf(t, "one", "two", "three")
	whole, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	last := frames[len(frames)-1]
	for end := last; end < int64(len(whole)); end++ {
		for name, tail := range map[string][]byte{
			"cut":     whole[:end],
			"zeros":   append(append([]byte{}, whole[:end]...), make([]byte, int64(len(whole))-end)...),
			"garbage": append(append([]byte{}, whole[:end]...), strings.Repeat("\xE7PMF", 50)...),
		} {
			clean(t, dir, path, tail)
			s := openStore(t, dir)
			with(t, s, "kim", func(a *Account) {
				if got := texts(t, a); got != "1=one 2=two" {
					t.Fatalf("%s at %d: %s", name, end, got)
				}
				if d := a.Damage(); len(d.Places) != 0 {
					t.Fatalf("%s at %d: %+v", name, end, d)
				}
				put(t, a, "INBOX", "next")
			})
			s = reopen(t, s)
			with(t, s, "kim", func(a *Account) {
				if got := texts(t, a); got != "1=one 2=two 3=next" || len(a.Damage().Places) != 0 {
					t.Fatalf("%s at %d, opened again: %s %+v", name, end, got, a.Damage())
				}
			})
			s.Close()
		}
	}
}

// clean leaves nothing but one segment with this content.
func clean(t *testing.T, dir, path string, content []byte) {
	t.Helper()
	old, _ := filepath.Glob(filepath.Join(dir, "kim", "*.seg"))
	for _, p := range old {
		os.Remove(p)
	}
	if err := os.WriteFile(path, content, 0o600); err != nil {
		t.Fatal(err)
	}
}

// A frame that was once safe and is bad now costs that frame alone, is told,
// and no client may trust what it knew before.
func TestDamageInTheMiddleIsToldAndHealedOnce(t *testing.T) {
	dir, path, frames := logOf(t, "one", "two", "three", "four")
	whole, _ := os.ReadFile(path)
	two := frames[len(frames)-3]
	for name, tt := range map[string]struct {
		at   int64
		want string
	}{
		"marker":         {two, "1=one 3=three 4=four"},
		"length of meta": {two + 17, "1=one 3=three 4=four"},
		"operation":      {two + headLen + 2, "1=one 3=three 4=four"},
		"header":         {3, "1=one 2=two 3=three 4=four"},
	} {
		t.Run(name, func(t *testing.T) {
			bad := append([]byte{}, whole...)
			bad[tt.at] ^= 0x40
			clean(t, dir, path, bad)
			s := openStore(t, dir)
			var validity uint32
			with(t, s, "kim", func(a *Account) {
				if got := texts(t, a); got != tt.want {
					t.Errorf("%s", got)
				}
				if len(a.Damage().Places) != 1 {
					t.Errorf("%+v", a.Damage())
				}
				in, _ := a.Mailbox("INBOX")
				validity = in.UIDValidity
				put(t, a, "INBOX", "five")
			})
			if now, _ := os.ReadFile(path); string(now) != string(bad) {
				t.Error("the damaged segment was changed")
			}
			s = reopen(t, s)
			with(t, s, "kim", func(a *Account) {
				if got := texts(t, a); got != tt.want+" 5=five" {
					t.Errorf("%s", got)
				}
				if in, _ := a.Mailbox("INBOX"); in.UIDValidity != validity {
					t.Errorf("UIDVALIDITY %d became %d without new damage", validity, in.UIDValidity)
				}
				if len(a.Damage().Places) != 1 {
					t.Errorf("%+v", a.Damage())
				}
			})
			s.Close()
			clean(t, dir, path, whole)
			s = openStore(t, dir)
			with(t, s, "kim", func(a *Account) {
				if in, _ := a.Mailbox("INBOX"); in.UIDValidity == validity {
					t.Error("UIDVALIDITY is that from before the damage")
				}
			})
			s.Close()
		})
	}
}

func TestDamagedBodyIsFoundByVerify(t *testing.T) {
	dir, path, frames := logOf(t, "one", "two", "three")
	b, _ := os.ReadFile(path)
	b[frames[len(frames)-1]-trailLen-1] ^= 1 // last byte of the body of two
	clean(t, dir, path, b)
	s := openStore(t, dir)
	with(t, s, "kim", func(a *Account) {
		m, err := a.Message(1, 2)
		if err != nil {
			t.Fatal(err)
		}
		c, err := a.Open(m)
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		if err := c.Verify(); !errors.Is(err, ErrDamaged) {
			t.Error(err)
		}
	})
}

func TestMissingSegmentIsDamage(t *testing.T) {
	dir := t.TempDir()
	s := openStore(t, dir)
	s.segSize = 64 << 10
	big := strings.Repeat("x", 32<<10)
	var mid string
	with(t, s, "kim", func(a *Account) {
		for range 7 {
			put(t, a, "INBOX", big)
		}
		mid = a.segs[1].path
	})
	s.Close()
	if err := os.Remove(mid); err != nil {
		t.Fatal(err)
	}
	s = openStore(t, dir)
	with(t, s, "kim", func(a *Account) {
		in, _ := a.Mailbox("INBOX")
		if d := a.Damage(); len(d.Places) == 0 || d.Frames == 0 || in.Messages >= 7 || in.Messages == 0 {
			t.Errorf("%+v, %d messages left", d, in.Messages)
		}
		if out := put(t, a, "INBOX", "x"); out.UID != 8 {
			t.Errorf("UID %d", out.UID)
		}
	})
}

// A message whose text is a frame of the log is a text and nothing else, also
// where the log around it is damaged.
func TestForgedFrameInABodyIsNotObeyed(t *testing.T) {
	o := op{verb: opExpunge, box: 1, uids: []span{{1, 10}}}
	meta := o.append(nil)
	forged := string(append(head{seq: 20, meta: uint32(len(meta))}.append(nil, 0), meta...)) + "\x00\x00\x00\x00"
	dir, path, frames := logOf(t, "one", forged, "three")
	b, _ := os.ReadFile(path)
	b[frames[len(frames)-2]] ^= 0xFF
	clean(t, dir, path, b)
	s := openStore(t, dir)
	with(t, s, "kim", func(a *Account) {
		if got := texts(t, a); got != "1=one 3=three" {
			t.Error(got)
		}
	})
}

// Killed at any change of the disk, the account is as it was after the last
// change that was acknowledged, or after the one that was under way.
func TestCrashAtEveryChange(t *testing.T) {
	const small = 64 << 10
	big := strings.Repeat("b", small)
	steps := func(a *Account, acked func()) error {
		ctx := t.Context()
		in, err := a.Mailbox("INBOX")
		if err != nil {
			return err
		}
		for i, step := range []func() error{
			func() error { _, err := a.Append(ctx, in.ID, New{Body: body("one")}); return err },
			func() error { _, err := a.Append(ctx, in.ID, New{Body: body(big)}); return err },
			func() error { _, err := a.SetFlags(ctx, in.ID, []uint32{1}, AddFlags, []string{"$k"}); return err },
			func() error { return a.Create(ctx, "a/b", "") },
			func() error { _, err := a.Move(ctx, in.ID, in.ID+1, []uint32{1}); return err },
			func() error { return a.Rename(ctx, "a", "c") },
		} {
			if err := step(); err != nil {
				return fmt.Errorf("step %d: %w", i, err)
			}
			acked()
		}
		return nil
	}
	var states []string // after each step, when nothing fails
	s := openStore(t, t.TempDir())
	with(t, s, "kim", func(a *Account) {
		states = append(states, shape(a))
		if err := steps(a, func() { states = append(states, shape(a)) }); err != nil {
			t.Fatal(err)
		}
	})
	s.Close()
	for n := 1; ; n++ {
		dir := t.TempDir()
		s := openStore(t, dir)
		with(t, s, "kim", func(a *Account) {})
		s.Close()
		ff := faultfs.CrashAt(faultfs.OS, n, errors.New("crashed"))
		s, err := open(ff, dir, quiet)
		if err != nil {
			t.Fatal(err)
		}
		s.segSize = small
		acked := 0
		if a, err := s.Account("kim"); err == nil {
			err = steps(a, func() { acked++ })
			a.Release()
			if (err != nil) != ff.Failed() {
				t.Fatalf("change %d: %v", n, err)
			}
		}
		s.Close()
		s = openStore(t, dir)
		with(t, s, "kim", func(a *Account) {
			got := shape(a)
			if got != states[acked] && (acked+1 == len(states) || got != states[acked+1]) {
				t.Errorf("change %d, %d acknowledged:\n%s\nis neither\n%s\nnor the next", n, acked, got, states[acked])
			}
			if d := a.Damage(); len(d.Places) > 0 {
				t.Errorf("change %d: %+v", n, d)
			}
			put(t, a, "INBOX", "still works")
		})
		s.Close()
		if !ff.Failed() {
			break
		}
	}
}

// shape tells an account without what differs from one to the next.
func shape(a *Account) string {
	var sb strings.Builder
	for _, m := range a.Mailboxes() {
		fmt.Fprintf(&sb, "%d %s next %d modseq %d:", m.ID, m.Name, m.UIDNext, m.ModSeq)
		buf := make([]Message, m.Messages)
		a.Messages(m.ID, 0, buf)
		for _, x := range buf {
			fmt.Fprint(&sb, " ", x.UID, x.Size, a.FlagNames(x.Flags))
		}
		sb.WriteByte('\n')
	}
	return sb.String()
}
