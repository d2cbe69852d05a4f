package config

import (
	"fmt"
	"net"
	"net/netip"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"time"
)

func (d *Document) validateDNS(p *problems) {
	n := &d.DNS
	if n.Resolver != ResolveForward && n.Resolver != ResolveRecurse {
		p.add("dns.resolver", "must be forward or recurse")
	}
	p.few("dns.roots", len(n.Roots), 32)
	for _, s := range n.Roots {
		if !resolver(s) {
			p.add("dns.roots", "%q is not an address, such as 198.41.0.4 or [2001:7fd::1]:53", s)
		}
	}
	p.few("dns.upstreams", len(n.Upstreams), 16)
	for _, u := range n.Upstreams {
		if err := checkUpstream(u); err != "" {
			p.add("dns.upstreams", "%q %s", u, err)
		}
	}
	d.validateForwards(p)
	if !slices.Contains([]Validation{ValidateAuto, ValidateOn, ValidateOff}, n.Validate) {
		p.add("dns.validate", "must be auto, on or off")
	}
	p.few("dns.anchors", len(n.Anchors), 64)
	for _, a := range n.Anchors {
		if f := strings.Fields(a); len(f) < 5 || !oneLine(a) {
			p.add("dns.anchors", "%q is not a DS record, such as \"example. DS 12345 13 2 0123abcd\"", a)
		}
	}
	if s := time.Duration(n.Stale); s < 0 || s > 7*24*time.Hour {
		p.add("dns.stale", "must be from 0s to 168h")
	}
	p.few("dns.private", len(n.Private), 1000)
	for _, s := range n.Private {
		if !Hostname(s) && !Label(s) {
			p.add("dns.private", "%q is not a domain in lower case", s)
		}
	}
	if x := n.DNS64; x.IsValid() && (!x.Addr().Is6() || x.Addr().Is4In6() || !slices.Contains([]int{32, 40, 48, 56, 64, 96}, x.Bits()) || x != x.Masked()) {
		p.add("dns.dns64", "must be an IPv6 network of 32, 40, 48, 56, 64 or 96 bits, such as 64:ff9b::/96")
	}
	for path, v := range map[string]*int{"dns.rate": n.Rate, "dns.responses": n.Responses} {
		if v != nil && (*v < 0 || *v > 10_000_000) {
			p.add(path, "must be from 0 to 10000000; 0 means no limit")
		}
	}
	keys := d.validateKeys(p)
	p.few("dns.zones", len(n.Zones), 1000)
	checkRecords(p, "dns.records", n.Records)
	checkOptions(p, "dns.own", n.Own, keys)
	seen := map[string]bool{d.Cell.Domain: true}
	for i, z := range n.Zones {
		path := at("dns.zones", i, z.Name)
		switch {
		case !Hostname(z.Name):
			p.add(path+".name", "must be a domain in lower case, such as garden.home.arpa")
		case seen[z.Name]:
			p.add(path+".name", "the cell answers for %s already", z.Name)
		}
		seen[z.Name] = true
		checkRecords(p, path+".records", z.Records)
		checkOptions(p, path+".options", z.Options, keys)
		checkServers(p, path+".primaries", z.Primaries, keys)
		switch {
		case len(z.Primaries) == 0:
		case len(z.Records) > 0:
			p.add(path+".records", "the zone is transferred from dns.zones.primaries, so its records are theirs")
		case len(z.Options.Updates) > 0:
			p.add(path+".options.updates", "the zone is transferred from dns.zones.primaries; let them be updated")
		}
	}
	d.validateFilter(p)
	if keep := time.Duration(n.Log.Keep); keep < time.Hour || keep > 10*366*24*time.Hour {
		p.add("dns.log.keep", "must be from 1h to 87840h (ten years)")
	}
	if n.Log.MaxSize < 1<<20 {
		p.add("dns.log.maxSize", "must be at least 1048576 bytes, or switch dns.log.enabled off")
	}
}

