// Package wgdev runs WireGuard devices: the cell's own and those of its exits.
//
// The protocol is wireguard-go's device, used as a library and unchanged; what
// stands at its two ends is ours: the TUN interface, which takes in all that the
// kernel has ready and joins what arrives without copying, and the sockets,
// which let the kernel split and merge runs of datagrams. Between them a window
// keeps the library's memory bounded. Where the kernel has WireGuard itself, a
// device can be the kernel's; the rest of the package does not care.
//
// Promises: a change of one peer does not disturb the sessions of others; [wg]
// works on every device that is an interface; peers with named endpoints are
// looked up again when they fall silent; nothing stays after Close.
//
// Not done here: firewall, routes and rights. Keys come from the caller and show
// in no log or error.
//
// [wg]: https://www.wireguard.com/xplatform/
package wgdev

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"sync"
	"time"

	"golang.org/x/sys/unix"
	"golang.zx2c4.com/wireguard/tun"
)

// A Backend is what speaks WireGuard.
type Backend string

const (
	User   Backend = "user"   // this process
	Kernel Backend = "kernel" // the kernel of Linux, where it can
)

// Options say what a device is; they do not change while it runs.
type Options struct {
	Log       *slog.Logger
	Interface string     // the name of the interface to make; it goes away with the device
	TUN       tun.Device // in its place; the device closes it
	Backend   Backend    // empty: User
	Batch     int        // packets at once, at a given TUN; 0: 16
	// Lookup finds the addresses of a host, for endpoints with names. Nil: as the
	// system does.
	Lookup func(ctx context.Context, host string) ([]netip.Addr, error)
}

// A Config is what a device shall be.
type Config struct {
	Private Key
	Port    uint16       // UDP; 0: any
	Mark    uint32       // of the packets that WireGuard sends; 0: none
	Peers   map[Key]Peer // by public key
}

// A Peer is what a device shall know of a peer.
type Peer struct {
	Preshared Key    // zero: none
	Endpoint  string // host:port or address:port; empty: wherever it calls from
	Allowed   []netip.Prefix
	Keepalive time.Duration // in whole seconds; 0: none
}

// A State is what a device is.
type State struct {
	Private Key
	Port    uint16
	Mark    uint32
	Peers   map[Key]PeerState
}

// A PeerState is what a device knows of a peer.
type PeerState struct {
	Preshared Key
	Allowed   []netip.Prefix
	Keepalive time.Duration
	Endpoint  netip.AddrPort // where it was heard from or is called; zero: unknown
	Handshake time.Time      // the last; zero: never
	Rx, Tx    uint64         // bytes
}

// A Device is a running WireGuard device. Use [Open]. Set and Close must not be
// called at the same time; the rest may be, whenever.
type Device struct {
	name   string
	log    *slog.Logger
	engine engine
	names  *names

	mu   sync.Mutex
	want Config
}

// An engine speaks WireGuard.
type engine interface {
	state() (State, error)
	// apply leads from one state to what is wanted. calls are endpoints to set.
	apply(have State, want Config, calls map[Key]netip.AddrPort) error
	done() <-chan struct{}
	socketError() error
	close() error
}

// Open makes the device, gives it its keys and peers, and only then lets it
// receive. Its interface is without addresses; see [Dress]. On error nothing
// stays.
func Open(o Options, c Config) (*Device, error) {
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	if err := c.check(); err != nil {
		return nil, err
	}
	d := &Device{name: o.Interface, log: o.Log, want: c}
	var err error
	switch {
	case o.TUN != nil:
		d.name = "userspace"
		d.engine, err = openUser(o, c)
	case o.Backend == Kernel:
		d.engine, err = openKernel(o, c)
	default:
		d.engine, err = openUser(o, c)
	}
	if err != nil {
		return nil, err
	}
	d.names = newNames(d, o.Lookup)
	d.names.set(c)
	return d, nil
}

// check finds what could not work on any host.
func (c Config) check() error {
	for pub, p := range c.Peers {
		if p.Endpoint != "" {
			if err := checkEndpoint(p.Endpoint); err != nil {
				return fmt.Errorf("peer %s: %w", pub.Base64(), err)
			}
		}
		if s := p.Keepalive / time.Second; p.Keepalive < 0 || s > 65535 || s*time.Second != p.Keepalive {
			return fmt.Errorf("peer %s: a keepalive of %v is not 0 to 65535 whole seconds", pub.Base64(), p.Keepalive)
		}
	}
	return nil
}

