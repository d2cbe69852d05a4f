package dnssrv

import (
	"context"
	"strings"

	"github.com/miekg/dns"

	"pic/core/config"
	"pic/dnssrv/transfer"
)

// update answers a dynamic update (RFC 2136). session is nil where the request
// is not signed.
func (s *Server) update(run context.Context, b []byte, c client, session *transfer.Session) (rcode int) {
	var m dns.Msg
	if err := m.Unpack(b); err != nil || len(m.Question) != 1 || m.Question[0].Qtype != dns.TypeSOA {
		return dns.RcodeFormatError
	}
	apex, err := parseName(m.Question[0].Name)
	t := s.table.Load()
	switch {
	case err != nil || m.Question[0].Qclass != dns.ClassINET || t.base[apex] == nil || t.base[apex].kind == Secondary:
		return dns.RcodeNotAuth
	case session == nil || t.peers[apex] == nil:
		return dns.RcodeRefused
	}
	var rules []config.Update
	for _, r := range t.peers[apex].updates {
		if dns.CanonicalName(r.Key) == session.Key() {
			rules = append(rules, r)
		}
	}
	if len(rules) == 0 {
		return dns.RcodeRefused
	}
	rcode, changes := s.change(run, &m, apex, rules)
	log := s.log.With("zone", undot(apex.String()), "key", undot(session.Key()), "from", c.from)
	switch {
	case rcode == dns.RcodeSuccess && changes > 0:
		log.Info("zone updated", "changes", changes)
	case rcode != dns.RcodeSuccess:
		log.Info("update refused", "rcode", rcodeName(rcode))
	}
	return rcode
}

// change makes the changes of m, durable before it returns. One update is made
// after the other.
func (s *Server) change(run context.Context, m *dns.Msg, apex name, rules []config.Update) (rcode, n int) {
	k := s.keeper
	k.changing.Lock()
	defer k.changing.Unlock()
	t, _ := s.present()
	base := t.base[apex]
	if base == nil {
		return dns.RcodeNotAuth, 0
	}
	changes, rcode := transfer.Update(m, t.outside().view(base, k.dynamic[apex], rules))
	if rcode != dns.RcodeSuccess || len(changes) == 0 {
		return rcode, 0
	}
	d, err := k.dynamic[apex].with(changes)
	if err != nil {
		return dns.RcodeFormatError, 0
	}
	if n := d.records(); n > maxDynamic && n > k.dynamic[apex].records() {
		return dns.RcodeRefused, 0
	}
	// Once it is begun it is ended, whoever has gone: half of the truth on disk
	// is worse than a late answer.
	ctx := context.WithoutCancel(run)
	if err := k.updates.append(ctx, saved{Zone: apex.String()}, changes); err != nil {
		s.log.Error("keeping an update", "err", err)
		return dns.RcodeServerFailure, 0
	}
	s.lay(apex, d)
	if err := k.updates.compact(ctx, k.dynamic); err != nil {
		s.log.Warn("updates", "err", err)
	}
	return dns.RcodeSuccess, len(changes)
}

// view is what an update by rules sees of the zone.
func (m *moment) view(base *zone, d dynamic, rules []config.Update) transfer.View {
	parsed := func(owner string) name { n, _ := parseName(owner); return n }
	return transfer.View{
		Zone: base.apex.String(),
		Within: func(owner string) bool {
			n := parsed(owner)
			z := m.above(n)
			return n != "" && z != nil && z.apex == base.apex
		},
		Fixed: func(owner string) transfer.Sets {
			n := parsed(owner)
			at := base.nodes[n]
			if at == nil {
				return nil
			}
			out := transfer.Sets{}
			for _, typ := range base.types(m, n, at) {
				out[typ] = at.set(m, n, typ)
			}
			return out
		},
		Dynamic: func(owner string) transfer.Sets { return d[parsed(owner)] },
		Found: func(owner string) transfer.Sets {
			if at := m.found(parsed(owner)); at != nil {
				return at.sets
			}
			return nil
		},
		Permit: func(owner string, typ uint16) bool {
			n := parsed(owner)
			if at := base.nodes[n]; at != nil {
				// What depends on who asks is the cell's own.
				if _, own := at.tunnel[typ]; own || at.ddr && typ == dns.TypeSVCB || at.cell && (typ == dns.TypeA || typ == dns.TypeAAAA || typ == dns.TypeCNAME) {
					return false
				}
			}
			return permits(rules, base.apex, n, typ)
		},
	}
}

// permits reports whether one of rules lets records of that name and type be
// changed. Type ANY is any.
func permits(rules []config.Update, apex, n name, typ uint16) bool {
	for _, r := range rules {
		if !typed(r.Types, typ) {
			continue
		}
		for _, pattern := range r.Names {
			if matches(pattern, apex, n) {
				return true
			}
		}
	}
	return false
}

// typed reports whether typ is one of types, which left out are all but those
// that make or break a zone.
func typed(types []string, typ uint16) bool {
	if typ == dns.TypeANY {
		return true
	}
	if len(types) == 0 {
		switch typ {
		case dns.TypeSOA, dns.TypeNS, dns.TypeDNSKEY, dns.TypeCDS, dns.TypeCDNSKEY, dns.TypeDS:
			return false
		}
		return true
	}
	for _, s := range types {
		if t, ok := parseType(s); ok && t == typ {
			return true
		}
	}
	return false
}

// matches reports whether the name n of the zone apex is as pattern says, which
// is relative to the zone. An asterisk stands for anything, nothing included.
func matches(pattern string, apex, n name) bool {
	rel := "@"
	if n != apex {
		rel = strings.TrimSuffix(n.String(), "."+apex.String())
	}
	pattern = strings.ToLower(strings.TrimSuffix(pattern, "."+apex.String()))
	if pattern == "*" {
		return true
	}
	head, rest, star := strings.Cut(pattern, "*")
	if !star {
		return rel == pattern
	}
	rel, ok := strings.CutPrefix(rel, head)
	if !ok {
		return false
	}
	parts := strings.Split(rest, "*")
	end := parts[len(parts)-1]
	if rel, ok = strings.CutSuffix(rel, end); !ok {
		return false
	}
	for _, p := range parts[:len(parts)-1] {
		_, after, ok := strings.Cut(rel, p)
		if !ok {
			return false
		}
		rel = after
	}
	return true
}
