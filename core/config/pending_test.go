package config

import (
	"errors"
	"log/slog"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"pic/internal/faultfs"
)

// Wherever the process is killed while an unconfirmed change is undone, be it
// by the owner or by the clock, the next start does not keep that change.
func TestCrashWhileRevertingKeepsNothingUnconfirmed(t *testing.T) {
	for n := 1; ; n++ {
		s, dir := newStore(t)
		if _, err := s.Change(t.Context(), Change{Edit: addZone("a.home.arpa"), Confirm: time.Hour}); err != nil {
			t.Fatal(err)
		}
		fs := faultfs.CrashAt(faultfs.OS, n, syscall.EIO)
		s.disk.fs = fs
		_, err := s.Revert(t.Context(), "alice")
		s.Close()
		again, openErr := Open(dir, Env{}, slog.New(slog.DiscardHandler))
		if openErr != nil {
			t.Fatalf("write %d: the cell no longer starts: %v", n, openErr)
		}
		if d := again.Current(); len(d.DNS.Zones) != 0 {
			t.Errorf("write %d: Revert said %v, and the unconfirmed change is final", n, err)
		}
		if !fs.Failed() {
			break
		}
	}
}

// The same for the undoing that the next start does: whatever fails of it, the
// start after that finishes it.
func TestCrashWhileStartingKeepsNothingUnconfirmed(t *testing.T) {
	for name, fail := range map[string]func(int) *faultfs.Faults{
		"fails": func(n int) *faultfs.Faults { return faultfs.FailAt(faultfs.OS, n, syscall.EIO) },
		"crash": func(n int) *faultfs.Faults { return faultfs.CrashAt(faultfs.OS, n, syscall.EIO) },
	} {
		for n := 1; ; n++ {
			s, dir := newStore(t)
			if _, err := s.Change(t.Context(), Change{Edit: addZone("a.home.arpa"), Confirm: time.Hour}); err != nil {
				t.Fatal(err)
			}
			s.Close()
			fs := fail(n)
			first, err := open(disk{dir, fs}, Env{}, slog.New(slog.DiscardHandler))
			if err == nil && len(first.Current().DNS.Zones) != 0 {
				t.Errorf("%s at %d: started with the unconfirmed change", name, n)
			}
			again, err := Open(dir, Env{}, slog.New(slog.DiscardHandler))
			if err != nil {
				t.Fatalf("%s at %d: the cell no longer starts: %v", name, n, err)
			}
			if d := again.Current(); len(d.DNS.Zones) != 0 || d.Revision != 3 {
				t.Errorf("%s at %d: revision %d with zones %v", name, n, d.Revision, d.DNS.Zones)
			}
			if !fs.Failed() {
				break
			}
		}
	}
}

// What an armed change that could not be saved left behind must not undo the
// next change at the next start.
func TestLeftoverOfAFailedChangeUndoesNothing(t *testing.T) {
	for n := 1; ; n++ {
		s, dir := newStore(t)
		fs := faultfs.FailAt(faultfs.OS, n, syscall.EIO)
		s.disk.fs = fs
		_, err := s.Change(t.Context(), Change{Edit: addZone("a.home.arpa"), Confirm: time.Hour})
		if !fs.Failed() {
			break
		}
		if err == nil {
			continue // committed, only the sync of the folder failed
		}
		s.disk.fs = faultfs.OS
		if _, err := s.Change(t.Context(), Change{Edit: addZone("b.home.arpa")}); err != nil {
			t.Fatal(err)
		}
		s.Close()
		again, err := Open(dir, Env{}, slog.New(slog.DiscardHandler))
		if err != nil || len(again.Current().DNS.Zones) != 1 || again.Current().Revision != 2 {
			t.Errorf("write %d: the final change was undone: %+v, %v", n, again.Current().DNS.Zones, err)
		}
	}
}

func TestDamageHealsWithTheNextChange(t *testing.T) {
	for n := 1; ; n++ {
		s, _ := newStore(t)
		fs := faultfs.FailAt(faultfs.OS, n, syscall.EIO)
		s.disk.fs = fs
		_, err := s.Change(t.Context(), Change{Edit: addZone("a.home.arpa")})
		if !fs.Failed() {
			t.Fatal("no write failed after the commit")
		}
		if err != nil || s.Damage() == nil {
			continue
		}
		if _, err := s.Change(t.Context(), Change{Edit: addZone("b.home.arpa")}); err != nil {
			t.Fatal(err)
		}
		if d := s.Damage(); d != nil {
			t.Errorf("the problem stays: %+v", d)
		}
		break
	}
}

func TestConfirmationEndsTheProblemOfAFailedRevert(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, _ := newStore(t)
		if _, err := s.Change(t.Context(), Change{Edit: addZone("a.home.arpa"), Confirm: time.Minute}); err != nil {
			t.Fatal(err)
		}
		swap(s, faultfs.CrashAt(faultfs.OS, 1, syscall.ENOSPC))
		time.Sleep(2 * time.Minute)
		synctest.Wait()
		if d := s.Damage(); d == nil || d.Code != "revert-failed" || s.Pending() == nil {
			t.Fatalf("damage %+v, pending %+v", d, s.Pending())
		}
		swap(s, faultfs.OS)
		if err := s.Confirm(t.Context(), "alice"); err != nil {
			t.Fatal(err)
		}
		if d := s.Damage(); d != nil {
			t.Errorf("the problem stays: %+v", d)
		}
	})
}

func swap(s *Store, fs faultfs.FS) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.disk.fs = fs
}

// The owner may be locked out by the change that waits; a unit that cannot go
// back must not keep it in force.
func TestRevertGoesOnWithoutAUnitThatRefuses(t *testing.T) {
	for name, refuse := range map[string]func(*recorder){
		"check":   func(r *recorder) { r.noCheck = true },
		"apply":   func(r *recorder) { r.noApply = true },
		"restore": func(r *recorder) { r.noApply, r.noRestore = true, true },
	} {
		var log []string
		a, b := &recorder{name: "a", log: &log}, &recorder{name: "b", log: &log}
		s, _ := newStore(t, a, b)
		if _, err := s.Change(t.Context(), Change{Edit: addZone("a.home.arpa"), Confirm: time.Hour}); err != nil {
			t.Fatal(err)
		}
		refuse(a)
		d, err := s.Revert(t.Context(), "alice")
		if err != nil || len(d.DNS.Zones) != 0 || b.follows.Revision != 3 || s.Pending() != nil {
			t.Errorf("%s: %v; b follows %d", name, err, b.follows.Revision)
		}
	}
}

func TestClosedStoreChangesNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, _ := newStore(t)
		if _, err := s.Change(t.Context(), Change{Edit: addZone("a.home.arpa"), Confirm: time.Minute}); err != nil {
			t.Fatal(err)
		}
		s.Close()
		time.Sleep(time.Hour)
		synctest.Wait()
		if _, err := s.Revert(t.Context(), "alice"); !errors.Is(err, ErrClosed) {
			t.Errorf("reverted: %v", err)
		}
		if d := s.Current(); d.Revision != 2 {
			t.Errorf("changed to revision %d", d.Revision)
		}
	})
}
