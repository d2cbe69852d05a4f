// Package faultfs is the seam through which code that must survive a failing
// disk changes files, so that its tests can let the nth change fail.
//
// [OS] is the real file system. [FailAt] and [CrashAt] wrap one: they count
// every change (a file created, written, synced, truncated, its mode set;
// renamed, removed; a folder synced) and let one of them fail. Reading never
// fails and is not counted. A write that fails leaves half of its bytes behind,
// as a full disk does.
//
// A test asks for 1, 2, 3, … until nothing failed any more:
//
//	for n := 1; ; n++ {
//		fs := faultfs.FailAt(faultfs.OS, n, syscall.ENOSPC)
//		err := save(fs, …)
//		if !fs.Failed() {
//			break
//		}
//		… err must be ENOSPC, and the old content must be readable …
//	}
package faultfs

import (
	"io"
	"io/fs"
	"os"
	"sync"
)

// An FS changes files. It is safe for concurrent use.
type FS interface {
	OpenFile(name string, flag int, perm fs.FileMode) (File, error)
	Rename(from, to string) error
	Remove(name string) error
	// SyncDir makes what was created, renamed and removed in a folder durable.
	SyncDir(dir string) error
}

// A File is an open file; *[os.File] is one.
type File interface {
	io.ReadWriteCloser
	io.ReaderAt
	io.WriterAt
	io.Seeker
	Name() string
	Stat() (fs.FileInfo, error)
	Chmod(fs.FileMode) error
	Truncate(size int64) error
	Sync() error
}

// OS is the file system of the host.
var OS FS = host{}

type host struct{}

func (host) OpenFile(name string, flag int, perm fs.FileMode) (File, error) {
	f, err := os.OpenFile(name, flag, perm)
	if err != nil {
		return nil, err // not f: a nil *os.File is a File that is not nil
	}
	return f, nil
}

func (host) Rename(from, to string) error { return os.Rename(from, to) }
func (host) Remove(name string) error     { return os.Remove(name) }

func (host) SyncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	err = d.Sync()
	if cerr := d.Close(); err == nil {
		err = cerr
	}
	return err
}

// Faults is a file system in which one change fails, or all from one on.
type Faults struct {
	fs  FS
	err error

	mu    sync.Mutex
	left  int // changes until the one that fails
	crash bool
	hit   bool
}

// FailAt returns fs with its nth change failing with err. Counting begins at 1.
func FailAt(fs FS, n int, err error) *Faults { return &Faults{fs: fs, err: err, left: n} }

// CrashAt returns fs with the nth change and every later one failing with err,
// as if the process had been killed there.
func CrashAt(fs FS, n int, err error) *Faults {
	return &Faults{fs: fs, err: err, left: n, crash: true}
}

// Failed reports whether there were enough changes for one to fail.
func (f *Faults) Failed() bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.hit
}

// change counts one change and says whether it fails.
func (f *Faults) change() error {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.left--
	if f.left == 0 || f.left < 0 && f.crash {
		f.hit = true
		return f.err
	}
	return nil
}

func (f *Faults) OpenFile(name string, flag int, perm fs.FileMode) (File, error) {
	if flag&(os.O_CREATE|os.O_TRUNC) != 0 {
		if err := f.change(); err != nil {
			return nil, &fs.PathError{Op: "open", Path: name, Err: err}
		}
	}
	file, err := f.fs.OpenFile(name, flag, perm)
	if err != nil {
		return nil, err
	}
	return &faultFile{file, f}, nil
}

func (f *Faults) Rename(from, to string) error {
	if err := f.change(); err != nil {
		return &os.LinkError{Op: "rename", Old: from, New: to, Err: err}
	}
	return f.fs.Rename(from, to)
}

func (f *Faults) Remove(name string) error {
	if err := f.change(); err != nil {
		return &fs.PathError{Op: "remove", Path: name, Err: err}
	}
	return f.fs.Remove(name)
}

func (f *Faults) SyncDir(dir string) error {
	if err := f.change(); err != nil {
		return &fs.PathError{Op: "sync", Path: dir, Err: err}
	}
	return f.fs.SyncDir(dir)
}

type faultFile struct {
	File
	faults *Faults
}

func (f *faultFile) check(op string) error {
	if err := f.faults.change(); err != nil {
		return &fs.PathError{Op: op, Path: f.Name(), Err: err}
	}
	return nil
}

func (f *faultFile) Write(b []byte) (int, error) {
	if err := f.check("write"); err != nil {
		n, _ := f.File.Write(b[:len(b)/2])
		return n, err
	}
	return f.File.Write(b)
}

func (f *faultFile) WriteAt(b []byte, off int64) (int, error) {
	if err := f.check("write"); err != nil {
		n, _ := f.File.WriteAt(b[:len(b)/2], off)
		return n, err
	}
	return f.File.WriteAt(b, off)
}

func (f *faultFile) Chmod(mode fs.FileMode) error {
	if err := f.check("chmod"); err != nil {
		return err
	}
	return f.File.Chmod(mode)
}

func (f *faultFile) Truncate(size int64) error {
	if err := f.check("truncate"); err != nil {
		return err
	}
	return f.File.Truncate(size)
}

func (f *faultFile) Sync() error {
	if err := f.check("sync"); err != nil {
		return err
	}
	return f.File.Sync()
}
