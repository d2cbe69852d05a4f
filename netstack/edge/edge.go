// Package edge speaks with what stands around the cell: it asks the router
// upstream for the port of the VPN, lets devices of the LAN open ports, keeps
// public names at the public address, and repeats mDNS between LAN and VPN.
//
// It decides nothing about packets: mappings are put in force by a [igd.Gate].
// What cannot be had, such as a port at a router that gives none, is a problem,
// not an error, and is tried again.
package edge

import (
	"context"
	"crypto/tls"
	"log/slog"
	"net/netip"
	"reflect"
	"slices"
	"sync"
	"time"

	"pic/core/config"
	"pic/netstack/ddns"
	"pic/netstack/igd"
	"pic/netstack/mdns"
)

// Config is what the server needs to know. [From] derives it.
type Config struct {
	Wish    igd.Wish   // at the router upstream, for the VPN; no port: none
	Public  []igd.Wish // there, for services that the document makes public
	Mapping Mapping
	Names   []Dynamic
	Reflect Reflect
}

// A Mapping says who may open ports, and which are taken. Off where it has no
// address.
type Mapping struct {
	On    netip.Addr // of the LAN, where devices ask
	Allow []netip.Prefix
	Most  int
	Taken []Span
}

// A Span is a run of ports of the WAN.
type Span struct {
	Protocol    uint8
	First, Last uint16
}

// A Dynamic is a name to keep, its secret not opened yet.
type Dynamic struct {
	ddns.Name
	Secret config.Secret
}

// Reflect says between which cards mDNS is repeated, and for which peers. Off
// where the LAN has no name.
type Reflect struct {
	LAN, Tunnel string
	Peers       []netip.Addr
}

// From picks the server's Config out of the resolved document.
func From(d *config.Document) Config {
	var c Config
	w, n := &d.WireGuard, &d.Network
	if config.On(w.Enabled) && config.On(w.OpenPort) {
		c.Wish = igd.Wish{Protocol: igd.UDP, Port: w.Port, Name: "WireGuard of " + d.Cell.Name}
	}
	if config.On(w.OpenPort) && d.Cell.Mode != config.Trial {
		for _, o := range config.Opened(d) {
			for _, p := range o.Ports {
				wish := igd.Wish{Protocol: igd.TCP, Port: p.Port, Name: o.Name + " of " + d.Cell.Name, Exact: true}
				if p.Protocol == "udp" {
					wish.Protocol = igd.UDP
				}
				c.Public = append(c.Public, wish)
			}
		}
	}
	for _, e := range n.Dynamic {
		if e.Disabled {
			continue
		}
		c.Names = append(c.Names, Dynamic{ddns.Name{
			Name: e.Name, Protocol: e.Protocol, Server: e.Server, User: e.User, Zone: e.Zone, Interval: time.Duration(e.Interval),
			Four: slices.Contains(e.Families, "4"), Six: slices.Contains(e.Families, "6"),
		}, e.Password})
	}
	if d.Cell.Mode == config.Trial {
		return c
	}
	if config.On(n.PortMapping.Enabled) && config.On(n.Router) {
		c.Mapping = Mapping{On: n.LAN.Address.Addr(), Allow: n.PortMapping.Allow, Most: n.PortMapping.Most, Taken: taken(d)}
	}
	if config.On(n.Reflect) && config.On(w.Enabled) && n.LAN.Name != "" {
		c.Reflect = Reflect{LAN: n.LAN.Name, Tunnel: w.Interface}
		for _, p := range d.Peers {
			if p.Disabled || !config.On(p.LAN) {
				continue
			}
			for _, a := range []netip.Addr{p.Address, p.Address6} {
				if a.IsValid() {
					c.Reflect.Peers = append(c.Reflect.Peers, a)
				}
			}
		}
	}
	return c
}

// taken are the ports of the WAN that devices cannot have: forwards and what the
// cell itself may serve there.
func taken(d *config.Document) []Span {
	var out []Span
	add := func(protocol string, first, last uint16) {
		if protocol != "udp" {
			out = append(out, Span{igd.TCP, first, last})
		}
		if protocol != "tcp" {
			out = append(out, Span{igd.UDP, first, last})
		}
	}
	for _, f := range d.Network.Forwards {
		if !f.Disabled {
			add(f.Protocol, f.Port, f.Last)
		}
	}
	add("udp", d.WireGuard.Port, d.WireGuard.Port)
	for _, p := range []uint16{
		d.DNS.Port, d.DNS.TLSPort, d.NTP.Port, d.Mail.SMTPPort, d.Mail.SubmissionPort, d.Mail.SubmissionsPort, d.Mail.IMAPPort,
		d.Proxy.HTTPPort, d.Proxy.HTTPSPort, d.Web.UIPort, d.Web.APIPort, d.Web.MailPort, d.Web.FilesPort,
	} {
		add("both", p, p)
	}
	return out
}

// Options are what the server gets from others.
type Options struct {
	Gate    igd.Gate
	Secrets func(config.Secret) ([]byte, error)
	// WAN returns the address that the provider gave a cell that is the router
	// itself; none otherwise.
	WAN func() netip.Addr
	// Roots replaces what the host trusts, for services of public names; nil in
	// production.
	Roots *tls.Config
}

