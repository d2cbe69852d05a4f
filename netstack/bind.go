package netstack

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"sync"
	"sync/atomic"
	"syscall"

	"golang.org/x/net/ipv4"
	"golang.org/x/sys/unix"
	"golang.zx2c4.com/wireguard/conn"
)

// A bind is WireGuard's UDP sockets, one for each IP version. It differs from
// wireguard-go's own in memory: WireGuard holds a buffer of 64 KB for each
// packet that a bind hands over at once, and this one hands over as few as it is
// told, keeping what the kernel has given beyond that for the next call.
//
// The kernel merges and splits runs of datagrams (UDP_GRO, UDP_SEGMENT). Answers
// leave from the address that the peer has called (IP_PKTINFO), so that they
// pass its NAT, for as long as the host has that address.
type bind struct {
	batch int

	mu   sync.Mutex
	four *side
	six  *side
	mark uint32
}

func newBind(batch int) *bind { return &bind{batch: batch} }

// A side is the socket of one IP version.
type side struct {
	udp   *net.UDPConn
	split atomic.Bool // the kernel splits what we send

	// Of the receiving goroutine alone.
	pc    *ipv4.PacketConn // its batches are good for IPv6 as well
	msgs  []ipv4.Message
	ready []ipv4.Message // read and not handed over yet
	run   []byte         // of ready[0]
	size  int            // of each datagram in run
	from  *place         // of run
}

const (
	reads      = 4       // messages for one system call; each may be a run
	maxRun     = 1 << 16 // bytes
	maxSplit   = 64      // datagrams, a limit of the kernel
	maxPayload = 1<<16 - 1 - 20 - 8
	oobSize    = 128
	socketRoom = 4 << 20 // bytes waiting in the kernel
)

func (b *bind) ParseEndpoint(s string) (conn.Endpoint, error) {
	a, err := netip.ParseAddrPort(s)
	if err != nil {
		return nil, err
	}
	return &place{dst: netip.AddrPortFrom(a.Addr().Unmap(), a.Port())}, nil
}

func (b *bind) BatchSize() int { return b.batch }

// Open listens on the port for both IP versions; on one, if the host has only
// that. For port 0 it finds one that is free for both.
func (b *bind) Open(port uint16) ([]conn.ReceiveFunc, uint16, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.four != nil || b.six != nil {
		return nil, 0, conn.ErrBindAlreadyOpen
	}
	tries := 1
	if port == 0 {
		tries = 100
	}
	var err error
	for range tries {
		var fns []conn.ReceiveFunc
		var got uint16
		fns, got, err = b.open(port)
		if err == nil {
			return fns, got, nil
		}
		if !errors.Is(err, unix.EADDRINUSE) {
			break
		}
	}
	return nil, 0, err
}

func (b *bind) open(port uint16) (fns []conn.ReceiveFunc, got uint16, err error) {
	defer func() {
		if err != nil {
			b.shut()
		}
	}()
	for _, v := range []struct {
		network string
		side    **side
	}{{"udp4", &b.four}, {"udp6", &b.six}} {
		s, err := openSide(v.network, port, b.mark)
		if errors.Is(err, unix.EAFNOSUPPORT) {
			continue
		}
		if err != nil {
			return nil, 0, err
		}
		*v.side = s
		port = uint16(s.udp.LocalAddr().(*net.UDPAddr).Port)
		fns = append(fns, s.receive)
	}
	if fns == nil {
		return nil, 0, unix.EAFNOSUPPORT
	}
	return fns, port, nil
}

func openSide(network string, port uint16, mark uint32) (*side, error) {
	s := &side{}
	lc := net.ListenConfig{Control: func(_, _ string, c syscall.RawConn) error {
		var err error
		cerr := c.Control(func(f uintptr) {
			fd := int(f)
			// Beyond the host's limit where we may, else up to it.
			for _, o := range []int{unix.SO_RCVBUF, unix.SO_SNDBUF, unix.SO_RCVBUFFORCE, unix.SO_SNDBUFFORCE} {
				_ = unix.SetsockoptInt(fd, unix.SOL_SOCKET, o, socketRoom)
			}
			_ = unix.SetsockoptInt(fd, unix.IPPROTO_UDP, unix.UDP_GRO, 1)
			_, no := unix.GetsockoptInt(fd, unix.IPPROTO_UDP, unix.UDP_SEGMENT)
			s.split.Store(no == nil)
			if network == "udp6" {
				err = errors.Join(
					unix.SetsockoptInt(fd, unix.IPPROTO_IPV6, unix.IPV6_V6ONLY, 1),
					unix.SetsockoptInt(fd, unix.IPPROTO_IPV6, unix.IPV6_RECVPKTINFO, 1),
				)
			} else {
				err = unix.SetsockoptInt(fd, unix.IPPROTO_IP, unix.IP_PKTINFO, 1)
			}
			if mark != 0 && err == nil {
				err = unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_MARK, int(mark))
			}
		})
		return errors.Join(cerr, err)
	}}
	c, err := lc.ListenPacket(context.Background(), network, fmt.Sprintf(":%d", port))
	if err != nil {
		return nil, err
	}
	s.udp = c.(*net.UDPConn)
	s.pc = ipv4.NewPacketConn(s.udp)
	s.msgs = make([]ipv4.Message, reads)
	for i := range s.msgs {
		s.msgs[i] = ipv4.Message{Buffers: [][]byte{make([]byte, maxRun)}, OOB: make([]byte, oobSize)}
	}
	return s, nil
}

