// Package policy says who may open what to whom in the cell's network.
//
// It is the one meaning of the rights in the document. fw writes it down for the
// kernel's packet filter, the user-space stack asks it for each connection, and
// `pic explain` tells it to people; tests hold the three together. It speaks of
// who opens a connection: answers pass by themselves, and that A may open to B
// says nothing of B to A.
//
// It goes by addresses, and by the side where a flow comes in if somebody says so.
// That a packet from an address of a peer does come from that peer is WireGuard's business (cryptokey routing), and that none comes
// in by another card is fw's. It does no I/O and knows no time: who has expired
// is not in its rules.
package policy

import (
	"net/netip"
	"slices"

	"pic/internal/order"
)

// Numbers of protocols (RFC 5237 registry) that have a meaning here.
const (
	ICMP   = 1
	TCP    = 6
	UDP    = 17
	ICMPv6 = 58
)

// A Flow is a connection that somebody opens.
type Flow struct {
	Src, Dst netip.Addr
	Proto    uint8  // of IP
	Port     uint16 // of Dst; 0 where there are no ports
	// In is the side that it comes in by where that is known, ToLAN or ToWAN: an
	// address that the internet does not know may still be outside of a router, in
	// the network of another one.
	In Way
}

// A Way is where a flow goes.
type Way string

const (
	ToCell Way = "cell" // the cell itself
	ToLAN  Way = "lan"
	ToWAN  Way = "wan"
	ToExit Way = "exit"
	ToPeer Way = "peer" // another peer, or a network behind it
	ToLink Way = "link"
)

// A Verdict is what becomes of a flow.
type Verdict struct {
	Allow bool
	Way   Way
	Name  string // of the exit, peer, link or service
	Why   string // one sentence for a person
}

// A Policy decides. It never changes, and may be used by many at once.
type Policy struct {
	rules   Rules
	own     map[netip.Addr]bool // the cell's and the host's addresses
	public  map[netip.Addr]bool
	peers   []peer
	at      map[netip.Addr]int // index of the peer with the address
	sites   []site             // the longest first
	links   []*link
	nets    []net // of links, the longest first
	blocked ranges
}

type peer struct {
	*Peer
	say
	services map[service]bool
	every    bool // all services, ports that no service has included
	peers    map[string]bool
	cells    map[string]bool
}

type link struct {
	*Link
	say
	services map[service]bool
	every    bool
}

type site struct {
	net  netip.Prefix
	peer int
}

type net struct {
	net  netip.Prefix
	link int
}

type service struct {
	proto uint8
	port  uint16
}

// New makes the policy of r, which must not be changed afterwards.
func New(r Rules) *Policy {
	p := &Policy{rules: r, own: map[netip.Addr]bool{}, public: map[netip.Addr]bool{}, at: make(map[netip.Addr]int, 2*len(r.Peers))}
	for _, a := range slices.Concat(r.Cell, r.Host) {
		p.own[a] = true
	}
	for _, a := range r.Public {
		p.public[a] = true
	}
	share := shared{lists: map[string]map[string]bool{}, ports: map[offer]map[service]bool{}}
	p.peers = make([]peer, len(r.Peers))
	for i := range r.Peers {
		e := &r.Peers[i]
		q := &p.peers[i]
		q.Peer, q.peers, q.cells, q.who = e, share.names(e.Peers), share.names(e.Cells), e.Name
		q.services, q.every = share.offered(&r, e.Services, true)
		for _, a := range e.Addrs {
			p.at[a] = i
		}
		for _, n := range e.Site {
			p.sites = append(p.sites, site{n.Masked(), i})
		}
	}
	for i := range r.Links {
		e := &r.Links[i]
		q := &link{Link: e}
		q.who = "the cell " + e.Name
		q.services, q.every = share.offered(&r, e.Services, false)
		p.links = append(p.links, q)
		for _, n := range e.Subnets {
			p.nets = append(p.nets, net{n.Masked(), i})
		}
	}
	order.Stable(p.sites, func(a, b site) int { return b.net.Bits() - a.net.Bits() })
	order.Stable(p.nets, func(a, b net) int { return b.net.Bits() - a.net.Bits() })
	p.blocked = newRanges(r.Blocked)
	return p
}

// Same reports whether two policies are of the same rules.
func (p *Policy) Same(o *Policy) bool { return p.rules.equal(&o.rules) }

// Rules returns what the policy was made of. They must not be changed.
func (p *Policy) Rules() Rules { return p.rules }

