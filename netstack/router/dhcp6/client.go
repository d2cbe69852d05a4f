// Package dhcp6 asks the provider for IPv6 prefixes for the LAN and an address
// for the WAN: a DHCPv6 client (RFC 8415) with prefix delegation.
//
// Solicit, Request, Renew, Rebind and Release are as in §18.2, repeated as in §15;
// of several offers one with a prefix wins, then the one of highest preference. A
// prefix that the server puts in place of another is used from then on, and the
// former is kept, no longer preferred, until its end; one that the server takes
// back, by a lifetime of zero, ends at once. After the cable was plugged
// in, and at a start with a lease that is good still, the client asks by Rebind
// whether it holds (§18.2.12); where nobody says, it asks from the beginning, and
// the lease stays until its end.
//
// Promises: only answers to the client's own exchange are taken, and those to
// Request and Renew only from the server that was asked; a prefix that no provider
// can delegate is not taken; a server that offers and then refuses, or wants to be
// asked without end, is asked with growing pauses; memory is bounded whatever is
// sent. The client changes nothing on the host. Its DUID is that of
// the card (DUID-LL), so that nothing has to be kept for it.
//
// Not here: rapid commit, Confirm, Decline (the kernel looks for duplicates),
// Reconfigure, which the client does not accept, temporary addresses, and
// authentication.
package dhcp6

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"strconv"
	"syscall"
	"time"

	"github.com/insomniacslk/dhcp/dhcpv6"
	"golang.org/x/sys/unix"
)

const (
	clientPort = 546
	serverPort = 547
)

// servers is where all servers and relays of a link listen (RFC 8415 §7.1).
var servers = netip.AddrFrom16([16]byte{0xff, 2, 12: 0, 1, 0, 2})

// Options say for which card, and who wants to know.
type Options struct {
	Log   *slog.Logger
	Card  *net.Interface
	Lease *Lease // remembered; nil: none
	// Bound is told of a lease that is in force from now on, Lost that there is none
	// any more, Enter each new state. They are called by Run's goroutine, one at a
	// time.
	Bound   func(Lease)
	Lost    func(why string)
	Enter   func(State)
	Plugged <-chan struct{} // on a message, look whether the lease still holds
	Release func() bool     // at the end of Run: whether to give the lease back
}

// errNoLinkLocal says that the card has no link-local address yet.
var errNoLinkLocal = errors.New("the card has no link-local IPv6 address yet")

// Run asks for a lease and keeps it until ctx ends. The error is about sockets;
// it may be called again.
func Run(ctx context.Context, o Options) error {
	conn, err := listen(ctx, o.Card)
	if errors.Is(err, errNoLinkLocal) {
		return nil // the kernel is looking whether it is unique
	} else if err != nil {
		return err
	}
	defer conn.Close()
	heard := make(chan []byte, 16)
	failed := make(chan error, 1)
	quit := make(chan struct{})
	defer close(quit)
	go func() { failed <- hear(conn, o.Card, heard, quit) }()

	m := newMachine(o.Card.HardwareAddr)
	told := State("")
	do := func(all []action) {
		for _, a := range all {
			switch {
			case a.send != nil:
				to := netip.AddrPortFrom(servers.WithZone(zone(o.Card)), serverPort)
				if _, err := conn.WriteToUDPAddrPort(a.send.ToBytes(), to); err != nil {
					o.Log.Debug("message not sent", "kind", a.send.MessageType.String(), "err", err)
				}
			case a.bind != nil:
				o.Bound(*a.bind)
			case a.lost != "":
				o.Lost(a.lost)
			}
		}
		if m.state != told {
			told = m.state
			o.Enter(told)
		}
	}
	do(m.begin(time.Now(), o.Lease))
	for {
		var due <-chan time.Time
		if n := m.due(); !n.IsZero() {
			due = time.After(time.Until(n))
		}
		select {
		case <-ctx.Done():
			if o.Release() {
				do(m.release(time.Now()))
			}
			return nil
		case err := <-failed:
			return err
		case <-due:
			do(m.tick(time.Now()))
		case <-o.Plugged:
			do(m.begin(time.Now(), m.lease))
		case b := <-heard:
			d, err := dhcpv6.MessageFromBytes(b)
			if err != nil {
				continue
			}
			all, err := m.message(time.Now(), d)
			if err != nil && !errors.Is(err, errNotForUs) {
				o.Log.Debug("an answer is not usable", "kind", d.MessageType.String(), "err", err)
			}
			do(all)
		}
	}
}

func listen(ctx context.Context, card *net.Interface) (*net.UDPConn, error) {
	lc := net.ListenConfig{Control: func(_, _ string, rc syscall.RawConn) error {
		var serr error
		cerr := rc.Control(func(fd uintptr) {
			serr = errors.Join(
				unix.SetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_REUSEADDR, 1),
				unix.BindToDevice(int(fd), card.Name),
			)
		})
		return errors.Join(cerr, serr)
	}}
	local, err := linkLocal(card)
	if err != nil {
		return nil, err
	}
	pc, err := lc.ListenPacket(ctx, "udp6", netip.AddrPortFrom(local.WithZone(zone(card)), clientPort).String())
	if err != nil {
		if errors.Is(err, unix.EADDRNOTAVAIL) { // tentative
			return nil, errNoLinkLocal
		}
		return nil, fmt.Errorf("listen on %s port %d: %w", card.Name, clientPort, err)
	}
	return pc.(*net.UDPConn), nil
}

// zone is the card by its number: the runtime remembers names for a minute, and
// is wrong about a card that was made anew.
func zone(card *net.Interface) string { return strconv.Itoa(card.Index) }

func linkLocal(card *net.Interface) (netip.Addr, error) {
	all, err := card.Addrs()
	if err != nil {
		return netip.Addr{}, fmt.Errorf("addresses of %s: %w", card.Name, err)
	}
	for _, a := range all {
		p, ok := a.(*net.IPNet)
		if !ok {
			continue
		}
		if ip, ok := netip.AddrFromSlice(p.IP); ok && ip.Is6() && !ip.Is4In6() && ip.IsLinkLocalUnicast() {
			return ip, nil
		}
	}
	return netip.Addr{}, errNoLinkLocal
}

// hear hands over what servers and relays of the link send, until the socket is
// closed. What comes faster than it is taken is dropped.
func hear(conn *net.UDPConn, card *net.Interface, heard chan<- []byte, quit <-chan struct{}) error {
	buf := make([]byte, 4096)
	for {
		n, from, err := conn.ReadFromUDPAddrPort(buf)
		select {
		case <-quit:
			return nil
		default:
		}
		if err != nil {
			if _, gone := net.InterfaceByIndex(card.Index); gone != nil || errors.Is(err, net.ErrClosed) {
				return fmt.Errorf("listening on %s: %w", card.Name, err)
			}
			select { // such as: the network is down; each is told once
			case <-quit:
				return nil
			case <-time.After(100 * time.Millisecond):
			}
			continue
		}
		if !from.Addr().IsLinkLocalUnicast() {
			continue
		}
		select {
		case heard <- bytes.Clone(buf[:n]):
		default:
		}
	}
}
