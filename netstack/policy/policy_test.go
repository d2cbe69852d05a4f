package policy

import (
	"net/netip"
	"slices"
	"testing"
)

func nets(list ...string) []netip.Prefix {
	var out []netip.Prefix
	for _, s := range list {
		out = append(out, netip.MustParsePrefix(s))
	}
	return out
}

func addrs(list ...string) []netip.Addr {
	var out []netip.Addr
	for _, s := range list {
		out = append(out, netip.MustParseAddr(s))
	}
	return out
}

// household has a peer for every right, a holiday home, a friend's cell and two
// port forwards.
func household() Rules {
	tcp := func(ports ...uint16) (out []Port) {
		for _, p := range ports {
			out = append(out, Port{TCP, p})
		}
		return out
	}
	return Rules{
		Router: true, Cell: addrs("10.77.0.1", "fd77::1"), Host: addrs("192.168.1.1", "198.51.100.1", "2001:db8:9::1"),
		Public: addrs("198.51.100.1", "2001:db8:9::1"),
		VPN:    nets("10.77.0.0/24", "fd77::/64"), LAN: nets("192.168.0.0/16", "2001:db8:1::/64"),
		Services: []Service{
			{"dns", []Port{{TCP, 53}, {UDP, 53}}},
			{"mail", tcp(25, 993)},
			{"proxy", tcp(80, 443)},
		},
		Open: []Port{{UDP, 51820}, {TCP, 443}},
		Peers: []Peer{
			{Name: "laptop", Addrs: addrs("10.77.0.2", "fd77::2"), Internet: true, LAN: true, Services: []string{"all"}, Peers: []string{"all"}, Cells: []string{"all"}},
			{Name: "guest", Addrs: addrs("10.77.0.3"), Internet: true, Services: []string{"none"}, Peers: []string{"none"}, Cells: []string{"none"}},
			{Name: "tv", Addrs: addrs("10.77.0.5"), LAN: true, Services: []string{"proxy"}, Peers: []string{"kids"}, Groups: []string{"media"}},
			{Name: "phone", Addrs: addrs("10.77.0.6"), Internet: true, Exit: "far", Peers: []string{"guest"}, Groups: []string{"kids"}},
			{Name: "hut", Addrs: addrs("10.77.0.7"), Site: nets("10.50.0.0/24"), LAN: true},
		},
		Links: []Link{
			{Name: "elm", Subnets: nets("10.99.0.0/16"), Services: []string{"dns", "proxy"}, Out: true},
			{Name: "ash", Subnets: nets("10.98.0.0/16"), Services: []string{"none"}, LAN: true},
		},
		Forwards: []Forward{
			{Name: "game", Proto: UDP, First: 7000, Last: 7010, To: netip.MustParseAddr("192.168.1.20"), ToPort: 7000},
			{Name: "ssh", Proto: TCP, First: 2222, Last: 2222, To: netip.MustParseAddr("10.77.0.2"), ToPort: 22, From: nets("203.0.113.0/24")},
			{Name: "six", Proto: TCP, First: 22, Last: 22, To: netip.MustParseAddr("2001:db8:1::20"), ToPort: 22},
		},
		Blocked: nets("203.0.113.66/32", "198.18.0.0/15"),
	}
}

