package faultfs_test

import (
	"errors"
	"os"
	"path/filepath"
	"syscall"
	"testing"

	"pic/internal/faultfs"
)

// changes makes one of each kind of change and returns the first error.
func changes(fs faultfs.FS, dir string) (at string, err error) {
	a, b := filepath.Join(dir, "a"), filepath.Join(dir, "b")
	f, err := fs.OpenFile(a, os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return "open", err
	}
	defer f.Close()
	for _, step := range []struct {
		name string
		do   func() error
	}{
		{"write", func() error { _, err := f.Write([]byte("abcd")); return err }},
		{"writeat", func() error { _, err := f.WriteAt([]byte("efgh"), 4); return err }},
		{"chmod", func() error { return f.Chmod(0o640) }},
		{"sync", f.Sync},
		{"truncate", func() error { return f.Truncate(6) }},
		{"rename", func() error { return fs.Rename(a, b) }},
		{"remove", func() error { return fs.Remove(b) }},
		{"syncdir", func() error { return fs.SyncDir(dir) }},
	} {
		if err := step.do(); err != nil {
			return step.name, err
		}
	}
	return "", nil
}

func TestEveryChangeCanFail(t *testing.T) {
	want := []string{"open", "write", "writeat", "chmod", "sync", "truncate", "rename", "remove", "syncdir"}
	for i, name := range want {
		fs := faultfs.FailAt(faultfs.OS, i+1, syscall.EIO)
		at, err := changes(fs, t.TempDir())
		if at != name || !errors.Is(err, syscall.EIO) || !fs.Failed() {
			t.Errorf("change %d failed at %q with %v, want %q", i+1, at, err, name)
		}
	}
	fs := faultfs.FailAt(faultfs.OS, len(want)+1, syscall.EIO)
	if at, err := changes(fs, t.TempDir()); err != nil || fs.Failed() {
		t.Errorf("there is an uncounted change: %s, %v", at, err)
	}
}

func TestFailedWriteLeavesHalfBehind(t *testing.T) {
	path := filepath.Join(t.TempDir(), "f")
	fs := faultfs.FailAt(faultfs.OS, 2, syscall.ENOSPC)
	f, err := fs.OpenFile(path, os.O_CREATE|os.O_WRONLY, 0o600)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if n, err := f.Write([]byte("abcd")); n != 2 || !errors.Is(err, syscall.ENOSPC) {
		t.Errorf("Write = %d, %v", n, err)
	}
	if got, _ := os.ReadFile(path); string(got) != "ab" {
		t.Errorf("the file holds %q", got)
	}
}

func TestOnlyACrashIsForGood(t *testing.T) {
	for name, tt := range map[string]struct {
		fs   *faultfs.Faults
		want error
	}{
		"fail":  {faultfs.FailAt(faultfs.OS, 1, syscall.EIO), nil},
		"crash": {faultfs.CrashAt(faultfs.OS, 1, syscall.EIO), syscall.EIO},
	} {
		dir := t.TempDir()
		if err := tt.fs.SyncDir(dir); !errors.Is(err, syscall.EIO) {
			t.Errorf("%s: first change: %v", name, err)
		}
		if err := tt.fs.SyncDir(dir); !errors.Is(err, tt.want) {
			t.Errorf("%s: second change: %v, want %v", name, err, tt.want)
		}
	}
}
