// Package dhcpsrv gives the devices of the LAN their addresses (DHCPv4, RFC 2131
// and the options of RFC 2132).
//
// Promises: an acknowledged lease is on stable storage before the ACK leaves, so
// that after kill -9 or power loss no address is given twice. A device keeps its
// address for as long as nobody needs it. An address that somebody uses without
// asking is found by an ARP probe (RFC 5227 §2.1.1) before it is offered, and left alone.
// Devices that have no address yet are answered by their hardware address, as
// RFC 2131 §4.1 wants. Names that devices give themselves are published to
// core/names, below lan.<domain> and below <domain>.
//
// Messages are read and written by insomniacslk/dhcp; its server is not used,
// since it starts a goroutine for each packet without bound and can only
// broadcast. Sockets, pool and answers are ours.
//
// One LAN interface is served, relays only where they are in that LAN (giaddr).
// DHCPv6, router advertisements, network boot and the search for other DHCP
// servers are not here.
package dhcpsrv

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"path/filepath"
	"reflect"
	"sync"
	"time"

	"pic/core/config"
	"pic/core/names"
	"pic/core/service"
	"pic/core/state/journal"
)

// Config is what the server needs to know. [From] derives it. The zero Config
// serves nothing.
type Config struct {
	Interface    string
	Port         uint16
	Server       netip.Prefix // the cell's address in the LAN
	First, Last  netip.Addr   // the pool, both ends included
	Lease        time.Duration
	Router       netip.Addr
	DNS          []netip.Addr
	NTP          netip.Addr // zero: none
	Domain       string     // of the cell; devices get lan.<domain>
	Reservations []config.Reservation
}

// From picks the server's Config out of the resolved document.
func From(d *config.Document) Config {
	h := d.DHCP
	if !config.On(h.Enabled) {
		return Config{}
	}
	c := Config{
		Interface: h.Interface, Port: h.Port, Server: d.Network.LAN.Address, First: h.First, Last: h.Last,
		Lease: time.Duration(h.Lease), Router: h.Router, DNS: h.DNS, Domain: d.Cell.Domain, Reservations: h.Reservations,
	}
	if config.On(d.NTP.Enabled) {
		c.NTP = c.Server.Addr()
	}
	return c
}

// A Lease is an address and who has it.
type Lease struct {
	Address  netip.Addr `json:"address"`
	MAC      string     `json:"mac"`
	ClientID string     `json:"clientID,omitempty"` // hex, where the device sends one
	Name     string     `json:"name,omitempty"`     // as the device calls itself, or its reservation
	Expires  time.Time  `json:"expires"`
	State    State      `json:"state"`
	Reserved bool       `json:"reserved,omitempty"`
}

// State is what an address is used for.
type State string

const (
	Leased   State = "leased"
	Free     State = "free"     // was leased; kept for the device while nobody needs it
	Declined State = "declined" // found in use by somebody who did not ask
)

// Names is where the server publishes what devices call themselves.
type Names interface {
	Publish(src names.Source, hosts []names.Host) []names.Rejected
}

// A Server answers DHCP clients. Use [New].
type Server struct {
	log   *slog.Logger
	path  string
	names Names
	slots chan struct{} // bounds the answers under way

	mu     sync.Mutex
	conf   Config
	pool   *pool // nil until the journal was read
	book   *journal.Log
	link   *link // nil while not serving
	wg     sync.WaitGroup
	served counters
}

// New returns a server that keeps its leases in the folder dir. It serves
// nothing until the first Apply.
func New(log *slog.Logger, dir string, n Names) *Server {
	return &Server{log: log, path: filepath.Join(dir, "leases"), names: n, slots: make(chan struct{}, 128)}
}

// Check reports whether the interface of c is there.
func (s *Server) Check(_ context.Context, c Config) error {
	if c.Interface == "" {
		return nil
	}
	_, err := interfaceNamed(c.Interface)
	return err
}

// Apply makes the server follow c. The socket is opened anew only when the
// interface, the port or the server's address changed.
func (s *Server) Apply(_ context.Context, c Config) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.link != nil && reflect.DeepEqual(c, s.conf) && s.link.alive() {
		return nil
	}
	if c.Interface == "" {
		s.drop()
		s.conf = c
		s.publish()
		return nil
	}
	if err := s.open(); err != nil {
		return err
	}
	if s.link == nil || !s.link.alive() || s.conf.Interface != c.Interface || s.conf.Port != c.Port || s.conf.Server != c.Server {
		l, err := openLink(c, s.log)
		if err != nil {
			return err
		}
		s.drop()
		s.link = l
		s.wg.Go(func() { s.serve(l) })
		s.wg.Go(l.listenARP)
		s.log.Info("serving", "interface", c.Interface, "first", c.First, "last", c.Last)
	}
	s.conf = c
	s.pool.configure(c)
	s.publish()
	return nil
}

// open reads the leases. The caller holds mu.
func (s *Server) open() error {
	if s.book != nil {
		return nil
	}
	p := newPool()
	now := time.Now()
	book, err := journal.Open(s.path, func(rec []byte) error { return p.replay(now, rec) })
	if err != nil {
		return fmt.Errorf("reading the leases: %w", err)
	}
	s.book, s.pool = book, p
	return nil
}

