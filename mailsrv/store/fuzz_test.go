package store

import (
	"bytes"
	"os"
	"path/filepath"
	"reflect"
	"testing"
)

// Whatever is in a segment, an account opens or says why not, in bounded time,
// and what it then saves is there the next time.
func FuzzSegment(f *testing.F) {
	dir := f.TempDir()
	s := openStore(f, dir)
	var path string
	with(f, s, "kim", func(a *Account) {
		put(f, a, "INBOX", "one", "$k")
		put(f, a, "INBOX", "two")
		a.SetFlags(f.Context(), 1, []uint32{1}, AddFlags, []string{`\Seen`})
		a.Expunge(f.Context(), 1, []uint32{1})
		a.Create(f.Context(), "a/b", "")
		a.Renew(f.Context())
		path = a.segs[0].path
	})
	s.Close()
	seed, err := os.ReadFile(path)
	if err != nil {
		f.Fatal(err)
	}
	name := filepath.Base(path)
	f.Add(seed, 0, byte(0))
	f.Add(seed, 60, byte(1))
	f.Add(seed[:len(seed)-3], 200, byte(0xFF))
	f.Fuzz(func(t *testing.T, b []byte, at int, flip byte) {
		b = bytes.Clone(b)
		if at >= 0 && at < len(b) {
			b[at] ^= flip
		}
		dir := t.TempDir()
		if err := os.Mkdir(filepath.Join(dir, "kim"), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(dir, "kim", name), b, 0o600); err != nil {
			t.Fatal(err)
		}
		s := openStore(t, dir)
		a, err := s.Account("kim")
		if err != nil {
			return
		}
		put(t, a, "INBOX", "after")
		want := shape(a)
		a.Release()
		s = reopen(t, s)
		with(t, s, "kim", func(a *Account) {
			if got := shape(a); got != want {
				t.Errorf("%s\nbecame\n%s", want, got)
			}
		})
	})
}

func FuzzHead(f *testing.F) {
	f.Add(head{seq: 7, batch: 3, meta: 10, aux: 20, body: 30, metaCRC: 40}.append(nil, 5), uint64(5))
	f.Fuzz(func(t *testing.T, b []byte, salt uint64) {
		h, err := parseHead(b, salt)
		if err != nil {
			return
		}
		if again := h.append(nil, salt); !bytes.Equal(again, b[:headLen]) {
			t.Errorf("%x became %x", b[:headLen], again)
		}
		if h.first() == 0 || h.first() > h.seq || h.size() < headLen+trailLen {
			t.Errorf("%+v", h)
		}
		if _, err := parseHead(b, salt+1); err == nil {
			t.Error("the salt does not count")
		}
	})
}

func FuzzOps(f *testing.F) {
	var seed []byte
	for _, o := range []op{
		{verb: opAdd, box: 1, here: true, msg: Message{UID: 1, Size: 2, Flags: 3, Date: -4, Saved: 5}},
		{verb: opAdd, box: 1, msg: Message{UID: 1, seg: 4, off: 90}},
		{verb: opFlags, box: 2, how: AddFlags, mask: 1 << 63, uids: []span{{1, 1}, {3, 9}}},
		{verb: opExpunge, box: 3, uids: []span{{5, 5}}},
		{verb: opCreate, box: 4, num: 9, name: "a/b", use: `\Sent`},
		{verb: opDelete, box: 4},
		{verb: opRename, box: 4, name: "c"},
		{verb: opSubscribe, name: "c", on: true},
		{verb: opKeyword, num: 9, name: "$k"},
		{verb: opRenew, num: 8},
		{verb: opHold},
		{verb: opMeta, box: 1, name: "/private/comment", on: true, text: "x"},
		{verb: opMeta, name: "/private/comment"},
	} {
		seed = o.append(seed)
	}
	f.Add(seed)
	f.Fuzz(func(t *testing.T, b []byte) {
		ops, err := parseOps(b, 1, 2)
		if err != nil {
			return
		}
		var again []byte
		for i := range ops {
			again = ops[i].append(again)
		}
		ops2, err := parseOps(again, 1, 2)
		if err != nil || !reflect.DeepEqual(ops, ops2) {
			t.Fatalf("%+v became %+v %v", ops, ops2, err)
		}
		st := newState()
		for i := range ops {
			st.apply(&ops[i], uint64(i)+1)
		}
		for _, b := range st.boxes {
			if st.byName[b.name] != b {
				t.Fatalf("mailbox %q is not found by its name", b.name)
			}
			unseen, last := 0, uint32(0)
			for _, m := range b.rows {
				if m.UID <= last || m.UID >= b.next && m.UID != 1<<32-1 {
					t.Fatalf("UID %d after %d, next %d", m.UID, last, b.next)
				}
				last = m.UID
				if m.Flags&Seen == 0 {
					unseen++
				}
			}
			if unseen != b.unseen {
				t.Fatalf("%d unseen, counted %d", unseen, b.unseen)
			}
		}
	})
}
