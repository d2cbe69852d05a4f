package wire

import (
	"net/netip"
	"time"
)

// Router is the line to the provider and the LAN; without them the cell is a
// server on somebody else's LAN.
type Router struct {
	Enabled bool       `json:"enabled"`
	WAN     *RouterWAN `json:"wan,omitempty"`
	LAN     *RouterLAN `json:"lan,omitempty"`
	Shaping *Shaping   `json:"shaping,omitempty" doc:"Left out where the line is not shaped"`
}

// A RouterWAN is the line to the provider.
type RouterWAN struct {
	Interface  string         `json:"interface"`
	Method     string         `json:"method" enum:"dhcp,static"`
	Plugged    bool           `json:"plugged" doc:"The cable carries"`
	Address    netip.Prefix   `json:"address,omitzero"`
	Gateway    netip.Addr     `json:"gateway,omitzero"`
	Addresses6 []netip.Prefix `json:"addresses6"`
	Gateway6   netip.Addr     `json:"gateway6,omitzero"`
	DNS        []netip.Addr   `json:"dns" doc:"The provider's; asked where dns.upstreams is left open"`
	State      string         `json:"state,omitempty" doc:"Of the DHCP client: init, selecting, requesting, checking, bound, renewing, rebinding or rebooting"`
	Lease      *WANLease      `json:"lease,omitempty"`
	State6     string         `json:"state6,omitempty" doc:"Of the DHCPv6 client: idle, soliciting, requesting, bound, renewing or rebinding"`
	Lease6     *WANLease      `json:"lease6,omitempty"`
	Prefixes   []Delegated    `json:"prefixes" doc:"Of which the LAN has the first /64 each"`
}

// A WANLease is what the provider gave for a time.
type WANLease struct {
	Server string    `json:"server,omitempty"`
	Got    time.Time `json:"got"`
	Renew  time.Time `json:"renew" doc:"When its server is asked for more time"`
	Rebind time.Time `json:"rebind" doc:"When any server is"`
	Until  time.Time `json:"until"`
}

// A Delegated is an IPv6 prefix from the provider.
type Delegated struct {
	Prefix    netip.Prefix `json:"prefix"`
	Preferred time.Time    `json:"preferred" doc:"Until when devices use it for what is new"`
	Until     time.Time    `json:"until"`
}

// A RouterLAN is the household's side.
type RouterLAN struct {
	Interface string         `json:"interface"`
	Bridge    []string       `json:"bridge" doc:"The cards that together are the LAN"`
	Addresses []netip.Prefix `json:"addresses" doc:"The cell's"`
}

// Shaping is how the line's queue is kept short.
type Shaping struct {
	Up    int    `json:"up" doc:"kbit/s; 0: not shaped"`
	Down  int    `json:"down" doc:"kbit/s; 0: not shaped"`
	Queue string `json:"queue" enum:"cake,fq_codel,fifo"`
	Where string `json:"where,omitempty" doc:"Where what comes in is shaped: ifb, or lan where the kernel has no IFB"`
}
