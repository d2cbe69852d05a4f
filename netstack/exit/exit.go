// Package exit sends the internet of some peers another way than the cell's own:
// through a WireGuard provider, by a device of its own, or through a linked cell.
//
// Promises:
//   - Packets that the packet filter has marked for an exit leave by it or not at
//     all. Their routing table ends in an unreachable route, which is there before
//     the exit is and stays while it is down, so that programs hear of it at once.
//     After kill -9 the table stays, shut, for the interface is gone with the
//     process; the next start takes it over.
//   - An exit that carries no IPv6 lets none past itself.
//   - Several exits work at the same time.
//   - Whether an exit is up is seen by its answers, within [silence].
//   - Keys come from the vault and show in no log, status or error.
//
// Not done here: who uses which exit, and the marks (packages policy and fw);
// names of the peers (dnssrv asks through [Server.Dial]).
package exit

import (
	"context"
	"errors"
	"fmt"
	"hash/fnv"
	"log/slog"
	"net"
	"net/netip"
	"reflect"
	"slices"
	"strconv"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"pic/core/config"
	"pic/netstack/wgdev"
)

// An Exit is another way to the internet, as the document has it.
type Exit struct {
	Name      string
	Number    int    // 1 to [Most]
	Interface string // its own, or the tunnel's
	Link      string // a linked cell; then only Peer and Six of what follows count
	Peer      string // public key of who is at the other end, in base64
	Six       bool   // carries IPv6
	Key       config.Secret
	Preshared config.Secret
	Endpoint  string
	Addresses []netip.Prefix
	DNS       []netip.Addr
	MTU       int
	Keepalive int // seconds
}

// From picks the exits that are on out of the resolved document.
func From(d *config.Document) []Exit {
	var names []string
	for _, e := range d.Network.Exits {
		names = append(names, e.Name)
	}
	numbers := Numbers(names)
	var out []Exit
	for _, e := range d.Network.Exits {
		if e.Disabled {
			continue
		}
		x := Exit{
			Name: e.Name, Number: numbers[e.Name], Interface: "pix" + strconv.Itoa(numbers[e.Name]), Link: e.Link,
			Peer: e.PublicKey, Key: e.Key, Preshared: e.Preshared, Endpoint: e.Endpoint,
			Addresses: e.Addresses, DNS: e.DNS, MTU: e.MTU, Keepalive: e.Keepalive,
			Six: slices.ContainsFunc(e.Addresses, func(p netip.Prefix) bool { return p.Addr().Is6() }),
		}
		if x.MTU == 0 {
			x.MTU = d.WireGuard.MTU
		}
		if e.Link != "" {
			l := slices.IndexFunc(d.Links, func(l config.Link) bool { return l.Name == e.Link })
			if l < 0 || d.Links[l].Disabled {
				// It stays an exit that is down: who uses it is not to go elsewhere.
				x.Peer = ""
			} else {
				x.Peer = d.Links[l].PublicKey
				if a := d.Links[l].DNS; a.IsValid() {
					x.DNS = []netip.Addr{a}
				}
			}
			x.Interface, x.Six = d.WireGuard.Interface, d.WireGuard.Subnet6.IsValid()
		}
		out = append(out, x)
	}
	return out
}

// Numbers gives each exit a number from 1 to [Most], mostly the same whatever
// others there are, so that a change of one leaves the connections of others
// alone.
func Numbers(names []string) map[string]int {
	out, taken := map[string]int{}, [Most]bool{}
	for _, name := range names {
		if out[name] != 0 || len(out) == Most {
			continue
		}
		h := fnv.New32a()
		h.Write([]byte(name))
		n := int(h.Sum32() % Most)
		for taken[n] {
			n = (n + 1) % Most
		}
		taken[n], out[name] = true, n+1
	}
	return out
}

// A Server keeps the exits. Use [New]. Its methods may be called from any
// goroutine; those that change something are not to be called at the same time.
type Server struct {
	log     *slog.Logger
	secrets func(config.Secret) ([]byte, error)
	// state is what the tunnel knows of a linked cell.
	state func(public string) (wgdev.PeerState, bool)

	mu    sync.Mutex
	lines []*line
	ours  bool // rules or tables of ours are in the kernel
}

