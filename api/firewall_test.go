package api

import (
	"strings"
	"testing"
	"time"

	"pic/api/wire"
)

func TestFirewallTellsWhatItHasMet(t *testing.T) {
	h := newHousehold(t)
	h.as("alice").do("PUT", "/api/config/value",
		`{"path":"network.forwards","value":[{"name":"ssh","port":22,"to":"192.168.1.5"}]}`).want(t, 200, nil)
	var f wire.Firewall
	h.as("vera").do("GET", "/api/firewall", nil).want(t, 200, &f)
	if len(f.Zones) != 4 || len(f.Rules) != 1 || f.Rules[0].Packets != 3 || f.Rules[0].Handle != 7 {
		t.Errorf("zones and rules: %+v", f)
	}
	if len(f.Forwards) != 1 || f.Forwards[0].Packets != 3 || f.Forwards[0].Last != 22 || len(f.Mappings) != 1 || f.Mappings[0].Protocol != "udp" {
		t.Errorf("forwards: %+v, %+v", f.Forwards, f.Mappings)
	}
	if len(f.Blocked) != 1 || !f.Blocked[0].Own || len(f.Foreign) != 1 {
		t.Errorf("blocked %+v, foreign %+v", f.Blocked, f.Foreign)
	}
	h.as("bob").do("GET", "/api/firewall", nil).want(t, 403, nil)
}

func TestBlocksAreOfTheDocument(t *testing.T) {
	h := newHousehold(t)
	alice := h.as("alice")
	alice.do("POST", "/api/firewall/block", `{"net":"203.0.113.9","reason":"scans","minutes":90}`).want(t, 200, nil)
	alice.do("POST", "/api/firewall/block", `{"net":"198.51.100.7/24"}`).want(t, 200, nil)
	b := h.deps.Store.Current().Network.Blocked
	if len(b) != 2 || b[0].Net.String() != "203.0.113.9/32" || time.Until(b[0].Until).Round(time.Minute) != 90*time.Minute ||
		b[1].Net.String() != "198.51.100.0/24" || !b[1].Until.IsZero() {
		t.Errorf("blocked: %+v", b)
	}
	alice.do("POST", "/api/firewall/block", `{"net":"203.0.113.9"}`).want(t, 200, nil) // in place of the other
	if b := h.deps.Store.Current().Network.Blocked; len(b) != 2 || !b[1].Until.IsZero() {
		t.Errorf("blocked: %+v", b)
	}
	alice.do("DELETE", "/api/firewall/block?net=198.51.100.0/24", nil).want(t, 200, nil)
	alice.do("DELETE", "/api/firewall/block?net=198.51.100.0/24", nil).want(t, 404, nil)
	for _, bad := range []string{`{"net":"oak"}`, `{"net":"0.0.0.0/0"}`, `{"net":"203.0.113.9","minutes":-1}`} {
		alice.do("POST", "/api/firewall/block", bad).want(t, 422, nil)
	}
	r := alice.do("POST", "/api/firewall/block", `{"net":"127.0.0.0/8"}`)
	if r.want(t, 422, nil); !strings.Contains(string(r.body), "calling from") {
		t.Errorf("one's own address: %s", r.body)
	}
	h.as("vera").do("POST", "/api/firewall/block", `{"net":"203.0.113.9"}`).want(t, 403, nil)
}
