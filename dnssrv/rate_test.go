package dnssrv

import (
	"encoding/binary"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"net"
	"net/netip"
	"sync"
	"testing"
	"time"

	"github.com/miekg/dns"
	"golang.org/x/net/ipv4"

	"pic/dnssrv/querylog"
	"pic/internal/listen"
	"pic/internal/nettest"
)

func TestARateLetsThroughWhatItSays(t *testing.T) {
	for name, tt := range map[string]struct {
		rate, each    int           // of that many
		every         time.Duration // one comes
		passed, slips int           // at most, and no less than nine tenths
	}{
		"under":     {100, 50, 20 * time.Millisecond, 50, 0},
		"all":       {100, 100, 0, 100, 0},
		"flood":     {20, 1000, time.Millisecond, 40, 40},
		"one":       {1, 10, 0, 1, 1},
		"in a rush": {1000, 100_000, 10 * time.Microsecond, 2000, 2000},
		"no limit":  {0, 1000, 0, 1000, 0},
	} {
		l, now := newLimiter(), time.Now()
		var got [3]int
		for range tt.each {
			got[l.judge(7, tt.rate, now)]++
			now = now.Add(tt.every)
		}
		if got[pass] > tt.passed || got[pass] < tt.passed*9/10 || got[slip] > tt.slips || got[slip] < tt.slips*9/10 {
			t.Errorf("%s: %d passed, %d slipped, %d dropped", name, got[pass], got[slip], got[drop])
		}
		if v := l.judge(8, tt.rate, now); v != pass {
			t.Errorf("%s: another suffers", name)
		}
		if v := l.judge(7, tt.rate, now.Add(2*time.Second)); v != pass {
			t.Errorf("%s: it is not forgiven", name)
		}
	}
}

// Whoever is busy is remembered, however many others come.
func TestALimiterForgetsWhoIsQuiet(t *testing.T) {
	l, now := newLimiter(), time.Now()
	passed := 0
	for range 20_000 {
		l.judge(rand.Uint64(), 10, now)
		if l.judge(7, 10, now) == pass {
			passed++
		}
		now = now.Add(100 * time.Microsecond)
	}
	if passed > 32 {
		t.Errorf("%d passed of a rate of 10 in two seconds", passed)
	}
}

func TestALimiterCountsForAllAtOnce(t *testing.T) {
	l, now := newLimiter(), time.Now()
	l.judge(7, 1000, now)
	var wg sync.WaitGroup
	var got [4]int
	for i := range got {
		wg.Go(func() {
			for range 10_000 {
				if l.judge(7, 1000, now) == pass {
					got[i]++
				}
			}
		})
	}
	wg.Wait()
	if sum := got[0] + got[1] + got[2] + got[3]; sum != 999 {
		t.Errorf("%d passed", sum)
	}
}

func TestAMachineIsOneClientWhateverItsAddresses(t *testing.T) {
	l := newLimiter()
	for _, tt := range []struct {
		a, b string
		same bool
	}{
		{"192.168.1.1", "192.168.1.1", true},
		{"192.168.1.1", "192.168.1.2", false},
		{"192.168.1.1", "::ffff:192.168.1.1", true},
		{"fd00::1", "fd00::2", true},
		{"fd00::1", "fd00:0:0:1::1", false},
		{"fe80::1%eth0", "fe80::2%eth1", true},
	} {
		if got := l.client(netip.MustParseAddr(tt.a)) == l.client(netip.MustParseAddr(tt.b)); got != tt.same {
			t.Errorf("%s and %s: the same is %v", tt.a, tt.b, got)
		}
	}
	for _, tt := range []struct{ in, want string }{
		{"198.51.100.77", "::ffff:198.51.100.0"}, {"2001:db8:1:1fff::1", "2001:db8:1:1f00::"}, {"255.255.255.255", "::ffff:255.255.255.0"},
	} {
		if got := netip.AddrFrom16(maskOf(netip.MustParseAddr(tt.in), strangers4, strangers6)); got != netip.MustParseAddr(tt.want) {
			t.Errorf("%s: %s", tt.in, got)
		}
	}
}

// A client over its limit hears nothing, or to come over TCP; never an answer.
func TestTooManyQueriesOfAClientAreNotAnswered(t *testing.T) {
	d := lab()
	d.DNS.Rate = new(int)
	*d.DNS.Rate = 10
	s := start(t, conf(d), nil)
	c, err := net.Dial("udp", s.at(t, "udp"))
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	began := time.Now()
	for i := range 200 {
		m := new(dns.Msg).SetQuestion(fmt.Sprintf("n%d.oak.home.arpa.", i), dns.TypeA)
		c.Write(packed(t, m))
	}
	answers, cut := count(t, c)
	most := 10 + int(10*time.Since(began).Seconds()) + 1
	if answers < 10 || answers > most || cut < 9 || cut > most {
		t.Errorf("%d answers and %d cut of a rate of 10", answers, cut)
	}
	if st := s.Stats(); st.Dropped+st.Slipped+st.Local != 200 || st.Slipped != uint64(cut) || st.UDP != 200 {
		t.Errorf("counted %+v", st)
	}
}

