package ca

import (
	"context"
	"crypto/x509"
	"errors"
	"net/netip"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"pic/core/service"
)

func TestRestartReusesEverything(t *testing.T) {
	dir := t.TempDir()
	c := oak("git.oak.home.arpa")
	s := newServer(t, dir)
	apply(t, s, c)
	root, own, git := s.RootPEM(), leafFor(t, s, "oak.home.arpa"), leafFor(t, s, "git.oak.home.arpa")
	if err := s.stop(); err != nil {
		t.Fatal(err)
	}
	again := newServer(t, dir)
	begin := time.Now()
	apply(t, again, c)
	t.Logf("restart took %s", time.Since(begin))
	if string(root) != string(again.RootPEM()) {
		t.Error("the root is another one")
	}
	if !own.Equal(leafFor(t, again, "oak.home.arpa")) || !git.Equal(leafFor(t, again, "git.oak.home.arpa")) {
		t.Error("a leaf is another one")
	}
	if n := len(again.Certificates()); n != 2 {
		t.Errorf("%d certificates are recorded, want 2", n)
	}
}

// After Run has returned, the supervisor applies and runs the same server again.
func TestServerRunsAgain(t *testing.T) {
	s := newServer(t, t.TempDir())
	for range 3 {
		apply(t, s, oak())
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error)
		go func() { done <- s.Run(ctx) }()
		cancel()
		if err := <-done; err != nil {
			t.Fatal(err)
		}
		leafFor(t, s, "oak.home.arpa") // services that end later still ask
	}
	if n := len(s.Certificates()); n != 1 {
		t.Errorf("%d certificates were issued, want 1", n)
	}
}

func TestChangesTouchOnlyWhatChanged(t *testing.T) {
	dir := t.TempDir()
	s := newServer(t, dir)
	apply(t, s, oak("a.oak.home.arpa", "b.oak.home.arpa"))
	own, b := leafFor(t, s, "oak.home.arpa"), leafFor(t, s, "b.oak.home.arpa")

	apply(t, s, oak("b.oak.home.arpa", "c.oak.home.arpa"))
	if !b.Equal(leafFor(t, s, "b.oak.home.arpa")) || !own.Equal(leafFor(t, s, "oak.home.arpa")) {
		t.Error("a certificate that stays was replaced")
	}
	if c := leafFor(t, s, "c.oak.home.arpa"); !slices.Equal(c.DNSNames, []string{"c.oak.home.arpa"}) {
		t.Errorf("the new one is for %q", c.DNSNames)
	}
	if c := leafFor(t, s, "a.oak.home.arpa"); !c.Equal(own) {
		t.Error("the removed name still has its certificate")
	}
	if left, _ := filepath.Glob(filepath.Join(dir, "oak.home.arpa/certificates/*/a.oak.home.arpa")); len(left) > 0 {
		t.Errorf("left over: %q", left)
	}

	c := oak("b.oak.home.arpa")
	c.Addresses[2] = netip.MustParseAddr("192.168.44.1")
	apply(t, s, c)
	now := leafFor(t, s, "")
	if now.Equal(own) || now.VerifyHostname("192.168.44.1") != nil || now.VerifyHostname("192.168.1.1") == nil {
		t.Errorf("after the address changed the certificate carries %v", now.IPAddresses)
	}
	if !b.Equal(leafFor(t, s, "b.oak.home.arpa")) {
		t.Error("a host's certificate was replaced because an address changed")
	}

	c.Life = 48 * time.Hour
	apply(t, s, c)
	for _, n := range []string{"oak.home.arpa", "b.oak.home.arpa"} {
		if l := leafFor(t, s, n); l.NotAfter.Sub(l.NotBefore) != 49*time.Hour {
			t.Errorf("%s lives %s", n, l.NotAfter.Sub(l.NotBefore))
		}
	}
}

// What goes unread for years is whether renewal works at all.
func TestLeavesAreRenewedAtAThird(t *testing.T) {
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		s := newServer(t, dir)
		s.dawn, s.look = time.Time{}, time.Hour
		apply(t, s, oak("git.oak.home.arpa"))
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error)
		go func() { done <- s.Run(ctx) }()

		own, git := leafFor(t, s, "oak.home.arpa"), leafFor(t, s, "git.oak.home.arpa")
		time.Sleep(59 * 24 * time.Hour)
		synctest.Wait()
		if !own.Equal(leafFor(t, s, "oak.home.arpa")) {
			t.Error("renewed early")
		}
		time.Sleep(2 * 24 * time.Hour)
		synctest.Wait()
		for name, old := range map[string]*x509.Certificate{"oak.home.arpa": own, "git.oak.home.arpa": git} {
			leaf := leafFor(t, s, name)
			if leaf.Equal(old) {
				t.Errorf("%s was not renewed", name)
			}
			if err := s.live.Load().auth.verify(leaf, time.Now()); err != nil {
				t.Errorf("%s: %v", name, err)
			}
			if left := time.Until(leaf.NotAfter); left < 88*24*time.Hour {
				t.Errorf("%s is good for %s", name, left)
			}
			if !slices.Equal(leaf.DNSNames, old.DNSNames) || len(leaf.IPAddresses) != len(old.IPAddresses) {
				t.Errorf("%s was renewed for %q %v", name, leaf.DNSNames, leaf.IPAddresses)
			}
		}
		if p := s.Problems(); len(p) > 0 {
			t.Errorf("problems: %+v", p)
		}
		// A year on, with nobody looking, all is still well.
		time.Sleep(365 * 24 * time.Hour)
		synctest.Wait()
		if err := s.live.Load().auth.verify(leafFor(t, s, "git.oak.home.arpa"), time.Now()); err != nil {
			t.Error(err)
		}
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
}

