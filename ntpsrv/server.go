package ntpsrv

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"runtime/debug"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"pic/core/config"
	"pic/internal/datagram"
	"pic/internal/listen"
	"pic/internal/order"
)

const (
	// lookEvery is how often the kernel is asked about the clock.
	lookEvery = 16 * time.Second
	// late is how old a query may be: its client waits no longer. It also bounds
	// how far a clock may be set while a query is under way.
	late = time.Second
	// maxQuery is the length of the longest query that is read whole; what is
	// longer is no query.
	maxQuery = 1024
	// queue is the receive buffer, in bytes. It is small: an answer that waited
	// in a long queue is worth nothing.
	queue = 64 << 10
)

// A Server answers NTP queries. Use [New]. Its methods may be called from any
// goroutine, but for Check, Apply and Run, whose order [service.Server] says.
type Server struct {
	log    *slog.Logger
	set    *listen.Set
	kernel func() Clock

	state  atomic.Pointer[state]
	allow  atomic.Pointer[[]netip.Prefix]
	limits *limiter
	count  struct{ queries, answered, refused, limited, malformed atomic.Uint64 }

	mu      sync.Mutex // of what follows
	began   time.Time
	tick    int8 // precision
	clock   Clock
	sources []*source
	best    *source
	run     context.Context // of everything that serves; nil while nothing does
	cancel  context.CancelFunc
	wg      sync.WaitGroup
}

// New returns a server that serves nothing until the first Apply.
func New(log *slog.Logger, pool *listen.Pool) *Server {
	s := &Server{log: log, set: pool.Set(), kernel: readClock, limits: newLimiter()}
	s.allow.Store(&[]netip.Prefix{})
	return s
}

// Check implements service.Server. Its error joins a config.FieldError for each
// thing wrong.
func (s *Server) Check(_ context.Context, c Config) error {
	var errs []error
	for i, src := range c.Sources {
		if _, _, err := split(src); err != nil {
			errs = append(errs, &config.FieldError{
				Path:    fmt.Sprintf("ntp.sources.%d", i),
				Problem: fmt.Sprintf("%q is not a time server; give a host or host:port, such as ptbtime1.ptb.de", src),
			})
		}
	}
	return errors.Join(errs...)
}

// Apply implements service.Server. Sockets and sources that stay are not
// touched.
func (s *Server) Apply(ctx context.Context, c Config) error {
	if err := s.Check(ctx, c); err != nil {
		return err
	}
	swap, err := s.set.Open(ctx, c.Sockets)
	if err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.run == nil {
		s.run, s.cancel = context.WithCancel(context.WithoutCancel(ctx))
		s.began, s.tick = time.Now(), precision(time.Now)
		s.clock = s.kernel()
	}
	s.allow.Store(new(slices.Clone(c.Allow)))
	s.follow(c.Sources)
	s.refresh()
	for _, b := range swap.Added() {
		s.log.Info("serving", "network", b.Net, "listen", b.LocalAddr())
		conn := datagram.Wrap(b.Packet)
		conn.Stamp()
		conn.ReadBuffer(queue)
		run := s.run
		s.wg.Go(func() { s.serve(run, conn) })
	}
	swap.Commit()
	return nil
}

// Run implements service.Server.
func (s *Server) Run(ctx context.Context) error {
	tick := time.NewTicker(lookEvery)
	defer tick.Stop()
	for ctx.Err() == nil {
		select {
		case <-ctx.Done():
		case <-tick.C:
			s.look()
		}
	}
	s.set.Close()
	s.mu.Lock()
	if s.run != nil {
		s.cancel()
		s.run, s.cancel = nil, nil
	}
	s.sources, s.best = nil, nil
	s.mu.Unlock()
	s.wg.Wait()
	return nil
}

// follow starts to ask the sources that are new and stops to ask those that are
// gone. The caller holds mu.
func (s *Server) follow(want []string) {
	var keep []*source
	for _, src := range s.sources {
		if slices.Contains(want, src.name) {
			keep = append(keep, src)
		} else {
			src.stop()
		}
	}
	for _, name := range want {
		if slices.ContainsFunc(keep, func(src *source) bool { return src.name == name }) {
			continue
		}
		ctx, stop := context.WithCancel(s.run)
		src := &source{name: name, stop: stop, itself: s.itself, status: SourceStatus{Source: name, State: Waiting}}
		keep = append(keep, src)
		s.wg.Go(func() {
			defer stop()
			src.follow(ctx, s.polled)
		})
	}
	s.sources = keep
}

