package config

import (
	"fmt"
	"hash/fnv"
	"net/netip"
	"slices"
	"time"
)

// An Env is what the defaults depend on besides the document: facts about the
// host, gathered once at start by whoever may do I/O.
type Env struct {
	// Ports overrides default ports by the names of the environment, such as
	// DNS_PORT. A port in the document wins.
	Ports map[string]uint16
	// Resolvers are the host's own DNS servers, without this cell.
	Resolvers []netip.AddrPort
	// LAN is the host's interface with the default route and its address.
	LAN Interface
	// Now is what the ends of things are compared with. The store keeps it.
	Now time.Time
	// Inside are networks of the LAN beyond those of the document, such as what a
	// provider delegates.
	Inside []netip.Prefix
}

// Resolve fills in all that the user left open and returns a new document; d is
// not changed. It is pure. Everything that [Document.Validate] and the views of
// the services read is filled: switches are not nil, ports not zero.
func Resolve(d *Document, env Env) *Document {
	r := d.Clone()
	c := &r.Cell
	if c.Mode == "" {
		c.Mode = Appliance
	}
	if c.Domain == "" && c.Name != "" {
		c.Domain = c.Name + ".home.arpa"
	}
	if c.Listen == nil {
		c.Listen = []netip.Addr{netip.IPv6Unspecified()}
		if c.Mode == Trial {
			c.Listen = []netip.Addr{loopback}
		}
	}
	if r.Network.LAN == (Interface{}) && c.Mode == Appliance {
		r.Network.LAN = env.LAN
	}
	if r.Network.Allow == nil {
		r.Network.Allow = append(private(), env.Inside...)
	}
	port := func(p *uint16, env map[string]uint16, name string, std, trial uint16) {
		switch {
		case *p != 0:
		case env[name] != 0:
			*p = env[name]
		case c.Mode == Trial:
			*p = trial
		default:
			*p = std
		}
	}
	on := func(p **bool, def bool) {
		if *p == nil {
			*p = &def
		}
	}
	listen := func(p *[]netip.Addr) {
		if *p == nil {
			*p = slices.Clone(c.Listen)
		}
	}

	listen(&r.DNS.Listen)
	resolveDNS(r, env, on, port)

	on(&r.NTP.Enabled, true)
	listen(&r.NTP.Listen)
	port(&r.NTP.Port, env.Ports, "NTP_PORT", 123, 10123)

	resolveDHCP(r, env, on, port)
	resolveNetwork(&r.Network, on)
	resolveWireGuard(r, env, on, port)

	on(&r.Mail.Enabled, true)
	listen(&r.Mail.Listen)
	port(&r.Mail.SMTPPort, env.Ports, "MAIL_SMTP_PORT", 25, 10025)
	port(&r.Mail.SubmissionPort, env.Ports, "MAIL_SUBMISSION_PORT", 587, 10587)
	port(&r.Mail.SubmissionsPort, env.Ports, "MAIL_SUBMISSIONS_PORT", 465, 10465)
	port(&r.Mail.IMAPPort, env.Ports, "MAIL_IMAP_PORT", 993, 10993)
	if r.Mail.Domains == nil && c.Domain != "" {
		r.Mail.Domains = []string{c.Domain}
	}
	if s := r.Mail.Smarthost; s != nil && s.Port == 0 {
		s.Port = 465
	}
	if r.Mail.MaxSize == 0 {
		r.Mail.MaxSize = 50 << 20
	}

	on(&r.DAV.Enabled, true)
	if r.DAV.Listen == nil {
		r.DAV.Listen = []netip.Addr{loopback}
	}
	port(&r.DAV.CalDAVPort, env.Ports, "RADICALE_PORT", 5232, 5232)
	port(&r.DAV.WebDAVPort, env.Ports, "WEBDAV_PORT", 8080, 8080)

	on(&r.Proxy.Enabled, true)
	listen(&r.Proxy.Listen)
	port(&r.Proxy.HTTPPort, env.Ports, "HTTP_PORT", 80, 10080)
	port(&r.Proxy.HTTPSPort, env.Ports, "HTTPS_PORT", 443, 10443)
	for i := range r.Proxy.Routes {
		if r.Proxy.Routes[i].Access == "" {
			r.Proxy.Routes[i].Access = AccessLAN
		}
	}

	if r.CA.Life == 0 {
		r.CA.Life = Duration(90 * 24 * time.Hour)
	}

	listen(&r.Web.Listen)
	port(&r.Web.UIPort, env.Ports, "WEBUI_PORT", 8081, 8081)
	port(&r.Web.APIPort, env.Ports, "API_PORT", 3000, 3000)
	port(&r.Web.MailPort, env.Ports, "RAINLOOP_PORT", 8888, 8888)
	port(&r.Web.FilesPort, env.Ports, "FILEGATOR_PORT", 8082, 8082)

	for i := range r.Users {
		if r.Users[i].Role == "" {
			r.Users[i].Role = Member
		}
	}
	return r
}

