package state

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"testing/synctest"

	"go.etcd.io/bbolt"
)

const childEnv = "PIC_STATE_TEST_CHILD"

func TestMain(m *testing.M) {
	switch kind, path, _ := strings.Cut(os.Getenv(childEnv), ":"); kind {
	case "":
		os.Exit(m.Run())
	case "write":
		os.Exit(writeForever(path))
	case "full":
		os.Exit(fillDisk(path))
	}
}

func child(t *testing.T, kind, path string) *exec.Cmd {
	t.Helper()
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), childEnv+"="+kind+":"+path)
	cmd.Stderr = os.Stderr
	return cmd
}

// writeForever writes pairs of keys and prints what was acknowledged.
func writeForever(path string) int {
	db, err := Open(path)
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	run := fmt.Sprint(os.Getpid())
	var wg sync.WaitGroup
	for g := range 8 {
		wg.Go(func() {
			for n := 0; ; n++ {
				id := fmt.Sprintf("%s-%d-%d", run, g, n)
				err := db.Space("s").Update(context.Background(), func(w Writer) error {
					if err := w.Put([]byte("a"+id), make([]byte, n%5000)); err != nil {
						return err
					}
					return w.Put([]byte("z"+id), nil)
				})
				if err != nil {
					fmt.Fprintln(os.Stderr, err)
					os.Exit(1)
				}
				fmt.Println(id)
			}
		})
	}
	wg.Wait()
	return 0
}

func TestKillLosesNothingAcknowledged(t *testing.T) {
	path := filepath.Join(t.TempDir(), "state.db")
	acked := map[string]bool{}
	for round := range 8 {
		cmd := child(t, "write", path)
		out, err := cmd.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		before := len(acked)
		until := before + 1 + rand.IntN(200)
		for lines := bufio.NewScanner(out); lines.Scan(); {
			acked[lines.Text()] = true
			if len(acked) == until {
				cmd.Process.Kill() // what it printed before is still read
			}
		}
		cmd.Wait()
		if len(acked) == before {
			t.Fatalf("round %d: the child wrote nothing", round)
		}
		db, err := Open(path)
		if err != nil {
			t.Fatalf("round %d: %v", round, err)
		}
		found := map[string]int{}
		err = db.Space("s").View(func(r Reader) error {
			for k := range r.Scan(nil, nil) {
				found[string(k[1:])]++
			}
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
		for id, n := range found {
			if n != 2 {
				t.Errorf("round %d: half of update %s", round, id)
			}
		}
		for id := range acked {
			if found[id] == 0 {
				t.Errorf("round %d: lost %s", round, id)
			}
		}
		db.Close()
	}
	t.Logf("%d updates acknowledged", len(acked))
}

// Who waits while the disk syncs shares the next sync.
func TestWaitingUpdatesShareOneCommit(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		db, err := Open(filepath.Join(t.TempDir(), "state.db"))
		if err != nil {
			t.Fatal(err)
		}
		defer db.Close()
		commits, release := 0, make(chan struct{})
		db.commit = func(tx *bbolt.Tx) error {
			commits++
			<-release
			return tx.Commit()
		}
		var wg sync.WaitGroup
		update := func(i int) {
			wg.Go(func() {
				err := db.Space("s").Update(t.Context(), func(w Writer) error { return w.Put(fmt.Append(nil, i), nil) })
				if err != nil {
					t.Error(err)
				}
			})
		}
		update(0)
		synctest.Wait()
		for i := range 100 {
			update(1 + i)
		}
		synctest.Wait()
		close(release)
		wg.Wait()
		if commits != 2 {
			t.Errorf("101 updates took %d commits, want 2", commits)
		}
	})
}

func TestFailedSyncIsFinal(t *testing.T) {
	path := filepath.Join(t.TempDir(), "state.db")
	db, err := Open(path)
	if err != nil {
		t.Fatal(err)
	}
	s := db.Space("s")
	write := func(key string) error {
		return s.Update(t.Context(), func(w Writer) error { return w.Put([]byte(key), []byte("v")) })
	}
	if err := write("before"); err != nil {
		t.Fatal(err)
	}
	calls := 0
	db.commit = func(tx *bbolt.Tx) error {
		calls++
		tx.Rollback()
		return syscall.EIO // fdatasync gives a bare errno
	}
	if err := write("lost"); !errors.Is(err, ErrFailed) || !errors.Is(err, syscall.EIO) {
		t.Errorf("failed sync: %v", err)
	}
	db.commit = (*bbolt.Tx).Commit // the disk says that all is well again
	if err := write("after"); !errors.Is(err, ErrFailed) || calls != 1 {
		t.Errorf("after a failed sync: %v", err)
	}
	if err := db.Err(); !errors.Is(err, ErrFailed) {
		t.Errorf("Err: %v", err)
	}
	err = s.View(func(r Reader) error {
		if r.Get([]byte("before")) == nil || r.Get([]byte("lost")) != nil {
			t.Error("reading after a failed sync is wrong")
		}
		return nil
	})
	if err != nil {
		t.Errorf("reading after a failed sync: %v", err)
	}
	if err := db.Close(); !errors.Is(err, ErrFailed) {
		t.Errorf("Close: %v", err)
	}
}

