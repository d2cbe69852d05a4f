package netstack

import (
	"encoding/binary"
	"net"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"

	"pic/core/config"
	"pic/internal/nettest"
)

// The zones of a router against each other: WAN, LAN, VPN and the cell, in both
// families, and who sees whose address.
func TestZonesOfARouter(t *testing.T) {
	d := newDistrict(t, func(d *district) {
		d.doc.Proxy.Routes = []config.Route{{Name: "shop", Upstream: "http://192.168.1.20", Access: config.AccessPublic}}
	})
	serveSite(t, d.lan, "[2001:db8:1::20]:80", "[fd01::20]:80")
	serveSite(t, d.client, "10.77.0.2:80", "[fd77::2]:80")
	serveSite(t, d.phone, "10.77.0.3:80", "[fd77::3]:80")
	serveSite(t, d.self, ":443", ":53", ":8081")

	zones := map[string]call{
		"LAN to WAN":   {d.desk, "198.51.100.2:80", "198.51.100.1"},
		"LAN to WAN 6": {d.desk, "[2001:db8:9::2]:80", "2001:db8:1::21"},
		"VPN to WAN":   {d.client, "198.51.100.2:80", "198.51.100.1"},
		"VPN to WAN 6": {d.client, "[2001:db8:9::2]:80", "2001:db8:9::1"},
		"VPN to LAN":   {d.client, "192.168.1.20:80", "10.77.0.2"},
		"VPN to LAN 6": {d.client, "[2001:db8:1::20]:80", "fd77::2"},
		"cell to WAN":  {d.self, "198.51.100.2:80", "198.51.100.1"},
		"cell to LAN":  {d.self, "192.168.1.20:80", "192.168.1.10"},
		"cell to VPN":  {d.self, "10.77.0.2:80", "10.77.0.1"},

		"LAN to VPN":          {d.desk, "10.77.0.2:80", silent},
		"LAN to VPN 6":        {d.desk, "[fd77::2]:80", silent},
		"WAN to LAN":          {d.network, "192.168.1.20:80", silent},
		"WAN to LAN 6":        {d.network, "[2001:db8:1::20]:80", silent},
		"WAN to LAN, its own": {d.network, "[fd01::20]:80", silent},
		"WAN to VPN":          {d.network, "10.77.0.2:80", silent},
		"WAN to VPN 6":        {d.network, "[fd77::2]:80", silent},
		"VPN to VPN":          {d.client, "10.77.0.3:80", shut},
		"VPN to VPN 6":        {d.client, "[fd77::3]:80", shut},
	}
	for zone, by := range map[string]*nettest.Host{"LAN": d.desk, "VPN": d.client, "WAN": d.network} {
		for service, port := range map[string]string{"public page": "443", "DNS": "53", "UI": "8081"} {
			want := map[string]string{"LAN": "192.168.1.21", "VPN": "10.77.0.2", "WAN": silent}[zone]
			want6 := map[string]string{"LAN": "2001:db8:1::21", "VPN": "fd77::2", "WAN": silent}[zone]
			if zone == "WAN" && service == "public page" {
				want, want6 = "198.51.100.2", "2001:db8:9::2"
			}
			zones[zone+" to the cell's "+service] = call{by, "198.51.100.1:" + port, want}
			zones[zone+" to the cell's "+service+" 6"] = call{by, "[2001:db8:9::1]:" + port, want6}
			if zone == "WAN" { // by addresses of the other sides
				zones["WAN to "+service+" in the LAN"] = call{by, "192.168.1.10:" + port, want}
				zones["WAN to "+service+" in the VPN"] = call{by, "10.77.0.1:" + port, want}
			}
		}
	}
	calls(t, "tcp", zones)
	for _, h := range []*nettest.Host{d.network, d.desk, d.client} {
		h.Run(t, "ping", "-c1", "-W2", "198.51.100.1")
	}

	// Who is given a right to a device has it one way.
	d.doc.Peers[0].Peers = []string{"phone"}
	apply(t, d.s, d.config())
	calls(t, "tcp", map[string]call{
		"who was let":     {d.client, "10.77.0.3:80", "10.77.0.2"},
		"who was let 6":   {d.client, "[fd77::3]:80", "fd77::2"},
		"the other way":   {d.phone, "10.77.0.2:80", shut},
		"the other way 6": {d.phone, "[fd77::2]:80", shut},
	})
}

