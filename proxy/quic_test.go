package proxy

import (
	"bytes"
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/quic-go/quic-go"
	"github.com/quic-go/quic-go/http3"

	"pic/internal/listen"
)

// oak3 is oak with HTTP/3.
func oak3(routes ...[3]string) Config {
	c := oak(routes...)
	c.QUIC = listen.For("udp", []netip.Addr{netip.MustParseAddr("127.0.0.1")}, 10443, nil, 443)
	return c
}

// client3 returns an http.Client at that address that speaks HTTP/3.
func (s *cell) client3(t *testing.T, from string) *http.Client {
	t.Helper()
	pc, err := net.ListenPacket("udp", from+":0")
	if err != nil {
		t.Fatal(err)
	}
	qt := &quic.Transport{Conn: pc}
	tr := &http3.Transport{
		TLSClientConfig: &tls.Config{RootCAs: s.roots},
		Dial: func(ctx context.Context, addr string, tc *tls.Config, qc *quic.Config) (*quic.Conn, error) {
			_, port, _ := net.SplitHostPort(addr)
			to, err := net.ResolveUDPAddr("udp", "127.0.0.1:"+port)
			if err != nil {
				return nil, err
			}
			return qt.Dial(ctx, to, tc, qc)
		},
	}
	t.Cleanup(func() { tr.Close(); qt.Close(); pc.Close() })
	return &http.Client{Transport: tr, Timeout: 20 * time.Second}
}

func TestHTTP3LetsInWhoMayEnter(t *testing.T) {
	up := upstream(t, func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Alt-Svc", `h3=":9"`)
		b, _ := io.ReadAll(r.Body)
		fmt.Fprintf(w, "%s %s %d", r.Header.Get("X-Forwarded-For"), r.Header.Get("X-Forwarded-Proto"), len(b))
	})
	s := start(t, oak3([3]string{"pub", up, "public"}, [3]string{"v", up, "vpn"}))
	for host, want := range map[string]map[string]int{
		"files":   {insider: 200, inVPN: 200, outsider: 403},
		"pub":     {insider: 200, inVPN: 200, outsider: 200},
		"v":       {insider: 403, inVPN: 200, outsider: 403},
		"nothing": {insider: 404},
	} {
		for from, status := range want {
			got, _, res := get(t, s.client3(t, from), "https://"+host+".oak.home.arpa:10443/x")
			if got != status || res.ProtoMajor != 3 {
				t.Errorf("%s from %s: %d over HTTP/%d, want %d", host, from, got, res.ProtoMajor, status)
			}
		}
	}
	body := bytes.Repeat([]byte("x"), 3<<20) // more than any window
	res, err := s.client3(t, insider).Post("https://pub.oak.home.arpa:10443/", "text/plain", bytes.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	b, _ := io.ReadAll(res.Body)
	if want := fmt.Sprintf("%s https %d", insider, len(body)); string(b) != want {
		t.Errorf("the upstream saw %q, want %q", b, want)
	}
	if res.Header.Get("Alt-Svc") != "" {
		t.Errorf("the upstream's ports are told: %q", res.Header.Get("Alt-Svc"))
	}
}

func TestHTTP3IsAdvertisedAtThePortOfTheClient(t *testing.T) {
	s := start(t, oak3())
	for name, tt := range map[string]struct{ host, want string }{
		"with a port": {"files.oak.home.arpa:10443", `h3=":10443"; ma=86400`},
		"standard":    {"files.oak.home.arpa", `h3=":443"; ma=86400`},
		"nonsense":    {`files.oak.home.arpa:1"x`, `h3=":443"; ma=86400`},
	} {
		req, _ := http.NewRequest("GET", "https://files.oak.home.arpa:10443/", nil)
		req.Host = tt.host
		res, err := s.client(t, insider, 2).Do(req)
		if err != nil {
			if name != "nonsense" { // which the library may refuse to send
				t.Errorf("%s: %v", name, err)
			}
			continue
		}
		res.Body.Close()
		if got := res.Header.Get("Alt-Svc"); got != tt.want {
			t.Errorf("%s: %q, want %q", name, got, tt.want)
		}
	}
	s.apply(t, oak())
	if _, _, res := get(t, s.client(t, insider, 2), "https://files.oak.home.arpa:10443/"); res.Header.Get("Alt-Svc") != "" {
		t.Error("told of HTTP/3 that is off")
	}
}