// New returns a server without exits. secrets opens keys; state says what the
// tunnel knows of a linked cell.
func New(log *slog.Logger, secrets func(config.Secret) ([]byte, error), state func(public string) (wgdev.PeerState, bool)) *Server {
	return &Server{log: log, secrets: secrets, state: state}
}

// Guard shuts the tables of exits that are not there yet, has marked packets led
// to them, and leaves those alone that stay. It is to be called before any packet
// may be marked.
func (s *Server) Guard(all []Exit) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(all) == 0 && !s.ours && !leftovers() {
		return nil
	}
	owner := map[int]string{}
	for _, l := range s.lines {
		owner[l.exit.Number] = l.exit.Name
	}
	for _, e := range all {
		if o := owner[e.Number]; o != "" && o != e.Name {
			if err := forget(e.Number); err != nil {
				return err
			}
		}
	}
	var paths []path
	for _, e := range all {
		p := path{number: e.Number}
		if l := s.line(e.Name); l != nil && reflect.DeepEqual(l.exit, e) {
			p = l.path()
		}
		paths = append(paths, p)
	}
	s.ours = true
	return lead(paths)
}

// Open brings the exits to those of all, once no packet is marked any more for
// others. One that cannot be had stays shut, is tried again by Look, and is told of
// by Status; that is no error.
func (s *Server) Open(all []Exit) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	var next []*line
	for _, e := range all {
		l := s.line(e.Name)
		if l == nil || !reflect.DeepEqual(l.exit, e) {
			if l != nil {
				l.close()
			}
			l = &line{exit: e}
		}
		next = append(next, l)
	}
	for _, l := range s.lines {
		if !slices.Contains(next, l) {
			l.close()
		}
	}
	s.lines = next
	for _, l := range s.lines {
		s.open(l, time.Now())
	}
	if len(s.lines) == 0 && !s.ours {
		return nil
	}
	if err := leadOnly(s.paths()); err != nil {
		return err
	}
	s.ours = len(s.lines) > 0
	return nil
}

func (s *Server) paths() []path {
	var out []path
	for _, l := range s.lines {
		out = append(out, l.path())
	}
	return out
}

func (s *Server) line(name string) *line {
	for _, l := range s.lines {
		if l.exit.Name == name {
			return l
		}
	}
	return nil
}

// Look sees how the exits are doing; it is to be called every second. It reports
// whether one has come up or gone down since, and then has changed its table
// already.
func (s *Server) Look(now time.Time) (changed bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, l := range s.lines {
		s.open(l, now)
		st, ok := s.peerState(l)
		was := l.up
		l.see(now, st, ok)
		if l.up == was {
			continue
		}
		changed = true
		if err := leadOnly(s.paths()); err != nil {
			s.log.Error("routes of exits are not as they should be", "err", err)
		}
		if l.up {
			s.log.Info("exit is up", "name", l.exit.Name)
		} else {
			s.log.Warn("exit is down", "name", l.exit.Name)
		}
	}
	return changed
}

// Up reports whether an exit is there and answers.
func (s *Server) Up(name string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	l := s.line(name)
	return l != nil && l.up
}

// ErrDown is the error of who wants to go by an exit that is not up.
var ErrDown = errors.New("the exit is down")

// Dial connects to address, an IP address with port, by an exit and no other way.
func (s *Server) Dial(ctx context.Context, name, network, address string) (net.Conn, error) {
	s.mu.Lock()
	l := s.line(name)
	if l == nil || !l.up {
		s.mu.Unlock()
		return nil, fmt.Errorf("by exit %s: %w", name, ErrDown)
	}
	d := dialer(l.exit, Mark(l.exit.Number))
	s.mu.Unlock()
	c, err := d.DialContext(ctx, network, address)
	if errors.Is(err, unix.ENODEV) {
		return nil, fmt.Errorf("by exit %s: %w", name, ErrDown)
	}
	return c, err
}

// dialer makes connections by the exit's interface, with a mark by its table.
func dialer(e Exit, mark uint32) *net.Dialer {
	return &net.Dialer{Control: func(_, _ string, c syscall.RawConn) error {
		var err error
		if cerr := c.Control(func(fd uintptr) {
			err = errors.Join(
				unix.BindToDevice(int(fd), e.Interface),
				unix.SetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_MARK, int(mark)),
			)
		}); cerr != nil {
			return cerr
		}
		return err
	}}
}
