package router

import (
	"strings"
	"testing"
	"time"

	"pic/netstack/router/dhcp4"
)

// The server of a short lease goes away: the address is kept to the end of the
// lease, asked for again from any server, and then taken away.
func TestLeaseEndsWhenItsServerIsGone(t *testing.T) {
	w := newTown(t)
	p := w.dhcp4(t, "198.51.100.50", "198.51.100.50", 8)
	s, _ := w.serve(t)
	wait(t, "an address", func() bool { return s.Status().WAN.Lease != nil })
	first := s.Status().WAN.Lease.Until
	wait(t, "a renewal", func() bool { l := s.Status().WAN.Lease; return l != nil && l.Until.After(first) })
	if n := strings.Count(p.Output(), "DHCP4_LEASE_ADVERT"); n != 1 {
		t.Errorf("renewed by %d offers", n)
	}
	p.Kill()
	last := s.Status().WAN.Lease.Until
	wait(t, "REBINDING", func() bool { return s.Status().WAN.State == dhcp4.Rebinding })
	// There is a second left: on a busy machine the look may come after it.
	address, routes := w.wan(t), w.self.Run(t, "ip", "route")
	if s.Status().WAN.Lease != nil && (!strings.Contains(address, "198.51.100.50") || !strings.Contains(routes, "default via 198.51.100.1")) {
		t.Error("the address went before its end")
	}
	wait(t, "the end of the lease", func() bool { return s.Status().WAN.Lease == nil })
	if early := time.Until(last); early > time.Second {
		t.Errorf("it ended %v early", early)
	}
	wait(t, "no address", func() bool { return !strings.Contains(w.wan(t), "198.51.100.50") })
	if out := w.self.Run(t, "ip", "route"); strings.Contains(out, "default") {
		t.Errorf("routes: %s", out)
	}
	if p := s.Problems(); len(p) != 1 || p[0].Code != codeRefused || !strings.Contains(p[0].Text, "ended") {
		t.Errorf("problems: %+v", p)
	}
	w.dhcp4(t, "198.51.100.60", "198.51.100.60", 600)
	wait(t, "another address", func() bool { return strings.Contains(w.wan(t), "198.51.100.60/24") })
	wait(t, "no problem", func() bool { return len(s.Problems()) == 0 })
}

// The provider gives another address: it refuses the former when asked for more
// time, or when the cable comes back.
func TestAddressOfTheProviderChanges(t *testing.T) {
	w := newTown(t)
	w.dhcp4(t, "198.51.100.50", "198.51.100.50", 600)
	s, _ := w.serve(t)
	wait(t, "an address", func() bool { return strings.Contains(w.wan(t), "198.51.100.50/24") })
	told := make(chan struct{}, 10)
	s.OnChange(func() { poke(told) })
	w.dhcp4(t, "198.51.100.70", "198.51.100.70", 600)
	w.provider.Down("cpe0") // the cable is pulled, and plugged in again
	wait(t, "no carrier", func() bool { return !s.Status().WAN.Plugged })
	if !strings.Contains(w.wan(t), "198.51.100.50") {
		t.Error("a pulled cable took the address")
	}
	w.provider.Up("cpe0")
	wait(t, "the other address", func() bool { return strings.Contains(w.wan(t), "198.51.100.70/24") })
	if strings.Contains(w.wan(t), "198.51.100.50") {
		t.Errorf("the former address stays: %s", w.wan(t))
	}
	select {
	case <-told:
	case <-time.After(10 * time.Second):
		t.Error("nobody was told")
	}
	wait(t, "the new route", func() bool { return strings.Contains(w.self.Run(t, "ip", "route"), "src 198.51.100.70") })
	w.self.Run(t, "ping", "-c1", "-W2", "203.0.113.2")
}

func TestPulledCableKeepsTheAddress(t *testing.T) {
	w := newTown(t)
	p := w.dhcp4(t, "198.51.100.50", "198.51.100.99", 600)
	s, _ := w.serve(t)
	wait(t, "an address", func() bool { return s.Status().WAN.Lease != nil })
	had := s.Status().WAN.Lease
	w.provider.Down("cpe0")
	wait(t, "no carrier", func() bool { return !s.Status().WAN.Plugged })
	w.provider.Up("cpe0")
	wait(t, "the lease confirmed", func() bool { l := s.Status().WAN.Lease; return l != nil && l.Got.After(had.Got) })
	if now := s.Status().WAN.Lease; now.Address != had.Address {
		t.Errorf("had %s and got %s", had.Address, now.Address)
	}
	if n := strings.Count(p.Output(), "DHCP4_LEASE_ADVERT"); n != 1 {
		t.Errorf("asked from the beginning %d times", n)
	}
}

// Somebody on the link uses the address that the server gives: it is declined,
// and another is asked for.
func TestAddressInUseIsDeclined(t *testing.T) {
	w := newTown(t)
	w.provider.Run(t, "sh", "-c", "ip link add sq0 type veth peer name sq1; ip link set sq0 up; ip link set sq1 up")
	w.provider.Addr("cpe0", "198.51.100.50/32") // answers ARP
	p := w.dhcp4(t, "198.51.100.50", "198.51.100.51", 600)
	s, _ := w.serve(t)
	wait(t, "a DECLINE", func() bool { return strings.Contains(p.Output(), "DHCP4_DECLINE_LEASE") })
	if l := s.Status().WAN.Lease; l != nil {
		t.Errorf("uses %s", l.Address)
	}
	wait(t, "another address", func() bool { return strings.Contains(w.wan(t), "198.51.100.51/24") })
}

func TestLeaseIsGivenBackOnlyWhenNoLongerAskedFor(t *testing.T) {
	w := newTown(t)
	p := w.dhcp4(t, "198.51.100.50", "198.51.100.50", 600)
	s, stop := w.serve(t)
	wait(t, "an address", func() bool { return s.Status().WAN.Lease != nil })
	stop()
	s, _ = w.serve(t)
	wait(t, "the address again", func() bool { return s.Status().WAN.Lease != nil })
	if strings.Contains(p.Output(), "DHCP4_RELEASE") {
		t.Error("a stop gave the lease back")
	}
	if n := strings.Count(p.Output(), "DHCP4_LEASE_ADVERT"); n != 1 {
		t.Errorf("asked from the beginning %d times", n)
	}
	if err := s.Apply(t.Context(), Config{}); err != nil {
		t.Fatal(err)
	}
	wait(t, "a RELEASE", func() bool { return strings.Contains(p.Output(), "DHCP4_RELEASE") })
	if strings.Contains(w.wan(t), "inet ") {
		t.Errorf("the address stays: %s", w.wan(t))
	}
}
