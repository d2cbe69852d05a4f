package dhcp4

import (
	"fmt"
	"net"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/insomniacslk/dhcp/dhcpv4"

	"pic/internal/ether"
)

var (
	card  = net.HardwareAddr{2, 0, 0, 0, 0, 1}
	noon  = time.Date(2026, 1, 1, 12, 0, 0, 0, time.UTC)
	first = netip.MustParsePrefix("198.51.100.50/24")
)

func still() *machine {
	m := newMachine(card)
	m.rand = func() float64 { return 0.5 }
	return m
}

// answer is what a server says to the machine's transaction.
func answer(t testing.TB, m *machine, kind dhcpv4.MessageType, mods ...dhcpv4.Modifier) *dhcpv4.DHCPv4 {
	t.Helper()
	d, err := dhcpv4.New(append([]dhcpv4.Modifier{
		dhcpv4.WithTransactionID(m.xid), dhcpv4.WithHwAddr(card), dhcpv4.WithMessageType(kind),
		dhcpv4.WithOption(dhcpv4.OptServerIdentifier(net.IPv4(198, 51, 100, 1))), dhcpv4.WithYourIP(first.Addr().AsSlice()),
		dhcpv4.WithNetmask(net.CIDRMask(24, 32)), dhcpv4.WithLeaseTime(3600), dhcpv4.WithRouter(net.IPv4(198, 51, 100, 1)),
	}, mods...)...)
	if err != nil {
		t.Fatal(err)
	}
	d.OpCode = dhcpv4.OpcodeBootReply
	return d
}

// said is what a list of actions amounts to, in words.
func said(all []action) string {
	var out []string
	for _, a := range all {
		switch {
		case a.send != nil:
			to := "all"
			if a.to.IsValid() {
				to = a.to.String()
			}
			out = append(out, a.send.MessageType().String()+" to "+to)
		case a.probe.IsValid():
			out = append(out, "probe")
		case a.bind != nil:
			out = append(out, fmt.Sprint("bind ", a.bind.Address, " ", a.fresh))
		default:
			out = append(out, "lost")
		}
	}
	return strings.Join(out, ", ")
}

func want(t *testing.T, what string, all []action, words string, m *machine, state State) {
	t.Helper()
	if got := said(all); got != words || m.state != state {
		t.Errorf("%s: %s in %s, want %s in %s", what, got, m.state, words, state)
	}
}

// bound is a machine that got a lease at noon.
func bound(t testing.TB) *machine {
	t.Helper()
	m := still()
	m.begin(noon, nil, false)
	m.message(noon, answer(t, m, dhcpv4.MessageTypeOffer))
	m.message(noon, answer(t, m, dhcpv4.MessageTypeAck))
	m.checked(noon, first.Addr(), false)
	if m.state != Bound {
		t.Fatalf("it is %s", m.state)
	}
	return m
}

func TestLifeOfALease(t *testing.T) {
	m := still()
	want(t, "start", m.begin(noon, nil, false), "DISCOVER to all", m, Selecting)
	now := m.next
	if now != noon.Add(4*time.Second) {
		t.Errorf("asks again after %v", now.Sub(noon))
	}
	want(t, "silence", m.tick(now), "DISCOVER to all", m, Selecting)
	if m.next != now.Add(8*time.Second) {
		t.Errorf("then after %v", m.next.Sub(now))
	}
	all, err := m.message(now, answer(t, m, dhcpv4.MessageTypeOffer))
	if err != nil {
		t.Fatal(err)
	}
	want(t, "offer", all, "REQUEST to all", m, Requesting)
	req := all[0].send
	if req.RequestedIPAddress().String() != "198.51.100.50" || req.ServerIdentifier().String() != "198.51.100.1" || !req.ClientIPAddr.IsUnspecified() {
		t.Errorf("the request is %s", req.Summary())
	}
	all, _ = m.message(now, answer(t, m, dhcpv4.MessageTypeAck))
	want(t, "ack", all, "probe", m, Checking)
	want(t, "free", m.checked(now, first.Addr(), false), "bind 198.51.100.50/24 true", m, Bound)

	l := m.lease
	if l.Renew.Sub(l.Got) != 30*time.Minute || l.Rebind.Sub(l.Got) != 52*time.Minute+30*time.Second {
		t.Errorf("T1 %v, T2 %v", l.Renew.Sub(l.Got), l.Rebind.Sub(l.Got))
	}
	want(t, "before T1", m.tick(l.Renew.Add(-1)), "", m, Bound)
	all = m.tick(l.Renew)
	want(t, "T1", all, "REQUEST to 198.51.100.1", m, Renewing)
	if req := all[0].send; req.ClientIPAddr.String() != "198.51.100.50" || req.ServerIdentifier() != nil || req.RequestedIPAddress() != nil {
		t.Errorf("the renewal is %s", req.Summary())
	}
	want(t, "half of the rest", m.tick(l.Renew.Add(11*time.Minute+15*time.Second)), "REQUEST to 198.51.100.1", m, Renewing)
	want(t, "T2", m.tick(l.Rebind), "REQUEST to all", m, Rebinding)
	want(t, "its end", m.tick(l.Until), "lost, DISCOVER to all", m, Selecting)
}

