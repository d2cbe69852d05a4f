package dhcpsrv

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/insomniacslk/dhcp/dhcpv4"

	"pic/core/config"
)

var (
	noon = time.Date(2026, 6, 1, 12, 0, 0, 0, time.UTC)
	lan  = Config{
		Interface: "lan0", Port: 67, Server: netip.MustParsePrefix("192.168.7.1/24"),
		First: netip.MustParseAddr("192.168.7.100"), Last: netip.MustParseAddr("192.168.7.109"),
		Lease: time.Hour, Router: netip.MustParseAddr("192.168.7.1"), DNS: []netip.Addr{netip.MustParseAddr("192.168.7.1")},
		Domain: "oak.home.arpa",
		Reservations: []config.Reservation{
			{Name: "nas", MAC: "02:00:00:00:00:99", Address: netip.MustParseAddr("192.168.7.9")},
			{Name: "tv", MAC: "02:00:00:00:00:98", Address: netip.MustParseAddr("192.168.7.105")},
		},
	}
)

func newLAN() *pool {
	p := newPool()
	p.configure(lan)
	return p
}

func device(n int) client {
	mac := fmt.Sprintf("02:00:00:00:%02x:%02x", n>>8, n&255)
	return client{key: "mac:" + mac, mac: mac, name: fmt.Sprintf("dev%d", n)}
}

// get takes a client through offer and lease.
func get(t *testing.T, p *pool, now time.Time, who client) netip.Addr {
	t.Helper()
	a, _, ok := p.offer(now, who, netip.Addr{})
	if !ok {
		t.Fatalf("no address for %s", who.mac)
	}
	if _, ok := p.lease(now, who, a); !ok {
		t.Fatalf("%s cannot take %s", who.mac, a)
	}
	return a
}

func TestEveryDeviceGetsAnAddressOfItsOwn(t *testing.T) {
	p := newLAN()
	seen := map[netip.Addr]bool{}
	for n := range 9 { // ten, less the one reserved for the television
		a := get(t, p, noon, device(n))
		if seen[a] || !p.inPool(a) || a.String() == "192.168.7.105" {
			t.Errorf("device %d got %s", n, a)
		}
		seen[a] = true
	}
	if _, _, ok := p.offer(noon, device(99), netip.Addr{}); ok {
		t.Error("a full pool offered an address")
	}
	if used, size := p.usage(noon); used != 9 || size != 10 {
		t.Errorf("usage is %d of %d", used, size)
	}
}

func TestDeviceKeepsItsAddress(t *testing.T) {
	p := newLAN()
	a := get(t, p, noon, device(1))
	week := noon.Add(7 * 24 * time.Hour)
	p.expire(week)
	if b, known, _ := p.offer(week, device(1), netip.Addr{}); b != a || !known {
		t.Errorf("after a week it was offered %s, known %v; had %s", b, known, a)
	}
}

// An address that was given up is the last resort for others.
func TestGivenUpAddressIsReusedOnlyInNeed(t *testing.T) {
	p := newLAN()
	first := get(t, p, noon, device(0))
	if _, ok := p.release(noon, device(0), first); !ok {
		t.Fatal("not released")
	}
	for n := 1; n <= 8; n++ {
		if a := get(t, p, noon.Add(time.Minute), device(n)); a == first {
			t.Fatalf("device %d got the address that %s gave up while others were free", n, device(0).mac)
		}
	}
	if a := get(t, p, noon.Add(time.Minute), device(9)); a != first {
		t.Errorf("the last device got %s", a)
	}
}

func TestReservationIsForItsDeviceAlone(t *testing.T) {
	p := newLAN()
	nas := client{key: "id:01020000000099", mac: "02:00:00:00:00:99", name: "whatever"}
	if a := get(t, p, noon, nas); a.String() != "192.168.7.9" {
		t.Errorf("the NAS got %s", a)
	}
	if _, ok := p.lease(noon, device(1), netip.MustParseAddr("192.168.7.9")); ok {
		t.Error("another device got the NAS's address")
	}
	l := p.leases(noon)
	if len(l) != 1 || l[0].Name != "nas" || !l[0].Reserved {
		t.Errorf("leases are %+v", l)
	}
}

func TestDeclinedAddressRests(t *testing.T) {
	p := newLAN()
	a := get(t, p, noon, device(1))
	p.decline(noon, a)
	if b := get(t, p, noon, device(1)); b == a {
		t.Error("the declined address was given again")
	}
	if !p.free(noon.Add(2*quarantine), device(5), a) {
		t.Error("the declined address rests for ever")
	}
}

func TestOffersDoNotExhaustThePool(t *testing.T) {
	p := newLAN()
	for n := range 5000 {
		p.offer(noon.Add(time.Duration(n)*time.Millisecond), device(n), netip.Addr{})
	}
	if most := p.size() + len(lan.Reservations); len(p.byAddr) > most || len(p.byKey) > most {
		t.Errorf("a flood of devices left %d addresses and %d clients", len(p.byAddr), len(p.byKey))
	}
	get(t, p, noon.Add(6*time.Second), device(70000))
}

func TestLeasesSurviveARestart(t *testing.T) {
	p := newLAN()
	var book [][]byte
	for n := range 3 {
		a := get(t, p, noon, device(n))
		book = append(book, p.byAddr[a].record())
	}
	rec, _ := p.release(noon, device(2), p.of(device(2)).addr)
	book = append(book, rec)
	q := newPool()
	for _, rec := range book {
		if err := q.replay(noon.Add(time.Minute), rec); err != nil {
			t.Fatal(err)
		}
	}
	q.configure(lan)
	a, b := p.leases(noon), q.leases(noon)
	for i := range a {
		a[i].Expires, b[i].Expires = a[i].Expires.Truncate(time.Second).UTC(), b[i].Expires.Truncate(time.Second).UTC()
	}
	if !slices.Equal(a, b) {
		t.Errorf("before %+v\nafter  %+v", a, b)
	}
	if err := q.replay(noon, []byte("{")); err == nil {
		t.Error("a broken record was accepted")
	}
}

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
		v := decide(noon, lan, p, tt.m)
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

func TestDatagramHasRightChecksums(t *testing.T) {
	a, b := net.HardwareAddr{2, 0, 0, 0, 0, 1}, net.HardwareAddr{2, 0, 0, 0, 0, 2}
	f := datagram(a, b, netip.MustParseAddr("192.168.7.1"), netip.MustParseAddr("192.168.7.101"), 67, 68, []byte("odd"))
	if got := sum(0, f[14:34]); got != 0xffff {
		t.Errorf("IP header sums to %04x", got)
	}
	udp := f[34:]
	pseudo := uint32(17) + uint32(len(udp)) + uint32(sum(0, f[26:34]))
	if got := sum(pseudo, udp); got != 0xffff {
		t.Errorf("UDP sums to %04x", got)
	}
	if n := binary.BigEndian.Uint16(f[16:]); int(n) != len(f)-14 {
		t.Errorf("IP length is %d of %d", n, len(f)-14)
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
		v := decide(noon, lan, p, m)
		if v.give.IsValid() && !p.inPool(v.give) && p.owner[v.give] == "" {
			t.Fatalf("gives %s, which is not ours to give", v.give)
		}
		if len(p.byAddr) > 3 {
			t.Fatalf("one message made %d bindings", len(p.byAddr))
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
