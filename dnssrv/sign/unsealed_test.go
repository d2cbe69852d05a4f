package sign

import (
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"testing"
	"time"
)

// A vault that lacks a file of its own is no zone without keys.
func TestKeysThatAreNotUnsealedAreNotReplaced(t *testing.T) {
	o := Options{
		Log: slog.New(slog.DiscardHandler), Dir: t.TempDir(),
		Seal: func(_ string, b []byte) []byte { return b },
		Unseal: func(string, []byte) ([]byte, error) {
			return nil, fmt.Errorf("reading the vault: %w", &fs.PathError{Op: "open", Path: "vault.key", Err: fs.ErrNotExist})
		},
	}
	path := filepath.Join(o.Dir, "oak.keys")
	if err := os.WriteFile(path, []byte("sealed"), 0o600); err != nil {
		t.Fatal(err)
	}
	k := New(o)
	k.Follow([]string{"oak."})
	if got, err := os.ReadFile(path); err != nil || string(got) != "sealed" {
		t.Errorf("the keys were replaced: %q, %v", got, err)
	}
	if k.Ring("oak.") != nil || len(k.Faults()) != 1 {
		t.Errorf("the zone is signed, or nobody is told: %v", k.Faults())
	}
}

// A board without a battery shows 1970 until the network sets its clock. Keys that
// were just published must not take over when that happens.
func TestKeysWaitForAClockThatCanBeRight(t *testing.T) {
	s := open(t, t.TempDir())
	s.opt.Credible = s.now.Add(-24 * time.Hour)
	s.Follow([]string{oak})
	if err := s.Roll(oak); err != nil {
		t.Fatal(err)
	}
	before := s.told()
	was := s.now
	for _, now := range []time.Time{time.Unix(60, 0), time.Unix(3600, 0), was.Add(time.Hour)} {
		s.now = now
		s.Tick(map[string]Parent{oak: nobody()})
	}
	if got := s.told(); got != before {
		t.Errorf("after the clock was set: %s, before %s", got, before)
	}
	s.pass(publish, nobody)
	if got := s.told(); got == before {
		t.Errorf("a day later: still %s", got)
	}
}
