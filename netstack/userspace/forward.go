package userspace

import (
	"context"
	"errors"
	"io"
	"net/netip"
	"sync"
	"syscall"
	"time"

	"pic/netstack/policy"

	"golang.org/x/sys/unix"
	"gvisor.dev/gvisor/pkg/tcpip"
	"gvisor.dev/gvisor/pkg/tcpip/stack"
	"gvisor.dev/gvisor/pkg/tcpip/transport/tcp"
	"gvisor.dev/gvisor/pkg/tcpip/transport/udp"
	"gvisor.dev/gvisor/pkg/waiter"
)

const (
	maxFlows    = 2048 // of all peers at a time
	maxPeer     = 512  // of one
	maxOpening  = 256  // TCP connections whose far end has not answered
	dialTimeout = 10 * time.Second
)

// An outbound carries what peers send beyond the cell through sockets of this
// process, as the policy allows.
type outbound struct {
	net *Net

	mu    sync.Mutex
	flows map[*flow]struct{}
	count map[netip.Addr]int // of flows, by peer
	pings map[pingKey]*pinger
	wg    sync.WaitGroup
}

// A flow is one connection of a peer to somebody beyond the cell.
type flow struct {
	policy.Flow
	from   uint16 // port
	ctx    context.Context
	cancel context.CancelFunc
}

func (f *flow) far() netip.AddrPort { return netip.AddrPortFrom(f.Dst, f.Port) }

// forward makes the stack take what is for anybody. What may not pass is kept out
// by the gate and by the policy.
func (n *Net) forward() error {
	o := &outbound{net: n, flows: map[*flow]struct{}{}, count: map[netip.Addr]int{}, pings: map[pingKey]*pinger{}}
	n.out = o
	if err := n.stack.SetPromiscuousMode(nic, true); err != nil {
		return stackError("taking what is for others", err)
	}
	if err := n.stack.SetSpoofing(nic, true); err != nil {
		return stackError("answering for others", err)
	}
	t := tcp.NewForwarder(n.stack, 0, maxOpening, o.tcp)
	n.stack.SetTransportProtocolHandler(tcp.ProtocolNumber, o.allowed(policy.TCP, t.HandlePacket))
	u := udp.NewForwarder(n.stack, o.udp)
	n.stack.SetTransportProtocolHandler(udp.ProtocolNumber, o.allowed(policy.UDP, u.HandlePacket))
	return nil
}

type handler = func(stack.TransportEndpointID, *stack.PacketBuffer) bool

// allowed lets next see what the policy allows. The rest, and what is for a port
// of the cell where nobody listens, the stack itself refuses: by a reset, or by
// ICMP.
func (o *outbound) allowed(proto uint8, next handler) handler {
	return func(id stack.TransportEndpointID, pkt *stack.PacketBuffer) bool {
		g := o.net.gate.Load()
		return g != nil && beyond(g.Policy, flowOf(proto, id)) && next(id, pkt)
	}
}

func flowOf(proto uint8, id stack.TransportEndpointID) policy.Flow {
	src, _ := netip.AddrFromSlice(id.RemoteAddress.AsSlice())
	dst, _ := netip.AddrFromSlice(id.LocalAddress.AsSlice())
	return policy.Flow{Src: src, Dst: dst, Proto: proto, Port: id.LocalPort}
}

// begin makes a flow, or none if there are too many. It asks the policy again, for
// that may have changed since and the flow not have been among those that ended.
func (o *outbound) begin(f policy.Flow, from uint16) *flow {
	o.mu.Lock()
	defer o.mu.Unlock()
	g := o.net.gate.Load()
	if len(o.flows) >= maxFlows || o.count[f.Src] >= maxPeer || o.net.ctx.Err() != nil || g == nil || !beyond(g.Policy, f) {
		return nil
	}
	w := &flow{Flow: f, from: from}
	w.ctx, w.cancel = context.WithCancel(o.net.ctx)
	o.flows[w] = struct{}{}
	o.count[f.Src]++
	o.wg.Add(1)
	return w
}

func (o *outbound) end(f *flow) {
	f.cancel()
	o.mu.Lock()
	delete(o.flows, f)
	if o.count[f.Src]--; o.count[f.Src] == 0 {
		delete(o.count, f.Src)
	}
	o.mu.Unlock()
	o.wg.Done()
}

// within has use carry a flow. Unless use has handed it on, to a goroutine that will
// end it, the flow ends here, also by a panic: Close waits for every flow.
func (o *outbound) within(f *flow, use func() (handed bool)) {
	handed := false
	defer func() {
		if !handed {
			o.end(f)
		}
	}()
	handed = use()
}

// enforce ends the flows that a new policy no longer allows.
func (o *outbound) enforce(p *policy.Policy) {
	o.mu.Lock()
	defer o.mu.Unlock()
	for f := range o.flows {
		if p == nil || !beyond(p, f.Flow) {
			f.cancel()
		}
	}
}

func (o *outbound) recover() {
	if r := recover(); r != nil {
		o.net.log.Error("forwarding for a peer", "panic", r)
	}
}

// A buf is as large as the largest datagram. Flows take one only while they have
// something in hand: thousands of idle ones need none.
type buf [1 << 16]byte

var bufs = sync.Pool{New: func() any { return new(buf) }}

// pull waits for something from a socket and hands it to use; n is 0 at the end
// of a stream.
func pull(raw syscall.RawConn, use func([]byte) error) (n int, err error) {
	var b *buf
	rerr := raw.Read(func(fd uintptr) bool {
		b = bufs.Get().(*buf)
		for {
			n, err = unix.Read(int(fd), b[:])
			if !errors.Is(err, unix.EINTR) {
				break
			}
		}
		if errors.Is(err, unix.EAGAIN) {
			bufs.Put(b)
			b = nil
			return false
		}
		return true
	})
	if b != nil {
		defer bufs.Put(b)
	}
	if err = errors.Join(rerr, err); err != nil {
		return 0, err
	}
	return n, use(b[:n])
}

// A source is an endpoint of the stack from which a flow reads.
type source struct {
	ep    tcpip.Endpoint
	queue *waiter.Queue
	entry waiter.Entry
	ready chan struct{}
}

func newSource(ep tcpip.Endpoint, q *waiter.Queue) *source {
	s := &source{ep: ep, queue: q}
	s.entry, s.ready = waiter.NewChannelEntry(waiter.ReadableEvents | waiter.EventHUp | waiter.EventErr)
	q.EventRegister(&s.entry)
	return s
}

func (s *source) close() { s.queue.EventUnregister(&s.entry) }

// errBroken stands for errors of the stack.
var errBroken = errors.New("the connection is broken")

// pull is the other pull, for the stack; io.EOF is the end of a stream.
func (s *source) pull(ctx context.Context, use func([]byte) error) error {
	for {
		b := bufs.Get().(*buf)
		w := tcpip.SliceWriter(b[:])
		res, err := s.ep.Read(&w, tcpip.ReadOptions{})
		if err == nil {
			defer bufs.Put(b)
			return use(b[:res.Count])
		}
		bufs.Put(b)
		switch err.(type) {
		case *tcpip.ErrWouldBlock:
			select {
			case <-s.ready:
			case <-ctx.Done():
				return ctx.Err()
			}
		case *tcpip.ErrClosedForReceive:
			return io.EOF
		default:
			return errBroken
		}
	}
}
