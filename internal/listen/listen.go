// Package listen keeps sets of listening sockets that change while they serve.
//
// A service has a [Set] and asks it for the sockets that it wants from now on.
// [Set.Open] binds what is missing and touches nothing else; [Swap.Commit] lets
// go of what is no longer wanted, [Swap.Abort] of what was added. Sockets that
// stay are never closed, rebound or blinked.
//
// All sets of a process share one [Pool]. Within [Pool.Begin] and its end a
// socket that one service lets go of is kept, so that another can take it over
// and a change that fails can be undone without meeting its own sockets.
package listen

import (
	"net"
	"net/netip"
)

// A Socket says where to listen.
type Socket struct {
	Net   string // udp or tcp
	Addr  netip.AddrPort
	Scope Scope
}

// A Scope says in which network the socket lives.
type Scope string

const (
	// Host is the network of the host.
	Host Scope = ""
	// InTunnel is the cell's VPN. In user space it has no address on the host,
	// so the pool asks its [VPN]; on a TUN the address is the host's own, though
	// perhaps only later.
	InTunnel Scope = "tunnel"
)

// For returns the sockets of one protocol port of a service: on port of each of
// addrs, and on the standard port of the tunnel's addresses vpn, unless a
// wildcard among addrs covers that already.
func For(network string, addrs []netip.Addr, port uint16, vpn []netip.Addr, standard uint16) []Socket {
	var out []Socket
	covered := false
	for _, a := range addrs {
		out = append(out, Socket{network, netip.AddrPortFrom(a, port), Host})
		covered = covered || a.IsUnspecified() && port == standard
	}
	if covered {
		return out
	}
	for _, a := range vpn {
		out = append(out, Socket{network, netip.AddrPortFrom(a, standard), InTunnel})
	}
	return out
}

// A Bound is an open socket: a Listener for tcp, a Packet for udp. Whoever got
// it must read from it until it returns [net.ErrClosed].
type Bound struct {
	Socket
	Listener net.Listener
	Packet   net.PacketConn
}

// A VPN listens on ports inside a tunnel that has no addresses on the host.
// What it returns outlives restarts of the tunnel: it waits while there is none.
// Where the tunnel's addresses are the host's after all, what it returns has a
// method HostSocket() (syscall.RawConn, error), and an address that is taken is
// tried once more with SO_REUSEPORT, so that it can replace a wildcard of ours.
type VPN interface {
	ListenTCP(addr netip.AddrPort) (net.Listener, error)
	ListenUDP(addr netip.AddrPort) (net.PacketConn, error)
}
