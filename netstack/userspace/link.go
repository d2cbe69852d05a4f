package userspace

import (
	"sync"
	"sync/atomic"

	"gvisor.dev/gvisor/pkg/tcpip"
	"gvisor.dev/gvisor/pkg/tcpip/header"
	"gvisor.dev/gvisor/pkg/tcpip/stack"
)

const (
	// maxGSO is the largest packet that TCP may hand over to be cut.
	maxGSO = 1<<16 - 1
	// maxQueued is how many bytes may wait for WireGuard. Who sends more waits.
	maxQueued = 256 << 10
)

// A link is the stack's interface: a queue towards WireGuard. It is bounded and
// loses nothing: the stack waits, as a program does that writes to a socket.
// Nothing that empties the queue ever waits for the stack.
type link struct {
	mtu        atomic.Uint32
	dispatcher atomic.Pointer[stack.NetworkDispatcher]

	mu     sync.Mutex
	more   sync.Cond // there is something to read
	room   sync.Cond // for those who wait to write
	queue  []*stack.PacketBuffer
	bytes  int
	closed bool

	// Of the reader alone.
	taken   []*stack.PacketBuffer // from the queue, at
	at      int
	cutting segments
}

func newLink(mtu int) *link {
	l := &link{}
	l.mtu.Store(uint32(mtu))
	l.more.L, l.room.L = &l.mu, &l.mu
	return l
}

// WritePackets queues what the stack sends.
func (l *link) WritePackets(pkts stack.PacketBufferList) (int, tcpip.Error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for i, p := range pkts.AsSlice() {
		for l.bytes >= maxQueued && !l.closed {
			l.room.Wait()
		}
		if l.closed {
			return i, &tcpip.ErrClosedForSend{}
		}
		l.queue = append(l.queue, p.IncRef())
		l.bytes += p.Size()
		if len(l.queue) == 1 {
			l.more.Signal()
		}
	}
	return pkts.Len(), nil
}

// send queues a packet that the stack did not make, unless the queue is full.
func (l *link) send(p *stack.PacketBuffer) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.closed || l.bytes >= maxQueued {
		p.DecRef()
		return
	}
	l.queue = append(l.queue, p)
	l.bytes += p.Size()
	l.more.Signal()
}

// read fills bufs, whose packets begin at offset, with packets of the MTU. It waits
// for the first and returns 0 once the link is shut.
func (l *link) read(bufs [][]byte, sizes []int, offset int) int {
	got := 0
	for got < len(bufs) {
		if !l.cutting.more() {
			p := l.next(got == 0)
			if p == nil {
				break
			}
			l.cutting.begin(p)
		}
		for got < len(bufs) && l.cutting.more() {
			if sizes[got] = l.cutting.cut(bufs[got][offset:]); sizes[got] > 0 {
				got++
			}
		}
	}
	return got
}

// next takes a packet; nil: there is none, or the link is shut.
func (l *link) next(wait bool) *stack.PacketBuffer {
	if l.at == len(l.taken) {
		clear(l.taken)
		l.mu.Lock()
		for wait && len(l.queue) == 0 && !l.closed {
			l.more.Wait()
		}
		l.taken, l.queue, l.at = l.queue, l.taken[:0], 0
		l.bytes = 0
		l.mu.Unlock()
		l.room.Broadcast()
		if len(l.taken) == 0 {
			return nil
		}
	}
	p := l.taken[l.at]
	l.at++
	return p
}

// shut ends reading and writing. What waits is lost.
func (l *link) shut() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.closed = true
	for _, p := range l.queue {
		p.DecRef()
	}
	l.queue, l.bytes = nil, 0
	l.more.Broadcast()
	l.room.Broadcast()
}

// deliver gives the stack a packet that has arrived.
func (l *link) deliver(proto tcpip.NetworkProtocolNumber, p *stack.PacketBuffer) {
	if d := l.dispatcher.Load(); d != nil {
		(*d).DeliverNetworkPacket(proto, p)
	}
	p.DecRef()
}

// The methods below are those of stack.LinkEndpoint and stack.GSOEndpoint.

func (l *link) Attach(d stack.NetworkDispatcher) {
	if d == nil {
		l.dispatcher.Store(nil)
		return
	}
	l.dispatcher.Store(&d)
}

// Capabilities promise that checksums have been verified: see joiner.
func (l *link) Capabilities() stack.LinkEndpointCapabilities {
	return stack.CapabilityRXChecksumOffload
}

func (l *link) SupportedGSO() stack.SupportedGSO        { return stack.HostGSOSupported }
func (l *link) GSOMaxSize() uint32                      { return maxGSO }
func (l *link) MTU() uint32                             { return l.mtu.Load() }
func (l *link) SetMTU(mtu uint32)                       { l.mtu.Store(mtu) }
func (l *link) IsAttached() bool                        { return l.dispatcher.Load() != nil }
func (l *link) MaxHeaderLength() uint16                 { return 0 }
func (l *link) LinkAddress() tcpip.LinkAddress          { return "" }
func (l *link) SetLinkAddress(tcpip.LinkAddress)        {}
func (l *link) Wait()                                   {}
func (l *link) ARPHardwareType() header.ARPHardwareType { return header.ARPHardwareNone }
func (l *link) AddHeader(*stack.PacketBuffer)           {}
func (l *link) ParseHeader(*stack.PacketBuffer) bool    { return true }
func (l *link) Close()                                  {}
func (l *link) SetOnCloseAction(func())                 {}
