package dnssrv

import (
	"context"
	"crypto/tls"
	"encoding/binary"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/netip"
	"os"
	"runtime"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/miekg/dns"
	"github.com/quic-go/quic-go"

	"pic/internal/listen"
)

// nas asks for an address over a connection, and reports whether it is told.
func nas(c *dns.Conn) error {
	if err := c.WriteMsg(new(dns.Msg).SetQuestion("nas.oak.home.arpa.", dns.TypeA)); err != nil {
		return err
	}
	m, err := c.ReadMsg()
	if err == nil && len(m.Answer) != 2 {
		err = errors.New(m.String())
	}
	return err
}

// Clients that begin handshakes and do not go on keep nobody else out, and end.
func TestHalfOpenHandshakesAreBoundedAndEnd(t *testing.T) {
	t.Parallel()
	s := guarded(t, lab())
	d := net.Dialer{LocalAddr: &net.TCPAddr{IP: net.IPv4(127, 0, 0, 2)}}
	var all []net.Conn
	for range maxConnsPerHost {
		c, err := d.Dial("tcp", s.tlsAt())
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		c.Write([]byte{22, 3, 1, 2, 0, 1}) // the beginning of a hello
		all = append(all, c)
	}
	if err := nas(s.dot(t, "127.0.0.3", "")); err != nil {
		t.Errorf("another client is kept out: %v", err)
	}
	s.shakes.mu.Lock()
	if s.shakes.total > maxShakesPerHost+1 {
		t.Errorf("%d handshakes of one client are under way", s.shakes.total)
	}
	s.shakes.mu.Unlock()
	for i, c := range all {
		c.SetReadDeadline(time.Now().Add(shake + 20*time.Second))
		if _, err := c.Read(make([]byte, 64)); os.IsTimeout(err) {
			t.Errorf("handshake %d has no end", i)
		}
	}
	if err := nas(s.dot(t, "127.0.0.2", "")); err != nil {
		t.Errorf("the client is kept out for ever: %v", err)
	}
}

// A message that is too long, or none, ends its connection at once.
func TestHugeFramesEndTheirConnection(t *testing.T) {
	s := guarded(t, lab())
	for name, send := range map[string]string{
		"huge":       "\xff\xff",
		"no query":   "\x00\x0c\x00\x01\x80\x00\x00\x00\x00\x00\x00\x00\x00\x00",
		"GET on 853": "GET /dns-query HTTP/1.1\r\n\r\n",
	} {
		c := s.dot(t, "127.0.0.4", "")
		if _, err := c.Conn.Write([]byte(send)); err != nil {
			t.Fatal(err)
		}
		got, err := io.ReadAll(c.Conn)
		if os.IsTimeout(err) || len(got) > 0 {
			t.Errorf("%s: %d bytes, %v", name, len(got), err)
		}
	}
}