func TestPanicOfTheEngineIsFinal(t *testing.T) {
	db, err := Open(filepath.Join(t.TempDir(), "state.db"))
	if err != nil {
		t.Fatal(err)
	}
	db.commit = func(*bbolt.Tx) error { panic("page 7 is freed twice") }
	err = db.Space("s").Update(t.Context(), func(w Writer) error { return w.Put([]byte("k"), nil) })
	if !errors.Is(err, ErrFailed) {
		t.Errorf("Update: %v", err)
	}
	if err := db.Close(); !errors.Is(err, ErrFailed) {
		t.Errorf("Close: %v", err) // and does not hang
	}
}

// A disk that is full is not final: once there is room, saving goes on, and
// nothing acknowledged was harmed.
func TestFullDiskIsNotFinal(t *testing.T) {
	dir := t.TempDir()
	cmd := child(t, "full", dir)
	cmd.SysProcAttr = &syscall.SysProcAttr{
		Cloneflags:  syscall.CLONE_NEWUSER | syscall.CLONE_NEWNS,
		UidMappings: []syscall.SysProcIDMap{{HostID: os.Getuid(), Size: 1}},
		GidMappings: []syscall.SysProcIDMap{{HostID: os.Getgid(), Size: 1}},
	}
	out, err := cmd.Output()
	if errors.Is(err, syscall.EPERM) && os.Getenv("PIC_NO_SKIP") == "" {
		t.Skip("no user namespaces here")
	}
	if err != nil || !strings.HasSuffix(string(out), "ok\n") {
		t.Errorf("%v\n%s", err, out)
	}
}

func fillDisk(dir string) int {
	fail := func(args ...any) int { fmt.Println(args...); return 1 }
	if err := syscall.Mount("none", dir, "tmpfs", 0, "size=4m"); err != nil {
		return fail("mount:", err)
	}
	path, ballast := filepath.Join(dir, "state.db"), filepath.Join(dir, "ballast")
	if err := os.WriteFile(ballast, make([]byte, 1<<20), 0o600); err != nil {
		return fail(err)
	}
	db, err := Open(path)
	if err != nil {
		return fail(err)
	}
	acked := map[string]int{}
	write := func(n int) error {
		key, size := fmt.Sprint("k", n), 1000+n%3000
		err := db.Space("s").Update(context.Background(), func(w Writer) error {
			return w.Put([]byte(key), make([]byte, size))
		})
		if err == nil {
			acked[key] = size
		}
		return err
	}
	n, refused := 0, 0
	for ; n < 10000 && refused < 20; n++ {
		if err := write(n); err != nil {
			if refused++; !errors.Is(err, syscall.ENOSPC) || errors.Is(err, ErrFailed) {
				return fail("full disk:", err)
			}
		}
	}
	if refused != 20 || db.Err() != nil {
		return fail("refused", refused, db.Err())
	}
	if err := os.Remove(ballast); err != nil {
		return fail(err)
	}
	for range 50 {
		if err := write(n); err != nil {
			return fail("after making room:", err)
		}
		n++
	}
	if err := db.Close(); err != nil {
		return fail(err)
	}
	if db, err = Open(path); err != nil {
		return fail("open again:", err)
	}
	err = db.Space("s").View(func(r Reader) error {
		found := 0
		for k, v := range r.Scan(nil, nil) {
			found++
			if acked[string(k)] != len(v) {
				return fmt.Errorf("%s holds %d bytes, acknowledged %d", k, len(v), acked[string(k)])
			}
		}
		if found != len(acked) {
			return fmt.Errorf("%d keys of %d", found, len(acked))
		}
		return nil
	})
	if err != nil {
		return fail(err)
	}
	fmt.Println("ok")
	return 0
}
