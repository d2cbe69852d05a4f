package wol

import (
	"encoding/hex"
	"net"
	"net/netip"
	"os"
	"strings"
	"testing"
	"time"

	"pic/internal/nettest"
)

func TestMain(m *testing.M) { os.Exit(nettest.Main(m)) }

func TestTheMagicPacketReachesTheNetwork(t *testing.T) {
	tcpdump := nettest.Tool(t, "tcpdump")
	lab := nettest.New(t)
	cell, desk := lab.Self(), lab.Host("desk")
	lab.Link(cell, "lan0", "192.168.1.1/24", desk, "eth0", "192.168.1.9/24")
	dump := desk.Start(t, tcpdump, "-i", "eth0", "-n", "-c", "1", "-XX", "--immediate-mode", "udp", "port", "9")
	nettest.WaitFor(t, 5*time.Second, func() bool { return strings.Contains(dump.Output(), "listening on") })
	mac, _ := net.ParseMAC("02:00:5e:10:20:30")
	if err := Wake(t.Context(), mac, []netip.Prefix{netip.MustParsePrefix("192.168.1.1/24"), netip.MustParsePrefix("fd00::/64")}); err != nil {
		t.Fatal(err)
	}
	if err := dump.Wait(); err != nil {
		t.Fatal(err)
	}
	if out := dump.Output(); !strings.Contains(out, "192.168.1.255.9") || !strings.Contains(out, "length 102") {
		t.Errorf("tcpdump saw:\n%s", out)
	}
}

func TestThePacketIsAsTheBookSays(t *testing.T) {
	mac, _ := net.ParseMAC("02:00:5e:10:20:30")
	p, err := Packet(mac)
	if want := strings.Repeat("ff", 6) + strings.Repeat("02005e102030", 16); err != nil || hex.EncodeToString(p) != want {
		t.Errorf("%x, %v", p, err)
	}
	if _, err := Packet(net.HardwareAddr{1, 2, 3, 4, 5, 6, 7, 8}); err == nil {
		t.Error("a card with eight bytes")
	}
	if err := Wake(t.Context(), mac, nil); err == nil {
		t.Error("woken in no network")
	}
}
