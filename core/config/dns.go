package config

import "net/netip"

// DNS configures dnssrv.
type DNS struct {
	Enabled *bool        `json:"enabled,omitempty"` // default: on
	Listen  []netip.Addr `json:"listen,omitempty"`
	Port    uint16       `json:"port,omitempty"` // default: 53, trial 10053

	// TLS serves DNS over TLS (RFC 7858) and QUIC (RFC 9250) on TLSPort.
	TLS     *bool  `json:"tls,omitempty"`     // default: on
	TLSPort uint16 `json:"tlsPort,omitempty"` // default: 853, trial 10853
	// HTTPS serves DNS over HTTPS (RFC 8484) at /dns-query of the proxy.
	HTTPS *bool `json:"https,omitempty"` // default: on

	// Resolver says how all other names are found out. Default: forward.
	Resolver Resolving `json:"resolver,omitempty"`
	// Roots are where the servers of the root are that recursion begins with, as
	// addresses with or without a port. Default: the world's.
	Roots []string `json:"roots,omitempty"`
	// Upstreams are resolvers that find out all other names: an address with or
	// without a port, or a URL with tcp, tls, https or quic, such as
	// tls://dns.quad9.net#9.9.9.9, where the part after # saves asking for the
	// address. Default: those of resolv.conf. Nobody asks them with recurse.
	Upstreams []string  `json:"upstreams,omitempty"`
	Forwards  []Forward `json:"forwards,omitempty"` // domains that others are asked about

	Validate Validation `json:"validate,omitempty"` // of DNSSEC; default: auto
	// Anchors are trust anchors besides that of the root, as DS records:
	// "example. DS 12345 13 2 0123…". One for "." replaces the built-in one.
	Anchors []string `json:"anchors,omitempty"`
	// Stale is how long after its time an answer may still be told while no
	// upstream answers (RFC 8767). Default: 24h.
	Stale Duration `json:"stale,omitzero"`
	// Rebind takes private addresses out of what upstreams answer.
	Rebind *bool `json:"rebind,omitempty"` // default: on
	// Private are domains whose names may have private addresses all the same.
	Private []string `json:"private,omitempty"`
	// DNS64 is the prefix by which hosts with IPv6 only reach IPv4 (RFC 6147),
	// such as 64:ff9b::/96. Default: none.
	DNS64 netip.Prefix `json:"dns64,omitzero"`

	Rate      *int `json:"rate,omitempty"`      // queries per second of one client; 0: no limit; default: 1000
	Responses *int `json:"responses,omitempty"` // equal answers per second to a network beyond LAN and VPN; 0: no limit; default: 20

	Records []Record    `json:"records,omitempty"` // added to the cell's own zone
	Own     ZoneOptions `json:"own,omitzero"`      // how the cell's own zone is served
	Zones   []Zone      `json:"zones,omitempty"`   // further zones that the cell answers for
	Keys    []TSIGKey   `json:"keys,omitempty"`    // shared with other name servers and programs

	Filter Filter   `json:"filter,omitzero"`
	Log    QueryLog `json:"log,omitzero"`
}

// A Resolving says how names that the cell does not know are found out.
type Resolving string

const (
	// ResolveForward asks the upstreams.
	ResolveForward Resolving = "forward"
	// ResolveRecurse asks the servers of the zones themselves, from the root down.
	ResolveRecurse Resolving = "recurse"
)

// A Validation says whether answers of upstreams are checked by DNSSEC.
type Validation string

const (
	// ValidateAuto checks as long as an upstream passes signatures on. Who can
	// strip them from the path can thus switch it off.
	ValidateAuto Validation = "auto"
	ValidateOn   Validation = "on"
	ValidateOff  Validation = "off"
)

// A Forward sends the questions about a domain, and all below it, to resolvers
// of its own and never to any others.
type Forward struct {
	Name      string   `json:"name"` // the domain
	Upstreams []string `json:"upstreams"`
	// Tunnel asks them through the VPN alone.
	Tunnel bool `json:"tunnel,omitempty"`
	// Validate checks the domain by DNSSEC; default: no, since most such domains
	// exist within a house only.
	Validate bool `json:"validate,omitempty"`
}

// A Zone is a domain that the cell answers for besides its own.
type Zone struct {
	Name    string      `json:"name"` // such as example.home.arpa
	Records []Record    `json:"records,omitempty"`
	Options ZoneOptions `json:"options,omitzero"`
	// Primaries are the name servers from which the zone is transferred. Then it
	// has no records of its own.
	Primaries []NameServer `json:"primaries,omitempty"`
}

// ZoneOptions say how a zone is served.
type ZoneOptions struct {
	Sign        bool         `json:"sign,omitempty"`        // by DNSSEC
	Secondaries []NameServer `json:"secondaries,omitempty"` // told of changes; may transfer the zone
	Updates     []Update     `json:"updates,omitempty"`     // who may change it (RFC 2136)
}

