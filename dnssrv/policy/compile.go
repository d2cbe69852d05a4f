package policy

import (
	"cmp"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"github.com/miekg/dns"

	"pic/core/config"
)

// A compiled is what the document says, ready to be asked. It does not change.
type compiled struct {
	conf     Config
	on       bool
	rules    *ruleset
	conds    conditions // of all rules of the document
	rewrites rewriteMap
	services bits
	safe     bool
	groups   []group

	serviceOf serviceMap
	safeNames map[string]string

	clients []config.Client
	member  [][]int // by client: its groups
	byID    map[string]int
	byAddr  map[netip.Addr]int
	byMAC   map[string]int
	nets    []network // the longest first
}

type network struct {
	prefix netip.Prefix
	client int
}

// A group is a config.Group, compiled.
type group struct {
	name      string
	off       bool
	lists     []string // nil: all
	rules     *ruleset
	rewrites  rewriteMap
	safe      *bool
	services  bits
	schedules []schedule
	unlogged  bool
}

// Check reports why c could not be followed: its error joins a config.FieldError
// for each rule, rewrite and service that cannot be.
func Check(c Config) error {
	_, err := compile(c)
	return err
}

func compile(conf Config) (*compiled, error) {
	f := conf.Filter
	k := compiler{compiled: &compiled{
		conf: conf, on: config.On(f.Enabled), safe: f.SafeSearch,
		serviceOf: newServiceMap(), safeNames: newSafeSearch(), clients: f.Clients,
		byID: map[string]int{}, byAddr: map[netip.Addr]int{}, byMAC: map[string]int{},
	}}
	const path = "dns.filter"
	k.compiled.rules = k.ruleset(path, "", f.Rules)
	k.compiled.rewrites = k.rewriteMap(path, f.Rewrites)
	k.compiled.services = k.serviceBits(path+".services", f.Services)
	for _, g := range f.Groups {
		k.group(g)
	}
	k.identities()
	return k.compiled, errors.Join(k.errs...)
}

type compiler struct {
	*compiled
	errs []error
}

func (k *compiler) fail(path, format string, args ...any) {
	k.errs = append(k.errs, &config.FieldError{Path: path, Problem: fmt.Sprintf(format, args...)})
}

func (k *compiler) group(g config.Group) {
	path := "dns.filter.groups." + config.Quote(g.Name)
	out := group{
		name: g.Name, off: g.Off, lists: g.Lists, safe: g.SafeSearch, unlogged: g.Unlogged,
		rules:    k.ruleset(path, g.Name, g.Rules),
		rewrites: k.rewriteMap(path, g.Rewrites),
		services: k.serviceBits(path+".services", g.Services),
	}
	for i, s := range g.Schedules {
		sched := newSchedule(s)
		k.serviceBits(fmt.Sprintf("%s.schedules.%d.services", path, i), s.Services)
		for _, id := range s.Services {
			if n := serviceIndex(id); n >= 0 {
				sched.services = append(sched.services, n)
			}
		}
		out.schedules = append(out.schedules, sched)
	}
	k.groups = append(k.groups, out)
}

func (k *compiler) serviceBits(path string, ids []string) (b bits) {
	for _, id := range ids {
		n := serviceIndex(id)
		if n < 0 {
			k.fail(path, "there is no service %q; see pic dns list services", id)
			continue
		}
		b.set(n)
	}
	return b
}

// ruleset compiles rules of the document, which must all be understood.
func (k *compiler) ruleset(path, group string, rules []string) *ruleset {
	rs := newRuleset(&k.conds)
	for i, text := range rules {
		all, err := parseRule(text)
		for j := range all {
			p := &all[j]
			p.group = group
			if err == nil && p.cond != nil {
				err = k.known(p.cond)
			}
			if err == nil {
				err = rs.add(p)
			}
		}
		if err != nil {
			k.fail(fmt.Sprintf("%s.rules.%d", path, i), "%q cannot be followed: %v", clip(text, 80), err)
		}
	}
	return rs
}

// known reports a client that a condition names and the document does not.
func (k *compiler) known(c *condition) error {
	for _, w := range slices.Concat(c.only, c.no) {
		named := slices.ContainsFunc(k.clients, func(c config.Client) bool { return strings.EqualFold(c.Name, w.name) })
		if !w.net.IsValid() && !named && strings.Count(w.name, ":") != 5 {
			return fmt.Errorf("there is no client %q in dns.filter.clients", w.name)
		}
	}
	return nil
}

