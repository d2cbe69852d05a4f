package fw

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"net/netip"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"pic/internal/nettest"
	"pic/netstack/policy"
)

// streets are the real network of a model: the cell is the test process, and
// behind each of its interfaces is one host that has all addresses of that side.
func streets(t *testing.T, m Model) (*Firewall, map[string]*nettest.Host) {
	t.Helper()
	f, _ := fresh(t)
	lab := nettest.New(t)
	self := lab.Self()
	self.Forward()
	// Refusals must not wait for each other.
	self.Sysctl("net.ipv4.icmp_ratelimit", "0")
	self.Sysctl("net.ipv6.icmp.ratelimit", "0")
	sides := map[string]*nettest.Host{}
	for _, name := range []string{"pic0", "lan0", "wan0"} {
		h := lab.Host(name)
		lab.Link(self, name, "", h, "eth0", "")
		// No neighbours are asked for: whatever is sent there arrives.
		h.Run(t, "ip", "link", "set", "eth0", "address", "02:00:00:00:00:02")
		mac := "02:00:00:00:00:01"
		self.Run(t, "ip", "link", "set", name, "address", mac)
		h.Sysctl("net.ipv6.conf.eth0.accept_dad", "0")
		h.Run(t, "ip", "addr", "add", "169.254.100.2/32", "dev", "eth0")
		for _, v := range []string{"-4", "-6"} {
			gate := map[string]string{"-4": "169.254.100.1", "-6": "fe80::1"}[v]
			h.Run(t, "ip", v, "neigh", "add", gate, "lladdr", mac, "dev", "eth0")
			h.Run(t, "ip", v, "route", "add", "default", "via", gate, "dev", "eth0", "onlink")
		}
		sides[name] = h
	}
	for _, a := range append(append([]netip.Addr{}, m.Rules.Cell...), m.Rules.Host...) {
		self.Run(t, "ip", "addr", "add", single(a).String(), "dev", "lo")
	}
	t.Cleanup(func() {
		for _, a := range append(append([]netip.Addr{}, m.Rules.Cell...), m.Rules.Host...) {
			self.Try("ip", "addr", "del", single(a).String(), "dev", "lo")
		}
	})
	return f, sides
}

// settle gives an address to the host on its side, with the way there.
func settle(t *testing.T, self *nettest.Host, sides map[string]*nettest.Host, side string, a netip.Addr) {
	t.Helper()
	v := "-4"
	if a.Is6() {
		v = "-6"
	}
	sides[side].Run(t, "ip", v, "addr", "replace", single(a).String(), "dev", "eth0", "nodad")
	self.Run(t, "ip", v, "neigh", "replace", a.String(), "lladdr", "02:00:00:00:00:02", "dev", side)
	self.Run(t, "ip", v, "route", "replace", single(a).String(), "dev", side)
}

// knock opens a TCP connection or sends a datagram, and reports whether the
// packet arrived where somebody, or nobody, listens.
func knock(h *nettest.Host, f policy.Flow, patience time.Duration) (arrived bool, err error) {
	err = h.Do(func() error {
		d := net.Dialer{
			Timeout: patience, LocalAddr: net.TCPAddrFromAddrPort(netip.AddrPortFrom(f.Src, 0)),
			Control: func(_, _ string, c syscall.RawConn) error {
				return c.Control(func(fd uintptr) { unix.SetsockoptInt(int(fd), unix.IPPROTO_TCP, unix.TCP_SYNCNT, 1) })
			},
		}
		c, err := d.DialContext(context.Background(), "tcp", netip.AddrPortFrom(f.Dst, f.Port).String())
		if err == nil {
			c.Close()
		}
		return err
	})
	var timeout net.Error
	switch {
	case err == nil, errors.Is(err, unix.ECONNREFUSED):
		return true, nil
	case errors.Is(err, unix.EHOSTUNREACH), errors.Is(err, unix.EACCES), errors.As(err, &timeout) && timeout.Timeout():
		return false, nil
	}
	return false, fmt.Errorf("%+v: %w", f, err)
}

// patience is how long to wait for an answer that should come, or should not.
func patience(comes bool) time.Duration {
	if comes {
		return 3 * time.Second
	}
	return 200 * time.Millisecond
}

