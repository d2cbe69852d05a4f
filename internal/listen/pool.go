package listen

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"sync"
	"syscall"

	"golang.org/x/sys/unix"
)

// A Pool owns the listening sockets of a process. Use [NewPool]. Its methods
// may be called from any goroutine.
type Pool struct {
	vpn VPN

	mu     sync.Mutex
	held   map[Socket]*held
	tunnel map[Socket]Bound // through vpn
	within int              // how many Begins have not ended
}

// A held is a host socket that the pool keeps a descriptor of, so that a second
// set can be given the very same socket.
type held struct {
	fd   int
	refs int
}

// NewPool returns a pool that listens in the tunnel through vpn; nil means that
// the tunnel's addresses are the host's own.
func NewPool(vpn VPN) *Pool {
	return &Pool{vpn: vpn, held: map[Socket]*held{}, tunnel: map[Socket]Bound{}}
}

// Begin keeps every socket alive until the returned function is called, even if
// no set wants it in between.
func (p *Pool) Begin() (end func()) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.within++
	return sync.OnceFunc(func() {
		p.mu.Lock()
		defer p.mu.Unlock()
		p.within--
		if p.within > 0 {
			return
		}
		for s, h := range p.held {
			if h.refs == 0 {
				p.drop(s, h)
			}
		}
	})
}

// acquire opens s, or opens it once more where a set has it already.
func (p *Pool) acquire(ctx context.Context, s Socket) (Bound, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if s.Scope == InTunnel && p.vpn != nil {
		return p.inTunnel(s)
	}
	if h := p.held[s]; h != nil {
		b, err := again(s, h.fd)
		if err == nil {
			h.refs++
		}
		return b, err
	}
	b, err := bind(ctx, s, nil)
	if errors.Is(err, unix.EADDRINUSE) {
		if rivals := p.overlapping(s); len(rivals) > 0 {
			b, err = bind(ctx, s, rivals)
		}
	}
	if err != nil {
		return Bound{}, explain(s, err)
	}
	if s.Addr.Port() == 0 {
		return b, nil // nobody else can ask for it
	}
	fd, err := reserve(b)
	if err != nil {
		b.close()
		return Bound{}, fmt.Errorf("listen on %s: %w", s, err)
	}
	p.held[s] = &held{fd: fd, refs: 1}
	return b, nil
}

// inTunnel listens through the VPN. On a TUN that is a socket of the host, which
// our own wildcard on the same port may be in the way of.
func (p *Pool) inTunnel(s Socket) (Bound, error) {
	b, err := p.throughVPN(s)
	if errors.Is(err, unix.EADDRINUSE) {
		if rivals := p.overlapping(s); len(rivals) > 0 {
			err = rivals.share(1)
			if err == nil {
				b, err = p.throughVPN(s)
			}
			rivals.share(0)
		}
	}
	if err != nil {
		return Bound{}, explain(s, err)
	}
	p.tunnel[s] = b
	return b, nil
}

func (p *Pool) throughVPN(s Socket) (b Bound, err error) {
	b.Socket = s
	switch s.Net {
	case "tcp":
		b.Listener, err = p.vpn.ListenTCP(s.Addr)
	case "udp":
		b.Packet, err = p.vpn.ListenUDP(s.Addr)
	default:
		err = net.UnknownNetworkError(s.Net)
	}
	return b, err
}

// release lets go of one use of b.
func (p *Pool) release(b Bound) {
	b.close()
	p.mu.Lock()
	defer p.mu.Unlock()
	if b.Scope == InTunnel && p.vpn != nil {
		delete(p.tunnel, b.Socket)
		return
	}
	h := p.held[b.Socket]
	if h == nil {
		return
	}
	h.refs--
	if h.refs == 0 && p.within == 0 {
		p.drop(b.Socket, h)
	}
}

func (p *Pool) drop(s Socket, h *held) {
	unix.Close(h.fd)
	delete(p.held, s)
}

// overlapping returns our own sockets that keep s from being bound: those on the
// same port of a wildcard, or of any address if s is one.
func (p *Pool) overlapping(s Socket) rivals {
	var out rivals
	meets := func(o Socket) bool {
		return o.Net == s.Net && o.Addr.Port() == s.Addr.Port() && (o.Addr.Addr().IsUnspecified() || s.Addr.Addr().IsUnspecified())
	}
	for o, h := range p.held {
		if meets(o) {
			out = append(out, func(on int) error { return unix.SetsockoptInt(h.fd, unix.SOL_SOCKET, unix.SO_REUSEPORT, on) })
		}
	}
	for o, b := range p.tunnel {
		if !meets(o) {
			continue
		}
		rc, err := b.raw()
		if err != nil {
			continue // in user space, and in nobody's way
		}
		out = append(out, func(on int) (err error) {
			cerr := rc.Control(func(fd uintptr) { err = unix.SetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_REUSEPORT, on) })
			return errors.Join(cerr, err)
		})
	}
	return out
}

// rivals are sockets of ours that may share their port for a moment.
type rivals []func(on int) error

func (r rivals) share(on int) error {
	var errs []error
	for _, set := range r {
		errs = append(errs, set(on))
	}
	return errors.Join(errs...)
}

