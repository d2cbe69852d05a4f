package upstream

import (
	"encoding/hex"
	"fmt"
	"net"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/miekg/dns"

	"pic/internal/nettest"
)

// A fake is a resolver of a test, on one port for UDP and perhaps TCP.
type fake struct {
	addr     string
	udp, tcp atomic.Int64
	ports    sync.Map // that questions came from
	ids      sync.Map
}

func newFake(t testing.TB, tcp bool, h func(w dns.ResponseWriter, r *dns.Msg)) *fake {
	t.Helper()
	f := &fake{addr: "127.0.0.1:" + fmt.Sprint(nettest.FreePort(t))}
	pc, err := net.ListenPacket("udp", f.addr)
	if err != nil {
		t.Fatal(err)
	}
	serve := func(s *dns.Server, n *atomic.Int64) {
		up := make(chan struct{})
		s.NotifyStartedFunc = func() { close(up) }
		s.Handler = dns.HandlerFunc(func(w dns.ResponseWriter, r *dns.Msg) {
			n.Add(1)
			f.ids.Store(r.Id, true)
			f.ports.Store(w.RemoteAddr().String(), true)
			h(w, r)
		})
		go s.ActivateAndServe()
		<-up
		t.Cleanup(func() { s.Shutdown() })
	}
	serve(&dns.Server{PacketConn: pc}, &f.udp)
	if tcp {
		l, err := net.Listen("tcp", f.addr)
		if err != nil {
			t.Fatal(err)
		}
		serve(&dns.Server{Listener: l}, &f.tcp)
	}
	return f
}

// answer is a reply to r with one address.
func answer(r *dns.Msg, ip string) *dns.Msg {
	m := new(dns.Msg).SetReply(r)
	m.Compress = true
	m.Answer = []dns.RR{&dns.A{Hdr: dns.RR_Header{Name: r.Question[0].Name, Rrtype: dns.TypeA, Class: dns.ClassINET, Ttl: 60}, A: net.ParseIP(ip).To4()}}
	return m
}

func counted(m *sync.Map) (n int) {
	m.Range(func(any, any) bool { n++; return true })
	return n
}

const good = "NOERROR | A 192.0.2.1"

func TestQuestionsCannotBeGuessed(t *testing.T) {
	names := sync.Map{}
	f := newFake(t, true, func(w dns.ResponseWriter, r *dns.Msg) {
		names.Store(r.Question[0].Name, true)
		w.WriteMsg(answer(r, "192.0.2.1"))
	})
	r := reach(t, f.addr, Options{})
	for range 200 {
		if got := ask(t, r, question(t, "a-rather-long-name.example.", dns.TypeA)); got != good {
			t.Fatal(got)
		}
	}
	// Of 200 among many thousands a few may be the same.
	if p, i, n := counted(&f.ports), counted(&f.ids), counted(&names); p < 190 || i < 190 || n < 190 {
		t.Errorf("200 questions came from %d ports, with %d ids and the name in %d ways", p, i, n)
	}
}

func TestWhoDoesNotKeepTheCaseIsBelieved(t *testing.T) {
	for name, tcp := range map[string]bool{"with TCP": true, "without": false} {
		t.Run(name, func(t *testing.T) {
			f := newFake(t, tcp, func(w dns.ResponseWriter, r *dns.Msg) {
				r.Question[0].Name = strings.ToLower(r.Question[0].Name)
				w.WriteMsg(answer(r, "192.0.2.1"))
			})
			r := reach(t, f.addr, Options{})
			for range 20 {
				if got := ask(t, r, question(t, "a-rather-long-name.example.", dns.TypeA)); got != good {
					t.Fatal(got)
				}
			}
			if u, c := f.udp.Load(), f.tcp.Load(); u+c > 22 || u < 20 {
				t.Errorf("20 questions took %d datagrams, and %d messages over TCP", u, c)
			}
		})
	}
}