// count reads answers until none has come for a while.
func count(t *testing.T, c net.Conn) (answers, cut int) {
	t.Helper()
	b := make([]byte, 2000)
	for {
		c.SetReadDeadline(time.Now().Add(300 * time.Millisecond))
		n, err := c.Read(b)
		if err != nil {
			return answers, cut
		}
		var m dns.Msg
		if err := m.Unpack(b[:n]); err != nil {
			t.Fatal(err)
		}
		if m.Truncated {
			if len(m.Answer)+len(m.Ns) > 0 {
				t.Errorf("cut, and yet %v", &m)
			}
			cut++
		} else {
			answers++
		}
	}
}

// Check 33: whoever asks in the name of a whole network gets no more than the
// configured answers for it, and as many words to come over TCP, none of them
// longer than what he sent.
func TestAnswersToStrangersAreRationed(t *testing.T) {
	lab := nettest.New(t)
	cell, client := lab.Self(), lab.Host("stranger")
	lab.Link(cell, "wan0", "203.0.113.1/24", client, "eth0", "203.0.113.2/24")
	client.Run(t, "ip", "route", "add", "local", "198.51.100.0/24", "dev", "lo") // all of them are his
	client.Run(t, "ip", "route", "add", "local", "192.0.2.0/24", "dev", "lo")
	cell.Route("198.51.100.0/24", "203.0.113.2")
	cell.Route("192.0.2.0/24", "203.0.113.2")
	d := oak()
	d.DNS.Port = 53
	d.DNS.Rate = new(int)
	c := From(d)
	c.Allow = append(c.Allow, netip.MustParsePrefix("198.51.100.0/24")) // but not 192.0.2.0/24
	s := New(Options{Log: slog.New(slog.DiscardHandler), Pool: listen.NewPool(nil), Dir: t.TempDir()})
	if err := s.Apply(t.Context(), c); err != nil {
		t.Fatal(err)
	}
	running(t, s)
	var pc net.PacketConn
	if err := client.Do(func() (err error) { pc, err = net.ListenPacket("udp4", ":0"); return err }); err != nil {
		t.Fatal(err)
	}
	defer pc.Close()
	p := ipv4.NewPacketConn(pc)
	to := net.UDPAddrFromAddrPort(netip.MustParseAddrPort("203.0.113.1:53"))
	const limit = 20 // dns.responses by default
	given := uint64(0)
	for name, tt := range map[string]struct {
		net  string
		ask  func(i int) *dns.Msg
		most float64 // of the limit
		code int
	}{
		"one name":    {"198.51.100.", func(int) *dns.Msg { return new(dns.Msg).SetQuestion("nas.oak.home.arpa.", dns.TypeA) }, 1, dns.RcodeSuccess},
		"no name":     {"198.51.100.", func(i int) *dns.Msg { return new(dns.Msg).SetQuestion(fmt.Sprintf("n%d.oak.home.arpa.", i), dns.TypeA) }, 1, dns.RcodeNameError},
		"not allowed": {"192.0.2.", func(i int) *dns.Msg { return new(dns.Msg).SetQuestion(fmt.Sprintf("n%d.example.net.", i), dns.TypeA) }, 1, dns.RcodeRefused},
	} {
		t.Run(name, func(t *testing.T) {
			began := time.Now()
			long := 0
			for i := range 1000 {
				b := packed(t, tt.ask(i))
				long = max(long, len(b))
				src := &ipv4.ControlMessage{Src: net.ParseIP(tt.net + fmt.Sprint(1+i%250))}
				if _, err := p.WriteTo(b, src, to); err != nil {
					t.Fatal(err)
				}
			}
			full, cut := 0, 0
			b := make([]byte, 2000)
			for {
				pc.SetReadDeadline(time.Now().Add(300 * time.Millisecond))
				n, _, err := pc.ReadFrom(b)
				if err != nil {
					break
				}
				switch {
				case b[2]&2 != 0:
					cut++
					if n > long {
						t.Fatalf("%d bytes came of %d", n, long)
					}
				case int(b[3]&15) == tt.code:
					full++
				default:
					t.Fatalf("code %d", b[3]&15)
				}
			}
			if tt.code != dns.RcodeRefused {
				given += uint64(full)
			}
			most := 1 + int(limit*(1+time.Since(began).Seconds()))
			if full < limit || full > most || cut < limit-1 || cut > most {
				t.Errorf("%d answers and %d cut to 1000 queries within %v", full, cut, time.Since(began))
			}
		})
	}
	st := s.Stats()
	if st.Slipped < 3*(limit-1) {
		t.Errorf("%d slipped", st.Slipped)
	}
	// What was not given does not count as an answer, and the log says so.
	if st.Local != given || st.Rcodes["NOERROR"]+st.Rcodes["NXDOMAIN"] != given {
		t.Errorf("%d answers are counted (%v), and %d were given", st.Local, st.Rcodes, given)
	}
	logged := map[querylog.Verdict]uint64{}
	nettest.WaitFor(t, 10*time.Second, func() bool {
		clear(logged)
		q := QueryFilter{}
		for q.Limit = 500; ; {
			page, err := s.Queries(t.Context(), q)
			if err != nil {
				t.Fatal(err)
			}
			for _, r := range page.Records {
				logged[r.Verdict]++
			}
			if page.Next == 0 {
				break
			}
			q.Before = page.Next
		}
		return logged[querylog.Answered]+logged[querylog.Limited] >= 2000
	})
	if logged[querylog.Answered] != given || logged[querylog.Limited] != 2000-given {
		t.Errorf("logged: %v, answers given: %d", logged, given)
	}
}

