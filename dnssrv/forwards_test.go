package dnssrv

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/miekg/dns"

	"pic/core/config"
	"pic/internal/nettest"
)

// knows answers with records for the names that it is about, and is not there
// for others.
func knows(records ...string) dns.HandlerFunc {
	return func(w dns.ResponseWriter, r *dns.Msg) {
		m := new(dns.Msg).SetReply(r)
		at := strings.ToLower(r.Question[0].Name)
		there := false
		for range 4 {
			for _, s := range records {
				rr, err := dns.NewRR(s)
				if err != nil {
					panic(err)
				}
				if !strings.EqualFold(rr.Header().Name, at) {
					continue
				}
				there = true
				if c, ok := rr.(*dns.CNAME); ok {
					at = c.Target
				} else if rr.Header().Rrtype != r.Question[0].Qtype {
					continue
				}
				m.Answer = append(m.Answer, rr)
			}
		}
		m.Answer = dns.Dedup(m.Answer, nil)
		if len(m.Answer) == 0 {
			if !there {
				m.Rcode = dns.RcodeNameError
			}
			soa, _ := dns.NewRR(". 60 IN SOA ns. hm. 1 2 3 4 60")
			m.Ns = []dns.RR{soa}
		}
		w.WriteMsg(m)
	}
}

func TestADomainIsAskedOfItsOwnResolversAlone(t *testing.T) {
	public := source(t, knows(
		"corp.example. 60 IN A 203.0.113.66", "www.corp.example. 60 IN A 203.0.113.66", "in.corp.example. 60 IN A 203.0.113.66",
		"to.example.net. 60 IN CNAME www.corp.example.", "www.example.net. 60 IN A 192.0.2.80",
		"evil.corp.example. 60 IN A 203.0.113.66"))
	corp := source(t, knows(
		"corp.example. 60 IN A 192.168.7.1", "www.corp.example. 60 IN A 192.168.7.2",
		"out.corp.example. 60 IN CNAME www.example.net.", "www.example.net. 60 IN A 203.0.113.66"))
	deep := source(t, knows("in.deep.corp.example. 60 IN A 192.168.8.1"))
	reverse := source(t, knows("9.178.168.192.in-addr.arpa. 60 IN PTR box."))
	d := lab(public.addr)
	d.DNS.Forwards = []config.Forward{
		{Name: "corp.example", Upstreams: []string{corp.addr}},
		{Name: "deep.corp.example", Upstreams: []string{"tcp://" + deep.addr}},
		{Name: "178.168.192.in-addr.arpa", Upstreams: []string{reverse.addr}},
	}
	s := start(t, conf(d), nil)
	for name, tt := range map[string]struct {
		name string
		typ  uint16
		want string
	}{
		"the domain":         {"corp.example.", dns.TypeA, "NOERROR | corp.example. A 192.168.7.1"},
		"below it":           {"www.corp.example.", dns.TypeA, "NOERROR | www.corp.example. A 192.168.7.2"},
		"not there":          {"evil.corp.example.", dns.TypeA, "NXDOMAIN"},
		"the longest counts": {"in.deep.corp.example.", dns.TypeA, "NOERROR | in.deep.corp.example. A 192.168.8.1"},
		"not a label":        {"xcorp.example.", dns.TypeA, "NXDOMAIN"},
		"all else":           {"www.example.net.", dns.TypeA, "NOERROR | www.example.net. A 192.0.2.80"},
		// What a resolver says of names that it is not asked about does not count.
		"an alias out of it":  {"out.corp.example.", dns.TypeA, "NOERROR | out.corp.example. CNAME www.example.net. | www.example.net. A 192.0.2.80"},
		"an alias into it":    {"to.example.net.", dns.TypeA, "NOERROR | to.example.net. CNAME www.corp.example. | www.corp.example. A 192.168.7.2"},
		"reverse":             {"9.178.168.192.in-addr.arpa.", dns.TypePTR, "NOERROR | 9.178.168.192.in-addr.arpa. PTR box."},
		"reverse of the rest": {"9.179.168.192.in-addr.arpa.", dns.TypePTR, "NXDOMAIN aa"},
	} {
		t.Run(name, func(t *testing.T) {
			for range 2 {
				if got := brief(ask(t, s, "udp", tt.name, tt.typ)); got != tt.want {
					t.Errorf("got %s, want %s", got, tt.want)
				}
			}
		})
	}
	for _, st := range s.Stats().Upstreams {
		want := map[string]string{public.addr: "", corp.addr: "corp.example", "tcp://" + deep.addr: "deep.corp.example", reverse.addr: "178.168.192.in-addr.arpa"}[st.Address]
		if st.For != want || st.Asked == 0 || !st.Up || st.RTT == 0 {
			t.Errorf("got %+v", st)
		}
	}
	// Nothing of the domain goes elsewhere, even when its own resolver is gone.
	asked := public.udp.Load()
	corp.down()
	if got := brief(ask(t, s, "udp", "later.corp.example.", dns.TypeA, edns)); got != "SERVFAIL EDE 22" {
		t.Errorf("got %s", got)
	}
	if n := public.udp.Load() + public.tcp.Load(); n != asked {
		t.Errorf("the public resolver was asked %d times more", n-asked)
	}
}

