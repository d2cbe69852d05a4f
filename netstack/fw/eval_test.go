package fw

import (
	"fmt"
	"math/rand/v2"
	"net/netip"
	"slices"
	"strings"
	"testing"

	"pic/netstack/policy"
)

// A parcel is a packet that opens a connection, on its way through a table.
type parcel struct {
	policy.Flow
	in, out string // interfaces; out is empty where the cell itself is the target
	led     bool   // by a port forward
	mark    uint32
}

// A reading evaluates a table as the kernel would. It is written from nft's manual
// and shares nothing with the code that loads tables.
type reading struct {
	t     *testing.T
	table Table
	set   map[string]*set
	chain map[string]*chain
}

func read(t *testing.T, table Table) *reading {
	r := &reading{t: t, table: table, set: map[string]*set{}, chain: map[string]*chain{}}
	for _, s := range table.sets {
		r.set[s.name] = s
	}
	for _, c := range table.chains {
		r.chain[c.name] = c
	}
	return r
}

// passes follows a parcel through all hooks. place says by which interface an
// address is reached.
func (r *reading) passes(p parcel, place func(netip.Addr, uint32) string) bool {
	for _, hook := range []hook{screen, classify, dstnat} {
		if r.hook(hook, &p) == drop {
			return false
		}
	}
	p.out = place(p.Dst, p.mark)
	at := []hook{clamp, forward, account}
	if p.out == "" {
		at = []hook{input}
	}
	for _, hook := range at {
		if v := r.hook(hook, &p); v == drop || v == reject {
			return false
		}
	}
	return true
}

func (r *reading) hook(h hook, p *parcel) verdict {
	for _, c := range r.table.chains {
		if c.hook == h {
			return r.walk(c, p)
		}
	}
	r.t.Fatalf("no chain at %s", h)
	return ""
}

// walk returns what ends the way through a chain; nothing where it goes on.
func (r *reading) walk(c *chain, p *parcel) verdict {
rules:
	for _, rule := range c.rules {
		for _, cond := range rule.when {
			if !r.holds(cond, p) {
				continue rules
			}
		}
		for _, a := range rule.do {
			switch a := a.(type) {
			case verdict:
				return a
			case jump:
				if v := r.walk(r.chain[string(a)], p); v != "" {
					return v
				}
			case lead:
				p.led, p.Dst = true, a.to
				switch {
				case a.port != 0:
					p.Port = a.port
				case a.ports != "":
					data, _ := r.find(a.ports, bareBytes(p.Port))
					p.Port = uint16(data[0])<<8 | uint16(data[1])
				}
				return accept
			case mapped:
				data, ok := r.find(a.v.set("mapped"), protoBytes(p.Proto)+portBytes(p.Port))
				if !ok {
					continue rules
				}
				n := a.v.kind().width()
				to, _ := netip.AddrFromSlice([]byte(data[:n]))
				p.led, p.Dst, p.Port = true, to, uint16(data[n])<<8|uint16(data[n+1])
				return accept
			case stamp:
				p.mark = uint32(a)
			case counter, keep, fit, note:
			default:
				r.t.Fatalf("an action that the test does not know: %T", a)
			}
		}
	}
	return ""
}

func (r *reading) find(name, key string) (string, bool) {
	s := r.set[name]
	for e := range s.all {
		if !s.nets && e.key == key || s.nets && within(s, e, key) {
			return e.data, true
		}
	}
	return "", false
}

// within compares field by field, as the kernel does in sets of ranges.
func within(s *set, e elem, key string) bool {
	at := 0
	for _, k := range s.key {
		n := (k.width() + 3) / 4 * 4
		if len(s.key) == 1 {
			n = k.width()
		}
		if f := key[at : at+n]; f < e.key[at:at+n] || f > e.last[at:at+n] {
			return false
		}
		at += n
	}
	return true
}