func TestAnswers(t *testing.T) {
	other := dhcpv4.WithOption(dhcpv4.OptServerIdentifier(net.IPv4(198, 51, 100, 9)))
	for name, tt := range map[string]struct {
		in    func(*testing.T) *machine
		kind  dhcpv4.MessageType
		mod   dhcpv4.Modifier
		words string
		state State
	}{
		"an ACK when nobody asked": {func(t *testing.T) *machine { return bound(t) }, dhcpv4.MessageTypeAck, nil, "", Bound},
		"a NAK when nobody asked":  {func(t *testing.T) *machine { return bound(t) }, dhcpv4.MessageTypeNak, nil, "", Bound},
		"an ACK of another server": {requesting, dhcpv4.MessageTypeAck, other, "", Requesting},
		"a NAK of another server":  {requesting, dhcpv4.MessageTypeNak, other, "", Requesting},
		"a NAK":                    {requesting, dhcpv4.MessageTypeNak, nil, "", Init},
		"a renewal":                {renewing, dhcpv4.MessageTypeAck, nil, "bind 198.51.100.50/24 false", Bound},
		"a renewal refused":        {renewing, dhcpv4.MessageTypeNak, nil, "lost", Init},
		"a stranger's refusal":     {renewing, dhcpv4.MessageTypeNak, other, "", Renewing},
		"renewed to another":       {renewing, dhcpv4.MessageTypeAck, dhcpv4.WithYourIP(net.IPv4(198, 51, 100, 51)), "probe", Checking},
		"another transaction":      {renewing, dhcpv4.MessageTypeAck, dhcpv4.WithTransactionID(dhcpv4.TransactionID{9}), "", Renewing},
		"another card":             {renewing, dhcpv4.MessageTypeAck, dhcpv4.WithHwAddr(net.HardwareAddr{2, 0, 0, 0, 0, 9}), "", Renewing},
		"a request":                {renewing, dhcpv4.MessageTypeAck, func(d *dhcpv4.DHCPv4) { d.OpCode = dhcpv4.OpcodeBootRequest }, "", Renewing},
		"no address":               {requesting, dhcpv4.MessageTypeAck, dhcpv4.WithYourIP(net.IPv4zero), "", Requesting},
		"a multicast address":      {requesting, dhcpv4.MessageTypeAck, dhcpv4.WithYourIP(net.IPv4(224, 0, 0, 1)), "", Requesting},
		"no lease time":            {requesting, dhcpv4.MessageTypeAck, dhcpv4.WithoutOption(dhcpv4.OptionIPAddressLeaseTime), "", Requesting},
		"a network's address":      {requesting, dhcpv4.MessageTypeAck, dhcpv4.WithYourIP(net.IPv4(198, 51, 100, 0)), "", Requesting},
		"everybody's address":      {requesting, dhcpv4.MessageTypeAck, dhcpv4.WithYourIP(net.IPv4(198, 51, 100, 255)), "", Requesting},
		"half of the internet":     {requesting, dhcpv4.MessageTypeAck, dhcpv4.WithNetmask(net.CIDRMask(1, 32)), "", Requesting},
		"all of the internet":      {requesting, dhcpv4.MessageTypeAck, dhcpv4.WithNetmask(net.CIDRMask(0, 32)), "", Requesting},
		"a mask with holes":        {requesting, dhcpv4.MessageTypeAck, dhcpv4.WithNetmask(net.IPv4Mask(255, 0, 255, 0)), "", Requesting},
		"an address alone":         {requesting, dhcpv4.MessageTypeAck, dhcpv4.WithNetmask(net.CIDRMask(32, 32)), "probe", Checking},
		"no mask":                  {requesting, dhcpv4.MessageTypeAck, dhcpv4.WithoutOption(dhcpv4.OptionSubnetMask), "probe", Checking},
	} {
		t.Run(name, func(t *testing.T) {
			m := tt.in(t)
			d := answer(t, m, tt.kind)
			if tt.mod != nil {
				tt.mod(d)
			}
			all, _ := m.message(noon.Add(31*time.Minute), d)
			want(t, "answer", all, tt.words, m, tt.state)
		})
	}
}

