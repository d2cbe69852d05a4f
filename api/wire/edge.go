package wire

import (
	"net/netip"
	"time"
)

// Edge is what the cell has of the routers and services around it.
type Edge struct {
	Upstream UpstreamPort `json:"upstream"`
	Mappings []PortMapped `json:"mappings" doc:"Ports of the WAN that devices opened by NAT-PMP or PCP"`
	Names    []PublicName `json:"names" doc:"Public names that follow the cell's address"`
}

// An UpstreamPort is the VPN's port at the router before the cell.
type UpstreamPort struct {
	Asked    bool           `json:"asked" doc:"wireguard.openPort is on"`
	Method   string         `json:"method,omitempty" enum:"PCP,NAT-PMP,UPnP" doc:"Left out while no port is open"`
	Gateway  netip.Addr     `json:"gateway,omitzero"`
	External netip.AddrPort `json:"external,omitzero" doc:"Where the internet finds the port"`
	Until    time.Time      `json:"until,omitzero" doc:"Renewed before that"`
	Shared   bool           `json:"shared" doc:"The router's own address is not the internet's: calls do not come through"`
	Error    string         `json:"error,omitempty"`
}

// A PortMapped is a port that a device opened for itself.
type PortMapped struct {
	Protocol string         `json:"protocol" enum:"tcp,udp"`
	Port     uint16         `json:"port" doc:"Of the WAN"`
	To       netip.AddrPort `json:"to"`
	Until    time.Time      `json:"until"`
}

// A PublicName is a name at a service of dynamic DNS.
type PublicName struct {
	Name    string     `json:"name"`
	Four    netip.Addr `json:"four,omitzero" doc:"What the service was told last"`
	Six     netip.Addr `json:"six,omitzero"`
	Updated time.Time  `json:"updated,omitzero"`
	Stopped bool       `json:"stopped" doc:"Nothing more is tried until the document changes"`
	Error   string     `json:"error,omitempty"`
}

// NewDynamicName is a name at a service of dynamic DNS, which has to follow the
// cell's public address.
type NewDynamicName struct {
	Protocol string   `json:"protocol,omitempty" enum:"dyndns2,rfc2136" doc:"Default: dyndns2"`
	Server   string   `json:"server" maxLength:"512" doc:"The https URL of dyndns2, or host:port of the name server" example:"https://dyn.example/nic/update"`
	User     string   `json:"user,omitempty" maxLength:"253" doc:"Of dyndns2; with rfc2136 the name of the TSIG key"`
	Password string   `json:"password,omitempty" maxLength:"1024" doc:"Or the TSIG key in base64. It goes into the vault and is never shown again; left out, that of before stays"`
	Zone     string   `json:"zone,omitempty" maxLength:"253" doc:"Of rfc2136; default: the name's parent"`
	Families []string `json:"families,omitempty" maxItems:"2" doc:"4 and 6; default: both"`
	Disabled bool     `json:"disabled,omitempty"`
}

// Wake names the device to wake up: one of both.
type Wake struct {
	Name string `json:"name,omitempty" maxLength:"63" doc:"A peer with a hardware address, a reservation, or a host name that has a lease"`
	MAC  string `json:"mac,omitempty" maxLength:"17" example:"02:00:5e:10:20:30"`
}

// Woken says whom the cell called.
type Woken struct {
	MAC string `json:"mac"`
}

// A ReachStep is one step of the self-test of the VPN's endpoint.
type ReachStep struct {
	Name    string `json:"name" enum:"endpoint,address,port,calls"`
	Outcome string `json:"outcome" enum:"ok,bad,unknown"`
	Text    string `json:"text"`
	Fix     string `json:"fix,omitempty" doc:"What the owner can do"`
}
