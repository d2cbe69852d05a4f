package dnssrv

import (
	"context"
	"log/slog"
	"net"
	"net/netip"
	"reflect"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/miekg/dns"

	"pic/core/config"
	"pic/core/names"
	"pic/internal/listen"
)

// counted serves h on a free port of the loopback and counts who asks.
func counted(t *testing.T, h dns.HandlerFunc) (at string, n *atomic.Int64) {
	t.Helper()
	pc, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	n = new(atomic.Int64)
	srv := &dns.Server{PacketConn: pc, Handler: dns.HandlerFunc(func(w dns.ResponseWriter, r *dns.Msg) { n.Add(1); h(w, r) })}
	go srv.ActivateAndServe()
	t.Cleanup(func() { srv.Shutdown() })
	return pc.LocalAddr().String(), n
}

func TestQuestionsLeaveByTheExitOfWhoAsks(t *testing.T) {
	home, atHome := counted(t, knows("www.example.net. 60 IN A 203.0.113.1", "two.example.net. 60 IN A 203.0.113.1", "three.example.net. 60 IN A 203.0.113.1"))
	far, atFar := counted(t, knows("www.example.net. 60 IN A 203.0.113.2", "two.example.net. 60 IN A 203.0.113.2"))
	var up atomic.Bool
	up.Store(true)
	me := []netip.Prefix{netip.MustParsePrefix("127.0.0.1/32")}
	c := conf(lab(home))
	s := New(Options{
		Log: slog.New(slog.DiscardHandler), Pool: listen.NewPool(nil), Names: func() *names.Snapshot { return nil },
		DialExit: func(ctx context.Context, exit, network, address string) (net.Conn, error) {
			if exit != "far" || !up.Load() {
				return nil, errNoExit
			}
			return new(net.Dialer).DialContext(ctx, network, address)
		},
		ExitUp: func(string) bool { return up.Load() },
	})
	put := func(o ...Outlet) {
		t.Helper()
		c.Outlets = o
		if err := s.Apply(t.Context(), c); err != nil {
			t.Fatal(err)
		}
	}
	check := func(want, name string) {
		t.Helper()
		for range 2 { // the second time from what is kept
			if got := brief(ask(t, s, "udp", name, dns.TypeA, edns)); got != want {
				t.Errorf("%s: got %s, want %s", name, got, want)
			}
		}
	}
	put()
	running(t, s)
	check("NOERROR | www.example.net. A 203.0.113.1", "www.example.net.")

	was := atHome.Load()
	put(Outlet{Name: "far", Upstreams: []string{far}, Clients: me})
	check("NOERROR | www.example.net. A 203.0.113.2", "www.example.net.")
	if atFar.Load() == 0 {
		t.Error("nobody was asked by the exit")
	}
	up.Store(false)
	check("SERVFAIL EDE 22", "later.example.net.")
	put(Outlet{Name: "far", Clients: me}) // it has no name servers
	check("SERVFAIL EDE 14", "more.example.net.")
	if n := atHome.Load(); n != was {
		t.Errorf("the cell's own resolver was asked %d times", n-was)
	}

	put(Outlet{Name: "far", Upstreams: []string{far}, Clients: me, Fallback: me})
	check("NOERROR | three.example.net. A 203.0.113.1", "three.example.net.")
	up.Store(true)
	put(Outlet{Name: "far", Upstreams: []string{far}, Clients: me, Fallback: me}) // who he is, is remembered for a second
	check("NOERROR | two.example.net. A 203.0.113.2", "two.example.net.")
	put()
	check("NOERROR | two.example.net. A 203.0.113.1", "two.example.net.")
}

