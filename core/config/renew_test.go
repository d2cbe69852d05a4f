package config

import (
	"bytes"
	"log/slog"
	"net/netip"
	"os"
	"path/filepath"
	"testing"
)

func eth0(lan string) Env {
	return Env{LAN: Interface{Name: "eth0", Address: netip.MustParsePrefix(lan)}}
}

// served is a cell that hands out addresses in a LAN which only the host knows.
func served(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	d := oak()
	d.Cell.Mode, d.DHCP.Enabled = Appliance, new(true)
	if err := Create(dir, d, eth0("192.168.7.1/24"), "setup", ""); err != nil {
		t.Fatal(err)
	}
	return dir
}

// A cell without its uplink has no default route to find its LAN by. It must
// come up all the same, and work whole once the network is there.
func TestCellStartsOnAHostThatItDoesNotFit(t *testing.T) {
	var log []string
	u := &recorder{name: "u", log: &log}
	s, err := Open(served(t), Env{}, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	s.Follow(t.Context(), func() func() { return func() {} }, u)
	if d := s.Damage(); d == nil || d.Code != "not-valid" {
		t.Fatalf("damage is %+v", d)
	}
	s.Renew(t.Context(), eth0("192.168.7.1/24"))
	if d := s.Damage(); d != nil {
		t.Errorf("the problem stays: %+v", d)
	}
	if u.follows.Network.LAN.Name != "eth0" || s.Current().Revision != 1 {
		t.Errorf("follows %+v at revision %d", u.follows.Network, s.Current().Revision)
	}
}

func TestDocumentWrittenByHandIsNotExcused(t *testing.T) {
	dir := served(t)
	file := filepath.Join(dir, "config.json")
	b, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(file, bytes.Replace(b, []byte(`"oak"`), []byte(`"O K"`), 1), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := Open(dir, eth0("192.168.7.1/24"), slog.New(slog.DiscardHandler)); err == nil {
		t.Error("accepted")
	}
}

func TestUnitsFollowTheHost(t *testing.T) {
	var log []string
	u, deaf := &recorder{name: "u", log: &log}, &recorder{name: "deaf", log: &log}
	s, err := Open(served(t), eth0("192.168.7.1/24"), slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	s.Follow(t.Context(), func() func() { return func() {} }, deaf, u)
	deaf.noRestore = true
	n := len(log)
	s.Renew(t.Context(), eth0("192.168.7.1/24"))
	if len(log) != n {
		t.Errorf("units were asked to follow what has not changed: %v", log[n:])
	}
	s.Renew(t.Context(), eth0("192.168.8.1/24"))
	if a := u.follows.DHCP.First.String(); a != "192.168.8.100" || s.Resolved().DHCP.First.String() != a {
		t.Errorf("first address is %s", a)
	}
	// The VPN's subnet is where the LAN is now: the old one goes on.
	if _, err := s.Change(t.Context(), Change{Edit: func(d *Document) error {
		d.WireGuard.Subnet = netip.MustParsePrefix("10.9.9.0/24")
		return nil
	}}); err != nil {
		t.Fatal(err)
	}
	s.Renew(t.Context(), eth0("10.9.9.7/24"))
	if d := s.Damage(); d == nil || d.Code != "not-valid" || u.follows.Network.LAN.Address.String() != "192.168.8.1/24" {
		t.Errorf("damage %+v, follows %s", d, u.follows.Network.LAN.Address)
	}
}
