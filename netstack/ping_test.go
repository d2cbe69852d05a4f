package netstack

import (
	"errors"
	"net"
	"net/netip"

	"gvisor.dev/gvisor/pkg/tcpip"
	"gvisor.dev/gvisor/pkg/tcpip/adapters/gonet"
	"gvisor.dev/gvisor/pkg/tcpip/network/ipv4"
	"gvisor.dev/gvisor/pkg/tcpip/transport/icmp"
	"gvisor.dev/gvisor/pkg/waiter"
)

// dialPing opens a socket for ICMPv4 echo.
func (n *userNet) dialPing(to netip.Addr) (net.Conn, error) {
	var q waiter.Queue
	ep, err := n.stack.NewEndpoint(icmp.ProtocolNumber4, ipv4.ProtocolNumber, &q)
	if err != nil {
		return nil, errors.New(err.String())
	}
	if err := ep.Connect(tcpip.FullAddress{NIC: nic, Addr: tcpip.AddrFromSlice(to.AsSlice())}); err != nil {
		ep.Close()
		return nil, errors.New(err.String())
	}
	return gonet.NewUDPConn(&q, ep), nil
}
