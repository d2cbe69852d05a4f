package config

import (
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"
)

const keyA = "YWFhYWFhYWFhYWFhYWFhYWFhYWFhYWFhYWFhYWFhYWE="

func TestEachMistakeIsNamedAtItsPlace(t *testing.T) {
	on := true
	addr, pfx := netip.MustParseAddr, netip.MustParsePrefix
	for name, tt := range map[string]struct {
		edit func(*Document)
		path string
		says string
	}{
		"no name":                   {func(d *Document) { d.Cell.Name = "" }, "cell.name", "lower case"},
		"no admin":                  {func(d *Document) { d.Users[0].Role = Member }, "users", "at least one admin"},
		"nobody":                    {func(d *Document) { d.Users, d.Peers = nil, nil }, "users", "at least one admin"},
		"user twice":                {func(d *Document) { d.Users = append(d.Users, d.Users[0]) }, "users.alice.name", "taken already"},
		"port clash":                {func(d *Document) { d.Proxy.HTTPSPort = 8081 }, "web.uiPort", "taken by proxy.httpsPort"},
		"clash by ports":            {func(d *Document) { d.DAV.WebDAVPort = 5232 }, "dav.webdavPort", "taken by dav.caldavPort"},
		"public VPN":                {func(d *Document) { d.WireGuard.Subnet = pfx("198.51.100.0/24") }, "wireguard.subnet", "RFC 1918"},
		"VPN in LAN":                {func(d *Document) { d.Network.LAN.Address = pfx("10.0.0.1/8"); d.WireGuard.Subnet = pfx("10.1.0.0/24") }, "wireguard.subnet", "overlaps the LAN"},
		"listen nowhere":            {func(d *Document) { d.DNS.Listen = []netip.Addr{} }, "dns.listen", "at least one address"},
		"listen twice":              {func(d *Document) { d.DNS.Listen = []netip.Addr{addr("::"), addr("127.0.0.1")} }, "dns.listen", "every address"},
		"upstream name":             {func(d *Document) { d.DNS.Upstreams = []string{"dns.quad9.net"} }, "dns.upstreams", "9.9.9.9:53"},
		"own zone again":            {func(d *Document) { d.DNS.Zones = []Zone{{Name: "oak.home.arpa"}} }, `dns.zones."oak.home.arpa".name`, "already"},
		"record type":               {func(d *Document) { d.DNS.Records = []Record{{"@", "SPF", 0, "x"}} }, "dns.records.0.type", "one of"},
		"record lines":              {func(d *Document) { d.DNS.Records = []Record{{"@", "TXT", 0, "x\ny"}} }, "dns.records.0", "one line"},
		"DHCP, no LAN":              {func(d *Document) { d.Cell.Mode = Appliance; d.DHCP.Enabled = &on }, "network.lan.address", "192.168.1.1/24"},
		"pool elsewhere":            {func(d *Document) { lan(d); d.DHCP.First = addr("192.0.2.9") }, "dhcp.first", "not in the LAN"},
		"MAC":                       {func(d *Document) { d.DHCP.Reservations = []Reservation{{"tv", "x", addr("10.0.0.2")}} }, "dhcp.reservations.tv.mac", "02:00"},
		"short lease":               {func(d *Document) { d.DHCP.Lease = Duration(time.Second) }, "dhcp.lease", "2m"},
		"peer outside":              {func(d *Document) { peer(d, "192.0.2.1", keyA) }, "peers.tv.address", "address in the VPN"},
		"peer is cell":              {func(d *Document) { peer(d, "10.9.9.1", keyA) }, "peers.tv.address", "taken already"},
		"peer broadcast":            {func(d *Document) { peer(d, "10.9.9.255", keyA) }, "peers.tv.address", "no device"},
		"peer key":                  {func(d *Document) { peer(d, "10.9.9.2", "x") }, "peers.tv.publicKey", "44 characters"},
		"peer owner":                {func(d *Document) { peer(d, "10.9.9.2", keyA); d.Peers[0].Owner = "bob" }, "peers.tv.owner", `no user "bob"`},
		"alias to nobody":           {func(d *Document) { d.Mail.Aliases = []Alias{{"info", []string{"bob"}}} }, "mail.aliases.info.to", "no user"},
		"alias is user":             {func(d *Document) { d.Mail.Aliases = []Alias{{"alice", []string{"alice"}}} }, "mail.aliases.alice.name", "is a user"},
		"own page":                  {func(d *Document) { route(d, "files", "http://192.0.2.1") }, "proxy.routes.files.name", "own page"},
		"upstream scheme":           {func(d *Document) { route(d, "cam", "ftp://192.0.2.1") }, "proxy.routes.cam.upstream", "http://"},
		"password in URL":           {func(d *Document) { route(d, "cam", "http://u:p@192.0.2.1") }, "proxy.routes.cam.upstream", "http://"},
		"leaf life":                 {func(d *Document) { d.CA.Life = Duration(time.Minute) }, "ca.life", "398 days"},
		"foreign name":              {func(d *Document) { d.CA.Names = []string{"www.example.org"} }, "ca.names", "below oak.home.arpa"},
		"link overlaps":             {func(d *Document) { link(d, "elm", "elm.home.arpa", "10.9.9.128/25") }, "links.elm.subnets", "overlaps 10.9.9.0/24 of this cell"},
		"link's domain":             {func(d *Document) { link(d, "elm", "x.oak.home.arpa", "10.70.0.0/24") }, "links.elm.domain", "clashes"},
		"clash in VPN":              {func(d *Document) { d.Web.UIPort = 443 }, "web.uiPort", "taken by proxy.httpsPort"},
		"4 in 6":                    {func(d *Document) { d.DNS.Listen = []netip.Addr{addr("::ffff:127.0.0.1")} }, "dns.listen", "write an IPv4 address as such"},
		"zone of lines":             {func(d *Document) { d.NTP.Listen = []netip.Addr{addr("fe80::1%a\nb")} }, "ntp.listen", "name of an interface"},
		"endpoint lines":            {func(d *Document) { d.WireGuard.Endpoint = "fe80::1%a\nPostUp = x" }, "wireguard.endpoint", "host or host:port"},
		"endpoint port":             {func(d *Document) { d.WireGuard.Endpoint = "[fe80::1%a\nPostUp = x]:1" }, "wireguard.endpoint", "host or host:port"},
		"upstream zone":             {func(d *Document) { d.DNS.Upstreams = []string{"[fe80::1%a\nb]:53"} }, "dns.upstreams", "9.9.9.9:53"},
		"upstream 0.0.0.0":          {func(d *Document) { d.DNS.Upstreams = []string{"0.0.0.0"} }, "dns.upstreams", "9.9.9.9"},
		"upstream 4 in 6":           {func(d *Document) { d.DNS.Upstreams = []string{"::ffff:9.9.9.9"} }, "dns.upstreams", "9.9.9.9"},
		"upstream port 0":           {func(d *Document) { d.DNS.Upstreams = []string{"9.9.9.9:0"} }, "dns.upstreams", "9.9.9.9:53"},
		"resolver":                  {func(d *Document) { d.DNS.Resolver = "both" }, "dns.resolver", "forward or recurse"},
		"root name":                 {func(d *Document) { d.DNS.Roots = []string{"a.root-servers.net"} }, "dns.roots", "198.41.0.4"},
		"allow 4 in 6":              {func(d *Document) { d.Network.Allow = []netip.Prefix{pfx("::ffff:10.0.0.0/104")} }, "network.allow", "not a network"},
		"LAN multicast":             {func(d *Document) { lan(d); d.Network.LAN.Address = pfx("224.0.0.1/24") }, "network.lan.address", "a host can have"},
		"upstream URL":              {func(d *Document) { d.DNS.Upstreams = []string{"https://dns.example"} }, "dns.upstreams", "needs the path"},
		"upstream protocol":         {func(d *Document) { d.DNS.Upstreams = []string{"gopher://9.9.9.9"} }, "dns.upstreams", "none of udp"},
		"upstream TCP name":         {func(d *Document) { d.DNS.Upstreams = []string{"tcp://dns.example"} }, "dns.upstreams", "must have an address"},
		"upstream user":             {func(d *Document) { d.DNS.Upstreams = []string{"tls://a:b@dns.example"} }, "dns.upstreams", "such as tls://"},
		"forward of the VPN's port": {func(d *Document) { forward(d, "udp", 51820, 51820, "10.9.9.2", 0) }, "network.forwards.game.port", "WireGuard's own"},
		"forward over it":           {func(d *Document) { forward(d, "both", 51000, 52000, "10.9.9.2", 0) }, "network.forwards.game.port", "WireGuard's own"},
		"forward of the UI's port":  {func(d *Document) { forward(d, "tcp", 8081, 8081, "192.168.7.9", 80) }, "network.forwards.game.port", "web.uiPort"},
		"forward to the UI":         {func(d *Document) { forward(d, "tcp", 443, 443, "192.168.7.1", 8081) }, "network.forwards.game.toPort", "not for the internet"},
		"forward to the webmail":    {func(d *Document) { forward(d, "tcp", 4000, 4100, "10.9.9.1", 8800) }, "network.forwards.game.toPort", "web.mailPort"},
		"forward nowhere":           {func(d *Document) { d.DNS.Forwards = []Forward{{Name: "fritz.box"}} }, `dns.forwards."fritz.box".upstreams`, "at least one resolver"},
		"validation":                {func(d *Document) { d.DNS.Validate = "yes" }, "dns.validate", "auto, on or off"},
		"DNS64 of 95 bits":          {func(d *Document) { d.DNS.DNS64 = netip.MustParsePrefix("64:ff9b::/95") }, "dns.dns64", "96 bits"},
		"rate":                      {func(d *Document) { d.DNS.Rate = new(-1) }, "dns.rate", "0 means no limit"},
		"key of nobody": {func(d *Document) {
			d.DNS.Own.Secondaries = []NameServer{{Address: "192.0.2.53", Key: "k"}}
		}, "dns.own.secondaries.0.key", "no key"},
		"secondary with records": {func(d *Document) {
			d.DNS.Zones = []Zone{{Name: "a.home.arpa", Records: []Record{{Name: "x", Type: "A", Value: "192.0.2.1"}}, Primaries: []NameServer{{Address: "192.0.2.53"}}}}
		}, `dns.zones."a.home.arpa".records`, "theirs"},
		"list of a program": {func(d *Document) { d.DNS.Filter.Lists = []List{{Name: "ads", URL: "ftp://example.org"}} }, "dns.filter.lists.ads.url", "https://"},
		"group of no list":  {func(d *Document) { d.DNS.Filter.Groups = []Group{{Name: "kids", Lists: []string{"x"}}} }, "dns.filter.groups.kids.lists", "no list"},
		"schedule": {func(d *Document) {
			d.DNS.Filter.Groups = []Group{{Name: "kids", Schedules: []Schedule{{From: "9pm", To: "07:00"}}}}
		}, "dns.filter.groups.kids.schedules.0.from", "such as 21:30"},
		"client":          {func(d *Document) { d.DNS.Filter.Clients = []Client{{Name: "tv", IDs: []string{"192.168.1.0/33"}}} }, "dns.filter.clients.tv.ids", "not an address"},
		"client peer":     {func(d *Document) { d.DNS.Filter.Clients = []Client{{Name: "tv", IDs: []string{"peer:tv"}}} }, "dns.filter.clients.tv.ids", "not a device"},
		"rewrite":         {func(d *Document) { d.DNS.Filter.Rewrites = []Rewrite{{Domain: "a.example", Value: "x y"}} }, "dns.filter.rewrites.0.value", "NXDOMAIN"},
		"query log":       {func(d *Document) { d.DNS.Log.Keep = Duration(1) }, "dns.log.keep", "from 1h"},
		"DHCP tells v6":   {func(d *Document) { lan(d); d.DHCP.DNS = []netip.Addr{addr("2001:db8::1")} }, "dhcp.dns", "IPv4"},
		"router v6":       {func(d *Document) { lan(d); d.DHCP.Router = addr("fe80::1") }, "dhcp.router", "IPv4"},
		"VPN takes a LAN": {func(d *Document) { lan(d); d.WireGuard.Interface = "eth0" }, "wireguard.interface", "of the host"},
		"VPN takes lo":    {func(d *Document) { d.WireGuard.Interface = "lo" }, "wireguard.interface", "of the host"},
		"VPN is a folder": {func(d *Document) { d.WireGuard.Interface = ".." }, "wireguard.interface", "can have"},
		"name of lines":   {func(d *Document) { d.Users[0].Display = "A\r\nBcc: x" }, "users.alice.display", "one line"},
		"upstream :port":  {func(d *Document) { route(d, "cam", "http://:80") }, "proxy.routes.cam.upstream", "http://"},
		"upstream 99999":  {func(d *Document) { route(d, "cam", "http://192.0.2.1:99999") }, "proxy.routes.cam.upstream", "http://"},
		"site in the VPN": {func(d *Document) { site(d, "tv", "10.9.9.2", "10.9.0.0/16") }, "peers.tv.site", "this cell"},
		"site in the LAN": {func(d *Document) { lan(d); site(d, "tv", "10.9.9.2", "192.168.7.128/25") }, "peers.tv.site", "LAN"},
		"site everywhere": {func(d *Document) { site(d, "tv", "10.9.9.2", "0.0.0.0/0") }, "peers.tv.site", "whole internet"},
		"site of nothing": {func(d *Document) { site(d, "tv", "10.9.9.2", "") }, "peers.tv.site", "not a network"},
		"site of two": {func(d *Document) {
			site(d, "nas", "10.9.9.2", "10.50.0.0/24")
			site(d, "tv", "10.9.9.3", "10.50.0.0/16")
		}, "peers.tv.site", "behind nas"},
		"site of a link": {func(d *Document) {
			site(d, "tv", "10.9.9.2", "10.70.0.0/24")
			link(d, "elm", "elm.home.arpa", "10.70.0.0/16")
		}, "links.elm.subnets", "behind tv"},
		"WAN is the LAN": {func(d *Document) { line(d, "192.168.7.2/24") }, "network.wan.address", "the LAN, 192.168.7.0/24"},
		"WAN in the LAN": {func(d *Document) { line(d, "192.168.7.130/25") }, "network.wan.address", "the LAN"},
		"WAN is the VPN": {func(d *Document) { line(d, "10.9.9.77/16") }, "network.wan.address", "the VPN, 10.9.9.0/24"},
		"public UI":      {func(d *Document) { d.Network.Public = []string{"web"} }, "network.public", "by the VPN"},
		"public DNS":     {func(d *Document) { d.Network.Public = []string{"dns"} }, "network.public", "flood others"},
		"public nothing": {func(d *Document) { d.Network.Public = []string{"imap"} }, "network.public", "mail and proxy"},
		"public twice":   {func(d *Document) { d.Network.Public = []string{"mail", "mail"} }, "network.public", "already"},
		"public port": {func(d *Document) {
			line(d, "198.51.100.7/24")
			d.Network.Public, d.Mail.SMTPPort = []string{"mail"}, 2525
		}, "network.public", "port 25 only"},
		"public at home": {func(d *Document) {
			line(d, "198.51.100.7/24")
			d.Network.Public, d.Mail.Listen = []string{"mail"}, []netip.Addr{addr("192.168.7.1")}
		}, "network.public", "leave mail.listen out"},
		"two links": {func(d *Document) {
			link(d, "elm", "elm.home.arpa", "10.70.0.0/24")
			link(d, "fir", "fir.home.arpa", "10.70.0.0/16")
		}, "links.fir.subnets", "of elm"},
	} {
		d := oak()
		d.WireGuard.Subnet = pfx("10.9.9.0/24")
		tt.edit(d)
		all := FieldErrors(Resolve(d, Env{}).Validate())
		if !slices.ContainsFunc(all, func(e *FieldError) bool { return e.Path == tt.path && strings.Contains(e.Problem, tt.says) }) {
			t.Errorf("%s: want %s: …%s…, got %v", name, tt.path, tt.says, all)
		}
	}
}

