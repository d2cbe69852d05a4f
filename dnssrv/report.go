package dnssrv

import (
	"fmt"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"github.com/miekg/dns"

	"pic/core/service"
	"pic/dnssrv/iterate"
)

// rcodes is how many response codes are told apart, BADVERS included.
const rcodes = 17

type counters struct {
	udp, dropped, slipped, refused atomic.Uint64
	over                           [overQUIC + 1]atomic.Uint64 // messages over streams, by proto
	via                            [5]atomic.Uint64
	rcode                          [rcodes]atomic.Uint64
}

// A lane is the counters of a goroutine that answers many, in lines of the
// processor's cache that nobody else writes.
type lane struct {
	counters
	_ [128]byte
}

// total returns all counts.
func (s *Server) total() *counters {
	sum := new(counters)
	sum.add(&s.count)
	for i := range s.lanes {
		sum.add(&s.lanes[i].counters)
	}
	return sum
}

func (c *counters) add(o *counters) {
	c.udp.Add(o.udp.Load())
	c.dropped.Add(o.dropped.Load())
	c.slipped.Add(o.slipped.Load())
	c.refused.Add(o.refused.Load())
	for i := range c.over {
		c.over[i].Add(o.over[i].Load())
	}
	for i := range c.via {
		c.via[i].Add(o.via[i].Load())
	}
	for i := range c.rcode {
		c.rcode[i].Add(o.rcode[i].Load())
	}
}

func (c *counters) answered(rcode int, how via) {
	c.via[how].Add(1)
	if rcode < rcodes {
		c.rcode[rcode].Add(1)
	}
}

// Stats are counts since the start.
type Stats struct {
	UDP          uint64            `json:"udp"`       // messages that came over UDP
	TCP          uint64            `json:"tcp"`       // over TCP as it is
	TLS          uint64            `json:"tls"`       // over TLS
	HTTPS        uint64            `json:"https"`     // over HTTPS, whatever its version
	QUIC         uint64            `json:"quic"`      // and over QUIC
	Local        uint64            `json:"local"`     // answered from the cell's zones, errors included
	Cached       uint64            `json:"cached"`    // answered from the cache
	Forwarded    uint64            `json:"forwarded"` // answered by upstreams
	Stale        uint64            `json:"stale"`     // answered with what was over, for want of a better answer
	Upstream     uint64            `json:"upstream"`  // questions that went upstream; equal ones travel once
	Blocked      uint64            `json:"blocked"`   // answered as names that the household does not want
	Rewritten    uint64            `json:"rewritten"` // answered with what it wants instead
	Refused      uint64            `json:"refused"`   // clients outside of the allowed prefixes
	Dropped      uint64            `json:"dropped"`   // not answered at all
	Slipped      uint64            `json:"slipped"`   // over a limit of queries or answers, told to come back over TCP or with a cookie
	Rcodes       map[string]uint64 `json:"rcodes"`    // answers by response code
	CacheEntries int               `json:"cacheEntries"`
	CacheBytes   int               `json:"cacheBytes"`
	Upstreams    []UpstreamStatus  `json:"upstreams"`
	Validating   bool              `json:"validating"`          // answers about names that no forward is about are checked by DNSSEC
	Recursion    *iterate.Stats    `json:"recursion,omitempty"` // nil: upstreams are asked
}

// Queries are the messages that came, whatever way.
func (s *Stats) Queries() uint64 { return s.UDP + s.TCP + s.TLS + s.HTTPS + s.QUIC }

// Stats returns the counts and how the upstreams are doing.
func (s *Server) Stats() Stats {
	c := s.total()
	out := Stats{
		UDP: c.udp.Load(), TCP: c.over[overTCP].Load(), TLS: c.over[overTLS].Load(),
		HTTPS: c.over[overHTTPS].Load(), QUIC: c.over[overQUIC].Load(), Refused: c.refused.Load(), Dropped: c.dropped.Load(), Slipped: c.slipped.Load(),
		Local: c.via[viaZone].Load(), Cached: c.via[viaCache].Load(), Forwarded: c.via[viaUpstream].Load(),
		Blocked: c.via[viaBlocked].Load(), Rewritten: c.via[viaRewritten].Load(),
		Upstream: s.forward.sent.Load(), Rcodes: map[string]uint64{}, Upstreams: s.forward.upstreams(), Stale: s.forward.staled.Load(),
	}
	for code := range c.rcode {
		if n := c.rcode[code].Load(); n > 0 {
			out.Rcodes[rcodeName(code)] = n
		}
	}
	out.Validating = s.trust.checks()
	if it := s.forward.routing.Load().root.iter; it != nil {
		st := it.Stats()
		out.Recursion = &st
	}
	out.CacheEntries, out.CacheBytes = s.forward.cache.size()
	return out
}