func (d *Document) validateForwards(p *problems) {
	p.few("dns.forwards", len(d.DNS.Forwards), 1000)
	seen := map[string]bool{}
	for i, f := range d.DNS.Forwards {
		path := at("dns.forwards", i, f.Name)
		if !Hostname(f.Name) && !Label(f.Name) {
			p.add(path+".name", "must be a domain in lower case, such as fritz.box or 178.168.192.in-addr.arpa")
		}
		unique(p, path+".name", seen, f.Name)
		if len(f.Upstreams) == 0 {
			p.add(path+".upstreams", "must name at least one resolver")
		}
		p.few(path+".upstreams", len(f.Upstreams), 16)
		for _, u := range f.Upstreams {
			if err := checkUpstream(u); err != "" {
				p.add(path+".upstreams", "%q %s", u, err)
			}
		}
		if f.Tunnel && !On(d.WireGuard.Enabled) {
			p.add(path+".tunnel", "the VPN is off; switch wireguard.enabled on")
		}
	}
}

// checkUpstream returns what is wrong with how a resolver is written.
func checkUpstream(s string) string {
	scheme, rest, isURL := strings.Cut(s, "://")
	if !isURL {
		if !resolver(s) {
			return "is not a resolver, such as 9.9.9.9, 9.9.9.9:53 or tls://dns.quad9.net#9.9.9.9"
		}
		return ""
	}
	u, err := url.Parse(s)
	switch {
	case err != nil || u.User != nil || u.RawQuery != "" || u.Hostname() == "" || strings.ContainsAny(rest, " \t\n"):
		return "is not a resolver, such as tls://dns.quad9.net#9.9.9.9"
	case !slices.Contains([]string{"udp", "tcp", "tls", "https", "quic"}, scheme):
		return "starts with none of udp, tcp, tls, https and quic"
	case scheme == "https" && len(u.Path) < 2:
		return "needs the path too, such as https://dns.quad9.net/dns-query"
	case scheme != "https" && u.Path != "":
		return "must not have a path"
	case !portOf(u):
		return "has a port that does not exist"
	}
	host := u.Hostname()
	if a, err := netip.ParseAddr(host); err == nil {
		if !plain(a) || a.IsUnspecified() {
			return "has an address that no resolver can have"
		}
	} else if !Hostname(host) {
		return "must have a host name in lower case, or an address"
	} else if scheme == "udp" || scheme == "tcp" {
		return "must have an address; names are for tls, https and quic"
	}
	if u.Fragment != "" && !resolver(u.Fragment) {
		return "has something other than an address after #"
	}
	return ""
}

var tsigAlgorithms = []string{"hmac-sha224", "hmac-sha256", "hmac-sha384", "hmac-sha512"}

func (d *Document) validateKeys(p *problems) map[string]bool {
	p.few("dns.keys", len(d.DNS.Keys), 256)
	seen := map[string]bool{}
	for i, k := range d.DNS.Keys {
		path := at("dns.keys", i, k.Name)
		if !Hostname(k.Name) && !Label(k.Name) {
			p.add(path+".name", "must be a name in lower case, such as acme")
		}
		unique(p, path+".name", seen, k.Name)
		if !slices.Contains(tsigAlgorithms, k.Algorithm) {
			p.add(path+".algorithm", "must be one of %s", strings.Join(tsigAlgorithms, ", "))
		}
		if k.Secret == "" {
			p.add(path+".secret", "is missing; make the key with pic dns key add")
		}
	}
	return seen
}

func checkOptions(p *problems, path string, o ZoneOptions, keys map[string]bool) {
	checkServers(p, path+".secondaries", o.Secondaries, keys)
	p.few(path+".updates", len(o.Updates), 256)
	for i, u := range o.Updates {
		at := fmt.Sprintf("%s.updates.%d", path, i)
		if !keys[u.Key] {
			p.add(at+".key", "there is no key %q in dns.keys", u.Key)
		}
		if len(u.Names) == 0 {
			p.add(at+".names", `must say which names; "*" is all of them`)
		}
		p.few(at+".names", len(u.Names), 256)
		p.few(at+".types", len(u.Types), 64)
	}
}

