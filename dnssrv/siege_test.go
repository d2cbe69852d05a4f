package dnssrv

import (
	"fmt"
	"net"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/miekg/dns"
)

// However an upstream behaves, one question of a client costs it few messages,
// and the client hears of a failure in time.
func TestAQuestionCostsFewMessages(t *testing.T) {
	for name, h := range map[string]dns.HandlerFunc{
		"cut off": func(w dns.ResponseWriter, r *dns.Msg) {
			m := new(dns.Msg).SetReply(r)
			m.Truncated = true
			w.WriteMsg(m)
		},
		"no EDNS":   func(w dns.ResponseWriter, r *dns.Msg) { w.WriteMsg(new(dns.Msg).SetRcode(r, dns.RcodeFormatError)) },
		"refuses":   func(w dns.ResponseWriter, r *dns.Msg) { w.WriteMsg(new(dns.Msg).SetRcode(r, dns.RcodeRefused)) },
		"fails":     func(w dns.ResponseWriter, r *dns.Msg) { w.WriteMsg(new(dns.Msg).SetRcode(r, dns.RcodeServerFailure)) },
		"is silent": func(dns.ResponseWriter, *dns.Msg) {},
		"bad cookie": func(w dns.ResponseWriter, r *dns.Msg) {
			m := new(dns.Msg).SetRcode(r, dns.RcodeBadCookie)
			m.SetEdns0(1232, false)
			w.WriteMsg(m)
		},
		"other case": func(w dns.ResponseWriter, r *dns.Msg) {
			r.Question[0].Name = strings.ToUpper(r.Question[0].Name)
			world(w, r)
		},
		// A referral to many names leads nowhere: nobody recurses here.
		"refers to many": func(w dns.ResponseWriter, r *dns.Msg) {
			m := new(dns.Msg).SetReply(r)
			m.Compress = true
			for i := range 500 {
				m.Ns = append(m.Ns, &dns.NS{Hdr: dns.RR_Header{Name: "example.net.", Rrtype: dns.TypeNS, Class: 1, Ttl: 60}, Ns: fmt.Sprintf("ns%d.victim.example.", i)})
			}
			if w.RemoteAddr().Network() == "udp" {
				m.Truncate(1232)
			}
			w.WriteMsg(m)
		},
		"leads on for ever": func(w dns.ResponseWriter, r *dns.Msg) {
			m := new(dns.Msg).SetReply(r)
			m.Answer = []dns.RR{&dns.CNAME{Hdr: dns.RR_Header{Name: r.Question[0].Name, Rrtype: dns.TypeCNAME, Class: 1, Ttl: 9}, Target: "x" + r.Question[0].Name}}
			w.WriteMsg(m)
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var all []*origin
			var addrs []string
			for range 3 {
				o := source(t, h)
				all, addrs = append(all, o), append(addrs, o.addr)
			}
			s := start(t, conf(lab(addrs...)), nil)
			begin := time.Now()
			ask(t, s, "udp", "www.example.net.", dns.TypeA, edns)
			if took := time.Since(begin); took > 2*patience {
				t.Errorf("took %v", took)
			}
			sent := int64(0)
			for _, o := range all {
				sent += o.udp.Load() + o.tcp.Load()
			}
			if sent == 0 || sent > maxTries {
				t.Errorf("%d messages were sent", sent)
			}
			t.Logf("%d messages", sent)
		})
	}
}

