package dhcpsrv

import (
	"hash/fnv"
	"net/netip"
	"slices"
	"time"

	"pic/core/config"
)

const (
	offerFor   = 30 * time.Second // how long an offer holds an address
	probeFor   = time.Minute      // how long a probe that nobody answered counts
	quarantine = time.Hour        // how long a declined address rests
)

// A client is who asks: by client identifier where it sends one (RFC 6842), else
// by hardware address.
type client struct {
	key  string // unique
	mac  string // aa:bb:cc:dd:ee:ff
	id   string // client identifier in hex, or empty
	name string // host name that it asks for, or empty
}

// A binding is what is known of an address beyond the moment. Times carry the
// monotonic clock, so that a host without a battery-backed clock may be set
// while leases run.
type binding struct {
	addr  netip.Addr
	who   client // none for Declined
	state State
	since time.Time // when the client got it first
	until time.Time // when it ends, or ended
	span  time.Duration
	seq   uint64 // orders what is on disk
}

// An offer holds an address for a client for a moment. It is not on disk.
type offer struct {
	addr   netip.Addr
	who    client
	until  time.Time
	probe  time.Time // when the LAN was asked for the address; zero: not yet
	asking bool      // the LAN is being asked
}

// A pool decides who gets which address. It does no I/O, and is not safe for
// concurrent use. An address has at most one binding and one offer, and so has a
// client; so memory is bounded by the size of the pool, whatever clients do.
type pool struct {
	conf     Config
	byAddr   map[netip.Addr]*binding
	byKey    map[string]*binding // all but Declined
	offers   map[netip.Addr]*offer
	offered  map[string]*offer
	reserved map[string]config.Reservation // by MAC
	owner    map[netip.Addr]string         // MAC of the reservation of an address
	seq      uint64
}

func newPool() *pool {
	return &pool{
		byAddr: map[netip.Addr]*binding{}, byKey: map[string]*binding{},
		offers: map[netip.Addr]*offer{}, offered: map[string]*offer{},
	}
}

func (p *pool) configure(c Config) {
	p.conf = c
	p.reserved, p.owner = map[string]config.Reservation{}, map[netip.Addr]string{}
	for _, r := range c.Reservations {
		p.reserved[r.MAC] = r
		p.owner[r.Address] = r.MAC
	}
	p.offers, p.offered = map[netip.Addr]*offer{}, map[string]*offer{}
}

// may reports whether the client could have the address if nobody else had it.
// Who has a reservation may have another address only while somebody else sits
// on the reserved one.
func (p *pool) may(now time.Time, who client, a netip.Addr) bool {
	if r, ok := p.reserved[who.mac]; ok && (a == r.Address || p.free(now, who, r.Address)) {
		return a == r.Address
	}
	return p.inPool(a) && p.owner[a] == ""
}

// inPool reports whether an address is one that the pool gives away.
func (p *pool) inPool(a netip.Addr) bool {
	c := p.conf
	return a.Is4() && c.First.Compare(a) <= 0 && a.Compare(c.Last) <= 0 && a != c.Server.Addr() && a != c.Router &&
		!slices.Contains(c.DNS, a) && a != c.Server.Masked().Addr() && a != broadcastOf(c.Server)
}

// free reports whether nobody but the client holds the address.
func (p *pool) free(now time.Time, who client, a netip.Addr) bool {
	if o := p.offers[a]; o != nil && o.until.After(now) {
		return o.who.key == who.key // nothing is offered that is not free
	}
	b := p.byAddr[a]
	return b == nil || !b.held(now) || b.state == Leased && p.same(b, who)
}

// same reports whether a binding is the client's own. A reserved address belongs
// to the device, whatever identifier it sends now: network boot and each of its
// operating systems have their own.
func (p *pool) same(b *binding, who client) bool {
	return b.who.key == who.key || b.who.mac == who.mac && p.owner[b.addr] == who.mac
}

// held reports whether the binding keeps others from its address.
func (b *binding) held(now time.Time) bool { return b.state != Free && b.until.After(now) }

// offer picks an address for the client, holds it for a while, and says whether
// the LAN must be asked for it first. busy means that this is being done.
func (p *pool) offer(now time.Time, who client, want netip.Addr) (o *offer, probe, busy, ok bool) {
	a, ok := p.pick(now, who, want)
	if !ok {
		return nil, false, false, false
	}
	o = p.offered[who.key]
	if o == nil || o.addr != a {
		p.unoffer(who)
		if old := p.offers[a]; old != nil {
			p.unoffer(old.who)
		}
		o = &offer{addr: a}
		p.offers[a], p.offered[who.key] = o, o
	}
	o.who, o.until = who, now.Add(offerFor)
	if b := p.byAddr[a]; b != nil && b.state == Leased && b.held(now) && p.same(b, who) {
		return o, false, false, true // it has the address now
	}
	probe = o.probe.IsZero() || now.Sub(o.probe) > probeFor
	return o, probe && !o.asking, o.asking, true
}

func (p *pool) pick(now time.Time, who client, want netip.Addr) (netip.Addr, bool) {
	if r, ok := p.reserved[who.mac]; ok && p.free(now, who, r.Address) {
		return r.Address, true
	}
	for _, a := range []netip.Addr{p.last(who), p.held(now, who), want} {
		if a.IsValid() && p.may(now, who, a) && p.free(now, who, a) {
			return a, true
		}
	}
	return p.search(now, who)
}

// last is the address that the client has or had, if any.
func (p *pool) last(who client) netip.Addr {
	if b := p.byKey[who.key]; b != nil {
		return b.addr
	}
	return netip.Addr{}
}

