package nettest

import (
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/vishvananda/netlink"
)

func TestMain(m *testing.M) { os.Exit(Main(m)) }

func TestHostsReachEachOtherOverACable(t *testing.T) {
	lab := New(t)
	a, b := lab.Host("a"), lab.Host("b")
	lab.Link(a, "eth0", "192.0.2.1/24", b, "eth0", "192.0.2.2/24")
	a.Addr("eth0", "2001:db8::1/64")
	b.Addr("eth0", "2001:db8::2/64")
	a.Run(t, "ping", "-c1", "-W2", "192.0.2.2")
	a.Run(t, "ping", "-c1", "-W2", "2001:db8::2")
	b.Down("eth0")
	if out, err := a.Try("ping", "-c1", "-W1", "192.0.2.2"); err == nil {
		t.Errorf("ping went through a pulled cable:\n%s", out)
	}
}

func TestBridgeAndRouterConnectManyHosts(t *testing.T) {
	lab := New(t)
	router, far := lab.Host("router"), lab.Host("far")
	lan := lab.Bridge("lan")
	lan.Join(router, "lan0", "10.1.0.1/24", "fd01::1/64")
	lab.Link(router, "wan0", "198.51.100.1/24", far, "eth0", "198.51.100.2/24")
	router.Forward()
	far.Route("10.1.0.0/24", "198.51.100.1")
	for i := range 2 {
		h := lab.Host(fmt.Sprintf("pc%d", i))
		lan.Join(h, "eth0", fmt.Sprintf("10.1.0.1%d/24", i), fmt.Sprintf("fd01::1%d/64", i))
		h.Route("default", "10.1.0.1")
		h.Run(t, "ping", "-c1", "-W2", "fd01::1")
		h.Run(t, "ping", "-c1", "-W2", "198.51.100.2")
	}
}

func TestSocketsOpenedInAHostStayThere(t *testing.T) {
	lab := New(t)
	self, far := lab.Self(), lab.Host("far")
	lab.Link(self, "veth-far", "192.0.2.1/24", far, "eth0", "192.0.2.2/24")
	var ln net.Listener
	err := far.Do(func() (err error) {
		ln, err = net.Listen("tcp", "192.0.2.2:80")
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	go func() {
		c, err := ln.Accept()
		if err == nil {
			io.WriteString(c, "hello")
			c.Close()
		}
	}()
	c, err := net.DialTimeout("tcp", "192.0.2.2:80", 2*time.Second)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if b, err := io.ReadAll(c); string(b) != "hello" {
		t.Errorf("read %q, %v", b, err)
	}
	if _, err := net.Listen("tcp", "192.0.2.2:81"); err == nil {
		t.Error("the address of another host could be bound outside Do")
	}
}

func TestSelfIsCleanAfterALab(t *testing.T) {
	before := cardNames(t)
	t.Run("lab", func(t *testing.T) {
		lab := New(t)
		lab.Link(lab.Self(), "veth-x", "192.0.2.1/24", lab.Host("x"), "eth0", "192.0.2.2/24")
		if cardNames(t) == before {
			t.Error("the cable is not there")
		}
	})
	if after := cardNames(t); after != before {
		t.Errorf("interfaces were %s, are %s", before, after)
	}
}

func cardNames(t *testing.T) string {
	t.Helper()
	NeedNamespace(t)
	links, err := netlink.LinkList()
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, l := range links {
		names = append(names, l.Attrs().Name)
	}
	return strings.Join(names, " ")
}

func TestStartedProgramsAreStopped(t *testing.T) {
	lab := New(t)
	h := lab.Host("h")
	var p *Proc
	t.Run("inner", func(t *testing.T) {
		p = h.Start(t, "sh", "-c", "echo up; exec sleep 1000")
		WaitFor(t, 5*time.Second, func() bool { return strings.Contains(p.Output(), "up") })
		if !p.Running() {
			t.Error("ended by itself")
		}
	})
	if p.Running() {
		t.Error("still runs after its test")
	}
}

func TestFailuresOfProgramsAreErrors(t *testing.T) {
	h := New(t).Host("h")
	if out, err := h.Try("sh", "-c", "echo why; exit 3"); err == nil || out != "why\n" {
		t.Errorf("got %q, %v", out, err)
	}
	if _, err := h.Try("no-such-program"); !errors.Is(err, exec.ErrNotFound) {
		t.Errorf("a missing program gave %v", err)
	}
}

func TestRunIsPrivate(t *testing.T) {
	NeedNamespace(t)
	if err := os.WriteFile("/run/pic-nettest", nil, 0o600); err != nil {
		t.Fatal(err)
	}
	mounts, err := os.ReadFile("/proc/self/mounts")
	if err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(string(mounts), "tmpfs /run tmpfs") {
		t.Errorf("/run is that of the machine:\n%s", mounts)
	}
}

// CI must not take a missing tool for a passed test.
func TestMissingToolIsLoud(t *testing.T) {
	for env, want := range map[string]string{"1": "failed", "": "skipped"} {
		t.Setenv(noSkip, env)
		if got := outcome(func(t testing.TB) { Tool(t, "no-such-program") }); got != want {
			t.Errorf("with %s=%q: %s, want %s", noSkip, env, got, want)
		}
	}
	if got := outcome(func(t testing.TB) { Tool(t, "sh") }); got != "passed" {
		t.Errorf("an installed tool: %s", got)
	}
}

func TestWaitForGivesUp(t *testing.T) {
	got := outcome(func(t testing.TB) { WaitFor(t, 20*time.Millisecond, func() bool { return false }) })
	if got != "failed" {
		t.Error(got)
	}
	n := 0
	WaitFor(t, time.Second, func() bool { n++; return n == 3 })
}

// outcome says how a test with this body ends.
func outcome(body func(testing.TB)) string {
	f := &recorder{}
	done := make(chan struct{})
	go func() {
		defer close(done)
		body(f)
	}()
	<-done
	switch {
	case f.failed:
		return "failed"
	case f.skipped:
		return "skipped"
	}
	return "passed"
}