type (
	portDefault func(p *uint16, env map[string]uint16, name string, std, trial uint16)
	onDefault   func(p **bool, def bool)
)

func resolveDHCP(r *Document, env Env, on onDefault, port portDefault) {
	d := &r.DHCP
	on(&d.Enabled, false)
	if r.Cell.Mode == Trial {
		d.Enabled = new(bool) // a trial touches nothing of the host
	}
	if d.Interface == "" {
		d.Interface = r.Network.LAN.Name
	}
	port(&d.Port, env.Ports, "DHCP_PORT", 67, 67)
	if d.Lease == 0 {
		d.Lease = Duration(12 * time.Hour)
	}
	lan := r.Network.LAN.Address
	if !lan.IsValid() || !lan.Addr().Is4() {
		return
	}
	if !d.First.IsValid() {
		d.First = nth(lan, 100)
	}
	if !d.Last.IsValid() {
		d.Last = nth(lan, 200)
	}
	if !d.Router.IsValid() {
		d.Router = lan.Addr()
	}
	if d.DNS == nil {
		d.DNS = []netip.Addr{lan.Addr()}
	}
}

func resolveWireGuard(r *Document, env Env, on onDefault, port portDefault) {
	w := &r.WireGuard
	on(&w.Enabled, true)
	port(&w.Port, env.Ports, "WG_PORT", 51820, 51820)
	if w.MTU == 0 {
		w.MTU = 1420
	}
	if w.Interface == "" {
		w.Interface = "pic0"
	}
	if w.Endpoint == "" {
		w.Endpoint = endpoint(r, env)
	}
	if !w.Subnet.IsValid() {
		w.Subnet = defaultSubnet(r.Cell.Domain)
	}
	if !w.Subnet6.IsValid() {
		w.Subnet6 = defaultSubnet6(r.Cell.Domain, w.PublicKey)
	}
	if w.Backend == "" {
		w.Backend = BackendUser
	}
	on(&w.OpenPort, false)
	for i := range r.Peers {
		p := &r.Peers[i]
		p.Rights = r.rights(p)
		p.Disabled = p.Disabled || p.Expired(env.Now)
		if p.Keepalive == 0 {
			p.Keepalive = keepalive
		}
		if !p.Address6.IsValid() && p.Address.Is4() {
			p.Address6 = sixFor(w.Subnet6, w.Subnet, p.Address)
		}
	}
	for i := range r.Links {
		if l := &r.Links[i]; l.Keepalive == 0 {
			l.Keepalive = keepalive
		}
	}
}

// endpoint is where devices at home find the cell: its LAN address, or in a
// trial without a network this host. Devices on the road need a public name.
func endpoint(r *Document, env Env) string {
	lan := r.Network.LAN.Address
	if !lan.IsValid() {
		lan = env.LAN.Address
	}
	switch {
	case lan.IsValid():
		return netip.AddrPortFrom(lan.Addr(), r.WireGuard.Port).String()
	case r.Cell.Mode == Trial:
		return netip.AddrPortFrom(loopback, r.WireGuard.Port).String()
	}
	return ""
}

var loopback = netip.AddrFrom4([4]byte{127, 0, 0, 1})

