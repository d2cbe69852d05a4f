package wire

import (
	"net/netip"
	"time"
)

// Firewall is the packet filter as it is in force. A trial has none: then there
// are no zones and no rules.
type Firewall struct {
	Router   bool           `json:"router" doc:"The cell filters between LAN and WAN; else only what touches the VPN"`
	Zones    []Zone         `json:"zones"`
	Rules    []FirewallRule `json:"rules" doc:"In the order of the table inet pic"`
	Forwards []Forward      `json:"forwards"`
	Mappings []Mapping      `json:"mappings" doc:"Ports that devices opened for themselves"`
	Blocked  []Blocked      `json:"blocked"`
	Foreign  []ForeignDrop  `json:"foreign" doc:"What other firewalls of the host drop of ours"`
}

// A Zone is a side of the cell.
type Zone struct {
	Name       string         `json:"name" enum:"wan,lan,vpn,cell"`
	Interface  string         `json:"interface,omitempty" doc:"Empty: any that no other zone names"`
	Nets       []netip.Prefix `json:"nets"`
	Connection string         `json:"connection" doc:"In words, what may be opened from there"`
}

// A FirewallRule is a rule of the table with what it has met so far.
type FirewallRule struct {
	Chain   string `json:"chain"`
	Handle  uint64 `json:"handle" doc:"The kernel's, which is another after the rule was made anew"`
	Name    string `json:"name,omitempty"`
	Text    string `json:"text" doc:"In the language of nft"`
	Packets uint64 `json:"packets"`
	Bytes   uint64 `json:"bytes"`
}

// A Forward is a port forward of the document.
type Forward struct {
	Name     string         `json:"name"`
	Protocol string         `json:"protocol" enum:"tcp,udp,both"`
	Port     uint16         `json:"port"`
	Last     uint16         `json:"last"`
	To       netip.Addr     `json:"to"`
	ToPort   uint16         `json:"toPort"`
	From     []netip.Prefix `json:"from"`
	Disabled bool           `json:"disabled"`
	Packets  uint64         `json:"packets" doc:"Connections that were opened by it"`
}

// A Mapping is a port that a device opened for itself.
type Mapping struct {
	Protocol string         `json:"protocol" enum:"tcp,udp"`
	Port     uint16         `json:"port"`
	To       netip.AddrPort `json:"to"`
	Until    time.Time      `json:"until"`
}

// Blocked are addresses that are shut out.
type Blocked struct {
	Net    netip.Prefix `json:"net"`
	Reason string       `json:"reason,omitempty"`
	Until  time.Time    `json:"until,omitzero" doc:"Left out: for good"`
	Own    bool         `json:"own" doc:"By the cell itself, until it stops; else in the document"`
}

// NewBlock shuts out addresses.
type NewBlock struct {
	Net     string `json:"net" maxLength:"49" doc:"An address or a network" example:"203.0.113.0/24"`
	Reason  string `json:"reason,omitempty" maxLength:"200"`
	Minutes int    `json:"minutes,omitempty" minimum:"0" maximum:"5256000" doc:"Default: for good"`
}

// A ForeignDrop is a chain of another program that drops what ours lets pass.
type ForeignDrop struct {
	Chain string `json:"chain" example:"ip filter FORWARD"`
	What  string `json:"what"`
	Fix   string `json:"fix" doc:"The command that lets it pass"`
}