// A resolver of one domain that leads to another, and back, is not followed for
// ever.
func TestAliasesBetweenDomainsEnd(t *testing.T) {
	var all []*origin
	d := lab()
	for i := range 2 {
		o := source(t, func(w dns.ResponseWriter, r *dns.Msg) {
			var n int
			fmt.Sscanf(strings.ToLower(r.Question[0].Name), "n%d.", &n)
			m := new(dns.Msg).SetReply(r)
			m.Answer = []dns.RR{&dns.CNAME{
				Hdr:    dns.RR_Header{Name: r.Question[0].Name, Rrtype: dns.TypeCNAME, Class: 1, Ttl: 60},
				Target: fmt.Sprintf("n%d.d%d.example.", n+1, 1-i),
			}}
			w.WriteMsg(m)
		})
		all = append(all, o)
		d.DNS.Forwards = append(d.DNS.Forwards, forwardTo(fmt.Sprintf("d%d.example", i), o.addr))
	}
	s := start(t, conf(d), nil)
	if got := brief(ask(t, s, "udp", "n0.d0.example.", dns.TypeA, edns)); got != "SERVFAIL EDE 24" {
		t.Errorf("got %s", got)
	}
	if n := all[0].udp.Load() + all[1].udp.Load(); n > maxHops+1 {
		t.Errorf("%d messages were sent", n)
	}
}

// Giant answers, and names that are compressed so that little becomes much, cost
// no more memory than a few times the message.
func TestBombsDoNotGoOff(t *testing.T) {
	q := question{name: mustName("www.example.net."), typ: dns.TypeMX}
	head := question2wire(q, false)
	head[2] |= 0x80
	bomb := append([]byte(nil), head...)
	long := len(bomb)
	// One record with a name of 250 bytes, then as many as fit that point to it.
	name := strings.Repeat("\x3f"+strings.Repeat("x", 63), 3) + "\x00"
	add := func(owner, data string) {
		bomb = append(bomb, owner...)
		bomb = append(bomb, 0, byte(dns.TypeMX), 0, 1, 0, 0, 0, 60, byte(len(data)>>8), byte(len(data)))
		bomb = append(bomb, data...)
	}
	add("\xc0\x0c", "\x00\x01"+name)
	n := 1
	for len(bomb) < 65000 {
		add("\xc0\x0c", "\x00\x01\xc0"+string([]byte{byte(long + 14)}))
		n++
	}
	bomb[6], bomb[7] = byte(n>>8), byte(n)
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	a, err := read(q, bomb, manner{})
	runtime.ReadMemStats(&after)
	if err != nil || int(a.counts[0]) != n {
		t.Fatalf("%v, %v of %d records", err, a, n)
	}
	if used := after.TotalAlloc - before.TotalAlloc; used > 16<<20 {
		t.Errorf("%d bytes were used for a message of %d", used, len(bomb))
	} else {
		t.Logf("%d bytes for a message of %d with %d records", used, len(bomb), n)
	}
	c := newCache(cacheBytes, cacheEntries)
	c.put(q, a, time.Now(), 0)
	if n, b := c.size(); n > 0 || b > 0 {
		t.Errorf("%d bytes are kept", b)
	}
	// Pointers that lead to pointers end.
	ring := append([]byte(nil), head...)
	for range 20000 {
		ring = append(ring, 0xc0|byte((len(ring)-2)>>8), byte(len(ring)-2))
	}
	ring[7] = 200
	if a, err := read(q, ring, manner{}); err == nil {
		t.Errorf("got %+v", a)
	}
}

// An upstream that takes connections and lets bytes trickle holds nobody for
// longer than patience.
func TestATrickleIsNoAnswer(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	defer func() { close(done); l.Close() }()
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go func() {
				defer c.Close()
				c.Write([]byte{0xff, 0xff})
				for {
					select {
					case <-done:
						return
					case <-time.After(50 * time.Millisecond):
						if _, err := c.Write([]byte{0}); err != nil {
							return
						}
					}
				}
			}()
		}
	}()
	s := start(t, conf(lab("tcp://"+l.Addr().String())), nil)
	begin := time.Now()
	if got := brief(ask(t, s, "udp", "www.example.net.", dns.TypeA, edns)); got != "SERVFAIL EDE 22" {
		t.Errorf("got %s", got)
	}
	if took := time.Since(begin); took > 2*patience {
		t.Errorf("took %v", took)
	}
}
