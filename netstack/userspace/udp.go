package userspace

import (
	"context"
	"errors"
	"net"
	"sync"
	"time"

	"pic/netstack/policy"

	"golang.org/x/sys/unix"
	"gvisor.dev/gvisor/pkg/tcpip"
	"gvisor.dev/gvisor/pkg/tcpip/adapters/gonet"
	"gvisor.dev/gvisor/pkg/tcpip/transport/udp"
	"gvisor.dev/gvisor/pkg/waiter"
)

// How long a UDP flow may be silent (RFC 4787, REQ-5): less for well-known ports,
// which answer or do not.
const (
	udpIdle      = 2 * time.Minute
	udpKnown     = 1024
	udpKnownIdle = 30 * time.Second
)

// udp runs in the goroutine that delivers packets and must not wait.
func (o *outbound) udp(r *udp.ForwarderRequest) {
	defer o.recover()
	id := r.ID()
	f := o.begin(flowOf(policy.UDP, id), id.RemotePort)
	if f == nil {
		return
	}
	o.within(f, func() bool {
		var q waiter.Queue
		ep, terr := r.CreateEndpoint(&q)
		if terr != nil {
			return false
		}
		go o.relay(f, ep, &q)
		return true
	})
}

// relay carries datagrams both ways. Connecting a UDP socket does not wait, and
// has the kernel tell us of errors.
func (o *outbound) relay(f *flow, ep tcpip.Endpoint, q *waiter.Queue) {
	defer o.end(f)
	defer o.recover()
	near := gonet.NewUDPConn(q, ep)
	defer near.Close()
	var d net.Dialer
	c, err := d.DialContext(f.ctx, "udp", f.far().String())
	if err != nil {
		o.net.unreachable(f, err)
		return
	}
	far := c.(*net.UDPConn)
	defer far.Close()
	raw, err := far.SyscallConn()
	if err != nil {
		return
	}
	patience := udpIdle
	if f.Port < udpKnown {
		patience = udpKnownIdle
	}
	idle := time.AfterFunc(patience, f.cancel)
	defer idle.Stop()
	stop := context.AfterFunc(f.ctx, func() {
		near.Close()
		far.Close()
	})
	defer stop()
	src := newSource(ep, q)
	defer src.close()
	var wg sync.WaitGroup
	wg.Go(func() {
		defer f.cancel()
		defer o.recover()
		for {
			err := src.pull(f.ctx, func(b []byte) error {
				idle.Reset(patience)
				_, err := far.Write(b)
				return err
			})
			if err != nil && !o.passing(f, err) {
				return
			}
		}
	})
	wg.Go(func() {
		defer f.cancel()
		defer o.recover()
		for {
			_, err := pull(raw, func(b []byte) error {
				idle.Reset(patience)
				_, _ = near.Write(b) // one that is lost does not end the flow
				return nil
			})
			if err != nil && !o.passing(f, err) {
				return
			}
		}
	})
	wg.Wait()
}

// passing reports whether a flow may go on after an error of its socket. The peer
// is told of it.
func (o *outbound) passing(f *flow, err error) bool {
	if f.ctx.Err() != nil {
		return false
	}
	switch {
	case errors.Is(err, unix.ECONNREFUSED), errors.Is(err, unix.EHOSTUNREACH), errors.Is(err, unix.ENETUNREACH):
		o.net.unreachable(f, err)
		return true
	case errors.Is(err, unix.EMSGSIZE), errors.Is(err, unix.ENOBUFS), errors.Is(err, unix.EPERM):
		return true // that datagram is lost
	}
	return false
}
