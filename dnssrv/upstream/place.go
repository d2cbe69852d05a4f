package upstream

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"sync"
	"time"
)

const (
	// known is how long the addresses of a resolver's name are used before they
	// are looked up again; afterwards too, while that fails.
	known    = time.Hour
	maxAddrs = 8
)

// A place is where a resolver is found to be.
type place struct {
	mu    sync.Mutex
	addrs []netip.AddrPort // the one to try first in front
	until time.Time
}

// addresses returns where r may be reached, the most promising first.
func (p *place) addresses(ctx context.Context, r *Resolver) ([]netip.AddrPort, error) {
	if r.addr.IP.IsValid() {
		return []netip.AddrPort{r.addr.IP}, nil
	}
	p.mu.Lock()
	addrs, fresh := p.addrs, time.Now().Before(p.until)
	p.mu.Unlock()
	if fresh {
		return addrs, nil
	}
	if r.opt.Lookup == nil {
		return nil, errors.New("its address is not known; give it after #")
	}
	found, err := r.opt.Lookup(ctx, r.addr.Host)
	if err == nil && len(found) == 0 {
		err = errors.New("it has none")
	}
	if err != nil {
		if len(addrs) > 0 {
			return addrs, nil
		}
		return nil, fmt.Errorf("looking up the address of %s (give it after # to do without): %w", r.addr.Host, err)
	}
	addrs = nil
	for _, a := range found[:min(len(found), maxAddrs)] {
		addrs = append(addrs, netip.AddrPortFrom(a.Unmap(), r.addr.Port))
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.addrs, p.until = addrs, time.Now().Add(known)
	return addrs, nil
}

// next puts a, which did not work, behind the others.
func (p *place) next(a netip.AddrPort) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if len(p.addrs) > 1 && p.addrs[0] == a {
		p.addrs = append(append([]netip.AddrPort(nil), p.addrs[1:]...), a)
	}
}

// addrOf returns the far end of a connection.
func addrOf(c net.Conn) netip.AddrPort {
	switch a := c.RemoteAddr().(type) {
	case *net.TCPAddr:
		return netip.AddrPortFrom(a.AddrPort().Addr().Unmap(), uint16(a.Port))
	case *net.UDPAddr:
		return netip.AddrPortFrom(a.AddrPort().Addr().Unmap(), uint16(a.Port))
	}
	return netip.AddrPort{}
}
