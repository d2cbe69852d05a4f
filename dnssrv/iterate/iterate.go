// Package iterate finds out answers from the servers of the zones themselves,
// beginning at those of the root.
//
// It promises:
//
//   - Delegations are followed as the parent's servers tell them (RFC 1034
//     §5.3.3), from the closest that is remembered. What a zone says about its own
//     name servers changes nothing, and no delegation outlives the one above it:
//     a zone that was taken away is gone when its parent's word is over (ghost
//     domains). The servers of the root are learned from the hints (RFC 8109).
//   - Nobody is believed about names outside of the zone that he was asked for.
//     Addresses that come with a delegation count for that delegation alone;
//     those of name servers are otherwise looked up (RFC 2181 §5.4.1).
//   - A server is told no more of a name than it needs (RFC 9156): one label after
//     the other, type A, at most 10 times. Servers that fail on that are asked for
//     the whole name, and what they deny of a part of it is not believed of all.
//   - Of the servers of a zone the quickest are asked first, over the families
//     that the host has a way for. A server that is late has company soon; one
//     that is silent is left alone for 5 s to 5 min; one that does not know the
//     zone for 10 min. UDP, TCP, EDNS, cookies and mixed case are those of package
//     upstream.
//   - CNAMEs and DNAMEs (RFC 6672) are followed from zone to zone, 11 at most.
//   - What one question costs is bounded, whoever wrote the zones: see limits.go.
//     All that follows from it is paid from one budget of 64 messages; see
//     [Budget]. Name servers that cannot be found are remembered (RFC 9520), loops
//     among them included.
//
// Records of DNSSEC are asked for and passed on: DS by the parent's servers, all
// else by the zone's own (RFC 4035 §4.2). Judging them is for package validate.
// It keeps no answers, only who serves what.
package iterate

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"

	"github.com/miekg/dns"
)

// Options are what a Resolver stands on; the zero value is good.
type Options struct {
	// Hints are where the servers of the root are; none: [Root]. Where one has a
	// port other than 53 they are not asked who else there is.
	Hints []netip.AddrPort
	// Refuse tells the addresses that are never asked, whoever names them; nil:
	// none.
	Refuse func(netip.Addr) bool
	// Dial connects to name servers; nil: as the system does.
	Dial func(ctx context.Context, network, address string) (net.Conn, error)
	// Ask takes the place of the network.
	Ask func(ctx context.Context, to netip.AddrPort, q dns.Question, do bool) (*dns.Msg, error)
}

// A Question is what is asked.
type Question struct {
	Name string // in presentation format with the last dot, in lower case
	Type uint16
	DO   bool // with signatures and proofs
	// Leave tells the names that somebody else is asked about: an alias is not
	// followed there. nil: none.
	Leave func(name string) bool
}

// A Failure is why there is no answer.
type Failure struct {
	Code uint16 // of an extended error (RFC 8914)
	Text string
	// Unreached: nobody answered, so that another time all may be well.
	Unreached bool

	missing bool // there is no such name
	deep    bool // because of how far the question was that led to it, so it says nothing about others
}

func (f *Failure) Error() string { return f.Text }

// errWork is the failure of a question that has cost all it may.
var errWork = &Failure{Code: dns.ExtendedErrorCodeOther, Text: "finding it out takes too many messages"}

// An Answer is what came of a question.
type Answer struct {
	// Msg has the aliases and records in the answer section and what denies or
	// proves in the authority section. It belongs to the caller.
	Msg *dns.Msg
	// From is the server that said the last of it.
	From netip.Addr
}

// A Resolver follows delegations. Use [New]. Its methods may be called from any
// goroutine.
type Resolver struct {
	opt      Options
	cuts     *memory[*cut]
	names    *memory[*located] // of name servers
	orphans  *memory[*located] // zones whose servers cannot be found
	steps    *memory[step]
	families families
	hears    hears
	sent     atomic.Uint64
	failures atomic.Uint64

	mu      sync.Mutex
	servers *memory[*server]
	room    chan struct{} // for connections over TCP
	priming chan struct{} // closed when it is over; nil: it is not under way
	primed  time.Time     // when it last began
	wg      sync.WaitGroup
}

// New returns a resolver that knows nothing but the hints. Whoever made it
// closes it.
func New(o Options) *Resolver {
	r := &Resolver{opt: o, room: make(chan struct{}, maxStreams)}
	if len(r.opt.Hints) == 0 {
		r.opt.Hints = Root()
	}
	r.cuts = newMemory(maxCuts, func(c *cut) time.Time { return c.until })
	r.names = newMemory(maxNames, func(l *located) time.Time { return l.until })
	r.orphans = newMemory(maxNames, func(l *located) time.Time { return l.until })
	r.steps = newMemory(maxNames, func(s step) time.Time { return s.until })
	r.servers = newMemory(maxServers, func(*server) time.Time { return time.Now().Add(time.Hour) })
	r.servers.gone = func(s *server) {
		if s.via != nil {
			r.wg.Go(s.via.Close) // it waits for what is being read
		}
	}
	return r
}

// Close ends all connections. No question may be under way.
func (r *Resolver) Close() {
	r.wg.Wait()
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, e := range r.servers.by {
		if s := e.Value.(remembered[*server]).value; s.via != nil {
			s.via.Close()
		}
	}
	r.servers.flush()
}

// Flush forgets all delegations and addresses; how servers have been doing is
// still known.
func (r *Resolver) Flush() {
	r.cuts.flush()
	r.names.flush()
	r.orphans.flush()
	r.steps.flush()
	r.mu.Lock()
	defer r.mu.Unlock()
	r.primed = time.Time{}
}

// Stats are counts since the start, and what is known.
type Stats struct {
	Sent        uint64 // messages
	Failed      uint64 // questions without an answer
	Delegations int
	Servers     int
	Silent      bool      // nobody has answered the last questions
	Since       time.Time // then: the first of them
}

// Stats returns the counts.
func (r *Resolver) Stats() Stats {
	silent, _ := r.hears.state()
	return Stats{Since: r.hears.since(), Sent: r.sent.Load(), Failed: r.failures.Load(), Delegations: r.cuts.len(), Servers: r.servers.len(), Silent: silent}
}

// may reports whether a server at a may be asked.
func (r *Resolver) may(a netip.Addr) bool {
	return a.IsValid() && !a.IsUnspecified() && !a.IsMulticast() && (r.opt.Refuse == nil || !r.opt.Refuse(a))
}

// Resolve finds out the answer to q. An error is a [*Failure]. The end of ctx is
// one.
func (r *Resolver) Resolve(ctx context.Context, q Question) (*Answer, error) {
	ctx = Budget(ctx)
	j := &job{r: r, budget: ctx.Value(budgetKey{}).(*budget)}
	a, err := j.resolve(ctx, q)
	if err == nil {
		return a, nil
	}
	r.failures.Add(1)
	var f *Failure
	if !errors.As(err, &f) {
		f = &Failure{Code: dns.ExtendedErrorCodeNoReachableAuthority, Text: err.Error()}
	}
	return nil, f
}
