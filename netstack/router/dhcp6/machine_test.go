package dhcp6

import (
	"fmt"
	"net"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/insomniacslk/dhcp/dhcpv6"
	"github.com/insomniacslk/dhcp/iana"
)

var (
	card = net.HardwareAddr{2, 0, 0, 0, 0, 1}
	noon = time.Date(2026, 1, 1, 12, 0, 0, 0, time.UTC)
	net1 = netip.MustParsePrefix("2001:db8:f000::/56")
	net2 = netip.MustParsePrefix("2001:db8:e000::/56")
)

func still() *machine {
	m := newMachine(card)
	m.rand = func() float64 { return 0.5 }
	return m
}

type given struct {
	net   netip.Prefix
	valid time.Duration
}

// answer is what a server says to the machine's exchange.
func answer(m *machine, kind dhcpv6.MessageType, server byte, all ...given) *dhcpv6.Message {
	d := &dhcpv6.Message{MessageType: kind, TransactionID: m.xid}
	d.AddOption(dhcpv6.OptClientID(m.duid()))
	d.AddOption(dhcpv6.OptServerID(&dhcpv6.DUIDLL{HWType: iana.HWTypeEthernet, LinkLayerAddr: net.HardwareAddr{2, 0, 0, 0, 1, server}}))
	pd := &dhcpv6.OptIAPD{IaId: iaid}
	for _, g := range all {
		pd.Options.Add(&dhcpv6.OptIAPrefix{
			PreferredLifetime: g.valid / 2, ValidLifetime: g.valid,
			Prefix: &net.IPNet{IP: g.net.Addr().AsSlice(), Mask: net.CIDRMask(g.net.Bits(), 128)},
		})
	}
	d.AddOption(pd)
	return d
}

