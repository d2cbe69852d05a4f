package atomicfile_test

import (
	"errors"
	"os"
	"path/filepath"
	"syscall"
	"testing"

	"pic/internal/atomicfile"
	"pic/internal/faultfs"
)

func read(t *testing.T, path string) string {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

func TestWriteReplacesContentAndMode(t *testing.T) {
	old := syscall.Umask(0o077)
	defer syscall.Umask(old)
	path := filepath.Join(t.TempDir(), "f")
	for _, content := range []string{"first", "second, longer", ""} {
		if err := atomicfile.WriteFile(path, []byte(content), 0o644); err != nil {
			t.Fatal(err)
		}
		if got := read(t, path); got != content {
			t.Errorf("read %q, want %q", got, content)
		}
	}
	if st, err := os.Stat(path); err != nil || st.Mode() != 0o644 {
		t.Errorf("mode %v, %v", st.Mode(), err)
	}
	if e, _ := os.ReadDir(filepath.Dir(path)); len(e) != 1 {
		t.Errorf("left behind: %v", e)
	}
}

// Whatever fails, the file holds the old content or the new, and the error
// tells which.
func TestFailureLeavesOldOrNew(t *testing.T) {
	for name, fault := range map[string]func(faultfs.FS, int, error) *faultfs.Faults{
		"fail": faultfs.FailAt, "crash": faultfs.CrashAt,
	} {
		unsynced := 0
		for n := 1; ; n++ {
			path := filepath.Join(t.TempDir(), "f")
			if err := atomicfile.WriteFile(path, []byte("old"), 0o600); err != nil {
				t.Fatal(err)
			}
			fs := fault(faultfs.OS, n, syscall.ENOSPC)
			err := atomicfile.Write(fs, path, []byte("new content"), 0o600)
			if !fs.Failed() {
				if err != nil {
					t.Fatal(err)
				}
				break
			}
			if !errors.Is(err, syscall.ENOSPC) {
				t.Errorf("%s at %d: error %v", name, n, err)
			}
			want := "old"
			if errors.Is(err, atomicfile.ErrUnsynced) {
				want = "new content"
				unsynced++
			}
			if got := read(t, path); got != want {
				t.Errorf("%s at %d: read %q after %v", name, n, got, err)
			}
			if err := atomicfile.Sweep(filepath.Dir(path)); err != nil {
				t.Error(err)
			}
			if e, _ := os.ReadDir(filepath.Dir(path)); len(e) != 1 {
				t.Errorf("%s at %d: left behind %v", name, n, e)
			}
		}
		if unsynced != 1 {
			t.Errorf("%s: ErrUnsynced came %d times, want once", name, unsynced)
		}
	}
}

func TestSweepKeepsOtherFiles(t *testing.T) {
	dir := t.TempDir()
	keep := []string{"config.json", ".hidden", "x.pic-tmp"}
	for _, n := range append(keep, ".config.json.ABCDEF.pic-tmp") {
		if err := os.WriteFile(filepath.Join(dir, n), nil, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if err := atomicfile.Sweep(dir); err != nil {
		t.Fatal(err)
	}
	left, err := os.ReadDir(dir)
	if err != nil || len(left) != len(keep) {
		t.Errorf("left %v, %v; want %v", left, err, keep)
	}
}
