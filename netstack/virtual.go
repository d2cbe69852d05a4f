package netstack

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"slices"
	"sync"
	"time"

	"golang.org/x/sys/unix"
)

// A ground is where the tunnel's addresses are: in the process or on the host.
type ground interface {
	ListenTCP(netip.AddrPort) (net.Listener, error)
	ListenUDP(netip.AddrPort) (net.PacketConn, error)
}

// ports are the listeners that services want in the tunnel. They outlive it:
// while there is no tunnel, or none with the address, they wait.
type ports struct {
	mu     sync.Mutex
	ground ground // nil while there is no tunnel
	open   map[endpoint]*virtual
}

type endpoint struct {
	network string
	addr    netip.AddrPort
}

func newPorts() *ports { return &ports{open: map[endpoint]*virtual{}} }

// when says at what time waiting listeners are opened on a new ground.
type when int

const (
	now   when = iota
	later      // by retry: sockets that they replace may still be open
)

func (p *ports) attach(g ground, w when) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.ground = g
	if w == now {
		p.fill()
	}
}

// detach closes what is open in the tunnel; the listeners go on waiting.
func (p *ports) detach() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.ground = nil
	for _, v := range p.open {
		v.put(nil, nil)
	}
}

// retry opens the listeners that still wait. It returns those whose port
// somebody else has.
func (p *ports) retry() (taken []string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.fill()
}

func (p *ports) fill() (taken []string) {
	if p.ground == nil {
		return nil
	}
	for e, v := range p.open {
		if !v.waiting() {
			continue
		}
		// A wrong address is no error: the tunnel may be about to get it.
		if err := v.openOn(p.ground, e); errors.Is(err, unix.EADDRINUSE) {
			taken = append(taken, e.network+" "+e.addr.String())
		}
	}
	slices.Sort(taken)
	return taken
}

func (p *ports) listen(e endpoint) (*virtual, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.open[e] != nil {
		return nil, &net.OpError{Op: "listen", Net: e.network, Addr: net.TCPAddrFromAddrPort(e.addr), Err: unix.EADDRINUSE}
	}
	v := &virtual{addr: e.addr, changed: make(chan struct{})}
	v.release = func() {
		p.mu.Lock()
		defer p.mu.Unlock()
		delete(p.open, e)
	}
	if p.ground != nil {
		if err := v.openOn(p.ground, e); errors.Is(err, unix.EADDRINUSE) {
			return nil, err
		}
	}
	p.open[e] = v
	return v, nil
}

// ListenTCP listens on an address of the cell within the VPN. The listener lives
// until it is closed, over all changes of the tunnel.
func (s *Server) ListenTCP(addr netip.AddrPort) (net.Listener, error) {
	v, err := s.ports.listen(endpoint{"tcp", addr})
	if err != nil {
		return nil, err
	}
	return &virtualTCP{v}, nil
}

// ListenUDP is [Server.ListenTCP] for UDP. What is sent while there is no tunnel
// is lost, as datagrams are. Its addresses are of type *net.UDPAddr.
func (s *Server) ListenUDP(addr netip.AddrPort) (net.PacketConn, error) {
	v, err := s.ports.listen(endpoint{"udp", addr})
	if err != nil {
		return nil, err
	}
	return &virtualUDP{virtual: v}, nil
}

// A virtual is a listener whose ground changes under it.
type virtual struct {
	addr    netip.AddrPort
	release func()

	mu       sync.Mutex
	tcp      net.Listener
	udp      net.PacketConn
	closed   bool
	deadline time.Time     // for reads
	changed  chan struct{} // closed and made anew whenever one of the above changes
}

func (v *virtual) openOn(g ground, e endpoint) (err error) {
	var l net.Listener
	var c net.PacketConn
	if e.network == "tcp" {
		l, err = g.ListenTCP(e.addr)
	} else {
		c, err = g.ListenUDP(e.addr)
	}
	if err != nil {
		return err
	}
	v.put(l, c)
	return nil
}

// put replaces the ground, closing the old one.
func (v *virtual) put(l net.Listener, c net.PacketConn) {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.shut()
	if v.closed {
		if l != nil {
			l.Close()
		}
		if c != nil {
			c.Close()
		}
		return
	}
	v.tcp, v.udp = l, c
	if c != nil {
		c.SetReadDeadline(v.deadline)
	}
	v.wake()
}

func (v *virtual) shut() {
	if v.tcp != nil {
		v.tcp.Close()
	}
	if v.udp != nil {
		v.udp.Close()
	}
	v.tcp, v.udp = nil, nil
}

func (v *virtual) wake() {
	close(v.changed)
	v.changed = make(chan struct{})
}

func (v *virtual) waiting() bool {
	v.mu.Lock()
	defer v.mu.Unlock()
	return v.tcp == nil && v.udp == nil && !v.closed
}