func rcodeName(code int) string {
	if code == dns.RcodeBadVers {
		return "BADVERS" // the library has the other name of 16
	}
	return dns.RcodeToString[code]
}

// Records returns what the cell answers with: the records of its zones and the
// names found out. Reverse records of the latter are left out.
func (s *Server) Records() []Entry {
	t, snap := s.present()
	return t.all(snap)
}

// Sockets implements service.Reporter.
func (s *Server) Sockets() []string { return s.set.Sockets() }

// Facts implements service.Reporter.
func (s *Server) Facts() []service.Fact {
	st := s.Stats()
	up := 0
	for _, u := range st.Upstreams {
		if u.Up {
			up++
		}
	}
	return []service.Fact{
		{Name: "queries", Value: fmt.Sprint(st.Queries())},
		{Name: "from cache", Value: fmt.Sprint(st.Cached)},
		{Name: "blocked", Value: fmt.Sprint(st.Blocked)},
		{Name: "names in lists", Value: fmt.Sprint(s.BlockedNames())},
		{Name: "cached answers", Value: fmt.Sprint(st.CacheEntries)},
		s.trust.fact(),
		s.trust.root.fact(),
		s.forward.fact(up, len(st.Upstreams)),
	}
}

// Problems implements service.Reporter.
func (s *Server) Problems() []service.Problem {
	return slices.Concat(s.upstreamProblems(), s.loopProblems(), s.keyProblems(), s.filterProblems(), s.logProblems(), s.sharingProblems(), s.trust.problems(), s.forward.rootProblems())
}

func (s *Server) upstreamProblems() []service.Problem {
	t := s.table.Load()
	if len(t.conf.Sockets) == 0 {
		return nil
	}
	var bad, all, lost []string
	since, gone := time.Now(), time.Now()
	r := s.forward.routing.Load()
	if len(r.root.ups) == 0 && r.root.iter == nil {
		return []service.Problem{{
			Code:     "dns/no-upstreams",
			Title:    "Names outside the household cannot be resolved",
			Text:     "No upstream resolver other than this cell is set, and the host's resolv.conf names none.",
			Fix:      "Set dns.upstreams to the address of your router or of a public resolver, such as 9.9.9.9.",
			Severity: service.Failure,
			Since:    t.made,
		}}
	}
	for _, g := range r.sorted() {
		up := len(g.ups)
		for _, u := range g.ups {
			st := u.status()
			switch {
			case st.Up:
				continue
			case g == r.root:
				bad = append(bad, st.Address+" ("+st.Error+")")
				since = minTime(since, u.failingSince())
			default:
				lost = append(lost, st.Address+" ("+st.Error+")")
				gone = minTime(gone, u.failingSince())
			}
			up--
		}
		if up == 0 && g != r.root {
			all = append(all, strings.TrimSuffix(g.domain.String(), "."))
		}
	}
	var out []service.Problem
	if len(bad) > 0 {
		p := service.Problem{
			Code:     "dns/upstreams-down",
			Title:    fmt.Sprintf("%d of %d upstream resolvers do not answer", len(bad), len(r.root.ups)),
			Text:     strings.Join(bad, "; "),
			Fix:      "See whether the internet connection is up; if it is, set dns.upstreams to resolvers that answer.",
			Severity: service.Warning,
			Since:    since,
		}
		if len(bad) == len(r.root.ups) {
			p.Severity = service.Failure
			p.Title = "Names outside the household cannot be resolved"
			p.Text = "No upstream resolver answers: " + p.Text
		}
		out = append(out, p)
	}
	if len(all) > 0 {
		out = append(out, service.Problem{
			Code:     "dns/forwards-down",
			Title:    "Names in " + strings.Join(all, ", ") + " cannot be resolved",
			Text:     "None of the resolvers that are asked about them answers: " + strings.Join(lost, "; "),
			Fix:      "See whether they are on, and where dns.forwards says tunnel whether the VPN is up; or correct dns.forwards.",
			Severity: service.Warning,
			Since:    gone,
		})
	}
	return out
}

func minTime(a, b time.Time) time.Time {
	if b.Before(a) {
		return b
	}
	return a
}
