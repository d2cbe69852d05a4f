package wgdev

import (
	"context"
	"fmt"
	"maps"
	"net"
	"net/netip"
	"slices"
	"strconv"
	"sync"
	"time"
)

const (
	// look is how often peers with named endpoints are looked at; more seldom with
	// thousands of peers, for the device then has much to tell.
	look = time.Second
	// silence is for how long nothing may come from a peer that is spoken to until
	// its name is looked up again. A peer that is well answers within 10 s, and
	// after 15 s WireGuard shakes hands anew: the new address should be known then,
	// for the next try is 5 s later.
	silence = 11 * time.Second
	// relook is how long to wait between two lookups for the same peer.
	relook = 5 * time.Second
	// lookup is how long one may take.
	lookup = 5 * time.Second
	// stale is how old the last handshake of a peer is whose other addresses are
	// worth a try; those who talk shake hands every 120 s.
	stale = 135 * time.Second
)

// names keeps the addresses of peers whose endpoints have names. WireGuard knows
// only addresses, and a peer at home on a changing address is lost when it
// changes, unless somebody asks again.
type names struct {
	dev    *Device
	lookup func(context.Context, string) ([]netip.Addr, error)
	ctx    context.Context
	cancel context.CancelFunc
	wg     sync.WaitGroup
	wake   chan struct{}

	mu      sync.Mutex
	running bool
	peers   map[Key]*named
}

// A named is a peer whose endpoint has a name.
type named struct {
	endpoint string
	asked    time.Time // when it was looked up; zero: never with success
	alive    time.Time // when something came from it, or just before the first packet since went out
	rx, tx   uint64    // at that time
	shake    time.Time
	speaking bool // sent to since then
	seen     time.Time
}

func newNames(d *Device, find func(context.Context, string) ([]netip.Addr, error)) *names {
	if find == nil {
		find = func(ctx context.Context, host string) ([]netip.Addr, error) {
			return net.DefaultResolver.LookupNetIP(ctx, "ip", host)
		}
	}
	n := &names{dev: d, lookup: find, wake: make(chan struct{}, 1), peers: map[Key]*named{}}
	n.ctx, n.cancel = context.WithCancel(context.Background())
	return n
}

// set takes up the named endpoints of c.
func (n *names) set(c Config) {
	n.mu.Lock()
	defer n.mu.Unlock()
	for pub, p := range c.Peers {
		if p.Endpoint == "" || !isNamed(p.Endpoint) {
			delete(n.peers, pub)
		} else if old := n.peers[pub]; old == nil || old.endpoint != p.Endpoint {
			n.peers[pub] = &named{endpoint: p.Endpoint}
		}
	}
	maps.DeleteFunc(n.peers, func(pub Key, _ *named) bool { _, ok := c.Peers[pub]; return !ok })
	if len(n.peers) == 0 || n.ctx.Err() != nil {
		return
	}
	if !n.running {
		n.running = true
		n.wg.Go(n.run)
	}
	select {
	case n.wake <- struct{}{}:
	default:
	}
}

func (n *names) close() {
	n.cancel()
	n.wg.Wait()
}

func (n *names) run() {
	tick := time.NewTicker(look)
	defer tick.Stop()
	for {
		select {
		case <-n.ctx.Done():
			return
		case <-n.dev.Done():
			return
		case <-tick.C:
		case <-n.wake:
		}
		due, all := n.due(time.Now())
		for _, pub := range due {
			n.find(pub)
		}
		tick.Reset(look * time.Duration(1+all/1000))
	}
}

// due lists the peers whose names are to be looked up now, and says how many
// peers there are at all.
func (n *names) due(now time.Time) (out []Key, all int) {
	n.mu.Lock()
	some := len(n.peers) > 0
	n.mu.Unlock()
	if !some {
		return nil, 0
	}
	state, err := n.dev.State()
	if err != nil {
		return nil, 0
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	for _, pub := range sorted(n.peers) {
		if n.peers[pub].due(state.Peers[pub], now) {
			out = append(out, pub)
		}
	}
	return out, len(state.Peers)
}

// due takes note of how the peer is and reports whether to look its name up.
func (p *named) due(s PeerState, now time.Time) bool {
	if p.alive.IsZero() || s.Rx != p.rx || !s.Handshake.Equal(p.shake) {
		p.alive, p.rx, p.tx, p.shake, p.speaking = now, s.Rx, s.Tx, s.Handshake, false
	}
	if s.Tx != p.tx && !p.speaking {
		p.alive, p.speaking = p.seen, true // silence counts from the first word without an answer
	}
	p.seen = now
	if now.Sub(p.asked) < relook {
		return false
	}
	return !s.Endpoint.IsValid() || p.asked.IsZero() || p.speaking && now.Sub(p.alive) >= silence
}

// find looks a name up and points the peer there.
func (n *names) find(pub Key) {
	n.mu.Lock()
	p := n.peers[pub]
	if p == nil {
		n.mu.Unlock()
		return
	}
	endpoint := p.endpoint
	p.asked = time.Now()
	n.mu.Unlock()

	host, text, _ := net.SplitHostPort(endpoint)
	port, _ := strconv.ParseUint(text, 10, 16)
	ctx, cancel := context.WithTimeout(n.ctx, lookup)
	defer cancel()
	addrs, err := n.lookup(ctx, host)
	if err != nil || len(addrs) == 0 {
		if n.ctx.Err() == nil {
			n.dev.log.Debug("endpoint not found", "name", host, "err", err)
		}
		return
	}
	state, err := n.dev.State()
	if err != nil {
		return
	}
	s, ok := state.Peers[pub]
	if !ok {
		return
	}
	to := netip.AddrPortFrom(choose(addrs, s, time.Now()), uint16(port))
	if to == s.Endpoint {
		return
	}
	n.mu.Lock()
	still := n.peers[pub] == p && n.ctx.Err() == nil
	n.mu.Unlock()
	if !still {
		return
	}
	n.dev.log.Info("endpoint of a peer looked up", "name", host, "addr", to, "before", s.Endpoint)
	n.dev.poke(state, pub, s, to)
}

// choose picks the address to call. That which is in use stays while handshakes
// succeed; when they do not, the others have their turn.
func choose(addrs []netip.Addr, s PeerState, now time.Time) netip.Addr {
	for i := range addrs {
		addrs[i] = addrs[i].Unmap()
	}
	i := slices.Index(addrs, s.Endpoint.Addr())
	switch {
	case i < 0:
		return addrs[0]
	case now.Sub(s.Handshake) > stale:
		return addrs[(i+1)%len(addrs)]
	}
	return addrs[i]
}

func isNamed(endpoint string) bool {
	_, err := netip.ParseAddrPort(endpoint)
	return err != nil
}

// checkEndpoint reports what is wrong with host:port.
func checkEndpoint(s string) error {
	if a, err := netip.ParseAddrPort(s); err == nil {
		if a.Port() == 0 {
			return fmt.Errorf("endpoint %q: port 0", s)
		}
		return nil
	}
	host, port, err := net.SplitHostPort(s)
	n, perr := strconv.ParseUint(port, 10, 16)
	if err != nil || perr != nil || n == 0 || !validHost(host) {
		return fmt.Errorf("endpoint %q is not host:port", s)
	}
	return nil
}

// validHost keeps out what is no name for the DNS.
func validHost(h string) bool {
	if h == "" || len(h) > 253 {
		return false
	}
	for _, r := range h {
		switch {
		case r >= 'a' && r <= 'z', r >= 'A' && r <= 'Z', r >= '0' && r <= '9', r == '-', r == '.', r == '_':
		default:
			return false
		}
	}
	return true
}
