package cell

import (
	"maps"
	"net/netip"
	"sync"
	"time"

	"pic/dhcpsrv"
	"pic/netstack"
)

// neighboursFor is how long the kernel's table of neighbours is believed.
const neighboursFor = 2 * time.Second

// neighbours tells devices by their hardware address: as the kernel sees them,
// else as they got their address.
type neighbours struct {
	leases func() []dhcpsrv.Lease

	mu    sync.Mutex
	known map[netip.Addr]string
	until time.Time
}

// mac returns the hardware address of a neighbour, as aa:bb:cc:dd:ee:ff, or
// nothing.
func (n *neighbours) mac(a netip.Addr) string {
	a = a.Unmap().WithZone("")
	n.mu.Lock()
	defer n.mu.Unlock()
	if now := time.Now(); now.After(n.until) {
		n.known, n.until = n.look(), now.Add(neighboursFor)
	}
	return n.known[a]
}

func (n *neighbours) look() map[netip.Addr]string {
	known := map[netip.Addr]string{}
	if n.leases != nil {
		for _, l := range n.leases() {
			if l.State == dhcpsrv.Leased && l.MAC != "" {
				known[l.Address] = l.MAC
			}
		}
	}
	near, err := netstack.Neighbours()
	if err != nil {
		return known // leases are better than nothing
	}
	maps.Copy(known, near)
	return known
}
