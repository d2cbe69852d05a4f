package dnssrv

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/miekg/dns"
)

func TestTheFirstAnswerOfAnUpstreamIsKept(t *testing.T) {
	up := source(t, world)
	s := start(t, conf(lab(up.addr)), nil)
	for i := range 3 {
		ask(t, s, "udp", "www.example.net.", dns.TypeA)
		if n := s.Stats(); n.Cached != uint64(i) || up.udp.Load() != 1 {
			t.Fatalf("after %d queries: %d from the cache, %d upstream", i+1, n.Cached, up.udp.Load())
		}
		if i == 0 && len(s.hot.Load().all()) != 1 {
			t.Fatal("it is not kept")
		}
	}
}

// waker is a resolver that notes what is to be found out anew.
type waker struct {
	resolver
	asked atomic.Int64
	last  atomic.Pointer[question]
}

func (w *waker) prefetch(q question) {
	w.asked.Add(1)
	w.last.Store(&q)
}

func TestWhatIsAskedForNearItsEndIsFoundOutAnewOnce(t *testing.T) {
	s := warmed(t, 0)
	w := &waker{resolver: s.beyond}
	s.beyond = w
	m := new(dns.Msg).SetQuestion("wWw.example.net.", dns.TypeA)
	m.SetEdns0(1232, true)
	b := packed(t, m)
	recalled(s, b, from(fromLAN))
	h, g := s.current(), new(sighting)
	for _, tt := range []struct {
		after time.Duration
		asked int64
		hit   bool
	}{{0, 0, true}, {53 * time.Second, 0, true}, {55 * time.Second, 1, true}, {59 * time.Second, 1, true}, {61 * time.Second, 1, false}} {
		out := s.sought(g, b, from(fromLAN), h, time.Now().Add(tt.after))
		if (out != nil) != tt.hit || w.asked.Load() != tt.asked {
			t.Errorf("after %v: hit %v, asked for %d times", tt.after, out != nil, w.asked.Load())
		}
	}
	if q := w.last.Load(); q == nil || *q != (question{name: mustName("www.example.net."), typ: dns.TypeA, do: true}) {
		t.Errorf("it asked for %v", q)
	}
}

// Whatever is kept is found, as it grows; and nothing else.
func TestWhatIsKeptGrowsWithUse(t *testing.T) {
	h := newHot(basis{})
	if n := len(*h.slots.Load()); n > 1024 {
		t.Errorf("%d slots for nothing", n)
	}
	const n = 20_000
	for i := range n {
		h.put(&warm{key: fmt.Sprint(i), hash: rand.Uint64(), wire: make([]byte, 16)})
	}
	found := 0
	g := new(sighting)
	for _, w := range h.all() {
		g.hash, g.who, g.n = w.hash, w.who, copy(g.key[:], w.key)
		if h.get(g) == w {
			found++
		}
	}
	if found != h.count || found < hotBytes/(hotOverhead+32) || found < n*3/5 || len(*h.slots.Load()) > hotSets*hotWays {
		t.Errorf("%d of %d are found, %d slots, %d bytes", found, h.count, len(*h.slots.Load()), h.bytes)
	}
}

// An answer that a zone gives is not kept for ever, for its signatures end.
func TestAnswersOfZonesAreMadeAnewNowAndThen(t *testing.T) {
	s := warmed(t, 0)
	b := packed(t, new(dns.Msg).SetQuestion("nas.oak.home.arpa.", dns.TypeA))
	recalled(s, b, from(fromLAN))
	for after, want := range map[time.Duration]bool{0: true, zoneLife - time.Minute: true, zoneLife + time.Minute: false} {
		if got := s.sought(new(sighting), b, from(fromLAN), s.current(), time.Now().Add(after)) != nil; got != want {
			t.Errorf("after %v: hit %v", after, got)
		}
	}
}

// Queries that wait for upstreams do not keep those from theirs whose answer is
// at hand, and what one client lets wait is bounded.
func TestHitsDoNotWaitForMisses(t *testing.T) {
	var asked sync.Map
	waiting, done := make(chan string, 2*maxPerHost), make(chan struct{})
	up := source(t, func(_ dns.ResponseWriter, r *dns.Msg) {
		name := strings.ToLower(r.Question[0].Name) // in mixed case, and perhaps for the second time
		if _, again := asked.LoadOrStore(name, true); !again {
			waiting <- name
		}
		<-done
	})
	s := start(t, conf(lab(up.addr)), nil)
	t.Cleanup(func() { close(done) })
	c, err := dns.Dial("udp", s.at(t, "udp"))
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	for i := range 2 * maxPerHost {
		if err := c.WriteMsg(new(dns.Msg).SetQuestion(fmt.Sprintf("n%d.example.net.", i), dns.TypeA)); err != nil {
			t.Fatal(err)
		}
		if i < maxPerHost {
			<-waiting
		}
	}
	for range 100 {
		ask(t, s, "udp", "nas.oak.home.arpa.", dns.TypeA)
		ask(t, s, "udp", "files.oak.home.arpa.", dns.TypeTXT)
	}
	if n := len(waiting); n != 0 {
		t.Errorf("%d too many wait", n)
	}
	if n := s.busy.Load(); n != 0 {
		t.Errorf("%d are counted as busy", n)
	}
}

