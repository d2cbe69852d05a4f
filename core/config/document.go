// Package config holds the cell's one document and the store that changes it.
//
// A [Document] is plain data: everything the user decided and nothing that the
// cell found out. It holds no secrets, only their ids ([Secret]). It is never
// edited in place: [Store.Change] takes a copy, lets the caller edit it, checks
// the whole of it, offers it to every unit, saves it and only then makes it
// current. If anything refuses, the cell is put back as it was.
//
// What the user left open stays open in the document. [Resolve] fills it in,
// purely, and everything but the editor of the document reads the resolved one.
package config

import (
	"net/netip"
	"slices"
	"time"
)

// Schema is the version of the document's shape that this program writes.
const Schema = 1

// A Document is the whole configuration of a cell. Slices of named things are
// kept in the user's order; names are unique within their slice.
type Document struct {
	Schema    int       `json:"schema"`
	Revision  int64     `json:"revision"` // grows by one with every change
	Cell      Cell      `json:"cell"`
	Network   Network   `json:"network"`
	DNS       DNS       `json:"dns"`
	DHCP      DHCP      `json:"dhcp"`
	NTP       NTP       `json:"ntp"`
	WireGuard WireGuard `json:"wireguard"`
	Peers     []Peer    `json:"peers,omitempty"`
	Users     []User    `json:"users,omitempty"`
	Mail      Mail      `json:"mail"`
	DAV       DAV       `json:"dav"`
	Proxy     Proxy     `json:"proxy"`
	CA        CA        `json:"ca"`
	Links     []Link    `json:"links,omitempty"`
	Web       Web       `json:"web"`
}

// A Secret is the id of a secret in the vault, never the secret itself. Empty
// means: there is none.
type Secret string

// A Mode says how much of the host a cell takes over.
type Mode string

const (
	// Trial needs no privileges and touches nothing of the host: high ports on
	// loopback, WireGuard in user space, no DHCP, no firewall.
	Trial Mode = "trial"
	// Appliance serves a network on the standard ports.
	Appliance Mode = "appliance"
)

// Cell is who this cell is.
type Cell struct {
	Name   string `json:"name"`             // one DNS label, such as oak
	Domain string `json:"domain,omitempty"` // default: <name>.home.arpa
	Mode   Mode   `json:"mode,omitempty"`   // default: appliance
	// Listen is where services answer unless their own section says otherwise.
	// Default: 127.0.0.1 in trial mode, every address in appliance mode.
	Listen []netip.Addr `json:"listen,omitempty"`
}

// DHCP configures dhcpsrv.
type DHCP struct {
	Enabled      *bool         `json:"enabled,omitempty"`   // default: off
	Interface    string        `json:"interface,omitempty"` // default: network.lan.name
	Port         uint16        `json:"port,omitempty"`      // default: 67
	First        netip.Addr    `json:"first,omitzero"`      // default: .100 of the LAN
	Last         netip.Addr    `json:"last,omitzero"`       // default: .200 of the LAN
	Lease        Duration      `json:"lease,omitzero"`      // default: 12h
	Router       netip.Addr    `json:"router,omitzero"`     // default: the cell
	DNS          []netip.Addr  `json:"dns,omitempty"`       // default: the cell
	Reservations []Reservation `json:"reservations,omitempty"`
}

// A Reservation ties an address to a device for good.
type Reservation struct {
	Name    string     `json:"name"` // host name, one DNS label
	MAC     string     `json:"mac"`  // aa:bb:cc:dd:ee:ff
	Address netip.Addr `json:"address"`
}

// NTP configures ntpsrv.
type NTP struct {
	Enabled *bool        `json:"enabled,omitempty"` // default: on
	Listen  []netip.Addr `json:"listen,omitempty"`
	Port    uint16       `json:"port,omitempty"`    // default: 123, trial 10123
	Sources []string     `json:"sources,omitempty"` // host or host:port
}

// WireGuard configures the cell's VPN.
type WireGuard struct {
	Enabled   *bool        `json:"enabled,omitempty"`   // default: on
	Port      uint16       `json:"port,omitempty"`      // UDP; default: 51820
	Subnet    netip.Prefix `json:"subnet,omitzero"`     // RFC 1918; the cell has the first address
	Subnet6   netip.Prefix `json:"subnet6,omitzero"`    // ULA; the cell has the first address
	MTU       int          `json:"mtu,omitempty"`       // default: 1420
	Endpoint  string       `json:"endpoint,omitempty"`  // host or host:port that peers dial; default: the LAN address
	Key       Secret       `json:"key,omitempty"`       // the cell's private key
	PublicKey string       `json:"publicKey,omitempty"` // base64, of Key
	Interface string       `json:"interface,omitempty"` // default: pic0
	// Backend is what speaks WireGuard in appliance mode: user (the cell itself) or
	// kernel. Default: user.
	Backend string `json:"backend,omitempty"`
	// OpenPort asks the router upstream to let the port in, by PCP, NAT-PMP or
	// UPnP. Default: off.
	OpenPort *bool `json:"openPort,omitempty"`
}

