package netstack

import (
	"fmt"
	"maps"
	"net/netip"
	"testing"
	"time"

	"pic/core/config"
	"pic/internal/nettest"
)

// An alliance is a district that is linked with another cell, elm, which has a
// LAN too. Behind the phone there is a network of its own.
type alliance struct {
	*district
	elm, shed, barn *nettest.Host // the cell, its LAN, and the network behind the phone
}

func newAlliance(t *testing.T) *alliance {
	t.Helper()
	a := &alliance{}
	key, pub := NewKey()
	a.district = newDistrict(t, func(d *district) {
		a.district = d
		a.elm, a.shed, a.barn = d.town.elm(t), d.lab.Host("shed"), d.lab.Host("barn")
		d.lab.Link(a.elm, "lan0", "192.168.88.1/24", a.shed, "eth0", "192.168.88.20/24")
		a.elm.Addr("lan0", "fd88:1::1/64")
		a.shed.Addr("eth0", "fd88:1::20/64")
		a.shed.Route("default", "192.168.88.1")
		a.shed.Route("default", "fd88:1::1")
		d.lab.Link(d.phone, "eth1", "192.168.50.1/24", a.barn, "eth0", "192.168.50.20/24")
		d.phone.Addr("eth1", "fd50::1/64")
		d.phone.Forward()
		a.barn.Addr("eth0", "fd50::20/64")
		a.barn.Route("default", "192.168.50.1")
		a.barn.Route("default", "fd50::1")

		d.keys["elm"], d.keys["link"] = key, NewPreshared()
		d.doc.Peers[1].Site = prefixes("192.168.50.0/24", "fd50::/64")
		d.doc.Links = []config.Link{{
			Name: "elm", Domain: "elm.home.arpa", PublicKey: pub, Preshared: "link", Endpoints: []string{"192.0.2.146:51820"},
			Subnets:  prefixes("10.88.0.0/24", "fd88::/64", "192.168.88.0/24", "fd88:1::/64"),
			Services: []string{"mail"},
		}}
		other := config.Resolve(&config.Document{
			Cell:    config.Cell{Name: "elm"},
			Network: config.Network{LAN: config.Interface{Name: "lan0", Address: netip.MustParsePrefix("192.168.88.1/24")}, WAN: config.WAN{Name: "eth0"}},
			WireGuard: config.WireGuard{
				Key: "elm", PublicKey: pub, Endpoint: "192.0.2.146", Interface: "picelm",
				Subnet: netip.MustParsePrefix("10.88.0.0/24"), Subnet6: netip.MustParsePrefix("fd88::/64"),
			},
			Links: []config.Link{{
				Name: "oak", Domain: "oak.home.arpa", PublicKey: d.doc.WireGuard.PublicKey, Preshared: "link", LAN: true, Services: []string{"mail"},
				Subnets: prefixes("10.77.0.0/24", "fd77::/64", "192.168.1.0/24", "fd01::/64", "192.168.50.0/24", "fd50::/64"),
			}},
		}, config.Env{})
		d.cellOn(t, a.elm, From(other)) // first, so that it hears the first call
	})
	serveSite(t, a.elm, "10.88.0.1:993", "10.88.0.1:8081", "[fd88::1]:993", "[fd88::1]:8081")
	serveSite(t, a.shed, ":80")
	serveSite(t, a.barn, ":80")
	serveSite(t, a.client, "10.77.0.2:80", "[fd77::2]:80")
	serveSite(t, a.phone, "10.77.0.3:80", "[fd77::3]:80")
	serveSite(t, a.lan, "[fd01::20]:80")
	serveSite(t, a.self, "10.77.0.1:993", "[fd77::1]:993", "10.77.0.1:8081", "[fd77::1]:8081")
	nettest.WaitFor(t, 20*time.Second, func() bool {
		_, err := a.self.Try("ping", "-c1", "-W1", "10.88.0.1")
		return err == nil
	})
	return a
}

func prefixes(all ...string) []netip.Prefix {
	var out []netip.Prefix
	for _, p := range all {
		out = append(out, netip.MustParsePrefix(p))
	}
	return out
}

// What a device has on the road, each right alone and together with others, and
// what a link and a network behind a device give.
func TestRightsOnTheRoad(t *testing.T) {
	a := newAlliance(t)
	t.Run("16 combinations", a.combinations)
	t.Run("linked cell", a.linked)
	t.Run("network behind a device", a.behind)
	t.Run("revoked under way", a.revoked)
}

