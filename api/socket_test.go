package api

import (
	"context"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"pic/api/client"
	"pic/api/wire"
	"pic/core/config"
)

func serveSocket(t *testing.T, h *household) string {
	t.Helper()
	path := filepath.Join(h.dir, "run", "api.sock")
	l, err := ListenSocket(path)
	must(t, err)
	s := NewServer(h.api.Handler())
	done := make(chan struct{})
	go func() { defer close(done); s.Serve(l) }()
	t.Cleanup(func() { s.Close(); <-done })
	return path
}

func TestTheSocketMakesItsCallerAdministrator(t *testing.T) {
	h := newHousehold(t)
	path := serveSocket(t, h)
	cell := client.Socket(path)
	out, err := cell.Set(t.Context(), wire.Put{Path: "dns.port", Value: []byte("5353")}, client.Edit{})
	must(t, err)
	if out.Revision != 2 {
		t.Errorf("outcome %+v", out)
	}
	revs, err := cell.History(t.Context(), 1)
	must(t, err)
	want := "local"
	if os.Geteuid() == 0 {
		want = "root"
	}
	if revs[0].Actor != want {
		t.Errorf("actor %q", revs[0].Actor)
	}
	info, err := os.Stat(path)
	must(t, err)
	if info.Mode().Perm() != 0o600 {
		t.Errorf("others may connect: %v", info.Mode())
	}
	// The name in the Host header is made up there.
	if _, err := cell.Status(t.Context()); err != nil {
		t.Error(err)
	}
}

func TestWhoIsAtTheOtherEndDecides(t *testing.T) {
	h := newHousehold(t)
	s := NewServer(h.api.Handler())
	s.ConnContext = func(ctx context.Context, _ net.Conn) context.Context {
		return context.WithValue(ctx, peerKey{}, peer{uid: 54321})
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	must(t, err)
	done := make(chan struct{})
	go func() { defer close(done); s.Serve(l) }()
	t.Cleanup(func() { s.Close(); <-done })
	resp, err := http.Get("http://" + l.Addr().String() + "/api/status")
	must(t, err)
	resp.Body.Close()
	if resp.StatusCode != 401 {
		t.Errorf("another user of the machine gets %d", resp.StatusCode)
	}
}

func TestAStaleSocketIsReplacedAndALivingOneIsNot(t *testing.T) {
	path := filepath.Join(t.TempDir(), "run", "api.sock")
	must(t, os.MkdirAll(filepath.Dir(path), 0o700))
	dead, err := net.ListenUnix("unix", &net.UnixAddr{Name: path, Net: "unix"})
	must(t, err)
	dead.SetUnlinkOnClose(false) // as if the process had been killed
	dead.Close()
	l, err := ListenSocket(path)
	must(t, err)
	defer l.Close()
	if _, err := ListenSocket(path); err == nil || !strings.Contains(err.Error(), "another pic") {
		t.Errorf("two at one socket: %v", err)
	}
}

func TestRolesHoldOverTokens(t *testing.T) {
	h := newHousehold(t)
	_, secret, err := h.deps.Users.CreateToken(t.Context(), "vera", "test", config.Viewer)
	must(t, err)
	cell := client.Remote(h.server.URL, secret)
	if _, err := cell.Get(t.Context(), "dns", true); err != nil {
		t.Error(err)
	}
	_, err = cell.Rollback(t.Context(), 1, client.Edit{})
	if e, ok := err.(*client.Error); !ok || e.Status != 403 || e.Code != "forbidden" {
		t.Errorf("a viewer rolls back: %v", err)
	}
}
