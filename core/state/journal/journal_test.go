package journal

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"testing/synctest"

	"pic/internal/faultfs"
)

// load opens a journal and returns its records.
func load(t *testing.T, path string, opts ...Option) (*Log, []string) {
	t.Helper()
	l, recs, err := tryLoad(path, opts...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	return l, recs
}

func tryLoad(path string, opts ...Option) (*Log, []string, error) {
	var recs []string
	l, err := Open(path, func(rec []byte) error { recs = append(recs, string(rec)); return nil }, opts...)
	return l, recs, err
}

func add(t *testing.T, l *Log, recs ...string) {
	t.Helper()
	for _, r := range recs {
		if err := l.Append(t.Context(), []byte(r)); err != nil {
			t.Fatal(err)
		}
	}
}

func TestRecordsComeBackInOrder(t *testing.T) {
	path := filepath.Join(t.TempDir(), "j")
	var want []string
	for i := range 3 {
		l, got := load(t, path)
		if !slices.Equal(got, want) {
			t.Errorf("opening %d: %q, want %q", i, got, want)
		}
		recs := []string{fmt.Sprint("a", i), "", strings.Repeat("long", 100<<10)}
		add(t, l, recs...)
		want = append(want, recs...)
		if st, _ := os.Stat(path); st.Size() != l.Size() || st.Mode().Perm() != 0o600 {
			t.Errorf("size %d and mode %v, Size says %d", st.Size(), st.Mode(), l.Size())
		}
		if _, _, err := tryLoad(path); !errors.Is(err, ErrInUse) {
			t.Errorf("opened twice: %v", err)
		}
		if err := l.Close(); err != nil {
			t.Error(err)
		}
		if err := l.Close(); err != nil {
			t.Errorf("second Close: %v", err)
		}
	}
}

func TestJournalRefuses(t *testing.T) {
	dir := t.TempDir()
	l, _ := load(t, filepath.Join(dir, "j"), WithMaxRecord(10))
	if err := l.Append(t.Context(), make([]byte, 11)); !errors.Is(err, ErrTooLarge) {
		t.Errorf("a large record: %v", err)
	}
	emitLarge := func(emit func([]byte) error) error { emit(make([]byte, 11)); return nil }
	if err := l.Rewrite(t.Context(), emitLarge); !errors.Is(err, ErrTooLarge) {
		t.Errorf("a large record that a rewrite ignores: %v", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := l.Append(ctx, nil); !errors.Is(err, context.Canceled) {
		t.Errorf("a done context: %v", err)
	}
	if err := l.Rewrite(ctx, func(func([]byte) error) error { return nil }); !errors.Is(err, context.Canceled) {
		t.Errorf("rewrite with a done context: %v", err)
	}
	l.Close()
	if err := l.Append(t.Context(), nil); !errors.Is(err, ErrClosed) {
		t.Errorf("closed: %v", err)
	}
	if err := l.Rewrite(t.Context(), nil); !errors.Is(err, ErrClosed) {
		t.Errorf("rewrite when closed: %v", err)
	}
	other := filepath.Join(dir, "other")
	if err := os.WriteFile(other, []byte("{ some JSON that is no journal }"), 0o600); err != nil {
		t.Fatal(err)
	}
	var damage *DamageError
	if _, _, err := tryLoad(other); !errors.As(err, &damage) || !strings.Contains(err.Error(), "not a journal") {
		t.Errorf("another file: %v", err)
	}
	oops := errors.New("oops")
	l, _ = load(t, filepath.Join(dir, "j"))
	at := l.Size()
	add(t, l, "x")
	l.Close()
	if _, err := Open(filepath.Join(dir, "j"), func([]byte) error { return oops }); !errors.Is(err, oops) ||
		!strings.Contains(err.Error(), fmt.Sprintf("offset %d", at)) {
		t.Errorf("a record that replay refuses: %v", err)
	}
}

// Wherever the file ends, the whole frames before come back, the rest is cut,
// and appending goes on behind.
func TestTornEndIsCut(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "j")
	l, _ := load(t, path)
	ends := []int64{l.Size()}
	recs := []string{"first", "second", "third"}
	for _, r := range recs {
		add(t, l, r)
		ends = append(ends, l.Size())
	}
	l.Close()
	whole, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	for cut := ends[0]; cut < int64(len(whole)); cut++ {
		for name, tail := range map[string][]byte{"": nil, "zeros": make([]byte, 5000), "garbage": []byte("\xf1PJ\x0a\xff\xff\x00\x00garbage")} {
			torn := filepath.Join(dir, "torn")
			if err := os.WriteFile(torn, append(whole[:cut:cut], tail...), 0o600); err != nil {
				t.Fatal(err)
			}
			n := 0
			for n < 3 && ends[n+1] <= cut {
				n++
			}
			l, got := load(t, torn)
			if !slices.Equal(got, recs[:n]) || l.Size() != ends[n] || l.Torn() != cut+int64(len(tail))-ends[n] {
				t.Fatalf("cut at %d %s: %q, size %d, torn %d", cut, name, got, l.Size(), l.Torn())
			}
			add(t, l, "more")
			l.Close()
			l, got = load(t, torn)
			if l.Close(); !slices.Equal(got, append(recs[:n:n], "more")) {
				t.Fatalf("cut at %d %s: appending gave %q", cut, name, got)
			}
		}
	}
}

func TestDamageInTheMiddleIsNamed(t *testing.T) {
	path := filepath.Join(t.TempDir(), "j")
	l, _ := load(t, path)
	add(t, l, "first")
	at := l.Size()
	add(t, l, "second")
	next := l.Size()
	add(t, l, strings.Repeat("third", 100<<10), "fourth")
	l.Close()
	whole, _ := os.ReadFile(path)
	for off := at; off < next; off++ {
		bad := slices.Clone(whole)
		bad[off] ^= 0x10
		if err := os.WriteFile(path, bad, 0o600); err != nil {
			t.Fatal(err)
		}
		_, _, err := tryLoad(path)
		var damage *DamageError
		if !errors.As(err, &damage) || *damage != (DamageError{at, next}) {
			t.Fatalf("byte %d flipped: %v", off, err)
		}
		if got, _ := os.ReadFile(path); !slices.Equal(got, bad) {
			t.Fatalf("byte %d flipped: the file was changed", off)
		}
	}
}

// A client must not be able to make a torn end look like damage by what it puts
// into a record.
func TestFrameInsideARecordIsNoFrame(t *testing.T) {
	dir := t.TempDir()
	other, _ := load(t, filepath.Join(dir, "other"))
	add(t, other, "evil")
	frame, _ := os.ReadFile(filepath.Join(dir, "other"))
	path := filepath.Join(dir, "j")
	l, _ := load(t, path)
	add(t, l, "good")
	size := l.Size()
	add(t, l, string(frame[headSize:])+"tail")
	l.Close()
	if err := os.Truncate(path, l.Size()-1); err != nil {
		t.Fatal(err)
	}
	l, got := load(t, path)
	if !slices.Equal(got, []string{"good"}) || l.Size() != size {
		t.Errorf("got %q, size %d", got, l.Size())
	}
}

// A gate is a file system whose syncs wait to be let through.
type gate struct {
	faultfs.FS
	pass chan struct{}
}

type gatedFile struct {
	faultfs.File
	pass chan struct{}
}

func (g gate) OpenFile(name string, flag int, perm fs.FileMode) (faultfs.File, error) {
	f, err := g.FS.OpenFile(name, flag, perm)
	return gatedFile{f, g.pass}, err
}

func (f gatedFile) Sync() error {
	<-f.pass
	return f.File.Sync()
}

// Who waits while the disk syncs shares the next sync.
func TestWaitingAppendsShareOneFrame(t *testing.T) {
	path := filepath.Join(t.TempDir(), "j")
	l, _ := load(t, path)
	before := l.Size()
	l.Close()
	synctest.Test(t, func(t *testing.T) {
		pass := make(chan struct{})
		l, err := Open(path, func([]byte) error { return nil }, WithFS(gate{faultfs.OS, pass}))
		if err != nil {
			t.Fatal(err)
		}
		defer l.Close()
		var wg sync.WaitGroup
		for i := range 100 {
			wg.Go(func() { add(t, l, fmt.Sprintf("%03d", i)) })
			if i == 0 {
				synctest.Wait()
			}
		}
		synctest.Wait()
		close(pass)
		wg.Wait()
		if got := l.Size() - before; got != 2*frameHead+100*4 {
			t.Errorf("100 records took %d bytes, want two frames", got)
		}
	})
	if _, recs := load(t, path); len(recs) != 100 || recs[0] != "000" {
		t.Errorf("%d records", len(recs))
	}
}

func TestRewriteReplacesEverything(t *testing.T) {
	path := filepath.Join(t.TempDir(), "j")
	l, _ := load(t, path)
	for range 50 {
		add(t, l, strings.Repeat("old", 1000))
	}
	before := l.Size()
	var want []string
	err := l.Rewrite(t.Context(), func(emit func([]byte) error) error {
		for i := range 1000 {
			want = append(want, fmt.Sprintf("rec %d %s", i, strings.Repeat("x", i)))
			if err := emit([]byte(want[i])); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	add(t, l, "after")
	if err := l.Rewrite(t.Context(), func(emit func([]byte) error) error { emit(nil); return errors.New("no") }); err == nil {
		t.Error("a failing rewrite succeeded")
	}
	add(t, l, "last")
	l.Close()
	_, got := load(t, path)
	if !slices.Equal(got, append(want, "after", "last")) {
		t.Errorf("%d records, want %d", len(got), len(want)+2)
	}
	if e, _ := os.ReadDir(filepath.Dir(path)); len(e) != 1 || before < 100000 {
		t.Errorf("left behind %v", e)
	}
}

// Whatever fails, what was acknowledged comes back, in order, and what was
// refused does not, unless a sync failed.
func TestFailuresLoseNothingAcknowledged(t *testing.T) {
	for name, fault := range map[string]func(faultfs.FS, int, error) *faultfs.Faults{
		"fail": faultfs.FailAt, "crash": faultfs.CrashAt,
	} {
		final := 0
		for n := 1; ; n++ {
			path := filepath.Join(t.TempDir(), "j")
			fs := fault(faultfs.OS, n, syscall.ENOSPC)
			var acked, refused []string
			l, _, err := tryLoad(path, WithFS(fs))
			if err == nil {
				for i := range 6 {
					rec := fmt.Sprint("rec ", i)
					err := l.Append(t.Context(), []byte(rec))
					switch {
					case err == nil:
						acked = append(acked, rec)
					case errors.Is(err, ErrFailed):
						final++
					default:
						refused = append(refused, rec)
					}
					if i == 2 {
						_ = l.Rewrite(t.Context(), func(emit func([]byte) error) error {
							for _, r := range acked {
								emit([]byte(r))
							}
							return nil
						})
					}
				}
				if errors.Is(l.Err(), ErrFailed) && l.Append(t.Context(), nil) == nil {
					t.Errorf("%s at %d: acknowledged after %v", name, n, l.Err())
				}
				l.Close()
			}
			l2, got, err := tryLoad(path)
			if err != nil {
				t.Fatalf("%s at %d: %v", name, n, err)
			}
			l2.Close()
			for i, r := range acked {
				if i >= len(got) || got[i] != r {
					t.Fatalf("%s at %d: got %q, acknowledged %q", name, n, got, acked)
				}
			}
			for _, r := range refused {
				if slices.Contains(got, r) {
					t.Errorf("%s at %d: %q was refused and came back", name, n, r)
				}
			}
			if !fs.Failed() {
				break
			}
		}
		if final == 0 {
			t.Errorf("%s: no failure was final", name)
		}
	}
}

func FuzzReplay(f *testing.F) {
	var b frame
	b.reset()
	b.add([]byte("rec"))
	b.add(nil)
	head := append([]byte(signature), make([]byte, len(salt{}))...)
	one := slices.Clone(b.bytes(salt{}))
	f.Add(slices.Concat(head, one, one), uint16(3))
	f.Add(slices.Concat(head, one[:9], one), uint16(0))
	f.Add([]byte(signature), uint16(0))
	f.Fuzz(func(t *testing.T, file []byte, at uint16) {
		var recs []string
		total := 0
		_, end, err := replay(strings.NewReader(string(file)), int64(len(file)), func(r []byte) error {
			recs, total = append(recs, string(r)), total+len(r)
			return nil
		})
		if err != nil {
			return
		}
		if end > int64(len(file)) || total > len(file) {
			t.Fatalf("%d bytes of records up to %d in a file of %d", total, end, len(file))
		}
		// The same records come from the whole part alone, and one more from a
		// frame behind it.
		more := append(slices.Clone(file[:end]), frameOf(file, "more")...)
		var again []string
		_, end2, err := replay(strings.NewReader(string(more)), int64(len(more)), func(r []byte) error {
			again = append(again, string(r))
			return nil
		})
		if err != nil || end2 != int64(len(more)) || !slices.Equal(again, append(recs, "more")) {
			t.Fatalf("appending after %d: %q, then %q, %v", end, recs, again, err)
		}
		// Damage to that last frame is a torn end, never a wrong record.
		more[end+int64(at)%(end2-end)] ^= 1
		again = nil
		_, end3, err := replay(strings.NewReader(string(more)), int64(len(more)), func(r []byte) error {
			again = append(again, string(r))
			return nil
		})
		if err != nil || end3 != end || !slices.Equal(again, recs) {
			t.Fatalf("damage at %d: %q, %v", at, again, err)
		}
	})
}

// frameOf makes a frame of one record for a file.
func frameOf(file []byte, rec string) []byte {
	var s salt
	copy(s[:], file[len(signature):])
	var b frame
	b.reset()
	b.add([]byte(rec))
	return b.bytes(s)
}