func requesting(t *testing.T) *machine {
	t.Helper()
	m := still()
	m.begin(noon, nil, false)
	m.message(noon, answer(t, m, dhcpv4.MessageTypeOffer))
	return m
}

func renewing(t *testing.T) *machine {
	t.Helper()
	m := bound(t)
	m.tick(m.lease.Renew)
	return m
}

func TestRefusalsSlowTheClientDown(t *testing.T) {
	m := requesting(t)
	now, last := noon, time.Duration(0)
	for range 10 {
		m.message(now, answer(t, m, dhcpv4.MessageTypeNak))
		pause := m.next.Sub(now)
		if pause < last || pause <= 0 || pause > 64*time.Second {
			t.Errorf("a pause of %v after one of %v", pause, last)
		}
		now, last = m.next, pause
		m.tick(now)
		m.message(now, answer(t, m, dhcpv4.MessageTypeOffer))
	}
	if last != 64*time.Second {
		t.Errorf("the last pause is %v", last)
	}
}

func TestRestartAsksToKeepTheLease(t *testing.T) {
	l := *bound(t).lease
	now := noon.Add(10 * time.Minute)
	for _, live := range []bool{false, true} {
		m := still()
		all := m.begin(now, &l, live)
		words := "REQUEST to all"
		if live {
			words = "bind 198.51.100.50/24 false, " + words
		}
		want(t, "start", all, words, m, Rebooting)
		if req := all[len(all)-1].send; req.RequestedIPAddress().String() != "198.51.100.50" || req.ServerIdentifier() != nil || !req.ClientIPAddr.IsUnspecified() {
			t.Errorf("INIT-REBOOT is %s", req.Summary())
		}
		// Nobody answers: the lease is good still (RFC 2131 §3.2.4).
		all = nil
		for m.state == Rebooting {
			all = m.tick(m.next)
		}
		words = "bind 198.51.100.50/24 false"
		if live {
			words = ""
		}
		want(t, "silence", all, words, m, Bound)
	}
	m := still()
	m.begin(now, &l, true)
	all, _ := m.message(now, answer(t, m, dhcpv4.MessageTypeNak))
	want(t, "in another network", all, "lost", m, Init)
	m = still()
	want(t, "an old lease", m.begin(l.Until, &l, false), "DISCOVER to all", m, Selecting)
}

func TestTakenAddressIsDeclined(t *testing.T) {
	m := requesting(t)
	m.message(noon, answer(t, m, dhcpv4.MessageTypeAck))
	all := m.checked(noon, first.Addr(), true)
	want(t, "taken", all, "DECLINE to all", m, Init)
	if d := all[0].send; d.RequestedIPAddress().String() != "198.51.100.50" || d.ServerIdentifier().String() != "198.51.100.1" {
		t.Errorf("DECLINE is %s", d.Summary())
	}
	if m.next.Sub(noon) < 10*time.Second {
		t.Errorf("asks again after %v", m.next.Sub(noon))
	}
	m = bound(t)
	all = m.release(noon)
	want(t, "release", all, "RELEASE to 198.51.100.1", m, Bound)
}

