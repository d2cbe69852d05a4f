package dhcpsrv

import (
	"encoding/json"
	"fmt"
	"hash/fnv"
	"net/netip"
	"slices"
	"strings"
	"time"

	"pic/core/config"
	"pic/core/names"
)

const (
	offerFor   = 30 * time.Second // how long an offer holds an address
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

// A binding is what the pool knows of one address. Times carry the monotonic
// clock, so that a host without a battery-backed clock may be set while leases run.
type binding struct {
	addr  netip.Addr
	who   client
	state State // Leased, Free or Declined; empty: only offered
	until time.Time
	offer time.Time // an offer holds until then; zero: none
}

// A pool decides who gets which address. It does no I/O, and is not safe for
// concurrent use. Each address has at most one binding, each client too.
type pool struct {
	conf   Config
	byAddr map[netip.Addr]*binding
	byKey  map[string]*binding
	fixed  map[string]config.Reservation // by MAC
	owner  map[netip.Addr]string         // MAC of the reservation of an address
}

func newPool() *pool {
	return &pool{byAddr: map[netip.Addr]*binding{}, byKey: map[string]*binding{}}
}

func (p *pool) configure(c Config) {
	p.conf = c
	p.fixed, p.owner = map[string]config.Reservation{}, map[netip.Addr]string{}
	for _, r := range c.Reservations {
		p.fixed[r.MAC] = r
		p.owner[r.Address] = r.MAC
	}
}

// may reports whether the client could ever have the address.
func (p *pool) may(who client, a netip.Addr) bool {
	if r, ok := p.fixed[who.mac]; ok {
		return r.Address == a
	}
	return p.inPool(a) && p.owner[a] == ""
}

// inPool reports whether an address is one that the pool gives away.
func (p *pool) inPool(a netip.Addr) bool {
	c := p.conf
	return a.Is4() && c.First.Compare(a) <= 0 && a.Compare(c.Last) <= 0 &&
		a != c.Server.Addr() && a != c.Router && !slices.Contains(c.DNS, a)
}

// free reports whether nobody but the client holds the address now.
func (p *pool) free(now time.Time, who client, a netip.Addr) bool {
	b := p.byAddr[a]
	if b == nil || b.who.key == who.key && b.state != Declined {
		return true
	}
	return !b.held(now)
}

// held reports whether the binding keeps others from its address.
func (b *binding) held(now time.Time) bool {
	if b.offer.After(now) {
		return true
	}
	return (b.state == Leased || b.state == Declined) && b.until.After(now)
}

// offer picks an address for the client and holds it for a while. known says
// that the client had it before, so that nobody else is expected to use it.
func (p *pool) offer(now time.Time, who client, want netip.Addr) (a netip.Addr, known, ok bool) {
	a, ok = p.pick(now, who, want)
	if !ok {
		return a, false, false
	}
	if b := p.byAddr[a]; b != nil && b.who.key == who.key {
		b.offer, b.who = now.Add(offerFor), who
		return a, b.state != "", true
	}
	p.bind(&binding{addr: a, who: who, offer: now.Add(offerFor)})
	return a, false, true
}

func (p *pool) pick(now time.Time, who client, want netip.Addr) (netip.Addr, bool) {
	if r, ok := p.fixed[who.mac]; ok {
		return r.Address, p.free(now, who, r.Address)
	}
	if b := p.byKey[who.key]; b != nil && b.state != Declined && p.may(who, b.addr) {
		return b.addr, true
	}
	if want.IsValid() && p.may(who, want) && p.free(now, who, want) {
		return want, true
	}
	return p.search(now, who)
}

// search finds an address that was never given away, beginning at a place that
// depends on the client; failing that, the one that was given up first; failing
// that, the oldest offer that nobody took.
func (p *pool) search(now time.Time, who client) (netip.Addr, bool) {
	size := p.size()
	if size == 0 {
		return netip.Addr{}, false
	}
	h := fnv.New32a()
	h.Write([]byte(who.key))
	var oldest, stale *binding
	for i := range size {
		a := p.nth((int(h.Sum32()%uint32(size)) + i) % size)
		if !p.may(who, a) {
			continue
		}
		b := p.byAddr[a]
		switch {
		case b == nil:
			return a, true
		case !b.held(now):
			if oldest == nil || b.until.Before(oldest.until) {
				oldest = b
			}
		case b.state == "" && (stale == nil || b.offer.Before(stale.offer)):
			stale = b
		}
	}
	if oldest == nil {
		oldest = stale
	}
	if oldest == nil {
		return netip.Addr{}, false
	}
	return oldest.addr, true
}

// size is how many addresses lie between First and Last.
func (p *pool) size() int {
	if !p.conf.First.Is4() || !p.conf.Last.Is4() || p.conf.Last.Less(p.conf.First) {
		return 0
	}
	return int(number(p.conf.Last)-number(p.conf.First)) + 1
}

func (p *pool) nth(i int) netip.Addr {
	v := number(p.conf.First) + uint32(i)
	return netip.AddrFrom4([4]byte{byte(v >> 24), byte(v >> 16), byte(v >> 8), byte(v)})
}

func number(a netip.Addr) uint32 {
	b := a.As4()
	return uint32(b[0])<<24 | uint32(b[1])<<16 | uint32(b[2])<<8 | uint32(b[3])
}

// lease gives the client the address and returns the record to save, or false
// where it cannot have it.
func (p *pool) lease(now time.Time, who client, a netip.Addr) (rec []byte, ok bool) {
	if !p.may(who, a) || !p.free(now, who, a) {
		return nil, false
	}
	b := &binding{addr: a, who: who, state: Leased, until: now.Add(p.conf.Lease)}
	if r, ok := p.fixed[who.mac]; ok {
		b.who.name = r.Name
	}
	p.bind(b)
	return b.record(), true
}

// bind makes b the only binding of its address and of its client.
func (p *pool) bind(b *binding) {
	if old := p.byAddr[b.addr]; old != nil && p.byKey[old.who.key] == old {
		delete(p.byKey, old.who.key)
	}
	if old := p.byKey[b.who.key]; old != nil && old.addr != b.addr && old.state != Declined {
		delete(p.byAddr, old.addr)
	}
	p.byAddr[b.addr] = b
	if b.who.key != "" && b.state != Declined {
		p.byKey[b.who.key] = b
	}
}

// of returns the client's own binding, or nil.
func (p *pool) of(who client) *binding { return p.byKey[who.key] }

// unoffer lets go of an offer that the client did not take.
func (p *pool) unoffer(who client) {
	b := p.byKey[who.key]
	if b == nil {
		return
	}
	b.offer = time.Time{}
	if b.state == "" {
		delete(p.byAddr, b.addr)
		delete(p.byKey, who.key)
	}
}

// release ends the client's lease of a; it gets the address again if nobody
// else needed it.
func (p *pool) release(now time.Time, who client, a netip.Addr) (rec []byte, ok bool) {
	b := p.byKey[who.key]
	if b == nil || b.addr != a || b.state != Leased {
		return nil, false
	}
	b.state, b.until, b.offer = Free, now, time.Time{}
	return b.record(), true
}

// decline puts an address in quarantine.
func (p *pool) decline(now time.Time, a netip.Addr) []byte {
	b := &binding{addr: a, state: Declined, until: now.Add(quarantine)}
	p.bind(b)
	return b.record()
}

// forget removes all that is known of an address.
func (p *pool) forget(a netip.Addr) (rec []byte, ok bool) {
	b := p.byAddr[a]
	if b == nil || b.state == "" {
		return nil, false
	}
	delete(p.byAddr, a)
	if p.byKey[b.who.key] == b {
		delete(p.byKey, b.who.key)
	}
	b.state = ""
	return b.record(), true
}

// expire ends what has run out and reports whether names changed.
func (p *pool) expire(now time.Time) (changed bool) {
	for a, b := range p.byAddr {
		switch {
		case b.state == "" && !b.offer.After(now), b.state == Declined && !b.until.After(now):
			delete(p.byAddr, a)
			if p.byKey[b.who.key] == b {
				delete(p.byKey, b.who.key)
			}
		case b.state == Leased && !b.until.After(now):
			b.state, changed = Free, true
		}
	}
	return changed
}

// usage counts the addresses of the pool that are in use, and all of them.
func (p *pool) usage(now time.Time) (used, size int) {
	for a, b := range p.byAddr {
		if p.inPool(a) && b.state != "" && b.held(now) {
			used++
		}
	}
	return used, p.size()
}

func (p *pool) leases(now time.Time) []Lease {
	var out []Lease
	for _, b := range p.byAddr {
		if b.state == "" {
			continue
		}
		l := Lease{Address: b.addr, MAC: b.who.mac, ClientID: b.who.id, Name: b.who.name, Expires: b.until.Round(0), State: b.state}
		if l.State != Free && !b.until.After(now) {
			l.State = Free
		}
		l.Reserved = p.owner[b.addr] == b.who.mac && b.who.mac != ""
		out = append(out, l)
	}
	slices.SortFunc(out, func(a, b Lease) int { return a.Address.Compare(b.Address) })
	return out
}

// hosts is what the devices with a lease are called.
func (p *pool) hosts(now time.Time, domain string) []names.Host {
	var out []names.Host
	taken := map[string]bool{}
	for _, l := range p.leases(now) {
		if l.State != Leased || l.Name == "" || taken[l.Name] {
			continue
		}
		taken[l.Name] = true
		ttl := min(p.conf.Lease/3, 5*time.Minute)
		for _, n := range []string{l.Name + ".lan." + domain, l.Name + "." + domain} {
			out = append(out, names.Host{Name: n, Addrs: []netip.Addr{l.Address}, TTL: ttl})
		}
	}
	return out
}

// A record is a binding on disk. The last record of an address counts; one
// without a state takes it away.
type record struct {
	Address netip.Addr `json:"a"`
	Key     string     `json:"k,omitempty"`
	MAC     string     `json:"m,omitempty"`
	ID      string     `json:"i,omitempty"`
	Name    string     `json:"n,omitempty"`
	State   State      `json:"s,omitempty"`
	Until   int64      `json:"u,omitempty"` // Unix seconds
}

func (b *binding) record() []byte {
	rec, err := json.Marshal(record{b.addr, b.who.key, b.who.mac, b.who.id, b.who.name, b.state, b.until.Unix()})
	if err != nil {
		panic(err) // strings and numbers always encode
	}
	return rec
}

// most is the longest that a lease found on disk may still run: the clock may
// have been behind when it was written, or be behind now.
const most = 365 * 24 * time.Hour

func (p *pool) replay(now time.Time, rec []byte) error {
	var r record
	if err := json.Unmarshal(rec, &r); err != nil {
		return fmt.Errorf("a lease on disk is not readable: %w", err)
	}
	if r.State == "" {
		p.forget(r.Address)
		return nil
	}
	left := min(time.Unix(r.Until, 0).Sub(now.Round(0)), most)
	p.bind(&binding{
		addr: r.Address, who: client{r.Key, r.MAC, r.ID, r.Name}, state: r.State, until: now.Add(left),
	})
	return nil
}

// hostname makes a DNS label of what a device calls itself, or nothing.
func hostname(s string) string {
	s, _, _ = strings.Cut(strings.ToLower(strings.TrimRight(s, "\x00")), ".")
	var b strings.Builder
	for _, r := range s {
		switch {
		case r >= 'a' && r <= 'z', r >= '0' && r <= '9':
			b.WriteRune(r)
		case r == '-', r == '_', r == ' ':
			b.WriteByte('-')
		}
	}
	s = b.String()
	s = strings.Trim(s[:min(len(s), 63)], "-")
	if !config.Label(s) {
		return ""
	}
	return s
}
