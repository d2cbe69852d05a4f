package dnssrv

import (
	"fmt"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/miekg/dns"

	"pic/internal/nettest"
)

// A tap is what tcpdump sees of questions to name servers.
type tap struct {
	t     *testing.T
	proc  *nettest.Proc
	marks int
}

func newTap(t *testing.T) *tap {
	t.Helper()
	p := nettest.New(t).Self().Start(t, "tcpdump", "-i", "lo", "-n", "-l", "--immediate-mode", "-B", "8192", "dst", "net", "127.1.0.0/16", "and", "dst", "port", "53")
	nettest.WaitFor(t, 10*time.Second, func() bool { return strings.Contains(p.Output(), "listening on") })
	return &tap{t: t, proc: p}
}

// A packet is a question, or one of TCP.
type packet struct{ to, name, typ string }

var asks = regexp.MustCompile(`> (127\.1\.\d+\.\d+)\.53: (?:.*? ([A-Z]+)\? (\S+) )?`)

// since returns what was sent since the last mark, once the packet that says
// that it is all has been seen, and sets a mark.
func (p *tap) since() []packet {
	p.t.Helper()
	p.marks++
	mark := fmt.Sprintf("mark%d.", p.marks)
	c := dns.Client{Timeout: time.Second}
	if _, _, err := c.Exchange(new(dns.Msg).SetQuestion(mark, dns.TypeA), rootAddr+":53"); err != nil {
		p.t.Fatal(err)
	}
	nettest.WaitFor(p.t, 10*time.Second, func() bool { return strings.Contains(p.proc.Output(), mark) })
	text := p.proc.Output()
	if _, after, ok := strings.Cut(text, fmt.Sprintf("mark%d.", p.marks-1)); ok {
		_, text, _ = strings.Cut(after, "\n")
	}
	text, _, _ = strings.Cut(text, mark)
	var out []packet
	lines := strings.Split(text, "\n")
	for _, line := range lines[:len(lines)-1] {
		if m := asks.FindStringSubmatch(line); m != nil {
			out = append(out, packet{m[1], strings.ToLower(m[3]), m[2]})
		}
	}
	return out
}

// The root and the top level are told no more of a name than they need.
func TestTheRootIsToldOneLabel(t *testing.T) {
	h := newHierarchy(t)
	s := start(t, conf(h.document()), nil)
	tap := newTap(t)
	deep := strings.Repeat("a.", 24) + "x.y.deep.good.example."
	for _, q := range []string{"www.good.example.", "x.y.deep.three.example.", "www.cross.other.", "nope.nope.nope.", deep} {
		ask(t, s, "udp", q, dns.TypeMX)
		minimised, keys := 0, 0
		for _, p := range tap.since() {
			labels := dns.CountLabel(p.name)
			switch {
			case p.typ == "DS" || p.typ == "DNSKEY" || p.name == "." && p.typ == "NS":
				keys++ // which say no more than the names of zones
				if labels > 2 {
					t.Errorf("%s: %+v", q, p)
				}
			case p.name == q && p.typ == "MX" && p.to != rootAddr && (p.to != topAddr && p.to != otherAddr || q == "www.cross.other."):
			case q == "nope.nope.nope." && p.name == q && p.typ == "MX": // what is denied is asked whole once
			case p.typ != "A":
				t.Errorf("%s: %+v", q, p)
			case p.to == rootAddr && labels > 1, p.to == topAddr && labels > 2:
				t.Errorf("%s: too much: %+v", q, p)
			default:
				minimised++
			}
		}
		if minimised > 10 {
			t.Errorf("%s: %d minimised questions", q, minimised)
		}
		t.Logf("%s: %d minimised, %d for keys", q, minimised, keys)
	}
}

// One referral to 500 name servers brings at most 64 packets about, and few of
// them to whom it is meant for.
func TestAReferralToManyServersCostsLittle(t *testing.T) {
	h := newHierarchy(t)
	s := start(t, conf(h.document()), nil)
	ask(t, s, "udp", "www.good.example.", dns.TypeA) // the keys and delegations of the victim are known
	tap := newTap(t)
	for i := range 3 {
		m := ask(t, s, "tcp", fmt.Sprintf("www.t%d.trap.example.", i), dns.TypeA)
		if m.Rcode != dns.RcodeServerFailure {
			t.Errorf("it is %s", dns.RcodeToString[m.Rcode])
		}
		seen := tap.since()
		victim := 0
		for _, p := range seen {
			if p.to == bindAddr {
				victim++
			}
		}
		if len(seen) > 64 || victim > 12 || len(seen) == 0 {
			t.Errorf("%d packets, %d to the victim: %+v", len(seen), victim, seen)
		}
		t.Logf("%d packets, %d to the victim", len(seen), victim)
	}
}