// private is who may use the cell's services by default: loopback, RFC 1918,
// RFC 6598, link-local and ULA.
func private() []netip.Prefix {
	var out []netip.Prefix
	for _, s := range []string{
		"127.0.0.0/8", "10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "100.64.0.0/10", "169.254.0.0/16",
		"::1/128", "fc00::/7", "fe80::/10",
	} {
		out = append(out, netip.MustParsePrefix(s))
	}
	return out
}

// nth is the address n after the first of p's network.
func nth(p netip.Prefix, n uint32) netip.Addr {
	b := p.Masked().Addr().As4()
	v := uint32(b[0])<<24 | uint32(b[1])<<16 | uint32(b[2])<<8 | uint32(b[3])
	v += n
	return netip.AddrFrom4([4]byte{byte(v >> 24), byte(v >> 16), byte(v >> 8), byte(v)})
}

// defaultSubnet spreads cells over 10.64.0.0/10 by their domain, so that two
// that meet seldom overlap.
func defaultSubnet(domain string) netip.Prefix {
	h := fnv.New32a()
	fmt.Fprint(h, domain)
	v := h.Sum32()
	return netip.PrefixFrom(netip.AddrFrom4([4]byte{10, 64 + byte(v>>8)%64, byte(v), 0}), 24)
}

// defaultSubnet6 is a ULA (RFC 4193) that follows from the cell's public key.
func defaultSubnet6(domain, key string) netip.Prefix {
	h := fnv.New64a()
	fmt.Fprint(h, domain, "/", key)
	v := h.Sum64()
	return netip.PrefixFrom(netip.AddrFrom16([16]byte{
		0xfd, byte(v >> 56), byte(v >> 48), byte(v >> 40), byte(v >> 32), byte(v >> 24), byte(v >> 16), byte(v >> 8),
	}), 64)
}

// sixFor gives the IPv6 address whose host part is that of the IPv4 address.
func sixFor(six, four netip.Prefix, a netip.Addr) netip.Addr {
	if !six.IsValid() || !four.Contains(a) {
		return netip.Addr{}
	}
	b, net4, out := a.As4(), four.Masked().Addr().As4(), six.Masked().Addr().As16()
	for i := range 4 {
		out[12+i] |= b[i] ^ net4[i]
	}
	return netip.AddrFrom16(out)
}

// VPN returns the cell's own addresses in its VPN: the first of each subnet.
func (w WireGuard) VPN() (four, six netip.Addr) {
	if w.Subnet.IsValid() {
		four = w.Subnet.Masked().Addr().Next()
	}
	if w.Subnet6.IsValid() {
		six = w.Subnet6.Masked().Addr().Next()
	}
	return four, six
}

// Tunnel returns the cell's own addresses in its VPN, none where it is off.
func (d *Document) Tunnel() []netip.Addr {
	if !On(d.WireGuard.Enabled) {
		return nil
	}
	four, six := d.WireGuard.VPN()
	out := []netip.Addr{four}
	if six.IsValid() {
		out = append(out, six)
	}
	return out
}

// Insiders returns who may use what is not meant for the public: network.allow
// and the VPN.
func (d *Document) Insiders() []netip.Prefix {
	out := slices.Clone(d.Network.Allow)
	if On(d.WireGuard.Enabled) {
		out = append(out, d.WireGuard.Subnet, d.WireGuard.Subnet6)
	}
	return out
}

// Services are the labels below the cell's domain at which its own pages and
// services answer.
func Services() []string {
	return []string{"home", "mail", "calendar", "contacts", "files", "dav", "ca", "dns", "ntp", "vpn", "imap", "smtp"}
}

// Hostnames returns every name that the cell answers for over TLS, sorted and
// without duplicates: its domain, its services, its routes, ca.names.
func (d *Document) Hostnames() []string {
	dom := d.Cell.Domain
	out := []string{dom}
	for _, s := range Services() {
		out = append(out, s+"."+dom)
	}
	for _, r := range d.Proxy.Routes {
		out = append(out, r.Host(dom))
	}
	out = append(out, d.CA.Names...)
	slices.Sort(out)
	return slices.Compact(out)
}

// Host returns the full name of the route in a cell of that domain.
func (r Route) Host(domain string) string {
	for i := range len(r.Name) {
		if r.Name[i] == '.' {
			return r.Name
		}
	}
	return r.Name + "." + domain
}
