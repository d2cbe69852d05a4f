package wire

import (
	"net/netip"
	"time"
)

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
	OpenPort  bool         `json:"openPort" doc:"The router upstream is asked to let the port in"`
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
