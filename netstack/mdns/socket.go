package mdns

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"runtime/debug"
	"sync"
	"syscall"
	"time"

	"golang.org/x/net/ipv4"
	"golang.org/x/net/ipv6"
	"golang.org/x/sys/unix"
)

// Options say where to reflect.
type Options struct {
	LAN    string                // interface
	Tunnel string                // interface
	May    func(netip.Addr) bool // the peer of that address may reach the LAN
}

// Run reflects until ctx is done. It fails where it cannot listen; interfaces
// that come later are not joined.
func Run(ctx context.Context, log *slog.Logger, o Options) error {
	lanCard, err := net.InterfaceByName(o.LAN)
	if err != nil {
		return fmt.Errorf("mDNS in the LAN: %s: %w", o.LAN, err)
	}
	tunnel, err := net.InterfaceByName(o.Tunnel)
	if err != nil {
		return fmt.Errorf("mDNS in the VPN: %s: %w", o.Tunnel, err)
	}
	s := &station{log: log, lan: lanCard, tunnel: tunnel, r: newReflector(o.May)}
	if err := errors.Join(s.listen4(ctx), s.listen6(ctx)); err != nil && s.four == nil {
		s.close()
		return fmt.Errorf("listening for mDNS: %w", err)
	}
	defer s.close()
	stop := context.AfterFunc(ctx, s.close)
	defer stop()
	var wg sync.WaitGroup
	wg.Go(s.read4)
	if s.six != nil {
		wg.Go(s.read6)
	}
	wg.Wait()
	return nil
}

// A station is the sockets of a reflector.
type station struct {
	log         *slog.Logger
	lan, tunnel *net.Interface
	four        *ipv4.PacketConn
	six         *ipv6.PacketConn

	mu sync.Mutex // over r
	r  *reflector
}

// listen opens port 5353 beside other programs that do the same.
func listen(ctx context.Context, network string) (net.PacketConn, error) {
	lc := net.ListenConfig{Control: func(_, _ string, c syscall.RawConn) error {
		var serr error
		err := c.Control(func(fd uintptr) {
			serr = errors.Join(
				unix.SetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_REUSEADDR, 1),
				unix.SetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_REUSEPORT, 1),
			)
		})
		return errors.Join(err, serr)
	}}
	return lc.ListenPacket(ctx, network, fmt.Sprintf(":%d", port))
}

func (s *station) listen4(ctx context.Context) error {
	c, err := listen(ctx, "udp4")
	if err != nil {
		return err
	}
	p := ipv4.NewPacketConn(c)
	group := net.UDPAddrFromAddrPort(group4)
	err = errors.Join(
		p.SetControlMessage(ipv4.FlagInterface, true), p.SetMulticastTTL(255), p.SetMulticastLoopback(false),
		p.JoinGroup(s.lan, group), p.SetMulticastInterface(s.lan),
	)
	if err != nil {
		c.Close()
		return err
	}
	_ = p.JoinGroup(s.tunnel, group) // peers may ask the cell's address instead
	s.four = p
	return nil
}

func (s *station) listen6(ctx context.Context) error {
	c, err := listen(ctx, "udp6")
	if err != nil {
		return err
	}
	p := ipv6.NewPacketConn(c)
	group := net.UDPAddrFromAddrPort(group6)
	err = errors.Join(
		p.SetControlMessage(ipv6.FlagInterface, true), p.SetMulticastHopLimit(255), p.SetMulticastLoopback(false),
		p.JoinGroup(s.lan, group), p.SetMulticastInterface(s.lan),
	)
	if err != nil {
		c.Close()
		return err
	}
	_ = p.JoinGroup(s.tunnel, group)
	s.six = p
	return nil
}

func (s *station) close() {
	if s.four != nil {
		s.four.Close()
	}
	if s.six != nil {
		s.six.Close()
	}
}

func (s *station) read4() {
	buf := make([]byte, maxPacket)
	for {
		n, cm, from, err := s.four.ReadFrom(buf)
		if errors.Is(err, net.ErrClosed) {
			return
		}
		if err == nil && cm != nil {
			s.take(cm.IfIndex, from, buf[:n])
		}
	}
}

func (s *station) read6() {
	buf := make([]byte, maxPacket)
	for {
		n, cm, from, err := s.six.ReadFrom(buf)
		if errors.Is(err, net.ErrClosed) {
			return
		}
		if err == nil && cm != nil {
			s.take(cm.IfIndex, from, buf[:n])
		}
	}
}

// take repeats one message. What came by another card, or from the cell itself, is
// nothing to repeat.
func (s *station) take(card int, from net.Addr, b []byte) {
	defer func() {
		if err := recover(); err != nil {
			s.log.Error("an mDNS message broke the reflector", "addr", from, "err", err, "stack", string(debug.Stack()))
		}
	}()
	u, ok := from.(*net.UDPAddr)
	if !ok {
		return
	}
	side := lan
	switch card {
	case s.tunnel.Index:
		side = vpn
	case s.lan.Index:
	default:
		return
	}
	if s.own(u.IP) { // asks the kernel, so not for what came by another card
		return
	}
	src := netip.AddrPortFrom(u.AddrPort().Addr().Unmap(), u.AddrPort().Port())
	s.mu.Lock()
	out := s.r.take(side, src, b, time.Now())
	s.mu.Unlock()
	for _, l := range out {
		s.send(l)
	}
}

func (s *station) own(ip net.IP) bool {
	for _, card := range []*net.Interface{s.lan, s.tunnel} {
		addrs, err := card.Addrs()
		if err != nil {
			continue
		}
		for _, a := range addrs {
			if n, ok := a.(*net.IPNet); ok && n.IP.Equal(ip) {
				return true
			}
		}
	}
	return false
}

// send is for as many as it reaches; what is lost is asked again.
func (s *station) send(l letter) {
	if l.to.IsValid() {
		to := net.UDPAddrFromAddrPort(l.to)
		if l.to.Addr().Is4() {
			_, _ = s.four.WriteTo(l.body, nil, to)
		} else if s.six != nil {
			_, _ = s.six.WriteTo(l.body, nil, to)
		}
		return
	}
	_, _ = s.four.WriteTo(l.body, nil, net.UDPAddrFromAddrPort(group4))
	if s.six != nil {
		_, _ = s.six.WriteTo(l.body, nil, net.UDPAddrFromAddrPort(group6))
	}
}
