package wire

import (
	"net/netip"
	"time"
)

// A Peer is a device that reaches the cell through the VPN, with what is known
// of its present state.
type Peer struct {
	Name          string         `json:"name"`
	Owner         string         `json:"owner,omitempty"`
	Device        string         `json:"device,omitempty" doc:"phone, laptop, desktop, tablet, tv, server, router or other"`
	Address       netip.Addr     `json:"address"`
	Address6      netip.Addr     `json:"address6,omitzero"`
	PublicKey     string         `json:"publicKey"`
	HasConfig     bool           `json:"hasConfig" doc:"The cell made its key, so that /config and /qr are whole"`
	Disabled      bool           `json:"disabled"`
	Expires       time.Time      `json:"expires,omitzero" doc:"It is shut out from then on"`
	Expired       bool           `json:"expired" doc:"That time has come"`
	Split         bool           `json:"split" doc:"Its .conf routes only the cell's networks into the tunnel"`
	DNS           []netip.Addr   `json:"dns,omitempty" doc:"Of its .conf; absent: the cell"`
	Keepalive     int            `json:"keepalive" doc:"Seconds, of its .conf; negative: none"`
	MAC           string         `json:"mac,omitempty" doc:"To wake it up"`
	Site          []netip.Prefix `json:"site,omitempty" doc:"Networks behind the device"`
	Groups        []string       `json:"groups,omitempty" doc:"Its own; its owner's count, too"`
	Internet      bool           `json:"internet"`
	LAN           bool           `json:"lan"`
	Services      []string       `json:"services" doc:"Names of services of the cell, or all, or none"`
	Peers         []string       `json:"peers" doc:"Names of other devices and groups, or all, or none"`
	Cells         []string       `json:"cells" doc:"Names of linked cells, or all, or none"`
	Exit          string         `json:"exit,omitempty" doc:"Absent: the cell's own line"`
	Fallback      bool           `json:"fallback" doc:"It may use the cell's own line while its exit is down"`
	Rights        []Right        `json:"rights" doc:"The same, one by one, with where each comes from"`
	May           string         `json:"may" doc:"The same in one sentence"`
	Reinstall     []string       `json:"reinstall,omitempty" doc:"Why the device needs its file anew"`
	Given         time.Time      `json:"given,omitzero" doc:"When it was given its file last"`
	Link          time.Time      `json:"link,omitzero" doc:"Until when its one-time link is good; absent: it has none"`
	NextKey       string         `json:"nextKey,omitempty" doc:"Public key that it is to change to"`
	NextUntil     time.Time      `json:"nextUntil,omitzero" doc:"Until when its present key is good"`
	Connected     bool           `json:"connected"`
	Endpoint      string         `json:"endpoint,omitempty" doc:"Where it was last heard from, over restarts of the cell"`
	LastHandshake time.Time      `json:"lastHandshake,omitzero" doc:"Over restarts of the cell"`
	RxBytes       uint64         `json:"rxBytes" doc:"Received from the device since the tunnel came up"`
	TxBytes       uint64         `json:"txBytes" doc:"Sent to the device since the tunnel came up"`
	RxTotal       uint64         `json:"rxTotal" doc:"Received from the device, ever"`
	TxTotal       uint64         `json:"txTotal" doc:"Sent to the device, ever"`
	RxRate        float64        `json:"rxRate" doc:"Bytes a second from the device, now"`
	TxRate        float64        `json:"txRate" doc:"Bytes a second to the device, now"`
}

// A Right is one of those of a device.
type Right struct {
	Name   string   `json:"name" enum:"internet,lan,services,peers,cells,exit,fallback"`
	Text   string   `json:"text" doc:"In words, such as: the LAN"`
	Source string   `json:"source" enum:"own,group,default" doc:"Where it comes from"`
	Groups []string `json:"groups,omitempty" doc:"The groups that it comes from"`
}

// PeerRights are what an administrator gives a device or a group. What is left
// out stays; what a device has not comes from its groups and the defaults.
type PeerRights struct {
	Internet *bool     `json:"internet,omitempty" doc:"May reach the internet through the cell or its exit; default: yes"`
	LAN      *bool     `json:"lan,omitempty" doc:"May reach the LAN; default: yes"`
	Services *[]string `json:"services,omitempty" maxItems:"64" doc:"Services of this cell: dns, ntp, web, proxy, mail; all or none; default: all"`
	Peers    *[]string `json:"peers,omitempty" maxItems:"256" doc:"Other devices and groups, by name; all or none; default: none"`
	Cells    *[]string `json:"cells,omitempty" maxItems:"256" doc:"Linked cells, by name; all or none; default: all"`
	Exit     *string   `json:"exit,omitempty" maxLength:"63" doc:"An exit by which its internet goes; none: the cell's own line, whatever groups say"`
	Fallback *bool     `json:"fallback,omitempty" doc:"May use the cell's own line while its exit is down; default: no"`
	Inherit  []string  `json:"inherit,omitempty" maxItems:"7" enum:"internet,lan,services,peers,cells,exit,fallback" doc:"Rights that come from groups and defaults again"`
}

