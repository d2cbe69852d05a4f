package dnssrv

import (
	"bytes"
	"context"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"net/netip"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/miekg/dns"

	"pic/core/config"
	"pic/internal/listen"
)

// warmed is a server of the document oak without sockets, whose cache has an
// answer of an upstream for www.example.net.
func warmed(t testing.TB, age time.Duration) *Server {
	t.Helper()
	s := New(Options{Log: slog.New(slog.DiscardHandler), Pool: listen.NewPool(nil)})
	s.table.Store(compiled(t, oak()))
	q := question{name: mustName("www.example.net."), typ: dns.TypeA}
	for _, q.do = range []bool{false, true} {
		m := new(dns.Msg)
		m.Answer = []dns.RR{address("www.example.net.", netip.MustParseAddr("192.0.2.1"), 60)}
		a, err := digest(q, m)
		if err != nil {
			t.Fatal(err)
		}
		s.forward.cache.put(q, a, time.Now().Add(-age), s.forward.cache.now())
	}
	return s
}

func from(a string) client {
	return client{from: netip.MustParseAddr(a), to: netip.MustParseAddr("192.168.1.1")}
}

// answered is what s tells c without what is kept, and whether at once.
func answered(s *Server, b []byte, c client) ([]byte, bool) {
	out, later := s.respond(context.Background(), bytes.Clone(b), c, datagramLimit)
	return out, later == nil
}

// recalled is what s tells c by way of what is kept; hit says whether it was.
func recalled(s *Server, b []byte, c client) (out []byte, hit bool) {
	g := new(sighting)
	if out := s.hit(g, b, c); out != nil {
		return out, true
	}
	c.seen = g
	out, _ = s.respond(context.Background(), bytes.Clone(b), c, datagramLimit)
	return out, false
}

func TestKeptAnswersAreTheOnesThatWouldBeMade(t *testing.T) {
	s := warmed(t, 0)
	s.table.Load().responses = 0 // or the stranger gets nothing before long
	r := rand.New(rand.NewPCG(1, 2))
	askers := []string{"127.0.0.1", fromLAN, fromVPN, "192.168.1.77", "203.0.113.5"}
	names := []string{"home.oak.home.arpa.", "oak.home.arpa.", "x.apps.oak.home.arpa.", "shop.oak.home.arpa.", "no.oak.home.arpa.", "www.example.net.", "x.sub.oak.home.arpa.", "1.1.168.192.in-addr.arpa.", "localhost.", "."}
	types := []uint16{dns.TypeA, dns.TypeAAAA, dns.TypeSOA, dns.TypeNS, dns.TypeTXT, dns.TypePTR, dns.TypeMX, dns.TypeANY, dns.TypeAXFR, dns.TypeDS}
	hits := 0
	for i := range 20_000 {
		m := new(dns.Msg).SetQuestion(names[r.IntN(len(names))], types[r.IntN(len(types))])
		m.RecursionDesired, m.CheckingDisabled = r.IntN(4) > 0, r.IntN(8) == 0
		if r.IntN(2) == 0 {
			m.SetEdns0(uint16(r.IntN(3000)), r.IntN(2) == 0)
		}
		mixed := r.IntN(3) == 0
		if mixed {
			m.Question[0].Name = strings.ToUpper(m.Question[0].Name[:1]) + m.Question[0].Name[1:]
		}
		b, c := packed(t, m), from(askers[r.IntN(len(askers))])
		want, now := answered(s, b, c)
		got, hit := recalled(s, b, c)
		if !now {
			if hit {
				t.Fatalf("%d: hit for what takes others: %v", i, m)
			}
			continue
		}
		if hit {
			hits++
		}
		if bytes.Equal(got, want) {
			continue
		}
		// Where letters differ, names are compressed differently.
		var g, w dns.Msg
		if !mixed || g.Unpack(got) != nil || w.Unpack(want) != nil || !strings.EqualFold(g.String(), w.String()) || g.Question[0] != w.Question[0] {
			t.Fatalf("%d, hit %v: got\n%v\nwant\n%v", i, hit, &g, &w)
		}
	}
	if hits < 5000 {
		t.Errorf("only %d hits", hits)
	}
}

// all returns what is kept.
func (h *hot) all() (out []*warm) {
	slots := *h.slots.Load()
	for i := range slots {
		if w := slots[i].Load(); w != nil {
			out = append(out, w)
		}
	}
	return out
}

func TestAHitNeedsNoMemory(t *testing.T) {
	s := warmed(t, 0)
	ring := s.diary.Ring()
	defer ring.Close()
	for _, name := range []string{"home.oak.home.arpa.", "www.example.net."} {
		b, g, c := packed(t, new(dns.Msg).SetQuestion(name, dns.TypeA)), &sighting{ring: ring}, from(fromLAN)
		recalled(s, b, c)
		if n := testing.AllocsPerRun(200, func() {
			if s.hit(g, b, c) == nil {
				t.Fatal("no hit")
			}
		}); n != 0 {
			t.Errorf("%s: %v allocations", name, n)
		}
	}
}

