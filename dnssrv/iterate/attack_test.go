package iterate

import (
	"context"
	"fmt"
	"net/netip"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/miekg/dns"
)

// towns are n delegations of one zone, each to the name servers that hosts names
// for it.
func delegate(zone string, n int, host func(i int) string) string {
	var b strings.Builder
	for i := range n {
		fmt.Fprintf(&b, "%s 3600 IN NS %s\n", zone, host(i))
	}
	return b.String()
}

// No zone can have the resolver send more than its share, whatever it is made of.
func TestOneQuestionCostsABoundedNumberOfMessages(t *testing.T) {
	attacker := base + `
evil.com. 3600 IN NS ns.evil.com.
ns.evil.com. 3600 IN A 192.0.2.66
victim.com. 3600 IN NS ns.victim.com.
ns.victim.com. 3600 IN A 192.0.2.77
192.0.2.77 @ victim.com.
victim.com. 300 IN SOA a. h. 1 2 3 4 60
192.0.2.66 @ evil.com.
evil.com. 300 IN SOA a. h. 1 2 3 4 60
`
	many := func(n int, host func(int) string) string {
		return delegate("x.evil.com.", n, host)
	}
	var chain, ring, fan, cnames strings.Builder
	for i := range 40 {
		fmt.Fprintf(&chain, "z%d.evil.com. 300 IN NS ns.z%d.evil.com.\n", i, i+1)
		fmt.Fprintf(&ring, "z%d.evil.com. 300 IN NS ns.z%d.evil.com.\n", i, (i+1)%40)
		fmt.Fprintf(&cnames, "c%d.evil.com. 300 IN CNAME c%d.evil.com.\n", i, i+1)
		for k := range 40 {
			fmt.Fprintf(&fan, "z%d.evil.com. 300 IN NS ns%d.z%d.evil.com.\n", i, k, (i*7+k)%40)
		}
	}
	for name, tt := range map[string]struct {
		text  string
		most  int // messages
		names int // different names of the victim that were asked for
	}{
		"500 names that do not exist":    {many(500, func(i int) string { return fmt.Sprintf("n%d.victim.com.", i) }), 64, maxMissing + 1},
		"500 names without addresses":    {many(500, func(i int) string { return fmt.Sprintf("n%d.victim.com.", i) }) + "\n", 64, maxTargets},
		"names that are names":           {many(20, func(i int) string { return "c0.evil.com." }) + cnames.String(), 64, 0},
		"delegations one after another":  {many(1, func(int) string { return "ns.z0.evil.com." }) + chain.String(), 64, 0},
		"delegations in a ring":          {many(1, func(int) string { return "ns.z0.evil.com." }) + ring.String(), 64, 0},
		"delegations in a web":           {many(40, func(i int) string { return fmt.Sprintf("ns.z%d.evil.com.", i) }) + fan.String(), 64, 0},
		"each leads back to the other":   {many(1, func(int) string { return "ns.y.evil.com." }) + "y.evil.com. 300 IN NS ns.x.evil.com.\n", 64, 0},
		"itself":                         {many(1, func(int) string { return "ns.x.evil.com." }), 64, 0},
		"500 names that are all the one": {many(500, func(i int) string { return fmt.Sprintf("n%d.evil.com.", i) }) + hosts(500), 64, 1},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(t, attacker+tt.text)
				if strings.Contains(name, "without addresses") {
					w.servers[netip.MustParseAddr("192.0.2.77")] = func(q dns.Question) *dns.Msg {
						m := new(dns.Msg)
						m.Response, m.Authoritative, m.Question = true, true, []dns.Question{q}
						return m
					}
				}
				r := w.resolver()
				got := find(r, "www.x.evil.com.", dns.TypeA)
				if strings.HasPrefix(got, "NOERROR") || strings.HasPrefix(got, "NXDOMAIN") {
					t.Errorf("it has an answer: %s", got)
				}
				asked, victim := w.asked(), map[string]bool{}
				for _, s := range asked {
					if f := strings.Fields(s); f[0] == "192.0.2.77" && f[1] != "victim.com." {
						victim[f[1]] = true
					}
				}
				if len(asked) > tt.most || len(victim) > tt.names {
					t.Errorf("%d messages, %d names of the victim (%s)", len(asked), len(victim), got)
				}
				t.Logf("%d messages, %d names of the victim: %s", len(asked), len(victim), got)
				for i := range 3 {
					find(r, fmt.Sprintf("o%d.x.evil.com.", i), dns.TypeA)
				}
				if again := len(w.asked()); again > 16 {
					t.Errorf("the next questions cost %d messages again", again)
				}
			})
		})
	}
}

// hosts are addresses of name servers that know nothing.
func hosts(n int) string {
	var b strings.Builder
	for i := range n {
		fmt.Fprintf(&b, "n%d.evil.com. 300 IN A 192.0.2.77\n", i)
	}
	return b.String()
}

// What follows from one question of a client is paid from the same budget.
func TestQuestionsThatFollowFromOneShareItsBudget(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, simple)
		for a := range w.servers {
			if a != netip.MustParseAddr("192.0.2.1") && a != netip.MustParseAddr("192.0.2.2") {
				w.servers[a] = nil
			}
		}
		r := w.resolver()
		ctx, cancel := context.WithTimeout(Budget(t.Context()), time.Hour)
		defer cancel()
		for i := range 50 {
			r.Resolve(ctx, Question{Name: fmt.Sprintf("x%d.one.com.", i), Type: dns.TypeA})
			time.Sleep(longRest)
		}
		if n := len(w.asked()); n > maxMessages {
			t.Errorf("%d messages", n)
		}
	})
}

// A chain of zones that ends at somebody else's name servers does not have them
// count as lost.
func TestTheEndOfALongChainIsNotLostForOthers(t *testing.T) {
	var chain strings.Builder
	for i := range maxDepth {
		host := fmt.Sprintf("ns.z%d.evil.com.", i+1)
		if i == maxDepth-1 {
			host = "ns.victim.com."
		}
		fmt.Fprintf(&chain, "z%d.evil.com. 300 IN NS %s\n", i, host)
	}
	synctest.Test(t, func(t *testing.T) {
		r := newWorld(t, base+`
evil.com. 3600 IN NS ns.evil.com.
ns.evil.com. 3600 IN A 192.0.2.66
victim.com. 3600 IN NS ns.other.com.
other.com. 3600 IN NS ns.host.com.
host.com. 3600 IN NS ns.host.com.
ns.host.com. 3600 IN A 192.0.2.77
192.0.2.77 @ host.com.
ns.host.com. 300 IN A 192.0.2.77
192.0.2.77 @ other.com.
ns.other.com. 300 IN A 192.0.2.77
192.0.2.77 @ victim.com.
www.victim.com. 300 IN A 192.0.2.80
192.0.2.66 @ evil.com.
`+chain.String()).resolver()
		if got := find(r, "www.z0.evil.com.", dns.TypeA); !strings.Contains(got, "depend on") {
			t.Errorf("the chain: %s", got)
		}
		if got := find(r, "www.victim.com.", dns.TypeA); !strings.Contains(got, "192.0.2.80") {
			t.Errorf("afterwards: %s", got)
		}
	})
}
