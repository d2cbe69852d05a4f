package netstack

import (
	"fmt"
	"net/netip"

	"github.com/vishvananda/netlink"
)

// Neighbours returns the hardware addresses, as aa:bb:cc:dd:ee:ff, of the devices
// that share a network with this host, as far as it has met them lately.
func Neighbours() (map[netip.Addr]string, error) {
	const unknown = netlink.NUD_FAILED | netlink.NUD_INCOMPLETE | netlink.NUD_NOARP
	all, err := netlink.NeighList(0, netlink.FAMILY_ALL)
	if err != nil {
		return nil, fmt.Errorf("listing neighbours: %w", err)
	}
	known := map[netip.Addr]string{}
	for _, n := range all {
		if a, ok := netip.AddrFromSlice(n.IP); ok && len(n.HardwareAddr) == 6 && n.State&unknown == 0 {
			known[a.Unmap()] = n.HardwareAddr.String()
		}
	}
	return known, nil
}
