package state_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"pic/core/state"
)

func open(t *testing.T) *state.DB {
	t.Helper()
	db, err := state.Open(filepath.Join(t.TempDir(), "state.db"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { db.Close() })
	return db
}

func put(t *testing.T, s *state.Space, pairs ...string) {
	t.Helper()
	err := s.Update(t.Context(), func(w state.Writer) error {
		for i := 0; i < len(pairs); i += 2 {
			if err := w.Put([]byte(pairs[i]), []byte(pairs[i+1])); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

// dump writes a space as "k=v k=v".
func dump(t *testing.T, s *state.Space) string {
	t.Helper()
	var out []string
	err := s.View(func(r state.Reader) error {
		for k, v := range r.Scan(nil, nil) {
			out = append(out, fmt.Sprintf("%s=%s", k, v))
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return strings.Join(out, " ")
}

func TestSpacesDoNotCollide(t *testing.T) {
	db := open(t)
	a, b := db.Space("a"), db.Space("b")
	if got := dump(t, a); got != "" {
		t.Errorf("a new space holds %q", got)
	}
	put(t, a, "k", "of a", "empty", "")
	put(t, b, "k", "of b")
	if got := dump(t, a); got != "empty= k=of a" {
		t.Errorf("a holds %q", got)
	}
	if got := dump(t, b); got != "k=of b" {
		t.Errorf("b holds %q", got)
	}
	err := a.View(func(r state.Reader) error {
		if v := r.Get([]byte("empty")); v == nil || len(v) != 0 {
			t.Errorf("an empty value reads as %#v", v)
		}
		if v := r.Get([]byte("none")); v != nil {
			t.Errorf("no value reads as %q", v)
		}
		if v := r.Get(nil); v != nil {
			t.Errorf("no key reads as %q", v)
		}
		return nil
	})
	if err != nil {
		t.Error(err)
	}
}

func TestWhatIsWrittenIsThereAfterOpeningAgain(t *testing.T) {
	path := filepath.Join(t.TempDir(), "state.db")
	for i := range 3 {
		db, err := state.Open(path)
		if err != nil {
			t.Fatal(err)
		}
		put(t, db.Space("s"), fmt.Sprint("k", i), "v")
		if _, err := state.Open(path); !errors.Is(err, state.ErrInUse) {
			t.Errorf("opened twice: %v", err)
		}
		if err := db.Close(); err != nil {
			t.Fatal(err)
		}
	}
	db, err := state.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	if got := dump(t, db.Space("s")); got != "k0=v k1=v k2=v" {
		t.Errorf("holds %q", got)
	}
	if st, _ := os.Stat(path); st.Mode().Perm() != 0o600 {
		t.Errorf("mode %v", st.Mode())
	}
}

func TestScanKeepsToPrefixAndStart(t *testing.T) {
	s := open(t).Space("s")
	put(t, s, "a", "", "b", "", "b1", "", "b2", "", "b2x", "", "c", "", "\xff\xff", "")
	for name, tt := range map[string]struct {
		prefix, from string
		want         string
	}{
		"all":                   {"", "", "a b b1 b2 b2x c \xff\xff"},
		"prefix":                {"b", "", "b b1 b2 b2x"},
		"from a key":            {"b", "b1", "b1 b2 b2x"},
		"from between keys":     {"b", "b10", "b2 b2x"},
		"from before prefix":    {"b", "a", "b b1 b2 b2x"},
		"from behind prefix":    {"b", "c", ""},
		"no such prefix":        {"bb", "", ""},
		"prefix without a next": {"\xff", "", "\xff\xff"},
	} {
		var got []string
		_ = s.View(func(r state.Reader) error {
			for k := range r.Scan([]byte(tt.prefix), []byte(tt.from)) {
				got = append(got, string(k))
			}
			return nil
		})
		if s := strings.Join(got, " "); s != tt.want {
			t.Errorf("%s: %q, want %q", name, s, tt.want)
		}
	}
}

func TestScanGoesOnAfterChanges(t *testing.T) {
	s := open(t).Space("s")
	var pairs []string
	for i := range 5000 { // many pages
		pairs = append(pairs, fmt.Sprintf("k%05d", i), strings.Repeat("v", 50))
	}
	put(t, s, pairs...)
	seen := 0
	err := s.Update(t.Context(), func(w state.Writer) error {
		for k := range w.Scan([]byte("k"), nil) {
			seen++
			key := bytes.Clone(k)
			if err := w.Delete(key); err != nil {
				return err
			}
			if err := w.Put(append([]byte("a"), key...), nil); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil || seen != 5000 {
		t.Errorf("saw %d of 5000, %v", seen, err)
	}
	if got := strings.Count(dump(t, s), "ak"); got != 5000 {
		t.Errorf("%d moved", got)
	}
}

func TestViewSeesOneMoment(t *testing.T) {
	s := open(t).Space("s")
	put(t, s, "a", "1", "b", "1")
	err := s.View(func(r state.Reader) error {
		a := string(r.Get([]byte("a")))
		done := make(chan struct{})
		go func() { // an update from outside must not wait for this view
			defer close(done)
			put(t, s, "a", "2", "b", "2")
		}()
		<-done
		if b := string(r.Get([]byte("b"))); a != "1" || b != "1" {
			t.Errorf("a view sees a=%s b=%s", a, b)
		}
		return nil
	})
	if got := dump(t, s); err != nil || got != "a=2 b=2" {
		t.Errorf("holds %q, %v", got, err)
	}
}

func TestNextNeverRepeats(t *testing.T) {
	path := filepath.Join(t.TempDir(), "state.db")
	var got []uint64
	next := func(s *state.Space, fail error) {
		err := s.Update(t.Context(), func(w state.Writer) error {
			n, err := w.Next()
			got = append(got, n)
			return errors.Join(err, fail)
		})
		if !errors.Is(err, fail) {
			t.Fatal(err)
		}
	}
	for range 2 {
		db, err := state.Open(path)
		if err != nil {
			t.Fatal(err)
		}
		next(db.Space("s"), nil)
		next(db.Space("s"), errors.New("no"))
		next(db.Space("s"), nil)
		db.Close()
	}
	if !slices.Equal(got, []uint64{1, 2, 3, 4, 5, 6}) {
		t.Errorf("got %v", got)
	}
}

func TestReaderIsOverWithItsFunction(t *testing.T) {
	s := open(t).Space("s")
	put(t, s, "k", "v")
	var late state.Writer
	if err := s.Update(t.Context(), func(w state.Writer) error { late = w; return nil }); err != nil {
		t.Fatal(err)
	}
	if late.Put([]byte("k"), nil) == nil || late.Delete([]byte("k")) == nil {
		t.Error("a Writer works after its Update")
	}
	if _, err := late.Next(); err == nil {
		t.Error("Next works after its Update")
	}
	err := s.View(func(state.Reader) error { late.Get([]byte("k")); return nil })
	var p *state.PanicError
	if !errors.As(err, &p) {
		t.Errorf("a Reader works after its function: %v", err)
	}
}

func TestDoneContextAndClosedStateRefuse(t *testing.T) {
	db := open(t)
	s := db.Space("s")
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	never := func(state.Writer) error { t.Error("called"); return nil }
	if err := s.Update(ctx, never); !errors.Is(err, context.Canceled) {
		t.Errorf("done context: %v", err)
	}
	// One that waits for its turn can be called off.
	started, finish := make(chan struct{}), make(chan struct{})
	var wg sync.WaitGroup
	wg.Go(func() {
		_ = s.Update(t.Context(), func(state.Writer) error { close(started); <-finish; return nil })
	})
	<-started
	ctx, cancel = context.WithCancel(t.Context())
	wg.Go(cancel)
	if err := s.Update(ctx, never); !errors.Is(err, context.Canceled) {
		t.Errorf("waiting: %v", err)
	}
	close(finish)
	wg.Wait()
	if err := db.Close(); err != nil {
		t.Error(err)
	}
	if err := db.Close(); err != nil {
		t.Errorf("second Close: %v", err)
	}
	if err := s.Update(t.Context(), never); !errors.Is(err, state.ErrClosed) {
		t.Errorf("closed: %v", err)
	}
	if err := s.View(func(state.Reader) error { return nil }); !errors.Is(err, state.ErrClosed) {
		t.Errorf("closed: %v", err)
	}
	if err := db.Snapshot(&bytes.Buffer{}); !errors.Is(err, state.ErrClosed) {
		t.Errorf("closed: %v", err)
	}
}

func TestSnapshotIsAWholeStateOfOneMoment(t *testing.T) {
	db := open(t)
	s := db.Space("s")
	stop := make(chan struct{})
	var wg sync.WaitGroup
	wg.Go(func() {
		for i := 0; ; i++ {
			select {
			case <-stop:
				return
			default:
				put(t, s, "a", fmt.Sprint(i), "z", fmt.Sprint(i))
			}
		}
	})
	put(t, s, "b", strings.Repeat("x", 1<<20))
	path := filepath.Join(t.TempDir(), "copy.db")
	f, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	if err := db.Snapshot(f); err != nil {
		t.Fatal(err)
	}
	close(stop)
	wg.Wait()
	f.Close()
	copied, err := state.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer copied.Close()
	_ = copied.Space("s").View(func(r state.Reader) error {
		a, z := r.Get([]byte("a")), r.Get([]byte("z"))
		if !bytes.Equal(a, z) || len(r.Get([]byte("b"))) != 1<<20 {
			t.Errorf("a=%s z=%s and %d bytes", a, z, len(r.Get([]byte("b"))))
		}
		return nil
	})
}

func TestDamagedFileIsRefused(t *testing.T) {
	path := filepath.Join(t.TempDir(), "state.db")
	if err := os.WriteFile(path, bytes.Repeat([]byte("garbage!"), 4096), 0o600); err != nil {
		t.Fatal(err)
	}
	if db, err := state.Open(path); err == nil {
		db.Close()
		t.Error("garbage was opened")
	}
}
