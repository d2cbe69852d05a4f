package config

import (
	"net/netip"
	"slices"
	"time"
)

// Network is the household's network, and what the cell does for it as a router.
type Network struct {
	LAN Interface `json:"lan,omitzero"`
	WAN WAN       `json:"wan,omitzero"`
	// Bridge are the cards that together are the LAN; the cell makes a bridge of
	// them, named network.lan.name.
	Bridge []string `json:"bridge,omitempty"`
	// Allow lists who may use the services that are not meant for the public.
	// Default: loopback, private and link-local ranges, and prefixes that the
	// provider delegated to the LAN.
	Allow []netip.Prefix `json:"allow,omitempty"`
	// Router says that the cell stands between the LAN and the WAN, which are two
	// cards then: it routes, translates addresses and lets nothing in that nobody
	// asked for. Default: off, a server on the LAN.
	Router *bool `json:"router,omitempty"`
	// Public are services of this cell that the internet may reach on the WAN, by
	// the names of [Publics]: mail and proxy. Default: none; the proxy's ports are
	// open, too, where a route of it is public.
	Public      []string      `json:"public,omitempty"`
	Forwards    []PortForward `json:"forwards,omitempty"`
	Groups      []PeerGroup   `json:"groups,omitempty"`
	Exits       []Exit        `json:"exits,omitempty"`
	Blocked     []Block       `json:"blocked,omitempty"`
	Limits      Limits        `json:"limits,omitzero"`
	Shaping     Shaping       `json:"shaping,omitzero"`
	PortMapping PortMapping   `json:"portMapping,omitzero"`
	Dynamic     []DynamicName `json:"dynamic,omitempty"`
	// Reflect repeats mDNS between the LAN and the VPN, so that devices on the road
	// find printers and players at home. Default: off.
	Reflect *bool `json:"reflect,omitempty"`
	// Accounting counts the traffic of each device. Default: on.
	Accounting *bool `json:"accounting,omitempty"`
}

// An Interface is a network card of the host and the addresses it has there.
type Interface struct {
	Name     string       `json:"name,omitempty"`    // such as eth0
	Address  netip.Prefix `json:"address,omitzero"`  // such as 192.168.1.1/24
	Address6 netip.Prefix `json:"address6,omitzero"` // of one's own choice, such as a ULA; delegated ones come by themselves
}

// WAN is the card towards the internet. Its addresses are set in router mode
// only; a server leaves them to the host.
type WAN struct {
	Name     string       `json:"name,omitempty"`
	Method   WANMethod    `json:"method,omitempty"`  // default: static with an address, else dhcp
	Address  netip.Prefix `json:"address,omitzero"`  // with static
	Gateway  netip.Addr   `json:"gateway,omitzero"`  // with static
	Address6 netip.Prefix `json:"address6,omitzero"` // with static
	Gateway6 netip.Addr   `json:"gateway6,omitzero"` // with static
	// Delegation asks the provider for an IPv6 prefix for the LAN (RFC 8415,
	// section 6.3). Default: on in router mode with dhcp.
	Delegation *bool `json:"delegation,omitempty"`
}

// A WANMethod is how the cell gets its address from the provider.
type WANMethod string

const (
	WANDHCP   WANMethod = "dhcp"
	WANStatic WANMethod = "static"
)

// A PortForward leads a port of the WAN to a device of the LAN or the VPN.
type PortForward struct {
	Name     string         `json:"name"`               // one DNS label
	Protocol string         `json:"protocol,omitempty"` // tcp, udp or both; default: tcp
	Port     uint16         `json:"port"`               // on the WAN
	Last     uint16         `json:"last,omitempty"`     // of a range; default: port alone
	To       netip.Addr     `json:"to"`                 // the device
	ToPort   uint16         `json:"toPort,omitempty"`   // the first one there; default: port
	From     []netip.Prefix `json:"from,omitempty"`     // who may use it; default: everybody
	Disabled bool           `json:"disabled,omitempty"`
}

// A PeerGroup gives rights to the peers that are in it. What a peer says itself
// wins; of several groups, any that grants a right does.
type PeerGroup struct {
	Name string `json:"name"` // one DNS label
	Rights
}

// Rights say what a peer may reach through the tunnel. What is left open comes
// from its groups, and else from the defaults named here.
type Rights struct {
	Internet *bool `json:"internet,omitempty"` // through the cell, or its exit; default: yes
	LAN      *bool `json:"lan,omitempty"`      // default: yes
	// Services are those of this cell, by the names of [Offers]; "none" alone is
	// none but DNS, which is always there. Default: all.
	Services []string `json:"services,omitempty"`
	// Peers are other peers, and groups of peers, by name; "all" is all. Default:
	// none.
	Peers []string `json:"peers,omitempty"`
	// Cells are linked cells, by name; "none" alone is none. Default: all.
	Cells []string `json:"cells,omitempty"`
	Exit  string   `json:"exit,omitempty"` // an exit by which its internet goes; "none": the cell's own, whatever groups say
	// Fallback lets it use the cell's own internet while its exit is down. Default:
	// no, nothing leaks past the exit.
	Fallback *bool `json:"fallback,omitempty"`
}

