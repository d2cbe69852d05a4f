package proxy

import (
	"bufio"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"pic/internal/listen"
)

// echo is an upstream that switches to a protocol in which it says everything
// back, as websocket servers do, and otherwise answers "up".
func echo(t *testing.T) string {
	return upstream(t, func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Upgrade") == "" {
			fmt.Fprint(w, "up")
			return
		}
		c, rw, err := http.NewResponseController(w).Hijack()
		if err != nil {
			t.Error(err)
			return
		}
		defer c.Close()
		fmt.Fprintf(c, "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: %s\r\n\r\n", r.Header.Get("Upgrade"))
		io.Copy(c, rw)
	})
}

// A socket is a switched connection through the proxy.
type socket struct {
	*tls.Conn
	r *bufio.Reader
}

func (s *cell) socket(t *testing.T, host string) socket {
	t.Helper()
	c, err := tls.Dial("tcp", "127.0.0.1:10443", &tls.Config{RootCAs: s.roots, ServerName: host})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	fmt.Fprintf(c, "GET /ws HTTP/1.1\r\nHost: %s\r\nConnection: keep-alive, Upgrade\r\nUpgrade: websocket\r\n\r\n", host)
	k := socket{c, bufio.NewReader(c)}
	res, err := http.ReadResponse(k.r, nil)
	if err != nil {
		t.Fatal(err)
	}
	if res.StatusCode != 101 || res.Header.Get("Upgrade") != "websocket" || strings.Contains(res.Header.Get("Connection"), "close") {
		t.Fatalf("answered %d %v", res.StatusCode, res.Header)
	}
	k.say(t, "first")
	return k
}

// say sends what and wants it back.
func (k socket) say(t *testing.T, what string) {
	t.Helper()
	if _, err := io.WriteString(k, what); err != nil {
		t.Fatal(err)
	}
	b := make([]byte, len(what))
	k.SetReadDeadline(time.Now().Add(20 * time.Second))
	if _, err := io.ReadFull(k.r, b); err != nil || string(b) != what {
		t.Fatalf("got %q %v, want %q", b, err, what)
	}
}

// counting returns a client that keeps one connection, and how many it dialled.
func (s *cell) counting(t *testing.T, version int) (*http.Client, *atomic.Int64) {
	c := s.client(t, insider, version)
	tr := c.Transport.(*http.Transport)
	dial, n := tr.DialContext, new(atomic.Int64)
	tr.DialContext = func(ctx context.Context, network, addr string) (net.Conn, error) {
		n.Add(1)
		return dial(ctx, network, addr)
	}
	return c, n
}

// Nobody notices changes of what is not theirs.
func TestChangesDisturbNobodyElse(t *testing.T) {
	up := echo(t)
	base := oak([3]string{"git", up, "lan"})
	s := start(t, base)
	ws := s.socket(t, "git.oak.home.arpa")
	type visitor struct {
		client *http.Client
		dials  *atomic.Int64
		url    string
	}
	var visitors []visitor
	for _, version := range []int{1, 2} {
		for _, url := range []string{"https://git.oak.home.arpa:10443/", "https://files.oak.home.arpa:10443/"} {
			c, n := s.counting(t, version)
			visitors = append(visitors, visitor{c, n, url})
		}
	}
	stop := make(chan struct{})
	failed := make(chan error, len(visitors))
	var requests atomic.Int64
	for _, v := range visitors {
		go func() {
			for {
				select {
				case <-stop:
					failed <- nil
					return
				default:
				}
				res, err := v.client.Get(v.url)
				if err == nil {
					_, err = io.Copy(io.Discard, res.Body)
					res.Body.Close()
					if res.StatusCode != 200 {
						err = errors.Join(err, fmt.Errorf("status %d", res.StatusCode))
					}
				}
				if err != nil {
					failed <- err
					return
				}
				requests.Add(1)
			}
		}()
	}
	for i := range 200 {
		c := oak([3]string{"git", up, "lan"}, [3]string{fmt.Sprintf("r%d", i%7), up, "public"})
		c.Insiders = append(c.Insiders, netip.MustParsePrefix(fmt.Sprintf("10.0.%d.0/24", i%5)))
		if i%3 == 0 { // a further socket comes and goes
			c.HTTPS = append(slices.Clone(c.HTTPS), listen.Socket{Net: "tcp", Addr: netip.MustParseAddrPort("127.0.0.9:10443")})
		}
		s.apply(t, c)
		if i%4 == 0 {
			ws.say(t, fmt.Sprintf("change %d", i))
		}
	}
	close(stop)
	for range visitors {
		if err := <-failed; err != nil {
			t.Error(err)
		}
	}
	for _, v := range visitors {
		if n := v.dials.Load(); n != 1 {
			t.Errorf("%s needed %d connections", v.url, n)
		}
	}
	t.Logf("%d requests during 200 changes", requests.Load())
	ws.say(t, "still here")
}

