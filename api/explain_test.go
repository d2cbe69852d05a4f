package api

import (
	"slices"
	"strings"
	"testing"

	"pic/api/wire"
)

func TestAConnectionIsExplainedStepByStep(t *testing.T) {
	h := newHousehold(t)
	alice := h.as("alice")
	alice.do("POST", "/api/peers", `{"name":"laptop","owner":"bob"}`).want(t, 200, nil) // 10.64.3.2
	alice.do("POST", "/api/peers", `{"name":"road","split":true}`).want(t, 200, nil)
	for name, tt := range map[string]struct {
		query string
		allow bool
		text  string
		steps string
	}{
		"internet":   {"from=laptop&to=198.51.100.7", true, "laptop reaches 198.51.100.7 on TCP port 443", "from to device device policy firewall way"},
		"service":    {"from=laptop&to=cell&port=53&protocol=udp", true, "UDP port 53", "from to device device policy answer"},
		"ping":       {"from=10.64.3.2&to=oak&protocol=icmp", true, "10.64.3.2 reaches oak", "from to device device policy"},
		"LAN":        {"from=laptop&to=192.168.1.117", false, "laptop may not reach the LAN", "from to device device policy firewall"},
		"split":      {"from=road&to=198.51.100.7", false, "road does not send this into the tunnel", "from to device device policy firewall"},
		"from LAN":   {"from=192.168.1.117&to=10.64.3.2", false, "the LAN may not reach devices in the VPN", "from to policy firewall"},
		"astray":     {"from=laptop&to=192.168.1.254", false, "it is outside", "from to device device route policy firewall"},
		"no address": {"from=laptop&to=nowhere.example", false, "", ""},
	} {
		got := alice.do("GET", "/api/explain?"+tt.query, nil)
		if name == "no address" {
			got.problem(t, 422)
			continue
		}
		var e wire.Explanation
		got.want(t, 200, &e)
		var steps []string
		for _, s := range e.Steps {
			steps = append(steps, s.What)
		}
		if e.Allow != tt.allow || !strings.Contains(e.Text, tt.text) || strings.Join(steps, " ") != tt.steps {
			t.Errorf("%s: allowed %v: %s\nsteps %v: %+v", name, e.Allow, e.Text, steps, e.Steps)
		}
	}
	alice.do("PUT", "/api/peers/laptop", `{"disabled":true}`).want(t, 200, nil)
	var e wire.Explanation
	alice.do("GET", "/api/explain?from=laptop&to=cell", nil).want(t, 200, &e)
	if e.Allow || !slices.ContainsFunc(e.Steps, func(s wire.ExplainStep) bool { return strings.Contains(s.Text, "switched off") }) {
		t.Errorf("switched off: %+v", e)
	}
}