func lan(d *Document) {
	d.Cell.Mode, d.DHCP.Enabled = Appliance, new(true)
	d.Network.LAN = Interface{Name: "eth0", Address: netip.MustParsePrefix("192.168.7.1/24")}
}

func line(d *Document, addr string) {
	lan(d)
	d.Network.Router, d.Network.WAN = new(true), WAN{Name: "eth1", Address: netip.MustParsePrefix(addr)}
}

func peer(d *Document, addr, key string) {
	d.Peers = append(d.Peers, Peer{Name: "tv", PublicKey: key, Address: netip.MustParseAddr(addr)})
}

func site(d *Document, name, addr, net string) {
	n, _ := netip.ParsePrefix(net)
	d.Peers = append(d.Peers, Peer{Name: name, PublicKey: keyA, Address: netip.MustParseAddr(addr), Site: []netip.Prefix{n}})
}

func route(d *Document, name, up string) {
	d.Proxy.Routes = append(d.Proxy.Routes, Route{Name: name, Upstream: up})
}

func link(d *Document, name, domain, net string) {
	d.Links = append(d.Links, Link{Name: name, Domain: domain, PublicKey: keyA, Subnets: []netip.Prefix{netip.MustParsePrefix(net)}})
}

func TestAllMistakesAreReportedAtOnce(t *testing.T) {
	d := oak()
	d.Cell.Name, d.DNS.Upstreams, d.CA.Life = "O", []string{"x"}, 1
	if n := len(FieldErrors(Resolve(d, Env{}).Validate())); n < 3 {
		t.Errorf("%d problems reported of 3", n)
	}
}

