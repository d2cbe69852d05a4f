// Package dhcpsrv gives the devices of the LAN their addresses (DHCPv4, RFC 2131
// and the options of RFC 2132).
//
// Promises:
//   - An acknowledged lease is on stable storage before the ACK leaves, so that
//     after kill -9 or power loss no address is given twice. Offers are in memory.
//   - A device keeps its address for as long as nobody needs it. A reservation
//     follows the hardware address, whatever identifier the device sends.
//   - An address that somebody uses without asking is found by an ARP probe (RFC
//     5227 §2.1.1) before it is offered, and left alone for an hour.
//   - Devices that have no address yet are answered by their hardware address, as
//     RFC 2131 §4.1 wants; others from the server's own address.
//   - Memory is bounded by the size of the pool, and strangers without number can
//     neither use up the pool by asking nor stop renewals.
//   - A device cannot take a name from another that has it, nor that of a
//     reservation. Names are published to core/names, below lan.<domain> and
//     below <domain>.
//   - The interface may come late and go; it is served within seconds.
//   - Leases that the disk damaged do not stop the household: what can be read is
//     used, the file is kept, and it is told as a problem.
//
// Requests are told apart as in RFC 2131 §4.3.2. A device that renews with us
// what nobody has is believed; one that rebinds unknown is left to its server.
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
	"net/netip"
	"os"
	"path/filepath"
	"reflect"
	"sync"
	"time"

	"pic/core/config"
	"pic/core/names"
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

// Names is where the server publishes what devices call themselves.
type Names interface {
	Publish(src names.Source, hosts []names.Host) []names.Rejected
}

// A Server answers DHCP clients. Use [New].
type Server struct {
	// Given, if set before the first Apply, is told of each address that a device
	// got that did not have it, once the device was told. It must not block.
	Given func(Lease)

	log    *slog.Logger
	path   string
	names  Names
	slots  chan struct{} // bounds the answers under way
	probes chan struct{} // bounds those that wait for the LAN
	served counters
	wg     sync.WaitGroup

	mu      sync.Mutex
	conf    Config
	pool    *pool // nil until the journal was read
	book    *journal.Log
	kept    int64                // size of the journal after it was last rewritten
	link    *link                // nil while not serving
	fault   error                // why there is no link
	strange bool                 // the interface has not got the server's address
	damaged string               // where a damaged journal was put
	since   map[string]time.Time // when problems were first seen
}

// New returns a server that keeps its leases in the folder dir. It serves
// nothing until the first Apply.
func New(log *slog.Logger, dir string, n Names) *Server {
	return &Server{
		log: log, path: filepath.Join(dir, "leases"), names: n, since: map[string]time.Time{},
		slots: make(chan struct{}, maxAnswers), probes: make(chan struct{}, maxProbes),
	}
}

// Check reports whether the interface of c is there. One that is being followed
// may be unplugged just now, which is no reason to refuse other changes.
func (s *Server) Check(_ context.Context, c Config) error {
	s.mu.Lock()
	same := s.conf.Interface == c.Interface
	s.mu.Unlock()
	if c.Interface == "" || same {
		return nil
	}
	_, err := interfaceNamed(c.Interface)
	return err
}

// Apply makes the server follow c. The socket is opened anew only when the
// interface, the port or the server's address changed. An interface that is not
// there is no error: it is a problem, and served once it appears.
func (s *Server) Apply(_ context.Context, c Config) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if c.Interface == "" {
		s.drop(nil)
		s.conf = c
		s.publish()
		return nil
	}
	if err := s.open(); err != nil {
		return err
	}
	if s.link == nil || !s.link.alive() || s.conf.Interface != c.Interface || s.conf.Port != c.Port || s.conf.Server != c.Server {
		l, err := openLink(c)
		if err != nil && !errors.Is(err, errNoInterface) {
			return err
		}
		s.drop(err)
		s.follow(c)
		s.attach(l)
		return nil
	}
	s.follow(c)
	return nil
}