func checkServers(p *problems, path string, all []NameServer, keys map[string]bool) {
	p.few(path, len(all), 32)
	for i, s := range all {
		at := fmt.Sprintf("%s.%d", path, i)
		if !resolver(s.Address) {
			p.add(at+".address", "%q is not an address, such as 192.0.2.53 or 192.0.2.53:5353", s.Address)
		}
		if s.Key != "" && !keys[s.Key] {
			p.add(at+".key", "there is no key %q in dns.keys", s.Key)
		}
	}
}

func (d *Document) validateFilter(p *problems) {
	f := &d.DNS.Filter
	if !slices.Contains([]Blocking{BlockNull, BlockNXDomain, BlockNoData, BlockRefused}, f.Answer) {
		p.add("dns.filter.answer", "must be null, nxdomain, nodata or refused")
	}
	if r := time.Duration(f.Refresh); r < 10*time.Minute || r > 30*24*time.Hour {
		p.add("dns.filter.refresh", "must be from 10m to 720h")
	}
	p.few("dns.filter.lists", len(f.Lists), 250)
	lists := map[string]bool{}
	for i, l := range f.Lists {
		path := at("dns.filter.lists", i, l.Name)
		checkTitle(p, path+".name", l.Name)
		unique(p, path+".name", lists, l.Name)
		if u, err := url.Parse(l.URL); !strings.HasPrefix(l.URL, "/") &&
			(err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "") || !oneLine(l.URL) {
			p.add(path+".url", "must start with https:// or http://, or be the path of a file from / on")
		}
	}
	checkRules(p, "dns.filter", f.Rules, f.Rewrites, f.Services)
	groups := map[string]bool{}
	p.few("dns.filter.groups", len(f.Groups), 100)
	for i, g := range f.Groups {
		path := at("dns.filter.groups", i, g.Name)
		checkTitle(p, path+".name", g.Name)
		unique(p, path+".name", groups, g.Name)
		for _, l := range g.Lists {
			if !lists[l] {
				p.add(path+".lists", "there is no list %q in dns.filter.lists", l)
			}
		}
		checkRules(p, path, g.Rules, g.Rewrites, g.Services)
		p.few(path+".schedules", len(g.Schedules), 100)
		for j, s := range g.Schedules {
			checkSchedule(p, fmt.Sprintf("%s.schedules.%d", path, j), s)
		}
	}
	d.validateClients(p, groups)
}

func (d *Document) validateClients(p *problems, groups map[string]bool) {
	names, ids := map[string]bool{}, map[string]bool{}
	p.few("dns.filter.clients", len(d.DNS.Filter.Clients), 1000)
	for i, c := range d.DNS.Filter.Clients {
		path := at("dns.filter.clients", i, c.Name)
		checkTitle(p, path+".name", c.Name)
		unique(p, path+".name", names, c.Name)
		if len(c.IDs) == 0 {
			p.add(path+".ids", "must say how to tell the client: an address, a MAC address, peer:NAME, user:NAME or id:LABEL")
		}
		p.few(path+".ids", len(c.IDs), 256)
		for _, id := range c.IDs {
			if problem := d.clientID(id); problem != "" {
				p.add(path+".ids", "%q %s", id, problem)
			}
			unique(p, path+".ids", ids, id)
		}
		for _, g := range c.Groups {
			if !groups[g] {
				p.add(path+".groups", "there is no group %q in dns.filter.groups", g)
			}
		}
	}
}

// clientID returns what is wrong with how a client is told.
func (d *Document) clientID(id string) string {
	kind, rest, _ := strings.Cut(id, ":")
	switch {
	case kind == "peer":
		if d.Peer(rest) == nil {
			return "is not a device in peers"
		}
	case kind == "user":
		if d.User(rest) == nil {
			return "is nobody in users"
		}
	case kind == "id":
		if !Label(rest) {
			return labelRule
		}
	case macAddr.MatchString(id):
	default:
		if a, err := netip.ParseAddr(id); err == nil && plain(a) {
			return ""
		}
		if n, err := netip.ParsePrefix(id); err == nil && n == n.Masked() && !n.Addr().Is4In6() {
			return ""
		}
		return "is not an address, a network, a MAC address in lower case, peer:NAME, user:NAME or id:LABEL"
	}
	return ""
}