// A Peer is a device of the household that reaches the cell through the VPN.
type Peer struct {
	Name      string     `json:"name"`            // one DNS label
	Owner     string     `json:"owner,omitempty"` // a user's name
	PublicKey string     `json:"publicKey"`       // base64
	Key       Secret     `json:"key,omitempty"`   // its private key, where the cell made it
	Preshared Secret     `json:"preshared,omitempty"`
	Next      Keys       `json:"next,omitzero"` // that are to take the place of these
	Address   netip.Addr `json:"address"`       // within wireguard.subnet
	Address6  netip.Addr `json:"address6,omitzero"`
	Disabled  bool       `json:"disabled,omitempty"`
	Rights
	Groups    []string     `json:"groups,omitempty"`    // of network.groups, and the owner's
	Device    string       `json:"device,omitempty"`    // phone, laptop, desktop, tablet, tv, server, router or other
	MAC       string       `json:"mac,omitempty"`       // to wake it up
	Expires   time.Time    `json:"expires,omitzero"`    // it is shut out from then on; default: never
	Split     bool         `json:"split,omitempty"`     // its .conf routes only the cell's networks into the tunnel
	DNS       []netip.Addr `json:"dns,omitempty"`       // of its .conf; default: the cell
	Keepalive int          `json:"keepalive,omitempty"` // seconds, of its .conf; default: 25; negative: none
	// Site are networks behind the device that the tunnel leads to, such as those of
	// a holiday home.
	Site []netip.Prefix `json:"site,omitempty"`
}

// Keys are those that a peer changes to. Its present ones are good until it first
// uses these, or until the time comes.
type Keys struct {
	PublicKey string    `json:"publicKey,omitempty"` // base64; empty: there is no change
	Key       Secret    `json:"key,omitempty"`
	Preshared Secret    `json:"preshared,omitempty"`
	Until     time.Time `json:"until,omitzero"`
}

// A Role says what a person may do with the cell.
type Role string

const (
	Admin  Role = "admin"  // everything
	Viewer Role = "viewer" // sees everything, changes their own things only
	Member Role = "user"   // sees and changes their own things only
)

// A User is a person. Credentials are kept by core/users, never here.
type User struct {
	Name     string   `json:"name"` // login and local part of the mail address
	Display  string   `json:"display,omitempty"`
	Role     Role     `json:"role,omitempty"` // default: user
	Groups   []string `json:"groups,omitempty"`
	Disabled bool     `json:"disabled,omitempty"`
}

// Mail configures mailsrv.
type Mail struct {
	Enabled         *bool        `json:"enabled,omitempty"` // default: on
	Listen          []netip.Addr `json:"listen,omitempty"`
	SMTPPort        uint16       `json:"smtpPort,omitempty"`        // default: 25, trial 10025
	SubmissionPort  uint16       `json:"submissionPort,omitempty"`  // default: 587, trial 10587
	SubmissionsPort uint16       `json:"submissionsPort,omitempty"` // default: 465, trial 10465
	IMAPPort        uint16       `json:"imapPort,omitempty"`        // default: 993, trial 10993
	Domains         []string     `json:"domains,omitempty"`         // default: the cell's domain
	Aliases         []Alias      `json:"aliases,omitempty"`
	MaxSize         int64        `json:"maxSize,omitempty"` // bytes of one message; default: 50 MiB
	// Smarthost takes what goes to other places; without one the cell brings it
	// there itself.
	Smarthost *Smarthost `json:"smarthost,omitempty"`
	DKIM      []DKIM     `json:"dkim,omitempty"` // the later one of an algorithm signs
}

// A Smarthost is a provider's server that sends mail on for those who have an
// account there.
type Smarthost struct {
	Host     string `json:"host"`
	Port     uint16 `json:"port,omitempty"` // default: 465; TLS comes first there, elsewhere STARTTLS is required
	User     string `json:"user,omitempty"`
	Password Secret `json:"password,omitempty"`
}

// A DKIM is a key that signs mail from a domain of the cell (RFC 6376).
type DKIM struct {
	Domain   string `json:"domain"`
	Selector string `json:"selector"` // the record is at SELECTOR._domainkey.DOMAIN
	Record   string `json:"record"`   // what is published there
	Key      Secret `json:"key"`
}

