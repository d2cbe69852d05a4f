package wgdev

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"sync"
	"sync/atomic"
	"syscall"

	"golang.org/x/sys/unix"
	"golang.zx2c4.com/wireguard/conn"
)

// A bind is WireGuard's UDP sockets, one for each IP version.
//
// The kernel merges and splits runs of datagrams (UDP_GRO, UDP_SEGMENT), and a
// run is sent and, once its shape is known, received from and into the library's
// buffers without a copy. Answers leave from the address that the peer has
// called (IP_PKTINFO), so that they pass its NAT, for as long as the host has
// that address.
type bind struct {
	batch   int
	sends   *window // from the interface to the sockets
	takes   *window // the other way
	indices *indices

	mu   sync.Mutex
	four *side
	six  *side
	mark uint32
}

func newBind(batch int, sends, takes *window) *bind {
	return &bind{batch: batch, sends: sends, takes: takes, indices: newIndices()}
}

const (
	maxRun     = 1 << 16 // bytes
	maxSplit   = 64      // datagrams, a limit of the kernel
	maxPayload = 1<<16 - 1 - 20 - 8
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
		s, err := b.openSide(v.network, port)
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

// A side is the socket of one IP version.
type side struct {
	udp     *net.UDPConn
	raw     syscall.RawConn
	six     bool
	split   atomic.Bool // the kernel splits what we send
	in      intake
	takes   *window
	indices *indices
	sends   *window
}

func (b *bind) openSide(network string, port uint16) (*side, error) {
	s := &side{six: network == "udp6", takes: b.takes, sends: b.sends, indices: b.indices}
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
			if s.six {
				err = errors.Join(
					unix.SetsockoptInt(fd, unix.IPPROTO_IPV6, unix.IPV6_V6ONLY, 1),
					unix.SetsockoptInt(fd, unix.IPPROTO_IPV6, unix.IPV6_RECVPKTINFO, 1),
				)
			} else {
				err = unix.SetsockoptInt(fd, unix.IPPROTO_IP, unix.IP_PKTINFO, 1)
			}
			if b.mark != 0 && err == nil {
				err = unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_MARK, int(b.mark))
			}
		})
		return errors.Join(cerr, err)
	}}
	c, err := lc.ListenPacket(context.Background(), network, fmt.Sprintf(":%d", port))
	if err != nil {
		return nil, err
	}
	s.udp = c.(*net.UDPConn)
	if s.raw, err = s.udp.SyscallConn(); err != nil {
		c.Close()
		return nil, err
	}
	s.in.init(s)
	return s, nil
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
		var serr error
		err := s.raw.Control(func(fd uintptr) { serr = unix.SetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_MARK, int(mark)) })
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