func said(all []action) string {
	var out []string
	for _, a := range all {
		switch {
		case a.send != nil:
			out = append(out, a.send.MessageType.String())
		case a.bind != nil:
			var nets []string
			for _, p := range a.bind.Prefixes {
				nets = append(nets, p.Net.String())
			}
			out = append(out, fmt.Sprint("bind ", nets))
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

// bound is a machine that got net1 for an hour at noon.
func bound(t testing.TB) *machine {
	t.Helper()
	m := still()
	m.begin(noon, nil)
	m.message(noon, answer(m, dhcpv6.MessageTypeAdvertise, 1, given{net1, time.Hour}))
	m.tick(m.due())
	m.message(noon, answer(m, dhcpv6.MessageTypeReply, 1, given{net1, time.Hour}))
	if m.state != Bound {
		t.Fatalf("it is %s", m.state)
	}
	return m
}

func TestLifeOfADelegation(t *testing.T) {
	m := still()
	want(t, "start", m.begin(noon, nil), "SOLICIT", m, Soliciting)
	all, err := m.message(noon, answer(m, dhcpv6.MessageTypeAdvertise, 1))
	if err == nil {
		t.Error("an offer of nothing is taken")
	}
	want(t, "nothing", all, "", m, Soliciting)
	m.message(noon, answer(m, dhcpv6.MessageTypeAdvertise, 1, given{net1, time.Hour}))
	// Others may be better: a second is waited for them.
	best := answer(m, dhcpv6.MessageTypeAdvertise, 2, given{net2, time.Hour})
	dhcpv6.WithPreference(7)(best)
	m.message(noon, best)
	if due := m.due(); due != noon.Add(time.Second) {
		t.Errorf("collects for %v", due.Sub(noon))
	}
	all = m.tick(noon.Add(time.Second))
	want(t, "the best", all, "REQUEST", m, Requesting)
	if id := all[0].send.Options.ServerID(); !strings.Contains(id.String(), "02:00:00:00:01:02") {
		t.Errorf("asks %s", id)
	}
	now := noon.Add(2 * time.Second)
	all, err = m.message(now, answer(m, dhcpv6.MessageTypeReply, 1, given{net1, time.Hour}))
	if err == nil || len(all) > 0 {
		t.Error("an answer of another server is taken")
	}
	all, _ = m.message(now, answer(m, dhcpv6.MessageTypeReply, 2, given{net2, time.Hour}))
	want(t, "reply", all, "bind [2001:db8:e000::/56]", m, Bound)
	l := m.lease
	if l.Renew.Sub(l.Got) != 15*time.Minute || l.Rebind.Sub(l.Got) != 24*time.Minute { // of the preferred lifetime
		t.Errorf("T1 %v, T2 %v", l.Renew.Sub(l.Got), l.Rebind.Sub(l.Got))
	}
	want(t, "before T1", m.tick(l.Renew.Add(-1)), "", m, Bound)
	want(t, "T1", m.tick(m.due()), "RENEW", m, Renewing)
	want(t, "T2", m.tick(l.Rebind), "REBIND", m, Rebinding)
	want(t, "its end", m.tick(l.Until()), "lost, SOLICIT", m, Soliciting)
}

func TestAnotherPrefixTakesOver(t *testing.T) {
	m := bound(t)
	now := m.lease.Renew
	m.tick(now)
	all, _ := m.message(now, answer(m, dhcpv6.MessageTypeReply, 1, given{net2, time.Hour}))
	want(t, "reply", all, "bind [2001:db8:e000::/56 2001:db8:f000::/56]", m, Bound)
	if old := m.lease.Prefixes[1]; old.Preferred.After(now) || !old.Valid.After(now) {
		t.Errorf("the former is %+v", old)
	}
	end := m.lease.Prefixes[1].Valid
	m.lease.Renew, m.lease.Rebind = end.Add(time.Hour), end.Add(time.Hour)
	want(t, "the end of the former", m.tick(end), "bind [2001:db8:e000::/56]", m, Bound)
}

func TestServerThatForgotIsAskedAnew(t *testing.T) {
	m := bound(t)
	now := m.lease.Renew
	m.tick(now)
	d := answer(m, dhcpv6.MessageTypeReply, 1)
	d.Options.GetOne(dhcpv6.OptionIAPD).(*dhcpv6.OptIAPD).Options.Add(&dhcpv6.OptStatusCode{StatusCode: iana.StatusNoBinding})
	all, _ := m.message(now, d)
	want(t, "NoBinding", all, "REQUEST", m, Requesting)
	if len(m.lease.Prefixes) != 1 {
		t.Error("the prefix is gone, though it is valid")
	}
}

func TestRestartAsksWhetherTheLeaseHolds(t *testing.T) {
	l := bound(t).lease
	m := still()
	now := noon.Add(10 * time.Minute)
	all := m.begin(now, l)
	want(t, "start", all, "bind [2001:db8:f000::/56], REBIND", m, Rebinding)
	all, _ = m.message(now, answer(m, dhcpv6.MessageTypeReply, 3, given{net1, 0}))
	want(t, "withdrawn", all, "lost, SOLICIT", m, Soliciting)
	m = still()
	want(t, "an old lease", m.begin(l.Until(), l), "SOLICIT", m, Soliciting)
	m = bound(t)
	want(t, "release", m.release(noon), "RELEASE", m, Idle)
}

func TestMessagesAreRepeatedSlower(t *testing.T) {
	m := still()
	m.begin(noon, nil)
	now, last := noon, time.Duration(0)
	for range 20 {
		d := m.due().Sub(now)
		if d < last || d > time.Hour {
			t.Errorf("%v after %v", d, last)
		}
		now, last = m.due(), d
		m.tick(now)
	}
	if last != time.Hour {
		t.Errorf("in the end every %v", last)
	}
}

func TestPrefixThatIsTakenBackEndsAtOnce(t *testing.T) {
	m := bound(t)
	now := m.lease.Renew
	m.tick(now)
	all, _ := m.message(now, answer(m, dhcpv6.MessageTypeReply, 1, given{net2, time.Hour}, given{net1, 0}))
	want(t, "another in its place", all, "bind [2001:db8:e000::/56]", m, Bound)
	m = bound(t)
	m.tick(now)
	all, _ = m.message(now, answer(m, dhcpv6.MessageTypeReply, 1, given{net1, 0}))
	want(t, "nothing in its place", all, "lost, SOLICIT", m, Soliciting)
	m = bound(t)
	m.tick(now)
	if all, err := m.message(now, answer(m, dhcpv6.MessageTypeReply, 1, given{net2, 0})); err == nil || len(all) > 0 || len(m.lease.Prefixes) != 1 {
		t.Errorf("the end of another's prefix: %s, %v", said(all), err)
	}
	// Of two, one is taken back, and nothing is said of the other.
	m = bound(t)
	m.lease.Prefixes = append(m.lease.Prefixes, Prefix{net2, noon.Add(time.Hour), noon.Add(time.Hour)})
	m.tick(now)
	all, _ = m.message(now, answer(m, dhcpv6.MessageTypeReply, 1, given{net1, 0}))
	want(t, "one of two", all, "bind [2001:db8:e000::/56]", m, Renewing)
}

// A server that offers and then refuses is asked ever more slowly.
func TestRefusalsSlowTheClientDown(t *testing.T) {
	m := still()
	now := noon
	m.begin(now, nil)
	var last time.Duration
	for range 10 {
		offer := answer(m, dhcpv6.MessageTypeAdvertise, 1, given{net1, time.Hour})
		dhcpv6.WithPreference(255)(offer)
		all, _ := m.message(now, offer)
		want(t, "the highest preference", all, "REQUEST", m, Requesting)
		d := answer(m, dhcpv6.MessageTypeReply, 1)
		d.Options.GetOne(dhcpv6.OptionIAPD).(*dhcpv6.OptIAPD).Options.Add(&dhcpv6.OptStatusCode{StatusCode: iana.StatusNoPrefixAvail})
		all, err := m.message(now, d)
		want(t, "NoPrefixAvail", all, "", m, Soliciting)
		pause := m.due().Sub(now)
		if err == nil || pause < time.Second || pause < last || pause > 64*time.Second {
			t.Errorf("a pause of %v after one of %v (%v)", pause, last, err)
		}
		now, last = m.due(), pause
		want(t, "anew", m.tick(now), "SOLICIT", m, Soliciting)
	}
	if last != 64*time.Second {
		t.Errorf("the last pause is %v", last)
	}
}

func TestServerThatDoesNotKnowTheLeaseIsAsked(t *testing.T) {
	m := bound(t)
	now := m.lease.Rebind
	m.tick(now)
	d := answer(m, dhcpv6.MessageTypeReply, 7)
	d.Options.GetOne(dhcpv6.OptionIAPD).(*dhcpv6.OptIAPD).Options.Add(&dhcpv6.OptStatusCode{StatusCode: iana.StatusNoBinding})
	all, _ := m.message(now, d)
	want(t, "NoBinding", all, "REQUEST", m, Requesting)
	if id := all[0].send.Options.ServerID(); !strings.Contains(id.String(), "02:00:00:00:01:07") {
		t.Errorf("asks %s", id)
	}
	all, _ = m.message(now, answer(m, dhcpv6.MessageTypeReply, 7, given{net2, time.Hour}))
	want(t, "reply", all, "bind [2001:db8:e000::/56 2001:db8:f000::/56]", m, Bound)
}

// The cable now leads to a provider who has never heard of the lease, and does not
// answer for it.
func TestSilenceAfterPluggingInEndsInAFreshStart(t *testing.T) {
	m := still()
	m.begin(noon, bound(t).lease)
	for range 20 {
		if m.state == Soliciting {
			break
		}
		m.tick(m.due())
	}
	if m.state != Soliciting || m.due().Sub(noon) > 3*time.Minute || m.lease == nil {
		t.Fatalf("in %s after %v, lease %+v", m.state, m.due().Sub(noon), m.lease)
	}
	now := m.due()
	m.message(now, answer(m, dhcpv6.MessageTypeAdvertise, 3, given{net2, time.Hour}))
	m.tick(m.due())
	all, _ := m.message(now, answer(m, dhcpv6.MessageTypeReply, 3, given{net2, time.Hour}))
	want(t, "reply", all, "bind [2001:db8:e000::/56 2001:db8:f000::/56]", m, Bound)
}

func TestOnlyWhatAProviderHasIsDelegated(t *testing.T) {
	for text, want := range map[string]bool{
		"2001:db8:f000::/56": true, "2001:db8::/32": true, "2001:db8:1:2::/64": true, "::/0": false, "2000::/3": false, "2001::/16": false,
		"2001:c00::/23": false, "fd77::/48": false, "fe80::/64": false, "ff00::/32": false, "64:ff9b::/96": false,
	} {
		p := netip.MustParsePrefix(text)
		if Delegable(p) != want {
			t.Errorf("%s can be delegated: %v", text, !want)
		}
		m := still()
		m.begin(noon, nil)
		if l, err := lease(answer(m, dhcpv6.MessageTypeReply, 1, given{p, time.Hour}), noon); (err == nil) != want {
			t.Errorf("%s: %+v, %v", text, l, err)
		}
	}
}

func TestServerCannotKeepTheClientBusy(t *testing.T) {
	m := still()
	m.begin(noon, nil)
	for name, change := range map[string]func(*dhcpv6.OptIAPD){
		"T1 of a second": func(o *dhcpv6.OptIAPD) { o.T1, o.T2 = time.Second, time.Second },
		"all deprecated": func(o *dhcpv6.OptIAPD) { o.Options.Prefixes()[0].PreferredLifetime = 0 },
	} {
		d := answer(m, dhcpv6.MessageTypeReply, 1, given{net1, time.Hour})
		change(d.Options.GetOne(dhcpv6.OptionIAPD).(*dhcpv6.OptIAPD))
		if l, err := lease(d, noon); err != nil || l.Renew.Sub(noon) < leastRenew || l.Rebind.Before(l.Renew) {
			t.Errorf("%s: %+v, %v", name, l, err)
		}
	}
}

// Whatever a message holds, the client is in a state that it knows and has
// something to wait for, and what it binds is bounded and makes sense.
func FuzzMessages(f *testing.F) {
	m := still()
	m.begin(noon, nil)
	f.Add(answer(m, dhcpv6.MessageTypeAdvertise, 1, given{net1, time.Hour}).ToBytes(), uint8(0))
	f.Add(answer(m, dhcpv6.MessageTypeReply, 1, given{net2, time.Hour}).ToBytes(), uint8(1))
	f.Add(answer(m, dhcpv6.MessageTypeReply, 1, given{net1, 0}).ToBytes(), uint8(2))
	f.Fuzz(func(t *testing.T, b []byte, steps uint8) {
		d, err := dhcpv6.MessageFromBytes(b)
		if err != nil {
			return
		}
		m := still()
		m.begin(noon, nil)
		if steps%3 > 0 {
			m = bound(t)
		}
		if steps%3 > 1 {
			m.tick(m.lease.Renew)
		}
		now := noon.Add(20 * time.Minute)
		d.TransactionID = m.xid
		all, _ := m.message(now, d)
		if len(all) > 2 || m.due().IsZero() {
			t.Fatalf("%s, then waits for %v in %s", said(all), m.due(), m.state)
		}
		for _, a := range all {
			if a.bind == nil {
				continue
			}
			if len(a.bind.Prefixes) > mostPrefixes || len(a.bind.Addresses) > mostAddresses || len(a.bind.DNS) > mostServers || a.bind.empty() {
				t.Fatalf("binds %+v", a.bind)
			}
			for _, p := range a.bind.Prefixes {
				if p.Net != p.Net.Masked() || !Delegable(p.Net) || p.Preferred.After(p.Valid) {
					t.Fatalf("binds %+v", p)
				}
			}
		}
		m.tick(m.due())
	})
}
