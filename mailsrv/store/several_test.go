package store

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
)

// All that is done to several messages is there after a restart, or all of it is
// not.
func TestSeveralAtOnce(t *testing.T) {
	s := openStore(t, t.TempDir())
	a, err := s.Account("kim")
	if err != nil {
		t.Fatal(err)
	}
	in, _ := a.Mailbox("INBOX")
	out, err := a.AppendAll(t.Context(), in.ID, []New{
		{Body: body("one"), Flags: []string{"$New", `\Seen`}}, {Body: body("two")}, {Body: body("three"), Flags: []string{"$NEW", "$other"}},
	})
	if err != nil || len(out) != 3 || out[2].UID != 3 || out[0].ModSeq != out[2].ModSeq {
		t.Fatal(out, err)
	}
	if _, err := a.AppendAll(t.Context(), in.ID, []New{{Body: body("four")}, {Body: body("five"), Flags: []string{"not a word"}}}); !errors.Is(err, ErrName) {
		t.Error(err)
	}
	rows := make([]Message, 9)
	if n, _ := a.Messages(in.ID, 0, rows); n != 3 || rows[0].ID == rows[1].ID {
		t.Error(n, rows[:n])
	}
	if f := a.FlagNames(rows[2].Flags); !slices.Equal(f, []string{"$New", "$other"}) {
		t.Error(f)
	}
	drafts, _ := a.Mailbox("Drafts")
	if _, err := a.Replace(t.Context(), in.ID, 99, drafts.ID, New{Body: body("x")}); !errors.Is(err, ErrNoMessage) {
		t.Error(err)
	}
	if out, err := a.Replace(t.Context(), in.ID, 2, drafts.ID, New{Body: body("zwei")}); err != nil || out.UID != 1 {
		t.Error(out, err)
	}
	if _, err := a.Copy(t.Context(), in.ID, drafts.ID, []uint32{1}); err != nil {
		t.Fatal(err)
	}
	if m, _ := a.Message(drafts.ID, 2); m.ID != rows[0].ID {
		t.Errorf("a copy has another identity: %+v", m)
	}
	want := dump(t, a)
	a.Release()
	s = reopen(t, s)
	with(t, s, "kim", func(a *Account) {
		if got := dump(t, a); got != want {
			t.Errorf("%s\nbecame\n%s", want, got)
		}
	})
}

func TestWhatVanished(t *testing.T) {
	s := openStore(t, t.TempDir())
	a, err := s.Account("kim")
	if err != nil {
		t.Fatal(err)
	}
	in, _ := a.Mailbox("INBOX")
	trash, _ := a.Mailbox("Trash")
	for i := range 10 {
		put(t, a, "INBOX", fmt.Sprint(i))
	}
	before, _ := a.Mailbox("INBOX")
	expunge := func(uids ...uint32) uint64 {
		t.Helper()
		if _, err := a.Remove(t.Context(), in.ID, uids); err != nil {
			t.Fatal(err)
		}
		m, _ := a.Mailbox("INBOX")
		return m.ModSeq
	}
	first := expunge(2, 3, 7)
	second := expunge(4)
	if _, err := a.Move(t.Context(), in.ID, trash.ID, []uint32{10}); err != nil {
		t.Fatal(err)
	}
	want := map[uint64]string{
		before.ModSeq: "[{2 3} {4 4} {7 7} {10 10}]", first: "[{4 4} {10 10}]", second: "[{10 10}]", second + 1: "[]",
	}
	check := func(a *Account) {
		t.Helper()
		for since, want := range want {
			if got, err := a.Vanished(in.ID, since); err != nil || fmt.Sprint(got) != want {
				t.Errorf("after %d: %v %v, not %s", since, got, err, want)
			}
		}
	}
	check(a)
	a.Release()
	s = reopen(t, s)
	with(t, s, "kim", check)
	// What is forgotten is told too generously.
	b := &box{next: 100001}
	for u := range uint32(50000) {
		b.left(2*u+1, uint64(u)+1)
	}
	if len(b.gone) > 2*maxGone || b.forgot < 40000 || b.gone[0].seq != b.forgot+1 {
		t.Errorf("%d ranges are kept, up to %d forgotten", len(b.gone), b.forgot)
	}
	b.rows = []Message{{UID: 2}, {UID: 3}, {UID: 100000}}
	if got := fmt.Sprint(b.holes()); got != "[{1 1} {4 99999}]" {
		t.Error(got)
	}
}

func TestFlagsOfWhatHasNotChanged(t *testing.T) {
	s := openStore(t, t.TempDir())
	with(t, s, "kim", func(a *Account) {
		in, _ := a.Mailbox("INBOX")
		for i := range 4 {
			put(t, a, "INBOX", fmt.Sprint(i))
		}
		m, _ := a.Mailbox("INBOX")
		if _, err := a.SetFlags(t.Context(), in.ID, []uint32{2, 3}, AddFlags, []string{`\Seen`}); err != nil {
			t.Fatal(err)
		}
		seq, failed, err := a.SetFlagsSince(t.Context(), in.ID, []uint32{1, 2, 3, 4, 5}, AddFlags, []string{`\Flagged`}, m.ModSeq)
		if err != nil || !slices.Equal(failed, []uint32{2, 3}) || seq <= m.ModSeq {
			t.Error(seq, failed, err)
		}
		if row, _ := a.Message(in.ID, 2); row.Flags != Seen {
			t.Error(row)
		}
		if row, _ := a.Message(in.ID, 4); row.Flags != Flagged || row.ModSeq != seq {
			t.Error(row)
		}
	})
}

func TestAnnotations(t *testing.T) {
	s := openStore(t, t.TempDir())
	a, err := s.Account("kim")
	if err != nil {
		t.Fatal(err)
	}
	in, _ := a.Mailbox("INBOX")
	junk, _ := a.Mailbox("Junk")
	set := func(box uint32, name string, text *string) error {
		return a.SetMeta(t.Context(), box, map[string]*string{name: text})
	}
	for _, err := range []error{set(0, "a", new("x")), set(in.ID, "a", new("y")), set(in.ID, "b", new("")), set(junk.ID, "a", new("z")), set(in.ID, "b", nil), a.Delete(t.Context(), "Junk")} {
		if err != nil {
			t.Error(err)
		}
	}
	if err := set(in.ID, "big", new(strings.Repeat("x", MaxMeta+1))); !errors.Is(err, ErrLimit) {
		t.Error(err)
	}
	if err := set(99, "a", new("x")); !errors.Is(err, ErrNoMailbox) {
		t.Error(err)
	}
	for i := range maxMetaCount {
		err = set(in.ID, fmt.Sprint("n", i), new("x"))
	}
	if !errors.Is(err, ErrLimit) {
		t.Error(err)
	}
	want := a.Meta(in.ID)
	a.Release()
	s = reopen(t, s)
	with(t, s, "kim", func(a *Account) {
		if got := a.Meta(in.ID); !maps.Equal(got, want) || len(got) != maxMetaCount || got["a"] != "y" {
			t.Error(got)
		}
		if got := a.Meta(0); !maps.Equal(got, map[string]string{"a": "x"}) {
			t.Error(got)
		}
		if got := a.Meta(junk.ID); len(got) != 0 {
			t.Error(got)
		}
	})
}