func TestWholeHouseholdIsValid(t *testing.T) {
	d := oak()
	lan(d)
	peer(d, "10.9.9.2", keyA)
	d.WireGuard.Subnet = netip.MustParsePrefix("10.9.9.0/24")
	route(d, "cam", "http://192.168.7.20:8000")
	line(d, "10.0.0.9/8") // the VPN within it wins
	d.Network.Public = []string{"mail", "proxy"}
	d.DHCP.Reservations = []Reservation{{"nas", "02:00:5e:10:00:01", netip.MustParseAddr("192.168.7.9")}}
	d.DNS.Upstreams = []string{"9.9.9.9", "9.9.9.10:53", "2620:fe::fe", "[2620:fe::fe]:53"}
	d.DNS.Records = []Record{{"www", "HTTPS", 0, "1 . alpn=h2"}, {"nas", "SSHFP", 0, "4 2 aa"}, {"_443._tcp", "TLSA", 0, "3 1 1 aa"}}
	r := Resolve(d, Env{})
	if err := r.Validate(); err != nil {
		t.Error(err)
	}
	if r.DHCP.First.String() != "192.168.7.100" || r.DHCP.Interface != "eth0" || r.DHCP.Router.String() != "192.168.7.1" {
		t.Errorf("DHCP resolved to %+v", r.DHCP)
	}
	if r.Peers[0].Address6.IsValid() && !r.WireGuard.Subnet6.Contains(r.Peers[0].Address6) {
		t.Errorf("peer has %s outside %s", r.Peers[0].Address6, r.WireGuard.Subnet6)
	}
	if !slices.Contains(r.Hostnames(), "cam.oak.home.arpa") {
		t.Error("the route has no host name")
	}
}

