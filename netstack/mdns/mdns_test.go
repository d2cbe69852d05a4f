package mdns

import (
	"context"
	"log/slog"
	"net/netip"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/miekg/dns"

	"pic/internal/nettest"
)

func TestMain(m *testing.M) { os.Exit(nettest.Main(m)) }

var (
	peer    = netip.MustParseAddrPort("10.77.0.2:5353")
	printer = netip.MustParseAddrPort("192.168.1.20:5353")
)

func friend(a netip.Addr) bool { return a == peer.Addr() }

func query(t testing.TB, name string) []byte {
	b, err := new(dns.Msg).SetQuestion(name, dns.TypePTR).Pack()
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func answer(t testing.TB, text string) []byte {
	m := &dns.Msg{MsgHdr: dns.MsgHdr{Response: true, Authoritative: true}}
	rr, err := dns.NewRR(text)
	if err != nil {
		t.Fatal(err)
	}
	rr.Header().Class |= 1 << 15
	m.Answer = []dns.RR{rr}
	b, err := m.Pack()
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func TestAnswersGoToThoseThatAsked(t *testing.T) {
	r := newReflector(friend)
	now := time.Now()
	ans := answer(t, "_ipp._tcp.local. 4500 IN PTR laser._ipp._tcp.local.")
	if out := r.take(lan, printer, ans, now); len(out) != 0 {
		t.Errorf("nobody asked, and %v", out)
	}
	now = now.Add(2 * time.Second)
	q := query(t, "_ipp._tcp.local.")
	if out := r.take(vpn, peer, q, now); len(out) != 1 || out[0].to.IsValid() || string(out[0].body) != string(q) {
		t.Fatalf("asked %v", out)
	}
	if out := r.take(lan, printer, ans, now); len(out) != 1 || out[0].to != peer || string(out[0].body) != string(ans) {
		t.Errorf("answered %v", out)
	}
	// The echo of another reflector.
	if out := r.take(lan, netip.MustParseAddrPort("192.168.1.2:5353"), q, now); len(out) != 0 {
		t.Errorf("repeated what was just repeated: %v", out)
	}
	if out := r.take(lan, printer, ans, now.Add(time.Minute)); len(out) != 0 {
		t.Errorf("long after the question %v", out)
	}
	if out := r.take(vpn, netip.MustParseAddrPort("10.77.0.3:5353"), q, now); len(out) != 0 {
		t.Errorf("a peer without right to the LAN: %v", out)
	}
}

func TestPeersThatAnswerAreAsked(t *testing.T) {
	r := newReflector(friend)
	now := time.Now()
	q := query(t, "_airplay._tcp.local.")
	if out := r.take(lan, printer, q, now); len(out) != 0 {
		t.Errorf("asked nobody's peers: %v", out)
	}
	r.take(vpn, peer, answer(t, "_airplay._tcp.local. 60 IN PTR phone._airplay._tcp.local."), now)
	if out := r.take(lan, printer, q, now.Add(2*time.Second)); len(out) != 1 || out[0].to != peer {
		t.Errorf("asked %v", out)
	}
}

func TestAFloodIsNotRepeated(t *testing.T) {
	r := newReflector(friend)
	now := time.Now()
	n := 0
	for i := range 2000 {
		b := query(t, "_x._tcp.local.")
		b[0], b[1] = byte(i>>8), byte(i)
		n += len(r.take(vpn, peer, b, now))
	}
	if n > rate {
		t.Errorf("%d messages in a moment", n)
	}
}

func TestOnePeerAsksFromAFewPorts(t *testing.T) {
	r := newReflector(friend)
	now := time.Now()
	for i := range 100 {
		b := query(t, "_ipp._tcp.local.")
		b[1] = byte(i)
		r.take(vpn, netip.AddrPortFrom(peer.Addr(), uint16(40000+i)), b, now)
	}
	if out := r.take(lan, printer, answer(t, "_ipp._tcp.local. 4500 IN PTR laser._ipp._tcp.local."), now); len(out) != maxPorts {
		t.Errorf("one answer became %d", len(out))
	}
}

func FuzzTake(f *testing.F) {
	f.Add(query(f, "_ipp._tcp.local."), true)
	f.Add(answer(f, "_ipp._tcp.local. 4500 IN PTR laser._ipp._tcp.local."), false)
	f.Fuzz(func(t *testing.T, b []byte, tunnel bool) {
		r := newReflector(friend)
		now := time.Now()
		r.take(vpn, netip.AddrPortFrom(peer.Addr(), 40000), query(t, "_ipp._tcp.local."), now)
		from, src := lan, printer
		if tunnel {
			from, src = vpn, peer
		}
		for _, l := range r.take(from, src, b, now) {
			if len(l.body) > maxPacket {
				t.Errorf("a message of %d bytes", len(l.body))
			}
			if l.to.IsValid() && !friend(l.to.Addr()) {
				t.Errorf("sent to %s", l.to)
			}
		}
	})
}

// speaker is a printer that says what it is, by a library that we did not write.
const speaker = `
import socket, sys, time
from zeroconf import Zeroconf, ServiceInfo, IPVersion
z = Zeroconf(interfaces=["192.168.1.20"], ip_version=IPVersion.V4Only)
z.register_service(ServiceInfo("_ipp._tcp.local.", "laser._ipp._tcp.local.", addresses=[socket.inet_aton("192.168.1.20")], port=631, server="laser.local."))
print("registered", flush=True)
time.sleep(60)
`

func TestAPeerFindsThePrinter(t *testing.T) {
	python, dig := nettest.Tool(t, "/usr/bin/python3"), nettest.Tool(t, "dig") // Debian has the library for its own Python
	lab := nettest.New(t)
	cell, desk, phone := lab.Self(), lab.Host("desk"), lab.Host("phone")
	lab.Link(cell, "lan0", "192.168.1.1/24", desk, "eth0", "192.168.1.20/24")
	lab.Link(cell, "pic0", "10.77.0.1/24", phone, "wg0", "10.77.0.2/24")
	desk.Run(t, "ip", "route", "add", "224.0.0.0/4", "dev", "eth0")
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() {
		done <- Run(ctx, slog.New(slog.DiscardHandler), Options{LAN: "lan0", Tunnel: "pic0", May: friend})
	}()
	p := desk.Start(t, python, "-c", speaker)
	nettest.WaitFor(t, 15*time.Second, func() bool { return strings.Contains(p.Output(), "registered") })
	var out string
	for range 5 {
		out, _ = phone.Try(dig, "@10.77.0.1", "-p", "5353", "+tries=1", "+time=2", "_ipp._tcp.local", "PTR")
		if strings.Contains(out, "laser._ipp._tcp.local.") {
			break
		}
	}
	if !strings.Contains(out, "laser._ipp._tcp.local.") || strings.Contains(out, "mismatch") {
		t.Errorf("dig in the VPN:\n%s", out)
	}
	cancel()
	if err := <-done; err != nil {
		t.Error(err)
	}
}