// A Server does all that. Use [New]. It implements service.Server and
// service.Reporter.
type Server struct {
	log   *slog.Logger
	opt   Options
	ports *igd.Server
	poke  chan struct{}

	mu      sync.Mutex
	conf    Config
	keeper  *igd.Keeper // nil: no port is asked for
	public  []*igd.Keeper
	names   []*ddns.Keeper
	failing map[string]failure // by task
	serving bool               // devices are answered
}

// A failure is what keeps a task from running, and since when.
type failure struct {
	err   error
	since time.Time
}

// New returns a server that does nothing until the first Apply.
func New(log *slog.Logger, o Options) *Server {
	return &Server{log: log, opt: o, ports: igd.NewServer(log, o.Gate), poke: make(chan struct{}, 1), failing: map[string]failure{}}
}

// Check reports why c could not be applied: a secret that is not there.
func (s *Server) Check(_ context.Context, c Config) error {
	_, err := s.open(c)
	return err
}

// Apply makes c what is done from now on, by Run.
func (s *Server) Apply(_ context.Context, c Config) error {
	if _, err := s.open(c); err != nil {
		return err
	}
	s.mu.Lock()
	s.conf = c
	s.mu.Unlock()
	s.again()
	return nil
}

func (s *Server) again() {
	select {
	case s.poke <- struct{}{}:
	default:
	}
}

// Moved tells that the host's addresses have changed. It does not block.
func (s *Server) Moved() {
	s.mu.Lock()
	if s.keeper != nil {
		s.keeper.Again()
	}
	for _, k := range s.public {
		k.Again()
	}
	for _, k := range s.names {
		k.Again()
	}
	s.mu.Unlock()
	s.again()
}

// A task runs until its context ends.
type task struct {
	conf any
	stop func()
}

// Run does what the last Apply said until ctx is done.
func (s *Server) Run(ctx context.Context) error {
	tasks := map[string]task{}
	var wg sync.WaitGroup
	wg.Go(func() { s.ports.Run(ctx) })
	tick := time.NewTicker(5 * time.Second)
	defer tick.Stop()
	for {
		s.mu.Lock()
		c := s.conf
		s.mu.Unlock()
		s.terms(c)
		s.follow(ctx, &wg, tasks, c)
		select {
		case <-ctx.Done():
			for _, t := range tasks {
				t.stop()
			}
			wg.Wait()
			s.mu.Lock()
			s.keeper, s.public, s.names = nil, nil, nil
			clear(s.failing)
			s.mu.Unlock()
			return nil
		case <-s.poke:
		case <-tick.C:
		}
	}
}

// follow starts and stops tasks so that they are those of c.
func (s *Server) follow(ctx context.Context, wg *sync.WaitGroup, tasks map[string]task, c Config) {
	ensure := func(name string, conf any, on bool, run func(context.Context)) {
		have, running := tasks[name]
		if running && on && reflect.DeepEqual(have.conf, conf) {
			return
		}
		if running {
			have.stop()
			delete(tasks, name)
		}
		if !on {
			return
		}
		ctx, cancel := context.WithCancel(ctx)
		done := make(chan struct{})
		wg.Go(func() { defer close(done); run(ctx) })
		tasks[name] = task{conf, func() { cancel(); <-done }}
	}
	ensure("port", c.Wish, c.Wish.Port != 0, s.keepPort(c.Wish))
	ensure("public", c.Public, len(c.Public) > 0, s.keepPublic(c.Public))
	ensure("mapping", c.Mapping.On, c.Mapping.On.IsValid(), func(ctx context.Context) { s.insist(ctx, "mapping", s.serve(c.Mapping.On)) })
	ensure("reflect", c.Reflect, c.Reflect.LAN != "", func(ctx context.Context) {
		s.insist(ctx, "reflect", func(ctx context.Context) error {
			return mdns.Run(ctx, s.log, mdns.Options{LAN: c.Reflect.LAN, Tunnel: c.Reflect.Tunnel, May: func(a netip.Addr) bool {
				return slices.Contains(c.Reflect.Peers, a)
			}})
		})
	})
	ensure("names", c.Names, len(c.Names) > 0, s.keepNames(c))
}

// insist runs f until ctx is done, again and again where it fails.
func (s *Server) insist(ctx context.Context, name string, f func(context.Context) error) {
	defer s.fail(name, nil)
	for ctx.Err() == nil {
		began := time.Now()
		err := f(ctx)
		if ctx.Err() != nil {
			return
		}
		if time.Since(began) > time.Minute {
			s.fail(name, nil)
		}
		s.fail(name, err)
		select {
		case <-ctx.Done():
		case <-time.After(5 * time.Second):
		}
	}
}

func (s *Server) fail(name string, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if err == nil {
		delete(s.failing, name)
		return
	}
	f, known := s.failing[name]
	if !known {
		f.since = time.Now()
		s.log.Warn("not running", "task", name, "err", err)
	}
	f.err = err
	s.failing[name] = f
}
