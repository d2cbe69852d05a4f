// Package names holds the host names that the cell found out, as opposed to
// those in its document: leases, peers of other cells.
//
// A source publishes its whole set at once with [Registry.Publish]; readers take
// a [Snapshot], which never changes and costs no lock. Sources are ranked, so
// that no DHCP client can take the name of a service: what the document says
// wins over every source, and a higher source over a lower one. A name outside
// the zone of its source is refused.
//
// The package knows nothing of DNS messages and keeps nothing on disk.
package names

import (
	"net/netip"
	"time"
)

// A Source is who found a name out. The zero Source is not valid.
type Source int

// Sources in the order of their rank, highest first.
const (
	Links  Source = iota + 1 // told by a linked cell
	Leases                   // asked for by a DHCP client
)

// A Host is a name and the addresses behind it.
type Host struct {
	Name  string // absolute, lower case, without the last dot: tv.lan.oak.home.arpa
	Addrs []netip.Addr
	TTL   time.Duration
}

// A Rejected is a host that was published and is not visible, and why.
type Rejected struct {
	Host   Host
	Reason string
}
