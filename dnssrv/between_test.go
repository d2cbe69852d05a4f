package dnssrv

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"os"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/miekg/dns"

	"pic/core/config"
	"pic/internal/listen"
	"pic/internal/nettest"
)

// A signature whose owner is a pointer into the message is as good as any other,
// and must not be taken for a signature by one part and for none by another.
func TestASignatureWithACompressedOwnerIsOne(t *testing.T) {
	s := start(t, conf(oak()), nil)
	b := packed(t, new(dns.Msg).SetQuestion("www.oak.home.arpa.", dns.TypeA))
	b[11] = 1
	b = append(b, 0xc0, headerLen, 0, byte(dns.TypeTSIG), 0, byte(dns.ClassANY), 0, 0, 0, 0, 0, 0)
	out, later := s.respond(t.Context(), b, from("192.168.1.9"), datagramLimit)
	if later != nil {
		t.Fatal("it waits for others")
	}
	if len(out) < headerLen || int(out[3]&15) != dns.RcodeFormatError && int(out[3]&15) != dns.RcodeNotAuth {
		t.Errorf("got % x", out)
	}
}

// A client may ask as often over one transport as over another.
func TestAQueryCountsOnceOverEveryTransport(t *testing.T) {
	d := lab()
	d.DNS.Rate = new(int)
	*d.DNS.Rate = 5
	d.DNS.HTTPS = new(true)
	s := guarded(t, d)
	wire := packed(t, new(dns.Msg).SetQuestion("nas.oak.home.arpa.", dns.TypeA))
	for name, once := range map[string]func(){
		"udp": func() { ask(t, s.Server, "udp", "nas.oak.home.arpa.", dns.TypeA) },
		"tcp": func() { ask(t, s.Server, "tcp", "nas.oak.home.arpa.", dns.TypeA) },
		"tls": func() {
			c := s.dot(t, "127.0.0.1", "dns.oak.home.arpa")
			if err := c.WriteMsg(new(dns.Msg).SetQuestion("nas.oak.home.arpa.", dns.TypeA)); err != nil {
				t.Error(err)
			}
			if _, err := c.ReadMsg(); err != nil {
				t.Error(err)
			}
		},
		"https": func() {
			r := httptest.NewRequest("POST", "https://dns.oak.home.arpa/dns-query", bytes.NewReader(wire))
			r.Header.Set("Content-Type", dohType)
			r.RemoteAddr = "127.0.0.1:1234"
			w := httptest.NewRecorder()
			s.DoH().ServeHTTP(w, r)
			if w.Code != http.StatusOK {
				t.Errorf("https: %d %s", w.Code, w.Body)
			}
		},
		"quic": func() {
			str, err := s.doq(t, "dns.oak.home.arpa").OpenStreamSync(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			m := new(dns.Msg).SetQuestion("nas.oak.home.arpa.", dns.TypeA)
			m.Id = 0
			b := packed(t, m)
			str.Write(append([]byte{0, byte(len(b))}, b...))
			str.Close()
			if got, err := io.ReadAll(str); err != nil || len(got) < headerLen {
				t.Errorf("quic: % x, %v", got, err)
			}
		},
	} {
		b := s.rate.bucket(s.rate.client(netip.MustParseAddr("127.0.0.1")), 0)
		b.due.Store(0)
		once()
		if due := time.Duration(b.due.Load()); due > time.Since(s.rate.start)+time.Second/5 {
			t.Errorf("%s: one query counts as more", name)
		}
	}
}

// What is told after its time was checked when it came: raw answers, which are
// kept for who checks them, are nobody else's.
func TestWhatWasNotBelievedIsNotToldAfterItsTime(t *testing.T) {
	w, _ := universe(t)
	w.Edit = func(q dns.Question, m *dns.Msg) {
		if strings.HasPrefix(q.Name, "forged.") && q.Qtype == dns.TypeA {
			rr, _ := dns.NewRR(q.Name + " 300 IN A 192.0.2.66")
			m.Answer, m.Ns, m.Rcode = []dns.RR{rr}, nil, dns.RcodeSuccess
		}
	}
	up := source(t, resolving(w, nil))
	s := start(t, conf(trusting(w, up.addr)), nil)
	for _, n := range []string{"forged.shop.example.", "lan.shop.example."} {
		ask(t, s, "udp", n, dns.TypeA, edns)
	}
	// Time goes by, and the upstream goes away.
	for i := range s.forward.cache.shards {
		sh := &s.forward.cache.shards[i]
		sh.mu.Lock()
		for _, k := range sh.by {
			k.born, k.broken = k.born.Add(-time.Hour), k.broken.Add(-time.Hour)
		}
		sh.mu.Unlock()
	}
	s.hot.Store(nil)
	up.down()
	for n, want := range map[string]string{
		"forged.shop.example.": "SERVFAIL", "lan.shop.example.": "NOERROR EDE",
	} {
		for _, with := range []func(*dns.Msg){edns, wantDO} {
			got := flags(ask(t, s, "udp", n, dns.TypeA, with))
			if !strings.HasPrefix(got, want) && !strings.HasPrefix(got, "SERVFAIL") || strings.Contains(got, "192.") {
				t.Errorf("%s: %s", n, got)
			}
		}
	}
}

func TestWhatIsForgedNowIsNotToldAsItWas(t *testing.T) {
	w, shop := universe(t)
	up := source(t, resolving(w, nil))
	s := start(t, conf(trusting(w, up.addr)), nil)
	if got := flags(ask(t, s, "udp", "www.shop.example.", dns.TypeA, wantAD)); !strings.HasPrefix(got, "ad NOERROR") {
		t.Fatalf("before: %s", got)
	}
	pass := func() {
		for i := range s.forward.cache.shards {
			sh := &s.forward.cache.shards[i]
			sh.mu.Lock()
			for _, k := range sh.by {
				k.born, k.broken = k.born.Add(-time.Hour), k.broken.Add(-time.Hour)
			}
			sh.mu.Unlock()
		}
		s.hot.Store(nil)
	}
	pass()
	s.trust.flush()
	w.Change(func() { expire(shop) })
	for range 2 {
		if got := flags(ask(t, s, "udp", "www.shop.example.", dns.TypeA, edns)); got != "SERVFAIL EDE 7" {
			t.Errorf("got %s", got)
		}
	}
}

// A query that comes before the server knows anything waits; it is not refused.
func TestNothingIsRefusedBeforeThereIsATable(t *testing.T) {
	c := conf(lab())
	port := nettest.FreePort(t)
	for i := range c.Sockets {
		c.Sockets[i].Addr = netip.AddrPortFrom(c.Sockets[i].Addr.Addr(), port)
	}
	s := New(Options{Log: slog.New(slog.DiscardHandler), Pool: listen.NewPool(nil)})
	running(t, s)
	s.keeper.mu.Lock() // as if there were much to read
	applied := make(chan error, 1)
	go func() { applied <- s.Apply(context.Background(), c) }()
	conn, err := net.Dial("udp", netip.AddrPortFrom(netip.MustParseAddr("127.0.0.1"), port).String())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	b := packed(t, new(dns.Msg).SetQuestion("nas.oak.home.arpa.", dns.TypeA))
	buf := make([]byte, maxSize)
	// As long as nobody listens, the kernel says so.
	nettest.WaitFor(t, 5*time.Second, func() bool {
		conn.Write(b)
		conn.SetReadDeadline(time.Now().Add(100 * time.Millisecond))
		_, err := conn.Read(buf)
		return err == nil || errors.Is(err, os.ErrDeadlineExceeded)
	})
	s.keeper.mu.Unlock()
	if err := <-applied; err != nil {
		t.Fatal(err)
	}
	conn.Write(b)
	conn.SetReadDeadline(time.Now().Add(5 * time.Second))
	for range 2 {
		n, err := conn.Read(buf)
		if err != nil {
			break
		}
		if rcode := int(buf[3] & 15); n < headerLen || rcode != dns.RcodeSuccess {
			t.Errorf("told %s", rcodeName(rcode))
		}
	}
	if st := s.Stats(); st.Refused != 0 {
		t.Errorf("%d refused", st.Refused)
	}
}

func TestKeptAnswersTakeAsMuchAsTheyCount(t *testing.T) {
	s := start(t, conf(lab("192.0.2.1")), nil)
	heap := func() int {
		runtime.GC()
		runtime.GC() // what was pooled goes with the second
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		return int(m.HeapAlloc)
	}
	c := client{from: loopback4, to: loopback4}
	before := heap()
	for i := range 8000 {
		q := question{name: mustName(fmt.Sprintf("host%d.some-longer-domain.example.net", i)), typ: dns.TypeA}
		a, err := digest(q, &dns.Msg{Answer: []dns.RR{address(q.name.String(), netip.MustParseAddr("192.0.2.1"), 3600)}})
		if err != nil {
			t.Fatal(err)
		}
		r := a.reply(0)
		r.last(a, time.Now())
		r.via = viaCache
		b, g := question2wire(q, true), new(sighting)
		s.hit(g, b, c)
		asked, _ := parse(b)
		table, _ := s.present()
		s.keep(g, table, &asked, r, nil)
	}
	took := heap() - before
	if h := s.hot.Load(); h.count < 7000 || took > h.bytes*5/4 {
		t.Errorf("%d kept messages take %d bytes and count as %d", h.count, took, h.bytes)
	}
	runtime.KeepAlive(s)
}

// An upstream breaks what asks it, and nothing else.
func TestWhatBreaksOnAnAnswerEndsNothing(t *testing.T) {
	s := start(t, conf(lab()), nil)
	broken := &remote{failures: 9, since: time.Now(), last: errNonsense} // without what asks it
	g := &group{route: route{domain: root}, ups: []*remote{broken}}
	before := s.forward.routing.Swap(&routing{by: map[name]*group{root: g}, root: g})
	defer s.forward.routing.Store(before)
	if broken.status().Up {
		t.Fatal("it is up, and is not probed")
	}
	s.forward.probe(t.Context())
	s.beyond = breaks{}
	if r, err := s.Lookup(t.Context(), "www.example.net", "A", netip.Addr{}); err != nil || r.Rcode != "SERVFAIL" {
		t.Errorf("got %+v, %v", r, err)
	}
}

type breaks struct{}

func (breaks) cached(question) (reply, bool)           { return reply{}, false }
func (breaks) resolve(context.Context, question) reply { panic("broken") }

// Two who are told different things are, whatever changes meanwhile, and
// however they ask.
func TestNobodyIsToldWhatIsForAnother(t *testing.T) {
	up := source(t, anything)
	doc := func(i int) Config {
		d := lab(up.addr)
		d.DNS.Filter.Enabled = new(true)
		d.DNS.Filter.Groups = []config.Group{
			{Name: "kids", Rules: []string{"||ads.test^"}, Rewrites: []config.Rewrite{{Domain: "led.test", Value: "192.0.2.1"}}},
			{Name: "big", Rewrites: []config.Rewrite{{Domain: "led.test", Value: "192.0.2.2"}}},
		}
		d.DNS.Filter.Clients = []config.Client{{Name: "kid", IDs: []string{"192.168.1.66"}, Groups: []string{"kids"}}, {Name: "mum", IDs: []string{"192.168.1.67"}, Groups: []string{"big"}}}
		if i%2 == 1 { // the same clients in another order, so that numbers move
			f := &d.DNS.Filter
			slices.Reverse(f.Clients)
			slices.Reverse(f.Groups)
			f.Rules = []string{fmt.Sprintf("||else%d.test^", i)}
		}
		return conf(d)
	}
	s := serving(t, doc(0), Options{Dir: t.TempDir()})
	want := map[string]map[string]string{
		"192.168.1.66": {"www.ads.test.": "0.0.0.0", "led.test.": "192.0.2.1", "cloak.ads.test.": "0.0.0.0"},
		"192.168.1.67": {"www.ads.test.": "192.0.2.80", "led.test.": "192.0.2.2", "cloak.ads.test.": "192.0.2.80"},
		"192.168.1.68": {"www.ads.test.": "192.0.2.80", "led.test.": "192.0.2.80", "cloak.ads.test.": "192.0.2.80"},
	}
	ctx, cancel := context.WithCancel(t.Context())
	var wg sync.WaitGroup
	for a, names := range want {
		for _, c := range []client{from(a), {from: netip.MustParseAddr(a), to: netip.MustParseAddr("192.168.1.1"), proto: overTLS}} {
			wg.Go(func() {
				c.seen = &sighting{known: new(acquaintances)}
				for ctx.Err() == nil {
					for n, addr := range names {
						b := packed(t, new(dns.Msg).SetQuestion(n, dns.TypeA))
						out := bytes.Clone(s.hit(c.seen, b, c))
						if out == nil {
							var later func() []byte
							if out, later = s.respond(ctx, b, c, streamLimit); later != nil {
								out = later()
							}
						}
						var m dns.Msg
						if err := m.Unpack(out); err != nil {
							t.Errorf("%s: %v", n, err)
							return
						}
						got := ""
						for _, rr := range m.Answer {
							if rr, ok := rr.(*dns.A); ok {
								got = rr.A.String()
							}
						}
						if got != addr && m.Rcode == dns.RcodeSuccess {
							t.Errorf("%s is told %s for %s, not %s", c.from, got, n, addr)
							return
						}
					}
				}
			})
		}
	}
	for i := range 20 {
		if err := s.Apply(t.Context(), doc(i)); err != nil {
			t.Error(err)
		}
		if i%7 == 0 {
			s.Flush()
		}
		ask(t, s, "udp", "nas.oak.home.arpa.", dns.TypeA)
	}
	cancel()
	wg.Wait()
}
