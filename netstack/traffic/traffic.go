// Package traffic remembers how much each device sent and received: devices of
// the LAN by their hardware address, peers by their key, and the WAN in all.
//
// Counters come from others, every ten seconds, and may start again at zero; what
// is kept are differences, in minutes for three hours, in hours for eight days and
// in days for thirteen months. Live rates are those of the last ten seconds.
//
// Promises: once a minute what was counted is on stable storage, so that kill -9
// loses a minute at most; the file and the memory are bounded, also when strangers
// without number pass by, of whom those that were silent for longest are forgotten;
// nothing of what was sent is kept, nor with whom.
//
// Not here: limits, warnings, the names of devices.
package traffic

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"os"
	"sync"
	"time"

	"pic/core/config"
	"pic/core/service"
	"pic/core/state/journal"
)

// Config is what the document says. [From] derives it.
type Config struct {
	On  bool
	WAN string // the card; empty: the WAN is not counted
}

// From picks the Config out of the resolved document.
func From(d *config.Document) Config {
	return Config{On: config.On(d.Network.Accounting) && d.Cell.Mode != config.Trial, WAN: d.Network.WAN.Name}
}

// Bytes are what something sent and received; of the WAN, what the household did.
type Bytes struct {
	Sent, Received uint64
}

func (b Bytes) plus(o Bytes) Bytes { return Bytes{b.Sent + o.Sent, b.Received + o.Received} }

// Sources tell counters. Any may be nil. They are called by one goroutine.
type Sources struct {
	Devices func() (map[netip.Addr]Bytes, error)  // of the LAN
	Peers   func() map[string]Bytes               // by public key
	WAN     func(card string) (Bytes, bool)       // of the card
	MACs    func() (map[netip.Addr]string, error) // hardware addresses, as aa:bb:cc:dd:ee:ff
}

// A Kind says what an ID stands for.
type Kind string

const (
	LAN  Kind = "lan"  // its Name is a hardware address, or an IP address where that is not known
	Peer Kind = "peer" // its Name is a public key
	WAN  Kind = "wan"
)

// An ID is a device, a peer or the WAN.
type ID struct {
	Kind Kind   `json:"k"`
	Name string `json:"n,omitempty"`
}

// A Server samples and keeps. Use [New]. It implements service.Server and
// service.Reporter.
type Server struct {
	log  *slog.Logger
	path string
	src  Sources
	anew chan struct{} // another Config: look at once, so that all that comes is counted

	mu      sync.Mutex
	conf    Config
	hist    *history // nil until the journal was read
	book    *journal.Log
	kept    int64 // size of the journal after it was last rewritten
	last    map[string]Bytes
	rates   map[ID]Bytes // a second
	sampled time.Time
	fault   error
	since   time.Time // of fault
	damaged string
}

// New returns a server that counts nothing until the first Apply. It keeps the
// history in the file path.
func New(log *slog.Logger, path string, src Sources) *Server {
	return &Server{log: log, path: path, src: src, anew: make(chan struct{}, 1)}
}

// Check accepts everything.
func (s *Server) Check(context.Context, Config) error { return nil }

// Apply makes the server follow c. History stays when counting is switched off.
func (s *Server) Apply(_ context.Context, c Config) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if c.On {
		if err := s.open(); err != nil {
			return err
		}
	}
	if c != s.conf {
		s.last, s.rates = nil, nil
		select {
		case s.anew <- struct{}{}:
		default:
		}
	}
	s.conf = c
	return nil
}

// open reads the history. The caller holds mu.
func (s *Server) open() error {
	if s.book != nil {
		return nil
	}
	h := newHistory()
	book, err := journal.Open(s.path, h.replay)
	var damage *journal.DamageError
	if errors.As(err, &damage) {
		aside := fmt.Sprintf("%s.damaged-%d", s.path, time.Now().Unix())
		if err := os.Rename(s.path, aside); err != nil {
			return fmt.Errorf("moving damaged traffic history away: %w", err)
		}
		s.log.Error("traffic history is damaged", "kept", aside, "err", err)
		s.damaged = aside
		book, err = journal.Open(s.path, func([]byte) error { return nil })
	}
	if err != nil {
		return fmt.Errorf("reading the traffic history: %w", err)
	}
	s.book, s.hist, s.kept = book, h, 0
	return nil
}

const (
	every = 10 * time.Second
	save  = time.Minute
)

// Run samples until ctx is done, and then saves what it knows.
func (s *Server) Run(ctx context.Context) error {
	tick := time.NewTicker(every)
	defer tick.Stop()
	saved := time.Now()
	s.sample(time.Now())
	for {
		select {
		case <-ctx.Done():
			s.sample(time.Now())
			err := s.flush()
			s.mu.Lock()
			defer s.mu.Unlock()
			if s.book == nil {
				return err
			}
			err = errors.Join(err, s.book.Close())
			s.book, s.hist, s.last, s.rates = nil, nil, nil, nil
			return err
		case <-s.anew:
			s.sample(time.Now())
		case now := <-tick.C:
			s.sample(now)
			if now.Sub(saved) < save {
				continue
			}
			saved = now
			if err := s.flush(); err != nil {
				s.log.Warn("traffic history not saved", "err", err)
			}
		}
	}
}

