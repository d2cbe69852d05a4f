package config

import (
	"log/slog"
	"net/netip"
	"reflect"
	"testing"
	"testing/synctest"
	"time"
)

func TestNextAddressFillsTheGaps(t *testing.T) {
	peers := func(addrs ...string) []Peer {
		var out []Peer
		for _, a := range addrs {
			out = append(out, Peer{Address: netip.MustParseAddr(a), Disabled: true})
		}
		return out
	}
	for name, tt := range map[string]struct {
		subnet string
		peers  []Peer
		want   string // empty: an error
	}{
		"first":       {"10.1.2.0/24", nil, "10.1.2.2"},
		"gap":         {"10.1.2.0/24", peers("10.1.2.2", "10.1.2.4"), "10.1.2.3"},
		"last one":    {"10.1.2.0/29", peers("10.1.2.2", "10.1.2.3", "10.1.2.4", "10.1.2.5"), "10.1.2.6"},
		"full":        {"10.1.2.0/29", peers("10.1.2.2", "10.1.2.3", "10.1.2.4", "10.1.2.5", "10.1.2.6"), ""},
		"no room":     {"10.1.2.0/30", peers("10.1.2.2"), ""},
		"single":      {"10.1.2.0/32", nil, ""},
		"not masked":  {"10.1.2.77/24", nil, "10.1.2.2"},
		"end of IPv4": {"255.255.255.248/29", peers("255.255.255.250"), "255.255.255.251"},
		"IPv6":        {"fd00::/64", nil, ""},
	} {
		d := &Document{WireGuard: WireGuard{Subnet: netip.MustParsePrefix(tt.subnet)}, Peers: tt.peers}
		got, err := NextAddress(d)
		if tt.want == "" {
			if err == nil {
				t.Errorf("%s: got %s", name, got)
			}
			continue
		}
		if err != nil || got != netip.MustParseAddr(tt.want) {
			t.Errorf("%s: got %s, %v, want %s", name, got, err, tt.want)
		}
	}
	if _, err := NextAddress(&Document{}); err == nil {
		t.Error("an address without a subnet")
	}
}

func TestRightsAreTracedToWhoGaveThem(t *testing.T) {
	yes := true
	d := &Document{
		Network: Network{Groups: []PeerGroup{
			{Name: "kids", Rights: Rights{Services: []string{"dns"}, Internet: &yes}},
			{Name: "late", Rights: Rights{Services: []string{"mail"}}},
		}},
		Users: []User{{Name: "bob", Groups: []string{"late"}}},
		Peers: []Peer{{Name: "tv", Owner: "bob", Groups: []string{"kids"}, Rights: Rights{Internet: &yes}}},
	}
	got := d.Sources(&d.Peers[0])
	for name, want := range map[string]Source{
		"internet": {Own: true}, "services": {Groups: []string{"kids", "late"}}, "lan": {}, "exit": {},
	} {
		if !reflect.DeepEqual(got[name], want) {
			t.Errorf("%s comes from %+v, want %+v", name, got[name], want)
		}
	}
}

func TestAPeerWhoseTimeIsOverIsOut(t *testing.T) {
	end := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	d := oak()
	d.Peers = []Peer{{Name: "guest", Address: netip.MustParseAddr("10.9.9.2"), PublicKey: keyA, Expires: end}, {Name: "tv", Address: netip.MustParseAddr("10.9.9.3")}}
	for now, want := range map[time.Time]bool{{}: false, end.Add(-time.Second): false, end: true, end.Add(time.Hour): true} {
		r := Resolve(d, Env{Now: now})
		if r.Peers[0].Disabled != want || r.Peers[1].Disabled {
			t.Errorf("at %s: %v", now, r.Peers[0].Disabled)
		}
	}
	if at := d.Due(end.Add(-time.Hour)); !at.Equal(end) {
		t.Errorf("due at %s", at)
	}
	if at := d.Due(end); !at.IsZero() {
		t.Errorf("due at %s", at)
	}
}

// The end of a peer's time is put in force without a revision, and a peer that gets
// more time is back at once.
func TestTheEndOfAPeerIsInForceWithoutAChange(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		dir := t.TempDir()
		d := oak()
		end := time.Now().Add(time.Minute)
		d.Peers = []Peer{{Name: "guest", Address: Resolve(d, Env{}).WireGuard.Subnet.Addr().Next().Next(), PublicKey: keyA, Expires: end}}
		if err := Create(dir, d, Env{}, "setup", ""); err != nil {
			t.Fatal(err)
		}
		s, err := Open(dir, Env{}, slog.New(slog.DiscardHandler))
		if err != nil {
			t.Fatal(err)
		}
		defer s.Close()
		var log []string
		s.Follow(t.Context(), func() func() { return func() {} }, &recorder{name: "u", log: &log})
		out := func() bool { return s.Resolved().Peers[0].Disabled }
		s.Tick(t.Context())
		told := len(log)
		if out() {
			t.Fatal("it is out before its time")
		}
		time.Sleep(time.Minute)
		s.Tick(t.Context())
		if !out() || len(log) == told || s.Current().Revision != 1 || s.Current().Peers[0].Disabled {
			t.Errorf("out %v, units were told %q, revision %d", out(), log[told:], s.Current().Revision)
		}
		if _, err := s.Change(t.Context(), Change{Edit: func(d *Document) error { d.Peers[0].Expires = end.Add(time.Hour); return nil }}); err != nil {
			t.Fatal(err)
		}
		if out() {
			t.Error("more time does not let it in")
		}
	})
}
