package igd

import (
	"context"
	"log/slog"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"pic/internal/nettest"
)

// A home is a cell behind somebody else's router, on which miniupnpd runs.
type home struct {
	cell, router *nettest.Host
	conf         string
	tool         string
}

func newHome(t *testing.T, options ...string) *home {
	h := &home{tool: nettest.Tool(t, "miniupnpd")}
	nft := nettest.Tool(t, "nft")
	lab := nettest.New(t)
	h.router, h.cell = lab.Host("router"), lab.Self()
	net := lab.Host("net")
	lab.Link(h.router, "wan0", "9.9.0.7/24", net, "eth0", "9.9.0.1/24")
	lab.Link(h.router, "lan0", "192.168.1.1/24", h.cell, "eth0", "192.168.1.10/24")
	h.cell.Run(t, "ip", "route", "replace", "default", "via", "192.168.1.1")
	h.router.Run(t, nft, "-f", "-", `table inet filter {
	chain miniupnpd { }
	chain prerouting_miniupnpd { }
	chain postrouting_miniupnpd { }
}`)
	h.conf = filepath.Join(t.TempDir(), "miniupnpd.conf")
	lines := append([]string{
		"ext_ifname=wan0", "listening_ip=lan0", "secure_mode=yes", "http_port=5000",
		"upnp_table_name=filter", "upnp_nat_table_name=filter", "uuid=00000000-0000-4000-8000-000000000000",
		"allow 1024-65535 192.168.1.0/24 1024-65535", "deny 0-65535 0.0.0.0/0 0-65535",
	}, options...)
	if err := os.WriteFile(h.conf, []byte(strings.Join(lines, "\n")+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	return h
}

func (h *home) serve(t *testing.T) *nettest.Proc {
	p := h.router.Start(t, h.tool, "-d", "-f", h.conf, "-P", h.conf+".pid")
	nettest.WaitFor(t, 5*time.Second, func() bool {
		return strings.Contains(p.Output(), "Listening for") || strings.Contains(p.Output(), "HTTP listening")
	})
	return p
}

// keep runs a keeper in the cell's namespace until what it returns is called.
func (h *home) keep(t *testing.T) (k *Keeper, stop func()) {
	k = NewKeeper(slog.New(slog.DiscardHandler), Wish{Protocol: UDP, Port: 51820, Name: "WireGuard of oak"}, func() (Way, error) {
		return Way{netip.MustParseAddr("192.168.1.1"), netip.MustParseAddr("192.168.1.10")}, nil
	})
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() {
		defer close(done)
		k.Run(ctx)
	}()
	stop = func() { cancel(); <-done }
	t.Cleanup(stop)
	return k, stop
}

func (h *home) rules(t *testing.T) string {
	return h.router.Run(t, "nft", "list", "table", "inet", "filter")
}

func TestRoutersAreAskedInTheWaysThatTheyKnow(t *testing.T) {
	for name, tt := range map[string]struct {
		options []string
		want    Method
	}{
		"PCP":  {[]string{"enable_natpmp=yes", "enable_upnp=no"}, ByPCP},
		"UPnP": {[]string{"enable_natpmp=no", "enable_upnp=yes"}, ByUPnP},
	} {
		t.Run(name, func(t *testing.T) {
			h := newHome(t, tt.options...)
			router := h.serve(t)
			k, stop := h.keep(t)
			nettest.WaitFor(t, 20*time.Second, func() bool { return k.State().Method != "" || k.State().Error != "" })
			st := k.State()
			if st.Method != tt.want || st.External != netip.MustParseAddrPort("9.9.0.7:51820") || st.Shared() {
				t.Fatalf("%+v\n%s", st, router.Output())
			}
			if r := h.rules(t); !strings.Contains(r, "51820") {
				t.Errorf("the router has not opened the port:\n%s", r)
			}
			stop()
			if r := h.rules(t); strings.Contains(r, "51820") {
				t.Errorf("the port was not given back:\n%s", r)
			}
		})
	}
}

func TestRoutersThatOpenNothingAreNamed(t *testing.T) {
	h := newHome(t)
	k, _ := h.keep(t)
	nettest.WaitFor(t, 30*time.Second, func() bool { return k.State().Error != "" })
	st := k.State()
	if st.Method != "" || !strings.Contains(st.Error, "the router 192.168.1.1 opens no port by itself") {
		t.Errorf("%+v", st)
	}
}

// A port that is needed as it is, such as that of mail, is not taken under another
// number.
func TestExactPortIsThatOrNone(t *testing.T) {
	for name, tt := range map[string]struct {
		exact bool
		got   uint16
		fails bool
	}{
		"the same": {true, 25, false}, "another": {true, 2525, true}, "another will do": {false, 2525, false},
	} {
		g := &someGrip{port: tt.got}
		k := NewKeeper(slog.New(slog.DiscardHandler), Wish{Protocol: TCP, Port: 25, Exact: tt.exact}, nil)
		_, _, err := k.ask(t.Context(), g)
		if (err != nil) != tt.fails || g.released != tt.fails || err != nil && !strings.Contains(err.Error(), "port 2525 instead of 25") {
			t.Errorf("%s: %v, given back %v", name, err, g.released)
		}
	}
}

type someGrip struct {
	port     uint16
	released bool
}

func (g *someGrip) renew(context.Context) (netip.AddrPort, time.Duration, error) {
	return netip.AddrPortFrom(netip.MustParseAddr("9.9.0.7"), g.port), time.Hour, nil
}
func (g *someGrip) release(context.Context) { g.released = true }