func TestForgedRepliesAreNotBelieved(t *testing.T) {
	const bad = "203.0.113.66"
	for name, tt := range map[string]struct {
		forge func(w dns.ResponseWriter, r *dns.Msg)
		tcp   int64
	}{
		"every other id": {func(w dns.ResponseWriter, r *dns.Msg) {
			b, _ := answer(r, bad).Pack()
			for i := range 1<<16 - 1 {
				id := r.Id + uint16(i) + 1
				b[0], b[1] = byte(id>>8), byte(id)
				w.Write(b)
			}
		}, 1},
		"in another case": {func(w dns.ResponseWriter, r *dns.Msg) {
			m := answer(r, bad)
			m.Question[0].Name = strings.ToUpper(r.Question[0].Name)
			w.WriteMsg(m)
		}, 1},
		"not whole": {func(w dns.ResponseWriter, r *dns.Msg) {
			b, _ := answer(r, bad).Pack()
			b[7] = 9
			for range 10 {
				w.Write(b)
			}
		}, 0},
		"an error without question": {func(w dns.ResponseWriter, r *dns.Msg) {
			m := new(dns.Msg).SetRcode(r, dns.RcodeServerFailure)
			m.Question = nil
			w.WriteMsg(m)
		}, 0},
		"two OPT records": {func(w dns.ResponseWriter, r *dns.Msg) {
			m := answer(r, bad)
			m.SetEdns0(1232, false)
			m.SetEdns0(1232, false)
			w.WriteMsg(m)
		}, 0},
		"many options": {func(w dns.ResponseWriter, r *dns.Msg) {
			m := answer(r, bad)
			m.SetEdns0(1232, false)
			for range maxOptions + 1 {
				m.IsEdns0().Option = append(m.IsEdns0().Option, &dns.EDNS0_LOCAL{Code: 65001})
			}
			w.WriteMsg(m)
		}, 0},
		"a wrong cookie": {func(w dns.ResponseWriter, r *dns.Msg) {
			m := answer(r, bad)
			m.SetEdns0(1232, false)
			m.IsEdns0().Option = []dns.EDNS0{&dns.EDNS0_COOKIE{Code: dns.EDNS0COOKIE, Cookie: strings.Repeat("00", 16)}}
			w.WriteMsg(m)
		}, 0},
		"the question itself": {func(w dns.ResponseWriter, r *dns.Msg) { w.WriteMsg(r) }, 0},
	} {
		t.Run(name, func(t *testing.T) {
			f := newFake(t, true, func(w dns.ResponseWriter, r *dns.Msg) {
				if w.RemoteAddr().Network() == "udp" {
					tt.forge(w, r)
				}
				w.WriteMsg(answer(r, "192.0.2.1"))
			})
			r := reach(t, f.addr, Options{})
			if got := ask(t, r, question(t, "a-rather-long-name.example.", dns.TypeA)); got != good {
				t.Fatal(got)
			}
			if u, c := f.udp.Load(), f.tcp.Load(); u != 1 || c != tt.tcp {
				t.Errorf("it took %d datagrams, and %d messages over TCP", u, c)
			}
		})
	}
}