// An Alias delivers what is sent to one local part to others.
type Alias struct {
	Name string   `json:"name"` // local part, valid in every domain of the cell
	To   []string `json:"to"`   // users' names
}

// DAV configures davsrv.
type DAV struct {
	Enabled    *bool        `json:"enabled,omitempty"`    // default: on
	Listen     []netip.Addr `json:"listen,omitempty"`     // default: loopback
	CalDAVPort uint16       `json:"caldavPort,omitempty"` // default: 5232
	WebDAVPort uint16       `json:"webdavPort,omitempty"` // default: 8080
}

// Proxy configures the reverse proxy.
type Proxy struct {
	Enabled   *bool        `json:"enabled,omitempty"` // default: on
	Listen    []netip.Addr `json:"listen,omitempty"`
	HTTPPort  uint16       `json:"httpPort,omitempty"`  // default: 80, trial 10080
	HTTPSPort uint16       `json:"httpsPort,omitempty"` // default: 443, trial 10443
	Routes    []Route      `json:"routes,omitempty"`
}

// An Access says who may enter a route.
type Access string

const (
	AccessLAN    Access = "lan"    // whoever is in network.allow or the VPN
	AccessVPN    Access = "vpn"    // WireGuard peers and the host itself
	AccessPublic Access = "public" // everybody
)

// A Route sends the requests for a host name to a server behind the cell.
type Route struct {
	Name     string `json:"name"`             // one label below the cell's domain, or a whole host name
	Upstream string `json:"upstream"`         // http://host:port or https://host:port
	Access   Access `json:"access,omitempty"` // default: lan
	// Insecure accepts any certificate of an https upstream.
	Insecure bool `json:"insecure,omitempty"`
}

// CA configures the certificate authority.
type CA struct {
	Life  Duration `json:"life,omitzero"`   // of a leaf; default: 90 days
	Names []string `json:"names,omitempty"` // further names within the cell's domain
}

// A Link is another cell that this one trusts. Its networks are reached through
// the tunnel. The exchange of invites is not built yet.
type Link struct {
	Name      string         `json:"name"`
	Domain    string         `json:"domain"`
	PublicKey string         `json:"publicKey"`
	Endpoints []string       `json:"endpoints,omitempty"`
	Subnets   []netip.Prefix `json:"subnets"`
	DNS       netip.Addr     `json:"dns,omitzero"`
	Preshared Secret         `json:"preshared,omitempty"`
	Keepalive int            `json:"keepalive,omitempty"` // seconds; default: 25
	// Services are those of this cell that the other one's people may use, by the
	// names of [Offers]; "none" alone is none. Default: dns, proxy and mail.
	Services []string `json:"services,omitempty"`
	LAN      bool     `json:"lan,omitempty"` // they may reach this cell's LAN
	Out      bool     `json:"out,omitempty"` // they may use this cell's internet
	Disabled bool     `json:"disabled,omitempty"`
}

// Web configures the API and the web UI.
type Web struct {
	Listen  []netip.Addr `json:"listen,omitempty"`  // of the UI
	UIPort  uint16       `json:"uiPort,omitempty"`  // default: 8081
	APIPort uint16       `json:"apiPort,omitempty"` // on 127.0.0.1; default: 3000
	// MailPort and FilesPort lead to the UI's webmail and file manager.
	MailPort  uint16 `json:"mailPort,omitempty"`  // default: 8888
	FilesPort uint16 `json:"filesPort,omitempty"` // default: 8082
}

// A Duration is a time.Duration that reads and writes as "12h0m0s".
type Duration time.Duration

func (d Duration) MarshalText() ([]byte, error) { return []byte(time.Duration(d).String()), nil }

func (d *Duration) UnmarshalText(b []byte) error {
	v, err := time.ParseDuration(string(b))
	*d = Duration(v)
	return err
}

// On reports whether a switch of a resolved document is on. Unset is off.
func On(b *bool) bool { return b != nil && *b }

// Peer returns the peer of that name, or nil.
func (d *Document) Peer(name string) *Peer {
	return find(d.Peers, func(p *Peer) bool { return p.Name == name })
}

// User returns the user of that name, or nil.
func (d *Document) User(name string) *User {
	return find(d.Users, func(u *User) bool { return u.Name == name })
}

func find[T any](all []T, is func(*T) bool) *T {
	i := slices.IndexFunc(all, func(v T) bool { return is(&v) })
	if i < 0 {
		return nil
	}
	return &all[i]
}