func TestRemovedRouteEnds(t *testing.T) {
	up := echo(t)
	s := start(t, oak([3]string{"git", up, "lan"}, [3]string{"stay", up, "lan"}))
	s.grace = 50 * time.Millisecond
	gone, stays := s.socket(t, "git.oak.home.arpa"), s.socket(t, "stay.oak.home.arpa")
	s.apply(t, oak([3]string{"stay", up, "lan"}))
	if status, _, _ := get(t, s.client(t, insider, 1), "https://git.oak.home.arpa:10443/"); status != 404 {
		t.Errorf("a new request for it: %d", status)
	}
	gone.SetReadDeadline(time.Now().Add(20 * time.Second))
	if b, err := io.ReadAll(gone.r); err != nil && errors.Is(err, context.DeadlineExceeded) || len(b) > 0 {
		t.Errorf("its websocket: %q %v", b, err)
	}
	stays.say(t, "still here")
}

// A change that is undone, as when another unit refuses it, costs no websocket.
func TestRouteThatComesBackKeepsItsSockets(t *testing.T) {
	up := echo(t)
	with, without := oak([3]string{"git", up, "lan"}), oak()
	s := start(t, with)
	s.grace = 100 * time.Millisecond
	ws := s.socket(t, "git.oak.home.arpa")
	for range 3 {
		s.apply(t, without)
		s.apply(t, with)
	}
	time.Sleep(3 * s.grace) // in which a forgotten timer would cut it off
	ws.say(t, "still here")
	if n := s.Routes()[0].Active; n != 1 {
		t.Errorf("%d active", n)
	}
}

// Another upstream or access is another route.
func TestChangedRouteIsANewOne(t *testing.T) {
	a := upstream(t, func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, "a") })
	b := upstream(t, func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, "b") })
	s := start(t, oak([3]string{"git", a, "lan"}))
	c := s.client(t, outsider, 2)
	if status, _, _ := get(t, c, "https://git.oak.home.arpa:10443/"); status != 403 {
		t.Errorf("%d", status)
	}
	s.apply(t, oak([3]string{"git", b, "public"}))
	if status, body, _ := get(t, c, "https://git.oak.home.arpa:10443/"); status != 200 || body != "b" {
		t.Errorf("%d %q over the connection from before", status, body)
	}
}

func TestRefusedChangeKeepsServing(t *testing.T) {
	s := start(t, oak())
	l, err := net.Listen("tcp", "127.0.0.1:10444")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	c := oak([3]string{"git", "http://127.0.0.1:1", "lan"})
	c.HTTPS = []listen.Socket{{Net: "tcp", Addr: netip.MustParseAddrPort("127.0.0.1:10444")}}
	if err := s.Apply(t.Context(), c); err == nil || !strings.Contains(err.Error(), "10444") {
		t.Fatalf("a port that is taken: %v", err)
	}
	if status, _, _ := get(t, s.client(t, insider, 2), "https://files.oak.home.arpa:10443/"); status != 200 {
		t.Errorf("the old port answers %d", status)
	}
	if len(s.Routes()) != 0 {
		t.Errorf("routes %+v", s.Routes())
	}
	for name, r := range map[string]Route{
		"scheme":  {Host: "a", Upstream: "ftp://x"},
		"no host": {Host: "a", Upstream: "http://"},
		"no URL":  {Host: "a", Upstream: "http://[::1"},
	} {
		c := oak()
		c.Routes = []Route{r}
		if s.Check(t.Context(), c) == nil || s.Apply(t.Context(), c) == nil {
			t.Errorf("%s: accepted", name)
		}
	}
	same := oak()
	same.HTTPS = same.HTTP
	if s.Check(t.Context(), same) == nil {
		t.Error("one port for both is accepted")
	}
}
