package userspace

import (
	"encoding/binary"
	"net/netip"
	"os"
	"time"

	"pic/netstack/policy"

	"golang.org/x/sys/unix"
	"gvisor.dev/gvisor/pkg/tcpip/header"
)

const (
	maxPings = 64 // conversations of all peers at a time
	pingIdle = 15 * time.Second
)

// A pingKey is what tells one conversation of pings from another.
type pingKey struct {
	src, dst netip.Addr
	id       uint16
}

// A pinger is the socket for one conversation.
type pinger struct {
	flow *flow
	file *os.File
	idle *time.Timer
}

// ping sends an echo request of a peer on. The kernel gives it an identifier of its
// own and lets only answers to it back in. Where the host has no such sockets for us
// the request is lost. It must not wait.
func (o *outbound) ping(h *sight, p []byte) {
	msg := p[h.rest:]
	key := pingKey{h.Src, h.Dst, binary.BigEndian.Uint16(msg[4:])}
	o.mu.Lock()
	g := o.pings[key]
	full := len(o.pings) >= maxPings
	o.mu.Unlock()
	if g == nil {
		if full {
			return
		}
		if g = o.openPing(key, h.Flow); g == nil {
			return
		}
	}
	g.idle.Reset(pingIdle)
	_, _ = g.file.Write(msg) // lost if it fails, as pings are
}

func (o *outbound) openPing(key pingKey, w policy.Flow) *pinger {
	family, proto := unix.AF_INET, unix.IPPROTO_ICMP
	var to unix.Sockaddr
	if w.Dst.Is6() {
		family, proto = unix.AF_INET6, unix.IPPROTO_ICMPV6
		to = &unix.SockaddrInet6{Addr: w.Dst.As16()}
	} else {
		to = &unix.SockaddrInet4{Addr: w.Dst.As4()}
	}
	fd, err := unix.Socket(family, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, proto)
	if err != nil {
		o.net.log.Debug("the host lets us send no pings", "err", err)
		return nil
	}
	if err := unix.Connect(fd, to); err != nil {
		unix.Close(fd)
		return nil
	}
	f := o.begin(w, 0)
	if f == nil {
		unix.Close(fd)
		return nil
	}
	g := &pinger{flow: f, file: os.NewFile(uintptr(fd), "ping")}
	g.idle = time.AfterFunc(pingIdle, f.cancel)
	o.mu.Lock()
	o.pings[key] = g
	o.mu.Unlock()
	go o.answers(g, key)
	return g
}

// answers brings back what the far end says.
func (o *outbound) answers(g *pinger, key pingKey) {
	defer o.end(g.flow)
	defer o.recover()
	defer func() {
		g.idle.Stop()
		o.mu.Lock()
		delete(o.pings, key)
		o.mu.Unlock()
		g.file.Close()
	}()
	raw, err := g.file.SyscallConn()
	if err != nil {
		return
	}
	go func() {
		<-g.flow.ctx.Done()
		_ = g.file.SetReadDeadline(time.Unix(1, 0))
	}()
	for g.flow.ctx.Err() == nil {
		_, err := pull(raw, func(b []byte) error {
			if len(b) < header.ICMPv4MinimumSize {
				return nil
			}
			msg := append([]byte(nil), b...)
			binary.BigEndian.PutUint16(msg[4:], key.id)
			o.net.sendICMP(key.dst, key.src, msg)
			return nil
		})
		if err != nil { // of one ping, or of all
			select {
			case <-g.flow.ctx.Done():
			case <-time.After(10 * time.Millisecond):
			}
		}
	}
}