// A party is one end of a flow.
type party struct {
	kind  kind
	index int
}

type kind int

const (
	stranger kind = iota // somewhere in the internet
	self
	member // a peer
	behind // a network behind a peer
	linked
	inLAN
	vacant // an address of the VPN that nobody has
	nobody // no address of a host
)

// who finds out whose address a is. The order is that of the chains of fw.
func (p *Policy) who(a netip.Addr) party {
	switch {
	case p.own[a]:
		return party{kind: self}
	case Nowhere(a):
		return party{kind: nobody}
	}
	if i, ok := p.at[a]; ok {
		return party{member, i}
	}
	if Within(a, p.rules.VPN) {
		return party{kind: vacant}
	}
	for _, s := range p.sites {
		if s.net.Contains(a) {
			return party{behind, s.peer}
		}
	}
	for _, n := range p.nets {
		if n.net.Contains(a) {
			return party{linked, n.link}
		}
	}
	if Within(a, p.rules.LAN) {
		return party{kind: inLAN}
	}
	return party{}
}

// Decide says whether the flow may be opened. It allocates nothing.
func (p *Policy) Decide(f Flow) Verdict {
	if !f.Src.IsValid() || !f.Dst.IsValid() {
		return Verdict{Why: "an address is missing"}
	}
	if p.blocked.has(f.Src) || p.blocked.has(f.Dst) {
		return Verdict{Why: "an address of it is blocked"}
	}
	from := p.who(f.Src)
	switch {
	case from.kind == inLAN && f.In == ToWAN:
		from.kind = stranger
	case from.kind == stranger && f.In == ToLAN:
		from.kind = inLAN
	}
	if from.kind == self {
		return Verdict{Allow: true, Way: p.way(p.who(f.Dst)), Why: "the cell itself may reach everything"}
	}
	if fw, ok := p.Forward(f); ok {
		to := p.who(fw.To)
		return Verdict{Allow: true, Way: p.way(to), Name: fw.Name, Why: "a port forward leads there"}
	}
	to := p.who(f.Dst)
	switch from.kind {
	case member, behind:
		return p.fromPeer(&p.peers[from.index], to, f)
	case linked:
		return p.fromLink(p.links[from.index], to, f)
	case inLAN:
		return p.fromLAN(to)
	case stranger:
		return p.fromWAN(to, f)
	}
	return Verdict{Way: p.way(to), Why: "nobody has the address it comes from"}
}

func (p *Policy) way(to party) Way {
	switch to.kind {
	case self:
		return ToCell
	case member, behind, vacant:
		return ToPeer
	case linked:
		return ToLink
	case inLAN:
		return ToLAN
	}
	return ToWAN
}

func (p *Policy) fromPeer(q *peer, to party, f Flow) Verdict {
	switch to.kind {
	case nobody:
		return Verdict{Way: ToWAN, Why: "no host has the address it goes to"}
	case self:
		return serve(q.services, q.every, q.words(), f)
	case vacant:
		return Verdict{Way: ToPeer, Why: "no device has that address of the VPN"}
	case member, behind:
		o := &p.peers[to.index]
		if q.peers[all] || q.peers[o.Name] || slices.ContainsFunc(o.Groups, func(g string) bool { return q.peers[g] }) {
			return Verdict{Allow: true, Way: ToPeer, Name: o.Name, Why: q.words().peers}
		}
		return Verdict{Way: ToPeer, Name: o.Name, Why: q.words().noPeers}
	case linked:
		o := p.links[to.index]
		if q.cells[all] || q.cells[o.Name] {
			return Verdict{Allow: true, Way: ToLink, Name: o.Name, Why: q.words().cells}
		}
		return Verdict{Way: ToLink, Name: o.Name, Why: q.words().noCells}
	case inLAN:
		if q.LAN {
			return Verdict{Allow: true, Way: ToLAN, Why: q.words().lan}
		}
		return Verdict{Way: ToLAN, Why: q.words().noLAN}
	}
	v := Verdict{Allow: q.Internet, Way: ToWAN, Why: q.words().internet}
	if q.Exit != "" {
		v.Way, v.Name = ToExit, q.Exit
	}
	if !q.Internet {
		v.Why = q.words().noInternet
	}
	return v
}