// NewPeer adds a device.
type NewPeer struct {
	Name      string         `json:"name" minLength:"1" maxLength:"63" doc:"One DNS label"`
	Owner     string         `json:"owner,omitempty" maxLength:"64" doc:"A user's name; default for the role user: themselves"`
	Endpoint  string         `json:"endpoint,omitempty" maxLength:"260" doc:"host:port that the device dials; default: wireguard.endpoint"`
	PublicKey string         `json:"publicKey,omitempty" maxLength:"44" doc:"Base64; left out, the cell makes the key pair and keeps the private key"`
	Address   netip.Addr     `json:"address,omitzero" doc:"Default: the next free one"`
	Split     bool           `json:"split,omitempty" doc:"Its configuration routes only the cell's networks into the tunnel"`
	Device    string         `json:"device,omitempty" maxLength:"20" doc:"phone, laptop, desktop, tablet, tv, server, router or other"`
	MAC       string         `json:"mac,omitempty" maxLength:"17"`
	DNS       []netip.Addr   `json:"dns,omitempty" maxItems:"4" doc:"Name servers of its configuration; default: the cell"`
	Keepalive int            `json:"keepalive,omitempty" doc:"Seconds, of its configuration; default: 25; negative: none"`
	Expires   time.Time      `json:"expires,omitzero" doc:"It is shut out from then on; default: never"`
	Site      []netip.Prefix `json:"site,omitempty" maxItems:"32" doc:"Networks behind the device"`
	Groups    []string       `json:"groups,omitempty" maxItems:"50"`
	Link      bool           `json:"link,omitempty" doc:"Make no configuration but a one-time link by which the device enrols itself"`
	LinkHours int            `json:"linkHours,omitempty" minimum:"1" maximum:"720" doc:"How long the link is good; default: 24"`
	PeerRights
}

// PeerEdit changes a device. What is left out stays as it is.
type PeerEdit struct {
	Name      *string         `json:"name,omitempty" minLength:"1" maxLength:"63"`
	Owner     *string         `json:"owner,omitempty" maxLength:"64"`
	Address   *netip.Addr     `json:"address,omitempty"`
	Disabled  *bool           `json:"disabled,omitempty"`
	Split     *bool           `json:"split,omitempty"`
	Device    *string         `json:"device,omitempty" maxLength:"20"`
	MAC       *string         `json:"mac,omitempty" maxLength:"17"`
	DNS       *[]netip.Addr   `json:"dns,omitempty" maxItems:"4"`
	Keepalive *int            `json:"keepalive,omitempty"`
	Expires   *time.Time      `json:"expires,omitempty" doc:"0001-01-01T00:00:00Z: never"`
	Site      *[]netip.Prefix `json:"site,omitempty" maxItems:"32"`
	Groups    *[]string       `json:"groups,omitempty" maxItems:"50"`
	PeerRights
}

// PeerOutcome is the device after an edit. Config is given when it is made.
type PeerOutcome struct {
	Peer   *Peer      `json:"peer,omitempty"`
	Config string     `json:"config,omitempty" doc:"The .conf for wg-quick and the apps"`
	Link   *EnrolLink `json:"link,omitempty"`
	Note   string     `json:"note,omitempty" doc:"What the owner should know of the .conf"`
	Outcome
}

// NewLink asks for a one-time link of a device.
type NewLink struct {
	Hours    int    `json:"hours,omitempty" minimum:"1" maximum:"720" doc:"How long it is good; default: 24"`
	Endpoint string `json:"endpoint,omitempty" maxLength:"260" doc:"host:port that the device dials; default: wireguard.endpoint"`
}

// EnrolLink lets a device enrol, once. The cell keeps only a hash of it.
type EnrolLink struct {
	URL     string    `json:"url" doc:"To be opened on the device. The token is in the fragment, which browsers send to nobody"`
	Plain   string    `json:"plain,omitempty" doc:"The same by the cell's address, for a device that does not know its name"`
	Expires time.Time `json:"expires"`
}

