package dnssrv

import (
	"fmt"
	"net"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/miekg/dns"
)

// An origin is an upstream resolver of a test.
type origin struct {
	addr     string
	udp, tcp atomic.Int64 // queries that came
	down     func()
}

// source starts an upstream on one port of loopback, for UDP and TCP.
func source(t testing.TB, h dns.HandlerFunc) *origin {
	t.Helper()
	var pc net.PacketConn
	var l net.Listener
	for range 20 {
		var err error
		if pc, err = net.ListenPacket("udp", "127.0.0.1:0"); err != nil {
			t.Fatal(err)
		}
		if l, err = net.Listen("tcp", pc.LocalAddr().String()); err == nil {
			break
		}
		pc.Close()
	}
	return originAt(t, pc, l, h)
}

// originAt answers by h at sockets that are open.
func originAt(t testing.TB, pc net.PacketConn, l net.Listener, h dns.HandlerFunc) *origin {
	t.Helper()
	var o origin
	o.addr = pc.LocalAddr().String()
	var wg sync.WaitGroup
	servers := []*dns.Server{{PacketConn: pc}, {Listener: l}}
	for _, srv := range servers {
		n := &o.udp
		if srv.Listener != nil {
			n = &o.tcp
		}
		srv.Handler = dns.HandlerFunc(func(w dns.ResponseWriter, r *dns.Msg) { n.Add(1); h(w, r) })
		up := make(chan struct{})
		srv.NotifyStartedFunc = func() { close(up) }
		wg.Go(func() { srv.ActivateAndServe() })
		<-up
	}
	o.down = sync.OnceFunc(func() {
		for _, srv := range servers {
			srv.Shutdown()
		}
		wg.Wait()
	})
	t.Cleanup(o.down)
	return &o
}

// world answers for example.net: every name has an address but nope.
func world(w dns.ResponseWriter, r *dns.Msg) {
	m := new(dns.Msg).SetReply(r)
	m.RecursionAvailable = true
	q := r.Question[0]
	soa, _ := dns.NewRR("example.net. 900 IN SOA ns.example.net. hm.example.net. 1 2 3 4 120")
	rr := func(s string) dns.RR {
		out, err := dns.NewRR(s)
		if err != nil {
			panic(err)
		}
		return out
	}
	name := strings.ToLower(q.Name)
	switch {
	case name == ".":
		m.Answer = []dns.RR{rr(". 600 IN NS a.root-servers.net.")}
	case !dns.IsSubDomain("example.net.", name):
		m.Rcode = dns.RcodeRefused
	case strings.HasPrefix(name, "nope"):
		m.Rcode = dns.RcodeNameError
		m.Ns = []dns.RR{soa}
	case strings.HasPrefix(name, "broken"):
		m.Rcode = dns.RcodeServerFailure
	case strings.HasPrefix(name, "alias"):
		m.Answer = []dns.RR{rr(name + " 30 IN CNAME shop.example.net.")}
		if q.Qtype == dns.TypeA {
			m.Answer = append(m.Answer, rr("shop.example.net. 600 IN A 192.0.2.81"))
		} else {
			m.Ns = []dns.RR{soa}
		}
	case strings.HasPrefix(name, "long") && q.Qtype == dns.TypeTXT:
		for i := range 60 {
			m.Answer = append(m.Answer, rr(fmt.Sprintf("%s 600 IN TXT \"%s %d\"", name, strings.Repeat("x", 60), i)))
		}
		if w.RemoteAddr().Network() == "udp" {
			m.Truncate(512)
		}
	case q.Qtype != dns.TypeA:
		m.Ns = []dns.RR{soa}
	case name == "shop.example.net.":
		m.Answer = []dns.RR{rr(name + " 600 IN A 192.0.2.81")}
	default:
		m.Answer = []dns.RR{rr(name + " 600 IN A 192.0.2.80")}
	}
	if o := r.IsEdns0(); o != nil {
		m.SetEdns0(1232, o.Do())
		if o.Do() && len(m.Answer) > 0 {
			h := m.Answer[0].Header()
			m.Answer = append(m.Answer, &dns.RRSIG{
				Hdr:         dns.RR_Header{Name: h.Name, Rrtype: dns.TypeRRSIG, Class: dns.ClassINET, Ttl: h.Ttl},
				TypeCovered: h.Rrtype, Algorithm: 13, SignerName: "example.net.", Signature: "AAAA",
			})
		}
	}
	w.WriteMsg(m)
}