// itself reports whether to is where this server answers.
func (s *Server) itself(to netip.AddrPort) bool {
	for _, b := range s.set.Bound() {
		at := b.LocalAddr()
		if at.Port() != to.Port() {
			continue
		}
		if at.Addr().Unmap() == to.Addr() || at.Addr().IsUnspecified() && ours(to.Addr()) {
			return true
		}
	}
	return false
}

// ours reports whether a is an address of this host.
func ours(a netip.Addr) bool {
	if a.IsLoopback() {
		return true
	}
	addrs, _ := net.InterfaceAddrs() // none: then we cannot tell
	return slices.ContainsFunc(addrs, func(n net.Addr) bool {
		p, err := netip.ParsePrefix(n.String())
		return err == nil && p.Addr().Unmap() == a
	})
}

// look asks the kernel how the clock is.
func (s *Server) look() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.clock = s.kernel()
	s.refresh()
}

// polled is called after each poll of a source.
func (s *Server) polled() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.refresh()
}

// refresh makes what is served follow what is known. The caller holds mu.
func (s *Server) refresh() {
	var best *sample
	s.best, best = choose(s.sources)
	st := serve(s.clock, best, s.began, time.Now())
	st.precision = s.tick
	s.state.Store(st)
}

// choose returns the source to go by, and its best sample: of three and more
// the one in the middle, for one alone may lie; else the one that is nearest to
// the truth by its own account.
func choose(sources []*source) (*source, *sample) {
	type candidate struct {
		*source
		sample
	}
	var all []candidate
	for _, src := range sources {
		src.mu.Lock()
		if b, ok := src.best(); ok {
			all = append(all, candidate{src, b})
		}
		src.mu.Unlock()
	}
	if len(all) == 0 {
		return nil, nil
	}
	pick := all[0]
	if len(all) > 2 {
		order.By(all, func(a, b candidate) int { return cmp.Compare(a.offset, b.offset) })
		pick = all[len(all)/2]
	} else {
		for _, c := range all {
			if c.distance() < pick.distance() {
				pick = c
			}
		}
	}
	return pick.source, &pick.sample
}

// distance bounds how far the sample may be from the truth.
func (s *sample) distance() time.Duration { return s.rootDisp + (s.rootDelay+s.delay)/2 }

// serve answers on conn until it is closed.
func (s *Server) serve(run context.Context, conn *datagram.Conn) {
	p := datagram.NewPacket(maxQuery)
	for pause := time.Millisecond; ; {
		err := conn.Read(p)
		switch {
		case errors.Is(err, net.ErrClosed):
			return
		case err != nil:
			s.log.Warn("reading a query", "err", err)
			select {
			case <-run.Done():
				return
			case <-time.After(pause):
			}
			pause = min(2*pause, time.Second)
		default:
			pause = time.Millisecond
			s.query(conn, p)
		}
	}
}

func (s *Server) query(conn *datagram.Conn, p *datagram.Packet) {
	defer func() {
		if r := recover(); r != nil {
			s.log.Error("a query broke the server", "addr", p.From, "err", r, "stack", string(debug.Stack()))
		}
	}()
	var out [packetLen]byte
	if !s.reply(&out, p, time.Now()) {
		return
	}
	depart(&out, stamp(time.Now()))
	if err := conn.Reply(out[:], p); err != nil && !errors.Is(err, net.ErrClosed) {
		s.log.Debug("sending a reply", "addr", p.From, "err", err)
	}
}

// reply writes the answer to p, but for the time of its departure. It reports
// whether there is one.
func (s *Server) reply(out *[packetLen]byte, p *datagram.Packet, now time.Time) bool {
	s.count.queries.Add(1)
	from := p.From.Addr()
	if !slices.ContainsFunc(*s.allow.Load(), func(pre netip.Prefix) bool { return pre.Contains(from.WithZone("")) }) {
		s.count.refused.Add(1)
		return false
	}
	if check(p.Data) != nil || p.From.Port() == 0 {
		s.count.malformed.Add(1)
		return false
	}
	if age := now.Sub(p.At); age.Abs() > late {
		s.count.limited.Add(1)
		return false
	}
	h := s.state.Load().say(now)
	switch s.limits.judge(from, now) {
	case ignored:
		s.count.limited.Add(1)
		return false
	case kissed:
		s.count.limited.Add(1)
		h = kiss
	default:
		s.count.answered.Add(1)
	}
	answer(out, p.Data, h, stamp(p.At))
	return true
}
