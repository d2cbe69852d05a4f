package proxy

import (
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"testing"

	"pic/internal/listen"
)

func TestConnectionsOfOneClientAreCapped(t *testing.T) {
	s := New(quiet, listen.NewPool(nil), nil, func(string) http.Handler { return nil })
	f := &front{s: s, conns: map[*conn]struct{}{}, from: map[netip.Prefix]int{}}
	knock := func(addr string) *conn {
		ours, theirs := net.Pipe()
		t.Cleanup(func() { ours.Close(); theirs.Close() })
		return f.admit(addressed{ours, net.TCPAddrFromAddrPort(netip.MustParseAddrPort(addr))}, listen.Socket{})
	}
	var first *conn
	for i := range maxConnsFrom {
		c := knock(fmt.Sprintf("[2001:db8::%x]:1", i+1)) // one household
		if c == nil {
			t.Fatalf("connection %d was refused", i)
		}
		if first == nil {
			first = c
		}
	}
	if knock("[2001:db8::ffff]:1") != nil {
		t.Error("one more was let in")
	}
	if knock("[2001:db8:0:1::1]:1") == nil || knock("203.0.113.5:1") == nil {
		t.Error("others were refused")
	}
	first.Close()
	first.Close()
	if knock("[2001:db8::ffff]:1") == nil {
		t.Error("refused though one has left")
	}
	for len(f.conns) < maxConns {
		if knock("127.0.0.1:1") == nil {
			t.Fatal("loopback has a limit")
		}
	}
	if knock("127.0.0.1:1") != nil {
		t.Error("there is no limit at all")
	}
}

func TestRequestsOfOneClientAreCapped(t *testing.T) {
	l := load{from: map[netip.Prefix]int{}}
	here, there, home := netip.MustParseAddr("2001:db8::1"), netip.MustParseAddr("203.0.113.5"), netip.MustParseAddr("127.0.0.1")
	for i := range maxRequestsFrom {
		if !l.enter(here) {
			t.Fatalf("request %d was refused", i)
		}
	}
	if l.enter(netip.MustParseAddr("2001:db8::2")) {
		t.Error("one more of the household was let in")
	}
	if !l.enter(there) {
		t.Error("others were refused")
	}
	l.leave(there)
	for range maxRequests - maxRequestsFrom {
		if !l.enter(home) {
			t.Fatal("loopback has a limit")
		}
	}
	if l.enter(home) {
		t.Error("there is no limit at all")
	}
	l.leave(here)
	if !l.enter(home) {
		t.Error("refused though one is done")
	}
	for a, n := range map[netip.Addr]int{here: maxRequestsFrom - 1, home: maxRequests - maxRequestsFrom + 1} {
		for range n {
			l.leave(a)
		}
	}
	if l.all != 0 || len(l.from) != 0 {
		t.Errorf("left behind: %d, %v", l.all, l.from)
	}
}

// Requests of HTTP/2 that nobody answers must not pile up beyond the cap, and
// must be forgotten when they end.
func TestTooManyRequestsAreRefused(t *testing.T) {
	hold := make(chan struct{})
	up := upstream(t, func(http.ResponseWriter, *http.Request) { <-hold })
	s := start(t, oak([3]string{"git", up, "lan"}))
	s.load.mu.Lock()
	s.load.all = maxRequests - 1
	s.load.mu.Unlock()
	c := s.client(t, insider, 2)
	done := make(chan error, 1)
	go func() {
		res, err := c.Get("https://git.oak.home.arpa:10443/")
		if err == nil {
			res.Body.Close()
		}
		done <- err
	}()
	eventually(t, "the first is under way", func() bool { return s.Routes()[0].Active == 1 })
	if status, _, res := get(t, c, "https://files.oak.home.arpa:10443/"); status != 503 || res.Header.Get("Retry-After") == "" {
		t.Errorf("one too many: %d", status)
	}
	close(hold)
	if err := <-done; err != nil {
		t.Error(err)
	}
	eventually(t, "there is room again", func() bool {
		status, _, _ := get(t, c, "https://files.oak.home.arpa:10443/")
		return status == 200
	})
}

type addressed struct {
	net.Conn
	addr net.Addr
}

func (a addressed) RemoteAddr() net.Addr { return a.addr }