func TestKeptTTLsCountDownAndEnd(t *testing.T) {
	for name, tt := range map[string]struct {
		age time.Duration
		ttl uint32
		hit bool
	}{
		"fresh": {0, 60, true}, "old": {20500 * time.Millisecond, 40, true}, "over": {61 * time.Second, 0, false},
	} {
		s := warmed(t, 0)
		b := packed(t, new(dns.Msg).SetQuestion("www.example.net.", dns.TypeA))
		recalled(s, b, from(fromLAN))
		h := s.hot.Load()
		for _, w := range h.all() {
			w.born, w.until = w.born.Add(-tt.age), w.until.Add(-tt.age)
		}
		got := s.hit(new(sighting), b, from(fromLAN))
		if (got != nil) != tt.hit {
			t.Errorf("%s: hit %v", name, got != nil)
			continue
		}
		var m dns.Msg
		if got != nil && (m.Unpack(got) != nil || m.Answer[0].Header().Ttl != tt.ttl) {
			t.Errorf("%s: %v", name, &m)
		}
	}
}

func TestAChangeIsSeenByTheNextQuery(t *testing.T) {
	s := warmed(t, 0)
	b := packed(t, new(dns.Msg).SetQuestion("n.oak.home.arpa.", dns.TypeTXT))
	stop := make(chan struct{})
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			for {
				select {
				case <-stop:
					return
				default:
					recalled(s, b, from(fromLAN))
				}
			}
		})
	}
	for i := range 200 {
		d := oak()
		d.DNS.Records = append(d.DNS.Records, config.Record{Name: "n", Type: "TXT", Value: fmt.Sprintf("v%d", i)})
		s.table.Store(compiled(t, d))
		for range 3 {
			out, _ := recalled(s, b, from(fromLAN))
			if !bytes.Contains(out, fmt.Appendf(nil, "\x00%c%cv%d", 2+len(fmt.Sprint(i)), 1+len(fmt.Sprint(i)), i)) {
				t.Errorf("change %d is not seen: %q", i, out)
			}
		}
	}
	close(stop)
	wg.Wait()
}

func TestKeptAnswersStayWithinTheirBytes(t *testing.T) {
	h := newHot(basis{})
	for i := range 20_000 {
		h.put(&warm{key: fmt.Sprint(i), hash: rand.Uint64(), wire: make([]byte, udpSize)})
	}
	sum := 0
	for _, w := range h.all() {
		sum += w.cost()
	}
	if sum != h.bytes || sum > hotBytes || sum < hotBytes/2 {
		t.Errorf("%d bytes, counted as %d", sum, h.bytes)
	}
}

// What is read here is read so by parse and by the library, too.
func FuzzSighting(f *testing.F) {
	for _, b := range seeds(f) {
		f.Add(b)
	}
	s := warmed(f, 0)
	f.Fuzz(func(t *testing.T, b []byte) {
		g := new(sighting)
		if g.read(b) {
			q, err := parse(b)
			if err != nil || q.size != g.size || string(q.name) != string(g.key[:len(q.name)]) {
				t.Fatalf("read otherwise: %v %x", err, b)
			}
			var m dns.Msg
			if m.Unpack(b) == nil && (len(m.Question) != 1 || m.Question[0].Qtype != q.typ || (m.IsEdns0() != nil) != q.edns) {
				t.Fatalf("the library reads otherwise: %v %x", &m, b)
			}
		}
		want, now := answered(s, b, from(fromLAN))
		recalled(s, b, from(fromLAN))
		got, hit := recalled(s, b, from(fromLAN))
		if hit && (!now || len(got) > g.size || !bytes.Equal(got[:headerLen-8], want[:headerLen-8])) {
			t.Fatalf("got %x, want %x", got, want)
		}
	})
}

func TestWhoAsksFromTheVPNNeverGetsTheLoopbackAnswer(t *testing.T) {
	s := warmed(t, 0)
	b := packed(t, new(dns.Msg).SetQuestion("home.oak.home.arpa.", dns.TypeA))
	seen := map[string]string{}
	for range 3 {
		for _, a := range []string{"127.0.0.1", fromVPN, fromLAN} {
			out, _ := recalled(s, b, from(a))
			var m dns.Msg
			if err := m.Unpack(out); err != nil || len(m.Answer) != 1 {
				t.Fatalf("%s: %v %v", a, err, &m)
			}
			got := m.Answer[0].(*dns.A).A.String()
			if seen[a] == "" {
				seen[a] = got
			}
			if seen[a] != got || (got == "127.0.0.1") != (a == "127.0.0.1") {
				t.Errorf("%s is told %s, before %s", a, got, seen[a])
			}
		}
	}
	if seen[fromVPN] == seen[fromLAN] {
		t.Errorf("the VPN is told what the LAN is: %v", seen)
	}
	if s.hit(new(sighting), b, from("203.0.113.5")) != nil {
		t.Error("a stranger is answered")
	}
}

func TestAKeptAnswerIsNotSentToWhoTakesLess(t *testing.T) {
	s := warmed(t, 0)
	d := oak()
	for i := range 20 {
		d.DNS.Records = append(d.DNS.Records, config.Record{Name: "many", Type: "TXT", Value: fmt.Sprintf("%040d", i)})
	}
	s.table.Store(compiled(t, d))
	for _, tt := range []struct {
		size uint16
		hit  bool
	}{{1232, false}, {4096, true}, {512, false}, {1232, true}} {
		m := new(dns.Msg).SetQuestion("many.oak.home.arpa.", dns.TypeTXT)
		m.SetEdns0(tt.size, false)
		out, hit := recalled(s, packed(t, m), from(fromLAN))
		var got dns.Msg
		if err := got.Unpack(out); err != nil || hit != tt.hit || got.Truncated != (tt.size == 512) || len(out) > int(tt.size) {
			t.Errorf("%d: hit %v, %d bytes, %v", tt.size, hit, len(out), err)
		}
	}
}