// bind opens a new socket. It shares the port with rivals, which are ours and
// about to be closed, and with nobody else.
func bind(ctx context.Context, s Socket, rivals rivals) (Bound, error) {
	lc := net.ListenConfig{KeepAlive: -1, Control: func(_, _ string, c syscall.RawConn) error {
		var err error
		cerr := c.Control(func(fd uintptr) {
			if s.Scope == InTunnel {
				// The tunnel may come up after us. For a v6 socket the v4
				// option fails, and the other way round.
				e4 := unix.SetsockoptInt(int(fd), unix.IPPROTO_IP, unix.IP_FREEBIND, 1)
				e6 := unix.SetsockoptInt(int(fd), unix.IPPROTO_IPV6, unix.IPV6_FREEBIND, 1)
				if e4 != nil && e6 != nil {
					err = e4
				}
			}
			if len(rivals) > 0 && err == nil {
				err = unix.SetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_REUSEPORT, 1)
			}
		})
		return errors.Join(cerr, err)
	}}
	// From the moment that this has returned nobody may join, not even a second
	// cell of the same user.
	defer rivals.share(0)
	err := rivals.share(1)
	if err != nil {
		return Bound{}, err
	}
	b := Bound{Socket: s}
	switch s.Net {
	case "tcp":
		b.Listener, err = lc.Listen(ctx, s.Net, s.Addr.String())
	case "udp":
		b.Packet, err = lc.ListenPacket(ctx, s.Net, s.Addr.String())
	default:
		err = net.UnknownNetworkError(s.Net)
	}
	if err != nil || len(rivals) == 0 {
		return b, err
	}
	rc, err := b.raw()
	if err != nil {
		b.close()
		return Bound{}, err
	}
	err = rc.Control(func(fd uintptr) { unix.SetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_REUSEPORT, 0) })
	return b, err
}

// reserve returns a descriptor of b's socket that outlives b.
func reserve(b Bound) (int, error) {
	rc, err := b.raw()
	if err != nil {
		return -1, err
	}
	var fd int
	var derr error
	if err := rc.Control(func(f uintptr) { fd, derr = unix.FcntlInt(f, unix.F_DUPFD_CLOEXEC, 0) }); err != nil {
		return -1, err
	}
	return fd, derr
}

// again opens the socket behind fd once more.
func again(s Socket, fd int) (Bound, error) {
	dup, err := unix.FcntlInt(uintptr(fd), unix.F_DUPFD_CLOEXEC, 0)
	if err != nil {
		return Bound{}, fmt.Errorf("listen on %s: %w", s, err)
	}
	f := os.NewFile(uintptr(dup), s.String())
	defer f.Close()
	b := Bound{Socket: s}
	if s.Net == "tcp" {
		b.Listener, err = net.FileListener(f)
	} else {
		b.Packet, err = net.FilePacketConn(f)
	}
	if err != nil {
		return Bound{}, fmt.Errorf("listen on %s: %w", s, err)
	}
	return b, nil
}

func (b Bound) raw() (syscall.RawConn, error) {
	var c any = b.Listener
	if b.Packet != nil {
		c = b.Packet
	}
	switch c := c.(type) {
	case syscall.Conn:
		return c.SyscallConn()
	case interface {
		HostSocket() (syscall.RawConn, error)
	}: // of a VPN that stands on the host
		return c.HostSocket()
	}
	return nil, fmt.Errorf("%T has no descriptor", c)
}

func (b Bound) close() {
	if b.Listener != nil {
		b.Listener.Close()
	}
	if b.Packet != nil {
		b.Packet.Close()
	}
}

// LocalAddr is where b listens; it tells the port where 0 was asked for.
func (b Bound) LocalAddr() netip.AddrPort {
	var a net.Addr
	if b.Listener != nil {
		a = b.Listener.Addr()
	} else {
		a = b.Packet.LocalAddr()
	}
	switch a := a.(type) {
	case *net.TCPAddr:
		return a.AddrPort()
	case *net.UDPAddr:
		return a.AddrPort()
	}
	return b.Addr
}

func (s Socket) String() string {
	t := s.Net + " " + s.Addr.String()
	if s.Scope == InTunnel {
		t += " (VPN)"
	}
	return t
}

// explain turns the errors that a person can cause into sentences that help.
func explain(s Socket, err error) error {
	kind := "t"
	if s.Net == "udp" {
		kind = "u"
	}
	switch {
	case errors.Is(err, unix.EADDRINUSE):
		return fmt.Errorf("listen on %s: the port is taken by another program; `ss -l%snp 'sport = :%d'` names it: %w",
			s, kind, s.Addr.Port(), err)
	case errors.Is(err, unix.EADDRNOTAVAIL):
		return fmt.Errorf("listen on %s: %s is not an address of this host: %w", s, s.Addr.Addr(), err)
	case errors.Is(err, unix.EACCES), errors.Is(err, unix.EPERM):
		return fmt.Errorf("listen on %s: ports below 1024 need root or CAP_NET_BIND_SERVICE: %w", s, err)
	}
	return fmt.Errorf("listen on %s: %w", s, err)
}
