package wire

import (
	"net/netip"
	"time"
)

// TrafficHistory is how much each device sent and received.
type TrafficHistory struct {
	Enabled bool            `json:"enabled"`
	Since   time.Time       `json:"since"`
	Step    string          `json:"step" enum:"minute,hour,day" doc:"The length of the buckets"`
	Devices []DeviceTraffic `json:"devices" doc:"Who moved most comes first"`
}

// A DeviceTraffic is that of a device of the LAN, of a peer, or of the WAN in all.
type DeviceTraffic struct {
	Kind         string          `json:"kind" enum:"lan,peer,wan"`
	Name         string          `json:"name,omitempty" doc:"Of the peer, or of the device's lease"`
	MAC          string          `json:"mac,omitempty" doc:"Of a device of the LAN"`
	Address      netip.Addr      `json:"address,omitzero" doc:"Of a device whose hardware address is not known, or of its lease"`
	PublicKey    string          `json:"publicKey,omitempty" doc:"Of a peer"`
	Sent         uint64          `json:"sent" doc:"Bytes within the time"`
	Received     uint64          `json:"received" doc:"Bytes within the time"`
	SentRate     uint64          `json:"sentRate" doc:"Bytes a second, in the last ten"`
	ReceivedRate uint64          `json:"receivedRate" doc:"Bytes a second, in the last ten"`
	Series       []TrafficBucket `json:"series" doc:"Without the buckets in which nothing was"`
}

// A TrafficBucket is what moved within one step.
type TrafficBucket struct {
	At       time.Time `json:"at"`
	Sent     uint64    `json:"sent"`
	Received uint64    `json:"received"`
}