// Whatever devices send, nothing leaves by the WAN with an address that the
// internet could not answer, and what the kernel cannot translate does not leave.
func TestNoAddressOfTheLANLeavesTheWAN(t *testing.T) {
	d := newDistrict(t, func(*district) {})
	greet(t, d.network, "198.51.100.2:9000", "[2001:db8:9::2]:9000")
	seen := listenAt(t, d.network, "eth0", "src net (10.0.0.0/8 or 172.16.0.0/12 or 192.168.0.0/16 or fc00::/7)")
	through := listenAt(t, d.network, "eth0", "host 198.51.100.1 or net 2001:db8:1::/64 or host 2001:db8:9::1")
	for _, from := range []struct {
		h         *nettest.Host
		four, six string
	}{{d.desk, "192.168.1.21", "fd01::21"}, {d.client, "10.77.0.2", "fd77::2"}} {
		// What belongs to a connection, and what pretends to.
		calls(t, "tcp", map[string]call{"page": {from.h, "198.51.100.2:80", "198.51.100.1"}})
		calls(t, "udp", map[string]call{"datagram": {from.h, "198.51.100.2:9000", "198.51.100.1"}})
		from.h.Try("ping", "-c1", "-W1", "198.51.100.2")
		from.h.Try("ping", "-c1", "-W1", "-s", "3000", "198.51.100.2") // in fragments
		from.h.Try("ping", "-6", "-c1", "-W1", "-I", from.six, "2001:db8:9::2")
		for _, to := range [][2]string{{from.four, "198.51.100.2"}, {from.six, "2001:db8:9::2"}} {
			for _, flags := range []byte{0x10, 0x12, 0x04, 0x01, 0x03, 0x29, 0x00} {
				segment(t, from.h, to[0], to[1], flags)
			}
			other(t, from.h, to[0], to[1], 47)  // GRE
			other(t, from.h, to[0], to[1], 50)  // ESP
			other(t, from.h, to[0], to[1], 132) // SCTP, without a sum
			other(t, from.h, to[0], to[1], 253)
		}
		unasked(t, from.h, from.four, "198.51.100.2")
	}
	// The last thing sent has come, so whatever else left has too.
	calls(t, "udp", map[string]call{"last": {d.desk, "198.51.100.2:9000", "198.51.100.1"}, "last 6": {d.desk, "[2001:db8:9::2]:9000", "2001:db8:1::21"}})
	nettest.WaitFor(t, patient, func() bool {
		all := strings.Join(through.packets(), "\n")
		return strings.Contains(all, "198.51.100.2.9000") && strings.Contains(all, "2001:db8:9::2.9000")
	})
	for _, p := range seen.packets() {
		t.Errorf("left by the WAN: %s", p)
	}
}

