package netstack

import (
	"errors"
	"log/slog"
	"net"
	"net/netip"
	"runtime"
	"strings"
	"testing"
	"time"

	"pic/core/config"
	"pic/internal/nettest"
)

func TestListenersOutliveTheTunnel(t *testing.T) {
	a := newLad(t, "a", 2)
	s, conf, public := cell(t, a.peer())
	ln, err := s.ListenTCP(netip.MustParseAddrPort("10.78.0.1:80")) // of a subnet to come
	if err != nil {
		t.Fatal(err)
	}
	echo(t, ln)
	if _, err := s.ListenTCP(netip.MustParseAddrPort("10.78.0.1:80")); err == nil {
		t.Error("one address was given twice")
	}
	conf.Addresses = append([]netip.Prefix{netip.MustParsePrefix("10.78.0.1/24")}, conf.Addresses...)
	apply(t, s, conf)
	a.connect(t, public, 51820)
	if err := echoes(a.dial(t, "tcp", "10.78.0.1:80"), "one"); err != nil {
		t.Fatal(err)
	}
	conf.MTU = 1300
	apply(t, s, conf)
	if err := echoes(a.dial(t, "tcp", "10.78.0.1:80"), "two"); err != nil {
		t.Error(err)
	}
	ln.Close()
	if _, err := ln.Accept(); !errors.Is(err, net.ErrClosed) {
		t.Errorf("accept after close: %v", err)
	}
	again, err := s.ListenTCP(netip.MustParseAddrPort("10.78.0.1:80"))
	if err != nil {
		t.Errorf("the address is not free after close: %v", err)
	} else {
		again.Close()
	}
}

func TestRefusedChangeKeepsTheTunnel(t *testing.T) {
	a := newLad(t, "a", 2)
	s, conf, public := cell(t, a.peer())
	ln, err := s.ListenTCP(netip.MustParseAddrPort("10.77.0.1:80"))
	if err != nil {
		t.Fatal(err)
	}
	echo(t, ln)
	a.connect(t, public, 51820)
	c := a.dial(t, "tcp", "10.77.0.1:80")
	if err := echoes(c, "before"); err != nil {
		t.Fatal(err)
	}
	taken, err := net.ListenPacket("udp4", ":4444")
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	for name, edit := range map[string]func(*Config){
		"port":         func(c *Config) { c.Port = 4444 },
		"port and MTU": func(c *Config) { c.Port, c.MTU = 4444, 1300 },
	} {
		bad := conf
		edit(&bad)
		err := s.Apply(t.Context(), bad)
		if err == nil || !strings.Contains(err.Error(), "port 4444 is taken") {
			t.Fatalf("%s: %v", name, err)
		}
		if err := echoes(c, "after"); err != nil {
			t.Errorf("%s: an open connection: %v", name, err)
		}
	}
	if err := echoes(a.dial(t, "tcp", "10.77.0.1:80"), "again"); err != nil {
		t.Error(err)
	}
	if p := s.Problems(); len(p) != 0 {
		t.Errorf("problems: %v", p)
	}
}

func TestPortAndKeyChangeHot(t *testing.T) {
	a := newLad(t, "a", 2)
	s, conf, public := cell(t, a.peer())
	ln, err := s.ListenTCP(netip.MustParseAddrPort("10.77.0.1:80"))
	if err != nil {
		t.Fatal(err)
	}
	echo(t, ln)
	a.connect(t, public, 51820)
	c := a.dial(t, "tcp", "10.77.0.1:80")
	if err := echoes(c, "before"); err != nil {
		t.Fatal(err)
	}
	conf.Port = 4445
	apply(t, s, conf)
	if err := echoes(c, "roams"); err != nil { // the peer learns the new port from the cell
		t.Errorf("after the port: %v", err)
	}
	if got := s.Sockets()[0]; got != "udp 0.0.0.0:4445" {
		t.Errorf("socket %s", got)
	}
	conf.Key = "wg-2"
	apply(t, s, conf)
	newKey, err := PublicKey(keyB)
	if err != nil {
		t.Fatal(err)
	}
	a2 := &lad{name: "a2", private: a.private, public: a.public, addrs: a.addrs}
	a.tun.close()
	a2.connect(t, newKey, 4445)
	if err := echoes(a2.dial(t, "tcp", "10.77.0.1:80"), "new key"); err != nil {
		t.Errorf("with the new key: %v", err)
	}
}

func TestVPNWithoutKeyIsAProblemNotAnError(t *testing.T) {
	s, conf, _ := cell(t)
	conf.Key = ""
	apply(t, s, conf)
	p := s.Problems()
	if len(p) != 1 || p[0].Code != "wireguard/no-key" || p[0].Fix == "" {
		t.Fatalf("problems: %+v", p)
	}
	if s.Sockets() != nil {
		t.Errorf("serves at %v", s.Sockets())
	}
	conf.Key = config.Secret("wg-1")
	apply(t, s, conf)
	if p := s.Problems(); len(p) != 0 {
		t.Errorf("problems with a key: %v", p)
	}
}

func TestRunCanBeRunAgain(t *testing.T) {
	nettest.NeedNamespace(t)
	private, _ := NewKey()
	s := New(slog.New(slog.DiscardHandler), vault{"k": private}.open)
	c := Config{Mode: UserSpace, Key: "k", Port: 51820, MTU: 1420, Addresses: []netip.Prefix{netip.MustParsePrefix("10.77.0.1/24")}}
	before := runtime.NumGoroutine()
	for range 3 {
		apply(t, s, c)
		stop := run(t, s)
		if len(s.Sockets()) == 0 {
			t.Error("no sockets")
		}
		stop()
		if s.Sockets() != nil {
			t.Error("sockets after the end")
		}
	}
	nettest.WaitFor(t, 5*time.Second, func() bool { return runtime.NumGoroutine() <= before })
}
