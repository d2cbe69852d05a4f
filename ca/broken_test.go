package ca

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

func TestBrokenFilesAreReplaced(t *testing.T) {
	site := "oak.home.arpa/certificates/*/git.oak.home.arpa/git.oak.home.arpa"
	for name, tt := range map[string]struct {
		file  string
		spoil func(string) error
	}{
		"no key":              {site + ".key", os.Remove},
		"empty key":           {site + ".key", empty},
		"no chain":            {site + ".crt", os.Remove},
		"empty chain":         {site + ".crt", empty},
		"no description":      {site + ".json", os.Remove},
		"empty description":   {site + ".json", empty},
		"no intermediate":     {"oak.home.arpa/intermediate.pem", os.Remove},
		"no intermediate key": {"oak.home.arpa/intermediate.key", os.Remove},
		"empty intermediate":  {"oak.home.arpa/intermediate.pem", empty},
		"no record":           {"oak.home.arpa/issued.log", os.Remove},
		"key of another": {site + ".key", func(p string) error {
			other := strings.ReplaceAll(p, "git.oak", "oak")
			b, err := os.ReadFile(other)
			return errors.Join(err, os.WriteFile(p, b, 0o600))
		}},
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			s := newServer(t, dir)
			apply(t, s, oak("git.oak.home.arpa"))
			root := s.RootPEM()
			if err := s.stop(); err != nil {
				t.Fatal(err)
			}
			found, err := filepath.Glob(filepath.Join(dir, tt.file))
			if err != nil || len(found) != 1 {
				t.Fatalf("%q %v", found, err)
			}
			if err := tt.spoil(found[0]); err != nil {
				t.Fatal(err)
			}
			again := newServer(t, dir)
			again.log = quiet
			apply(t, again, oak("git.oak.home.arpa"))
			if string(root) != string(again.RootPEM()) {
				t.Error("the root changed")
			}
			checkStored(t, again)
			if err := again.live.Load().auth.verify(leafFor(t, again, "git.oak.home.arpa"), time.Now()); err != nil {
				t.Error(err)
			}
		})
	}
}

func empty(p string) error { return os.Truncate(p, 0) }

// Devices trust the root, so a broken one is for a person to mend.
func TestBrokenRootIsNeverReplaced(t *testing.T) {
	dir := t.TempDir()
	s := newServer(t, dir)
	apply(t, s, oak())
	if err := s.stop(); err != nil {
		t.Fatal(err)
	}
	root := filepath.Join(dir, "oak.home.arpa/root.pem")
	if err := empty(root); err != nil {
		t.Fatal(err)
	}
	err := newServer(t, dir).Apply(t.Context(), oak())
	if err == nil || !strings.Contains(err.Error(), "backup") {
		t.Errorf("error %v", err)
	}
	if fi, err := os.Stat(root); err != nil || fi.Size() != 0 {
		t.Error("the root was replaced")
	}
}

// Another vault cannot open the keys, but the root's is not needed for years.
func TestLostVaultKeyIsAnError(t *testing.T) {
	dir := t.TempDir()
	s := newServer(t, dir)
	apply(t, s, oak())
	if err := s.stop(); err != nil {
		t.Fatal(err)
	}
	other := newServer(t, dir)
	other.seal = newSeal('x')
	if err := other.Apply(t.Context(), oak()); err == nil || !strings.Contains(err.Error(), "root.key") {
		t.Errorf("error %v", err)
	}
}

func TestDamagedRecordIsMovedAway(t *testing.T) {
	dir := t.TempDir()
	s := newServer(t, dir)
	apply(t, s, oak("a.oak.home.arpa", "b.oak.home.arpa"))
	if err := s.stop(); err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(dir, "oak.home.arpa", recordName)
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	b[len(b)/3] ^= 0xff
	if err := os.WriteFile(path, b, 0o600); err != nil {
		t.Fatal(err)
	}
	again := newServer(t, dir)
	apply(t, again, oak("a.oak.home.arpa", "b.oak.home.arpa"))
	if p := again.Problems(); len(p) != 1 || p[0].Code != "ca/record" {
		t.Errorf("problems: %+v", p)
	}
	apply(t, again, oak("c.oak.home.arpa"))
	if n := len(again.Certificates()); n != 1 {
		t.Errorf("%d in the new record, want 1", n)
	}
}

func TestOldCertificatesLeaveTheRecord(t *testing.T) {
	path := filepath.Join(t.TempDir(), recordName)
	s := newServer(t, t.TempDir())
	apply(t, s, oak())
	auth := s.live.Load().auth
	r, err := openRecord(s.fs, path, time.Now())
	if err != nil {
		t.Fatal(err)
	}
	for i := range 150 {
		leaf, err := auth.sign(&auth.key.PublicKey, subjects{names: []string{fmt.Sprintf("n%d.oak.home.arpa", i)}}, time.Hour, time.Now())
		if err != nil {
			t.Fatal(err)
		}
		if err := r.add(t.Context(), leaf, time.Now()); err != nil {
			t.Fatal(err)
		}
	}
	size := r.log.Size()
	if err := r.close(); err != nil {
		t.Fatal(err)
	}
	r, err = openRecord(s.fs, path, time.Now().Add(forget+2*time.Hour))
	if err != nil {
		t.Fatal(err)
	}
	if len(r.list()) != 0 || r.log.Size() > size/10 {
		t.Errorf("%d listed, %d of %d bytes left", len(r.list()), r.log.Size(), size)
	}
	if err := r.close(); err != nil {
		t.Fatal(err)
	}
}
