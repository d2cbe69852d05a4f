package iterate

import (
	"context"
	"errors"
	"net/netip"
	"time"

	"github.com/miekg/dns"
)

// A located is what is known of where a name server is, or why a zone has none.
type located struct {
	addrs    []netip.Addr // none: they cannot be found
	why      *Failure     // then
	failures int          // in a row
	until    time.Time
}

func oneAddr(a netip.Addr) []netip.Addr { return []netip.Addr{a} }

// addresses finds out where the name server host is. It costs what the client's
// question may still cost.
func (j *job) addresses(ctx context.Context, host string) ([]netip.Addr, error) {
	r := j.r
	if l, ok := r.names.get(host, time.Now()); ok {
		return l.found()
	}
	if j.depth >= maxDepth {
		return nil, &Failure{Code: dns.ExtendedErrorCodeNoReachableAuthority, Text: "its name servers depend on too many others", deep: true}
	}
	for up := j; up != nil; up = up.above {
		if up.host == host {
			return nil, lost(r.names, host, &Failure{Code: dns.ExtendedErrorCodeNoReachableAuthority, Text: "its name servers depend on each other"})
		}
	}
	sub := &job{r: r, budget: j.budget, depth: j.depth + 1, above: j, host: host}
	l := &located{}
	var why *Failure
	missing := false
	for _, typ := range []uint16{dns.TypeA, dns.TypeAAAA} {
		if any := anyOf(typ); !r.families.has(any, time.Now()) {
			continue
		}
		a, err := sub.resolve(ctx, Question{Name: host, Type: typ})
		switch {
		case err != nil && (ctx.Err() != nil || errors.Is(err, errWork) || failureOf(err).deep):
			return nil, err // which is about this question alone
		case err != nil:
			why = failureOf(err)
			continue
		}
		missing = missing || a.Msg.Rcode == dns.RcodeNameError
		ttl := uint32(maxLife.Seconds())
		for _, rr := range a.Msg.Answer {
			ttl = min(ttl, bound(rr.Header().Ttl))
			if ip := addressOf(rr); ip.IsValid() && len(l.addrs) < maxAddrs {
				l.addrs = append(l.addrs, ip)
			}
		}
		if len(l.addrs) > 0 {
			l.until = time.Now().Add(lifeOf(ttl))
			r.names.put(host, l)
			return l.found()
		}
		if missing {
			break
		}
	}
	if why == nil {
		why = &Failure{Code: dns.ExtendedErrorCodeNoReachableAuthority, Text: host + " has no address", missing: true}
	}
	return nil, lost(r.names, host, why)
}

func (l *located) found() ([]netip.Addr, error) {
	if len(l.addrs) == 0 {
		return nil, l.why
	}
	return l.addrs, nil
}

// lost remembers that a name server, or those of a zone, cannot be found: the
// longer the more often that was so.
func lost(m *memory[*located], key string, why *Failure) *Failure {
	l := &located{why: why, failures: 1}
	if old := m.old(key); old != nil && old.why != nil {
		l.failures = old.failures + 1
	}
	most := maxFailure
	if why.Unreached { // which may be over at any time
		most = maxUnreached
	}
	l.until = time.Now().Add(min(minFailure<<min(l.failures-1, 10), most))
	m.put(key, l)
	return why
}

func failureOf(err error) *Failure {
	var f *Failure
	if errors.As(err, &f) {
		return f
	}
	return &Failure{Code: dns.ExtendedErrorCodeNoReachableAuthority, Text: err.Error(), Unreached: true}
}

// anyOf returns an address of the family that records of the type have.
func anyOf(typ uint16) netip.Addr {
	if typ == dns.TypeA {
		return netip.IPv4Unspecified()
	}
	return netip.IPv6Unspecified()
}
