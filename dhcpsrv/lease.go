package dhcpsrv

import (
	"cmp"
	"encoding/json"
	"fmt"
	"net/netip"
	"strings"
	"time"

	"pic/core/config"
	"pic/core/names"
	"pic/internal/order"
)

// A Lease is an address and who has it.
type Lease struct {
	Address  netip.Addr `json:"address"`
	MAC      string     `json:"mac"`
	ClientID string     `json:"clientID,omitempty"` // hex, where the device sends one
	Name     string     `json:"name,omitempty"`     // as the device calls itself, or its reservation
	Expires  time.Time  `json:"expires"`
	State    State      `json:"state"`
	Reserved bool       `json:"reserved,omitempty"`
}

// State is what an address is used for.
type State string

const (
	Leased   State = "leased"
	Free     State = "free"     // was leased; kept for the device while nobody needs it
	Declined State = "declined" // found in use by somebody who did not ask
)

func (p *pool) public(b *binding, now time.Time) Lease {
	l := Lease{Address: b.addr, MAC: b.who.mac, ClientID: b.who.id, Name: b.who.name, Expires: b.until.Round(0), State: b.state}
	if !b.held(now) {
		l.State = Free
	}
	l.Reserved = b.who.mac != "" && p.owner[b.addr] == b.who.mac
	return l
}

// leases lists what is known of every address, by address.
func (p *pool) leases(now time.Time) []Lease {
	out := make([]Lease, 0, len(p.byAddr))
	for _, b := range p.byAddr {
		out = append(out, p.public(b, now))
	}
	order.By(out, func(a, b Lease) int { return a.Address.Compare(b.Address) })
	return out
}

// usage counts the addresses of the pool that are in use, and all of them.
func (p *pool) usage(now time.Time) (used, size int) {
	for a, b := range p.byAddr {
		if b.held(now) && p.inPool(a) {
			used++
		}
	}
	return used, p.size()
}

// hosts is what the devices with a lease are called. The name of a reservation
// is its device's; of others who want one name it goes to who had it first, so
// that nobody can take it over by asking for it.
func (p *pool) hosts(now time.Time, domain string) []names.Host {
	var live []*binding
	taken := map[string]bool{}
	for _, r := range p.conf.Reservations {
		taken[r.Name] = true
	}
	for _, b := range p.byAddr {
		if b.state == Leased && b.held(now) && b.who.name != "" {
			live = append(live, b)
		}
	}
	order.By(live, func(a, b *binding) int { return cmp.Or(a.since.Compare(b.since), a.addr.Compare(b.addr)) })
	out := make([]names.Host, 0, 2*len(live))
	ttl := min(p.conf.Lease/3, 5*time.Minute)
	for _, b := range live {
		name := b.who.name
		if r, ok := p.reserved[b.who.mac]; ok {
			name = r.Name // as it is called now
		} else if taken[name] {
			continue
		}
		taken[name] = true
		for _, n := range []string{name + ".lan." + domain, name + "." + domain} {
			out = append(out, names.Host{Name: n, Addrs: []netip.Addr{b.addr}, TTL: ttl})
		}
	}
	return out
}

// A record is a binding on disk. Records of changes that were made at the same
// time may come in any order, so each has a number: the highest of an address
// counts. One without a state takes the binding away.
type record struct {
	Seq     uint64     `json:"q"`
	Address netip.Addr `json:"a"`
	Key     string     `json:"k,omitempty"`
	MAC     string     `json:"m,omitempty"`
	ID      string     `json:"i,omitempty"`
	Name    string     `json:"n,omitempty"`
	State   State      `json:"s,omitempty"`
	Since   int64      `json:"f,omitempty"` // Unix seconds
	Until   int64      `json:"u,omitempty"` // Unix seconds
	Span    int64      `json:"d,omitempty"` // seconds that it was given for
}

// record numbers b anew and writes it down.
func (p *pool) record(b *binding) []byte {
	p.seq++
	b.seq = p.seq
	return b.encode()
}

func (b *binding) encode() []byte {
	r := record{Seq: b.seq, Address: b.addr}
	if b.state != "" {
		r.Key, r.MAC, r.ID, r.Name, r.State = b.who.key, b.who.mac, b.who.id, b.who.name, b.state
		r.Since, r.Until, r.Span = b.since.Unix(), b.until.Unix(), int64(b.span/time.Second)
	}
	rec, err := json.Marshal(r)
	if err != nil {
		panic(err) // strings and numbers always encode
	}
	return rec
}

func decode(b []byte) (r record, err error) {
	if err := json.Unmarshal(b, &r); err != nil {
		return r, fmt.Errorf("a lease on disk is not readable: %w", err)
	}
	if !r.Address.Is4() {
		return r, fmt.Errorf("a lease on disk is of the address %q", r.Address)
	}
	return r, nil
}

// load puts what was found on disk into an empty pool.
func (p *pool) load(now time.Time, recs []record) {
	order.Stable(recs, func(a, b record) int { return cmp.Compare(a.Seq, b.Seq) })
	for _, r := range recs {
		p.seq = r.Seq
		if r.State == "" {
			p.unbind(p.byAddr[r.Address])
			continue
		}
		// A host without a battery-backed clock may be in another year now. No
		// lease has more left than it was given for.
		left := time.Unix(r.Until, 0).Sub(now.Round(0))
		left = min(left, time.Duration(r.Span)*time.Second)
		p.bind(&binding{
			addr: r.Address, who: client{r.Key, r.MAC, r.ID, r.Name}, state: r.State, seq: r.Seq,
			since: time.Unix(r.Since, 0), until: now.Add(left), span: time.Duration(r.Span) * time.Second,
		})
	}
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
