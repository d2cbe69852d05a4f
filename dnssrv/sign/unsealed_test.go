package sign

import (
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"testing"
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
