package userspace

import (
	"context"
	"errors"
	"io"
	"net"
	"sync"
	"time"

	"pic/netstack/policy"

	"gvisor.dev/gvisor/pkg/tcpip"
	"gvisor.dev/gvisor/pkg/tcpip/adapters/gonet"
	"gvisor.dev/gvisor/pkg/tcpip/transport/tcp"
	"gvisor.dev/gvisor/pkg/waiter"
)

// peerIdle is after what silence a peer is asked whether it is still there. One
// that has vanished must not hold its connections for ever.
const peerIdle = 5 * time.Minute

// tcp runs in a goroutine of the stack, one per opening connection. The peer's
// connection is accepted once the far one is there, and reset if it cannot be had.
func (o *outbound) tcp(r *tcp.ForwarderRequest) {
	defer o.recover()
	id := r.ID()
	f := o.begin(flowOf(policy.TCP, id), id.RemotePort)
	if f == nil {
		r.Complete(true)
		return
	}
	o.within(f, func() bool { return o.openTCP(f, r) })
}

func (o *outbound) openTCP(f *flow, r *tcp.ForwarderRequest) bool {
	ctx, done := context.WithTimeout(f.ctx, dialTimeout)
	var d net.Dialer
	c, err := d.DialContext(ctx, "tcp", f.far().String())
	done()
	if err != nil {
		r.Complete(true)
		return false
	}
	far := c.(*net.TCPConn)
	var q waiter.Queue
	ep, terr := r.CreateEndpoint(&q)
	r.Complete(terr != nil)
	if terr != nil {
		far.Close()
		return false
	}
	idle := tcpip.KeepaliveIdleOption(peerIdle)
	_ = ep.SetSockOpt(&idle)
	ep.SocketOptions().SetKeepAlive(true)
	go o.splice(f, ep, &q, far)
	return true
}

// splice carries both directions until both have ended, or all at once if one
// breaks or the policy says so.
func (o *outbound) splice(f *flow, ep tcpip.Endpoint, q *waiter.Queue, far *net.TCPConn) {
	defer o.end(f)
	defer o.recover()
	near := gonet.NewTCPConn(q, ep)
	src := newSource(ep, q)
	defer src.close()
	raw, err := far.SyscallConn()
	if err != nil {
		f.cancel()
	}
	abort := context.AfterFunc(f.ctx, func() {
		_ = far.SetLinger(0) // a reset, as the end was no orderly one
		far.Close()
		ep.Abort()
	})
	var wg sync.WaitGroup
	wg.Go(func() {
		defer o.recover()
		for {
			err := src.pull(f.ctx, func(b []byte) error {
				_, err := far.Write(b)
				return err
			})
			if errors.Is(err, io.EOF) {
				_ = far.CloseWrite()
				return
			}
			if err != nil {
				f.cancel()
				return
			}
		}
	})
	wg.Go(func() {
		defer o.recover()
		for err == nil {
			n, err := pull(raw, func(b []byte) error {
				_, err := near.Write(b)
				return err
			})
			switch {
			case err != nil:
				f.cancel()
				return
			case n == 0:
				_ = near.CloseWrite()
				return
			}
		}
	})
	wg.Wait()
	abort()
	near.Close()
	far.Close()
}
