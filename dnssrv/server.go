package dnssrv

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"reflect"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/quic-go/quic-go"

	"pic/core/config"
	"pic/core/names"
	"pic/dnssrv/policy"
	"pic/dnssrv/querylog"
	"pic/dnssrv/sign"
	"pic/internal/listen"
)

// probeEvery is how often upstreams that are down are looked after.
const probeEvery = 15 * time.Second

// A resolver finds the answers that no zone of the cell has.
type resolver interface {
	// cached answers at once, or not at all.
	cached(question) (reply, bool)
	// resolve answers within two seconds, if need be with a failure.
	resolve(run context.Context, q question) reply
}

// A Server answers DNS queries. Use [New]. Its methods may be called from any
// goroutine, but for Check, Apply and Run, whose order [service.Server] says.
type Server struct {
	opt   Options
	log   *slog.Logger
	set   *listen.Set
	names func() *names.Snapshot

	table   atomic.Pointer[table]
	hot     atomic.Pointer[hot]
	hotMost int // bytes of it
	forward *forwarder
	trust   *trust
	filter  *policy.Engine
	beyond  resolver                           // forward, unless somebody puts another in its place
	outlets atomic.Pointer[map[string]*outlet] // by exit
	keys    *sign.Keys
	diary   *querylog.Log
	keeper  *keeper
	count   counters
	waiting waiting
	conns   *conns // over TCP
	secure  *conns // with TLS
	shakes  *crowd // handshakes of TLS under way
	quics   *crowd // connections over QUIC
	talks   talks
	running atomic.Pointer[context.Context]
	relief  *relief
	busy    atomic.Int64 // queries over UDP that are being answered elsewhere
	rate    *limiter     // of queries, by client
	answers *limiter     // to strangers, by network and by what they say
	cookies cookies
	lanes   [maxHands]lane

	mu     sync.Mutex      // of Apply and Run
	run    context.Context // of everything that serves; nil while nothing does
	cancel context.CancelFunc
	wg     sync.WaitGroup
}

// Options are what a Server stands on. Log and Pool are required; without the
// others the server does less.
type Options struct {
	Log  *slog.Logger
	Pool *listen.Pool
	// Names returns the names found out.
	Names func() *names.Snapshot
	// Dir is the folder of what the server keeps: copies of lists, keys and
	// changes of zones, the query log. It need not exist.
	Dir string
	// Secret returns a secret of the document.
	Secret func(config.Secret) ([]byte, error)
	// Seal and Unseal guard keys that the server makes itself.
	Seal   func(context string, plain []byte) []byte
	Unseal func(context string, sealed []byte) ([]byte, error)
	// Certificate is what encrypted listeners show.
	Certificate func(*tls.ClientHelloInfo) (*tls.Certificate, error)
	// MAC returns the hardware address of a neighbour, as aa:bb:cc:dd:ee:ff.
	MAC func(netip.Addr) string
	// Dial connects through the VPN alone.
	Dial func(ctx context.Context, network, address string) (net.Conn, error)
	// DialExit connects by an exit alone; ExitUp reports whether one answers.
	DialExit func(ctx context.Context, exit, network, address string) (net.Conn, error)
	ExitUp   func(exit string) bool
	// Memory is about how many bytes kept answers may take: from 10 MB to 40 MB,
	// and that where it is 0.
	Memory int64
}

// New returns a server that serves nothing until the first Apply.
func New(o Options) *Server {
	s := &Server{opt: o, log: o.Log, set: o.Pool.Set(), names: o.Names, forward: newForwarder(o.room(4)), hotMost: o.room(1), keys: newKeys(o)}
	s.relief = &relief{began: time.Now()}
	s.beyond, s.forward.relieve = s.forward, s.relief.look
	s.filter = policy.New(policy.Options{Log: o.Log, Dir: o.Dir, MAC: o.MAC, Resolve: s.addresses})
	s.rate, s.answers = newLimiter(), newLimiter()
	s.diary = newQueries(o)
	s.forward.dial = o.Dial
	s.trust = newTrust(s.forward, o, s.Flush)
	s.waiting.by = map[addr]*standing{}
	s.conns, s.secure = newConns(), newConns()
	s.talks.over = map[*quic.Conn]net.PacketConn{}
	s.shakes, s.quics = newCrowd(maxShakes, maxShakesPerHost), newCrowd(maxQUIC, maxQUICPerHost)
	s.keeper = newKeeper(o.Dir, o.Log)
	s.table.Store(&table{})
	return s
}

// Check implements service.Server. Its error joins a config.FieldError for each
// thing wrong.
func (s *Server) Check(_ context.Context, c Config) error {
	_, err := compile(c, 0)
	return errors.Join(err, policy.Check(c.policy()))
}