func TestDecideByRight(t *testing.T) {
	const laptop, guest, tv, phone, hut, elm, ash, lan, far = "10.77.0.2", "10.77.0.3", "10.77.0.5", "10.77.0.6", "10.77.0.7", "10.99.0.9", "10.98.0.9", "192.168.1.20", "203.0.113.9"
	for name, tt := range map[string]struct {
		src, dst string
		proto    uint8
		port     uint16
		want     bool
		way      Way
		name     string
	}{
		"internet":                {laptop, "198.51.100.7", TCP, 80, true, ToWAN, ""},
		"internet v6":             {"fd77::2", "2001:db8::7", TCP, 80, true, ToWAN, ""},
		"by an exit":              {phone, "198.51.100.7", TCP, 80, true, ToExit, "far"},
		"LAN":                     {laptop, lan, TCP, 80, true, ToLAN, ""},
		"guest to LAN":            {guest, lan, TCP, 80, false, ToLAN, ""},
		"LAN only to internet":    {tv, "198.51.100.7", TCP, 80, false, ToWAN, ""},
		"LAN only to LAN":         {tv, lan, TCP, 80, true, ToLAN, ""},
		"switched off":            {"10.77.0.4", "198.51.100.7", TCP, 80, false, ToWAN, ""},
		"the cell's loopback":     {laptop, "127.0.0.1", TCP, 80, false, ToWAN, ""},
		"loopback in disguise":    {"fd77::2", "::ffff:127.0.0.1", TCP, 80, false, ToWAN, ""},
		"loopback v6":             {"fd77::2", "::1", TCP, 80, false, ToWAN, ""},
		"unspecified":             {laptop, "0.0.0.0", TCP, 80, false, ToWAN, ""},
		"metadata of the cloud":   {laptop, "169.254.169.254", TCP, 80, false, ToWAN, ""},
		"everybody":               {laptop, "255.255.255.255", UDP, 80, false, ToWAN, ""},
		"a group":                 {laptop, "224.0.0.251", UDP, 5353, false, ToWAN, ""},
		"all services":            {laptop, "10.77.0.1", TCP, 22, true, ToCell, ""},
		"the same by the LAN":     {laptop, "192.168.1.1", TCP, 22, true, ToCell, ""},
		"no services":             {guest, "10.77.0.1", TCP, 443, false, ToCell, ""},
		"nor by the LAN":          {guest, "192.168.1.1", TCP, 443, false, ToCell, ""},
		"but DNS":                 {guest, "10.77.0.1", UDP, 53, true, ToCell, ""},
		"and ping":                {guest, "10.77.0.1", ICMP, 0, true, ToCell, ""},
		"one service":             {tv, "10.77.0.1", TCP, 443, true, ToCell, ""},
		"not its UDP":             {tv, "10.77.0.1", UDP, 443, false, ToCell, ""},
		"another service":         {tv, "10.77.0.1", TCP, 993, false, ToCell, ""},
		"all peers":               {laptop, guest, TCP, 22, true, ToPeer, "guest"},
		"not back":                {guest, laptop, TCP, 22, false, ToPeer, "laptop"},
		"a peer by name":          {phone, guest, TCP, 22, true, ToPeer, "guest"},
		"a peer by group":         {tv, phone, TCP, 22, true, ToPeer, "phone"},
		"not of the group":        {tv, guest, TCP, 22, false, ToPeer, "guest"},
		"nobody's address":        {laptop, "10.77.0.99", TCP, 22, false, ToPeer, ""},
		"a network behind a peer": {laptop, "10.50.0.9", TCP, 22, true, ToPeer, "hut"},
		"from behind a peer":      {"10.50.0.9", lan, TCP, 22, true, ToLAN, ""},
		"not to its internet":     {"10.50.0.9", far, TCP, 22, false, ToWAN, ""},
		"a linked cell":           {laptop, elm, TCP, 443, true, ToLink, "elm"},
		"no linked cells":         {guest, elm, TCP, 443, false, ToLink, "elm"},
		"nor where unsaid":        {hut, elm, TCP, 443, false, ToLink, "elm"},
		"link to a service":       {elm, "10.77.0.1", TCP, 443, true, ToCell, ""},
		"link to another":         {elm, "10.77.0.1", TCP, 993, false, ToCell, ""},
		"link out":                {elm, far, TCP, 443, true, ToWAN, ""},
		"link to LAN":             {elm, lan, TCP, 443, false, ToLAN, ""},
		"link to peer":            {elm, laptop, TCP, 443, false, ToPeer, ""},
		"link to link":            {elm, ash, TCP, 443, false, ToLink, "ash"},
		"another link to LAN":     {ash, lan, TCP, 443, true, ToLAN, ""},
		"not even DNS":            {ash, "10.77.0.1", UDP, 53, false, ToCell, ""},
		"not out":                 {ash, far, TCP, 443, false, ToWAN, ""},
		"LAN out":                 {lan, far, TCP, 443, true, ToWAN, ""},
		"LAN to cell":             {lan, "192.168.1.1", TCP, 22, true, ToCell, ""},
		"LAN to peer":             {lan, laptop, TCP, 22, false, ToPeer, ""},
		"LAN to hut":              {lan, "10.50.0.9", TCP, 22, true, ToPeer, "hut"},
		"LAN to link":             {lan, elm, TCP, 22, true, ToLink, "elm"},
		"a forward":               {far, "198.51.100.1", UDP, 7005, true, ToLAN, "game"},
		"beside it":               {far, "198.51.100.1", UDP, 7011, false, ToCell, ""},
		"a forward to a peer":     {far, "198.51.100.1", TCP, 2222, true, ToPeer, "ssh"},
		"for others":              {"198.51.100.77", "198.51.100.1", TCP, 2222, false, ToCell, ""},
		"from inside":             {lan, "198.51.100.1", UDP, 7000, true, ToLAN, "game"},
		"let in":                  {"2001:db8:5::1", "2001:db8:1::20", TCP, 22, true, ToLAN, "six"},
		"not let in":              {"2001:db8:5::1", "2001:db8:1::20", TCP, 23, false, ToLAN, ""},
		"ping of the LAN":         {"2001:db8:5::1", "2001:db8:1::20", ICMPv6, 0, true, ToLAN, ""},
		"public":                  {far, "198.51.100.1", TCP, 443, true, ToCell, ""},
		"not public":              {far, "198.51.100.1", TCP, 22, false, ToCell, ""},
		"WAN to LAN":              {far, lan, TCP, 22, false, ToLAN, ""},
		"WAN to peer":             {far, laptop, TCP, 22, false, ToPeer, ""},
		"the cell itself":         {"192.168.1.1", laptop, TCP, 22, true, ToPeer, ""},
		"blocked source":          {"203.0.113.66", "198.51.100.1", TCP, 443, false, "", ""},
		"blocked target":          {laptop, "198.19.1.1", TCP, 443, false, "", ""},
	} {
		p := New(household())
		got := p.Decide(Flow{Src: netip.MustParseAddr(tt.src), Dst: netip.MustParseAddr(tt.dst), Proto: tt.proto, Port: tt.port})
		if got.Allow != tt.want || got.Way != tt.way || got.Name != tt.name || got.Why == "" {
			t.Errorf("%s: %+v", name, got)
		}
	}
}

