package edge

import (
	"fmt"
	"testing"

	"pic/core/config"
)

// The router upstream is asked for the ports of public services, by their numbers,
// if it is asked for anything.
func TestPublicServicesAreAskedForUpstream(t *testing.T) {
	for name, tt := range map[string]struct {
		ask    bool
		public []string
		want   string
	}{
		"nothing public": {true, nil, "[]"},
		"mail":           {true, []string{"mail"}, "[TCP 25]"},
		"both":           {true, []string{"proxy", "mail"}, "[TCP 25 TCP 80 TCP 443 UDP 443]"},
		"not asked":      {false, []string{"mail"}, "[]"},
	} {
		d := &config.Document{Cell: config.Cell{Name: "oak", Domain: "oak.home.arpa", Mode: config.Appliance}}
		d.WireGuard.OpenPort, d.Network.Public = &tt.ask, tt.public
		d.Mail.Enabled, d.Proxy.Enabled = new(true), new(true)
		c := From(config.Resolve(d, config.Env{}))
		if got := fmt.Sprint(c.Public); got != tt.want {
			t.Errorf("%s: asks for %s", name, got)
		}
		for _, w := range c.Public {
			if !w.Exact {
				t.Errorf("%s may become another port", w)
			}
		}
	}
}