func (v *virtual) Close() error {
	v.mu.Lock()
	if v.closed {
		v.mu.Unlock()
		return net.ErrClosed
	}
	v.closed = true
	v.shut()
	v.wake()
	v.mu.Unlock()
	v.release()
	return nil
}

// wait returns once something has changed since the state that the caller saw,
// or the deadline has passed.
func wait(changed <-chan struct{}, deadline time.Time) {
	if deadline.IsZero() {
		<-changed
		return
	}
	t := time.NewTimer(time.Until(deadline))
	defer t.Stop()
	select {
	case <-changed:
	case <-t.C:
	}
}

func (v *virtual) opError(op, network string, err error) error {
	return &net.OpError{Op: op, Net: network, Addr: net.UDPAddrFromAddrPort(v.addr), Err: err}
}

type virtualTCP struct{ *virtual }

func (v *virtualTCP) Addr() net.Addr { return net.TCPAddrFromAddrPort(v.addr) }

func (v *virtualTCP) Accept() (net.Conn, error) {
	for {
		v.mu.Lock()
		l, closed, changed := v.tcp, v.closed, v.changed
		v.mu.Unlock()
		switch {
		case closed:
			return nil, v.opError("accept", "tcp", net.ErrClosed)
		case l == nil:
			<-changed
			continue
		}
		c, err := l.Accept()
		if err == nil {
			return c, nil
		}
		if v.same(changed) {
			return nil, err // of the ground, such as too many open files
		}
	}
}

// same reports whether nothing has changed since the caller saw changed.
func (v *virtual) same(changed <-chan struct{}) bool {
	v.mu.Lock()
	defer v.mu.Unlock()
	return v.changed == changed
}

type virtualUDP struct {
	*virtual
	wmu           sync.Mutex
	writeDeadline time.Time
}

func (v *virtualUDP) LocalAddr() net.Addr { return net.UDPAddrFromAddrPort(v.addr) }

func (v *virtualUDP) ReadFrom(b []byte) (int, net.Addr, error) {
	for {
		v.mu.Lock()
		c, closed, deadline, changed := v.udp, v.closed, v.deadline, v.changed
		v.mu.Unlock()
		switch {
		case closed:
			return 0, nil, v.opError("read", "udp", net.ErrClosed)
		case c == nil && !deadline.IsZero() && !time.Now().Before(deadline):
			return 0, nil, v.opError("read", "udp", os.ErrDeadlineExceeded)
		case c == nil:
			wait(changed, deadline)
			continue
		}
		n, from, err := c.ReadFrom(b)
		if err == nil {
			return n, from, nil
		}
		if !v.same(changed) {
			continue
		}
		var ne net.Error
		if errors.As(err, &ne) && ne.Timeout() {
			return 0, nil, v.opError("read", "udp", os.ErrDeadlineExceeded)
		}
		return 0, nil, err
	}
}

func (v *virtualUDP) WriteTo(b []byte, to net.Addr) (int, error) {
	ua, ok := to.(*net.UDPAddr)
	if !ok {
		return 0, v.opError("write", "udp", fmt.Errorf("%T is not a UDP address", to))
	}
	if four := ua.IP.To4(); four != nil { // gVisor tells the families by length
		ua = &net.UDPAddr{IP: four, Port: ua.Port}
	}
	v.wmu.Lock()
	deadline := v.writeDeadline
	v.wmu.Unlock()
	if !deadline.IsZero() && !time.Now().Before(deadline) {
		return 0, v.opError("write", "udp", os.ErrDeadlineExceeded)
	}
	v.mu.Lock()
	c, closed, changed := v.udp, v.closed, v.changed
	v.mu.Unlock()
	switch {
	case closed:
		return 0, v.opError("write", "udp", net.ErrClosed)
	case c == nil:
		return len(b), nil // lost
	}
	n, err := c.WriteTo(b, ua)
	if err != nil && !v.same(changed) {
		return len(b), nil // lost with the old tunnel
	}
	return n, err
}

func (v *virtualUDP) SetDeadline(t time.Time) error {
	return errors.Join(v.SetReadDeadline(t), v.SetWriteDeadline(t))
}

func (v *virtualUDP) SetReadDeadline(t time.Time) error {
	v.mu.Lock()
	defer v.mu.Unlock()
	if v.closed {
		return v.opError("set", "udp", net.ErrClosed)
	}
	v.deadline = t
	if v.udp != nil {
		v.udp.SetReadDeadline(t)
	}
	v.wake()
	return nil
}

func (v *virtualUDP) SetWriteDeadline(t time.Time) error {
	v.wmu.Lock()
	defer v.wmu.Unlock()
	v.writeDeadline = t
	return nil
}