// sample reads all counters and adds what they grew by.
func (s *Server) sample(now time.Time) {
	s.mu.Lock()
	c := s.conf
	on := c.On && s.hist != nil
	s.mu.Unlock()
	if !on {
		return
	}
	seen, err := s.read(c)

	s.mu.Lock()
	defer s.mu.Unlock()
	if s.fault == nil && err != nil {
		s.since = now
		s.log.Warn("some traffic is not counted", "err", err)
	}
	s.fault = err
	if s.hist == nil || s.conf != c {
		return
	}
	grown := map[ID]Bytes{}
	last := map[string]Bytes{}
	for key, r := range seen {
		last[key] = r.Bytes
		old, known := s.last[key]
		if !known && (s.last == nil || r.standing) {
			continue // what was before we looked is not of now
		}
		grown[r.id] = grown[r.id].plus(Bytes{more(r.Sent, old.Sent), more(r.Received, old.Received)})
	}
	pause := now.Sub(s.sampled).Seconds()
	s.rates = map[ID]Bytes{}
	for id, b := range grown {
		if b == (Bytes{}) {
			continue
		}
		s.hist.add(now, id, b)
		if pause > 0 && s.last != nil {
			s.rates[id] = Bytes{uint64(float64(b.Sent) / pause), uint64(float64(b.Received) / pause)}
		}
	}
	s.last, s.sampled = last, now
}

// more is how much a counter grew; one that is lower than before began anew.
func more(now, before uint64) uint64 {
	if now < before {
		return now
	}
	return now - before
}

// A reading is one counter now.
type reading struct {
	id ID
	Bytes
	standing bool // it counted before we looked, also when it is new to us
}

// read asks all sources. What one cannot tell does not keep others from it.
func (s *Server) read(c Config) (map[string]reading, error) {
	out := map[string]reading{}
	var errs []error
	if s.src.Devices != nil {
		devices, err := s.src.Devices()
		errs = append(errs, err)
		var macs map[netip.Addr]string
		if s.src.MACs != nil && len(devices) > 0 {
			if macs, err = s.src.MACs(); err != nil {
				errs = append(errs, err)
			}
		}
		for a, b := range devices {
			id := ID{LAN, macs[a]}
			if id.Name == "" {
				id.Name = a.String()
			}
			out["lan "+a.String()] = reading{id: id, Bytes: b}
		}
	}
	if s.src.Peers != nil {
		for key, b := range s.src.Peers() {
			out["peer "+key] = reading{id: ID{Peer, key}, Bytes: b}
		}
	}
	if s.src.WAN != nil && c.WAN != "" {
		if b, ok := s.src.WAN(c.WAN); ok {
			out["wan"] = reading{ID{Kind: WAN}, b, true}
		}
	}
	return out, errors.Join(errs...)
}

// flush makes durable what was added since the last time.
func (s *Server) flush() error {
	s.mu.Lock()
	if s.hist == nil || s.book == nil {
		s.mu.Unlock()
		return nil
	}
	rec, err := s.hist.changes()
	book := s.book
	due := book.Size() > max(small, 4*s.kept)
	s.mu.Unlock()
	if err != nil || rec == nil {
		return err
	}
	if err := book.Append(context.Background(), rec); err != nil {
		return err
	}
	if !due {
		return nil
	}
	err = book.Rewrite(context.Background(), func(emit func([]byte) error) error {
		s.mu.Lock()
		defer s.mu.Unlock()
		return s.hist.dump(emit)
	})
	s.mu.Lock()
	defer s.mu.Unlock()
	s.kept = book.Size()
	return err
}

// small is how long the journal may grow without a thought.
const small = 1 << 20

// Problems lists what is wrong now.
func (s *Server) Problems() []service.Problem {
	s.mu.Lock()
	defer s.mu.Unlock()
	var out []service.Problem
	if s.fault != nil {
		out = append(out, service.Problem{
			Code: "traffic/not-counted", Severity: service.Warning, Title: "Some traffic is not counted", Text: s.fault.Error(),
			Fix: "It is tried again every ten seconds. Everything else works.", Since: s.since,
		})
	}
	if s.damaged != "" {
		out = append(out, service.Problem{
			Code: "traffic/history-damaged", Severity: service.Warning, Title: "The history of traffic was lost",
			Text: "Its file was damaged, and is kept as " + s.damaged + ".", Fix: "Check the disk; remove that file once it is of no use.", Since: time.Now(),
		})
	}
	return out
}

// Sockets is empty.
func (s *Server) Sockets() []string { return nil }

// Facts tell how many devices are known.
func (s *Server) Facts() []service.Fact {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.hist == nil || !s.conf.On {
		return nil
	}
	return []service.Fact{{Name: "devices", Value: fmt.Sprint(len(s.hist.devices))}}
}