func (r *reading) holds(c condition, p *parcel) bool {
	switch c := c.(type) {
	case card:
		name := p.in
		if c.out {
			name = p.out
		}
		return (name == c.name) != c.not
	case state:
		return c == opening || c == diverted && p.led
	case lookup:
		if !slices.Equal(c.parts, []part{l4, dport}) && p.Src.Is6() != c.six {
			return false
		}
		key := ""
		for _, what := range c.parts {
			key += map[part]string{
				src: addrBytes(p.Src), dst: addrBytes(p.Dst), l4: protoBytes(p.Proto), dport: portBytes(p.Port),
			}[what]
		}
		_, ok := r.find(c.set, key)
		return ok
	case ports:
		return p.Proto == c.proto && c.first <= p.Port && p.Port <= c.last
	case sport:
		return false // clients have ports of their own
	case target:
		return p.Dst == netip.Addr(c)
	case pings:
		_, ok := r.find(words6("icmp", c.six), string([]byte{map[bool]byte{false: 8, true: 128}[c.six]}))
		return ok && p.Proto == map[bool]uint8{false: policy.ICMP, true: policy.ICMPv6}[c.six]
	case through:
		return p.Proto == policy.ICMPv6
	case protocol:
		return p.Proto == uint8(c)
	case syn:
		return p.Proto == policy.TCP && !c.not
	case rate:
		return !c.over
	case note:
		return c.rate == 0
	case flag:
		return (p.mark&marks == c.value) != c.not && !c.ct || c.ct && c.not == (c.value != 0)
	case family:
		return p.Src.Is6() == c.six
	}
	r.t.Fatalf("a condition that the test does not know: %T", c)
	return false
}

// For random rules and flows, the table says what the policy says.
func TestTableAndPolicySayTheSame(t *testing.T) {
	allowed, refused := 0, 0
	for seed := range uint64(150) {
		rnd := rand.New(rand.NewPCG(seed, 4))
		m := anyModel(rnd)
		p := policy.New(m.Rules)
		r := read(t, Compile(m))
		place := places(m)
		for range 400 {
			f := anyFlow(rnd)
			in := place(f.Src, 0)
			if in == "" || policy.Nowhere(f.Src) || policy.Nowhere(f.Dst) && in != m.Interface {
				continue // not from outside
			}
			if in == place(f.Dst, 0) && in != m.Interface && !slices.Contains(m.Rules.Public, f.Dst) {
				continue // does not come by
			}
			want := p.Decide(f)
			if want.Why == "nobody has the address it comes from" {
				continue // WireGuard lets none of those in
			}
			if got := r.passes(parcel{Flow: f, in: in}, place); got != want.Allow {
				t.Fatalf("seed %d: %+v from %s: the table says %v, the policy %+v\n%s", seed, f, in, got, want, Compile(m))
			}
			if want.Allow {
				allowed++
			} else {
				refused++
			}
		}
	}
	if allowed < 5000 || refused < 5000 {
		t.Errorf("%d flows allowed and %d refused are too few to tell", allowed, refused)
	}
}

// places is the routing of the model's cell: by which interface an address is
// reached, "" for the cell itself.
func places(m Model) func(netip.Addr, uint32) string {
	r := &m.Rules
	tunnel := slices.Clone(r.VPN)
	for _, p := range r.Peers {
		tunnel = append(tunnel, p.Site...)
	}
	for _, l := range r.Links {
		tunnel = append(tunnel, l.Subnets...)
	}
	return func(a netip.Addr, mark uint32) string {
		switch {
		case slices.Contains(r.Cell, a), slices.Contains(r.Host, a):
			return ""
		case policy.Within(a, tunnel):
			return m.Interface
		case policy.Within(a, r.LAN):
			return "lan0"
		}
		for _, e := range m.Exits {
			if e.Mark() == mark {
				return e.Interface
			}
		}
		return "wan0"
	}
}