// parseRule reads a rule of the document: a name, which means all below it too,
// a line of a hosts file, or adblock syntax. Comments are no rules and no error.
func parseRule(text string) ([]parsed, error) {
	s := strings.TrimSpace(text)
	if s == "" || s[0] == '!' || s == "#" || strings.HasPrefix(s, "# ") {
		return nil, nil
	}
	bare := strings.TrimPrefix(s, "*.")
	if wire, ok := wireOf(bare); ok {
		return []parsed{{rule: rule{text: s, strength: blocks, name: wire, self: true, below: true}}}, nil
	}
	if fields := strings.Fields(s); len(fields) > 1 {
		if a, err := hostsAddr([]byte(fields[0])); err == nil {
			return parseHosts(a, fields[1:])
		}
	}
	p, err := parseAdblock(s)
	if errors.Is(err, errEverything) && strings.ContainsAny(s, "*/") {
		err = nil // who says so of one's own house means it
		if p.pattern == nil {
			p.glob = &glob{parts: []string{""}}
		}
	}
	return []parsed{p}, err
}

func parseHosts(a netip.Addr, names []string) ([]parsed, error) {
	var out []parsed
	for _, name := range names {
		if name[0] == '#' {
			break
		}
		wire, ok := wireOf(name)
		if !ok {
			return nil, fmt.Errorf("%q is not a name", clip(name, 60))
		}
		p := parsed{rule: rule{text: a.String() + " " + name, strength: blocks, name: wire, self: true}}
		if !a.IsUnspecified() && !a.IsLoopback() {
			p.strength, p.to = rewrites, rewrite{addrs: []netip.Addr{a}}
		}
		out = append(out, p)
	}
	return out, nil
}

// A rewriteMap is where names lead, by name in wire form.
type rewriteMap struct {
	self, below map[string]*rewrite
}

func (k *compiler) rewriteMap(path string, all []config.Rewrite) rewriteMap {
	m := rewriteMap{map[string]*rewrite{}, map[string]*rewrite{}}
	for i, r := range all {
		at := fmt.Sprintf("%s.rewrites.%d", path, i)
		name, below := strings.CutPrefix(r.Domain, "*.")
		wire, ok := wireOf(name)
		if !ok {
			k.fail(at+".domain", "%q is not a name", r.Domain)
			continue
		}
		into := m.self
		if below {
			into = m.below
		}
		next := &rewrite{}
		if a, err := netip.ParseAddr(r.Value); err == nil {
			next.addrs = []netip.Addr{a.Unmap()}
		} else if r.Value == "NXDOMAIN" {
			next.rcode = dns.RcodeNameError
		} else if next.target, ok = wireOf(r.Value); !ok {
			k.fail(at+".value", "%q is not an address, a name or NXDOMAIN", r.Value)
			continue
		}
		have := into[wire]
		switch {
		case have == nil:
			into[wire] = next
		case len(have.addrs) > 0 && len(next.addrs) > 0:
			have.add(next)
		default:
			k.fail(at+".value", "%s leads elsewhere already", r.Domain)
		}
	}
	return m
}

// find returns where a name leads, nil where nothing is said. What leads to
// itself is left as it is.
func (m *rewriteMap) find(name string) *rewrite {
	r := m.self[name]
	for up := name; r == nil && len(up) > 1 && len(m.below) > 0; {
		up = parent(up)
		r = m.below[up]
	}
	return r
}

// identities puts down by what clients are told.
func (k *compiler) identities() {
	index := map[string]int{}
	for i, g := range k.groups {
		index[g.name] = i
	}
	users := map[string]int{}
	for i, c := range k.clients {
		var in []int
		for _, g := range c.Groups {
			if n, ok := index[g]; ok {
				in = append(in, n)
			}
		}
		k.member = append(k.member, in)
		for _, id := range c.IDs {
			k.identity(i, id, users)
		}
	}
	p := k.conf.People
	peers := func(name string, client int) {
		for _, a := range p.Peers[name] {
			if _, taken := k.byAddr[a.Unmap()]; !taken {
				k.byAddr[a.Unmap()] = client
			}
		}
	}
	for i, c := range k.clients {
		for _, id := range c.IDs {
			if name, ok := strings.CutPrefix(id, "peer:"); ok {
				peers(name, i)
			}
		}
	}
	for peer, owner := range p.Owner {
		if i, ok := users[owner]; ok {
			peers(peer, i)
		}
	}
	for mac, i := range k.byMAC {
		a := p.MACs[mac].Unmap()
		if _, taken := k.byAddr[a]; a.IsValid() && !taken {
			k.byAddr[a] = i
		}
	}
	slices.SortStableFunc(k.nets, func(a, b network) int { return cmp.Compare(b.prefix.Bits(), a.prefix.Bits()) })
}

func (k *compiler) identity(i int, id string, users map[string]int) {
	kind, rest, _ := strings.Cut(id, ":")
	a, err := netip.ParseAddr(id)
	switch {
	case kind == "peer":
	case kind == "user":
		users[rest] = i
	case kind == "id":
		k.byID[rest] = i
	case err == nil:
		k.byAddr[a.Unmap()] = i
	case strings.Contains(id, "/"):
		if p, err := netip.ParsePrefix(id); err == nil {
			k.nets = append(k.nets, network{p.Masked(), i})
		}
	default:
		k.byMAC[strings.ToLower(id)] = i
	}
}
