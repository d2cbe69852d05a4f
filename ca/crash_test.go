package ca

import (
	"context"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"pic/core/service"
	"pic/core/state/journal"
	"pic/internal/faultfs"
	"pic/internal/nettest"
)

var quiet = slog.New(slog.DiscardHandler)

var (
	_ service.Server[Config] = (*Server)(nil)
	_ service.Reporter       = (*Server)(nil)
)

// A brokenDisk refuses to create files while it is broken.
type brokenDisk struct {
	faultfs.FS
	broken atomic.Bool
}

func (d *brokenDisk) OpenFile(name string, flag int, perm fs.FileMode) (faultfs.File, error) {
	if d.broken.Load() && flag&os.O_CREATE != 0 {
		return nil, &fs.PathError{Op: "open", Path: name, Err: syscall.EROFS}
	}
	return d.FS.OpenFile(name, flag, perm)
}

// checkStored proves every chain on disk as a client would.
func checkStored(t testing.TB, s *Server) {
	t.Helper()
	l := s.live.Load()
	chains, err := filepath.Glob(filepath.Join(l.auth.dir, "certificates", "*", "*", "*.crt"))
	if err != nil || len(chains) == 0 {
		t.Fatalf("chains %q: %v", chains, err)
	}
	for _, p := range chains {
		b, err := os.ReadFile(p)
		if err != nil {
			t.Fatal(err)
		}
		block, _ := pem.Decode(b)
		if block == nil {
			t.Fatalf("%s holds no certificate", p)
		}
		leaf, err := x509.ParseCertificate(block.Bytes)
		if err == nil {
			err = l.auth.verify(leaf, time.Now())
		}
		if err != nil {
			t.Errorf("%s: %v", p, err)
		}
	}
}

// Whatever write a crash cuts short, the next start serves, under the root that
// a device may have seen.
func TestCrashAtAnyWrite(t *testing.T) {
	n := 1
	for ; ; n += 1 + n/12 {
		dir := t.TempDir()
		dying := New(quiet, newSeal('k'), dir)
		faults := faultfs.CrashAt(faultfs.OS, n, syscall.EIO)
		dying.fs = faults
		err := dying.Apply(t.Context(), oak("git.oak.home.arpa"))
		if err == nil {
			dying.stop()
		}
		seen, _ := os.ReadFile(filepath.Join(dir, "oak.home.arpa/root.pem"))
		s := newServer(t, dir)
		s.log = quiet
		apply(t, s, oak("git.oak.home.arpa"))
		if len(seen) > 0 && string(seen) != string(s.RootPEM()) {
			t.Fatalf("write %d: the root was replaced", n)
		}
		checkStored(t, s)
		if !faults.Failed() {
			break
		}
	}
	if n < 20 {
		t.Errorf("only %d writes were cut short", n)
	}
}

// A change that the disk refuses leaves what is served as it was.
func TestRefusedChangeKeepsServing(t *testing.T) {
	n := 1
	for ; ; n += 1 + n/12 {
		s := newServer(t, t.TempDir())
		s.log = quiet
		disk := &switchable{FS: faultfs.OS}
		s.fs = disk
		apply(t, s, oak("a.oak.home.arpa"))
		own, a := leafFor(t, s, "oak.home.arpa"), leafFor(t, s, "a.oak.home.arpa")

		faults := faultfs.FailAt(faultfs.OS, n, syscall.ENOSPC)
		disk.FS = faults
		next := oak("a.oak.home.arpa", "b.oak.home.arpa")
		next.Addresses = next.Addresses[:2]
		err := s.Apply(t.Context(), next)
		if err != nil {
			if !own.Equal(leafFor(t, s, "oak.home.arpa")) || !a.Equal(leafFor(t, s, "a.oak.home.arpa")) {
				t.Errorf("write %d failed with %v and what is served changed", n, err)
			}
		}
		disk.FS = faultfs.OS
		apply(t, s, next)
		if got := leafFor(t, s, ""); len(got.IPAddresses) != 2 {
			t.Errorf("after write %d failed and a second try the certificate carries %v", n, got.IPAddresses)
		}
		apply(t, s, oak("a.oak.home.arpa")) // and back
		if got := leafFor(t, s, ""); len(got.IPAddresses) != 4 {
			t.Errorf("after undo of write %d the certificate carries %v", n, got.IPAddresses)
		}
		checkStored(t, s)
		if !faults.Failed() {
			break
		}
	}
	if n < 20 {
		t.Errorf("only %d writes failed", n)
	}
}