// Rights go by addresses, so an address of the tunnel is heard by no other card.
func TestAddressesOfTheTunnelComeByTheTunnel(t *testing.T) {
	d := newDistrict(t, func(d *district) {
		d.doc.Network.Forwards = []config.PortForward{{Name: "open", Protocol: "udp", Port: 9200, To: netip.MustParseAddr("192.168.1.10")}}
		d.doc.Peers[1].Site = prefixes("192.168.50.0/24")
	})
	var heard sync.Map
	var pc net.PacketConn
	if err := d.self.Do(func() (err error) {
		pc, err = net.ListenPacket("udp", ":9200")
		return err
	}); err != nil {
		t.Fatal(err)
	}
	defer pc.Close()
	go func() {
		b := make([]byte, 100)
		for {
			_, from, err := pc.ReadFrom(b)
			if err != nil {
				return
			}
			heard.Store(from.(*net.UDPAddr).AddrPort().Addr().Unmap().String(), true)
		}
	}()
	datagram := []byte{0, 80, 35, 240, 0, 8, 0, 0} // to port 9200, without a sum
	for _, a := range []string{"10.77.0.3/32", "192.168.50.20/32", "192.168.1.99/32"} {
		from, _, _ := strings.Cut(a, "/")
		for card, h := range map[string]*nettest.Host{"LAN": d.desk, "WAN": d.network} {
			h.Run(t, "ip", "addr", "add", a, "dev", "lo")
			to := map[string]string{"LAN": "192.168.1.10", "WAN": "198.51.100.1"}[card]
			raw(t, h, "udp", from, to, datagram)
		}
	}
	raw(t, d.client, "udp", "10.77.0.2", "10.77.0.1", datagram)
	for _, from := range []string{"192.168.1.99", "10.77.0.2"} {
		nettest.WaitFor(t, patient, func() bool { _, ok := heard.Load(from); return ok })
	}
	for _, from := range []string{"10.77.0.3", "192.168.50.20"} {
		if _, ok := heard.Load(from); ok {
			t.Errorf("a stranger is taken for %s", from)
		}
	}
	if d.hits(t, "not by the tunnel") < 4 {
		t.Errorf("counted %d", d.hits(t, "not by the tunnel"))
	}
}

// segment sends a segment of TCP that belongs to no connection.
func segment(t *testing.T, h *nettest.Host, from, to string, flags byte) {
	t.Helper()
	b := make([]byte, 20)
	copy(b, []byte{0x9c, 0x40, 0, 80, 1, 2, 3, 4, 5, 6, 7, 8, 5 << 4, flags, 4, 0})
	ends := slices.Concat(netip.MustParseAddr(from).AsSlice(), netip.MustParseAddr(to).AsSlice(), []byte{0, 6, 0, 20})
	binary.BigEndian.PutUint16(b[16:], checksum(slices.Concat(ends, b)))
	raw(t, h, "tcp", from, to, b)
}

// other sends a packet of another protocol.
func other(t *testing.T, h *nettest.Host, from, to string, proto byte) {
	t.Helper()
	raw(t, h, strconv.Itoa(int(proto)), from, to, make([]byte, 40))
}

// unasked sends an error about a packet that never came.
func unasked(t *testing.T, h *nettest.Host, from, to string) {
	t.Helper()
	b := []byte{3, 3, 0, 0, 0, 0, 0, 0} // port unreachable
	b = append(b, 0x45, 0, 0, 28, 0, 0, 0, 0, 64, 17, 0, 0)
	b = append(b, netip.MustParseAddr(to).AsSlice()...)
	b = append(b, netip.MustParseAddr(from).AsSlice()...)
	b = append(b, 0x10, 0, 0x20, 0, 0, 8, 0, 0)
	binary.BigEndian.PutUint16(b[2:], checksum(b))
	raw(t, h, "icmp", from, to, b)
}

// checksum is the internet's (RFC 1071), of an even number of bytes.
func checksum(b []byte) uint16 {
	var sum uint32
	for i := 0; i < len(b); i += 2 {
		sum += uint32(binary.BigEndian.Uint16(b[i:]))
	}
	for sum > 0xffff {
		sum = sum>>16 + sum&0xffff
	}
	return ^uint16(sum)
}

// raw sends what an IP packet carries.
func raw(t *testing.T, h *nettest.Host, proto, from, to string, b []byte) {
	t.Helper()
	dst := netip.MustParseAddr(to)
	network := "ip4:"
	if dst.Is6() {
		network = "ip6:"
	}
	err := h.Do(func() error {
		c, err := net.ListenPacket(network+proto, from)
		if err != nil {
			return err
		}
		defer c.Close()
		_, err = c.WriteTo(b, &net.IPAddr{IP: dst.AsSlice()})
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
}
