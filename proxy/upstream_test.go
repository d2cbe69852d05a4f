package proxy

import (
	"bufio"
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"
)

// A body that turns bad after its head was passed on must not arrive whole.
func TestBodyThatTurnsBadIsCut(t *testing.T) {
	bodies := make(chan error, 1)
	up := upstream(t, func(_ http.ResponseWriter, r *http.Request) {
		_, err := io.ReadAll(r.Body)
		bodies <- err
	})
	s := start(t, oak([3]string{"git", up, "lan"}))
	c, err := tls.Dial("tcp", "127.0.0.1:10443", &tls.Config{RootCAs: s.roots, ServerName: "git.oak.home.arpa"})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	c.SetDeadline(time.Now().Add(20 * time.Second))
	fmt.Fprint(c, "POST / HTTP/1.1\r\nHost: git.oak.home.arpa\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n")
	route := s.table.Load().routes[0]
	eventually(t, "the request is under way", func() bool { return route.active.Load() == 1 })
	time.Sleep(20 * time.Millisecond) // so that net/http has taken the first chunk
	fmt.Fprint(c, "5\nworld\r\n0\r\n\r\n")
	res, err := http.ReadResponse(bufio.NewReader(c), nil)
	if err != nil {
		t.Fatal(err)
	}
	if res.StatusCode != 400 || !res.Close {
		t.Errorf("answered %d, to be closed: %v", res.StatusCode, res.Close)
	}
	select {
	case err := <-bodies:
		if err == nil {
			t.Error("the upstream got a whole body")
		}
	case <-time.After(5 * time.Second):
		t.Error("the upstream still waits")
	}
	if st := s.Routes()[0]; !st.OK {
		t.Errorf("the upstream is blamed: %+v", st)
	}
}

func TestUpstreamThatDoesNotAnswer(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	addr := l.Addr().String()
	l.Close()
	s := start(t, oak([3]string{"git", "http://" + addr, "lan"}))
	if st := s.Routes()[0]; !st.OK || len(s.Problems()) > 0 {
		t.Errorf("before anybody asked: %+v", st)
	}
	for _, version := range []int{1, 2} {
		c := s.client(t, insider, version)
		get(t, c, "https://git.oak.home.arpa:10443/") // the handshake
		begin := time.Now()
		if status, body, _ := get(t, c, "https://git.oak.home.arpa:10443/"); status != 502 || !strings.Contains(body, "does not answer") {
			t.Errorf("%d %q", status, body)
		}
		if d := time.Since(begin); d > dialTime/2 {
			t.Errorf("502 took %s", d)
		}
	}
	st := s.Routes()[0]
	if st.OK || !strings.Contains(st.LastError, "refused") || st.Requests != 4 || st.Active != 0 {
		t.Errorf("status %+v", st)
	}
	if p := s.Problems(); len(p) != 1 || p[0].Code != "proxy/upstream-down" {
		t.Errorf("problems %+v", p)
	}
	if l, err = net.Listen("tcp", addr); err != nil {
		t.Fatal(err)
	}
	srv := httptest.NewUnstartedServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
	srv.Listener.Close()
	srv.Listener = l
	srv.Start()
	defer srv.Close()
	if status, _, _ := get(t, s.client(t, insider, 1), "https://git.oak.home.arpa:10443/"); status != 200 {
		t.Errorf("%d though the upstream is back", status)
	}
	if st := s.Routes()[0]; !st.OK || len(s.Problems()) > 0 {
		t.Errorf("status %+v", st)
	}
}

// An answer that broke off must never look complete.
func TestUpstreamThatDiesMidway(t *testing.T) {
	for name, answer := range map[string]string{
		"length":  "HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n" + strings.Repeat("a", 500),
		"chunked": "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n",
	} {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		defer l.Close()
		go func() {
			for {
				c, err := l.Accept()
				if err != nil {
					return
				}
				go func() {
					http.ReadRequest(bufio.NewReader(c))
					io.WriteString(c, answer)
					c.(*net.TCPConn).SetLinger(0) // RST
					time.Sleep(20 * time.Millisecond)
					c.Close()
				}()
			}
		}()
		t.Run(name, func(t *testing.T) {
			s := start(t, oak([3]string{"git", "http://" + l.Addr().String(), "lan"}))
			for _, version := range []int{1, 2} {
				res, err := s.client(t, insider, version).Get("https://git.oak.home.arpa:10443/")
				if err != nil {
					t.Fatalf("HTTP/%d: %v", version, err)
				}
				b, err := io.ReadAll(res.Body)
				res.Body.Close()
				if err == nil {
					t.Errorf("HTTP/%d: %d bytes look like the whole answer", version, len(b))
				}
			}
		})
	}
}

func TestFailuresOfHTTPSUpstreams(t *testing.T) {
	tlsUp := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { fmt.Fprint(w, r.Proto) }))
	t.Cleanup(tlsUp.Close)
	c := oak([3]string{"strict", tlsUp.URL, "lan"}, [3]string{"loose", tlsUp.URL, "lan"})
	c.Routes[1].Insecure = true
	s := start(t, c)
	cl := s.client(t, insider, 1)
	if status, _, _ := get(t, cl, "https://strict.oak.home.arpa:10443/"); status != 502 {
		t.Errorf("a certificate that nobody knows: %d", status)
	}
	if status, body, _ := get(t, cl, "https://loose.oak.home.arpa:10443/"); status != 200 || !strings.HasPrefix(body, "HTTP/") {
		t.Errorf("any certificate: %d %q", status, body)
	}
	if e := s.Routes()[0].LastError; !strings.Contains(e, "certificate") {
		t.Errorf("last error %q", e)
	}
}
