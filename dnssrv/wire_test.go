package dnssrv

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"log/slog"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/miekg/dns"

	"pic/internal/listen"
)

func packed(t testing.TB, m *dns.Msg) []byte {
	t.Helper()
	b, err := m.Pack()
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func TestMalformedMessagesAreToldApart(t *testing.T) {
	good := packed(t, new(dns.Msg).SetQuestion("www.example.net.", dns.TypeA))
	with := func(edit func(b []byte) []byte) []byte { return edit(bytes.Clone(good)) }
	opt := []byte{0, 0, byte(dns.TypeOPT), 4, 0xd0, 0, 0, 0, 0, 0, 0}
	for name, tt := range map[string]struct {
		b    []byte
		want error
	}{
		"good":               {good, nil},
		"response":           {with(func(b []byte) []byte { b[2] |= 0x80; return b }), errNoAnswer}, // must not start a loop
		"header cut":         {good[:11], errNoAnswer},
		"nothing":            {nil, errNoAnswer},
		"no question":        {with(func(b []byte) []byte { b[5] = 0; return b[:12] }), errFormat},
		"two questions":      {with(func(b []byte) []byte { b[5] = 2; return b }), errFormat},
		"an answer":          {with(func(b []byte) []byte { b[7] = 1; return b }), errFormat},
		"question cut":       {good[:len(good)-1], errFormat},
		"label of 64":        {with(func(b []byte) []byte { b[12] = 64; return b }), errFormat},
		"pointer":            {with(func(b []byte) []byte { b[12], b[13] = 0xc0, 12; return b }), errFormat},
		"trailing byte":      {append(bytes.Clone(good), 0), errFormat},
		"EDNS":               {append(with(func(b []byte) []byte { b[11] = 1; return b }), opt...), nil},
		"two OPT":            {append(append(with(func(b []byte) []byte { b[11] = 2; return b }), opt...), opt...), errFormat},
		"OPT in authority":   {append(with(func(b []byte) []byte { b[9] = 1; return b }), opt...), errFormat},
		"OPT missing":        {with(func(b []byte) []byte { b[11] = 1; return b }), errFormat},
		"OPT cut":            {append(with(func(b []byte) []byte { b[11] = 1; return b }), opt[:10]...), errFormat},
		"65535 records":      {with(func(b []byte) []byte { b[10], b[11] = 255, 255; return b }), errFormat},
		"other opcode, junk": {with(func(b []byte) []byte { b[2] = 0x28; return b[:12] }), nil},
	} {
		if _, err := parse(tt.b); !errors.Is(err, tt.want) {
			t.Errorf("%s: got %v, want %v", name, err, tt.want)
		}
	}
}

func TestTheLongestNameIsRead(t *testing.T) {
	longest := strings.Repeat(strings.Repeat("x", 63)+".", 3) + strings.Repeat("y", 61) + "."
	q := parsed(t, longest, "A")
	if q.name.String() != longest || len(q.name) != maxName {
		t.Errorf("got %d bytes: %s", len(q.name), q.name)
	}
	b := bytes.Replace(question2wire(question{name: q.name, typ: 1}, false), []byte{61, 'y'}, []byte{62, 'y', 'y'}, 1)
	if _, err := parse(b); !errors.Is(err, errFormat) {
		t.Errorf("a name of 256 bytes: %v", err)
	}
}

func TestDotsWithinLabelsAreNoDots(t *testing.T) {
	a, b := mustName(`a\.b.c.`), mustName("a.b.c.")
	if a == b || a.labels() != 2 || b.labels() != 3 {
		t.Errorf("%q and %q", a, b)
	}
	if _, ok := a.host(); ok {
		t.Error("it is no host name")
	}
}

// seeds are messages for the fuzzers, good and bad.
func seeds(t testing.TB) [][]byte {
	m := new(dns.Msg).SetQuestion("home.oak.home.arpa.", dns.TypeA)
	e := new(dns.Msg).SetQuestion("x.apps.oak.home.arpa.", dns.TypeTXT)
	e.SetEdns0(512, true)
	out := [][]byte{packed(t, m), packed(t, e), {}, []byte("GET / HTTP/1.1")}
	for _, q := range []string{"www.example.net.", "1.1.80.10.in-addr.arpa.", ".", "shop.oak.home.arpa.", "x.sub.oak.home.arpa."} {
		out = append(out, packed(t, new(dns.Msg).SetQuestion(q, dns.TypePTR)), packed(t, new(dns.Msg).SetQuestion(q, dns.TypeANY)))
	}
	return out
}

// echo is a resolver that knows everything.
type echo struct{}

func (echo) cached(question) (reply, bool) { return reply{}, false }
func (echo) resolve(_ context.Context, q question) reply {
	m := new(dns.Msg)
	m.Answer = []dns.RR{address(q.name.String(), netip.MustParseAddr("192.0.2.1"), 60)}
	a, err := digest(question{name: q.name, typ: dns.TypeA}, m)
	if err != nil {
		panic(err)
	}
	return a.reply(0)
}

// Whatever comes, the server does not panic; it answers no response, never more
// than the client takes, with the id and question that came.
func FuzzRespond(f *testing.F) {
	for _, b := range seeds(f) {
		f.Add(b)
	}
	s := New(Options{Log: slog.New(slog.DiscardHandler), Pool: listen.NewPool(nil)})
	s.beyond = echo{}
	s.table.Store(compiled(f, oak()))
	c := client{from: netip.MustParseAddr(fromLAN), to: netip.MustParseAddr("192.168.1.1")}
	f.Fuzz(func(t *testing.T, b []byte) {
		size := 0
		in := bytes.Clone(b)
		out, later := s.respond(context.Background(), in, c, func(q *query) int { size = q.size; return q.size })
		clear(in) // the buffer is the next message's by the time that later runs
		if later != nil {
			if out != nil {
				t.Fatal("answered twice")
			}
			out = later()
		}
		if out == nil {
			if len(b) >= headerLen && b[2]&0x80 == 0 {
				t.Fatalf("a query is not answered: %x", b)
			}
			return
		}
		if len(b) < headerLen || b[2]&0x80 != 0 {
			t.Fatalf("answered what is no query: %x", b)
		}
		if len(out) < headerLen || len(out) > size || size > udpSize || size < minSize {
			t.Fatalf("%d bytes to a client that takes %d", len(out), size)
		}
		if !bytes.Equal(out[:2], b[:2]) || out[2]&0x80 == 0 || out[2]&0x78 != b[2]&0x78 {
			t.Fatalf("header %x answers %x", out[:4], b[:4])
		}
		var m dns.Msg
		if err := m.Unpack(out); err != nil || !whole(out) {
			t.Fatalf("cannot be read: %v\n%x", err, out)
		}
		if m.AuthenticatedData || m.Truncated && len(m.Answer) > 0 {
			t.Fatalf("got %v", &m)
		}
		if m.Rcode == dns.RcodeSuccess {
			n := len(m.Question)
			if n != 1 || !bytes.Equal(out[headerLen:plainName(out, headerLen)+4], b[headerLen:plainName(b, headerLen)+4]) {
				t.Fatalf("the question came back as %v", m.Question)
			}
			if len(m.Answer) > 0 && m.Answer[0].Header().Name != m.Question[0].Name {
				t.Fatalf("%v answers %v", m.Answer[0], m.Question[0])
			}
		}
	})
}

// What is kept of an upstream's message answers the question and nothing else.
func FuzzDigest(f *testing.F) {
	for i, q := range []string{"alias.example.net.", "nope.example.net.", "www.example.net.", "long.example.net."} {
		r := new(dns.Msg).SetQuestion(q, dns.TypeA)
		r.SetEdns0(1232, i%2 == 0)
		w := &recorder{}
		world(w, r)
		f.Add(packed(f, w.msg), q, uint16(dns.TypeA), i%2 == 0)
	}
	f.Fuzz(func(t *testing.T, b []byte, qname string, typ uint16, do bool) {
		n, err := parseName(qname)
		m := new(dns.Msg)
		if err != nil || m.Unpack(b) != nil || m.Truncated {
			return
		}
		q := question{name: n, typ: typ, do: do}
		a, err := digest(q, m)
		if err != nil {
			return
		}
		if a.life < 0 || a.life > maxLife*time.Second {
			t.Fatalf("kept for %v", a.life)
		}
		ask := &query{raw: question2wire(q, false)[headerLen:], name: n, typ: typ, class: 1}
		for _, age := range []time.Duration{0, time.Second, 1000 * time.Hour} {
			out := message(ask, a.reply(age), 1<<20)
			var got dns.Msg
			if err := got.Unpack(out); err != nil || !whole(out) {
				t.Fatalf("cannot be read: %v", err)
			}
			at := dns.CanonicalName(n.String())
			for _, rr := range got.Answer {
				h := rr.Header()
				if h.Ttl > maxLife || h.Class != dns.ClassINET {
					t.Fatalf("%v", rr)
				}
				switch rr := rr.(type) {
				case *dns.CNAME:
					if dns.CanonicalName(h.Name) != at {
						t.Fatalf("%v is not about %s", rr, at)
					}
					if typ != dns.TypeCNAME {
						at = dns.CanonicalName(rr.Target)
					}
				case *dns.RRSIG, *dns.DNAME:
				default:
					if h.Rrtype != typ || dns.CanonicalName(h.Name) != at {
						t.Fatalf("%v does not answer %s of %s", rr, typeName(typ), at)
					}
				}
			}
			if len(got.Extra) > 0 {
				t.Fatalf("additional records: %v", got.Extra)
			}
		}
	})
}

// recorder is a ResponseWriter that keeps what is written.
type recorder struct {
	dns.ResponseWriter
	msg *dns.Msg
}

func (r *recorder) WriteMsg(m *dns.Msg) error { r.msg = m; return nil }

func BenchmarkOwnName(b *testing.B) {
	s := New(Options{Log: slog.New(slog.DiscardHandler), Pool: listen.NewPool(nil)})
	s.table.Store(compiled(b, oak()))
	benchmark(b, s, "nas.oak.home.arpa.")
}

func BenchmarkCacheHit(b *testing.B) {
	s := New(Options{Log: slog.New(slog.DiscardHandler), Pool: listen.NewPool(nil)})
	s.table.Store(compiled(b, oak()))
	q := question{name: mustName("www.example.net"), typ: dns.TypeA}
	m := new(dns.Msg)
	m.Answer = []dns.RR{address("www.example.net.", netip.MustParseAddr("192.0.2.1"), 86400)}
	a, err := digest(q, m)
	if err != nil {
		b.Fatal(err)
	}
	s.forward.cache.put(q, a, time.Now(), 0)
	benchmark(b, s, "www.example.net.")
}

func benchmark(b *testing.B, s *Server, name string) {
	msg := packed(b, new(dns.Msg).SetQuestion(name, dns.TypeA))
	c := client{from: netip.MustParseAddr(fromLAN), to: netip.MustParseAddr("192.168.1.1")}
	b.ReportAllocs()
	for i := 0; b.Loop(); i++ {
		binary.BigEndian.PutUint16(msg, uint16(i))
		if out, _ := s.respond(context.Background(), msg, c, datagramLimit); out == nil || out[3]&15 != 0 {
			b.Fatalf("%x", out)
		}
	}
}
