// Package dnssrv is the household's name server: it answers for the cell's own
// names and finds all others out from upstream resolvers, or from the root on.
//
// It promises:
//
//   - The cell's zone, further zones of the document and the reverse of the LAN
//     and the VPN are answered with authority: RFC 1034 and 1035, negative
//     answers with SOA (RFC 2308), empty non-terminals (RFC 8020), wildcards
//     (RFC 4592), CNAMEs and DNAMEs (RFC 6672) followed from zone to zone,
//     delegations, addresses beside what leads to them, ANY kept small over UDP
//     (RFC 8482). Zones come and go as master files.
//   - Zones that are to be signed are (RFC 4033 to 4035, ECDSA P-256 and NSEC), for
//     who asks and with the names found out by then. See package sign for keys.
//   - Zones are shared with other servers: sent to secondaries by AXFR (RFC 5936)
//     and IXFR (RFC 1995), which are told of changes (RFC 1996), and fetched from
//     primaries, kept on disk and served until they expire. Programs may change
//     zones (RFC 2136), durable before they are told so. Keys sign all of it (RFC
//     8945). A zone's serial grows whenever something in it changes, names found
//     out included, and over restarts.
//   - The cell's service names resolve by who asks: the host itself gets the
//     loopback address, the VPN the cell's VPN address, the LAN its LAN address.
//   - Zones are shared with other name servers by AXFR, IXFR and NOTIFY (RFC 5936,
//     1995, 1996), and changed by updates (RFC 2136), by TSIG (RFC 8945). What is
//     acknowledged is on disk. See package transfer.
//   - All other names are forwarded to the quickest healthy upstream, by any
//     transport of package upstream; those of some domains to resolvers of their
//     own and to nobody else, if need be through the VPN alone. Equal questions
//     travel once and cost few messages. Answers are kept in bounded memory for
//     their TTL, renewed before its end while wanted, and told after it while
//     nobody answers (RFC 8767); failures for a while (RFC 9520). What no upstream
//     answers is SERVFAIL with a reason (RFC 8914) within two seconds.
//   - Where the document says so, they are found out from the root on instead, at
//     a bounded cost: see package iterate. A failure takes up to 4.5 seconds then,
//     and what is over is told after 1.7.
//   - Names of strangers lead to no private address. Hosts with IPv6 only are
//     given addresses within the prefix of a NAT64 (RFC 6147, RFC 7050).
//   - Special names never leave the house: RFC 6761, 6762, 7686, 8375, 8880, 9462,
//     9476, private reverse zones (RFC 6303). Names below test. are asked only of
//     upstreams on this very host.
//   - Only clients of the allowed prefixes are served; others are REFUSED. A
//     client's subnet is never sent upstream.
//   - EDNS(0) by RFC 6891 with 1232 bytes over UDP; TCP by RFC 7766, pipelined,
//     with bounded connections. No message can make the process panic, or grow
//     beyond its limits.
//   - The same answers over TLS (RFC 7858), QUIC (RFC 9250) and HTTPS (RFC 8484),
//     padded (RFC 8467), and only there. What is encrypted has its own limits, so
//     that handshakes keep nobody from plain DNS. Devices that trust the cell's
//     root find the encrypted ways by themselves (RFC 9461, RFC 9462).
//   - What the household does not want is not answered, by lists, rules, services
//     and schedules for each client, nor where a CNAME or an HTTPS record leads to
//     it; the answer says which list and rule (RFC 8914). See package policy. The
//     cell's own and special names are never blocked.
//   - Whoever asks too much (dns.rate, per address or /64) is not answered over
//     UDP and read more slowly elsewhere. Networks beyond the house get a ration
//     of each answer (dns.responses); server cookies (RFC 7873, 9018) are the way
//     out of it. NSID (RFC 5001) and padding (RFC 8467) are answered.
//   - A change of zones touches no socket and fails no query. Whole answers are
//     kept for those who ask the same in at most 16 MiB, and none outlives the
//     zones, names found out and upstreams that it was made of.
//   - Answers of upstreams are checked by DNSSEC (see package validate) as long as
//     the upstreams pass signatures on, or always if the document says so: AD
//     tells who asks for it (RFC 6840 §5.7, 5.8), what is forged or broken is
//     SERVFAIL with its reason, and CD gets it all the same. The keys of the root
//     are followed (RFC 5011), and what is known of them is durable.
//
// A delegation in a zone of the document is answered by referral and not followed.
// It takes no early data (0-RTT).
package dnssrv

import (
	"net/netip"
	"slices"
	"strings"

	"pic/core/config"
	"pic/internal/listen"
)

// Standard ports, which are those inside the tunnel.
const (
	port      = 53
	portTLS   = 853
	portHTTPS = 443
)

// Config is what the server needs to know. [From] derives it.
type Config struct {
	Sockets   []listen.Socket // none: do not serve
	TLS       []listen.Socket // of DNS over TLS and QUIC
	HTTPS     Endpoint        // where the proxy serves DNS over HTTPS
	Domain    string          // of the cell, such as oak.home.arpa
	Cell      []string        // absolute names that are the cell itself
	Hosts     []Host          // declared devices
	Services  []Service       // what SRV records tell
	Mail      []string        // domains whose mail goes to the cell
	Texts     []Text          // that the cell publishes of itself
	Records   []config.Record // of the cell's zone
	Zones     []config.Zone
	Upstreams []string       // see config.DNS.Upstreams
	Allow     []netip.Prefix // who may ask
	LAN       netip.Prefix   // the cell's address in its LAN
	VPN       []netip.Prefix // subnets of the VPN
	Tunnel    []netip.Addr   // the cell's addresses in its VPN
	Loopback6 bool           // services answer on ::1 too
	Links     []Linked
	Outlets   []Outlet

	DNS    config.DNS // what the document says of all the rest, defaults filled in
	People People     // who the clients of DNS.Filter are
	NSID   string     // what the server calls itself (RFC 5001)
}

