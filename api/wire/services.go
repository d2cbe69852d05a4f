package wire

import (
	"net/netip"
	"time"

	"pic/core/config"
)

// NTP is the time server and what it compares its clock with.
type NTP struct {
	Enabled           bool         `json:"enabled"`
	Stratum           uint8        `json:"stratum" doc:"As told to clients; 0 while nothing is served"`
	Leap              uint8        `json:"leap" doc:"0 none, 1 a second more at the end of the month, 2 one less, 3 not to be relied on"`
	Synchronised      bool         `json:"synchronised" doc:"The host's kernel says that somebody keeps its clock right"`
	Source            string       `json:"source,omitempty" doc:"The source that is believed"`
	OffsetSeconds     float64      `json:"offsetSeconds" doc:"How far the clock is off, by that source"`
	DispersionSeconds float64      `json:"dispersionSeconds" doc:"How far off the cell says that it may be"`
	Served            uint64       `json:"served" doc:"Queries answered since the start"`
	Refused           uint64       `json:"refused" doc:"Queries refused or limited since the start"`
	Sources           []TimeSource `json:"sources"`
}

// A TimeSource is another time server.
type TimeSource struct {
	Name          string    `json:"name"`
	Address       string    `json:"address,omitempty"`
	State         string    `json:"state"`
	Selected      bool      `json:"selected"`
	OffsetSeconds float64   `json:"offsetSeconds"`
	DelaySeconds  float64   `json:"delaySeconds"`
	JitterSeconds float64   `json:"jitterSeconds"`
	Stratum       uint8     `json:"stratum"`
	Reach         uint8     `json:"reach" doc:"The last eight polls, a bit each"`
	LastSeen      time.Time `json:"lastSeen,omitzero"`
	Error         string    `json:"error,omitempty"`
}

// DHCP is the address server and its pool.
type DHCP struct {
	Enabled   bool       `json:"enabled"`
	Interface string     `json:"interface"`
	First     netip.Addr `json:"first,omitzero"`
	Last      netip.Addr `json:"last,omitzero"`
	Size      int        `json:"size" doc:"Addresses in the pool"`
	Used      int        `json:"used" doc:"Addresses of the pool that are taken now"`
}

// A Lease is an address that a device has.
type Lease struct {
	Address  netip.Addr `json:"address"`
	MAC      string     `json:"mac"`
	ClientID string     `json:"clientID,omitempty" doc:"Hexadecimal, where the device sends one"`
	Name     string     `json:"name,omitempty" doc:"What the device calls itself, or its reservation"`
	State    string     `json:"state" enum:"leased,free,declined"`
	Expires  time.Time  `json:"expires"`
	Reserved bool       `json:"reserved"`
}

// Email is the mail server.
type Email struct {
	Enabled   bool              `json:"enabled"`
	Domains   []string          `json:"domains"`
	Mailboxes []Mailbox         `json:"mailboxes" doc:"For the role user: their own"`
	Ports     map[string]uint16 `json:"ports" doc:"smtp, submission, submissions, imaps"`
	Smarthost *Smarthost        `json:"smarthost,omitempty" doc:"That sends mail on to other places"`
}

// A Mailbox is all mail of one person.
type Mailbox struct {
	User      string `json:"user"`
	Messages  int    `json:"messages"`
	Unseen    int    `json:"unseen"`
	Bytes     int64  `json:"bytes" doc:"Of the messages"`
	DiskBytes int64  `json:"diskBytes" doc:"Of all bodies on disk, those of deleted messages too"`
	Suspended bool   `json:"suspended" doc:"Of somebody who was disabled or removed"`
}

// Calendar lists calendars and address books.
type Calendar struct {
	Collections []Collection `json:"collections"`
}

// A Collection is a calendar or an address book.
type Collection struct {
	Owner   string `json:"owner"`
	Name    string `json:"name"`
	Kind    string `json:"kind" enum:"calendar,contacts"`
	Display string `json:"display"`
	Color   string `json:"color,omitempty" doc:"#RRGGBBAA"`
	Objects int    `json:"objects"`
	URL     string `json:"url" doc:"Path of the collection, for CalDAV and CardDAV clients"`
}

// A Listing is a folder of the caller's files.
type Listing struct {
	Path    string      `json:"path"`
	Entries []FileEntry `json:"entries" doc:"Folders first, by name"`
}

// A FileEntry is a file or a folder.
type FileEntry struct {
	Name     string    `json:"name"`
	Dir      bool      `json:"dir"`
	Size     int64     `json:"size" doc:"Bytes; 0 for folders"`
	Modified time.Time `json:"modified"`
}

// Routing is where requests and packets go.
type Routing struct {
	Routes   []RouteState  `json:"routes"`
	Own      []OwnHost     `json:"own" doc:"Names at which the cell itself answers"`
	NAT      []string      `json:"nat" doc:"In words, what is translated on the way out"`
	Kernel   []KernelRoute `json:"kernel" doc:"The host's main routing table, and those of the exits"`
	Rules    []RoutingRule `json:"rules" doc:"Which packets look into which table, beyond what every host has"`
	Forwards []PortForward `json:"forwards" doc:"The document's port forwards"`
}

// A KernelRoute is an entry of the host's routing tables.
type KernelRoute struct {
	To          netip.Prefix `json:"to" doc:"0.0.0.0/0 or ::/0: the default"`
	Via         netip.Addr   `json:"via,omitzero" doc:"Left out: directly"`
	Interface   string       `json:"interface,omitempty"`
	Source      netip.Addr   `json:"source,omitzero"`
	Metric      int          `json:"metric"`
	Table       int          `json:"table" doc:"254 is the main one"`
	Origin      string       `json:"origin" doc:"pic, kernel, dhcp, ra, static, boot or a number"`
	Unreachable bool         `json:"unreachable,omitempty"`
}

// A RoutingRule says which packets look into which table.
type RoutingRule struct {
	Priority  int          `json:"priority"`
	From      netip.Prefix `json:"from,omitzero"`
	To        netip.Prefix `json:"to,omitzero"`
	Mark      string       `json:"mark,omitempty" doc:"mark/mask, in hexadecimal"`
	Interface string       `json:"interface,omitempty" doc:"By which they come in"`
	Table     int          `json:"table"`
	Six       bool         `json:"six" doc:"Of IPv6"`
}

// A PortForward leads a port of the WAN to a device.
type PortForward struct {
	Name     string         `json:"name"`
	Protocol string         `json:"protocol"`
	Port     uint16         `json:"port"`
	Last     uint16         `json:"last" doc:"Of a range; else the port"`
	To       netip.AddrPort `json:"to"`
	Disabled bool           `json:"disabled"`
}

// A RouteState is a route of the proxy and how it is doing.
type RouteState struct {
	Name     string        `json:"name" doc:"Of the route in the document"`
	Host     string        `json:"host"`
	Upstream string        `json:"upstream"`
	Access   config.Access `json:"access"`
	OK       bool          `json:"ok" doc:"The server answered last time, or was not asked yet"`
	Error    string        `json:"error,omitempty"`
	Since    time.Time     `json:"since,omitzero" doc:"When it stopped to answer"`
	Requests int64         `json:"requests"`
	Active   int64         `json:"active" doc:"Requests and websockets under way"`
}

// An OwnHost is a name at which the cell answers.
type OwnHost struct {
	Host string `json:"host"`
	What string `json:"what" doc:"The label of the service"`
}

// Cells are the other cells that this one trusts.
type Cells struct {
	Links []config.Link `json:"links"`
}
