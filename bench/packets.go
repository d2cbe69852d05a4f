package main

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"sync/atomic"
	"syscall"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

// A pump sends datagrams from one host to another and counts those that arrive,
// many with each system call, each on its own: no run that the kernel would cut.
type pump struct {
	in, out *net.UDPConn
	inRaw   syscall.RawConn
	outRaw  syscall.RawConn
	news    chan struct{} // that something has arrived
	arrived atomic.Int64
}

const (
	pumpPort  = 5002
	pumpBatch = 64
	stall     = 20 * time.Millisecond // after which what is under way is taken for lost
)

// socket opens a pump from the far end to the near one.
func (t *tube) socket(l *lab) (*pump, error) {
	addr, err := netip.ParseAddr(t.addr)
	if err != nil {
		return nil, err
	}
	p := &pump{news: make(chan struct{}, 1)}
	at := net.UDPAddrFromAddrPort(netip.AddrPortFrom(addr, pumpPort))
	if err := t.near.do(func() (err error) {
		p.in, err = net.ListenUDP("udp4", at)
		return err
	}); err != nil {
		return nil, err
	}
	l.atEnd(func() { p.in.Close() })
	if err := t.far.do(func() (err error) {
		p.out, err = net.DialUDP("udp4", nil, at)
		return err
	}); err != nil {
		return nil, err
	}
	l.atEnd(func() { p.out.Close() })
	if p.outRaw, err = p.out.SyscallConn(); err != nil {
		return nil, err
	}
	if p.inRaw, err = p.in.SyscallConn(); err != nil {
		return nil, err
	}
	// So that the receiver is not what loses them; where that is forbidden, all
	// have what the system gives.
	return p, p.inRaw.Control(func(fd uintptr) {
		_ = unix.SetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_RCVBUFFORCE, 4<<20)
	})
}

// batch is room for messages of so many bytes each, all in one place: what is in
// them does not matter.
func batch(size int) []mmsghdr {
	iov := unix.Iovec{Base: &make([]byte, size)[0]}
	iov.SetLen(size)
	out := make([]mmsghdr, pumpBatch)
	for i := range out {
		out[i].hdr.Iov = &iov
		out[i].hdr.SetIovlen(1)
	}
	return out
}

// mmsg is sendmmsg(2) or recvmmsg(2), whichever call is.
func mmsg(call, fd uintptr, msgs []mmsghdr) (int, error) {
	n, _, e := unix.Syscall6(call, fd, uintptr(unsafe.Pointer(&msgs[0])), uintptr(len(msgs)), unix.MSG_DONTWAIT, 0, 0)
	if e != 0 {
		return 0, e
	}
	return int(n), nil
}

// pass sends datagrams until the turn is over: with at most so many under way, 0
// for what the sender can. What arrives within the turn counts.
func (p *pump) pass(ctx context.Context, m *meter, size, flying int) error {
	read := make(chan error, 1)
	p.arrived.Store(0)
	if err := p.in.SetReadDeadline(time.Time{}); err != nil {
		return err
	}
	m.begin()
	go func() { read <- p.count(batch(2048)) }()
	err := p.send(ctx, m, batch(size), int64(flying))
	m.end(float64(p.arrived.Load()))
	// What is still under way belongs to no turn.
	time.Sleep(100 * time.Millisecond)
	return errors.Join(err, p.in.SetReadDeadline(time.Now()), <-read)
}

// count takes in what arrives until the deadline.
func (p *pump) count(msgs []mmsghdr) error {
	var err error
	done := p.inRaw.Read(func(fd uintptr) bool {
		for {
			var n int
			if n, err = mmsg(unix.SYS_RECVMMSG, fd, msgs); err != nil {
				return !errors.Is(err, unix.EAGAIN) && !errors.Is(err, unix.EINTR)
			}
			p.arrived.Add(int64(n))
			select {
			case p.news <- struct{}{}:
			default:
			}
		}
	})
	if done != nil {
		return nil // the deadline
	}
	return err
}

func (p *pump) send(ctx context.Context, m *meter, msgs []mmsghdr, flying int64) error {
	var sent, gone int64 // gone: taken for lost
	timer := time.NewTimer(stall)
	defer timer.Stop()
	for !m.over() && ctx.Err() == nil {
		n := int64(len(msgs))
		if flying > 0 {
			n = min(n, flying-(sent-gone-p.arrived.Load()))
		}
		if n < 1 {
			timer.Reset(stall)
			select {
			case <-p.news:
			case <-timer.C:
				gone = sent - p.arrived.Load()
			}
			continue
		}
		var err error
		if e := p.outRaw.Write(func(fd uintptr) bool {
			var k int
			k, err = mmsg(unix.SYS_SENDMMSG, fd, msgs[:n])
			sent += int64(k)
			return !errors.Is(err, unix.EAGAIN)
		}); e != nil {
			return e
		}
		if err != nil && !errors.Is(err, unix.ENOBUFS) && !errors.Is(err, unix.EINTR) {
			return err
		}
	}
	return ctx.Err()
}