// Who sends nothing, or a message in drops, is let go after the time for it.
func TestSlowClientsAreLetGo(t *testing.T) {
	good := string(many(t, 1, func(int) string { return "nas.oak.home.arpa." }))
	for name, tt := range map[string]struct {
		sends []string // a second apart
		after time.Duration
		want  int // answers
	}{
		"nothing":               {nil, idle, 0},
		"half a length":         {[]string{"\x00"}, idle, 0},
		"drops":                 {[]string{"\x00", "\x40", "\x00", "\x00", "\x00", "\x00", "\x00", "\x00"}, slow + time.Second, 0},
		"a query, then drops":   {[]string{good, "\x00\x40", "\x00", "\x00", "\x00", "\x00", "\x00", "\x00"}, slow + time.Second, 1},
		"one, then silence":     {[]string{good}, idle, 1},
		"two, read late":        {[]string{good + good}, idle, 2},
		"never reads an answer": {[]string{good, "deaf"}, slow, 0},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := New(Options{Log: slog.New(slog.DiscardHandler), Pool: listen.NewPool(nil)})
				tb, err := compile(From(lab()), 1)
				if err != nil {
					t.Fatal(err)
				}
				s.table.Store(tb)
				near, far := net.Pipe()
				begun := time.Now()
				var took time.Duration
				go func() {
					s.stream(t.Context(), far, s.conns, client{from: loopback4, proto: overTCP})
					took = time.Since(begun)
					far.Close()
				}()
				got := 0
				deaf := slices.Contains(tt.sends, "deaf")
				if !deaf {
					go func() {
						c := dns.Conn{Conn: near}
						for {
							if _, err := c.ReadMsg(); err != nil {
								return
							}
							got++
						}
					}()
				}
				for i, b := range tt.sends {
					if i > 0 {
						time.Sleep(time.Second)
					}
					if b != "deaf" {
						near.Write([]byte(b))
					}
				}
				time.Sleep(time.Minute)
				synctest.Wait()
				if took == 0 || took > tt.after+time.Second {
					t.Errorf("it took %v, want %v", took, tt.after)
				}
				if got != tt.want {
					t.Errorf("%d answers, want %d", got, tt.want)
				}
				near.Close()
			})
		})
	}
}