func TestOutletsAreThoseOfTheDocument(t *testing.T) {
	d := oak()
	yes := true
	d.DNS.Upstreams = []string{"192.168.1.1", "tls://dns.quad9.net#9.9.9.9"}
	d.Links = []config.Link{{Name: "elm", Domain: "elm.home.arpa", DNS: netip.MustParseAddr("10.80.0.1")}}
	d.Network.Exits = []config.Exit{
		{Name: "far", DNS: []netip.Addr{netip.MustParseAddr("10.2.0.1")}},
		{Name: "elm", Link: "elm"},
		{Name: "plain"},
		{Name: "off", Disabled: true},
		{Name: "unused"},
	}
	d.Peers = nil
	for i, exit := range []string{"far", "elm", "plain", "off", ""} {
		p := config.Peer{Name: "p" + exit, Address: netip.AddrFrom4([4]byte{10, 77, 0, byte(i + 2)})}
		p.Exit = exit
		d.Peers = append(d.Peers, p)
	}
	d.Peers[0].Fallback = &yes
	net := func(s string) []netip.Prefix { return []netip.Prefix{netip.MustParsePrefix(s)} }
	want := []Outlet{
		{Name: "far", Upstreams: []string{"10.2.0.1"}, Clients: net("10.77.0.2/32"), Fallback: net("10.77.0.2/32")},
		{Name: "elm", Upstreams: []string{"10.80.0.1"}, Tunnel: true, Clients: net("10.77.0.3/32")},
		{Name: "plain", Upstreams: []string{"tls://dns.quad9.net#9.9.9.9"}, Clients: net("10.77.0.4/32")},
		{Name: "off", Clients: net("10.77.0.5/32")},
	}
	if got := outletsOf(d); !reflect.DeepEqual(got, want) {
		t.Errorf("got  %+v\nwant %+v", got, want)
	}
	d.DNS.Resolver = config.ResolveRecurse
	d.Network.Exits[1].DNS = []netip.Addr{netip.MustParseAddr("9.9.9.9")}
	want[1].Upstreams, want[1].Tunnel = []string{"9.9.9.9"}, false
	want[2].Upstreams, want[2].Recurse = nil, true
	if got := outletsOf(d); !reflect.DeepEqual(got, want) {
		t.Errorf("from the root on: got  %+v\nwant %+v", got, want)
	}
}

// A provider that names no name servers is no reason to ask past it, nor to fail.
func TestNamesAreFoundFromTheRootOnByTheExitOfWhoAsks(t *testing.T) {
	h := newHierarchy(t)
	c := conf(h.document())
	c.Outlets = []Outlet{{Name: "far", Recurse: true, Clients: []netip.Prefix{netip.MustParsePrefix("127.0.0.1/32")}}}
	var up atomic.Bool
	var dialled atomic.Int64
	up.Store(true)
	s := New(Options{
		Log: slog.New(slog.DiscardHandler), Pool: listen.NewPool(nil), Names: func() *names.Snapshot { return nil },
		DialExit: func(ctx context.Context, exit, network, address string) (net.Conn, error) {
			dialled.Add(1)
			return new(net.Dialer).DialContext(ctx, network, address)
		},
		ExitUp: func(string) bool { return up.Load() },
	})
	if err := s.Apply(t.Context(), c); err != nil {
		t.Fatal(err)
	}
	running(t, s)
	up.Store(false)
	if got := brief(ask(t, s, "udp", "b.good.example.", dns.TypeA, edns)); got != "SERVFAIL EDE 22" {
		t.Errorf("while the exit is down: %s", got)
	}
	if n := dialled.Load(); n != 0 {
		t.Errorf("%d connections while the exit is down", n)
	}
	up.Store(true)
	if got := brief(ask(t, s, "udp", "www.good.example.", dns.TypeA, edns)); !strings.Contains(got, "NOERROR") || !strings.Contains(got, " A ") {
		t.Errorf("by the exit: %s", got)
	}
	if dialled.Load() == 0 {
		t.Error("nobody was asked by the exit")
	}
	if n := s.forward.sent.Load(); n != 0 {
		t.Errorf("the cell's own resolver asked about %d names", n)
	}
}