func TestAnswersAreKeptForTheirTime(t *testing.T) {
	up := source(t, world)
	s := start(t, conf(lab(up.addr)), nil)
	for _, q := range []struct {
		name string
		typ  uint16
		want string
	}{
		{"www.example.net.", dns.TypeA, "NOERROR | www.example.net. A 192.0.2.80"},
		{"alias.example.net.", dns.TypeA, "NOERROR | alias.example.net. CNAME shop.example.net. | shop.example.net. A 192.0.2.81"},
		{"alias.example.net.", dns.TypeMX, "NOERROR | alias.example.net. CNAME shop.example.net."},
		{"nope.example.net.", dns.TypeA, "NXDOMAIN"},
		{"www.example.net.", dns.TypeAAAA, "NOERROR"},
	} {
		sent := up.udp.Load()
		for range 3 {
			if got := brief(ask(t, s, "udp", q.name, q.typ)); got != q.want {
				t.Errorf("got %s, want %s", got, q.want)
			}
		}
		if got := brief(ask(t, s, "tcp", strings.ToUpper(q.name), q.typ, edns)); !strings.EqualFold(got, q.want) {
			t.Errorf("in capitals: got %s, want %s", got, q.want)
		}
		if n := up.udp.Load() - sent; n != 1 {
			t.Errorf("%s %s went upstream %d times", q.name, typeName(q.typ), n)
		}
	}
	st := s.Stats()
	if st.Cached != 15 || st.Forwarded != 5 || st.Upstream != 5 || st.CacheEntries != 5 {
		t.Errorf("got %+v", st)
	}
	s.Flush()
	if st := s.Stats(); st.CacheEntries != 0 || st.CacheBytes != 0 {
		t.Errorf("flushed, and there are %d entries of %d bytes", st.CacheEntries, st.CacheBytes)
	}
}

func TestSignaturesGoToThoseWhoWantThem(t *testing.T) {
	up := source(t, world)
	s := start(t, conf(lab(up.addr)), nil)
	for range 2 {
		if got := len(ask(t, s, "udp", "www.example.net.", dns.TypeA, wantDO).Answer); got != 2 {
			t.Errorf("with DO there are %d records", got)
		}
		if got := len(ask(t, s, "udp", "www.example.net.", dns.TypeA, edns).Answer); got != 1 {
			t.Errorf("without DO there are %d records", got)
		}
	}
	if up.udp.Load() != 2 {
		t.Errorf("asked %d times", up.udp.Load())
	}
}

func TestNothingAboutTheClientGoesUpstream(t *testing.T) {
	var got atomic.Pointer[dns.Msg]
	up := source(t, func(w dns.ResponseWriter, r *dns.Msg) { got.Store(r.Copy()); world(w, r) })
	s := start(t, conf(lab(up.addr)), nil)
	ask(t, s, "udp", "WWW.example.net.", dns.TypeA, func(m *dns.Msg) {
		m.SetEdns0(4096, false)
		o := m.IsEdns0()
		o.Option = append(o.Option,
			&dns.EDNS0_SUBNET{Code: dns.EDNS0SUBNET, Family: 1, SourceNetmask: 24, Address: net.IPv4(192, 168, 1, 0)},
			&dns.EDNS0_COOKIE{Code: dns.EDNS0COOKIE, Cookie: "0123456789abcdef"})
	})
	m := got.Load()
	o := m.IsEdns0()
	if o == nil || len(o.Option) != 1 || o.UDPSize() != udpSize || !strings.EqualFold(m.Question[0].Name, "www.example.net.") {
		t.Fatalf("sent %v", m)
	}
	if c, ok := o.Option[0].(*dns.EDNS0_COOKIE); !ok || len(c.Cookie) != 16 || c.Cookie == "0123456789abcdef" {
		t.Errorf("sent %v", o.Option[0])
	}
}