func TestOptionsOfALease(t *testing.T) {
	m := requesting(t)
	via := net.IPv4(198, 51, 100, 2)
	d := answer(t, m, dhcpv4.MessageTypeAck, dhcpv4.WithOption(dhcpv4.OptClasslessStaticRoute(
		&dhcpv4.Route{Dest: &net.IPNet{IP: net.IPv4(10, 1, 2, 3), Mask: net.CIDRMask(8, 32)}, Router: via},
		&dhcpv4.Route{Dest: &net.IPNet{IP: net.IPv4zero, Mask: net.CIDRMask(0, 32)}, Router: via},
		&dhcpv4.Route{Dest: &net.IPNet{IP: net.IPv4zero, Mask: net.CIDRMask(0, 32)}, Router: net.IPv4(198, 51, 100, 9)},
		&dhcpv4.Route{Dest: &net.IPNet{IP: net.IPv4(192, 0, 2, 0), Mask: net.CIDRMask(24, 32)}, Router: net.IPv4zero},
	)), dhcpv4.WithDNS(net.IPv4(9, 9, 9, 9), net.IPv4(127, 0, 0, 1), net.IPv4zero), dhcpv4.WithGeneric(dhcpv4.OptionInterfaceMTU, []byte{5, 0xd4}),
		dhcpv4.WithOption(dhcpv4.OptDomainName("isp.example\x1b[2J")))
	l, err := lease(d, noon)
	if err != nil {
		t.Fatal(err)
	}
	if got := fmt.Sprint(l.Ways()); got != "[{10.0.0.0/8 198.51.100.2} {0.0.0.0/0 198.51.100.2} {192.0.2.0/24 invalid IP}]" {
		t.Errorf("ways %s", got)
	}
	if fmt.Sprint(l.DNS) != "[9.9.9.9]" || l.MTU != 1492 || l.Domain != "" {
		t.Errorf("%+v", l)
	}
	l.Routes = nil
	if got := fmt.Sprint(l.Ways()); got != "[{0.0.0.0/0 198.51.100.1}]" {
		t.Errorf("ways %s", got)
	}
	d.UpdateOption(dhcpv4.OptGeneric(dhcpv4.OptionInterfaceMTU, []byte{0, 68}))
	if l, err := lease(d, noon); err != nil || l.MTU != 0 {
		t.Errorf("an MTU of 68 is followed: %+v, %v", l, err)
	}
}

func TestServerCannotKeepTheClientBusy(t *testing.T) {
	m := requesting(t)
	second := []byte{0, 0, 0, 1}
	d := answer(t, m, dhcpv4.MessageTypeAck, dhcpv4.WithGeneric(dhcpv4.OptionRenewTimeValue, second), dhcpv4.WithGeneric(dhcpv4.OptionRebindingTimeValue, second))
	l, err := lease(d, noon)
	if err != nil {
		t.Fatal(err)
	}
	if l.Renew.Sub(noon) < leastRenew || l.Rebind.Before(l.Renew) {
		t.Errorf("renews after %v, rebinds after %v", l.Renew.Sub(noon), l.Rebind.Sub(noon))
	}
	d.UpdateOption(dhcpv4.OptGeneric(dhcpv4.OptionInterfaceMTU, []byte{0x23, 0x28}))
	if l, err := lease(d, noon); err != nil || l.MTU != 0 {
		t.Errorf("an MTU of 9000 is followed: %+v, %v", l, err)
	}
	if got := spoken("no such lease\x1b[2J" + strings.Repeat("x", 300)); got[:17] != "no such lease?[2J" || len(got) != 100 {
		t.Errorf("a server is quoted with %q", got)
	}
}

// Whatever a frame holds, the client is in a state that it knows, has something to
// wait for, and sends at most one message for it.
func FuzzFrames(f *testing.F) {
	m := still()
	m.begin(noon, nil, false)
	for _, kind := range []dhcpv4.MessageType{dhcpv4.MessageTypeOffer, dhcpv4.MessageTypeAck, dhcpv4.MessageTypeNak} {
		b := answer(f, m, kind).ToBytes()
		f.Add(ether.Datagram(card, card, netip.MustParseAddrPort("198.51.100.1:67"), netip.MustParseAddrPort("198.51.100.50:68"), b), uint8(kind))
	}
	f.Fuzz(func(t *testing.T, frame []byte, steps uint8) {
		d := parse(frame)
		if d == nil {
			return
		}
		m := still()
		m.begin(noon, nil, false)
		if steps&1 != 0 {
			m.message(noon, answer(t, m, dhcpv4.MessageTypeOffer))
		}
		if steps&2 != 0 {
			m.message(noon, answer(t, m, dhcpv4.MessageTypeAck))
			m.checked(noon, first.Addr(), false)
			m.tick(noon.Add(31 * time.Minute))
		}
		d.TransactionID, d.ClientHWAddr = m.xid, card
		now := noon.Add(32 * time.Minute)
		all, _ := m.message(now, d)
		if len(all) > 2 {
			t.Fatalf("one message led to %s", said(all))
		}
		if m.next.IsZero() && m.state != Checking {
			t.Fatalf("waits for nothing in %s", m.state)
		}
		for _, a := range all {
			if a.bind != nil && (!host(a.bind.Address.Addr()) || fits(a.bind.Address) != nil || a.bind.Renew.Sub(a.bind.Got) < shortest/2 || !a.bind.Until.After(now.Add(-time.Hour)) || len(a.bind.DNS) > mostServers || len(a.bind.Routes) > mostRoutes) {
				t.Fatalf("binds %+v", a.bind)
			}
		}
	})
}