func (p *Policy) fromLink(l *link, to party, f Flow) Verdict {
	switch to.kind {
	case self:
		return serve(l.services, l.every, l.words(), f)
	case inLAN:
		if l.LAN {
			return Verdict{Allow: true, Way: ToLAN, Why: l.words().lan}
		}
		return Verdict{Way: ToLAN, Why: l.words().noLAN}
	case stranger:
		if l.Out {
			return Verdict{Allow: true, Way: ToWAN, Why: l.words().internet}
		}
		return Verdict{Way: ToWAN, Why: l.words().noInternet}
	case linked:
		return Verdict{Way: ToLink, Name: p.links[to.index].Name, Why: l.words().noCells}
	case nobody:
		return Verdict{Way: ToWAN, Why: "no host has the address it goes to"}
	}
	return Verdict{Way: ToPeer, Why: l.words().noPeers}
}

// fromLAN is what the LAN's devices may. They are at home: nothing but the
// household's devices on the road is closed to them.
func (p *Policy) fromLAN(to party) Verdict {
	switch to.kind {
	case member, vacant:
		return Verdict{Way: ToPeer, Why: "the LAN may not reach devices in the VPN"}
	case behind:
		return Verdict{Allow: true, Way: ToPeer, Name: p.peers[to.index].Name, Why: "the LAN may reach the networks behind a device"}
	case linked:
		return Verdict{Allow: true, Way: ToLink, Name: p.links[to.index].Name, Why: "the LAN may reach linked cells"}
	}
	return Verdict{Allow: true, Way: p.way(to), Why: "what the LAN sends there is not filtered"}
}

func (p *Policy) fromWAN(to party, f Flow) Verdict {
	switch to.kind {
	case member, vacant, behind:
		return Verdict{Way: ToPeer, Why: "the internet may not reach devices in the VPN"}
	case linked:
		return Verdict{Way: ToLink, Why: "the internet may not reach linked cells"}
	}
	if !p.rules.Router {
		return Verdict{Allow: true, Way: p.way(to), Why: "the cell is not the router and filters nothing there"}
	}
	if to.kind == self {
		if f.Proto == ICMP || f.Proto == ICMPv6 {
			return Verdict{Allow: true, Way: ToCell, Why: "everybody may ping the cell"}
		}
		if slices.Contains(p.rules.Open, Port{f.Proto, f.Port}) {
			return Verdict{Allow: true, Way: ToCell, Why: "the port is open to the public"}
		}
		return Verdict{Way: ToCell, Why: "the port is not open to the public"}
	}
	if to.kind == inLAN && f.Proto == ICMPv6 {
		return Verdict{Allow: true, Way: ToLAN, Why: "pings pass in IPv6 (RFC 4890)"}
	}
	return Verdict{Way: p.way(to), Why: "the internet may not reach the LAN"}
}

// serve decides on a flow to the cell itself.
func serve(open map[service]bool, every bool, say *sentences, f Flow) Verdict {
	switch {
	case f.Proto == ICMP || f.Proto == ICMPv6:
		return Verdict{Allow: true, Way: ToCell, Why: say.ping}
	case every, open[service{f.Proto, f.Port}]:
		return Verdict{Allow: true, Way: ToCell, Why: say.service}
	}
	return Verdict{Way: ToCell, Why: say.noService}
}

// Forward finds the port forward that takes the flow, if one does.
func (p *Policy) Forward(f Flow) (Forward, bool) {
	if f.Proto != TCP && f.Proto != UDP {
		return Forward{}, false
	}
	for i := range p.rules.Forwards {
		w := &p.rules.Forwards[i]
		first, last := w.First, w.Last
		if w.Direct() {
			first, last = w.ToPort, w.ToPort+(w.Last-w.First)
		}
		if f.Proto != w.Proto || f.Port < first || f.Port > last || f.Src.Is4() != w.To.Is4() {
			continue
		}
		if w.Direct() && f.Dst != w.To || !w.Direct() && !p.public[f.Dst] {
			continue
		}
		if len(w.From) == 0 || Within(f.Src, w.From) {
			return *w, true
		}
	}
	return Forward{}, false
}

// Knows reports whether a is the address of a peer.
func (p *Policy) Knows(a netip.Addr) bool {
	_, ok := p.at[a]
	return ok
}

// Blocks reports whether a is shut out.
func (p *Policy) Blocks(a netip.Addr) bool { return p.blocked.has(a) }

// Tunnelled reports whether a is reached through the tunnel.
func (p *Policy) Tunnelled(a netip.Addr) bool {
	switch p.who(a).kind {
	case member, behind, linked, vacant:
		return true
	}
	return false
}