// An Endpoint is a port on some addresses of the host. Inside the VPN it is the
// standard port of its protocol.
type Endpoint struct {
	Port   uint16 // 0: there is none
	Listen []netip.Addr
}

// People are the devices of the VPN and of the LAN that have names, so that
// rules can be about them.
type People struct {
	Peers map[string][]netip.Addr // addresses of a device of the VPN
	Owner map[string]string       // of a device of the VPN: the user
	MACs  map[string]netip.Addr   // addresses given for good
}

// A Host is a device that the document names.
type Host struct {
	Name   string   // absolute; the reverse of Addrs
	Also   []string // further absolute names, where nothing else has them
	Addrs  []netip.Addr
	Source Source
}

// A Linked is another cell whose name server is asked about its names.
type Linked struct {
	Domain  string
	Subnets []netip.Prefix
	DNS     netip.Addr // within the VPN
}

// A Service is announced by SRV (RFC 2782, 6186, 6764) in every mail domain
// that the cell answers for.
type Service struct {
	Name    string // such as _imaps._tcp
	Target  string // label below the cell's domain
	Port    uint16 // on the host
	VPNPort uint16 // inside the tunnel
	Path    string // told by TXT where not empty (RFC 6764 §4)
}

// From picks the server's Config out of the resolved document.
func From(d *config.Document) Config {
	if !config.On(d.DNS.Enabled) || d.Cell.Domain == "" {
		return Config{}
	}
	tunnel := d.Tunnel()
	c := Config{
		Domain:    strings.ToLower(d.Cell.Domain),
		Cell:      d.Hostnames(),
		Records:   d.DNS.Records,
		Zones:     d.DNS.Zones,
		Upstreams: d.DNS.Upstreams,
		Allow:     d.Insiders(),
		LAN:       d.Network.LAN.Address,
		Tunnel:    tunnel,
		Loopback6: six(d.DNS.Listen) && six(d.Proxy.Listen),
		DNS:       d.DNS,
		NSID:      d.Cell.Name,
		People:    people(d),
	}
	for _, network := range []string{"udp", "tcp"} {
		c.Sockets = append(c.Sockets, listen.For(network, d.DNS.Listen, d.DNS.Port, tunnel, port)...)
		if config.On(d.DNS.TLS) {
			c.TLS = append(c.TLS, listen.For(network, d.DNS.Listen, d.DNS.TLSPort, tunnel, portTLS)...)
		}
	}
	if config.On(d.DNS.HTTPS) && config.On(d.Proxy.Enabled) {
		c.HTTPS = Endpoint{d.Proxy.HTTPSPort, d.Proxy.Listen}
	}
	if config.On(d.WireGuard.Enabled) {
		c.VPN = []netip.Prefix{d.WireGuard.Subnet, d.WireGuard.Subnet6}
		for _, p := range d.Peers {
			if !p.Disabled {
				c.Hosts = append(c.Hosts, peer(p, c.Domain))
			}
		}
	}
	c.Outlets = outletsOf(d)
	for _, l := range d.Links {
		c.Links = append(c.Links, Linked{l.Domain, l.Subnets, l.DNS})
	}
	for _, r := range d.DHCP.Reservations {
		c.Hosts = append(c.Hosts, Host{
			Name:   r.Name + ".lan." + c.Domain,
			Also:   []string{r.Name + "." + c.Domain},
			Addrs:  []netip.Addr{r.Address},
			Source: Reservation,
		})
	}
	if config.On(d.Mail.Enabled) {
		c.Mail = d.Mail.Domains
		for _, k := range d.Mail.DKIM {
			c.Texts = append(c.Texts, Text{k.Selector + "._domainkey." + k.Domain, k.Record})
		}
		c.Services = []Service{
			{"_imaps._tcp", "mail", d.Mail.IMAPPort, 993, ""},
			{"_submission._tcp", "mail", d.Mail.SubmissionPort, 587, ""},
			{"_submissions._tcp", "mail", d.Mail.SubmissionsPort, 465, ""},
		}
	}
	if config.On(d.DAV.Enabled) && config.On(d.Proxy.Enabled) {
		c.Services = append(c.Services,
			Service{"_caldavs._tcp", "dav", d.Proxy.HTTPSPort, 443, "/dav/"},
			Service{"_carddavs._tcp", "dav", d.Proxy.HTTPSPort, 443, "/dav/"})
	}
	return c
}

func people(d *config.Document) People {
	p := People{Peers: map[string][]netip.Addr{}, Owner: map[string]string{}, MACs: map[string]netip.Addr{}}
	for _, peer := range d.Peers {
		for _, a := range []netip.Addr{peer.Address, peer.Address6} {
			if a.IsValid() {
				p.Peers[peer.Name] = append(p.Peers[peer.Name], a)
			}
		}
		p.Owner[peer.Name] = peer.Owner
	}
	for _, r := range d.DHCP.Reservations {
		p.MACs[r.MAC] = r.Address
	}
	return p
}

func peer(p config.Peer, domain string) Host {
	h := Host{Name: p.Name + ".vpn." + domain, Source: Peer}
	for _, a := range []netip.Addr{p.Address, p.Address6} {
		if a.IsValid() {
			h.Addrs = append(h.Addrs, a)
		}
	}
	return h
}

// six reports whether ::1 is among addrs, or covered by them.
func six(addrs []netip.Addr) bool {
	return slices.ContainsFunc(addrs, func(a netip.Addr) bool {
		return a == netip.IPv6Unspecified() || a == netip.IPv6Loopback()
	})
}