// A disk that failed once must not keep the household from new names.
func TestRecordThatFailedIsOpenedAnew(t *testing.T) {
	s := newServer(t, t.TempDir())
	s.log = quiet
	apply(t, s, oak())
	before := len(s.Certificates())
	r := s.live.Load().record
	path := filepath.Join(s.dir, "oak.home.arpa", recordName)
	for n := 1; r.log.Err() == nil; n++ {
		if err := r.close(); err != nil {
			t.Fatal(err)
		}
		log, err := journal.Open(path, func([]byte) error { return nil }, journal.WithFS(faultfs.FailAt(faultfs.OS, n, syscall.EIO)))
		if err == nil {
			r.log = log
			log.Append(t.Context(), leafFor(t, s, "").Raw)
		}
	}
	if _, _, err := s.Issue(t.Context(), []string{"nas.oak.home.arpa"}); !errors.Is(err, syscall.EIO) {
		t.Fatalf("issued without a record: %v", err)
	}
	apply(t, s, oak("a.oak.home.arpa"))
	if got := leafFor(t, s, "a.oak.home.arpa"); got.VerifyHostname("a.oak.home.arpa") != nil {
		t.Errorf("served is %v", got.DNSNames)
	}
	if n := len(s.Certificates()); n <= before {
		t.Errorf("%d certificates are known, and %d were before", n, before)
	}
}

// A switchable is a file system that a test replaces between calls.
type switchable struct{ faultfs.FS }

const childDir = "PIC_CA_TEST_CHILD"

func TestMain(m *testing.M) {
	if dir := os.Getenv(childDir); dir != "" {
		child(dir)
	}
	os.Exit(m.Run())
}

// child issues as fast as it can until it is killed.
func child(dir string) {
	s := New(quiet, newSeal('k'), dir)
	for i := 0; ; i++ {
		c := oak(fmt.Sprintf("a%d.oak.home.arpa", i%3), fmt.Sprintf("b%d.oak.home.arpa", i%5))
		c.Life = time.Duration(24+i%2) * time.Hour // every leaf is issued anew
		if err := s.Apply(context.Background(), c); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		if _, _, err := s.Issue(context.Background(), []string{"nas.oak.home.arpa"}); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		if i == 0 {
			fmt.Println("issuing")
		}
	}
}

func TestKillDuringIssue(t *testing.T) {
	openssl := nettest.Tool(t, "openssl")
	dir := t.TempDir()
	var root string
	for round := range 15 {
		cmd := exec.Command("/proc/self/exe")
		cmd.Env = append(os.Environ(), childDir+"="+dir)
		cmd.Stderr = os.Stderr
		out, err := cmd.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		if round > 0 || root != "" {
			if _, err := out.Read(make([]byte, 1)); err != nil {
				t.Fatalf("the child did not issue: %v", err)
			}
		}
		time.Sleep(time.Duration(rand.IntN(40)) * time.Millisecond) // any moment will do
		if err := cmd.Process.Kill(); err != nil {
			t.Fatal(err)
		}
		cmd.Wait()

		s := newServer(t, dir)
		s.log = quiet
		apply(t, s, oak("a0.oak.home.arpa"))
		if root == "" {
			root = string(s.RootPEM())
		}
		if root != string(s.RootPEM()) {
			t.Fatal("the root changed")
		}
		checkStored(t, s)
		chains, _ := filepath.Glob(filepath.Join(dir, "oak.home.arpa/certificates/*/*/*.crt"))
		args := append([]string{
			"verify", "-CAfile", filepath.Join(dir, "oak.home.arpa/root.pem"),
			"-untrusted", filepath.Join(dir, "oak.home.arpa/intermediate.pem"),
		}, chains...)
		if out, err := exec.Command(openssl, args...).CombinedOutput(); err != nil {
			t.Errorf("openssl: %v\n%s", err, out)
		}
		serials := map[string]bool{}
		for _, c := range s.live.Load().record.list() {
			if serials[c.SerialNumber.String()] {
				t.Errorf("serial %x was used twice", c.SerialNumber)
			}
			serials[c.SerialNumber.String()] = true
		}
		if !serials[leafFor(t, s, "").SerialNumber.String()] {
			t.Error("the certificate that is served is not in the record")
		}
		if err := s.stop(); err != nil {
			t.Fatal(err)
		}
	}
}