// While answers are rationed, who has no cookie of ours gets one and no answer;
// who has one gets all his answers.
func TestACookieIsTheWayOutOfTheRation(t *testing.T) {
	s := warmed(t, 0)
	tab := s.table.Load()
	now := time.Now()
	m := new(dns.Msg).SetQuestion("nas.oak.home.arpa.", dns.TypeA)
	m.SetEdns0(1232, false)
	c := client{from: netip.MustParseAddr("198.51.100.1")}
	told := func(with string) *dns.Msg {
		m.IsEdns0().Option = []dns.EDNS0{&dns.EDNS0_COOKIE{Code: dns.EDNS0COOKIE, Cookie: with}}
		b := packed(t, m)
		q, err := parse(b)
		if err != nil {
			t.Fatal(err)
		}
		q.ready = s.greeting(nil, &q.opt, c)
		out, _ := s.ration(tab, message(&q, reply{}, q.size), b, &q.opt, c, now)
		if out == nil {
			return nil
		}
		r := new(dns.Msg)
		if err := r.Unpack(out); err != nil {
			t.Fatal(err)
		}
		if len(out) > len(b)+serverCookie {
			t.Errorf("%d bytes to %d", len(out), len(b))
		}
		return r
	}
	for range 20 {
		if r := told("0123456789abcdef"); r == nil || r.Rcode != dns.RcodeSuccess {
			t.Fatalf("within the ration: %v", r)
		}
	}
	r := told("0123456789abcdef")
	if r == nil || r.Rcode != dns.RcodeBadCookie || r.Truncated || r.Id != m.Id || len(r.Question) != 1 {
		t.Fatalf("beyond it: %v", r)
	}
	if r := told("0123456789abcdef"); r != nil {
		t.Errorf("beyond it, the second time: %v", r)
	}
	for range 100 {
		if r := told(r.IsEdns0().Option[0].(*dns.EDNS0_COOKIE).Cookie); r == nil || r.Rcode != dns.RcodeSuccess {
			t.Fatalf("with a cookie: %v", r)
		}
	}
	if r := told("0123456789abcdef0100000000000000aaaaaaaaaaaaaaaa"); r != nil && r.Rcode == dns.RcodeSuccess {
		t.Errorf("with a cookie made up: %v", r)
	}
}

func TestOnlyStrangersAreRationed(t *testing.T) {
	tab := warmed(t, 0).table.Load()
	for a, want := range map[string]bool{
		"127.0.0.1": false, "::1": false, fromLAN: false, "::ffff:" + fromLAN: false, fromVPN: false, "fd12:3456:789a:1::7": false,
		"198.51.100.1": true, "192.168.2.1": true, "2001:db8::1": true, "fe80::1%eth0": false,
	} {
		if got := tab.far(netip.MustParseAddr(a)); got != want {
			t.Errorf("%s: far is %v", a, got)
		}
	}
}

func TestTheGistOfAnAnswer(t *testing.T) {
	s := warmed(t, 0)
	sum := func(qname string, typ uint16) uint64 {
		out, _ := answered(s, packed(t, new(dns.Msg).SetQuestion(qname, typ)), from(fromLAN))
		return s.gistOf(out)
	}
	for _, tt := range []struct {
		a, b string
		typ  uint16
		same bool
	}{
		{"nas.oak.home.arpa.", "NAS.oak.home.arpa.", dns.TypeA, true},
		{"nas.oak.home.arpa.", "tv.oak.home.arpa.", dns.TypeA, false},
		{"x.oak.home.arpa.", "y.oak.home.arpa.", dns.TypeA, true},
		{"x.oak.home.arpa.", "nas.oak.home.arpa.", dns.TypeTXT, false}, // the code is another
		{"tv.oak.home.arpa.", "nas.oak.home.arpa.", dns.TypeTXT, true},
		{"x.oak.home.arpa.", "y.other.home.arpa.", dns.TypeA, false},
		{"a.test.", "b.oak.home.arpa.", dns.TypeAXFR, true}, // refused
	} {
		if got := sum(tt.a, tt.typ) == sum(tt.b, tt.typ); got != tt.same {
			t.Errorf("%s and %s: the same is %v", tt.a, tt.b, got)
		}
	}
	for i := range 100 { // whatever it is, no panic
		b := make([]byte, headerLen+i)
		for j := range b {
			b[j] = byte(rand.Uint32())
		}
		binary.BigEndian.PutUint16(b[4:], 1)
		s.gistOf(b)
	}
}