// goals are where the rights of the laptop lead, and whom the site there sees.
func goals() map[string][2][2]string {
	return map[string][2][2]string{
		"internet": {{"198.51.100.2:80", "198.51.100.1"}, {"[2001:db8:9::2]:80", "2001:db8:9::1"}},
		"LAN":      {{"192.168.1.20:80", "10.77.0.2"}, {"[fd01::20]:80", "fd77::2"}},
		"service":  {{"10.77.0.1:993", "10.77.0.2"}, {"[fd77::1]:993", "fd77::2"}},
		"cell":     {{"10.88.0.1:993", "10.77.0.2"}, {"[fd88::1]:993", "fd77::2"}},
	}
}

// grant sets the rights of the laptop.
func (a *alliance) grant(t *testing.T, has map[string]bool) {
	t.Helper()
	list := func(right, name string) []string {
		if has[right] {
			return []string{name}
		}
		return []string{"none"}
	}
	p := &a.doc.Peers[0]
	p.Internet, p.LAN = new(has["internet"]), new(has["LAN"])
	p.Services, p.Cells = list("service", "mail"), list("cell", "elm")
	p.Peers = nil
	if has["peer"] {
		p.Peers = []string{"phone"}
	}
	apply(t, a.s, a.config())
}

func (a *alliance) combinations(t *testing.T) {
	for bits := range 16 {
		has := map[string]bool{"internet": bits&1 != 0, "LAN": bits&2 != 0, "service": bits&4 != 0, "cell": bits&8 != 0}
		a.grant(t, has)
		all := map[string]call{}
		for what, families := range goals() {
			for i, to := range families {
				want := shut
				if has[what] {
					want = to[1]
				}
				all[fmt.Sprintf("%v: %s by IPv%d", has, what, 4+2*i)] = call{a.client, to[0], want}
			}
		}
		calls(t, "tcp", all)
	}
}

// linked is what passes between the people of two cells.
func (a *alliance) linked(t *testing.T) {
	a.grant(t, map[string]bool{"cell": true})
	calls(t, "tcp", map[string]call{
		"a service of theirs":              {a.client, "10.88.0.1:993", "10.77.0.2"},
		"a service of theirs 6":            {a.client, "[fd88::1]:993", "fd77::2"},
		"one that the link does not give":  {a.client, "10.88.0.1:8081", shut},
		"one that it does not give 6":      {a.client, "[fd88::1]:8081", shut},
		"their LAN":                        {a.client, "192.168.88.20:80", "10.77.0.2"},
		"their LAN 6":                      {a.client, "[fd88:1::20]:80", "fd77::2"},
		"their LAN, from ours":             {a.desk, "192.168.88.20:80", "192.168.1.21"},
		"their LAN, from ours 6":           {a.desk, "[fd88:1::20]:80", "fd01::21"},
		"a service of ours":                {a.elm, "10.77.0.1:993", "10.88.0.1"},
		"a service of ours 6":              {a.elm, "[fd77::1]:993", "fd88::1"},
		"one of ours that is not theirs":   {a.elm, "10.77.0.1:8081", shut},
		"one of ours that is not theirs 6": {a.elm, "[fd77::1]:8081", shut},
		"by an address of our LAN":         {a.elm, "192.168.1.10:8081", shut},
		"our LAN, from theirs":             {a.shed, "192.168.1.20:80", shut},
		"our LAN, from theirs 6":           {a.shed, "[fd01::20]:80", shut},
		"a device of ours":                 {a.shed, "10.77.0.2:80", shut},
		"a device of ours 6":               {a.shed, "[fd77::2]:80", shut},
		"a network behind ours":            {a.shed, "192.168.50.20:80", shut},
		"our internet":                     {a.client, "198.51.100.2:80", shut}, // the link gives none
	})
	// The link lets them into our LAN, and nowhere else.
	a.doc.Links[0].LAN = true
	apply(t, a.s, a.config())
	calls(t, "tcp", map[string]call{
		"our LAN, from theirs":   {a.shed, "192.168.1.20:80", "192.168.88.20"},
		"our LAN, from theirs 6": {a.shed, "[fd01::20]:80", "fd88:1::20"},
		"a device of ours":       {a.shed, "10.77.0.2:80", shut},
		"a network behind ours":  {a.shed, "192.168.50.20:80", shut},
	})
	a.doc.Links[0].LAN = false
	a.grant(t, map[string]bool{})
	calls(t, "tcp", map[string]call{
		"their LAN, without the right":   {a.client, "192.168.88.20:80", shut},
		"their LAN, without the right 6": {a.client, "[fd88:1::20]:80", shut},
	})
}

