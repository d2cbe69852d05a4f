package dhcpsrv

import (
	"bytes"
	"fmt"
	"net"
	"net/netip"
	"strings"
	"testing"

	"github.com/insomniacslk/dhcp/dhcpv4"
)

func TestHostNames(t *testing.T) {
	for in, want := range map[string]string{
		"Alice's iPhone": "alices-iphone", "tv.lan": "tv", "-x-": "x", "käse": "kse", "": "", "...": "", "\x00": "",
		strings.Repeat("a", 100): strings.Repeat("a", 63), "android_1": "android-1",
	} {
		if got := hostname(in); got != want {
			t.Errorf("%q became %q, want %q", in, got, want)
		}
	}
}

// ask builds a request of device 1 with the options of mods.
func ask(t testing.TB, kind dhcpv4.MessageType, mods ...dhcpv4.Modifier) *message {
	t.Helper()
	mac, _ := net.ParseMAC(device(1).mac)
	d, err := dhcpv4.New(append([]dhcpv4.Modifier{dhcpv4.WithHwAddr(mac), dhcpv4.WithMessageType(kind)}, mods...)...)
	if err != nil {
		t.Fatal(err)
	}
	m, err := parse(d.ToBytes())
	if err != nil {
		t.Fatal(err)
	}
	return m
}

func want(a string) dhcpv4.Modifier {
	return dhcpv4.WithOption(dhcpv4.OptRequestedIPAddress(net.ParseIP(a)))
}

func server(a string) dhcpv4.Modifier {
	return dhcpv4.WithOption(dhcpv4.OptServerIdentifier(net.ParseIP(a)))
}

func from(a string) dhcpv4.Modifier { return dhcpv4.WithClientIP(net.ParseIP(a)) }

func toAll(m *message) *message { m.toAll = true; return m }

// The table of RFC 2131 §4.3.2; device 1 has .101 if had, device 2 has .102.
func TestRequestsAreAnsweredAsTheRFCSays(t *testing.T) {
	const ack, nak, req = dhcpv4.MessageTypeAck, dhcpv4.MessageTypeNak, dhcpv4.MessageTypeRequest
	for name, tt := range map[string]struct {
		had  bool
		m    *message
		want dhcpv4.MessageType
	}{
		"selecting":                {true, ask(t, req, server("192.168.7.1"), want("192.168.7.101")), ack},
		"selecting, other address": {true, ask(t, req, server("192.168.7.1"), want("192.168.7.103")), nak},
		"selecting, not offered":   {false, ask(t, req, server("192.168.7.1"), want("192.168.7.101")), nak},
		"selecting another server": {true, ask(t, req, server("192.168.7.2"), want("192.168.7.101")), silence},
		"reboot":                   {true, ask(t, req, want("192.168.7.101")), ack},
		"reboot, wrong address":    {true, ask(t, req, want("192.168.7.103")), nak},
		"reboot, wrong network":    {false, ask(t, req, want("10.0.0.5")), nak},
		"reboot, unknown":          {false, ask(t, req, want("192.168.7.101")), silence},
		"renew":                    {true, ask(t, req, from("192.168.7.101")), ack},
		"renew, lease lost":        {false, ask(t, req, from("192.168.7.101")), ack},
		"renew, another address":   {true, ask(t, req, from("192.168.7.103")), nak},
		"rebind":                   {true, toAll(ask(t, req, from("192.168.7.101"))), ack},
		"rebind, unknown":          {false, toAll(ask(t, req, from("192.168.7.101"))), silence},
		"renew, of another":        {true, ask(t, req, from("192.168.7.102")), nak},
		"renew, outside the pool":  {true, ask(t, req, from("192.168.7.50")), nak},
		"rebind, wrong network":    {false, ask(t, req, from("10.0.0.5")), nak},
		"no address at all":        {true, ask(t, req), silence},
		"strange relay":            {true, ask(t, req, from("192.168.7.101"), dhcpv4.WithGatewayIP(net.IPv4(10, 0, 0, 1))), silence},
		"inform":                   {false, ask(t, dhcpv4.MessageTypeInform, from("192.168.7.50")), ack},
		"decline of another's":     {true, ask(t, dhcpv4.MessageTypeDecline, server("192.168.7.1"), want("192.168.7.102")), silence},
	} {
		p := newLAN()
		p.lease(noon, device(2), netip.MustParseAddr("192.168.7.102"))
		if tt.had {
			p.lease(noon, device(1), netip.MustParseAddr("192.168.7.101"))
		}
		v := decide(noon, p, tt.m)
		if v.answer != tt.want {
			t.Errorf("%s: %v (%s), want %v", name, v.answer, v.why, tt.want)
		}
		if v.answer == ack && tt.m.kind == req && v.save == nil {
			t.Errorf("%s: acknowledged and not saved", name)
		}
		if b := p.byAddr[netip.MustParseAddr("192.168.7.102")]; b == nil || b.who.key != device(2).key || b.state != Leased {
			t.Errorf("%s: took the lease of device 2 away", name)
		}
	}
}

