package dnssrv

import (
	"encoding/base64"
	"fmt"
	"net"
	"net/netip"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/miekg/dns"

	"pic/core/config"
	"pic/dnssrv/validate/signedtest"
	"pic/internal/nettest"
)

// far is a resolver on a machine of its own, which answers by h.
func far(t *testing.T, h dns.HandlerFunc) *origin {
	t.Helper()
	lab := nettest.New(t)
	there := lab.Host("far")
	lab.Link(lab.Self(), "wan0", "203.0.113.1/24", there, "eth0", "203.0.113.66/24")
	var pc net.PacketConn
	var l net.Listener
	err := there.Do(func() (err error) {
		if pc, err = net.ListenPacket("udp4", "203.0.113.66:53"); err == nil {
			l, err = net.Listen("tcp4", "203.0.113.66:53")
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	o := originAt(t, pc, l, h)
	nettest.WaitFor(t, 5*time.Second, func() bool { // the cable takes a moment
		c, err := net.DialTimeout("tcp", o.addr, 200*time.Millisecond)
		if err == nil {
			c.Close()
		}
		return err == nil
	})
	return o
}

// twin is a key of the same tag as k: bits of the flags that mean nothing make up
// for the rest.
func twin(t *testing.T, k signedtest.Key) signedtest.Key {
	for {
		other := signedtest.NewKey(t, k.Hdr.Name, k.Algorithm)
		other.Flags = 0
		for _, flags := range []uint16{k.KeyTag() - other.KeyTag(), k.KeyTag() - other.KeyTag() - 1} { // the tag is a sum, with a carry or none
			d := *other.DNSKEY
			if d.Flags = flags; flags&(dns.ZONE|dns.REVOKE) == dns.ZONE && d.KeyTag() == k.KeyTag() {
				return signedtest.Key{DNSKEY: &d, Signer: other.Signer}
			}
		}
	}
}

// spoil adds n signatures that are wrong before each that is good, or in its place.
func spoil(rrs []dns.RR, n int, good bool) (out []dns.RR) {
	for _, rr := range rrs {
		sig, ok := rr.(*dns.RRSIG)
		if ok {
			raw, _ := base64.StdEncoding.DecodeString(sig.Signature)
			for i := range n {
				bad := *sig
				raw[0], raw[1] = byte(i), raw[1]+1
				bad.Signature = base64.StdEncoding.EncodeToString(raw)
				out = append(out, &bad)
			}
		}
		if !ok || good {
			out = append(out, rr)
		}
	}
	return out
}

// However the zones are made that an upstream tells of, and however it tells, a
// question costs a bounded number of messages, signatures and hashes, and others
// are told what is known.
func TestEachAttackOfAnUpstreamHasABound(t *testing.T) {
	type trap struct {
		name           string // asked for; %d is another number each time
		want           string
		messages       int64 // of one question, at most
		checks, hashes uint64
		world          func(t *testing.T, w *signedtest.World, shop *signedtest.Zone)
		slow           bool                                    // it is waited for a better answer
		answer         func(dns.ResponseWriter, *dns.Msg) bool // nil: by the world alone
	}
	under := func(q dns.Question) bool { return q.Name[0]|32 == 'n' && '0' <= q.Name[1] && q.Name[1] <= '9' }
	for what, tt := range map[string]trap{
		"32 keys of one tag and 32 signatures (CVE-2023-50387)": {
			name: "n%d.shop.example.", want: "SERVFAIL EDE 6", messages: 24, checks: 16,
			world: func(t *testing.T, w *signedtest.World, shop *signedtest.Zone) {
				for range 31 {
					shop.Keys = append(shop.Keys, twin(t, shop.Keys[0]))
				}
				w.Edit = func(q dns.Question, m *dns.Msg) {
					if strings.HasSuffix(q.Name, "shop.example.") && q.Qtype != dns.TypeDS {
						m.Answer = spoil(m.Answer, 1, false)
					}
				}
			},
		},
		"two keys of one tag and 32 wrong signatures": {
			name: "n%d.shop.example.", want: "SERVFAIL EDE 6", messages: 24, checks: 2*8 + 8,
			world: func(t *testing.T, w *signedtest.World, shop *signedtest.Zone) {
				shop.Keys = append(shop.Keys, twin(t, shop.Keys[0]))
				w.Edit = func(q dns.Question, m *dns.Msg) {
					if under(q) {
						m.Answer = spoil(m.Answer, 16, false)
					}
				}
			},
		},
		"two keys of one tag and 16 wrong signatures": {
			name: "n%d.shop.example.", want: "SERVFAIL EDE 6", messages: 24, checks: 2*8 + 8,
			world: func(t *testing.T, w *signedtest.World, shop *signedtest.Zone) {
				shop.Keys = append(shop.Keys, twin(t, shop.Keys[0]))
				w.Edit = func(q dns.Question, m *dns.Msg) {
					if under(q) {
						m.Answer = spoil(m.Answer, 8, false)
					}
				}
			},
		},
		"NSEC3 of 50 iterations below 100 labels (CVE-2023-50868)": {
			name: "n%d." + strings.Repeat("a.", 100) + "shop.example.", want: "ad NXDOMAIN", messages: 24, checks: 24, hashes: 128,
			world: func(_ *testing.T, w *signedtest.World, shop *signedtest.Zone) {
				shop.NSEC3 = &dns.NSEC3PARAM{Hash: dns.SHA1, Iterations: 50, SaltLength: 64, Salt: strings.Repeat("ab", 64)}
			},
		},
		"zones without end": {
			name: "n%d." + strings.Repeat("a.", 100) + "shop.example.", want: "SERVFAIL EDE 12", messages: 2*64 + 24, checks: 64,
			world: func(_ *testing.T, w *signedtest.World, shop *signedtest.Zone) {
				w.Edit = func(q dns.Question, m *dns.Msg) {
					if !strings.HasSuffix(q.Name, ".a.shop.example.") && q.Name != "a.shop.example." {
						return
					}
					rr := &dns.NSEC{Hdr: dns.RR_Header{Name: q.Name, Rrtype: dns.TypeNSEC, Class: 1, Ttl: 300}, NextDomain: "0." + q.Name, TypeBitMap: []uint16{dns.TypeA}}
					m.Rcode, m.Answer, m.Ns = dns.RcodeSuccess, nil, append([]dns.RR{rr}, shop.Sign([]dns.RR{rr})...)
				}
			},
		},
		"a referral to 500 name servers (NXNSAttack)": {
			name: "n%d.plain.example.", want: "SERVFAIL EDE 24", messages: 24, checks: 16,
			answer: func(w dns.ResponseWriter, r *dns.Msg) bool {
				if !under(r.Question[0]) {
					return false
				}
				m := new(dns.Msg).SetReply(r)
				m.Compress = true
				for i := range 500 {
					m.Ns = append(m.Ns, &dns.NS{Hdr: dns.RR_Header{Name: "plain.example.", Rrtype: dns.TypeNS, Class: 1, Ttl: 60}, Ns: fmt.Sprintf("ns%d.victim.example.", i)})
				}
				if w.RemoteAddr().Network() == "udp" {
					m.Truncate(1232)
				}
				w.WriteMsg(m)
				return true
			},
		},
		"aliases without end (CAMP)": {
			name: "n%d.plain.example.", want: "SERVFAIL EDE 24", messages: 24, checks: 16, slow: true,
			answer: func(w dns.ResponseWriter, r *dns.Msg) bool {
				if !under(r.Question[0]) {
					return false
				}
				m := new(dns.Msg).SetReply(r)
				at := r.Question[0].Name
				for i := range 40 {
					next := fmt.Sprintf("n%d.%s", i, at)
					if len(next) > 200 {
						break
					}
					m.Answer = append(m.Answer, &dns.CNAME{Hdr: dns.RR_Header{Name: at, Rrtype: dns.TypeCNAME, Class: 1, Ttl: 9}, Target: next})
					at = next
				}
				w.WriteMsg(m)
				return true
			},
		},
		"options without end": {
			name: "n%d.plain.example.", want: "SERVFAIL EDE 24", messages: 24, checks: 16, slow: true,
			answer: func(w dns.ResponseWriter, r *dns.Msg) bool {
				if !under(r.Question[0]) {
					return false
				}
				m := new(dns.Msg).SetReply(r)
				m.Answer = []dns.RR{address(r.Question[0].Name, netip.MustParseAddr("192.0.2.82"), 300)}
				m.SetEdns0(1232, false)
				for range 200 {
					m.IsEdns0().Option = append(m.IsEdns0().Option, &dns.EDNS0_LOCAL{Code: 65001})
				}
				w.WriteMsg(m)
				return true
			},
		},
	} {
		t.Run(what, func(t *testing.T) {
			questions := 10
			if tt.slow {
				questions = 1
			}
			w, shop := universe(t)
			for i := range questions {
				shop.Add(fmt.Sprintf("n%d A 192.0.2.1", i))
			}
			if tt.world != nil {
				tt.world(t, w, shop)
			}
			honest := resolving(w, nil)
			up := far(t, func(rw dns.ResponseWriter, r *dns.Msg) {
				if tt.answer == nil || !tt.answer(rw, r) {
					honest(rw, r)
				}
			})
			d := trusting(w, up.addr)
			d.DNS.Validate = config.ValidateOn
			s := start(t, conf(d), nil)
			const known = "ad NOERROR | ns.example. A 192.0.2.53"
			hit := func() string { return flags(ask(t, s, "udp", "ns.example.", dns.TypeA, wantAD)) }
			if got := hit(); got != known {
				t.Fatalf("got %s, want %s", got, known)
			}
			sent := func() int64 { return up.udp.Load() + up.tcp.Load() }
			v := s.trust.validator.Load()
			for i := range questions {
				before, messages := v.Stats(), sent()
				name := strings.Replace(tt.name, "%d", fmt.Sprint(i), 1)
				want := strings.Replace(tt.want, "%d", fmt.Sprint(i), 1)
				got := flags(ask(t, s, "udp", name, dns.TypeA, wantDO))
				after := v.Stats()
				checks, hashes := after.Checks-before.Checks, after.Hashes-before.Hashes
				if got != want || sent()-messages > tt.messages || checks > tt.checks || hashes > tt.hashes {
					t.Errorf("question %d: %s after %d messages, %d signatures, %d hashes; want %s", i, got, sent()-messages, checks, hashes, want)
				}
				if i == 0 {
					t.Logf("the first takes %d messages, %d signatures, %d hashes", sent()-messages, checks, hashes)
				}
				messages = sent()
				if got := hit(); got != known || sent() != messages {
					t.Errorf("meanwhile %s, after %d messages", got, sent()-messages)
				}
			}
			if _, n := s.forward.cache.size(); n > 4<<20 {
				t.Errorf("%d bytes are kept", n)
			}
		})
	}
}

// Who guesses ids, all of them, gets nothing in; others who ask the same meanwhile
// are no further chance, and what is told beside an answer is not believed.
func TestGuessesOfIDsPoisonNothing(t *testing.T) {
	var mu sync.Mutex
	var asked []string
	begun, joined := make(chan struct{}), make(chan struct{})
	lie := netip.MustParseAddr("203.0.113.99")
	up := far(t, func(w dns.ResponseWriter, r *dns.Msg) {
		network := w.RemoteAddr().Network()
		mu.Lock()
		asked = append(asked, network+" "+strings.ToLower(r.Question[0].Name))
		first := len(asked) == 1
		mu.Unlock()
		if first {
			close(begun)
			<-joined
		}
		m := new(dns.Msg).SetReply(r)
		if strings.HasPrefix(strings.ToLower(r.Question[0].Name), "www.") && network == "udp" {
			m.Answer = []dns.RR{address(r.Question[0].Name, lie, 600)}
			for id := range 1 << 16 {
				if m.Id = uint16(id); m.Id != r.Id {
					w.WriteMsg(m)
				}
			}
		}
		m.Id = r.Id
		m.Answer = []dns.RR{address(r.Question[0].Name, netip.MustParseAddr("192.0.2.80"), 600)}
		m.Ns = []dns.RR{&dns.NS{Hdr: dns.RR_Header{Name: "example.net.", Rrtype: dns.TypeNS, Class: 1, Ttl: 600}, Ns: "ns.evil.example."}}
		m.Extra = []dns.RR{address("bank.example.net.", lie, 600), address("ns.evil.example.", lie, 600)}
		w.WriteMsg(m)
	})
	s := start(t, conf(lab(up.addr)), nil)
	const want = "NOERROR | www.example.net. A 192.0.2.80"
	var wg sync.WaitGroup
	one := func() {
		wg.Go(func() {
			m := new(dns.Msg).SetQuestion("www.example.net.", dns.TypeA)
			r, _, err := (&dns.Client{Timeout: 5 * time.Second}).Exchange(m, s.at(t, "udp"))
			if err != nil || brief(r) != want {
				t.Errorf("%v, %v; want %s", r, err, want)
			}
		})
	}
	one()
	<-begun
	for range 9 {
		one()
	}
	nettest.WaitFor(t, 5*time.Second, func() bool { return s.Stats().UDP >= 10 })
	close(joined)
	wg.Wait()
	mu.Lock()
	if len(asked) > 2 || asked[0] != "udp www.example.net." { // and once over TCP
		t.Errorf("ten who asked the same made %q", asked)
	}
	mu.Unlock()
	if got := brief(ask(t, s, "udp", "www.example.net.", dns.TypeA)); got != want {
		t.Errorf("kept is %s", got)
	}
	if got := brief(ask(t, s, "udp", "bank.example.net.", dns.TypeA)); got != "NOERROR | bank.example.net. A 192.0.2.80" {
		t.Errorf("what was told beside an answer is believed: %s", got)
	}
}
