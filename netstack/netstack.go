// Package netstack joins the household's devices to the cell by WireGuard and
// decides what they may reach through it.
//
// The tunnel is wireguard-go's device as a library; the protocol is that of the
// WireGuard paper and interoperates with every other implementation. It stands
// on one of two grounds:
//
//   - In appliance mode on a TUN device of the host, which gets the cell's VPN
//     addresses. One nftables table, `inet pic`, lets each peer reach the
//     internet or the LAN as the document says, hides the VPN behind the cell's
//     address on the way out, and refuses the rest, peers to each other
//     included. Other tables are neither read for decisions nor written. `wg`
//     works on the interface.
//   - In trial mode on a TCP/IP stack of its own (gVisor's) within the process,
//     which needs no privileges. Services listen in it through [Server.ListenTCP]
//     and [Server.ListenUDP]. What a peer sends beyond the cell goes out through
//     sockets of the process, under the same policy: see package userspace.
//
// Promises: a change of one peer does not disturb the sessions of others; no
// packet is forwarded for a peer without the right to it, and taking a right
// away also ends its open connections; an Apply that fails leaves the former
// tunnel, table and settings in force; at its end Run leaves no interface, table
// or changed kernel setting behind. After kill -9 the table stays, harmlessly,
// until the next start replaces it.
//
// Where the cell is a router, the table is there before the line and longer than
// the tunnel: a tunnel that cannot be had leaves it in place.
//
// Linked cells are peers like devices, with their subnets behind them. Other ways
// to the internet are a room of their own (package exit).
//
// Not done here: DHCP and RA, the line itself, traffic shaping. Of the host's own
// traffic only TCP into the tunnel that belongs to no open connection is filtered.
package netstack

import (
	"context"
	"errors"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"

	"pic/core/config"
	"pic/netstack/exit"
	"pic/netstack/fw"
	"pic/netstack/policy"
	"pic/netstack/wgdev"
)

// A Server is the cell's VPN and its policy. Use [New]. It implements
// service.Server, service.Reporter and listen.VPN.
type Server struct {
	log     *slog.Logger
	secrets func(config.Secret) ([]byte, error)
	ports   *ports
	host    *host
	trouble troubles

	tunnel   atomic.Pointer[tunnel]        // nil while there is none; written under mu
	policy   atomic.Pointer[policy.Policy] // in force; nil: none; written under mu
	compared time.Time                     // when the tunnel was; of Run alone
	firewall *fw.Firewall
	cut      func(old []*policy.Policy, now *policy.Policy) (int, error) // fw.Cut
	knocking sync.Mutex
	swept    bool // what an earlier run may have left
	exits    *exit.Server

	mu      sync.Mutex
	conf    Config // in force
	filters bool   // the packet filter is ours
	wan     int    // the MTU of the way out; 0: not known
	passing passing
	owed    []*policy.Policy // whose connections are still to be ended; nil: a former run's
	routing routing
	turns   map[string]turn         // of links, which of their endpoints is called
	heard   map[key]wgdev.PeerState // peers of a tunnel that another is to replace
}

// New returns a server that does nothing until the first Apply. secrets opens
// the secrets that the document names: keys, 32 bytes or their base64.
func New(log *slog.Logger, secrets func(config.Secret) ([]byte, error)) *Server {
	s := &Server{log: log, secrets: secrets, ports: newPorts(), host: newHost(), firewall: fw.New(log), cut: fw.Cut, turns: map[string]turn{}}
	s.exits = exit.New(log, secrets, s.linkState)
	return s
}

// Remember has the server write down, in the file at path, how the kernel's settings
// were before it changed them, for itself after kill -9 and for [Cleanup]. It is
// called before the first Apply.
func (s *Server) Remember(path string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.routing = routing{path: path}
}

// Check reports why c could not be applied.
func (s *Server) Check(_ context.Context, c Config) error {
	if err := c.check(); err != nil {
		return err
	}
	_, err := s.desire(c)
	return err
}

// Apply makes the tunnel, the table and the kernel's settings those of c. On
// error they are put back.
func (s *Server) Apply(ctx context.Context, c Config) error {
	if err := c.check(); err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.change(ctx, c)
}

func (s *Server) change(ctx context.Context, c Config) error {
	err := s.move(c)
	if err == nil {
		s.conf = c
		s.trouble.clear(codeDrift, codeUndo)
		return nil
	}
	if c.Rules.Router && s.filters && s.conf.Mode == Off && !s.conf.Rules.Router {
		// Nothing was in force, as at a start. The line of a router does not wait for
		// its tunnel, so the filter stays until this is tried again or taken back.
		return err
	}
	if back := s.move(s.conf); back != nil {
		s.log.Error("former network not restored", "err", back)
		s.trouble.set(undoFailed(back))
	}
	return err
}

