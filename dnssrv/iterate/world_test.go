package iterate

import (
	"context"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/miekg/dns"
)

// A world is name servers and the zones they have, without a network.
type world struct {
	mu      sync.Mutex
	servers map[netip.Addr]func(q dns.Question) *dns.Msg // nil: silent
	log     []string                                     // what was asked of whom
}

// newWorld reads servers and their zones: "addr apex" begins a zone, the lines
// after it are its records. A zone on several servers has them joined by commas.
func newWorld(t testing.TB, text string) *world {
	t.Helper()
	w := &world{servers: map[netip.Addr]func(dns.Question) *dns.Msg{}}
	zones := map[netip.Addr][]*zone{}
	known := map[string]*zone{}
	var z *zone
	for line := range strings.Lines(text) {
		line = strings.TrimSpace(line)
		if line == "" {
			continue
		}
		if at, apex, ok := strings.Cut(line, " @ "); ok {
			if z = known[line]; z != nil {
				continue
			}
			z = &zone{apex: apex}
			known[line] = z
			for a := range strings.SplitSeq(at, ",") {
				ip := netip.MustParseAddr(a)
				zones[ip] = append(zones[ip], z)
			}
			continue
		}
		rr, err := dns.NewRR(line)
		if err != nil || rr == nil {
			t.Fatalf("%q: %v", line, err)
		}
		rr.Header().Name = dns.CanonicalName(rr.Header().Name)
		z.rrs = append(z.rrs, rr)
	}
	for ip, all := range zones {
		w.servers[ip] = func(q dns.Question) *dns.Msg { return serve(all, q) }
	}
	return w
}

type zone struct {
	apex string
	rrs  []dns.RR
}

func (z *zone) set(name string, typ uint16) (out []dns.RR) {
	for _, rr := range z.rrs {
		if rr.Header().Name == name && rr.Header().Rrtype == typ {
			out = append(out, rr)
		}
	}
	return out
}

// serve answers as an authoritative server of the zones does.
func serve(zones []*zone, q dns.Question) *dns.Msg {
	m := new(dns.Msg)
	m.Response, m.Question = true, []dns.Question{q}
	name := dns.CanonicalName(q.Name)
	for range 12 {
		var z *zone
		for _, c := range zones {
			if below(name, c.apex) && (z == nil || len(c.apex) > len(z.apex)) && (q.Qtype != dns.TypeDS || c.apex != name) {
				z = c
			}
		}
		if z == nil {
			if len(m.Answer) == 0 {
				m.Rcode = dns.RcodeRefused
			}
			return m
		}
		m.Authoritative = true
		for cut := name; cut != z.apex; cut = parent(cut) {
			ns := z.set(cut, dns.TypeNS)
			if len(ns) == 0 || cut == name && q.Qtype == dns.TypeDS {
				continue
			}
			m.Authoritative = len(m.Answer) > 0
			m.Ns = ns
			for _, rr := range ns {
				host := dns.CanonicalName(rr.(*dns.NS).Ns)
				m.Extra = append(m.Extra, z.set(host, dns.TypeA)...)
				m.Extra = append(m.Extra, z.set(host, dns.TypeAAAA)...)
			}
			return m
		}
		if set := z.set(name, q.Qtype); len(set) > 0 {
			m.Answer = append(m.Answer, set...)
			return m
		}
		if c := z.set(name, dns.TypeCNAME); len(c) > 0 {
			m.Answer = append(m.Answer, c...)
			name = dns.CanonicalName(c[0].(*dns.CNAME).Target)
			continue
		}
		m.Ns = z.set(z.apex, dns.TypeSOA)
		if !slices.ContainsFunc(z.rrs, func(rr dns.RR) bool { return below(rr.Header().Name, name) }) {
			m.Rcode = dns.RcodeNameError
		}
		return m
	}
	return m
}

func (w *world) ask(ctx context.Context, to netip.AddrPort, q dns.Question, _ bool) (*dns.Msg, error) {
	w.mu.Lock()
	w.log = append(w.log, fmt.Sprintf("%s %s %s", to.Addr(), q.Name, dns.TypeToString[q.Qtype]))
	f := w.servers[to.Addr()]
	w.mu.Unlock()
	if f == nil {
		<-ctx.Done()
		return nil, ctx.Err()
	}
	select {
	case <-time.After(10 * time.Millisecond):
		return f(q), nil
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// asked returns what was asked since the last call.
func (w *world) asked() []string {
	w.mu.Lock()
	defer w.mu.Unlock()
	out := w.log
	w.log = nil
	return out
}

// resolver follows the delegations of w from the server 192.0.2.1 on.
func (w *world) resolver() *Resolver {
	return New(Options{Hints: []netip.AddrPort{netip.MustParseAddrPort("192.0.2.1:53")}, Ask: w.ask})
}

// find asks r as a client does and says what came in words.
func find(r *Resolver, name string, typ uint16) string {
	ctx, cancel := context.WithTimeout(context.Background(), 4500*time.Millisecond)
	defer cancel()
	a, err := r.Resolve(ctx, Question{Name: name, Type: typ})
	if err != nil {
		return err.Error()
	}
	out := []string{dns.RcodeToString[a.Msg.Rcode]}
	for _, rr := range a.Msg.Answer {
		out = append(out, strings.TrimPrefix(rr.String(), rr.Header().String()))
	}
	return strings.Join(out, " ")
}

// base is a root and two domains.
const base = `
192.0.2.1 @ .
. 3600 IN SOA a. h. 1 2 3 4 60
. 518400 IN NS a.root.
a.root. 518400 IN A 192.0.2.1
com. 3600 IN NS a.com.
a.com. 3600 IN A 192.0.2.2
net. 3600 IN NS a.net.
a.net. 3600 IN A 192.0.2.3
192.0.2.2 @ com.
com. 3600 IN SOA a. h. 1 2 3 4 60
com. 3600 IN NS a.com.
a.com. 3600 IN A 192.0.2.2
`
