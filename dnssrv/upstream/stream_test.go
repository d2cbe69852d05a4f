package upstream

import (
	"context"
	"crypto/tls"
	"encoding/binary"
	"fmt"
	"io"
	"net"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/miekg/dns"
	"github.com/quic-go/quic-go"

	"pic/internal/nettest"
)

// streams serves connections that h handles until the end of the test.
func streams(t testing.TB, l net.Listener, h func(net.Conn)) {
	t.Helper()
	var wg sync.WaitGroup
	var mu sync.Mutex
	var open []net.Conn
	wg.Go(func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			mu.Lock()
			open = append(open, c)
			mu.Unlock()
			wg.Go(func() { defer c.Close(); h(c) })
		}
	})
	t.Cleanup(func() {
		l.Close()
		mu.Lock()
		for _, c := range open {
			c.Close()
		}
		mu.Unlock()
		wg.Wait()
	})
}

func listenTCP(t testing.TB) net.Listener {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	return l
}

// frame reads a message that comes after its length.
func frame(c io.Reader) (*dns.Msg, int, error) {
	var size [2]byte
	if _, err := io.ReadFull(c, size[:]); err != nil {
		return nil, 0, err
	}
	b := make([]byte, binary.BigEndian.Uint16(size[:]))
	if _, err := io.ReadFull(c, b); err != nil {
		return nil, 0, err
	}
	m := new(dns.Msg)
	return m, len(b), m.Unpack(b)
}

func framed(m *dns.Msg) []byte {
	b, err := m.Pack()
	if err != nil {
		panic(err)
	}
	return append(binary.BigEndian.AppendUint16(nil, uint16(len(b))), b...)
}

func TestQuestionsShareAConnectionAndDoNotWaitForEachOther(t *testing.T) {
	var conns atomic.Int64
	l := listenTCP(t)
	streams(t, l, func(c net.Conn) {
		conns.Add(1)
		var held []*dns.Msg // answered the last first
		for {
			r, _, err := frame(c)
			if err != nil {
				return
			}
			held = append(held, r)
			if len(held) < 10 {
				continue
			}
			for i := len(held) - 1; i >= 0; i-- {
				c.Write(framed(answer(held[i], "192.0.2."+held[i].Question[0].Name[1:strings.IndexByte(held[i].Question[0].Name, '.')])))
			}
			held = nil
		}
	})
	r := reach(t, "tcp://"+l.Addr().String(), Options{})
	for range 3 {
		var wg sync.WaitGroup
		for i := range 10 {
			wg.Go(func() {
				if got, want := ask(t, r, question(t, fmt.Sprintf("n%d.example.", i), dns.TypeA)), fmt.Sprintf("NOERROR | A 192.0.2.%d", i); got != want {
					t.Errorf("got %s, want %s", got, want)
				}
			})
		}
		wg.Wait()
	}
	if n := conns.Load(); n != 1 {
		t.Errorf("30 questions took %d connections", n)
	}
}

func TestAConnectionThatIsClosedIsMadeAnew(t *testing.T) {
	var conns atomic.Int64
	l := listenTCP(t)
	streams(t, l, func(c net.Conn) {
		conns.Add(1)
		r, _, err := frame(c)
		if err != nil {
			return
		}
		c.Write(framed(answer(r, "192.0.2.1"))) // and is closed
	})
	r := reach(t, "tcp://"+l.Addr().String(), Options{})
	for range 10 {
		if got := ask(t, r, question(t, "a.example.", dns.TypeA)); got != good {
			t.Fatal(got)
		}
	}
	if n := conns.Load(); n != 10 {
		t.Errorf("10 questions took %d connections", n)
	}
}

