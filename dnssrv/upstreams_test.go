package dnssrv

import (
	"strings"
	"testing"

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
