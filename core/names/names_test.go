package names

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
)

func host(name string, addrs ...string) Host {
	h := Host{Name: name, TTL: time.Hour}
	for _, a := range addrs {
		h.Addrs = append(h.Addrs, netip.MustParseAddr(a))
	}
	return h
}

func visible(s *Snapshot) []string {
	var out []string
	for _, h := range s.Each() {
		out = append(out, h.Name)
	}
	return out
}

func TestRefusesWhatIsNoHostOfItsZone(t *testing.T) {
	const zone = "oak.home.arpa"
	reserved := func(name string) bool { return name == "mail."+zone }
	label63 := strings.Repeat("a", 63)
	for name, tt := range map[string]struct {
		src    Source
		host   Host
		reason string // part of it; empty: visible
	}{
		"lease":              {Leases, host("tv.lan."+zone, "192.168.1.7"), ""},
		"both families":      {Leases, host("tv."+zone, "192.168.1.7", "fd00::7"), ""},
		"longest label":      {Leases, host(label63+"."+zone, "192.168.1.7"), ""},
		"label too long":     {Leases, host(label63+"a."+zone, "192.168.1.7"), "not a host name"},
		"name too long":      {Leases, host(strings.Repeat(label63+".", 4)+zone, "192.168.1.7"), "not a host name"},
		"upper case":         {Leases, host("TV."+zone, "192.168.1.7"), "not a host name"},
		"last dot":           {Leases, host("tv."+zone+".", "192.168.1.7"), "not a host name"},
		"underscore":         {Leases, host("_imaps._tcp."+zone, "192.168.1.7"), "not a host name"},
		"wildcard":           {Leases, host("*."+zone, "192.168.1.7"), "not a host name"},
		"leading hyphen":     {Leases, host("-tv."+zone, "192.168.1.7"), "not a host name"},
		"empty":              {Leases, host("", "192.168.1.7"), "not a host name"},
		"the zone itself":    {Leases, host(zone, "192.168.1.7"), "not below"},
		"other zone":         {Leases, host("www.example.com", "192.168.1.7"), "not below"},
		"zone as a suffix":   {Leases, host("tv.bigoak.home.arpa", "192.168.1.7"), "not below"},
		"name of a service":  {Leases, host("mail."+zone, "192.168.1.7"), "cell itself"},
		"no address":         {Leases, host("tv." + zone), "no address"},
		"loopback":           {Leases, host("tv."+zone, "127.0.0.1"), "cannot be"},
		"mapped loopback":    {Leases, host("tv."+zone, "::ffff:127.0.0.1"), "cannot be"},
		"unspecified":        {Leases, host("tv."+zone, "::"), "cannot be"},
		"multicast":          {Leases, host("tv."+zone, "224.0.0.1"), "cannot be"},
		"broadcast":          {Leases, host("tv."+zone, "255.255.255.255"), "cannot be"},
		"zoned address":      {Leases, host("tv."+zone, "fe80::1%eth0"), "cannot be"},
		"invalid address":    {Leases, Host{Name: "tv." + zone, Addrs: make([]netip.Addr, 1)}, "cannot be"},
		"too many addresses": {Leases, Host{Name: "tv." + zone, Addrs: make([]netip.Addr, 1000)}, "more than"},
		"link":               {Links, host("pc.lan.elm.home.arpa", "192.168.2.7"), ""},
		"domain of a link":   {Links, host("elm.home.arpa", "192.168.2.7"), ""},
		"link in our zone":   {Links, host("pc."+zone, "192.168.2.7"), "not in the domain"},
		"lease of a link":    {Leases, host("pc.elm.home.arpa", "192.168.2.7"), "not below"},
		"no source":          {0, host("tv."+zone, "192.168.1.7"), "nobody of this rank"},
	} {
		r := New("")
		r.SetZone("Oak.home.arpa.", reserved)
		r.SetLinked([]string{"elm.home.arpa"})
		rej := r.Publish(tt.src, []Host{tt.host})
		if tt.reason == "" {
			if len(rej) != 0 || len(r.Snapshot().Addrs(tt.host.Name)) != len(tt.host.Addrs) {
				t.Errorf("%s: refused: %v", name, rej)
			}
			continue
		}
		if len(rej) != 1 || !strings.Contains(rej[0].Reason, tt.reason) || r.Snapshot().Len() != 0 {
			t.Errorf("%s: got %v, want %q", name, rej, tt.reason)
		}
	}
}

func TestHigherRankWinsAndTheLoserComesBack(t *testing.T) {
	r := New("oak.home.arpa")
	r.SetLinked([]string{"cabin.oak.home.arpa"})
	name := "pc.cabin.oak.home.arpa"
	if rej := r.Publish(Leases, []Host{host(name, "192.168.1.7")}); rej != nil {
		t.Fatal(rej)
	}
	if rej := r.Publish(Links, []Host{host(name, "192.168.2.7")}); rej != nil {
		t.Fatal(rej)
	}
	if got := r.Snapshot().Addrs(name); len(got) != 1 || got[0] != netip.MustParseAddr("192.168.2.7") {
		t.Errorf("a lease won over a link: %v", got)
	}
	if rej := r.Publish(Leases, []Host{host(name, "192.168.1.8")}); len(rej) != 1 {
		t.Errorf("the lease was not refused: %v", rej)
	}
	r.Publish(Links, nil)
	if got := r.Snapshot().Addrs(name); len(got) != 1 || got[0] != netip.MustParseAddr("192.168.1.8") {
		t.Errorf("the lease did not come back: %v", got)
	}
	r.SetZone("oak.home.arpa", func(n string) bool { return n == name })
	if r.Snapshot().Len() != 0 {
		t.Error("a name that the document took is still there")
	}
	r.SetZone("oak.home.arpa", nil)
	if r.Snapshot().Len() != 1 {
		t.Error("a name that the document gave up did not come back")
	}
}