// move brings everything to c, from whatever state it is in. Rights are granted
// and taken before the tunnel changes, so that a new peer never has more than
// its own; they end after the tunnel is closed.
func (s *Server) move(c Config) error {
	want, err := s.desire(c)
	if err != nil {
		return err
	}
	ground := s.possible(c)
	s.measure(c)
	filters := ground == TUN || c.Rules.Router
	var exits []exit.Exit
	if ground == TUN {
		exits = fit(c.Exits, s.wan)
	}
	s.passing.down = s.downOf(exits)
	if filters {
		if err := s.exits.Guard(exits); err != nil {
			return err
		}
		if err := s.guard(c); err != nil {
			return err
		}
	}
	if ground == UserSpace {
		s.policy.Store(policy.New(c.rules(s.terrain(c), s.passing, time.Now())))
	}
	if err := s.tunnelTo(ground, c, want); err != nil {
		return err
	}
	if err := s.toLinks(ground, c); err != nil {
		return err
	}
	if err := s.exits.Open(exits); err != nil {
		return err
	}
	if filters {
		return nil
	}
	s.filters = false
	if ground == Off {
		s.policy.Store(nil)
	}
	return errors.Join(s.firewall.Remove(), s.sweep(c), s.routing.restore())
}

// sweep removes, once, the table that a run before this one left when it was
// killed, and that this one would replace if it filtered anything.
func (s *Server) sweep(c Config) error {
	if !c.Own || s.swept {
		return nil
	}
	there, err := fw.Cleanup()
	if errors.Is(err, unix.EPERM) {
		err = nil // who may not look could not have made it
	}
	s.swept = err == nil
	if there {
		s.log.Info("the table of an earlier run was removed")
	}
	return err
}

// possible is the ground that c asks for, or Off, and a problem, where it cannot
// be had.
func (s *Server) possible(c Config) Mode {
	switch {
	case c.Mode != Off && c.Key == "":
		s.trouble.set(noKey())
		s.trouble.clear(codeNoTUN, codeForeignDrop, codeLegacy, codeNoSocket, codeForwarding)
		return Off
	case c.Mode == TUN:
		s.trouble.clear(codeNoKey)
		if err := wgdev.CanTUN(); err != nil {
			s.trouble.set(noTUN(err))
			s.trouble.clear(codeForeignDrop, codeLegacy, codeNoSocket, codeForwarding)
			return Off
		}
		s.trouble.clear(codeNoTUN)
	default:
		s.trouble.clear(codeNoKey, codeNoTUN, codeForeignDrop, codeLegacy, codeNoSocket, codeForwarding)
	}
	return c.Mode
}

// guard puts the table in force and then lets the kernel route.
func (s *Server) guard(c Config) error {
	now := time.Now()
	g := s.terrain(c)
	if err := s.firewall.Set(fw.Compile(c.model(g, s.passing, now))); err != nil {
		return err
	}
	s.filters = true
	if err := s.enforce(policy.New(c.rules(g, s.passing, now))); err != nil {
		return err
	}
	s.others(c)
	// What a router sets, it writes down first, so that it is put back after a kill.
	if !c.routes() || c.Rules.Router {
		s.trouble.clear(codeForwarding)
		return s.routing.restore()
	}
	// Peers reach the cell without it, and in a container the settings are
	// often not ours to change.
	if err := s.routing.enable(c.has6()); err != nil {
		s.trouble.set(noForwarding(err))
	} else {
		s.trouble.clear(codeForwarding)
	}
	return nil
}

// others tells of other firewalls of the host that stand in the tunnel's way.
func (s *Server) others(c Config) {
	var drops []fw.Drop
	var unread []string
	if c.routes() && c.Mode == TUN {
		drops, unread = fw.Foreign(c.Interface)
	}
	if len(drops) > 0 {
		s.trouble.set(foreignDrop(drops))
	} else {
		s.trouble.clear(codeForeignDrop)
	}
	if len(unread) > 0 {
		s.trouble.set(legacyRules(unread))
	} else {
		s.trouble.clear(codeLegacy)
	}
}

// tunnelTo opens, alters or closes the tunnel.
func (s *Server) tunnelTo(ground Mode, c Config, want wgdev.Config) error {
	old := s.tunnel.Load()
	if old != nil && (!old.alive() || !old.fits(ground, c)) {
		// Two devices cannot share a port, so the old one goes first; change
		// brings it back if the new one cannot be had. What would keep it from
		// being had is looked for before.
		if err := old.precedes(ground, c); err != nil {
			return err
		}
		if d, err := old.dev.State(); err == nil {
			s.heard = d.Peers
		}
		s.closeTunnel(old)
		old = nil
	}
	if ground == Off {
		return nil
	}
	if old != nil {
		if old.stack != nil {
			old.stack.Obey(s.policy.Load())
		}
		return old.set(c, want, fitted(c.MTU, s.wan))
	}
	t, err := s.openTunnel(ground, c, want)
	if err != nil {
		return err
	}
	s.tunnel.Store(t)
	t.dev.Nudge(s.heard)
	s.heard = nil
	if t.stack != nil {
		s.ports.attach(t.stack, now)
	} else {
		s.ports.attach(hostNet{}, later)
	}
	s.log.Info("tunnel up", "iface", t.name, "port", t.port(), "peers", len(c.Peers))
	return nil
}

func (s *Server) closeTunnel(t *tunnel) {
	s.tunnel.Store(nil)
	s.ports.detach()
	t.close()
	s.log.Info("tunnel down", "iface", t.name)
}