// Rotation asks for new keys of a device.
type Rotation struct {
	PublicKey string `json:"publicKey,omitempty" maxLength:"44" doc:"Base64, of a key that the device made; left out, the cell makes the pair"`
	Hours     *int   `json:"hours,omitempty" minimum:"0" maximum:"720" doc:"How long the former key is good unless the new one is used before; default: 168, 0: not at all"`
	Endpoint  string `json:"endpoint,omitempty" maxLength:"260" doc:"host:port that the device dials; default: wireguard.endpoint"`
}

// CellRotation is what a new key of the cell leads to.
type CellRotation struct {
	PublicKey string   `json:"publicKey,omitempty" doc:"The new one"`
	Peers     []string `json:"peers" doc:"Devices that are cut off until they have their files anew"`
	Links     []string `json:"links" doc:"Linked cells that must be told the new key"`
	Text      string   `json:"text" doc:"What it means, in words"`
	Outcome
}

// Enrol is what the page of a link sends.
type Enrol struct {
	Token     string `json:"token" minLength:"1" maxLength:"128" doc:"The fragment of the link"`
	PublicKey string `json:"publicKey,omitempty" maxLength:"44" doc:"Base64, of a key that the device made; left out, the cell makes the pair and shows it this once"`
}

// EnrolToken is what the page of a link asks about.
type EnrolToken struct {
	Token string `json:"token" minLength:"1" maxLength:"128" doc:"The fragment of the link"`
}

// Enrolment is what a link is for.
type Enrolment struct {
	Name    string    `json:"name"`
	Device  string    `json:"device,omitempty"`
	Cell    string    `json:"cell"`
	By      string    `json:"by" doc:"Who made the link"`
	Expires time.Time `json:"expires"`
	Config  string    `json:"config,omitempty" doc:"The .conf; without a private key where the device made its own"`
	QR      string    `json:"qr,omitempty" doc:"The .conf as a picture, SVG; only where it is whole"`
}

// PeerHistory is what a device carried.
type PeerHistory struct {
	Step   int         `json:"stepSeconds"`
	Points []PeerPoint `json:"points" doc:"The oldest first, without steps in which nothing was carried"`
}

// A PeerPoint is one step of time.
type PeerPoint struct {
	Time    time.Time `json:"time"`
	RxBytes uint64    `json:"rxBytes" doc:"From the device"`
	TxBytes uint64    `json:"txBytes" doc:"To the device"`
}

// A Group gives rights to the devices that are in it.
type Group struct {
	Name   string     `json:"name"`
	Rights []Right    `json:"rights" doc:"Those that it says something about"`
	May    string     `json:"may" doc:"The same in one sentence"`
	Peers  []string   `json:"peers" doc:"Its devices"`
	Owners []string   `json:"owners" doc:"People all of whose devices are in it"`
	Chosen PeerRights `json:"chosen"`
}

// NewGroup adds a group.
type NewGroup struct {
	Name string `json:"name" minLength:"1" maxLength:"63" doc:"One DNS label"`
	PeerRights
}

// GroupEdit changes a group. What is left out stays.
type GroupEdit struct {
	Name *string `json:"name,omitempty" minLength:"1" maxLength:"63"`
	PeerRights
}

// LivePeer is what the event stream tells of a device.
type LivePeer struct {
	Name          string    `json:"name"`
	Connected     bool      `json:"connected"`
	Endpoint      string    `json:"endpoint,omitempty"`
	LastHandshake time.Time `json:"lastHandshake,omitzero"`
	RxBytes       uint64    `json:"rxBytes"`
	TxBytes       uint64    `json:"txBytes"`
	RxTotal       uint64    `json:"rxTotal"`
	TxTotal       uint64    `json:"txTotal"`
	RxRate        float64   `json:"rxRate"`
	TxRate        float64   `json:"txRate"`
}

// Explanation says what becomes of a connection, and why.
type Explanation struct {
	Allow bool          `json:"allow"`
	Text  string        `json:"text" doc:"The verdict in one sentence"`
	From  netip.Addr    `json:"from,omitzero"`
	To    netip.Addr    `json:"to,omitzero"`
	Steps []ExplainStep `json:"steps" doc:"In the order in which a packet meets them"`
}

// An ExplainStep is one of those who have a say.
type ExplainStep struct {
	What string `json:"what" enum:"from,to,name,device,policy,firewall,way,answer" doc:"Whose say it is"`
	OK   bool   `json:"ok" doc:"It stands in nobody's way"`
	Text string `json:"text"`
}