// An Exit is another way to the internet: a WireGuard provider, or a linked cell
// that lets this one out.
type Exit struct {
	Name string `json:"name"`           // one DNS label
	Link string `json:"link,omitempty"` // a linked cell; then nothing below is set
	// Of a provider, as in its .conf:
	Key       Secret         `json:"key,omitempty"`
	Addresses []netip.Prefix `json:"addresses,omitempty"`
	PublicKey string         `json:"publicKey,omitempty"`
	Preshared Secret         `json:"preshared,omitempty"`
	Endpoint  string         `json:"endpoint,omitempty"`  // host:port
	DNS       []netip.Addr   `json:"dns,omitempty"`       // asked through the exit, for the peers that use it
	MTU       int            `json:"mtu,omitempty"`       // default: wireguard.mtu
	Keepalive int            `json:"keepalive,omitempty"` // seconds; default: 25
	Disabled  bool           `json:"disabled,omitempty"`
}

// A Block shuts out addresses, in both directions.
type Block struct {
	Net    netip.Prefix `json:"net"`
	Reason string       `json:"reason,omitempty"`
	Until  time.Time    `json:"until,omitzero"` // default: for good
}

// Limits protect the cell and the LAN from floods out of the WAN and the VPN. Zero
// is the default, a negative number no limit.
type Limits struct {
	New int `json:"new,omitempty"` // new connections a second from one address; default: 100
	Syn int `json:"syn,omitempty"` // TCP connection attempts a second in all, from the WAN; default: 500
}

// Shaping keeps the queue at the cell, where it is fair and short, instead of at
// the modem. Rates are a little below those of the line.
type Shaping struct {
	Down  int    `json:"down,omitempty"`  // kbit/s; 0: not shaped
	Up    int    `json:"up,omitempty"`    // kbit/s; 0: not shaped
	Queue string `json:"queue,omitempty"` // cake, fq_codel or auto (default): cake where the kernel has it
}

// PortMapping lets devices open ports of the WAN for themselves by NAT-PMP
// (RFC 6886) and PCP (RFC 6887).
type PortMapping struct {
	Enabled *bool          `json:"enabled,omitempty"` // default: off
	Allow   []netip.Prefix `json:"allow,omitempty"`   // who may; default: the LAN
	Most    int            `json:"most,omitempty"`    // mappings of one device; default: 32
}

// A DynamicName is a public name that follows the cell's public address.
type DynamicName struct {
	Name     string   `json:"name"`               // the host name
	Protocol string   `json:"protocol,omitempty"` // dyndns2 (default) or rfc2136
	Server   string   `json:"server"`             // https URL of dyndns2, or host:port of the name server
	User     string   `json:"user,omitempty"`     // of dyndns2; with rfc2136 the name of the TSIG key
	Password Secret   `json:"password,omitempty"` // or the TSIG key
	Zone     string   `json:"zone,omitempty"`     // of rfc2136; default: the name's parent
	Families []string `json:"families,omitempty"` // 4 and 6; default: both
	Interval Duration `json:"interval,omitzero"`  // of looks at the address; default: 5m
	Disabled bool     `json:"disabled,omitempty"`
}

// An Offer is a service of the cell that peers and linked cells may be let to.
type Offer struct {
	Name  string
	Ports []OfferPort
}

// An OfferPort is a port within the tunnel.
type OfferPort struct {
	Protocol string // tcp or udp
	Port     uint16
}

// Publics lists the services that can be opened to the internet: mail, which is
// port 25 alone, where others deliver, and proxy. What a device of the household
// needs (submission, IMAP, files, the UI) it reaches by the VPN.
func Publics(d *Document) []Offer {
	return []Offer{
		{"mail", []OfferPort{{"tcp", d.Mail.SMTPPort}}},
		{"proxy", []OfferPort{{"tcp", d.Proxy.HTTPPort}, {"tcp", d.Proxy.HTTPSPort}, {"udp", d.Proxy.HTTPSPort}}},
	}
}

// Opened lists the ports that the internet reaches on the WAN besides the tunnel's:
// those of network.public, and the proxy's where a route is public. Services that
// are switched off open nothing.
func Opened(d *Document) []Offer {
	public := slices.ContainsFunc(d.Proxy.Routes, func(r Route) bool { return r.Access == AccessPublic })
	on := map[string]bool{
		"mail":  On(d.Mail.Enabled) && slices.Contains(d.Network.Public, "mail"),
		"proxy": On(d.Proxy.Enabled) && (public || slices.Contains(d.Network.Public, "proxy")),
	}
	return slices.DeleteFunc(Publics(d), func(o Offer) bool { return !on[o.Name] })
}

// Offers lists the services of the cell in its tunnel: dns, ntp, web (UI and API),
// proxy (pages, routes, DoH), mail (SMTP, submission, IMAP), files.
func Offers(d *Document) []Offer {
	tcp := func(ports ...uint16) []OfferPort {
		var out []OfferPort
		for _, p := range ports {
			out = append(out, OfferPort{"tcp", p})
		}
		return out
	}
	both := func(port uint16) []OfferPort { return []OfferPort{{"tcp", port}, {"udp", port}} }
	return []Offer{
		{"dns", append(both(53), both(853)...)},
		{"ntp", []OfferPort{{"udp", 123}}},
		{"web", tcp(d.Web.UIPort, d.Web.MailPort, d.Web.FilesPort)},
		{"proxy", append(tcp(80), both(443)...)},
		{"mail", tcp(25, 465, 587, 993)},
	}
}
