package netstack

import (
	"net/netip"
	"testing"

	"pic/core/config"
)

// A port forward is found by the cell's public address from everywhere: by the
// internet, by its own LAN, by the device it leads to, and by devices on the road,
// and each gets its answer.
func TestForwardsAreReachedFromInsideAndOut(t *testing.T) {
	d := newDistrict(t, func(d *district) {
		doc := d.doc
		to := netip.MustParseAddr
		doc.Network.Forwards = []config.PortForward{
			{Name: "web", Port: 8080, To: to("192.168.1.20"), ToPort: 80},
			{Name: "ula", Port: 8080, To: to("fd01::20"), ToPort: 80},
			{Name: "pinhole", Port: 8443, To: to("2001:db8:1::20")},
			{Name: "range", Protocol: "udp", Port: 7000, Last: 7002, To: to("192.168.1.20"), ToPort: 9000},
			{Name: "game", Protocol: "both", Port: 7777, To: to("10.77.0.3")},
			{Name: "game6", Port: 7777, To: to("fd77::3")},
			{Name: "few", Port: 8081, To: to("192.168.1.20"), ToPort: 80, From: []netip.Prefix{netip.MustParsePrefix("198.51.100.3/32")}},
			{Name: "cell", Port: 2525, To: to("192.168.1.10")},
		}
		doc.Peers[0].LAN = new(false) // a forward needs no right
		doc.Peers[0].Services = []string{"none"}
	})
	serveSite(t, d.lan, "[fd01::20]:80", "[2001:db8:1::20]:8443", "[2001:db8:1::20]:8444")
	serveSite(t, d.phone, "10.77.0.3:7777", "[fd77::3]:7777")
	serveSite(t, d.self, "192.168.1.10:2525")
	greet(t, d.lan, "192.168.1.20:9002", "192.168.1.20:9003")
	greet(t, d.phone, "10.77.0.3:7777")

	const cell, cell6 = "198.51.100.1", "[2001:db8:9::1]"
	calls(t, "tcp", map[string]call{
		"from outside":                        {d.network, cell + ":8080", "198.51.100.2"},
		"from the LAN":                        {d.desk, cell + ":8080", "192.168.1.10"},
		"from the device itself":              {d.lan, cell + ":8080", "192.168.1.10"},
		"from the road":                       {d.client, cell + ":8080", "10.77.0.2"},
		"to a device on the road":             {d.network, cell + ":7777", "198.51.100.2"},
		"from the LAN to the road":            {d.desk, cell + ":7777", "10.77.0.1"},
		"from the road to the road":           {d.client, cell + ":7777", "10.77.0.1"},
		"from the road to itself":             {d.phone, cell + ":7777", "10.77.0.1"},
		"to the cell":                         {d.network, cell + ":2525", "198.51.100.2"},
		"to the cell from the LAN":            {d.desk, cell + ":2525", "192.168.1.21"},
		"to the cell from the road":           {d.client, cell + ":2525", "10.77.0.2"},
		"by one that it is not for":           {d.network, cell + ":8081", silent},
		"IPv6 from outside":                   {d.network, cell6 + ":8080", "2001:db8:9::2"},
		"IPv6 from the LAN":                   {d.desk, cell6 + ":8080", "fd01::10"},
		"IPv6 from the device itself":         {d.lan, cell6 + ":8080", "fd01::10"},
		"IPv6 from the road":                  {d.client, cell6 + ":8080", "fd77::2"},
		"IPv6 to a device on the road":        {d.network, cell6 + ":7777", "2001:db8:9::2"},
		"IPv6 from the LAN to the road":       {d.desk, cell6 + ":7777", "fd77::1"},
		"IPv6 from the road to itself":        {d.phone, cell6 + ":7777", "fd77::1"},
		"a pinhole":                           {d.network, "[2001:db8:1::20]:8443", "2001:db8:9::2"},
		"a pinhole from the LAN":              {d.desk, "[2001:db8:1::20]:8443", "2001:db8:1::21"},
		"a pinhole from the road":             {d.client, "[2001:db8:1::20]:8443", "fd77::2"},
		"beside the pinhole":                  {d.network, "[2001:db8:1::20]:8444", silent},
		"beside the pinhole, from the road":   {d.client, "[2001:db8:1::20]:8444", shut},
		"the device without its forward":      {d.client, "192.168.1.20:80", shut},
		"the same from outside":               {d.network, "192.168.1.20:80", silent},
		"the device of the VPN, from the LAN": {d.desk, "10.77.0.3:7777", silent},
	})
	if c, err := dialFrom(d.network, netip.MustParseAddr("198.51.100.3"), "tcp", cell+":8081", patient); err != nil {
		t.Errorf("by one that it is for: %v", err)
	} else {
		c.Close()
	}
	calls(t, "udp", map[string]call{
		"from outside":              {d.network, cell + ":7002", "198.51.100.2"},
		"from the LAN":              {d.desk, cell + ":7002", "192.168.1.10"},
		"from the device itself":    {d.lan, cell + ":7002", "192.168.1.10"},
		"from the road":             {d.client, cell + ":7002", "10.77.0.2"},
		"from the road to the road": {d.client, cell + ":7777", "10.77.0.1"},
		"beyond the range":          {d.network, cell + ":7003", silent},
	})
	for _, name := range []string{"web", "ula", "pinhole", "range", "game", "cell"} {
		if d.hits(t, "forward "+name) == 0 {
			t.Errorf("forward %s has met nothing", name)
		}
	}
}
