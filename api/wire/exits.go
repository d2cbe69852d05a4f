package wire

import (
	"net/netip"
	"time"
)

// An Exit is another way to the internet.
type Exit struct {
	Name      string         `json:"name"`
	Link      string         `json:"link,omitempty" doc:"The linked cell that it is; absent: a WireGuard provider"`
	State     string         `json:"state" enum:"up,down,off" doc:"Off: disabled, or there is no VPN"`
	Since     *time.Time     `json:"since,omitempty" doc:"Up or down since then"`
	Trouble   string         `json:"trouble,omitempty" doc:"Why it cannot be had at all"`
	Interface string         `json:"interface,omitempty"`
	Endpoint  string         `json:"endpoint,omitempty" doc:"As the provider gave it"`
	Address   netip.Addr     `json:"address,omitzero" doc:"Public address of its other end, as far as known; what the internet sees may be another"`
	Addresses []netip.Prefix `json:"addresses" doc:"The cell's, within the tunnel"`
	DNS       []netip.Addr   `json:"dns" doc:"Asked about names for the devices that use it"`
	IPv4      bool           `json:"ipv4" doc:"It carries IPv4"`
	IPv6      bool           `json:"ipv6" doc:"It carries IPv6; if not, devices that use it have none"`
	Handshake *time.Time     `json:"handshake,omitempty" doc:"The last"`
	Received  uint64         `json:"received" doc:"Bytes since the start; of a linked cell, all traffic with it"`
	Sent      uint64         `json:"sent"`
	Peers     []string       `json:"peers" doc:"Devices whose internet goes this way"`
	Fallback  []string       `json:"fallback" doc:"Those of them that go by the cell's own line while it is down; the others have no internet then"`
	Groups    []string       `json:"groups" doc:"Groups whose devices it is meant for"`
	Disabled  bool           `json:"disabled"`
}

// An ExitEdit changes what it has of an exit.
type ExitEdit struct {
	Disabled *bool         `json:"disabled,omitempty" doc:"Devices that use it are as if it were down"`
	DNS      *[]netip.Addr `json:"dns,omitempty" doc:"Name servers to ask by it"`
}

// A NewExit is an exit to add: either of conf and link is given.
type NewExit struct {
	Name string `json:"name" doc:"One DNS label"`
	Conf string `json:"conf,omitempty" maxLength:"16384" doc:"The provider's .conf. Its keys go into the vault"`
	Link string `json:"link,omitempty" doc:"A linked cell that lets this one out"`
}