func TestWithoutRecursionOnlyTheCacheAnswers(t *testing.T) {
	up := source(t, world)
	s := start(t, conf(lab(up.addr)), nil)
	if got := brief(ask(t, s, "udp", "www.example.net.", dns.TypeA, edns, noRD)); got != "REFUSED EDE 20" {
		t.Errorf("got %s", got)
	}
	ask(t, s, "udp", "www.example.net.", dns.TypeA)
	if got := brief(ask(t, s, "udp", "www.example.net.", dns.TypeA, noRD)); got != "NOERROR | www.example.net. A 192.0.2.80" {
		t.Errorf("got %s", got)
	}
	if got := brief(ask(t, s, "udp", "oak.home.arpa.", dns.TypeNS, noRD)); !strings.HasPrefix(got, "NOERROR aa |") {
		t.Errorf("got %s", got)
	}
}

func TestWhatIsTooLongComesOverTCP(t *testing.T) {
	up := source(t, world)
	s := start(t, conf(lab(up.addr)), nil)
	if got := ask(t, s, "udp", "long.example.net.", dns.TypeTXT, edns); !got.Truncated || len(got.Answer) > 0 {
		t.Errorf("over UDP: %s", brief(got))
	}
	if got := ask(t, s, "tcp", "long.example.net.", dns.TypeTXT); len(got.Answer) != 60 {
		t.Errorf("over TCP: %d records", len(got.Answer))
	}
	if up.tcp.Load() != 1 {
		t.Errorf("the upstream was asked %d times over TCP", up.tcp.Load())
	}
}

func TestFailuresComeWithinTwoSecondsAndSayWhy(t *testing.T) {
	silent, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer silent.Close()
	refusing := source(t, func(w dns.ResponseWriter, r *dns.Msg) { w.WriteMsg(new(dns.Msg).SetRcode(r, dns.RcodeRefused)) })
	explaining := source(t, func(w dns.ResponseWriter, r *dns.Msg) {
		m := new(dns.Msg).SetRcode(r, dns.RcodeServerFailure)
		m.SetEdns0(1232, false)
		m.IsEdns0().Option = []dns.EDNS0{&dns.EDNS0_EDE{InfoCode: dns.ExtendedErrorCodeDNSBogus, ExtraText: "bogus"}}
		w.WriteMsg(m)
	})
	for name, tt := range map[string]struct {
		upstreams []string
		ede       uint16
		problem   string
	}{
		"silence":         {[]string{silent.LocalAddr().String()}, 22, ""},
		"nobody there":    {[]string{"127.0.0.1:9"}, 22, ""},
		"two of them":     {[]string{"127.0.0.1:9", silent.LocalAddr().String()}, 22, ""},
		"none":            {nil, 14, "dns/no-upstreams"},
		"refusal":         {[]string{refusing.addr}, 23, ""},
		"its explanation": {[]string{explaining.addr}, 6, ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := start(t, conf(lab(tt.upstreams...)), nil)
			begin := time.Now()
			got := brief(ask(t, s, "udp", "www.example.net.", dns.TypeA, edns))
			if took := time.Since(begin); took > 2*patience { // clients wait for five seconds
				t.Errorf("took %v", took)
			}
			if want := fmt.Sprintf("SERVFAIL EDE %d", tt.ede); got != want {
				t.Errorf("got %s, want %s", got, want)
			}
			if got := brief(ask(t, s, "udp", "home.oak.home.arpa.", dns.TypeA)); !strings.HasPrefix(got, "NOERROR aa") {
				t.Errorf("and our own names: %s", got)
			}
			if tt.problem != "" {
				if p := s.Problems(); len(p) != 1 || p[0].Code != tt.problem || p[0].Since.IsZero() {
					t.Errorf("got problems %v", p)
				}
			}
		})
	}
}
