package wire

import (
	"net/netip"
	"time"
)

// A Peer is a device that reaches the cell through the VPN, with what is known
// of its present state.
type Peer struct {
	Name          string     `json:"name"`
	Owner         string     `json:"owner,omitempty"`
	Address       netip.Addr `json:"address"`
	Address6      netip.Addr `json:"address6,omitzero"`
	PublicKey     string     `json:"publicKey"`
	HasConfig     bool       `json:"hasConfig" doc:"The cell made its key, so that /config and /qr are whole"`
	Disabled      bool       `json:"disabled"`
	Internet      bool       `json:"internet"`
	LAN           bool       `json:"lan"`
	Split         bool       `json:"split"`
	Endpoint      string     `json:"endpoint,omitempty" doc:"Where it was last heard from"`
	LastHandshake time.Time  `json:"lastHandshake,omitzero"`
	RxBytes       uint64     `json:"rxBytes" doc:"Received from the device since the tunnel came up"`
	TxBytes       uint64     `json:"txBytes" doc:"Sent to the device since the tunnel came up"`
}

// NewPeer adds a device.
type NewPeer struct {
	Name      string     `json:"name" minLength:"1" maxLength:"63" doc:"One DNS label"`
	Owner     string     `json:"owner,omitempty" maxLength:"64" doc:"A user's name; default for the role user: themselves"`
	Endpoint  string     `json:"endpoint,omitempty" maxLength:"260" doc:"host:port that the device dials; default: wireguard.endpoint"`
	PublicKey string     `json:"publicKey,omitempty" maxLength:"44" doc:"Base64; left out, the cell makes the key pair and keeps the private key"`
	Address   netip.Addr `json:"address,omitzero" doc:"Default: the next free one"`
	Internet  *bool      `json:"internet,omitempty" doc:"May reach the internet through the cell; default: yes"`
	LAN       *bool      `json:"lan,omitempty" doc:"May reach the LAN; default: yes"`
	Split     bool       `json:"split,omitempty" doc:"Its configuration routes only the cell's networks into the tunnel"`
}

// PeerEdit changes a device. What is left out stays as it is.
type PeerEdit struct {
	Name     *string     `json:"name,omitempty" minLength:"1" maxLength:"63"`
	Owner    *string     `json:"owner,omitempty" maxLength:"64"`
	Address  *netip.Addr `json:"address,omitempty"`
	Disabled *bool       `json:"disabled,omitempty"`
	Internet *bool       `json:"internet,omitempty"`
	LAN      *bool       `json:"lan,omitempty"`
	Split    *bool       `json:"split,omitempty"`
}

// PeerOutcome is the device after an edit. Config is given when it is made.
type PeerOutcome struct {
	Peer   *Peer  `json:"peer,omitempty"`
	Config string `json:"config,omitempty" doc:"The .conf for wg-quick and the apps"`
	Note   string `json:"note,omitempty" doc:"What the owner should know of the .conf"`
	Outcome
}

// WireGuard is the tunnel.
type WireGuard struct {
	Enabled   bool         `json:"enabled"`
	Backend   string       `json:"backend" enum:"tun,netstack" doc:"netstack: a TCP/IP stack within the process"`
	Interface string       `json:"interface,omitempty" doc:"Only with the backend tun"`
	PublicKey string       `json:"publicKey"`
	Port      uint16       `json:"port"`
	Endpoint  string       `json:"endpoint" doc:"What devices dial; empty where nobody said"`
	Subnet    netip.Prefix `json:"subnet"`
	Subnet6   netip.Prefix `json:"subnet6,omitzero"`
	MTU       int          `json:"mtu"`
	NAT       []string     `json:"nat" doc:"In words, what is translated on the way out"`
	Peers     []Peer       `json:"peers"`
}

// Traffic is what the event stream tells every two seconds: counters since the
// start.
type Traffic struct {
	Time       time.Time `json:"time"`
	RxBytes    uint64    `json:"rxBytes" doc:"Received from all peers"`
	TxBytes    uint64    `json:"txBytes" doc:"Sent to all peers"`
	DNSQueries uint64    `json:"dnsQueries"`
}