// The kernel does with packets what the policy says: a sample of flows, v4 and
// v6, of a router and of a server.
func TestPacketsGoWhereThePolicyLetsThem(t *testing.T) {
	for _, router := range []bool{true, false} {
		m := full()
		m.Exits, m.Mappings, m.NewRate, m.SynRate = nil, nil, 0, 0
		m.Rules.Router = router
		for i := range m.Rules.Peers {
			m.Rules.Peers[i].Exit = ""
		}
		m.Rules.Forwards = m.Rules.Forwards[:4]
		t.Run(fmt.Sprintf("router %v", router), func(t *testing.T) { sample(t, m) })
	}
}

func sample(t *testing.T, m Model) {
	f, sides := streets(t, m)
	self := nettest.New(t).Self()
	place := places(m)
	p := policy.New(m.Rules)
	if err := f.Set(Compile(m)); err != nil {
		t.Fatal(err)
	}
	rnd := rand.New(rand.NewPCG(1, 2))
	seen := map[bool]int{}
	at := map[netip.Addr]bool{}
	settle := func(side string, a netip.Addr) {
		if !at[a] {
			settle(t, self, sides, side, a)
		}
		at[a] = true
	}
	for range 2000 {
		fl := anyFlow(rnd)
		fl.Proto = policy.TCP
		if fl.Port == 0 {
			fl.Port = 443
		}
		in, out := place(fl.Src, 0), place(fl.Dst, 0)
		want := p.Decide(fl)
		if in == "" || policy.Nowhere(fl.Src) || policy.Nowhere(fl.Dst) || in == out || fl.Src.Is4() != fl.Dst.Is4() ||
			want.Why == "nobody has the address it comes from" || seen[want.Allow] >= 25 {
			continue
		}
		seen[want.Allow]++
		settle(in, fl.Src)
		if w, ok := p.Forward(fl); ok {
			settle(place(w.To, 0), w.To)
		} else if out != "" {
			settle(out, fl.Dst)
		}
		got, err := knock(sides[in], fl, patience(want.Allow))
		if err != nil {
			t.Error(err)
		} else if got != want.Allow {
			t.Errorf("%+v from %s: arrived %v, the policy says %+v", fl, in, got, want)
		}
	}
	if seen[true] < 25 || seen[false] < 25 {
		t.Errorf("too few flows to tell: %v", seen)
	}
}

// The rights of a device in all combinations, each by IPv4 and IPv6.
func TestRightsInAllCombinations(t *testing.T) {
	m := full()
	m.Exits, m.NewRate, m.SynRate = nil, 0, 0
	m.Rules.Peers = m.Rules.Peers[:2]
	f, sides := streets(t, m)
	self := nettest.New(t).Self()
	goals := map[string][]netip.Addr{
		"internet": addrs("203.0.113.9", "2001:db8:5::5"), "lan": addrs("192.168.1.20", "2001:db8:1::20"),
		"service": addrs("10.77.0.1", "fd77::1"), "the host": addrs("192.168.1.1", "2001:db8:9::1"),
	}
	from := addrs("10.77.0.2", "fd77::2")
	for i, a := range from {
		settle(t, self, sides, "pic0", a)
		settle(t, self, sides, "wan0", goals["internet"][i])
		settle(t, self, sides, "lan0", goals["lan"][i])
	}
	for bits := range 8 {
		has := map[string]bool{"internet": bits&1 != 0, "lan": bits&2 != 0, "service": bits&4 != 0}
		has["the host"] = has["service"]
		p := &m.Rules.Peers[0]
		p.Internet, p.LAN, p.Services = has["internet"], has["lan"], []string{"dns"}
		if has["service"] {
			p.Services = []string{"mail"}
		}
		if err := f.Set(Compile(m)); err != nil {
			t.Fatal(err)
		}
		for what, list := range goals {
			for i, to := range list {
				fl := policy.Flow{Src: from[i], Dst: to, Proto: policy.TCP, Port: 993}
				if got, err := knock(sides["pic0"], fl, patience(has[what])); err != nil || got != has[what] {
					t.Errorf("%v: %s by %s arrives: %v, %v", has, what, to, got, err)
				}
			}
		}
	}
}