func TestWhatGoesThroughTheTunnelGoesNowhereElse(t *testing.T) {
	nettest.NeedNamespace(t)
	lab0 := nettest.New(t)
	cell, other, world0 := lab0.Self(), lab0.Host("other"), lab0.Host("world")
	lab0.Link(cell, "pic0", "10.80.1.1/24", other, "eth0", "10.80.1.9/24")
	lab0.Link(cell, "wan0", "198.51.100.1/24", world0, "eth0", "198.51.100.2/24")
	cell.Run(t, "ip", "route", "add", "default", "via", "198.51.100.2")
	serve := func(h *nettest.Host, addr string, n *atomic.Int64, handler dns.HandlerFunc) {
		var pc net.PacketConn
		err := h.Do(func() (err error) {
			pc, err = net.ListenPacket("udp", addr)
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
		srv := &dns.Server{PacketConn: pc, Handler: dns.HandlerFunc(func(w dns.ResponseWriter, r *dns.Msg) { n.Add(1); handler(w, r) })}
		go srv.ActivateAndServe()
		t.Cleanup(func() { srv.Shutdown() })
	}
	var tunnelled, public atomic.Int64
	serve(other, "10.80.1.9:53", &tunnelled, knows("www.elm.home.arpa. 60 IN A 10.81.0.7", "7.0.81.10.in-addr.arpa. 60 IN PTR www.elm.home.arpa."))
	serve(world0, "198.51.100.2:53", &public, knows("www.elm.home.arpa. 60 IN A 203.0.113.66"))
	up := atomic.Bool{}
	up.Store(true)
	d := lab("198.51.100.2")
	c := conf(d)
	c.Links = []Linked{{Domain: "elm.home.arpa", DNS: netip.MustParseAddr("10.80.1.9"), Subnets: []netip.Prefix{netip.MustParsePrefix("10.81.0.0/24")}}}
	s := start(t, c, nil)
	s.forward.mu.Lock()
	s.forward.dial = func(ctx context.Context, network, address string) (net.Conn, error) {
		if !up.Load() {
			return nil, errNoTunnel
		}
		return new(net.Dialer).DialContext(ctx, network, address)
	}
	s.forward.mu.Unlock()
	check := func(want string, qname string, typ uint16) {
		t.Helper()
		begin := time.Now()
		if got := brief(ask(t, s, "udp", qname, typ, edns)); got != want {
			t.Errorf("%s: got %s, want %s", qname, got, want)
		}
		if took := time.Since(begin); took > 2*patience { // two seconds, were the machine ours alone
			t.Errorf("%s: took %v", qname, took)
		}
	}
	check("NOERROR | www.elm.home.arpa. A 10.81.0.7", "www.elm.home.arpa.", dns.TypeA)
	check("NOERROR | 7.0.81.10.in-addr.arpa. PTR www.elm.home.arpa.", "7.0.81.10.in-addr.arpa.", dns.TypePTR)
	up.Store(false)
	check("SERVFAIL EDE 22", "other.elm.home.arpa.", dns.TypeA)
	up.Store(true)
	cell.Down("pic0") // the interface is there, and leads nowhere
	check("SERVFAIL EDE 22", "third.elm.home.arpa.", dns.TypeA)
	cell.Up("pic0")
	if n := public.Load(); n != 0 {
		t.Errorf("the public resolver got %d questions of the other cell's names", n)
	}
	if tunnelled.Load() == 0 {
		t.Error("nothing went through the tunnel")
	}
}

func TestForwardsAreCheckedBeforeTheyCount(t *testing.T) {
	for name, tt := range map[string]struct {
		f    config.Forward
		path string
	}{
		"the cell's own": {config.Forward{Name: "oak.home.arpa", Upstreams: []string{"192.0.2.1"}}, "dns.forwards.0.name"},
		"a zone":         {config.Forward{Name: "other.home.arpa", Upstreams: []string{"192.0.2.1"}}, "dns.forwards.0.name"},
		"no resolver":    {config.Forward{Name: "corp.example", Upstreams: []string{"nowhere"}}, "dns.forwards.0.upstreams.0"},
		"fine":           {config.Forward{Name: "168.192.in-addr.arpa", Upstreams: []string{"192.0.2.1"}}, ""},
	} {
		d := oak()
		d.DNS.Forwards = []config.Forward{tt.f}
		_, err := version{}.compile(From(d))
		var fe *config.FieldError
		if errors.As(err, &fe) != (tt.path != "") || fe != nil && fe.Path != tt.path {
			t.Errorf("%s: got %v", name, err)
		}
	}
}

func forwardTo(domain, addr string) config.Forward {
	return config.Forward{Name: domain, Upstreams: []string{addr}}
}