// Who gets nothing but a trickle, junk or silence gives up in time and keeps
// neither connections nor bytes.
func TestConnectionsThatLeadNowhereAreLetGo(t *testing.T) {
	for name, h := range map[string]func(c net.Conn, r *dns.Msg){
		"silence": func(c net.Conn, _ *dns.Msg) { io.Copy(io.Discard, c) },
		"trickle": func(c net.Conn, r *dns.Msg) {
			for _, b := range framed(answer(r, "192.0.2.1")) {
				if _, err := c.Write([]byte{b}); err != nil {
					return
				}
				if _, err := c.Read(make([]byte, 1)); err != nil { // waits for ever
					return
				}
			}
		},
		"other ids": func(c net.Conn, r *dns.Msg) {
			m := answer(r, "203.0.113.66")
			for i := range 1000 {
				m.Id = r.Id + 1 + uint16(i)
				if _, err := c.Write(framed(m)); err != nil {
					return
				}
			}
			io.Copy(io.Discard, c)
		},
		"another question": func(c net.Conn, r *dns.Msg) {
			m := answer(r, "203.0.113.66")
			m.Question[0].Name = "b.example."
			c.Write(framed(m))
			io.Copy(io.Discard, c)
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			l := listenTCP(t)
			streams(t, l, func(c net.Conn) {
				if r, _, err := frame(c); err == nil {
					h(c, r)
				}
			})
			r := reach(t, "tcp://"+l.Addr().String(), Options{})
			ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
			defer cancel()
			if got := outcome(r.Ask(ctx, question(t, "a.example.", dns.TypeA))); !strings.HasPrefix(got, "error: ") {
				t.Error(got)
			}
			nettest.WaitFor(t, 5*time.Second, func() bool {
				r.stream.mu.Lock()
				defer r.stream.mu.Unlock()
				return len(r.stream.open) == 0
			})
		})
	}
}

func TestConnectionsAreFewHoweverManyAsk(t *testing.T) {
	var conns atomic.Int64
	l := listenTCP(t)
	streams(t, l, func(c net.Conn) { conns.Add(1); io.Copy(io.Discard, c) })
	r := reach(t, "tcp://"+l.Addr().String(), Options{})
	ctx, cancel := context.WithTimeout(t.Context(), 500*time.Millisecond)
	defer cancel()
	var wg sync.WaitGroup
	for i := range 1000 {
		wg.Go(func() { r.Ask(ctx, question(t, fmt.Sprintf("n%d.example.", i), dns.TypeA)) })
	}
	wg.Wait()
	if n, sent := conns.Load(), r.Sent(); n > maxStreams || sent > maxStreams*maxPipelined {
		t.Errorf("%d connections, %d messages", n, sent)
	}
}

func TestAResolverThatCannotBeReachedIsNotCalledAgainAtOnce(t *testing.T) {
	port := fmt.Sprint(nettest.FreePort(t))
	var dials atomic.Int64
	r := reach(t, "tcp://127.0.0.1:"+port, Options{Dial: func(ctx context.Context, network, address string) (net.Conn, error) {
		dials.Add(1)
		return new(net.Dialer).DialContext(ctx, network, address)
	}})
	for range 200 {
		if got := ask(t, r, question(t, "a.example.", dns.TypeA)); !strings.HasPrefix(got, "error: ") {
			t.Fatal(got)
		}
	}
	if n := dials.Load(); n == 0 || n > 20 {
		t.Errorf("200 questions dialled %d times", n)
	}
	l, err := net.Listen("tcp", "127.0.0.1:"+port)
	if err != nil {
		t.Fatal(err)
	}
	streams(t, l, func(c net.Conn) {
		if r, _, err := frame(c); err == nil {
			c.Write(framed(answer(r, "192.0.2.1")))
		}
	})
	nettest.WaitFor(t, longPause+5*time.Second, func() bool { return ask(t, r, question(t, "a.example.", dns.TypeA)) == good })
}

func TestEncryptedQuestionsAreAllOfOneSize(t *testing.T) {
	id := newIdentity(t)
	var mu sync.Mutex
	sizes := map[int]int{}
	resumed := 0
	l, err := tls.Listen("tcp", "127.0.0.1:0", &tls.Config{Certificates: []tls.Certificate{id.cert}, NextProtos: []string{"dot"}})
	if err != nil {
		t.Fatal(err)
	}
	streams(t, l, func(c net.Conn) {
		r, n, err := frame(c)
		if err != nil {
			return
		}
		mu.Lock()
		sizes[n]++
		if s := c.(*tls.Conn).ConnectionState(); s.DidResume {
			resumed++
		}
		for _, o := range r.IsEdns0().Option {
			if o.Option() == dns.EDNS0SUBNET || o.Option() == dns.EDNS0COOKIE {
				t.Errorf("sent %v", o)
			}
		}
		mu.Unlock()
		c.Write(framed(answer(r, "192.0.2.1"))) // and is closed, so that the next resumes
	})
	r := reach(t, "tls://dns.example:"+port(l.Addr())+"#127.0.0.1", Options{Roots: id.roots})
	for _, name := range []string{"a.example.", "b.example.", "a-much-longer-name-than-that.of-somebody.example."} {
		if got := ask(t, r, question(t, name, dns.TypeA)); got != good {
			t.Fatal(got)
		}
	}
	if len(sizes) != 1 || sizes[128] != 3 || resumed != 2 {
		t.Errorf("sizes %v, %d sessions resumed", sizes, resumed)
	}
}

