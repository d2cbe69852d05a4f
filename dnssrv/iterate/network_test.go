package iterate

import (
	"net"
	"net/netip"
	"os"
	"sync/atomic"
	"testing"

	"github.com/miekg/dns"

	"pic/internal/nettest"
)

func TestMain(m *testing.M) { os.Exit(nettest.Main(m)) }

// serveUDP answers at a port of loopback until the end of the test.
func serveUDP(t *testing.T, f dns.HandlerFunc) netip.AddrPort {
	t.Helper()
	pc, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	up := make(chan struct{})
	s := &dns.Server{PacketConn: pc, Handler: f, NotifyStartedFunc: func() { close(up) }}
	go s.ActivateAndServe()
	<-up
	t.Cleanup(func() { s.Shutdown() })
	return pc.LocalAddr().(*net.UDPAddr).AddrPort()
}

// A host without IPv6 does not try it again and again, and whoever answers is not
// to blame.
func TestOnlyFamiliesThatTheHostHasAreUsed(t *testing.T) {
	nettest.NeedNamespace(t)
	var rd, edns atomic.Bool
	up := serveUDP(t, func(w dns.ResponseWriter, r *dns.Msg) {
		rd.Store(r.RecursionDesired)
		edns.Store(r.IsEdns0() != nil)
		m := new(dns.Msg).SetReply(r)
		m.Authoritative = true
		m.SetEdns0(1232, false)
		rr, _ := dns.NewRR(r.Question[0].Name + " 300 IN A 192.0.2.1")
		m.Answer = append(m.Answer, rr)
		w.WriteMsg(m)
	})
	hints := []netip.AddrPort{up}
	for _, s := range []string{"[2001:db8::1]:53", "[2001:db8::2]:53", "[2001:db8::3]:53", "[2001:db8::4]:53"} {
		hints = append(hints, netip.MustParseAddrPort(s))
	}
	r := New(Options{Hints: hints})
	defer r.Close()
	for range 8 { // which is the first to be asked is left to chance
		if got := find(r, "a.", dns.TypeA); got != "NOERROR 192.0.2.1" {
			t.Fatal(got)
		}
	}
	if rd.Load() || !edns.Load() {
		t.Errorf("recursion desired: %v, EDNS: %v", rd.Load(), edns.Load())
	}
	for _, h := range hints[1:] {
		if s := r.server(h); s.failures > 0 {
			t.Errorf("%s is to blame", h)
		}
	}
	if st := r.Stats(); st.Silent || st.Failed > 0 {
		t.Errorf("%+v", st)
	}
}
