package state_test

import (
	"bytes"
	"errors"
	"fmt"
	"runtime"
	"sync"
	"testing"

	"pic/core/state"
)

func TestFailedUpdateChangesNothing(t *testing.T) {
	oops := errors.New("oops")
	for name, tt := range map[string]struct {
		end   func() error
		check func(error) bool
	}{
		"error": {func() error { return oops }, func(err error) bool { return err == oops }},
		"panic": {func() error { panic("boom") }, func(err error) bool {
			var p *state.PanicError
			return errors.As(err, &p) && p.Text == "boom" && bytes.Contains(p.Stack, []byte("update_test.go"))
		}},
	} {
		s := open(t).Space("s")
		put(t, s, "a", "1", "b", "1")
		err := s.Update(t.Context(), func(w state.Writer) error {
			for range 3 {
				w.Put([]byte("a"), []byte("2"))
				w.Delete([]byte("b"))
				w.Put([]byte("c"), []byte("2"))
				w.Delete([]byte("c"))
				w.Put([]byte("b"), []byte("2"))
				w.Put([]byte("d"), []byte("2"))
				w.Delete([]byte("none"))
			}
			if got := string(w.Get([]byte("a"))) + string(w.Get([]byte("b"))); got != "22" {
				t.Errorf("%s: does not see its own changes: %q", name, got)
			}
			return tt.end()
		})
		if !tt.check(err) {
			t.Errorf("%s: error %v", name, err)
		}
		if got := dump(t, s); got != "a=1 b=1" {
			t.Errorf("%s: holds %q", name, got)
		}
	}
}

func TestUpdateThatEndsItsGoroutineHarmsNobody(t *testing.T) {
	s := open(t).Space("s")
	var wg sync.WaitGroup
	wg.Go(func() {
		_ = s.Update(t.Context(), func(w state.Writer) error {
			w.Put([]byte("a"), nil)
			runtime.Goexit() // as t.Fatal does
			return nil
		})
	})
	wg.Wait()
	put(t, s, "b", "1")
	if got := dump(t, s); got != "b=1" {
		t.Errorf("holds %q", got)
	}
}

// Updates that share a commit with failing ones are neither lost nor mixed up.
func TestUpdatesShareACommitAndNotAFate(t *testing.T) {
	db := open(t)
	var wg sync.WaitGroup
	for i := range 64 {
		s := db.Space(fmt.Sprint("s", i%4))
		wg.Go(func() {
			for n := range 10 {
				key := fmt.Appendf(nil, "%02d-%d", i, n)
				err := s.Update(t.Context(), func(w state.Writer) error {
					// All touch one key, so a wrong undo shows in the sum.
					sum := append(bytes.Clone(w.Get([]byte("all"))), 'x')
					if err := w.Put([]byte("all"), sum); err != nil {
						return err
					}
					if err := w.Put(key, []byte("v")); err != nil {
						return err
					}
					switch (i/4 + n) % 3 { // each space has the same number of each
					case 1:
						return errors.New("no")
					case 2:
						panic("no")
					}
					return nil
				})
				if ok := (i/4+n)%3 == 0; ok != (err == nil) {
					t.Errorf("update %s: %v", key, err)
				}
			}
		})
	}
	wg.Wait()
	for j := range 4 {
		keys, sum := 0, 0
		_ = db.Space(fmt.Sprint("s", j)).View(func(r state.Reader) error {
			for k, v := range r.Scan(nil, nil) {
				if string(k) == "all" {
					sum = len(v)
				} else {
					keys++
				}
			}
			return nil
		})
		want := 0
		for i := range 16 {
			for n := range 10 {
				if (i+n)%3 == 0 {
					want++
				}
			}
		}
		if keys != want || sum != want {
			t.Errorf("space %d: %d keys and a sum of %d, want %d", j, keys, sum, want)
		}
	}
}

func TestUpdateRefusesWhatItCannotKeep(t *testing.T) {
	s := open(t).Space("s")
	for name, tt := range map[string]struct{ key, value []byte }{
		"empty key":  {nil, []byte("v")},
		"long key":   {make([]byte, state.MaxKey+1), nil},
		"long value": {[]byte("k"), make([]byte, state.MaxValue+1)},
	} {
		err := s.Update(t.Context(), func(w state.Writer) error { return w.Put(tt.key, tt.value) })
		if err == nil {
			t.Errorf("%s: accepted", name)
		}
	}
	if err := open(t).Space("").Update(t.Context(), func(state.Writer) error { return nil }); err == nil {
		t.Error("a space without a name was accepted")
	}
	value := []byte("before")
	err := s.Update(t.Context(), func(w state.Writer) error {
		defer copy(value, "after!")
		return w.Put([]byte("k"), value)
	})
	if got := dump(t, s); err != nil || got != "k=before" {
		t.Errorf("Put did not copy: %q, %v", got, err)
	}
}