// held is the address that is offered to the client, if any.
func (p *pool) held(now time.Time, who client) netip.Addr {
	if o := p.offered[who.key]; o != nil && o.until.After(now) {
		return o.addr
	}
	return netip.Addr{}
}

// search finds an address that was never given away, beginning at a place that
// depends on the client; failing that, the one that was given up first; then one
// that is in quarantine, since it is asked for before it is offered; at last the
// oldest offer that nobody took, so that a flood of clients cannot close the pool.
func (p *pool) search(now time.Time, who client) (netip.Addr, bool) {
	size := p.size()
	if size == 0 {
		return netip.Addr{}, false
	}
	h := fnv.New32a()
	h.Write([]byte(who.key))
	start := int(h.Sum32() % uint32(size))
	var gone, resting *binding
	var stale *offer
	for i := range size {
		a := p.nth((start + i) % size)
		if !p.may(now, who, a) {
			continue
		}
		b, o := p.byAddr[a], p.offers[a]
		leased := b != nil && b.state == Leased && b.held(now)
		switch {
		case leased:
		case o != nil && o.until.After(now):
			if stale == nil || o.until.Before(stale.until) {
				stale = o
			}
		case b == nil:
			return a, true
		case b.state == Declined && b.held(now):
			if resting == nil || b.until.Before(resting.until) {
				resting = b
			}
		case gone == nil || b.until.Before(gone.until):
			gone = b
		}
	}
	switch {
	case gone != nil:
		return gone.addr, true
	case resting != nil:
		return resting.addr, true
	case stale != nil:
		return stale.addr, true
	}
	return netip.Addr{}, false
}

// unoffer lets go of what is offered to the client.
func (p *pool) unoffer(who client) {
	if o := p.offered[who.key]; o != nil {
		delete(p.offered, who.key)
		if p.offers[o.addr] == o {
			delete(p.offers, o.addr)
		}
	}
}

// lease gives the client the address and returns the record to save, or false
// where it cannot have it. renamed says that the set of names changed.
func (p *pool) lease(now time.Time, who client, a netip.Addr) (rec []byte, renamed, ok bool) {
	if !p.may(now, who, a) || !p.free(now, who, a) {
		return nil, false, false
	}
	if r, ok := p.reserved[who.mac]; ok {
		who.name = r.Name
	}
	b := &binding{addr: a, who: who, state: Leased, since: now, until: now.Add(p.conf.Lease), span: p.conf.Lease}
	renamed = true
	if old := p.byAddr[a]; old != nil && p.same(old, who) {
		b.since = old.since
		renamed = old.state != Leased || old.who.name != who.name
	}
	p.unoffer(who)
	p.bind(b)
	return p.record(b), renamed, true
}

// bind makes b the only binding of its address and of its client.
func (p *pool) bind(b *binding) {
	p.unbind(p.byAddr[b.addr])
	p.unbind(p.byKey[b.who.key])
	p.byAddr[b.addr] = b
	if b.state != Declined {
		p.byKey[b.who.key] = b
	}
}

func (p *pool) unbind(b *binding) {
	if b == nil {
		return
	}
	if p.byAddr[b.addr] == b {
		delete(p.byAddr, b.addr)
	}
	if p.byKey[b.who.key] == b {
		delete(p.byKey, b.who.key)
	}
}

// release ends the client's lease of a; it gets the address again if nobody
// else needed it.
func (p *pool) release(now time.Time, who client, a netip.Addr) (rec []byte, ok bool) {
	b := p.byKey[who.key]
	if b == nil || b.addr != a || b.state != Leased {
		return nil, false
	}
	b.state, b.until = Free, now
	return p.record(b), true
}

// decline puts an address in quarantine.
func (p *pool) decline(now time.Time, a netip.Addr) []byte {
	if o := p.offers[a]; o != nil {
		p.unoffer(o.who)
	}
	b := &binding{addr: a, state: Declined, since: now, until: now.Add(quarantine), span: quarantine}
	p.bind(b)
	return p.record(b)
}

// forget removes all that is known of an address.
func (p *pool) forget(a netip.Addr) (rec []byte, ok bool) {
	b := p.byAddr[a]
	if b == nil {
		return nil, false
	}
	p.unbind(b)
	return p.record(&binding{addr: a}), true
}

// expire ends what has run out and reports whether names changed.
func (p *pool) expire(now time.Time) (changed bool) {
	for _, o := range p.offers {
		if !o.until.After(now) && !o.asking {
			p.unoffer(o.who)
		}
	}
	for _, b := range p.byAddr {
		if b.held(now) {
			continue
		}
		switch b.state {
		case Declined:
			p.unbind(b)
		case Leased:
			b.state, changed = Free, true
		}
	}
	return changed
}

// size is how many addresses lie between First and Last.
func (p *pool) size() int {
	if !p.conf.First.Is4() || !p.conf.Last.Is4() || p.conf.Last.Less(p.conf.First) {
		return 0
	}
	return int(number(p.conf.Last)-number(p.conf.First)) + 1
}

func (p *pool) nth(i int) netip.Addr { return numbered(number(p.conf.First) + uint32(i)) }

func number(a netip.Addr) uint32 {
	b := a.As4()
	return uint32(b[0])<<24 | uint32(b[1])<<16 | uint32(b[2])<<8 | uint32(b[3])
}

func numbered(v uint32) netip.Addr {
	return netip.AddrFrom4([4]byte{byte(v >> 24), byte(v >> 16), byte(v >> 8), byte(v)})
}

// broadcastOf is the address of all devices of a network.
func broadcastOf(p netip.Prefix) netip.Addr {
	if !p.IsValid() || !p.Addr().Is4() {
		return netip.Addr{}
	}
	return numbered(number(p.Masked().Addr()) | uint32(uint64(1)<<(32-p.Bits())-1))
}
