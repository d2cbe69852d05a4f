package dhcpsrv

import (
	"context"
	"errors"
	"log/slog"
	"syscall"
	"testing"

	"pic/core/names"
	"pic/core/state/journal"
	"pic/internal/faultfs"
)

// A disk that failed once must not cost the household its DHCP until somebody
// restarts the cell.
func TestServerBeginsAnewAfterTheDiskFailed(t *testing.T) {
	_, h := home(t, "busy")
	s := New(slog.New(slog.DiscardHandler), t.TempDir(), names.New(lan.Domain))
	if err := s.Apply(t.Context(), lan); err != nil {
		t.Fatal(err)
	}
	a := udhcpc(t, h["busy"])
	s.mu.Lock()
	for n := 1; s.book.Err() == nil; n++ {
		s.book.Close()
		book, err := journal.Open(s.path, func([]byte) error { return nil }, journal.WithFS(faultfs.FailAt(faultfs.OS, n, syscall.EIO)))
		if err != nil {
			continue
		}
		s.book = book
		book.Append(t.Context(), s.pool.byAddr[a].encode())
	}
	s.mu.Unlock()
	if !problem(s, "dhcp/disk-failed") {
		t.Error("it is no problem")
	}
	if err := s.Run(t.Context()); !errors.Is(err, syscall.EIO) {
		t.Fatalf("Run ended with %v", err)
	}
	if err := s.Apply(t.Context(), lan); err != nil {
		t.Fatal(err)
	}
	if again := udhcpc(t, h["busy"]); again != a {
		t.Errorf("had %s and got %s", a, again)
	}
	ctx, stop := context.WithCancel(t.Context())
	stop()
	if err := s.Run(ctx); err != nil {
		t.Error(err)
	}
}

// Who unplugs the LAN must still be able to change something else.
func TestMissingInterfaceRefusesNoOtherChange(t *testing.T) {
	s := New(slog.New(slog.DiscardHandler), t.TempDir(), names.New(lan.Domain))
	c := lan
	c.Interface = "nobody0"
	if err := s.Check(t.Context(), c); !errors.Is(err, errNoInterface) {
		t.Errorf("a name that is mistyped: %v", err)
	}
	if err := s.Apply(t.Context(), c); err != nil { // as at the start of the host
		t.Fatal(err)
	}
	c.Lease *= 2
	if err := s.Check(t.Context(), c); err != nil {
		t.Error(err)
	}
	if err := s.stop(); err != nil {
		t.Error(err)
	}
}