// behind is what passes to and from the network behind the phone.
func (a *alliance) behind(t *testing.T) {
	a.grant(t, map[string]bool{"LAN": true})
	calls(t, "tcp", map[string]call{
		"by whom no right is given":  {a.client, "192.168.50.20:80", shut},
		"by no right, IPv6":          {a.client, "[fd50::20]:80", shut},
		"by the LAN":                 {a.desk, "192.168.50.20:80", "192.168.1.21"},
		"by the LAN, IPv6":           {a.desk, "[fd50::20]:80", "fd01::21"},
		"by the internet":            {a.network, "192.168.50.20:80", silent},
		"from there to the internet": {a.barn, "198.51.100.2:80", "198.51.100.1"},
		"from there to the LAN":      {a.barn, "192.168.1.20:80", "192.168.50.20"},
		"from there to the LAN 6":    {a.barn, "[fd01::20]:80", "fd50::20"},
		"from there to a service":    {a.barn, "10.77.0.1:993", "192.168.50.20"},
		"from there to a device":     {a.barn, "10.77.0.2:80", shut},
		"from there to a device 6":   {a.barn, "[fd77::2]:80", shut},
	})
	a.grant(t, map[string]bool{"peer": true})
	calls(t, "tcp", map[string]call{
		"who may reach the device":   {a.client, "192.168.50.20:80", "10.77.0.2"},
		"who may reach the device 6": {a.client, "[fd50::20]:80", "fd77::2"},
	})

	// It ends at its prefixes, in both directions.
	a.phone.Run(t, "ip", "addr", "add", "192.168.51.20/32", "dev", "lo")
	a.phone.Run(t, "ip", "addr", "add", "fd51::20/128", "dev", "lo")
	greet(t, a.lan, "192.168.1.20:9100", "[fd01::20]:9100")
	stranger := listenAt(t, a.self, "pic0", "src net 192.168.51.0/24 or src net fd51::/64")
	wrong := listenAt(t, a.phone, "wg1", "dst net 192.168.51.0/24 or dst net fd51::/64")
	a.grant(t, map[string]bool{"peer": true, "LAN": true, "internet": true})
	for _, to := range []string{"192.168.51.20", "fd51::20"} {
		src := map[bool]string{true: "192.168.1.20", false: "fd01::20"}[netip.MustParseAddr(to).Is4()]
		other(t, a.phone, to, src, 253)
		other(t, a.client, map[bool]string{true: "10.77.0.2", false: "fd77::2"}[netip.MustParseAddr(to).Is4()], to, 253)
	}
	// What was sent after it has come.
	calls(t, "udp", map[string]call{"last": {a.barn, "192.168.1.20:9100", "192.168.50.20"}, "last 6": {a.barn, "[fd01::20]:9100", "fd50::20"}})
	for _, p := range stranger.packets() {
		t.Errorf("from beyond its prefixes came %s", p)
	}
	for _, p := range wrong.packets() {
		t.Errorf("beyond its prefixes went %s", p)
	}
}

// revoked takes one right after another from under a stream that runs on it.
func (a *alliance) revoked(t *testing.T) {
	has := map[string]bool{"internet": true, "LAN": true, "service": true, "cell": true, "peer": true}
	a.grant(t, has)
	all := goals()
	all["peer"] = [2][2]string{{"10.77.0.3:80"}, {"[fd77::3]:80"}}
	run := map[string][]*stream{}
	for what, families := range all {
		for _, to := range families {
			run[what] = append(run[what], follow(t, a.client, to[0]))
		}
	}
	still := maps.Clone(run)
	for what, streams := range run {
		has[what] = false
		delete(still, what)
		start := time.Now()
		a.grant(t, has)
		for i, s := range streams {
			if late := s.over(t, start); late > time.Second {
				t.Errorf("the stream by IPv%d ended %v after the right to %s was taken", 4+2*i, late, what)
			}
		}
		for _, streams := range still {
			for _, s := range streams {
				s.goesOn(t)
			}
		}
	}
}