// Apply implements service.Server. Sockets that stay are not touched; queries
// under way are answered from what was in force when they came.
func (s *Server) Apply(ctx context.Context, c Config) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	made := s.table.Load().made
	if made.IsZero() || !reflect.DeepEqual(s.table.Load().conf, c) {
		made = time.Now()
	}
	filter, err := s.filter.Prepare(c.policy())
	if err != nil {
		return err
	}
	s.keys.Follow(c.signed())
	t, err := version{ring: s.ring}.compile(c)
	var swap *listen.Swap
	if err == nil {
		t.made, t.exitUp = made, s.opt.ExitUp
		t.keys, t.bad = s.shared(&c)
		swap, err = s.open(ctx, c)
	}
	if err != nil {
		s.keys.Follow(s.table.Load().conf.signed())
		return err
	}
	if s.run == nil {
		s.run, s.cancel = context.WithCancel(context.WithoutCancel(ctx))
		run := s.run
		s.running.Store(&run)
		s.forward.open(s.run)
		s.diary.Apply(c.queries()) // before it looks at what is too old
		s.diary.Open()
		s.keeper.open()
		s.wg.Go(func() { s.tend(run) })
	}
	secure := func(b listen.Bound) bool { return slices.Contains(c.TLS, b.Socket) }
	added := swap.Added()
	for _, b := range added {
		if b.Packet == nil || !secure(b) {
			continue
		}
		if err := s.serveQUIC(s.run, b.Packet); err != nil {
			swap.Abort()
			s.keys.Follow(s.table.Load().conf.signed())
			return err
		}
	}
	filter()
	s.diary.Apply(c.queries())
	s.adopt(t)
	s.wakeKeeper()
	s.forward.follow(t.routes, t.care)
	s.trust.follow(c.DNS.Validate, t.anchors)
	s.followOutlets(t)
	s.hot.Store(nil)          // what came of former upstreams meanwhile
	for _, b := range added { // not before there is something to say: queries wait
		s.serve(b, secure(b))
	}
	s.part(c.TLS)
	swap.Commit()
	if len(c.Sockets) == 0 {
		s.conns.close()
	}
	if len(c.TLS) == 0 {
		s.secure.close()
	}
	return nil
}

// open opens the sockets of c. Those with TLS need a certificate to show.
func (s *Server) open(ctx context.Context, c Config) (*listen.Swap, error) {
	before := s.table.Load().conf
	for _, k := range c.Sockets {
		if slices.Contains(before.TLS, k) || slices.Contains(c.TLS, k) {
			return nil, fmt.Errorf("%s cannot change between DNS and DNS over TLS in one step; choose another port first", k)
		}
	}
	for _, k := range c.TLS {
		if slices.Contains(before.Sockets, k) {
			return nil, fmt.Errorf("%s cannot change between DNS and DNS over TLS in one step; choose another port first", k)
		}
	}
	want := c.Sockets
	if s.opt.Certificate != nil {
		want = slices.Concat(want, c.TLS)
	}
	return s.set.Open(ctx, want)
}

// part ends the connections over QUIC at sockets that are not among keep.
func (s *Server) part(keep []listen.Socket) {
	for _, b := range s.set.Bound() {
		if b.Packet != nil && !slices.Contains(keep, b.Socket) {
			s.talks.close(b.Packet)
		}
	}
}

// serve begins to answer at b, but for QUIC, which is served already.
func (s *Server) serve(b listen.Bound, secure bool) {
	s.log.Info("serving", "network", b.Net, "listen", b.LocalAddr(), "tls", secure)
	switch {
	case b.Listener != nil && secure:
		s.serveTLS(s.run, b.Listener)
	case b.Listener != nil:
		s.serveTCP(s.run, b.Listener)
	case !secure:
		s.serveUDP(s.run, b.Packet)
	}
}

// Run implements service.Server.
func (s *Server) Run(ctx context.Context) error {
	var filter sync.WaitGroup
	filter.Go(func() { s.filter.Run(ctx) })
	defer filter.Wait()
	tick := time.NewTicker(probeEvery)
	defer tick.Stop()
	kept := s.keeping(ctx)
	for ctx.Err() == nil {
		select {
		case <-ctx.Done():
		case <-tick.C:
			s.forward.probe(ctx)
			s.trust.watch(ctx)
		}
	}
	kept()
	s.mu.Lock()
	defer s.mu.Unlock()
	s.part(nil)
	s.set.Close()
	if s.run != nil {
		s.cancel()
		s.running.Store(nil)
		s.run, s.cancel = nil, nil
	}
	s.conns.close()
	s.secure.close()
	s.wg.Wait()
	s.keeper.close()
	s.forward.close()
	s.closeOutlets()
	s.diary.Close()
	return nil
}

// Flush forgets all answers of upstream resolvers.
func (s *Server) Flush() {
	s.forward.flush()
	if all := s.outlets.Load(); all != nil {
		for _, o := range *all {
			o.flush()
			o.trust.flush()
		}
	}
	s.forward.forget()
	s.trust.flush()
	s.hot.Store(nil)
	s.log.Info("cache flushed")
}
