package policy

import (
	"context"
	"errors"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"

	"golang.org/x/sys/unix"
)

// A server of the Internet must not have the cell ask the household's devices, or
// what listens on the cell alone.
func TestRedirectsDoNotLeadIntoTheHouse(t *testing.T) {
	j := new(journey)
	for _, step := range []struct {
		to string
		ok bool
	}{
		{"192.0.2.1", true},
		{"2001:db8::1", true},
		{"127.0.0.1", true}, // its name may have several
		{"redirected", true},
		{"198.51.100.1", true},
		{"127.0.0.1", false},
		{"192.168.1.1", false},
		{"10.0.0.1", false},
		{"::1", false},
		{"fe80::1", false},
		{"fd00::1", false},
		{"::ffff:192.168.1.1", false},
		{"169.254.169.254", false},
		{"100.64.0.1", false},
		{"0.0.0.0", false},
		{"224.0.0.1", false},
		{"2001:db8::2", true},
	} {
		if step.to == "redirected" {
			j.redirected.Store(true)
			continue
		}
		if err := j.may(netip.MustParseAddr(step.to)); (err == nil) != step.ok {
			t.Errorf("to %s: %v", step.to, err)
		}
	}
}

// Each redirect is held against where the list is said to be: what begins in the
// house may stay there.
func TestRedirectsAreSeenWhereTheyConnect(t *testing.T) {
	var inside atomic.Int64
	house := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { inside.Add(1); _, _ = w.Write([]byte("||ads.test^\n")) }))
	t.Cleanup(house.Close)
	way := httptest.NewServer(http.RedirectHandler(house.URL, http.StatusFound))
	t.Cleanup(way.Close)
	f := newFetcher(nil)
	got, err := f.fetch(t.Context(), way.URL, origin{})
	if err != nil || inside.Load() != 1 {
		t.Fatalf("within the house: %v", err)
	}
	got.body.Close()
	f.client.CloseIdleConnections()

	outside := new(journey)
	outside.outside.Store(true)
	outside.redirected.Store(true)
	req, err := http.NewRequestWithContext(context.WithValue(t.Context(), journeyKey{}, outside), http.MethodGet, house.URL, nil)
	if err != nil {
		t.Fatal(err)
	}
	if resp, err := f.client.Do(req); err == nil {
		resp.Body.Close()
		t.Error("from outside: nothing held it")
	} else if !strings.Contains(err.Error(), "not on the Internet") || inside.Load() != 1 {
		t.Errorf("from outside: %v", err)
	}
}

// What is no file is told so, and nobody waits for it.
func TestAListThatIsAPipeIsRefused(t *testing.T) {
	path := filepath.Join(t.TempDir(), "list")
	if err := unix.Mkfifo(path, 0o600); err != nil {
		t.Fatal(err)
	}
	for _, p := range []string{path, "/dev/null", t.TempDir()} {
		if _, err := fetchFile(p, origin{}); err == nil || !strings.Contains(err.Error(), "is not a file") {
			t.Errorf("%s: %v", p, err)
		}
	}
	if _, err := fetchFile(filepath.Join(t.TempDir(), "none"), origin{}); err == nil || errors.Is(err, context.Canceled) {
		t.Errorf("of nothing: %v", err)
	}
}
