// Package lookuptest is a DNS for tests: it answers from the records it was given
// and from nothing else. No program may use it.
package lookuptest

import (
	"context"
	"strings"

	"github.com/miekg/dns"

	"pic/mailsrv/lookup"
)

// Records is a [lookup.Resolver] that has all it knows in it: by name, with the final
// dot. What it does not have does not exist; a nil entry cannot be answered.
type Records map[string][]dns.RR

// Lookup implements [lookup.Resolver].
func (m Records) Lookup(_ context.Context, name string, qtype uint16) (lookup.Answer, error) {
	rrs, ok := m[strings.ToLower(name)]
	if ok && rrs == nil {
		return lookup.Answer{}, lookup.ErrTemporary
	}
	a := lookup.Answer{Exists: ok}
	for _, rr := range rrs {
		if rr.Header().Rrtype == qtype {
			a.Records = append(a.Records, rr)
		}
	}
	return a, nil
}

// Zone reads records in the form of a zone file, one a line. A mistake is a
// panic.
func Zone(lines ...string) Records {
	m := Records{}
	for _, l := range lines {
		rr, err := dns.NewRR(l)
		if err != nil {
			panic(err)
		}
		name := strings.ToLower(rr.Header().Name)
		m[name] = append(m[name], rr)
	}
	return m
}