func port(a net.Addr) string {
	_, p, _ := net.SplitHostPort(a.String())
	return p
}

// quicServer answers DNS over QUIC with what h makes of a question. Debian has
// no server of another author to test against.
func quicServer(t testing.TB, id *identity, h func(q *dns.Msg, size int) []byte) (addr string, conns *atomic.Int64, drop func()) {
	t.Helper()
	conns = new(atomic.Int64)
	l, err := quic.ListenAddr("127.0.0.1:0", &tls.Config{Certificates: []tls.Certificate{id.cert}, NextProtos: []string{"doq"}}, nil)
	if err != nil {
		t.Fatal(err)
	}
	var wg sync.WaitGroup
	var mu sync.Mutex
	var open []*quic.Conn
	wg.Go(func() {
		for {
			c, err := l.Accept(context.Background())
			if err != nil {
				return
			}
			conns.Add(1)
			mu.Lock()
			open = append(open, c)
			mu.Unlock()
			wg.Go(func() {
				for {
					s, err := c.AcceptStream(context.Background())
					if err != nil {
						return
					}
					wg.Go(func() {
						defer s.Close()
						q, n, err := frame(s)
						if err != nil {
							return
						}
						if extra, err := io.ReadAll(s); err != nil || len(extra) > 0 { // the question ends with FIN
							t.Errorf("%d bytes more, %v", len(extra), err)
						}
						s.Write(h(q, n))
					})
				}
			})
		}
	})
	drop = func() {
		mu.Lock()
		defer mu.Unlock()
		for _, c := range open {
			c.CloseWithError(doqNoError, "")
		}
		open = nil
	}
	t.Cleanup(func() { drop(); l.Close(); wg.Wait() })
	return l.Addr().String(), conns, drop
}

func TestQUICAnswersOnAStreamForEachQuestion(t *testing.T) {
	id := newIdentity(t)
	addr, conns, drop := quicServer(t, id, func(q *dns.Msg, size int) []byte {
		if q.Id != 0 || size%block != 0 {
			t.Errorf("id %d, %d bytes", q.Id, size)
		}
		m := answer(q, "192.0.2.1")
		switch q.Question[0].Name {
		case "long.example.":
			for range 3000 {
				m.Answer = append(m.Answer, m.Answer[0])
			}
		case "bad.example.":
			return []byte{0, 200, 1, 2, 3}
		case "mute.example.":
			return nil
		}
		return framed(m)
	})
	_, p, _ := net.SplitHostPort(addr)
	r := reach(t, "quic://dns.example:"+p+"#127.0.0.1", Options{Roots: id.roots})
	var wg sync.WaitGroup
	for range 20 {
		wg.Go(func() {
			if got := ask(t, r, question(t, "www.example.", dns.TypeA)); got != good {
				t.Error(got)
			}
		})
	}
	wg.Wait()
	if got := ask(t, r, question(t, "long.example.", dns.TypeA)); strings.Count(got, " | ") != 3001 {
		t.Errorf("%.100s", got)
	}
	if n := conns.Load(); n != 1 {
		t.Errorf("%d connections", n)
	}
	for _, name := range []string{"bad.example.", "mute.example."} {
		if got := ask(t, r, question(t, name, dns.TypeA)); !strings.Contains(got, "nonsense") {
			t.Errorf("%s: %s", name, got)
		}
	}
	if got := ask(t, r, question(t, "www.example.", dns.TypeA)); got != good {
		t.Error(got)
	}
	drop()
	if got := ask(t, r, question(t, "www.example.", dns.TypeA)); got != good {
		t.Errorf("after the connection was closed: %s", got)
	}
	other := reach(t, "quic://dns.other:"+p+"#127.0.0.1", Options{Roots: id.roots})
	if got := ask(t, other, question(t, "www.example.", dns.TypeA)); !strings.Contains(got, "dns.example") {
		t.Errorf("another name: %s", got)
	}
}