// follow makes the pool follow c. The caller holds mu.
func (s *Server) follow(c Config) {
	if !reflect.DeepEqual(c, s.conf) || !reflect.DeepEqual(c, s.pool.conf) {
		s.pool.configure(c)
	}
	s.conf = c
	s.publish()
}

// attach begins to serve a link, if there is one. The caller holds mu.
func (s *Server) attach(l *link) {
	if l == nil {
		s.log.Warn("cannot serve yet", "interface", s.conf.Interface, "err", s.fault)
		return
	}
	s.link, s.fault, s.strange = l, nil, !l.hasAddress()
	s.wg.Go(func() { s.serve(l) })
	s.wg.Go(l.listenARP)
	s.log.Info("serving", "interface", s.conf.Interface, "first", s.conf.First, "last", s.conf.Last)
}

// drop closes the sockets, for a reason or none. The caller holds mu.
func (s *Server) drop(why error) {
	if s.link != nil {
		s.link.close()
	}
	s.link, s.fault, s.strange = nil, why, false
}

// open reads the leases. The caller holds mu.
func (s *Server) open() error {
	if s.book != nil {
		return nil
	}
	var recs []record
	replay := func(b []byte) error {
		r, err := decode(b)
		recs = append(recs, r)
		return err
	}
	book, err := journal.Open(s.path, replay)
	var damage *journal.DamageError
	if errors.As(err, &damage) {
		// A household without DHCP is worse off than one whose devices get new
		// addresses, each of which is looked for in the LAN before.
		aside := fmt.Sprintf("%s.damaged-%d", s.path, time.Now().Unix())
		if err := os.Rename(s.path, aside); err != nil {
			return fmt.Errorf("moving damaged leases away: %w", err)
		}
		s.log.Error("leases are damaged", "kept", aside, "read", len(recs), "err", err)
		s.damaged = aside
		book, err = journal.Open(s.path, func([]byte) error { return nil })
	}
	if err != nil {
		return fmt.Errorf("reading the leases: %w", err)
	}
	s.book, s.pool = book, newPool()
	s.pool.load(time.Now(), recs)
	s.kept = 0
	if damage == nil {
		return nil
	}
	return book.Rewrite(context.Background(), func(emit func([]byte) error) error {
		for _, b := range s.pool.byAddr {
			if err := emit(b.encode()); err != nil {
				return err
			}
		}
		return nil
	})
}

// every is how often it is looked for what time brings.
const every = 2 * time.Second

// Run serves until ctx is done, or the disk has failed: then it ends with that
// error, and the next Apply reads the leases anew.
func (s *Server) Run(ctx context.Context) error {
	tick := time.NewTicker(every)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return s.stop()
		case <-tick.C:
			if err := s.look(); err != nil {
				return errors.Join(err, s.stop())
			}
		}
	}
}

// look does what time brings: leases end, interfaces vanish and appear. It
// returns an error once nothing can be saved any more.
func (s *Server) look() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	defer s.remember()
	if s.conf.Interface == "" || s.pool == nil {
		return nil
	}
	if err := s.book.Err(); err != nil {
		return fmt.Errorf("saving leases: %w", err)
	}
	if s.pool.expire(time.Now()) {
		s.publish()
	}
	if s.link != nil && !s.link.alive() {
		s.log.Warn("interface is gone or was made anew", "interface", s.conf.Interface)
		s.drop(errNoInterface)
	}
	if s.link != nil {
		s.strange = !s.link.hasAddress()
		return nil
	}
	l, err := openLink(s.conf)
	if err != nil {
		s.fault = err
		return nil
	}
	s.attach(l)
	return nil
}

// remember notes when problems came up and forgets those that went. The caller
// holds mu.
func (s *Server) remember() {
	now := map[string]time.Time{}
	for _, p := range s.problems() {
		now[p.Code] = p.Since
	}
	s.since = now
}

func (s *Server) stop() error {
	s.mu.Lock()
	s.drop(nil)
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