// Over a connection nothing is lost: who asks too much is read more slowly.
func TestAStreamThatAsksTooMuchWaits(t *testing.T) {
	d := lab()
	d.DNS.Rate = new(int)
	*d.DNS.Rate = 20
	s := start(t, conf(d), nil)
	c, err := dns.Dial("tcp", s.at(t, "tcp"))
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	began := time.Now()
	const n = 30
	for i := range n {
		m := new(dns.Msg).SetQuestion("nas.oak.home.arpa.", dns.TypeA)
		m.Id = uint16(i)
		if err := c.WriteMsg(m); err != nil {
			t.Fatal(err)
		}
	}
	for i := range n {
		if m, err := c.ReadMsg(); err != nil || m.Id != uint16(i) || m.Rcode != dns.RcodeSuccess || m.Truncated {
			t.Fatalf("answer %d: %v %v", i, m, err)
		}
	}
	if took := time.Since(began); took < (n-20-1)*time.Second/20 {
		t.Errorf("%d answers within %v", n, took)
	}
}

// What is kept is what the library would say: a hit unpacks to the very message
// that is made anew, but for compression and for TTLs that count down, whatever
// the client and its options, and packs within what the client takes.
func FuzzKeptAgainstTheLibrary(f *testing.F) {
	for i, b := range seeds(f) {
		f.Add(b, uint16(512+200*i), byte(i), byte(i*7))
	}
	s := warmed(f, 5*time.Second)
	types := []uint16{dns.TypeA, dns.TypeAAAA, dns.TypeTXT, dns.TypeSOA, dns.TypeHTTPS, dns.TypeSRV}
	f.Fuzz(func(t *testing.T, label []byte, size uint16, flags, with byte) {
		m := new(dns.Msg).SetQuestion("www.example.net.", types[int(with)%len(types)])
		if flags&1 != 0 {
			b := append([]byte{byte(min(len(label), 63))}, label[:min(len(label), 63)]...)
			if len(label) == 0 {
				b = nil
			}
			n, _, err := dns.UnpackDomainName(append(b, "\x03oak\x04home\x04arpa\x00"...), 0)
			if err != nil {
				return
			}
			m.Question[0].Name = n
		}
		m.RecursionDesired, m.CheckingDisabled, m.AuthenticatedData = flags&2 != 0, flags&4 != 0, flags&8 != 0
		if flags&16 != 0 {
			m.SetEdns0(size, flags&32 != 0)
			if flags&64 != 0 {
				m.IsEdns0().Option = append(m.IsEdns0().Option, &dns.EDNS0_COOKIE{Code: dns.EDNS0COOKIE, Cookie: "0123456789abcdef"}, &dns.EDNS0_NSID{Code: dns.EDNS0NSID})
			}
			if flags&128 != 0 {
				m.IsEdns0().Option = append(m.IsEdns0().Option, &dns.EDNS0_LOCAL{Code: 65001, Data: label})
			}
		}
		c := from([]string{"127.0.0.1", fromLAN, fromVPN}[int(with)%3])
		c.proto = proto(with % 5)
		b, err := m.Pack()
		if err != nil {
			return
		}
		limit := func(q *query) int { return q.proto.limit(&q.opt) }
		made, later := s.respond(t.Context(), b, c, limit)
		if later != nil {
			return
		}
		g := new(sighting)
		if s.hit(g, b, c) == nil {
			c.seen = g
			s.respond(t.Context(), b, c, limit)
		}
		kept := s.hit(g, b, c)
		if kept == nil {
			return
		}
		var got, want dns.Msg
		if err := got.Unpack(kept); err != nil {
			t.Fatalf("the library cannot read it: %v\n%x", err, kept)
		}
		if err := want.Unpack(made); err != nil {
			t.Fatal(err)
		}
		if !whole(kept) || c.proto == overUDP && len(kept) > max(minSize, min(int(size), udpSize)) || len(kept) > roomFor {
			t.Fatalf("%d bytes to a client that takes %d", len(kept), size)
		}
		if got.Id != m.Id || got.Question[0] != m.Question[0] || got.Response != true {
			t.Fatalf("%v answers %v", &got, m)
		}
		for _, msg := range []*dns.Msg{&got, &want} {
			if opt := msg.IsEdns0(); opt != nil {
				for _, o := range opt.Option {
					switch o := o.(type) {
					case *dns.EDNS0_COOKIE:
						o.Cookie = o.Cookie[:16] // then comes the time
					case *dns.EDNS0_PADDING:
						o.Padding = nil // names of another case are compressed otherwise
					}
				}
			}
			for _, rr := range append(append([]dns.RR{}, msg.Answer...), msg.Ns...) {
				rr.Header().Ttl = 0
				if strings.EqualFold(rr.Header().Name, m.Question[0].Name) {
					rr.Header().Name = m.Question[0].Name
				}
			}
		}
		if got.String() != want.String() {
			t.Fatalf("kept\n%v\nmade\n%v", &got, &want)
		}
	})
}

// What is kept shrinks with the machine, and is never more than it was made for.
func TestKeptAnswersTakeTheirShareOfMemory(t *testing.T) {
	for memory, want := range map[int64][2]int{
		0:        {cacheBytes, hotBytes},
		1 << 40:  {cacheBytes, hotBytes},
		20 << 20: {16 << 20, 4 << 20},
		1:        {cacheBytes / 4, hotBytes / 4},
	} {
		o := Options{Memory: memory}
		if got := [2]int{o.room(4), o.room(1)}; got != want {
			t.Errorf("of %d bytes: %v, not %v", memory, got, want)
		}
	}
	h := newHot(basis{})
	h.most = 1 << 20
	for i := range 20_000 {
		h.put(&warm{key: fmt.Sprint(i), hash: rand.Uint64(), wire: make([]byte, 16)})
	}
	if h.bytes > h.most || h.bytes < h.most/2 || len(h.all()) != h.count {
		t.Errorf("%d bytes of %d", h.bytes, h.most)
	}
}