// Set brings the device to c. It compares with what the device is now, so that
// it also undoes what `wg` has done to it. On error some of it may be done; the
// former Config can be set again.
func (d *Device) Set(c Config) error {
	if err := c.check(); err != nil {
		return err
	}
	have, err := d.engine.state()
	if err != nil {
		return err
	}
	if have.Port != c.Port && c.Port != 0 {
		// The device closes the old port before it opens the new one: look first.
		if err := Free(c.Port); err != nil {
			return ExplainPort(c.Port, err)
		}
	}
	d.mu.Lock()
	old := d.want
	d.mu.Unlock()
	want := c
	if want.Port == 0 {
		want.Port = have.Port
	}
	if err := d.engine.apply(have, want, moves(old, want, have)); err != nil {
		return ExplainPort(want.Port, err)
	}
	d.mu.Lock()
	d.want = c
	d.mu.Unlock()
	d.names.set(c)
	return nil
}

// moves are the endpoints, given as addresses, that have to be set: of new peers
// and those whose endpoint has changed in what is wanted. A peer that has roamed
// is left where it is.
func moves(old, want Config, have State) map[Key]netip.AddrPort {
	calls := map[Key]netip.AddrPort{}
	for pub, p := range want.Peers {
		a, err := netip.ParseAddrPort(p.Endpoint)
		if err != nil {
			continue
		}
		a = netip.AddrPortFrom(a.Addr().Unmap(), a.Port())
		if h, known := have.Peers[pub]; !known || !h.Endpoint.IsValid() || old.Peers[pub].Endpoint != p.Endpoint && h.Endpoint != a {
			calls[pub] = a
		}
	}
	return calls
}

// State asks the device for its state.
func (d *Device) State() (State, error) { return d.engine.state() }

// Name is that of the interface; "userspace" at a given TUN.
func (d *Device) Name() string { return d.name }

// Done is closed when the device has ended, be it by Close or because its
// interface is gone.
func (d *Device) Done() <-chan struct{} { return d.engine.done() }

// SocketError says why the program wg cannot see the device, if it cannot.
func (d *Device) SocketError() error { return d.engine.socketError() }

// Close ends the device and waits for it.
func (d *Device) Close() error {
	d.names.close()
	return d.engine.close()
}

// Nudge sends something to the peers that were heard from before, so that they
// learn a new port at once and agree on new session keys. By themselves they
// would notice only after 15 s of silence.
func (d *Device) Nudge(known map[Key]PeerState) {
	now, err := d.engine.state()
	if err != nil {
		return
	}
	for _, pub := range sorted(known) {
		p, ok := now.Peers[pub]
		if k := known[pub]; !ok || !k.Endpoint.IsValid() || k.Handshake.IsZero() {
			continue
		}
		d.poke(now, pub, p, known[pub].Endpoint)
	}
}

// poke has the device send to a peer, at an address. Switching keepalives on
// sends one.
func (d *Device) poke(now State, pub Key, p PeerState, at netip.AddrPort) {
	calls := map[Key]netip.AddrPort{pub: at}
	pace := p.Keepalive
	for _, k := range []time.Duration{0, max(pace, time.Minute), pace} {
		next := asConfig(now)
		w := next.Peers[pub]
		w.Keepalive = k
		next.Peers[pub] = w
		if err := d.engine.apply(now, next, calls); err != nil {
			d.log.Debug("peer not called", "err", err)
			return
		}
		calls = nil
		p.Keepalive = k
		now.Peers[pub] = p
	}
}

// asConfig is a state as what is wanted.
func asConfig(s State) Config {
	c := Config{Private: s.Private, Port: s.Port, Mark: s.Mark, Peers: make(map[Key]Peer, len(s.Peers))}
	for pub, p := range s.Peers {
		c.Peers[pub] = Peer{Preshared: p.Preshared, Allowed: p.Allowed, Keepalive: p.Keepalive}
	}
	return c
}

// Free reports why a UDP port cannot be had on all addresses.
func Free(port uint16) error {
	for _, network := range []string{"udp4", "udp6"} {
		var lc net.ListenConfig
		c, err := lc.ListenPacket(context.Background(), network, fmt.Sprintf(":%d", port))
		if err == nil {
			c.Close()
		} else if !errors.Is(err, unix.EAFNOSUPPORT) {
			return err
		}
	}
	return nil
}

// ExplainPort says what to do about a port that cannot be had.
func ExplainPort(port uint16, err error) error {
	if errors.Is(err, unix.EADDRINUSE) {
		return fmt.Errorf("wireguard.port: UDP port %d is taken by another program (`ss -lunp 'sport = :%d'` names it); choose another: %w",
			port, port, err)
	}
	return fmt.Errorf("WireGuard on UDP port %d: %w", port, err)
}