// receive hands over up to len(bufs) datagrams.
func (s *side) receive(bufs [][]byte, sizes []int, eps []conn.Endpoint) (int, error) {
	if len(s.ready) == 0 {
		n, err := s.pc.ReadBatch(s.msgs, 0)
		if err != nil {
			return 0, err
		}
		s.ready = s.msgs[:n]
		s.next()
	}
	got := 0
	for got < len(bufs) && len(s.ready) > 0 {
		n := min(s.size, len(s.run))
		sizes[got] = copy(bufs[got], s.run[:n])
		eps[got] = s.from
		got++
		s.run = s.run[n:]
		if len(s.run) == 0 {
			s.ready = s.ready[1:]
			s.next()
		}
	}
	return got, nil
}

// next unpacks ready[0].
func (s *side) next() {
	if len(s.ready) == 0 {
		return
	}
	m := &s.ready[0]
	s.run = m.Buffers[0][:m.N]
	size, src := control(m.OOB[:m.NN])
	s.size = size
	if size <= 0 {
		s.size = len(s.run)
	}
	dst := m.Addr.(*net.UDPAddr).AddrPort()
	dst = netip.AddrPortFrom(dst.Addr().Unmap(), dst.Port())
	if s.from != nil && s.from.dst == dst && s.from.SrcIP() == src {
		return // the same as before: spare the garbage
	}
	s.from = &place{dst: dst}
	if src.IsValid() {
		s.from.src.Store(&source{src, pktinfo(src)})
	}
}

// Send sends packets to one place, runs of equal size in one system call. It may
// use the room behind each packet.
func (b *bind) Send(bufs [][]byte, ep conn.Endpoint) error {
	to, ok := ep.(*place)
	if !ok {
		return conn.ErrWrongEndpointType
	}
	b.mu.Lock()
	s := b.four
	if to.dst.Addr().Is6() {
		s = b.six
	}
	b.mu.Unlock()
	if s == nil {
		return unix.EAFNOSUPPORT
	}
	var oob [oobSize]byte
	for len(bufs) > 0 {
		run, n := bufs[0], 1
		if s.split.Load() {
			run, n = gather(bufs)
		}
		err := s.send(run, len(bufs[0]), n, oob[:0], to)
		switch {
		case err == nil:
		case n > 1 && errors.Is(err, unix.EIO):
			// The card cannot compute checksums, so the kernel does not split.
			s.split.Store(false)
			continue
		default:
			return err
		}
		bufs = bufs[n:]
	}
	return nil
}

// gather puts the first packets of equal size, and one that is shorter, behind
// one another and says how many they are.
func gather(bufs [][]byte) (run []byte, n int) {
	run, size := bufs[0], len(bufs[0])
	for n = 1; n < len(bufs) && n < maxSplit; n++ {
		p := bufs[n]
		if len(p) == 0 || len(p) > size || len(run)+len(p) > min(maxPayload, cap(run)) {
			break
		}
		run = append(run, p...)
		if len(p) < size {
			return run, n + 1
		}
	}
	return run, n
}

func (s *side) send(run []byte, size, n int, oob []byte, to *place) error {
	src := to.src.Load()
	if src != nil {
		oob = append(oob, src.cmsg...)
	}
	if n > 1 {
		oob = appendSegment(oob, uint16(size))
	}
	_, _, err := s.udp.WriteMsgUDPAddrPort(run, oob, to.dst)
	if err != nil && src != nil && (errors.Is(err, unix.EINVAL) || errors.Is(err, unix.EADDRNOTAVAIL) || errors.Is(err, unix.ENETUNREACH)) {
		// The address that the peer called is no longer ours.
		to.src.CompareAndSwap(src, nil)
		oob = oob[:0]
		if n > 1 {
			oob = appendSegment(oob, uint16(size))
		}
		_, _, err = s.udp.WriteMsgUDPAddrPort(run, oob, to.dst)
	}
	return err
}

// SetMark marks what is sent from now on, for policy routing.
func (b *bind) SetMark(mark uint32) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.mark = mark
	for _, s := range []*side{b.four, b.six} {
		if s == nil {
			continue
		}
		rc, err := s.udp.SyscallConn()
		if err != nil {
			return err
		}
		var serr error
		err = rc.Control(func(fd uintptr) { serr = unix.SetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_MARK, int(mark)) })
		if err := errors.Join(err, serr); err != nil {
			return err
		}
	}
	return nil
}

func (b *bind) Close() error {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.shut()
}

func (b *bind) shut() error {
	var errs []error
	for _, s := range []*side{b.four, b.six} {
		if s != nil {
			errs = append(errs, s.udp.Close())
		}
	}
	b.four, b.six = nil, nil
	return errors.Join(errs...)
}