func TestReplyTellsWhatADeviceNeeds(t *testing.T) {
	c := lan
	c.NTP = lan.Server.Addr()
	m := ask(t, dhcpv4.MessageTypeRequest, dhcpv4.WithRequestedOptions(dhcpv4.OptionNTPServers, dhcpv4.OptionDNSDomainSearchList),
		dhcpv4.WithOption(dhcpv4.OptClientIdentifier([]byte{1, 2, 3})))
	r, err := reply(c, m, dhcpv4.MessageTypeAck, netip.MustParseAddr("192.168.7.101"))
	if err != nil {
		t.Fatal(err)
	}
	r, err = dhcpv4.FromBytes(r.ToBytes())
	if err != nil {
		t.Fatal(err)
	}
	got := fmt.Sprintln(r.YourIPAddr, r.SubnetMask(), r.Router(), r.DNS(), r.NTPServers(), r.DomainName(), r.DomainSearch().Labels,
		r.IPAddressLeaseTime(0), r.IPAddressRenewalTime(0), r.IPAddressRebindingTime(0), r.ServerIdentifier())
	got = strings.TrimSpace(got)
	const want = "192.168.7.101 ffffff00 [192.168.7.1] [192.168.7.1] [192.168.7.1] lan.oak.home.arpa [lan.oak.home.arpa oak.home.arpa] 1h0m0s 30m0s 52m30s 192.168.7.1"
	if got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
	if !bytes.Equal(r.Options.Get(dhcpv4.OptionClientIdentifier), []byte{1, 2, 3}) {
		t.Error("the client identifier is not returned (RFC 6842)")
	}
	nak, err := reply(c, m, dhcpv4.MessageTypeNak, netip.Addr{})
	if err != nil || nak.DNS() != nil || nak.IPAddressLeaseTime(0) != 0 || !nak.IsBroadcast() {
		t.Errorf("a NAK carries configuration: %v %v", nak, err)
	}
}

func FuzzMessage(f *testing.F) {
	f.Add(ask(f, dhcpv4.MessageTypeDiscover).ToBytes())
	f.Add(ask(f, dhcpv4.MessageTypeRequest, want("192.168.7.101"), server("192.168.7.1")).ToBytes())
	f.Add(ask(f, dhcpv4.MessageTypeRelease, from("192.168.7.102")).ToBytes())
	f.Fuzz(func(t *testing.T, b []byte) {
		m, err := parse(b)
		if err != nil {
			return
		}
		p := newLAN()
		p.lease(noon, device(2), netip.MustParseAddr("192.168.7.102"))
		v := decide(noon, p, m)
		if v.give.IsValid() && !p.inPool(v.give) && p.owner[v.give] == "" {
			t.Fatalf("gives %s, which is not ours to give", v.give)
		}
		if len(p.byAddr)+len(p.offers) > 3 {
			t.Fatalf("one message made %d bindings and %d offers", len(p.byAddr), len(p.offers))
		}
		if v.answer != silence {
			r, err := reply(lan, m, v.answer, v.give)
			if err != nil {
				t.Fatal(err)
			}
			if _, err := dhcpv4.FromBytes(r.ToBytes()); err != nil {
				t.Fatalf("the answer is not readable: %v", err)
			}
		}
	})
}
