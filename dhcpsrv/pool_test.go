package dhcpsrv

import (
	"fmt"
	"math/rand/v2"
	"net/netip"
	"slices"
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
	o, _, _, ok := p.offer(now, who, netip.Addr{})
	if !ok {
		t.Fatalf("no address for %s", who.mac)
	}
	if _, _, ok := p.lease(now, who, o.addr); !ok {
		t.Fatalf("%s cannot take %s", who.mac, o.addr)
	}
	return o.addr
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
	if _, _, _, ok := p.offer(noon, device(99), netip.Addr{}); ok {
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
	if o, probe, _, _ := p.offer(week, device(1), netip.Addr{}); o.addr != a || !probe {
		t.Errorf("after a week it was offered %s, asked for %v; had %s", o.addr, probe, a)
	}
	if o, probe, _, _ := p.offer(noon.Add(time.Minute), device(1), netip.Addr{}); o.addr != a || !probe {
		t.Errorf("offered %s", o.addr) // the lease has ended, so it is asked for
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
	if _, _, ok := p.lease(noon, device(1), netip.MustParseAddr("192.168.7.9")); ok {
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
	had := get(t, p, noon, device(1))
	p.release(noon, device(1), had)
	for n := 2; n < 5000; n++ {
		p.offer(noon.Add(time.Duration(n)*time.Millisecond), device(n), netip.Addr{})
	}
	if most := p.size() + len(lan.Reservations); len(p.offers) > most || len(p.offered) > most || len(p.byAddr) != 1 {
		t.Errorf("a flood of devices left %d offers for %d clients", len(p.offers), len(p.offered))
	}
	// Who had an address is not forgotten for offers that nobody took.
	if a := get(t, p, noon.Add(time.Minute), device(1)); a != had {
		t.Errorf("had %s and got %s", had, a)
	}
	get(t, p, noon.Add(6*time.Second), device(70000))
}

// Network boot and the operating system have identifiers of their own.
func TestReservationFollowsTheHardware(t *testing.T) {
	p := newLAN()
	mac := "02:00:00:00:00:99"
	for _, key := range []string{"mac:" + mac, "id:01", "id:02", "mac:" + mac} {
		if a := get(t, p, noon, client{key: key, mac: mac}); a.String() != "192.168.7.9" {
			t.Errorf("as %s it got %s", key, a)
		}
	}
	if len(p.byAddr) != 1 || len(p.byKey) != 1 {
		t.Errorf("%d addresses, %d clients", len(p.byAddr), len(p.byKey))
	}
}

// A device whose reserved address somebody else still has gets another until then.
func TestReservationWaitsForItsAddress(t *testing.T) {
	p := newLAN()
	c := lan
	c.Reservations = nil
	p.configure(c)
	tv := client{key: "mac:02:00:00:00:00:98", mac: "02:00:00:00:00:98"}
	reserved := netip.MustParseAddr("192.168.7.105")
	if _, _, ok := p.lease(noon, device(1), reserved); !ok {
		t.Fatal("device 1 cannot have it before it is reserved")
	}
	p.configure(lan)
	temp := get(t, p, noon, tv)
	if temp == reserved {
		t.Fatal("two devices have one address")
	}
	if _, _, ok := p.lease(noon.Add(time.Minute), device(1), reserved); ok {
		t.Error("device 1 could renew what is reserved for another")
	}
	later := noon.Add(2 * lan.Lease)
	if _, _, ok := p.lease(later, tv, temp); ok {
		t.Error("the TV keeps the other address though its own is free")
	}
	if a := get(t, p, later, tv); a != reserved {
		t.Errorf("the TV got %s", a)
	}
}

// A full pool tries what was declined again, since it is asked for first.
func TestDeclinedAddressIsTheLastResort(t *testing.T) {
	p := newLAN()
	bad := get(t, p, noon, device(0))
	p.decline(noon, bad)
	for n := range 8 {
		if a := get(t, p, noon, device(n)); a == bad {
			t.Fatalf("device %d got the declined address", n)
		}
	}
	o, probe, _, ok := p.offer(noon, device(8), netip.Addr{})
	if !ok || o.addr != bad || !probe {
		t.Fatalf("offer of %v, probe %v", o, probe)
	}
	if _, _, ok := p.lease(noon, device(8), bad); !ok {
		t.Error("an offer cannot be taken")
	}
}

func TestProbesAreNotRepeated(t *testing.T) {
	p := newLAN()
	o, probe, busy, _ := p.offer(noon, device(1), netip.Addr{})
	if !probe || busy {
		t.Fatalf("first: probe %v, busy %v", probe, busy)
	}
	o.asking = true
	if _, probe, busy, _ := p.offer(noon, device(1), netip.Addr{}); probe || !busy {
		t.Errorf("while asking: probe %v, busy %v", probe, busy)
	}
	o.asking, o.probe = false, noon
	if again, probe, busy, _ := p.offer(noon.Add(time.Second), device(1), netip.Addr{}); again != o || probe || busy {
		t.Errorf("just asked: probe %v, busy %v", probe, busy)
	}
	p.lease(noon, device(1), o.addr)
	if _, probe, busy, _ := p.offer(noon.Add(lan.Lease/2), device(1), netip.Addr{}); probe || busy {
		t.Errorf("the holder of the lease: probe %v, busy %v", probe, busy)
	}
}

func TestNamesGoToWhoHadThemFirst(t *testing.T) {
	p := newLAN()
	named := func(n int, name string) client { c := device(n); c.name = name; return c }
	take := func(at time.Time, who client, a string) {
		t.Helper()
		if _, _, ok := p.lease(at, who, netip.MustParseAddr(a)); !ok {
			t.Fatalf("%s cannot have %s", who.mac, a)
		}
	}
	take(noon, named(1, "printer"), "192.168.7.108")
	take(noon.Add(time.Second), named(2, "printer"), "192.168.7.101")
	take(noon.Add(2*time.Second), named(3, "nas"), "192.168.7.102") // the name of a reservation
	take(noon.Add(3*time.Second), client{key: "x", mac: "02:00:00:00:00:98", name: "mallory"}, "192.168.7.105")
	take(noon.Add(4*time.Second), named(4, ""), "192.168.7.104")
	var got []string
	for _, h := range p.hosts(noon.Add(time.Minute), "oak") {
		got = append(got, fmt.Sprint(h.Name, " ", h.Addrs[0]))
	}
	want := []string{
		"printer.lan.oak 192.168.7.108", "printer.oak 192.168.7.108", "tv.lan.oak 192.168.7.105", "tv.oak 192.168.7.105",
	}
	if !slices.Equal(got, want) {
		t.Errorf("got %q", got)
	}
	_, renamed, _ := p.lease(noon.Add(time.Minute), named(1, "printer"), netip.MustParseAddr("192.168.7.108"))
	if renamed {
		t.Error("a renewal changed names")
	}
	_, renamed, _ = p.lease(noon.Add(time.Minute), named(1, "plotter"), netip.MustParseAddr("192.168.7.108"))
	if !renamed || len(p.hosts(noon.Add(time.Minute), "oak")) != 6 {
		t.Error("a device with another name is called as before")
	}
}

// Whatever devices do in whatever order, an address that was acknowledged is
// nobody else's before it ends, also after restarts.
func TestNoAddressIsEverGivenTwice(t *testing.T) {
	type holder struct {
		mac, key string
		until    time.Time
	}
	for seed := range uint64(40) {
		r := rand.New(rand.NewPCG(seed, 7))
		p, now, book := newLAN(), noon, [][]byte(nil)
		holders := map[netip.Addr]holder{}
		macs := func(n int) string {
			if n >= 12 {
				return fmt.Sprintf("02:00:00:00:00:%d", 86+n) // 98 and 99 have reservations
			}
			return device(n).mac
		}
		for step := range 3000 {
			now = now.Add(time.Duration(r.IntN(120)) * time.Second)
			m := &message{DHCPv4: &dhcpv4.DHCPv4{}, who: client{mac: macs(r.IntN(14)), name: "x"}}
			m.who.key = "mac:" + m.who.mac
			if r.IntN(10) == 0 {
				m.who.key = "id:" + m.who.mac
			}
			some := p.nth(r.IntN(p.size()))
			if own := p.last(m.who); own.IsValid() && r.IntN(3) > 0 {
				some = own
			}
			switch r.IntN(12) {
			case 0, 1, 2:
				m.kind, m.want = dhcpv4.MessageTypeDiscover, some
			case 3, 4, 5:
				m.kind, m.server, m.want = dhcpv4.MessageTypeRequest, lan.Server.Addr(), some
				if h := p.held(now, m.who); h.IsValid() {
					m.want = h
				}
			case 6:
				m.kind, m.want = dhcpv4.MessageTypeRequest, some
			case 7, 8:
				m.kind, m.ciaddr, m.toAll = dhcpv4.MessageTypeRequest, some, r.IntN(2) == 0
			case 9:
				m.kind, m.ciaddr = dhcpv4.MessageTypeRelease, some
			case 10:
				m.kind, m.server, m.want = dhcpv4.MessageTypeDecline, lan.Server.Addr(), some
			case 11:
				if r.IntN(20) == 0 {
					p = reload(t, now, book)
				}
				p.expire(now)
				continue
			}
			had := p.byAddr[some]
			v := decide(now, p, m)
			if v.save != nil {
				book = append(book, v.save)
			}
			if m.kind == dhcpv4.MessageTypeDecline && v.save != nil || m.kind == dhcpv4.MessageTypeRelease && v.save != nil {
				a := some
				if h := holders[a]; h.until.After(now) && h.mac != m.who.mac {
					t.Fatalf("seed %d, step %d: %s gave up %s of %s (%+v)", seed, step, m.who.mac, a, h.mac, had)
				}
				delete(holders, a)
			}
			if v.answer != dhcpv4.MessageTypeAck {
				continue
			}
			if v.save == nil {
				t.Fatalf("seed %d, step %d: acknowledged and not saved", seed, step)
			}
			if h := holders[v.give]; h.until.After(now) && h.mac != m.who.mac {
				t.Fatalf("seed %d, step %d: %s is %s's and was given to %s", seed, step, v.give, h.mac, m.who.mac)
			}
			if owner := p.owner[v.give]; owner != "" && owner != m.who.mac {
				t.Fatalf("seed %d, step %d: %s got the reserved %s", seed, step, m.who.mac, v.give)
			}
			for a, h := range holders { // who asks anew has given up what it had
				if h.key == m.who.key {
					delete(holders, a)
				}
			}
			holders[v.give] = holder{m.who.mac, m.who.key, now.Add(lan.Lease)}
		}
		if len(p.byAddr) > p.size()+2 || len(p.byKey) > len(p.byAddr) || len(p.offers) != len(p.offered) {
			t.Fatalf("seed %d: %d addresses, %d clients, %d and %d offers", seed, len(p.byAddr), len(p.byKey), len(p.offers), len(p.offered))
		}
	}
}
