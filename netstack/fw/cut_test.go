package fw

import (
	"net/netip"
	"testing"

	"pic/netstack/policy"
)

// Exactly the connections that lost their right end.
func TestCutEndsWhatLostItsRight(t *testing.T) {
	type open struct {
		src, dst string
		port     uint16
		back     string // whence the answers come; empty: from dst
	}
	all := map[string]open{
		"laptop out":        {"10.77.0.2", "203.0.113.9", 443, ""},
		"laptop to LAN":     {"10.77.0.2", "192.168.1.20", 443, ""},
		"laptop to mail":    {"10.77.0.2", "10.77.0.1", 993, ""},
		"laptop to guest":   {"10.77.0.2", "10.77.0.3", 22, ""},
		"guest out":         {"10.77.0.3", "203.0.113.9", 443, ""},
		"tv to proxy":       {"10.77.0.5", "10.77.0.1", 443, ""},
		"elm to proxy":      {"10.99.0.1", "10.77.0.1", 443, ""},
		"world to shifted":  {"203.0.113.9", "198.51.100.1", 8001, "192.168.1.20"},
		"world to ssh":      {"203.0.113.9", "198.51.100.1", 2222, "10.77.0.2"},
		"the cell to guest": {"10.77.0.1", "10.77.0.3", 22, ""},
		"LAN out":           {"192.168.1.20", "203.0.113.9", 443, ""},
		"phone by its exit": {"10.77.0.6", "203.0.113.9", 443, ""},
	}
	for name, tt := range map[string]struct {
		edit func(*policy.Rules)
		ends []string
	}{
		"nothing":            {func(*policy.Rules) {}, nil},
		"more":               {func(r *policy.Rules) { r.Peers[1].LAN = true }, nil},
		"internet":           {func(r *policy.Rules) { r.Peers[0].Internet = false }, []string{"laptop out"}},
		"LAN":                {func(r *policy.Rules) { r.Peers[0].LAN = false }, []string{"laptop to LAN"}},
		"a service":          {func(r *policy.Rules) { r.Peers[0].Services = []string{"proxy"} }, []string{"laptop to mail"}},
		"its only service":   {func(r *policy.Rules) { r.Peers[2].Services = []string{"none"} }, []string{"tv to proxy"}},
		"peers":              {func(r *policy.Rules) { r.Peers[0].Peers = nil }, []string{"laptop to guest"}},
		"a link's service":   {func(r *policy.Rules) { r.Links[0].Services = []string{"dns"} }, []string{"elm to proxy"}},
		"a peer":             {func(r *policy.Rules) { r.Peers = append(r.Peers[:1:1], r.Peers[2:]...) }, []string{"laptop to guest", "guest out", "the cell to guest"}},
		"a forward":          {func(r *policy.Rules) { r.Forwards = r.Forwards[2:] }, []string{"world to shifted"}},
		"a forward's target": {func(r *policy.Rules) { r.Forwards[2].To = netip.MustParseAddr("10.77.0.3") }, []string{"world to ssh"}},
		"an exit":            {func(r *policy.Rules) { r.Peers[3].Exit = "" }, []string{"phone by its exit"}},
		"another exit":       {func(r *policy.Rules) { r.Peers[3].Exit = "elm-out" }, []string{"phone by its exit"}},
		"blocked":            {func(r *policy.Rules) { r.Blocked = nets("192.168.1.20/32") }, []string{"laptop to LAN", "world to shifted", "LAN out"}},
	} {
		t.Run(name, func(t *testing.T) {
			old, now := full().Rules, full().Rules
			old.Blocked, now.Blocked = nil, nil
			tt.edit(&now)
			l := lost{policy.New(old), policy.New(now)}
			want := map[string]bool{}
			for _, e := range tt.ends {
				want[e] = true
			}
			for what, o := range all {
				f := policy.Flow{Src: netip.MustParseAddr(o.src), Dst: netip.MustParseAddr(o.dst), Proto: policy.TCP, Port: o.port}
				back := f.Dst
				if o.back != "" {
					back = netip.MustParseAddr(o.back)
				}
				if got := l.ends(f, back); got != want[what] {
					t.Errorf("%s ends: %v", what, got)
				}
			}
		})
	}
	// A cell that has just started does not know whether what goes by an exit now did
	// so before: it could pass by the exit as long as it is open.
	started := lost{nil, policy.New(full().Rules)}
	for what, want := range map[string]bool{"phone by its exit": true, "laptop out": false} {
		f := policy.Flow{Src: netip.MustParseAddr(all[what].src), Dst: netip.MustParseAddr(all[what].dst), Proto: policy.TCP, Port: all[what].port}
		if got := started.ends(f, f.Dst); got != want {
			t.Errorf("after a start, %s ends: %v", what, got)
		}
	}
	// A cell that has just started ends what is not allowed in its tunnel, and
	// leaves the host's own connections alone.
	l := lost{nil, policy.New(small().Rules)}
	for what, want := range map[[2]string]bool{
		{"10.77.0.3", "192.168.1.20"}: true, {"10.77.0.2", "192.168.1.20"}: false,
		{"192.168.1.10", "203.0.113.9"}: false, {"203.0.113.9", "10.77.0.2"}: true,
	} {
		src, dst := netip.MustParseAddr(what[0]), netip.MustParseAddr(what[1])
		if got := l.ends(policy.Flow{Src: src, Dst: dst, Proto: policy.TCP, Port: 22}, dst); got != want {
			t.Errorf("after a start, %v ends: %v", what, got)
		}
	}
}