// A change of something else leaves connections over HTTP/3 as they are; one of
// their port closes them, and the sockets with them.
func TestHTTP3ConnectionsOutliveChanges(t *testing.T) {
	up := upstream(t, func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, "up") })
	s := start(t, oak3())
	c := s.client3(t, insider)
	get(t, c, "https://files.oak.home.arpa:10443/")
	s.apply(t, oak3([3]string{"pub", up, "public"}))
	if _, body, _ := get(t, c, "https://pub.oak.home.arpa:10443/"); body != "up" {
		t.Errorf("got %q", body)
	}
	if n := s.open.Load(); n != 1 && n != 2 { // one to each host
		t.Errorf("%d connections are open", n)
	}
	moved := oak3()
	moved.QUIC[0].Addr = netip.MustParseAddrPort("127.0.0.1:10444")
	s.apply(t, moved)
	eventually(t, "connections of the old port are gone", func() bool { return s.open.Load() == 0 })
	if status, _, _ := get(t, s.client3(t, insider), "https://files.oak.home.arpa:10444/"); status != 200 {
		t.Errorf("the new port answers %d", status)
	}
	pc, err := net.ListenPacket("udp", "127.0.0.1:10443")
	if err != nil {
		t.Fatalf("the old port is still open: %v", err)
	}
	pc.Close()
}

// A request under way ends before the cell does, and connections are told.
func TestHTTP3RequestsMayEndWhenTheCellStops(t *testing.T) {
	begun, finish := make(chan struct{}), make(chan struct{})
	up := upstream(t, func(w http.ResponseWriter, _ *http.Request) {
		close(begun)
		<-finish
		fmt.Fprint(w, "whole")
	})
	s := start(t, oak3([3]string{"pub", up, "public"}))
	f := s.front
	got := make(chan string, 1)
	c := s.client3(t, insider)
	go func() {
		res, err := c.Get("https://pub.oak.home.arpa:10443/")
		if err != nil {
			got <- err.Error()
			return
		}
		defer res.Body.Close()
		b, _ := io.ReadAll(res.Body)
		got <- string(b)
	}()
	<-begun
	ended := make(chan struct{})
	go func() { f.close(s.set.Close, func() {}); close(ended) }()
	eventually(t, "it waits for the request", func() bool {
		f.quic.mu.Lock()
		defer f.quic.mu.Unlock()
		return f.quic.quiet != nil
	})
	close(finish)
	if b := <-got; b != "whole" {
		t.Errorf("got %q", b)
	}
	<-ended
	if n := s.open.Load(); n != 0 {
		t.Errorf("%d connections are open", n)
	}
}

// Who opens more connections than are theirs is refused, and others are not.
func TestHTTP3ConnectionsAreBounded(t *testing.T) {
	s := start(t, oak3())
	dial := func(from string) (*quic.Conn, error) {
		pc, err := net.ListenPacket("udp", from+":0")
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { pc.Close() })
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
		defer cancel()
		return quic.Dial(ctx, pc, &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1), Port: 10443},
			&tls.Config{RootCAs: s.roots, ServerName: "files.oak.home.arpa", NextProtos: []string{"h3"}}, nil)
	}
	failed := 0
	for range maxQUICFrom + 6 {
		if c, err := dial(outsider); err != nil {
			failed++
		} else {
			defer c.CloseWithError(0, "")
		}
	}
	if failed != 6 {
		t.Errorf("%d connections were refused, want 6", failed)
	}
	c, err := dial(insider)
	if err != nil {
		t.Fatalf("others are refused too: %v", err)
	}
	c.CloseWithError(0, "")
}

// What is no HTTP/3 ends its connection and no other.
func TestBrokenHTTP3IsBorne(t *testing.T) {
	s := start(t, oak3())
	good := s.client3(t, insider)
	get(t, good, "https://files.oak.home.arpa:10443/")
	for name, b := range map[string]string{
		"nothing":      "",
		"data first":   "\x00\x04abcd",
		"huge headers": "\x01\x80\xff\xff\xff" + strings.Repeat("x", 1000),
		"bad qpack":    "\x01\x04\xff\xff\xff\xff",
		"unknown":      "\x21\x03abc",
	} {
		c, err := quic.DialAddr(t.Context(), "127.0.0.1:10443", &tls.Config{RootCAs: s.roots, ServerName: "files.oak.home.arpa", NextProtos: []string{"h3"}}, nil)
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		str, err := c.OpenStreamSync(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		str.Write([]byte(b))
		str.Close()
		str.SetReadDeadline(time.Now().Add(20 * time.Second))
		if got, err := io.ReadAll(str); err == nil && bytes.Contains(got, []byte("page")) {
			t.Errorf("%s was answered", name)
		}
		c.CloseWithError(0, "")
	}
	if status, _, _ := get(t, good, "https://files.oak.home.arpa:10443/"); status != 200 {
		t.Errorf("another connection got %d", status)
	}
}