// quicFrom opens a connection over QUIC from an address.
func (s *safe) quicFrom(t testing.TB, from string) (*quic.Conn, error) {
	t.Helper()
	pc, err := net.ListenPacket("udp", from+":0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { pc.Close() })
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	to := net.UDPAddrFromAddrPort(netip.MustParseAddrPort(s.tlsAt()))
	return quic.Dial(ctx, pc, to, &tls.Config{RootCAs: s.roots, ServerName: "dns.oak.home.arpa", NextProtos: []string{"doq"}}, nil)
}

// quicNAS asks for an address over a new connection from an address.
func (s *safe) quicNAS(t testing.TB, from string) error {
	t.Helper()
	c, err := s.quicFrom(t, from)
	if err != nil {
		return err
	}
	defer c.CloseWithError(0, "")
	str, err := c.OpenStreamSync(t.Context())
	if err != nil {
		return err
	}
	str.SetDeadline(time.Now().Add(20 * time.Second))
	str.Write(many(t, 1, func(int) string { return "nas.oak.home.arpa." }))
	str.Close()
	b, err := io.ReadAll(str)
	if err == nil && len(b) < 50 {
		err = errors.New("a short answer")
	}
	return err
}

// Who opens streams and gives them up, thousands of times, has to begin anew,
// and keeps neither memory nor others.
func TestCancelledStreamsEndTheirConnection(t *testing.T) {
	s := guarded(t, lab())
	if err := s.quicNAS(t, "127.0.0.6"); err != nil {
		t.Fatal(err)
	}
	before := runtime.NumGoroutine()
	c, err := s.quicFrom(t, "127.0.0.5")
	if err != nil {
		t.Fatal(err)
	}
	opened, most := 0, 0
	for ; opened < 20*maxCancelled; opened++ {
		var str *quic.Stream
		if str, err = c.OpenStreamSync(t.Context()); err != nil {
			break
		}
		str.Write([]byte{0, 64, 0})
		str.CancelWrite(3)
		str.CancelRead(3)
		most = max(most, runtime.NumGoroutine()-before)
	}
	var end *quic.ApplicationError
	if !errors.As(err, &end) || end.ErrorCode != doqExcessive || opened > maxCancelled+4*maxStreams {
		t.Errorf("after %d streams: %v", opened, err)
	}
	if most > 3*maxStreams {
		t.Errorf("%d goroutines served one connection", most)
	}
	if err := s.quicNAS(t, "127.0.0.6"); err != nil {
		t.Errorf("another client: %v", err)
	}
}

// Streams whose queries never come whole hold no more than their budget.
func TestStreamsOfOneClientAreBounded(t *testing.T) {
	s := guarded(t, lab())
	runtime.GC()
	var a, b runtime.MemStats
	runtime.ReadMemStats(&a)
	refused := 0
	for range maxQUICPerHost + 4 {
		c, err := s.quicFrom(t, "127.0.0.5")
		if err != nil {
			refused++
			continue
		}
		for n := 0; ; n++ {
			str, err := c.OpenStream()
			if err != nil {
				if n != maxStreams {
					t.Errorf("%d streams may be open: %v", n, err)
				}
				break
			}
			str.SetWriteDeadline(time.Now().Add(time.Millisecond)) // the window is what stops it
			str.Write(make([]byte, 2+maxQuery))
		}
	}
	if refused != 4 {
		t.Errorf("%d connections were refused, want 4", refused)
	}
	if err := s.quicNAS(t, "127.0.0.6"); err != nil {
		t.Errorf("another client: %v", err)
	}
	runtime.GC()
	runtime.ReadMemStats(&b)
	if grown := int64(b.HeapAlloc) - int64(a.HeapAlloc); grown > 64<<20 {
		t.Errorf("%d MiB are held, for both sides", grown>>20)
	}
}

func TestWhatQUICForbidsEndsTheConnection(t *testing.T) {
	s := guarded(t, lab())
	q := new(dns.Msg).SetQuestion("nas.oak.home.arpa.", dns.TypeA)
	frame := func(change func(*dns.Msg)) string {
		m := q.Copy()
		m.Id = 0
		change(m)
		b, err := m.Pack()
		if err != nil {
			t.Fatal(err)
		}
		return string(append(binary.BigEndian.AppendUint16(nil, uint16(len(b))), b...))
	}
	good := frame(func(*dns.Msg) {})
	for name, send := range map[string]string{
		"an id":          frame(func(m *dns.Msg) { m.Id = 7 }),
		"an answer":      frame(func(m *dns.Msg) { m.Response = true }),
		"two queries":    good + good,
		"a wrong length": "\x00\x90" + good[2:],
		"nothing":        "",
		"too much":       strings.Repeat("x", 2*maxQuery),
		"keepalive asked": frame(func(m *dns.Msg) {
			m.SetEdns0(1232, false)
			m.IsEdns0().Option = []dns.EDNS0{&dns.EDNS0_TCP_KEEPALIVE{Code: dns.EDNS0TCPKEEPALIVE}}
		}),
	} {
		c, err := s.quicFrom(t, "127.0.0.1")
		if err != nil {
			t.Fatal(err)
		}
		str, err := c.OpenStreamSync(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		str.SetDeadline(time.Now().Add(20 * time.Second))
		go func() {
			str.Write([]byte(send))
			str.Close()
		}()
		got, err := io.ReadAll(str)
		var end *quic.ApplicationError
		if !errors.As(err, &end) || end.ErrorCode != doqProtocol || len(got) > 0 {
			t.Errorf("%s: %d bytes, %v", name, len(got), err)
		}
	}
}

// Who may not ask does not even get a handshake.
func TestStrangersGetNoHandshake(t *testing.T) {
	d := lab()
	d.Network.Allow = []netip.Prefix{netip.MustParsePrefix("127.0.0.1/32")}
	s := guarded(t, d)
	c, err := (&net.Dialer{LocalAddr: &net.TCPAddr{IP: net.IPv4(127, 0, 0, 9)}}).Dial("tcp", s.tlsAt())
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	c.SetDeadline(time.Now().Add(20 * time.Second))
	if err := tls.Client(c, &tls.Config{InsecureSkipVerify: true}).Handshake(); err == nil || os.IsTimeout(err) {
		t.Errorf("over TLS: %v", err)
	}
	if _, err := s.quicFrom(t, "127.0.0.9"); err == nil {
		t.Error("QUIC was spoken to a stranger")
	}
	if err := nas(s.dot(t, "127.0.0.1", "")); err != nil {
		t.Error(err)
	}
}
