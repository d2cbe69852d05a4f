package dnssrv

import (
	"fmt"
	"strings"
	"testing"

	"github.com/miekg/dns"

	"pic/core/config"
)

// A resolver that is the cell itself is not asked, and said to be one.
func TestUpstreamsThatAreTheCellItselfAreToldOf(t *testing.T) {
	other := source(t, anything).addr
	d := lab()
	c := conf(d) // which finds a port
	own := c.Sockets[0].Addr.String()
	for name, tt := range map[string]struct {
		upstreams, forward []string
		codes, text        string
	}{
		"among others": {[]string{own, other}, nil, "dns/upstream-itself", own + " in dns.upstreams: that"},
		"alone":        {[]string{own}, nil, "dns/no-upstreams dns/upstream-itself", own + " in dns.upstreams: that"},
		"of a domain":  {[]string{other}, []string{own, other}, "dns/upstream-itself", own + " in dns.forwards.0.upstreams: that"},
		"not at all":   {[]string{other}, []string{other}, "", ""},
	} {
		t.Run(name, func(t *testing.T) {
			next := *d
			next.DNS.Upstreams = tt.upstreams
			if tt.forward != nil {
				next.DNS.Forwards = []config.Forward{{Name: "corp.example", Upstreams: tt.forward}}
			}
			s := start(t, conf(&next), nil)
			var codes []string
			text := ""
			for _, p := range s.Problems() {
				codes = append(codes, p.Code)
				text = p.Text
				if p.Fix == "" || p.Since.IsZero() {
					t.Errorf("%+v", p)
				}
			}
			if strings.Join(codes, " ") != tt.codes || !strings.HasPrefix(text, tt.text) {
				t.Errorf("%v: %s", codes, text)
			}
		})
	}
}

func TestTheCellIsNoUpstreamOfItself(t *testing.T) {
	d := oak()
	d.DNS.Port = 53
	d.DNS.Upstreams = []string{"127.0.0.53", "192.168.1.1", "10.80.1.1:53", "[::1]:53", "192.168.1.254", "127.0.0.1:5399"}
	tab := compiled(t, d)
	if got := fmt.Sprint(tab.routes[0].upstreams); got != "[192.168.1.254:53 127.0.0.1:5399]" {
		t.Errorf("got %v", got)
	}
}

func TestNothingOfTestLeavesTheHost(t *testing.T) {
	d := oak()
	d.DNS.Upstreams = []string{"9.9.9.9"}
	m := moment{table: compiled(t, d)}
	if r, _, ok := m.resolve(parsed(t, "x.test", "A")); !ok || r.rcode != dns.RcodeNameError {
		t.Errorf("got %s, %v", said(r), ok)
	}
	f := newForwarder(cacheBytes)
	d.DNS.Upstreams = []string{"9.9.9.9", "127.0.0.1"}
	tab := compiled(t, d)
	f.follow(tab.routes, tab.care)
	defer f.close()
	for _, u := range f.routing.Load().root.order(question{name: mustName("x.test")}) {
		if !u.addr.IP.Addr().IsLoopback() {
			t.Errorf("would ask %v", u.addr)
		}
	}
}