func TestCookiesAreKeptAndAskedFor(t *testing.T) {
	var mode atomic.Value
	mode.Store("give")
	var mu sync.Mutex
	var seen []string
	f := newFake(t, true, func(w dns.ResponseWriter, r *dns.Msg) {
		c := ""
		for _, o := range r.IsEdns0().Option {
			if o, ok := o.(*dns.EDNS0_COOKIE); ok {
				c = o.Cookie
			}
		}
		mu.Lock()
		seen = append(seen, c)
		mu.Unlock()
		m := answer(r, "192.0.2.1")
		m.SetEdns0(1232, false)
		give := func(server string) {
			if len(c) >= 16 {
				m.IsEdns0().Option = []dns.EDNS0{&dns.EDNS0_COOKIE{Code: dns.EDNS0COOKIE, Cookie: c[:16] + hex.EncodeToString([]byte(server))}}
			}
		}
		switch mode.Load() {
		case "give":
			give("server-1")
		case "renew":
			give("server-2")
			if !strings.HasSuffix(c, hex.EncodeToString([]byte("server-2"))) {
				m.Rcode, m.Answer = dns.RcodeBadCookie, nil
			}
		}
		w.WriteMsg(m)
	})
	r := reach(t, f.addr, Options{})
	q := question(t, "a-rather-long-name.example.", dns.TypeA)
	for _, step := range []string{"give", "give", "renew", "lost", "lost"} {
		mode.Store(step)
		if got := ask(t, r, q); got != good {
			t.Fatalf("%s: %s", step, got)
		}
	}
	mu.Lock()
	defer mu.Unlock()
	one, two := hex.EncodeToString([]byte("server-1")), hex.EncodeToString([]byte("server-2"))
	for i, want := range []string{"", one, one, two, two, "", two} { // the sixth over TCP
		if len(seen) <= i || len(seen[i]) > 0 && seen[i][16:] != want || len(seen[i]) == 0 && i != 5 {
			t.Fatalf("question %d: the cookies were %q, want the server's part %q", i, seen, want)
		}
	}
	if len(seen) != 7 || f.tcp.Load() != 1 {
		t.Errorf("the cookies were %q", seen)
	}
}

func TestWhoDoesNotKnowEDNSIsAskedWithout(t *testing.T) {
	f := newFake(t, false, func(w dns.ResponseWriter, r *dns.Msg) {
		if r.IsEdns0() != nil {
			w.WriteMsg(new(dns.Msg).SetRcode(r, dns.RcodeFormatError))
			return
		}
		w.WriteMsg(answer(r, "192.0.2.1"))
	})
	r := reach(t, f.addr, Options{})
	for range 5 {
		if got := ask(t, r, question(t, "a.example.", dns.TypeA)); got != good {
			t.Fatal(got)
		}
	}
	if n := f.udp.Load(); n != 6 {
		t.Errorf("5 questions took %d datagrams", n)
	}
}

func TestNothingIsSentThatMayNotBe(t *testing.T) {
	f := newFake(t, true, func(w dns.ResponseWriter, r *dns.Msg) {
		m := new(dns.Msg).SetReply(r)
		m.Truncated = true
		w.WriteMsg(m)
	})
	for want := range int64(3) {
		before := f.udp.Load() + f.tcp.Load()
		left := want
		q := question(t, "a.example.", dns.TypeA)
		q.Spend = func() bool { left--; return left >= 0 }
		r := reach(t, f.addr, Options{})
		if got := ask(t, r, q); !strings.HasPrefix(got, "error: ") {
			t.Error(got)
		}
		if n := f.udp.Load() + f.tcp.Load() - before; n != want {
			t.Errorf("%d messages were sent where %d may be", n, want)
		}
	}
}

// Whatever a reply is, reading it ends, and what fits has the question in it.
func FuzzReply(f *testing.F) {
	sent := (&Question{Name: "\x03www\x07example\x00", Type: dns.TypeA}).message(form{edns: true, mixed: true, cookie: []byte("12345678")})
	m := new(dns.Msg)
	if err := m.Unpack(sent); err != nil {
		f.Fatal(err)
	}
	b, _ := answer(m, "192.0.2.1").Pack()
	f.Add(b, sent)
	m.Response = true
	b, _ = m.Pack()
	f.Add(b, sent)
	f.Add([]byte("\xb2Z\x810\x00\x01000000000000"), []byte("\xb2Z0000000000\xf60"))
	f.Fuzz(func(t *testing.T, b, sent []byte) {
		if len(sent) < 12 || heads(b, sent) == foreign {
			return
		}
		if b[0] != sent[0] || b[1] != sent[1] || b[2]&0x80 == 0 {
			t.Fatalf("%x is taken for the reply to %x", b, sent)
		}
		if c, err := check(b); err == nil && len(c) > len(b) {
			t.Fatalf("a cookie of %d bytes", len(c))
		}
		if code := rcode(b); code < 0 || code > 4095 {
			t.Fatalf("rcode %d", code)
		}
		lacksEDNS(b)
		older(b, 7)
	})
}
