package iterate

import (
	"context"
	"net/netip"
	"testing"
	"testing/synctest"
	"time"

	"github.com/miekg/dns"
)

// seeds are messages of the kinds that there are.
func seeds(f *testing.F) {
	add := func(rcode int, aa bool, sections ...[]string) {
		m := new(dns.Msg).SetQuestion("www.one.com.", dns.TypeA)
		m.Response, m.Authoritative, m.Rcode = true, aa, rcode
		for i, to := range []*[]dns.RR{&m.Answer, &m.Ns, &m.Extra} {
			if i >= len(sections) {
				break
			}
			for _, s := range sections[i] {
				rr, err := dns.NewRR(s)
				if err != nil {
					f.Fatal(err)
				}
				*to = append(*to, rr)
			}
		}
		b, err := m.Pack()
		if err != nil {
			f.Fatal(err)
		}
		f.Add(b)
	}
	add(0, true, []string{"www.one.com. 5 IN A 192.0.2.1", "www.two.com. 5 IN A 192.0.2.1"})
	add(0, true, []string{"www.one.com. 5 IN CNAME a.one.com.", "a.one.com. 5 IN CNAME www.two.com.", "www.two.com. 5 IN A 192.0.2.1"})
	add(0, true, []string{"one.com. 5 IN DNAME two.com.", "www.one.com. 5 IN CNAME www.two.com."})
	add(0, true, []string{"one.com. 5 IN DNAME one.com."})
	add(0, false, nil, []string{"one.com. 5 IN NS ns.one.com.", "one.com. 5 IN NS ns.two.com."}, []string{"ns.one.com. 5 IN A 192.0.2.1", "ns.two.net. 5 IN A 192.0.2.2"})
	add(0, false, nil, []string{". 5 IN NS a.root."}, []string{"a.root. 5 IN A 192.0.2.1"})
	add(0, true, nil, []string{"com. 5 IN SOA a. b. 1 2 3 4 5", "com. 5 IN NSEC org. NS"})
	add(dns.RcodeNameError, true, nil, []string{"com. 5 IN SOA a. b. 1 2 3 4 5", "net. 5 IN NSEC org. NS"})
	add(dns.RcodeRefused, false)
}

// Whatever a server says, nothing of it is about names outside of its zone, and
// what it hands on leads down towards the name that was asked for.
func FuzzRead(f *testing.F) {
	seeds(f)
	f.Fuzz(func(t *testing.T, b []byte) {
		m := new(dns.Msg)
		if m.Unpack(b) != nil || len(m.Question) != 1 {
			return
		}
		name := dns.CanonicalName(m.Question[0].Name)
		for _, zone := range []string{".", parent(parent(name)), parent(name), name} {
			q := query{zone: zone, name: name, typ: m.Question[0].Qtype, prime: name == "."}
			r := read(q, m)
			for _, rr := range append(r.answer[:len(r.answer):len(r.answer)], r.ns...) {
				if !below(dns.CanonicalName(rr.Header().Name), zone) {
					t.Errorf("%s is told by a server of %s", rr, zone)
				}
			}
			at := name
			for _, rr := range r.answer { // one chain from the question on
				owner := dns.CanonicalName(rr.Header().Name)
				switch rr := rr.(type) {
				case *dns.CNAME:
					if owner != at && q.typ != dns.TypeCNAME && q.typ != dns.TypeANY {
						t.Errorf("%s in an answer about %s", rr, at)
					}
					if q.typ != dns.TypeCNAME && q.typ != dns.TypeANY {
						at = dns.CanonicalName(rr.Target)
					}
				case *dns.RRSIG:
				case *dns.DNAME:
					if !below(at, owner) {
						t.Errorf("%s in an answer about %s", rr, at)
					}
				default:
					if owner != at {
						t.Errorf("%s in an answer about %s", rr, at)
					}
				}
			}
			if r.hops > maxAliases+1 {
				t.Errorf("%d aliases", r.hops)
			}
			if r.kind == aliased && r.next == name {
				t.Error("an alias to itself")
			}
			if r.kind != referred {
				continue
			}
			c := r.cut
			if c.zone == zone || !below(c.zone, zone) || !below(name, c.zone) {
				t.Errorf("%s leads from %s to %s", name, zone, c.zone)
			}
			if len(c.targets) > maxTargets {
				t.Errorf("%d name servers", len(c.targets))
			}
			for _, s := range c.targets {
				if len(s.glue) > 0 && !below(s.name, zone) {
					t.Errorf("an address of %s by a server of %s", s.name, zone)
				}
				if len(s.glue) > 2*maxAddrs {
					t.Errorf("%d addresses", len(s.glue))
				}
			}
		}
	})
}

// A world in which every server says whatever it likes ends every question within
// its budget and time.
func FuzzResolve(f *testing.F) {
	f.Add([]byte("www.one.com. and what follows from it"), uint16(dns.TypeA))
	f.Add([]byte{0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15}, uint16(dns.TypeDS))
	f.Fuzz(func(t *testing.T, plan []byte, typ uint16) {
		if len(plan) == 0 || len(plan) > 512 {
			return
		}
		labels := []string{"a.", "b.", "c.", "com."}
		at := 0
		next := func(n int) int {
			b := plan[at%len(plan)]
			at++
			return int(b+byte(at/len(plan))) % n
		}
		pick := func() string {
			s := ""
			for range next(4) {
				s += labels[next(len(labels))]
			}
			return s + "com."
		}
		synctest.Test(t, func(t *testing.T) {
			asked := 0
			r := New(Options{
				Hints: []netip.AddrPort{netip.MustParseAddrPort("192.0.2.1:53")},
				Ask: func(ctx context.Context, to netip.AddrPort, q dns.Question, _ bool) (*dns.Msg, error) {
					asked++
					m := new(dns.Msg)
					m.Response, m.Question, m.Authoritative = true, []dns.Question{q}, next(2) == 0
					h := func(name string, typ uint16) dns.RR_Header {
						return dns.RR_Header{Name: name, Rrtype: typ, Class: dns.ClassINET, Ttl: uint32(next(3) * 100)}
					}
					switch next(8) {
					case 0:
						<-ctx.Done()
						return nil, ctx.Err()
					case 1:
						m.Rcode = next(6)
					case 2:
						m.Answer = append(m.Answer, &dns.CNAME{Hdr: h(q.Name, dns.TypeCNAME), Target: pick()})
					case 3:
						m.Answer = append(m.Answer, &dns.DNAME{Hdr: h(parent(q.Name), dns.TypeDNAME), Target: pick()})
					case 4:
						m.Answer = append(m.Answer, &dns.A{Hdr: h(q.Name, dns.TypeA), A: []byte{192, 0, 2, byte(next(4))}})
					default:
						zone := q.Name
						for range next(3) {
							zone = parent(zone)
						}
						for range 1 + next(3) {
							host := pick()
							m.Ns = append(m.Ns, &dns.NS{Hdr: h(zone, dns.TypeNS), Ns: host})
							if next(2) == 0 {
								m.Extra = append(m.Extra, &dns.A{Hdr: h(host, dns.TypeA), A: []byte{192, 0, 2, byte(next(4))}})
							}
						}
					}
					return m, nil
				},
			})
			ctx, cancel := context.WithTimeout(t.Context(), 4500*time.Millisecond)
			defer cancel()
			begun := time.Now()
			r.Resolve(ctx, Question{Name: "x." + pick(), Type: typ})
			if asked > maxMessages {
				t.Errorf("%d messages", asked)
			}
			if took := time.Since(begun); took > 5*time.Second {
				t.Errorf("it took %v", took)
			}
		})
	})
}