// Forwards of other protocols, of other devices' ports and to an own address of
// IPv6 take nothing from the cell.
func TestForwardsThatTakeNothingPass(t *testing.T) {
	for name, edit := range map[string]func(*Document){
		"TCP at the VPN's port": func(d *Document) { forward(d, "tcp", 51820, 51820, "10.9.9.2", 0) },
		"UDP at the UI's port":  func(d *Document) { forward(d, "udp", 8081, 8081, "10.9.9.2", 0) },
		"a device's own page":   func(d *Document) { forward(d, "tcp", 4443, 4443, "192.168.7.9", 8081) },
		"let in by IPv6":        func(d *Document) { forward(d, "both", 8081, 8081, "2001:db8::9", 51820) },
		"mail to the cell":      func(d *Document) { forward(d, "tcp", 25, 25, "192.168.7.1", 25) },
		"disabled": func(d *Document) {
			forward(d, "udp", 51820, 51820, "10.9.9.2", 0)
			d.Network.Forwards[0].Disabled = true
		},
		"no VPN": func(d *Document) {
			forward(d, "udp", 51820, 51820, "192.168.7.9", 0)
			d.WireGuard.Enabled = new(bool)
		},
	} {
		d := oak()
		d.WireGuard.Subnet = netip.MustParsePrefix("10.9.9.0/24")
		edit(d)
		if err := Resolve(d, Env{}).Validate(); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func forward(d *Document, protocol string, port, last uint16, to string, toPort uint16) {
	lan(d)
	d.Network.Forwards = []PortForward{{Name: "game", Protocol: protocol, Port: port, Last: last, To: netip.MustParseAddr(to), ToPort: toPort}}
}