func checkRules(p *problems, path string, rules []string, rewrites []Rewrite, services []string) {
	p.few(path+".rules", len(rules), 10_000)
	for i, r := range rules {
		if strings.TrimSpace(r) == "" || len(r) > 1024 || !oneLine(r) {
			p.add(fmt.Sprintf("%s.rules.%d", path, i), "must be one line: a name, or a rule such as ||ads.example^")
		}
	}
	p.few(path+".rewrites", len(rewrites), 10_000)
	for i, r := range rewrites {
		at := fmt.Sprintf("%s.rewrites.%d", path, i)
		name := strings.TrimPrefix(r.Domain, "*.")
		if !Hostname(name) && !Label(name) {
			p.add(at+".domain", "must be a name in lower case, or *. and a name")
		}
		if net.ParseIP(r.Value) == nil && r.Value != "NXDOMAIN" && !Hostname(r.Value) {
			p.add(at+".value", "must be an address, a name in lower case, or NXDOMAIN")
		}
	}
	p.few(path+".services", len(services), 500)
}

var days = []string{"mon", "tue", "wed", "thu", "fri", "sat", "sun"}

func checkSchedule(p *problems, path string, s Schedule) {
	for _, d := range s.Days {
		if !slices.Contains(days, d) {
			p.add(path+".days", "must be of %s", strings.Join(days, ", "))
		}
	}
	for field, v := range map[string]string{"from": s.From, "to": s.To} {
		if t, err := time.Parse("15:04", v); err != nil || t.Format("15:04") != v {
			p.add(path+"."+field, "must be a time such as 21:30")
		}
	}
	p.few(path+".services", len(s.Services), 500)
}

// checkTitle checks a name that people give, which may have spaces.
func checkTitle(p *problems, path, s string) {
	if s == "" || len(s) > 64 || strings.TrimSpace(s) != s || !oneLine(s) || strings.ContainsAny(s, `".`) {
		p.add(path, "must be 1 to 64 characters without dots and quotes")
	}
}

func oneLine(s string) bool { return !strings.ContainsAny(s, "\n\r\x00") }

// resolver reports whether s is an IP address, with or without a port.
func resolver(s string) bool {
	a, err := netip.ParseAddr(s)
	if err != nil {
		var at netip.AddrPort
		if at, err = netip.ParseAddrPort(s); at.Port() == 0 {
			return false
		}
		a = at.Addr()
	}
	return err == nil && plain(a) && !a.IsUnspecified()
}

var recordTypes = []string{
	"A", "AAAA", "CNAME", "DNAME", "TXT", "MX", "SRV", "CAA", "NS", "PTR", "DS", "HTTPS", "SVCB", "SSHFP", "TLSA",
	"NAPTR", "URI", "LOC", "OPENPGPKEY", "SMIMEA",
}

// numbered is how other types are written (RFC 3597 §5).
var numbered = regexp.MustCompile(`^TYPE[1-9][0-9]{0,4}$`)

func checkRecords(p *problems, path string, all []Record) {
	p.few(path, len(all), 10000)
	for i, r := range all {
		at := fmt.Sprintf("%s.%d", path, i)
		if r.Name == "" {
			p.add(at+".name", "must not be empty; @ is the zone itself")
		}
		if !slices.Contains(recordTypes, r.Type) && !numbered.MatchString(r.Type) {
			p.add(at+".type", "must be one of %s, or TYPE and a number", strings.Join(recordTypes, ", "))
		}
		if r.Value == "" {
			p.add(at+".value", "must not be empty")
		}
		if strings.ContainsAny(r.Name+r.Value, "\n\r\x00") {
			p.add(at, "must be one line")
		}
	}
}