func TestServerFiltersOnlyTheTunnel(t *testing.T) {
	r := household()
	r.Router = false
	p := New(r)
	for name, tt := range map[string]struct {
		src, dst string
		want     bool
	}{
		"to any port of the host": {"203.0.113.9", "198.51.100.1", true},
		"between other cards":     {"203.0.113.9", "192.168.1.20", true},
		"into the VPN":            {"203.0.113.9", "10.77.0.2", false},
		"from the LAN into it":    {"192.168.1.20", "10.77.0.2", false},
	} {
		if v := p.Decide(Flow{Src: netip.MustParseAddr(tt.src), Dst: netip.MustParseAddr(tt.dst), Proto: TCP, Port: 22}); v.Allow != tt.want {
			t.Errorf("%s: %+v", name, v)
		}
	}
}

func TestDecidingAllocatesNothing(t *testing.T) {
	p := New(household())
	f := Flow{Src: netip.MustParseAddr("10.77.0.5"), Dst: netip.MustParseAddr("10.77.0.6"), Proto: TCP, Port: 22}
	if n := testing.AllocsPerRun(100, func() { p.Decide(f) }); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

func TestNetworksBecomeDisjoint(t *testing.T) {
	var got []string
	for _, p := range Disjoint(nets("192.168.1.7/24", "192.168.0.0/16", "10.0.0.0/8", "fd00::/8", "192.168.1.0/24", "fd12::/16")) {
		got = append(got, p.String())
	}
	if want := []string{"10.0.0.0/8", "192.168.0.0/16", "fd00::/8"}; !slices.Equal(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
}

func BenchmarkDecide(b *testing.B) {
	p := New(household())
	f := Flow{Src: netip.MustParseAddr("10.77.0.2"), Dst: netip.MustParseAddr("198.51.100.7"), Proto: TCP, Port: 443}
	b.ReportAllocs()
	for b.Loop() {
		p.Decide(f)
	}
}

// A private address is of the LAN unless it comes in from outside, and one of the
// internet is outside unless it comes in from the LAN.
func TestTheSideCountsWhereItIsKnown(t *testing.T) {
	p := New(household())
	for name, tt := range map[string]struct {
		src  string
		in   Way
		want bool
	}{
		"LAN":                 {"192.168.1.20", "", true},
		"LAN, from outside":   {"192.168.1.20", ToWAN, false},
		"internet":            {"203.0.113.9", "", false},
		"internet from LAN":   {"203.0.113.9", ToLAN, true},
		"internet, outside":   {"203.0.113.9", ToWAN, false},
		"LAN, from the LAN":   {"192.168.1.20", ToLAN, true},
		"a peer from outside": {"10.77.0.250", ToWAN, false},
	} {
		f := Flow{Src: netip.MustParseAddr(tt.src), Dst: netip.MustParseAddr("192.168.1.30"), Proto: TCP, Port: 22, In: tt.in}
		if v := p.Decide(f); v.Allow != tt.want {
			t.Errorf("%s: %+v", name, v)
		}
	}
}
