package imapd

import (
	"bytes"
	"compress/flate"
	"io"
	"testing"
)

// inflate decompresses b, which comes in pieces.
func inflate(b []byte, step int) ([]byte, error) {
	var now []byte
	feed := func() bool {
		k := min(step, len(b))
		now, b = append(now, b[:k]...), b[k:]
		return k > 0
	}
	z := &inflater{
		src: func() (byte, bool) {
			if len(now) == 0 {
				return 0, false
			}
			c := now[0]
			now = now[1:]
			return c, true
		},
		wait: func() error {
			if !feed() {
				return io.ErrUnexpectedEOF
			}
			return nil
		},
	}
	var out []byte
	buf := make([]byte, 100)
	for feed() || len(now) > 0 {
		for {
			n, err := z.Read(buf)
			out = append(out, buf[:n]...)
			if err != nil {
				return out, err
			}
			if n < len(buf) {
				break
			}
		}
		if len(out) > 8<<20 {
			return out, nil
		}
	}
	return out, nil
}

// Everything that is flushed can be read before anything else comes.
func TestInflate(t *testing.T) {
	for level := flate.HuffmanOnly; level <= 9; level++ {
		for _, step := range []int{1, 7, 1 << 20} {
			var c bytes.Buffer
			w, err := flate.NewWriter(&c, level)
			if err != nil {
				t.Fatal(err)
			}
			var want []byte
			for i := range 60 {
				part := bytes.Repeat([]byte{byte(i), 'a', byte(i * i), 'b', '\n'}, 1+i*i%700)
				w.Write(part)
				w.Flush()
				want = append(want, part...)
				if i%20 != 19 {
					continue
				}
				got, err := inflate(c.Bytes(), step)
				if err != nil || !bytes.Equal(got, want) {
					t.Fatalf("level %d, step %d: %d bytes, not %d: %v", level, step, len(got), len(want), err)
				}
			}
		}
	}
}

// A window refers to all that was before, as far back as it may.
func TestInflateFarBack(t *testing.T) {
	var c bytes.Buffer
	w, _ := flate.NewWriter(&c, 9)
	block := make([]byte, window-300)
	x := uint32(1)
	for i := range block {
		x = x*1664525 + 1013904223
		block[i] = byte(x >> 24)
	}
	want := bytes.Repeat(block, 5)
	w.Write(want)
	w.Flush()
	if c.Len() > 2*len(block) {
		t.Fatal("nothing refers back so far")
	}
	if got, err := inflate(c.Bytes(), 1000); err != nil || !bytes.Equal(got, want) {
		t.Errorf("%d bytes, not %d: %v", len(got), len(want), err)
	}
}

// It reads as the standard library does, in whatever pieces.
func FuzzInflate(f *testing.F) {
	f.Add([]byte("\xcaH\xcd\xc9\xc9\x07\x00\x00\x00\xff\xff"), 1)
	f.Add([]byte("\x05\xe0\x81\x08\x00\x00\x00\x00\x20\x7f\xeb\x0b\x00\x00"), 3)
	f.Fuzz(func(t *testing.T, b []byte, step int) {
		if step < 1 || len(b) > 4096 {
			return
		}
		got, err := inflate(b, step)
		r := flate.NewReader(bytes.NewReader(b))
		want, err2 := io.ReadAll(io.LimitReader(r, 8<<20))
		if len(want) > 4<<20 {
			return
		}
		if n := min(len(got), len(want)); !bytes.Equal(got[:n], want[:n]) {
			t.Fatalf("%q became %q, not %q", b, got, want)
		}
		if err2 == nil && len(got) < len(want) {
			t.Fatalf("%q: %d bytes of %d, %v", b, len(got), len(want), err)
		}
	})
}