func TestPublishReplacesTheWholeSet(t *testing.T) {
	r := New("oak.home.arpa")
	r.Publish(Leases, []Host{host("a.oak.home.arpa", "192.168.1.1"), host("b.oak.home.arpa", "192.168.1.2")})
	old := r.Snapshot()
	rej := r.Publish(Leases, []Host{
		host("b.oak.home.arpa", "192.168.1.2"), host("c.oak.home.arpa", "192.168.1.2"), host("b.oak.home.arpa", "192.168.1.9"),
	})
	if len(rej) != 1 || rej[0].Host.Addrs[0] != netip.MustParseAddr("192.168.1.9") {
		t.Errorf("the second of one name: %v", rej)
	}
	if got, want := visible(r.Snapshot()), []string{"b.oak.home.arpa", "c.oak.home.arpa"}; !slices.Equal(got, want) {
		t.Errorf("visible %v, want %v", got, want)
	}
	if got, want := r.Snapshot().Names(netip.MustParseAddr("::ffff:192.168.1.2")), []string{"b.oak.home.arpa", "c.oak.home.arpa"}; !slices.Equal(got, want) {
		t.Errorf("reverse %v, want %v", got, want)
	}
	if got, want := visible(old), []string{"a.oak.home.arpa", "b.oak.home.arpa"}; !slices.Equal(got, want) {
		t.Errorf("the old snapshot changed: %v", got)
	}
}

func TestSnapshotKnowsEmptyNonTerminals(t *testing.T) {
	r := New("oak.home.arpa")
	r.Publish(Leases, []Host{host("tv.lan.oak.home.arpa", "192.168.1.7")})
	s := r.Snapshot()
	for name, want := range map[string]bool{
		"tv.lan.oak.home.arpa": true, "TV.lan.oak.home.arpa.": true, "lan.oak.home.arpa": true, "oak.home.arpa": true,
		"an.oak.home.arpa": false, "x.tv.lan.oak.home.arpa": false,
	} {
		if s.Exists(name) != want {
			t.Errorf("Exists(%q) = %v", name, !want)
		}
	}
	if s.Addrs("lan.oak.home.arpa") != nil {
		t.Error("an empty non-terminal has addresses")
	}
	if h, ok := s.Lookup("TV.LAN.oak.home.arpa."); !ok || h.TTL != time.Hour {
		t.Errorf("Lookup = %v, %v", h, ok)
	}
}

func TestSetSizeIsBounded(t *testing.T) {
	r := New("oak.home.arpa")
	var hosts []Host
	for i := range MaxHosts + 10 {
		hosts = append(hosts, host(fmt.Sprintf("h%d.oak.home.arpa", i), "192.168.1.7"))
	}
	if rej := r.Publish(Leases, hosts); len(rej) != 10 || r.Snapshot().Len() != MaxHosts {
		t.Errorf("%d refused, %d visible", len(rej), r.Snapshot().Len())
	}
}

// A reader sees a whole set of some Publish, whatever happens beside it.
func TestReadersSeeWholeSets(t *testing.T) {
	r := New("oak.home.arpa")
	sets := [][]Host{
		{host("a.oak.home.arpa", "192.168.1.1"), host("b.oak.home.arpa", "192.168.1.1")},
		{host("a.oak.home.arpa", "192.168.1.2"), host("b.oak.home.arpa", "192.168.1.2")},
	}
	r.Publish(Leases, sets[0])
	var writers, readers sync.WaitGroup
	stop := make(chan struct{})
	for _, set := range sets {
		writers.Go(func() {
			for range 500 {
				r.Publish(Leases, set)
				r.SetZone("oak.home.arpa", nil)
			}
		})
	}
	for range 2 {
		readers.Go(func() {
			for {
				select {
				case <-stop:
					return
				default:
				}
				s := r.Snapshot()
				a, b := s.Addrs("a.oak.home.arpa"), s.Addrs("b.oak.home.arpa")
				if len(a) != 1 || !slices.Equal(a, b) || len(s.Names(a[0])) != 2 {
					t.Errorf("a torn set: %v %v", a, b)
					return
				}
			}
		})
	}
	writers.Wait()
	close(stop)
	readers.Wait()
}

func FuzzPublish(f *testing.F) {
	f.Add("tv.lan.oak.home.arpa", []byte{192, 168, 1, 7}, int64(time.Hour))
	f.Add("*.oak.home.arpa", []byte{}, int64(-1))
	f.Fuzz(func(t *testing.T, name string, addr []byte, ttl int64) {
		r := New("oak.home.arpa")
		a, _ := netip.AddrFromSlice(addr)
		rej := r.Publish(Leases, []Host{{Name: name, Addrs: []netip.Addr{a}, TTL: time.Duration(ttl)}})
		s := r.Snapshot()
		if len(rej)+s.Len() != 1 {
			t.Fatalf("%d refused and %d visible of one host", len(rej), s.Len())
		}
		for _, h := range s.Each() {
			if !below(h.Name, "oak.home.arpa") || h.Name != strings.ToLower(h.Name) || len(h.Name) > 253 {
				t.Errorf("visible: %q", h.Name)
			}
			if h.TTL < 0 || h.TTL > maxTTL || h.Addrs[0].IsLoopback() {
				t.Errorf("visible: %+v", h)
			}
		}
	})
}