// anyModel is a cell with some of everything.
func anyModel(rnd *rand.Rand) Model {
	m := full()
	r := &m.Rules
	r.Router = rnd.IntN(2) == 0
	m.NewRate, m.SynRate = rnd.IntN(2)*100, rnd.IntN(2)*500
	if !r.Router {
		r.Open = nil
		if rnd.IntN(2) == 0 {
			m.WAN = ""
		}
	}
	some := func(names ...string) []string {
		switch rnd.IntN(4) {
		case 0:
			return []string{"all"}
		case 1:
			return []string{"none"}
		}
		rnd.Shuffle(len(names), func(i, j int) { names[i], names[j] = names[j], names[i] })
		return names[:1+rnd.IntN(len(names)-1)]
	}
	sites := rnd.IntN(2) == 0
	r.Peers = nil
	for i := range 2 + rnd.IntN(6) {
		p := policy.Peer{
			Name: fmt.Sprintf("p%d", i), Addrs: addrs(fmt.Sprintf("10.77.0.%d", 2+i), fmt.Sprintf("fd77::%x", 2+i))[:1+rnd.IntN(2)],
			Internet: rnd.IntN(2) == 0, LAN: rnd.IntN(2) == 0,
			Services: some("dns", "mail", "proxy"), Peers: some("p0", "p1", "p2", "p3", "kids", "old"), Cells: some("elm", "ash"),
			Groups: [][]string{nil, {"kids"}, {"old"}, {"kids", "old"}}[rnd.IntN(4)],
			Exit:   []string{"", "", "far", "elm-out"}[rnd.IntN(4)],
		}
		if sites && rnd.IntN(3) == 0 {
			p.Site = nets(fmt.Sprintf("10.50.%d.0/24", i), fmt.Sprintf("fd50:%x::/64", i))[:1+rnd.IntN(2)]
		}
		r.Peers = append(r.Peers, p)
	}
	for i := range r.Links {
		l := &r.Links[i]
		l.Services, l.LAN, l.Out = some("dns", "mail", "proxy"), rnd.IntN(2) == 0, rnd.IntN(2) == 0
	}
	r.Links = r.Links[:rnd.IntN(3)]
	if len(r.Links) == 0 {
		m.Exits = m.Exits[:1]
		for i := range r.Peers {
			r.Peers[i].Exit = strings.Replace(r.Peers[i].Exit, "elm-out", "", 1)
		}
	}
	if rnd.IntN(2) == 0 {
		r.Forwards, m.Mappings = nil, nil
	}
	if rnd.IntN(2) == 0 {
		r.Blocked = nil
	}
	return m
}

// anyFlow picks ends that the model has, or almost has.
func anyFlow(rnd *rand.Rand) policy.Flow {
	four := []string{
		"10.77.0.1", "10.77.0.2", "10.77.0.3", "10.77.0.4", "10.77.0.5", "10.77.0.99", "10.50.0.9", "10.50.1.9", "10.50.2.9",
		"10.99.0.9", "10.98.3.4", "192.168.1.1", "192.168.1.20", "192.168.1.30", "198.51.100.1", "203.0.113.9",
		"203.0.113.66", "198.19.0.1", "169.254.1.1", "8.8.8.8",
	}
	six := []string{
		"fd77::1", "fd77::2", "fd77::3", "fd77::4", "fd77::99", "fd50::9", "fd50:1::9", "fd99::9", "2001:db8:9::1",
		"2001:db8:1::20", "2001:db8:1::30", "2001:db8:1::31", "2001:db8:5::5", "2001:db8:bad::5", "fe80::5",
	}
	list := four
	if rnd.IntN(2) == 0 {
		list = six
	}
	pick := func() netip.Addr { return netip.MustParseAddr(list[rnd.IntN(len(list))]) }
	f := policy.Flow{Src: pick(), Dst: pick(), Proto: []uint8{policy.TCP, policy.UDP}[rnd.IntN(2)]}
	f.Port = []uint16{22, 25, 53, 80, 443, 993, 2222, 2223, 6881, 7000, 7010, 7011, 8001, 51820}[rnd.IntN(14)]
	if rnd.IntN(8) == 0 {
		f.Proto, f.Port = policy.ICMP, 0
		if f.Src.Is6() {
			f.Proto = policy.ICMPv6
		}
	}
	return f
}
