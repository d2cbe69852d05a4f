package netstack

import (
	"context"
	"io"
	"log/slog"
	"net"
	"net/netip"
	"slices"
	"sync"
	"time"

	"pic/netstack/policy"

	"gvisor.dev/gvisor/pkg/tcpip"
	"gvisor.dev/gvisor/pkg/tcpip/adapters/gonet"
	"gvisor.dev/gvisor/pkg/tcpip/stack"
	"gvisor.dev/gvisor/pkg/tcpip/transport/tcp"
	"gvisor.dev/gvisor/pkg/tcpip/transport/udp"
	"gvisor.dev/gvisor/pkg/waiter"
)

const (
	maxFlows    = 1024 // of all peers, forwarded at a time
	maxOpening  = 64   // TCP connections whose far end has not answered
	dialTimeout = 10 * time.Second
	udpIdle     = 2 * time.Minute // RFC 4787 REQ-5
	peerIdle    = 5 * time.Minute // then keepalives, until the stack gives up
)

// An outbound carries what peers send beyond the cell through sockets of this
// process: TCP connections and UDP flows, as the policy allows.
type outbound struct {
	net *userNet
	log *slog.Logger

	mu    sync.Mutex
	flows map[*flow]struct{}
	wg    sync.WaitGroup
}

// A flow is one connection of a peer to somebody beyond the cell.
type flow struct {
	proto    uint8 // of IP
	src, dst netip.AddrPort
	cancel   context.CancelFunc
}

// forward makes the stack take what is for anybody. What may not pass is kept
// out by userNet.Write and by the policy.
func (n *userNet) forward(log *slog.Logger) error {
	o := &outbound{net: n, log: log, flows: map[*flow]struct{}{}}
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
		p := o.net.policy.Load()
		return p != nil && beyond(p, proto, party(id.RemoteAddress, id.RemotePort), party(id.LocalAddress, id.LocalPort)) && next(id, pkt)
	}
}

// begin makes a flow, or none if there are too many.
func (o *outbound) begin(proto uint8, id stack.TransportEndpointID) (*flow, context.Context) {
	f := &flow{
		proto: proto, src: party(id.RemoteAddress, id.RemotePort), dst: party(id.LocalAddress, id.LocalPort),
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	if len(o.flows) >= maxFlows || o.net.ctx.Err() != nil {
		return nil, nil
	}
	var ctx context.Context
	ctx, f.cancel = context.WithCancel(o.net.ctx)
	o.flows[f] = struct{}{}
	o.wg.Add(1)
	return f, ctx
}

func (o *outbound) end(f *flow) {
	f.cancel()
	o.mu.Lock()
	delete(o.flows, f)
	o.mu.Unlock()
	o.wg.Done()
}

// enforce ends the flows that a new policy no longer allows.
func (o *outbound) enforce(p *policy.Policy) {
	o.mu.Lock()
	defer o.mu.Unlock()
	for f := range o.flows {
		if !beyond(p, f.proto, f.src, f.dst) {
			f.cancel()
		}
	}
}

// tcp runs in a goroutine of the stack, one per opening connection.
func (o *outbound) tcp(r *tcp.ForwarderRequest) {
	defer o.recover()
	f, ctx := o.begin(policy.TCP, r.ID())
	if f == nil {
		r.Complete(true) // refused by a reset
		return
	}
	dialCtx, done := context.WithTimeout(ctx, dialTimeout)
	var d net.Dialer
	far, err := d.DialContext(dialCtx, "tcp", f.dst.String())
	done()
	if err != nil {
		r.Complete(true)
		o.end(f)
		return
	}
	var q waiter.Queue
	ep, terr := r.CreateEndpoint(&q)
	r.Complete(terr != nil)
	if terr != nil {
		far.Close()
		o.end(f)
		return
	}
	// A peer that vanishes must not hold its connections for ever.
	idle := tcpip.KeepaliveIdleOption(peerIdle)
	_ = ep.SetSockOpt(&idle)
	ep.SocketOptions().SetKeepAlive(true)
	near := gonet.NewTCPConn(&q, ep)
	go o.splice(ctx, f, near, far.(*net.TCPConn))
}

type halfCloser interface {
	net.Conn
	CloseWrite() error
}

func (o *outbound) splice(ctx context.Context, f *flow, near, far halfCloser) {
	defer o.end(f)
	defer o.recover()
	stop := context.AfterFunc(ctx, func() {
		near.Close()
		far.Close()
	})
	defer stop()
	var wg sync.WaitGroup
	for _, way := range [][2]halfCloser{{near, far}, {far, near}} {
		wg.Go(func() {
			from, to := way[0], way[1]
			if _, err := io.Copy(to, from); err != nil {
				near.Close()
				far.Close()
				return
			}
			to.CloseWrite()
		})
	}
	wg.Wait()
	near.Close()
	far.Close()
}

// udp runs in the goroutine that delivers packets and must not wait.
func (o *outbound) udp(r *udp.ForwarderRequest) {
	defer o.recover()
	f, ctx := o.begin(policy.UDP, r.ID())
	if f == nil {
		return
	}
	var q waiter.Queue
	ep, terr := r.CreateEndpoint(&q)
	if terr != nil {
		o.end(f)
		return
	}
	near := gonet.NewUDPConn(&q, ep)
	go o.relay(ctx, f, near)
}

func (o *outbound) relay(ctx context.Context, f *flow, near net.Conn) {
	defer o.end(f)
	defer o.recover()
	defer near.Close()
	var d net.Dialer
	far, err := d.DialContext(ctx, "udp", f.dst.String())
	if err != nil {
		return
	}
	defer far.Close()
	idle := time.AfterFunc(udpIdle, f.cancel)
	defer idle.Stop()
	stop := context.AfterFunc(ctx, func() {
		near.Close()
		far.Close()
	})
	defer stop()
	var wg sync.WaitGroup
	for _, way := range [][2]net.Conn{{near, far}, {far, near}} {
		wg.Go(func() {
			defer f.cancel()
			b := make([]byte, 1<<16)
			for {
				n, err := way[0].Read(b)
				if err != nil {
					return
				}
				idle.Reset(udpIdle)
				if _, err := way[1].Write(b[:n]); err != nil && ctx.Err() != nil {
					return
				}
			}
		})
	}
	wg.Wait()
}

func (o *outbound) recover() {
	if r := recover(); r != nil {
		o.log.Error("forwarding for a peer", "panic", r)
	}
}

// beyond reports whether the policy lets a peer go there, and there is beyond the
// tunnel.
func beyond(p *policy.Policy, proto uint8, src, dst netip.AddrPort) bool {
	v := p.Decide(policy.Flow{Src: src.Addr(), Dst: dst.Addr(), Proto: proto, Port: dst.Port()})
	switch v.Way {
	case policy.ToLAN, policy.ToWAN:
		return v.Allow
	case policy.ToCell: // by another of the host's addresses
		return v.Allow && !slices.Contains(p.Rules().Cell, dst.Addr())
	}
	return false
}

func party(a tcpip.Address, port uint16) netip.AddrPort {
	ip, _ := netip.AddrFromSlice(a.AsSlice())
	return netip.AddrPortFrom(ip, port)
}