// drop closes the sockets. The caller holds mu.
func (s *Server) drop() {
	if s.link != nil {
		s.link.close()
		s.link = nil
	}
}

// Run serves until ctx is done, or the interface is gone.
func (s *Server) Run(ctx context.Context) error {
	tick := time.NewTicker(2 * time.Second)
	defer tick.Stop()
	var err error
	for err == nil {
		select {
		case <-ctx.Done():
			return s.stop()
		case <-tick.C:
			err = s.look()
		}
	}
	return errors.Join(err, s.stop())
}

// look does what time brings: leases end, interfaces vanish.
func (s *Server) look() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.link == nil {
		return nil
	}
	if !s.link.alive() {
		return fmt.Errorf("the interface %s is gone or was made anew", s.conf.Interface)
	}
	if s.pool.expire(time.Now()) {
		s.publish()
	}
	return nil
}

func (s *Server) stop() error {
	s.mu.Lock()
	s.drop()
	s.mu.Unlock()
	s.wg.Wait()
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.book == nil {
		return nil
	}
	err := s.book.Close()
	s.book, s.pool = nil, nil
	return err
}

// serve reads messages until the link is closed.
func (s *Server) serve(l *link) {
	buf := make([]byte, 4096)
	for {
		n, from, err := l.conn.ReadFromUDPAddrPort(buf)
		if errors.Is(err, net.ErrClosed) {
			return
		}
		if err != nil {
			s.log.Debug("read failed", "err", err)
			if !l.alive() {
				return // Run tells the supervisor
			}
			continue
		}
		m, err := parse(buf[:n])
		if err != nil {
			s.served.bad.Add(1)
			s.log.Debug("dropped message", "from", from, "err", err)
			continue
		}
		select {
		case s.slots <- struct{}{}:
			s.wg.Go(func() {
				defer func() { <-s.slots }()
				s.handle(l, m)
			})
		default: // clients ask again
			s.served.dropped.Add(1)
		}
	}
}

// Leases returns what is known of every address, by address.
func (s *Server) Leases() []Lease {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.pool == nil {
		return nil
	}
	return s.pool.leases(time.Now())
}

// ErrNoLease reports an address that nobody has.
var ErrNoLease = errors.New("nobody has that address")

// Release ends the lease of an address, or a quarantine. The device does not
// learn of it and may go on using the address until it renews.
func (s *Server) Release(ctx context.Context, a netip.Addr) error {
	s.mu.Lock()
	if s.pool == nil {
		s.mu.Unlock()
		return ErrNoLease
	}
	rec, ok := s.pool.forget(a)
	book := s.book
	s.publish()
	s.mu.Unlock()
	if !ok {
		return fmt.Errorf("%s: %w", a, ErrNoLease)
	}
	return book.Append(ctx, rec)
}

// publish tells core/names what the devices are called. The caller holds mu.
func (s *Server) publish() {
	var hosts []names.Host
	if s.pool != nil && s.conf.Interface != "" {
		hosts = s.pool.hosts(time.Now(), s.conf.Domain)
	}
	for _, r := range s.names.Publish(names.Leases, hosts) {
		s.log.Debug("name not published", "name", r.Host.Name, "err", r.Reason)
	}
}

// Problems lists what is wrong now.
func (s *Server) Problems() []service.Problem {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.link == nil {
		return nil
	}
	var out []service.Problem
	if err := s.book.Err(); err != nil {
		out = append(out, service.Problem{
			Code: "dhcp/disk-failed", Title: "Leases cannot be saved", Text: err.Error(), Severity: service.Failure,
			Fix: "Check the disk of the data folder, then restart pic. Until then no new leases are given.",
		})
	}
	if used, size := s.pool.usage(time.Now()); size > 0 && used >= size {
		out = append(out, service.Problem{
			Code: "dhcp/pool-full", Title: "All addresses of the LAN are given away", Severity: service.Warning,
			Text: fmt.Sprintf("%s to %s has %d addresses, and %d are in use.", s.conf.First, s.conf.Last, size, used),
			Fix:  "Widen dhcp.first and dhcp.last, or shorten dhcp.lease.",
		})
	}
	return out
}

// Sockets lists what the server listens on.
func (s *Server) Sockets() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.link == nil {
		return nil
	}
	return []string{fmt.Sprintf("udp %s on %s", s.link.conn.LocalAddr(), s.conf.Interface)}
}

// Facts tells how full the pool is and what was answered.
func (s *Server) Facts() []service.Fact {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.pool == nil {
		return nil
	}
	used, size := s.pool.usage(time.Now())
	return []service.Fact{
		{Name: "addresses", Value: fmt.Sprintf("%d of %d in use", used, size)},
		{Name: "acknowledged", Value: fmt.Sprint(s.served.acked.Load())},
		{Name: "refused", Value: fmt.Sprint(s.served.refused.Load())},
	}
}

// Usage returns how many addresses of the pool are in use, and how many it has.
func (s *Server) Usage() (used, size int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.pool == nil {
		return 0, 0
	}
	return s.pool.usage(time.Now())
}