// A NameServer is another server of a zone.
type NameServer struct {
	Address string `json:"address"`       // IP or IP:port
	Key     string `json:"key,omitempty"` // name of the TSIG key that is shared with it
}

// An Update lets whoever has a key change some records of a zone.
type Update struct {
	Key   string   `json:"key"`
	Names []string `json:"names"`           // relative to the zone; "*" within stands for anything: _acme-challenge*
	Types []string `json:"types,omitempty"` // default: every type but SOA, NS, DNSKEY
}

// A TSIGKey is a secret that is shared with another name server (RFC 8945).
type TSIGKey struct {
	Name      string `json:"name"`                // as both sides write it, in lower case
	Algorithm string `json:"algorithm,omitempty"` // default: hmac-sha256
	Secret    Secret `json:"secret"`
}

// A Record is one DNS record in presentation format.
type Record struct {
	Name  string `json:"name"` // relative to the zone; @ is the zone itself
	Type  string `json:"type"` // A, AAAA, CNAME, DNAME, TXT, MX, SRV, CAA, NS, PTR, ..., or TYPE and a number
	TTL   uint32 `json:"ttl,omitempty"`
	Value string `json:"value"`
}

// Filter says what the household does not want to resolve.
type Filter struct {
	Enabled  *bool     `json:"enabled,omitempty"`  // default: on
	Answer   Blocking  `json:"answer,omitempty"`   // default: null
	Refresh  Duration  `json:"refresh,omitzero"`   // of lists; default: 24h
	Lists    []List    `json:"lists,omitempty"`    // of others
	Rules    []string  `json:"rules,omitempty"`    // the household's own, before all lists: a name, or adblock syntax
	Rewrites []Rewrite `json:"rewrites,omitempty"` // names that lead elsewhere
	// SafeSearch leads search engines and YouTube to their strict versions.
	SafeSearch bool     `json:"safeSearch,omitempty"`
	Services   []string `json:"services,omitempty"` // ids of services that are blocked, such as tiktok
	Groups     []Group  `json:"groups,omitempty"`
	Clients    []Client `json:"clients,omitempty"`
}

// A Blocking is what is answered for a blocked name.
type Blocking string

const (
	BlockNull     Blocking = "null"     // 0.0.0.0 and ::
	BlockNXDomain Blocking = "nxdomain" // there is no such name
	BlockNoData   Blocking = "nodata"   // the name has no such record
	BlockRefused  Blocking = "refused"
)

// A List is a list of names that somebody else keeps.
type List struct {
	Name     string `json:"name"`
	URL      string `json:"url"`                // https://…, http://… or the path of a file
	Allow    bool   `json:"allow,omitempty"`    // its names are let through
	Disabled bool   `json:"disabled,omitempty"` // kept, not used
	Rewrite  bool   `json:"rewrite,omitempty"`  // its rules may lead names to other names and addresses
}

// A Rewrite answers for a name with something else.
type Rewrite struct {
	Domain string `json:"domain"` // a name; *.name is all below it
	Value  string `json:"value"`  // an address, another name, or NXDOMAIN
}

// A Group is what counts for some clients, on top of what counts for everybody.
type Group struct {
	Name       string     `json:"name"`
	Off        bool       `json:"off,omitempty"`   // nothing is filtered
	Lists      []string   `json:"lists,omitempty"` // names of lists; default: every list
	Rules      []string   `json:"rules,omitempty"`
	Rewrites   []Rewrite  `json:"rewrites,omitempty"`
	SafeSearch *bool      `json:"safeSearch,omitempty"` // default: as for everybody
	Services   []string   `json:"services,omitempty"`   // blocked too
	Schedules  []Schedule `json:"schedules,omitempty"`
	Unlogged   bool       `json:"unlogged,omitempty"` // its queries are not in the query log
}

// A Schedule blocks at certain times.
type Schedule struct {
	Days []string `json:"days,omitempty"` // mon to sun; default: every day
	From string   `json:"from"`           // 21:30, in the host's time zone
	To   string   `json:"to"`             // before From: the next morning
	// Services are blocked meanwhile; empty: everything outside of the house.
	Services []string `json:"services,omitempty"`
}

// A Client is a device, or several, that rules can be about.
type Client struct {
	Name string `json:"name"`
	// IDs tell it by: an address, a network, a MAC address, peer:NAME for a device
	// of the VPN, user:NAME for all of a person's, or id:LABEL for what it says
	// itself, as /dns-query/LABEL or LABEL.dns.<domain>.
	IDs    []string `json:"ids"`
	Groups []string `json:"groups,omitempty"`
}

// QueryLog says what is kept of queries.
type QueryLog struct {
	Enabled   *bool    `json:"enabled,omitempty"`   // default: on
	Keep      Duration `json:"keep,omitzero"`       // default: 168h
	MaxSize   int64    `json:"maxSize,omitempty"`   // bytes on disk; default: 256 MiB
	Anonymise bool     `json:"anonymise,omitempty"` // keep networks (/24, /56) instead of addresses
}
