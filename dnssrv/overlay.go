package dnssrv

import (
	"fmt"
	"maps"
	"net/netip"
	"slices"

	"github.com/miekg/dns"

	"pic/core/config"
	"pic/dnssrv/transfer"
)

// A dynamic is what updates put into a zone, by name.
type dynamic map[name]transfer.Sets

// copy returns a zone that has the nodes of z in a map of its own.
func (z *zone) copy() *zone {
	return &zone{
		apex: z.apex, kind: z.kind, soa: z.soa, nodes: maps.Clone(z.nodes), ring: z.ring,
		sorted: z.sorted, glue: z.glue, others: z.others, absent: z.absent, sum: z.sum,
	}
}

// overlay returns z with what updates put into it. Where a CNAME would stand
// beside other records, the document's side counts.
func (z *zone) overlay(d dynamic) *zone {
	o := z.copy()
	o.sum = 0
	o.sorted, o.glue = slices.Clone(z.sorted), slices.Clone(z.glue)
	var fresh []name
	cut := false // whether names have come to belong to others
	for n, sets := range d {
		at := z.nodes[n]
		if at == nil {
			at = &node{}
		}
		alias := sets[dns.TypeCNAME] != nil
		if alias && !at.empty() || at.sets[dns.TypeCNAME] != nil {
			continue
		}
		merged := *at
		merged.sets, merged.dynamic = maps.Clone(at.sets), sets
		if merged.sets == nil {
			merged.sets = map[uint16][]dns.RR{}
		}
		for typ, set := range sets {
			all := owned(at.sets[typ], n.String())
			for _, rr := range set {
				all = merge(all, dns.Copy(rr))
			}
			merged.sets[typ] = all
			cut = cut || typ == dns.TypeNS || typ == dns.TypeDNAME
		}
		o.nodes[n] = &merged
		if n != z.apex {
			o.node(n.parent())
		}
		if at.empty() || !at.addressed() {
			fresh = append(fresh, n)
		}
	}
	if cut {
		o.sorted, o.glue = nil, nil
		o.sort()
		return o
	}
	for _, n := range fresh { // all brings them into their order once that is needed
		o.place(n)
	}
	return o
}

// numbered returns z with another serial.
func (z *zone) numbered(serial uint32) *zone {
	o := z.copy()
	o.number(serial)
	return o
}

// number gives z, which nobody uses yet, its serial.
func (z *zone) number(serial uint32) {
	soa := *z.soa
	soa.Serial = serial
	z.soa = &soa
	top := *z.nodes[z.apex]
	top.sets = maps.Clone(top.sets)
	if top.sets == nil {
		top.sets = map[uint16][]dns.RR{}
	}
	top.sets[dns.TypeSOA] = []dns.RR{&soa}
	z.nodes[z.apex] = &top
}

// zoneOf makes a zone of what its primaries told.
func zoneOf(apex name, c *transfer.Content) (*zone, error) {
	rr, err := transfer.Record(c.SOA)
	if err != nil {
		return nil, err
	}
	soa, ok := rr.(*dns.SOA)
	if !ok {
		return nil, fmt.Errorf("the zone %s has no SOA record", apex)
	}
	soa.Hdr.Name = apex.String()
	z := newZone(apex, soa)
	z.kind = Secondary
	put := func(rr dns.RR) error {
		n, err := parseName(rr.Header().Name)
		if err != nil || !n.below(apex) {
			return fmt.Errorf("%s is not within the zone %s", rr.Header().Name, apex)
		}
		at := z.node(n)
		if at.sets == nil {
			at.sets = map[uint16][]dns.RR{}
		}
		at.sets[rr.Header().Rrtype] = merge(at.sets[rr.Header().Rrtype], rr)
		return nil
	}
	if err := put(soa); err != nil {
		return nil, err
	}
	for _, w := range c.Records {
		if rr, err = transfer.Record(w); err == nil {
			err = put(rr)
		}
		if err != nil {
			return nil, err
		}
	}
	z.sort()
	return z, nil
}

// A peering is how a zone is shared with other servers and programs.
type peering struct {
	secondaries, primaries []partner
	updates                []config.Update
}

// A partner is another name server of a zone.
type partner struct {
	at  netip.AddrPort
	key string // in lower case with the last dot; empty: none
}

func (p partner) String() string {
	if p.at.Port() == port {
		return p.at.Addr().String()
	}
	return p.at.String()
}

// peerings returns how the zones of c are shared.
func (c *Config) peerings() map[name]*peering {
	out := map[name]*peering{}
	add := func(s string, o config.ZoneOptions, primaries []config.NameServer) {
		n, err := parseName(s)
		if err != nil || len(o.Secondaries)+len(o.Updates)+len(primaries) == 0 {
			return
		}
		out[n] = &peering{partners(o.Secondaries), partners(primaries), o.Updates}
	}
	for _, z := range c.Zones {
		add(z.Name, z.Options, z.Primaries)
	}
	add(c.Domain, c.DNS.Own, nil)
	return out
}

func partners(all []config.NameServer) []partner {
	var out []partner
	for _, s := range all {
		at, err := netip.ParseAddrPort(s.Address)
		if err != nil {
			a, err := netip.ParseAddr(s.Address)
			if err != nil {
				continue
			}
			at = netip.AddrPortFrom(a, port)
		}
		p := partner{at: netip.AddrPortFrom(at.Addr().Unmap(), at.Port())}
		if s.Key != "" {
			p.key = dns.CanonicalName(s.Key)
		}
		out = append(out, p)
	}
	return out
}

// among returns which of all asks from that address, with a request signed by
// that key; empty is not signed. Who has the key of a partner is that partner,
// wherever it is; a partner without a key is known by its address.
func among(all []partner, from netip.Addr, key string) (partner, bool) {
	from = from.Unmap()
	for _, p := range all {
		if p.key != "" && p.key == key && p.at.Addr() == from || p.key == "" && p.at.Addr() == from {
			return p, true
		}
	}
	for _, p := range all {
		if p.key != "" && p.key == key {
			return p, true
		}
	}
	return partner{}, false
}

// shared opens the shared keys of c. Those that cannot be used are told of.
func (s *Server) shared(c *Config) (transfer.Keys, map[string]error) {
	keys, bad := transfer.Keys{}, map[string]error{}
	for _, k := range c.DNS.Keys {
		if s.opt.Secret == nil {
			continue
		}
		secret, err := s.opt.Secret(k.Secret)
		if err == nil {
			var key transfer.Key
			if key, err = transfer.NewKey(k.Name, k.Algorithm, string(secret)); err == nil {
				keys[key.Name] = key
				continue
			}
		}
		bad[k.Name] = err
		s.log.Error("key cannot be used", "name", k.Name, "err", err)
	}
	return keys, bad
}