func TestShortLivesAreRenewedInTime(t *testing.T) {
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		s := newServer(t, dir)
		s.dawn = time.Time{}
		c := oak()
		c.Life = time.Hour
		apply(t, s, c)
		for range 12 {
			time.Sleep(15 * time.Minute)
			synctest.Wait()
			if err := s.live.Load().auth.verify(leafFor(t, s, ""), time.Now()); err != nil {
				t.Fatal(err)
			}
		}
		if n := len(s.Certificates()); n < 2 || n > 12 {
			t.Errorf("%d certificates in three hours", n)
		}
		if err := s.stop(); err != nil {
			t.Error(err)
		}
	})
}

// Old boards lose the disk before they lose power. Renewal that fails must be
// told, and must go on being tried.
func TestFailingRenewalIsAProblem(t *testing.T) {
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		s := newServer(t, dir)
		s.log = quiet
		s.dawn, s.look = time.Time{}, time.Hour
		disk := &brokenDisk{FS: s.fs}
		s.fs = disk
		apply(t, s, oak())
		own := leafFor(t, s, "")
		disk.broken.Store(true)
		time.Sleep(80 * 24 * time.Hour)
		synctest.Wait()
		if !own.Equal(leafFor(t, s, "")) {
			t.Error("renewed without a disk")
		}
		if !slices.ContainsFunc(s.Problems(), func(p service.Problem) bool { return p.Code == "ca/renewal" }) {
			t.Errorf("problems: %+v", s.Problems())
		}
		disk.broken.Store(false)
		time.Sleep(24 * time.Hour)
		synctest.Wait()
		if own.Equal(leafFor(t, s, "")) {
			t.Error("not renewed though the disk is back")
		}
		if p := s.Problems(); len(p) > 0 {
			t.Errorf("problems: %+v", p)
		}
		if err := s.stop(); err != nil {
			t.Error(err)
		}
	})
}

func TestIntermediateIsRenewedUnderTheSameRoot(t *testing.T) {
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		s := newServer(t, dir)
		s.dawn, s.look = time.Time{}, 24*time.Hour
		apply(t, s, oak())
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error)
		go func() { done <- s.Run(ctx) }()
		root, inter := s.RootPEM(), s.live.Load().auth.inter
		time.Sleep(interLife*2/3 + 48*time.Hour)
		synctest.Wait()
		a := s.live.Load().auth
		if a.inter.Equal(inter) {
			t.Error("the intermediate was not renewed")
		}
		if string(root) != string(s.RootPEM()) {
			t.Error("the root changed")
		}
		if err := a.verify(leafFor(t, s, "files.oak.home.arpa"), time.Now()); err != nil {
			t.Error(err)
		}
		if d, _ := filepath.Glob(filepath.Join(dir, "oak.home.arpa/certificates/*")); len(d) != 1 {
			t.Errorf("certificates of %q are left", d)
		}
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
}

func TestAnotherDomainHasAnotherRoot(t *testing.T) {
	dir := t.TempDir()
	s := newServer(t, dir)
	apply(t, s, oak())
	oakRoot := s.RootPEM()
	elm := oak()
	elm.Domain = "elm.home.arpa"
	for i, n := range elm.Names {
		elm.Names[i] = strings.Replace(n, "oak", "elm", 1)
	}
	apply(t, s, elm)
	if string(s.RootPEM()) == string(oakRoot) {
		t.Error("the root is the same")
	}
	if err := leafFor(t, s, "files.elm.home.arpa").VerifyHostname("files.elm.home.arpa"); err != nil {
		t.Error(err)
	}
	if _, _, err := s.Issue(t.Context(), []string{"nas.oak.home.arpa"}); err == nil {
		t.Error("issued for the old domain")
	}
	p := s.Problems()
	if len(p) != 1 || p[0].Code != "ca/new-root" || !strings.Contains(p[0].Fix, "http://ca.elm.home.arpa/") {
		t.Errorf("problems: %+v", p)
	}
	apply(t, s, oak())
	if string(s.RootPEM()) != string(oakRoot) {
		t.Error("the way back needs a new root")
	}
	apply(t, s, Config{})
	if _, err := s.GetCertificate(nil); !errors.Is(err, ErrNotReady) || s.RootPEM() != nil || s.Certificates() != nil {
		t.Errorf("without a domain: %v", err)
	}
}

// A board without a battery starts in 1970 until NTP has spoken.
func TestWrongClockIsToldAndSurvived(t *testing.T) {
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) { // the bubble's clock shows 2000
		s := newServer(t, dir)
		apply(t, s, oak())
		p := s.Problems()
		if len(p) == 0 || p[0].Code != "ca/clock" {
			t.Errorf("problems: %+v", p)
		}
		if err := s.stop(); err != nil {
			t.Error(err)
		}
	})
	s := newServer(t, dir) // the clock is right now
	apply(t, s, oak())
	if p := s.Problems(); len(p) > 0 {
		t.Errorf("problems: %+v", p)
	}
	if err := s.live.Load().auth.verify(leafFor(t, s, ""), time.Now()); err != nil {
		t.Error(err)
	}
}
