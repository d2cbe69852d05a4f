package dnssrv

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/miekg/dns"

	"pic/core/config"
	"pic/core/names"
	"pic/internal/listen"
)

// oak is the document of a household with one of everything.
func oak() *config.Document {
	return config.Resolve(&config.Document{
		Cell:    config.Cell{Name: "oak", Mode: config.Trial, Listen: []netip.Addr{netip.IPv6Unspecified()}},
		Network: config.Network{LAN: config.Interface{Name: "eth0", Address: netip.MustParsePrefix("192.168.1.1/24")}},
		DNS: config.DNS{
			Upstreams: []string{"127.0.0.1:5399"},
			Records: []config.Record{
				{Name: "nas", Type: "A", Value: "192.168.1.9"},
				{Name: "nas", Type: "A", Value: "192.168.1.10", TTL: 60},
				{Name: "www", Type: "CNAME", Value: "nas"},
				{Name: "shop", Type: "CNAME", Value: "shop.example.net"},
				{Name: "away", Type: "CNAME", Value: "www.other.home.arpa"},
				{Name: "one", Type: "CNAME", Value: "two"},
				{Name: "two", Type: "CNAME", Value: "one"},
				{Name: "a.b.c", Type: "TXT", Value: "v=DKIM1; k=rsa"},
				{Name: "*.apps", Type: "A", Value: "192.168.1.11"},
				{Name: "real.apps", Type: "TXT", Value: "no address"},
				{Name: "*.alias", Type: "CNAME", Value: "nas"},
				{Name: "sub", Type: "NS", Value: "ns.sub.oak.home.arpa"},
				{Name: "ns.sub", Type: "A", Value: "192.168.1.12"},
				{Name: "printer", Type: "TXT", Value: "the document has this name"},
				{Name: "files", Type: "A", Value: "192.168.1.13"},
			},
			Zones: []config.Zone{{Name: "other.home.arpa", Records: []config.Record{
				{Name: "@", Type: "MX", Value: "5 mx"},
				{Name: "mx", Type: "AAAA", Value: "fd00::25"},
				{Name: "www", Type: "A", Value: "192.168.1.20"},
			}}},
		},
		WireGuard: config.WireGuard{
			Subnet:  netip.MustParsePrefix("10.80.1.0/24"),
			Subnet6: netip.MustParsePrefix("fd12:3456:789a:1::/64"),
		},
		Peers: []config.Peer{
			{Name: "laptop", Address: netip.MustParseAddr("10.80.1.2")},
			{Name: "lost", Address: netip.MustParseAddr("10.80.1.3"), Disabled: true},
		},
		DHCP:  config.DHCP{Reservations: []config.Reservation{{Name: "tv", Address: netip.MustParseAddr("192.168.1.50")}}},
		Proxy: config.Proxy{Routes: []config.Route{{Name: "photos", Upstream: "http://192.168.1.9"}, {Name: "photos.example.com", Upstream: "http://192.168.1.9"}}},
	}, config.Env{})
}

// found is a snapshot of names found out.
func found(t testing.TB) *names.Snapshot {
	t.Helper()
	r := names.New("oak.home.arpa")
	r.SetLinked([]string{"elm.example.org"})
	host := func(name, addr string) names.Host {
		return names.Host{Name: name, Addrs: []netip.Addr{netip.MustParseAddr(addr)}, TTL: time.Hour}
	}
	rejected := r.Publish(names.Leases, []names.Host{
		host("phone.lan.oak.home.arpa", "192.168.1.101"), host("phone.oak.home.arpa", "192.168.1.101"),
		host("printer.oak.home.arpa", "192.168.1.102"), host("apps.oak.home.arpa", "192.168.1.103"),
	})
	rejected = append(rejected, r.Publish(names.Links, []names.Host{host("pc.elm.example.org", "10.90.0.7")})...)
	if len(rejected) > 0 {
		t.Fatal(rejected)
	}
	return r.Snapshot()
}

const (
	fromHost = "127.0.0.1"
	fromLAN  = "192.168.1.77"
	fromVPN  = "10.80.1.2"
	fromVPN6 = "fd12:3456:789a:1::2"
)

func compiled(t testing.TB, d *config.Document) *table {
	t.Helper()
	tab, err := compile(From(d), 7)
	if err != nil {
		t.Fatal(err)
	}
	return tab
}

// said writes a reply in one line: its code, AA, and the sections' records
// without TTL and class.
func said(r reply) string {
	s := rcodeName(r.rcode)
	if r.aa {
		s += " aa"
	}
	for i, section := range [][]dns.RR{r.answer, r.ns, r.extra} {
		for _, rr := range section {
			s += [...]string{" | ", " ; ", " + "}[i] + short(rr)
		}
	}
	return s
}

func short(rr dns.RR) string {
	h := rr.Header()
	if h.Rrtype == dns.TypeSOA {
		return h.Name + " SOA"
	}
	return h.Name + " " + typeName(h.Rrtype) + " " + strings.TrimPrefix(rr.String(), h.String())
}

func TestZonesAnswerByTheRules(t *testing.T) {
	tab, snap := compiled(t, oak()), found(t)
	soa := func(zone string) string { return " ; " + zone + " SOA" }
	oakSOA := soa("oak.home.arpa.")
	for name, tt := range map[string]struct{ from, question, want string }{
		"set of two":             {fromLAN, "nas.oak.home.arpa A", "NOERROR aa | nas.oak.home.arpa. A 192.168.1.9 | nas.oak.home.arpa. A 192.168.1.10"},
		"case of the question":   {fromLAN, "NAS.Oak.home.arpa A", "NOERROR aa | NAS.Oak.home.arpa. A 192.168.1.9 | NAS.Oak.home.arpa. A 192.168.1.10"},
		"no such type":           {fromLAN, "nas.oak.home.arpa AAAA", "NOERROR aa" + oakSOA},
		"no such name":           {fromLAN, "nope.oak.home.arpa A", "NXDOMAIN aa" + oakSOA},
		"below a host":           {fromLAN, "x.nas.oak.home.arpa A", "NXDOMAIN aa" + oakSOA},
		"empty non-terminal":     {fromLAN, "c.oak.home.arpa A", "NOERROR aa" + oakSOA},
		"lan is there":           {fromLAN, "lan.oak.home.arpa A", "NOERROR aa" + oakSOA},
		"text with a semicolon":  {fromLAN, "a.b.c.oak.home.arpa TXT", `NOERROR aa | a.b.c.oak.home.arpa. TXT "v=DKIM1; k=rsa"`},
		"alias":                  {fromLAN, "www.oak.home.arpa A", "NOERROR aa | www.oak.home.arpa. CNAME nas.oak.home.arpa. | nas.oak.home.arpa. A 192.168.1.9 | nas.oak.home.arpa. A 192.168.1.10"},
		"alias itself":           {fromLAN, "www.oak.home.arpa CNAME", "NOERROR aa | www.oak.home.arpa. CNAME nas.oak.home.arpa."},
		"alias to nothing":       {fromLAN, "www.oak.home.arpa TXT", "NOERROR aa | www.oak.home.arpa. CNAME nas.oak.home.arpa." + oakSOA},
		"alias to another zone":  {fromLAN, "away.oak.home.arpa A", "NOERROR aa | away.oak.home.arpa. CNAME www.other.home.arpa. | www.other.home.arpa. A 192.168.1.20"},
		"loop of aliases":        {fromLAN, "one.oak.home.arpa A", "NOERROR aa | one.oak.home.arpa. CNAME two.oak.home.arpa. | two.oak.home.arpa. CNAME one.oak.home.arpa."},
		"wildcard":               {fromLAN, "x.apps.oak.home.arpa A", "NOERROR aa | x.apps.oak.home.arpa. A 192.168.1.11"},
		"wildcard, deeper":       {fromLAN, "x.y.apps.oak.home.arpa A", "NOERROR aa | x.y.apps.oak.home.arpa. A 192.168.1.11"},
		"wildcard, other type":   {fromLAN, "x.apps.oak.home.arpa TXT", "NOERROR aa" + oakSOA},
		"wildcard blocked":       {fromLAN, "real.apps.oak.home.arpa A", "NOERROR aa" + oakSOA},
		"wildcard blocked below": {fromLAN, "x.real.apps.oak.home.arpa A", "NXDOMAIN aa" + oakSOA},
		"wildcard of an alias":   {fromLAN, "x.alias.oak.home.arpa A", "NOERROR aa | x.alias.oak.home.arpa. CNAME nas.oak.home.arpa. | nas.oak.home.arpa. A 192.168.1.9 | nas.oak.home.arpa. A 192.168.1.10"},
		"asterisk itself":        {fromLAN, "*.apps.oak.home.arpa A", "NOERROR aa | *.apps.oak.home.arpa. A 192.168.1.11"},
		"below an asterisk":      {fromLAN, "x.*.apps.oak.home.arpa A", "NXDOMAIN aa" + oakSOA},
		"delegation":             {fromLAN, "x.sub.oak.home.arpa A", "NOERROR ; sub.oak.home.arpa. NS ns.sub.oak.home.arpa. + ns.sub.oak.home.arpa. A 192.168.1.12"},
		"delegation's glue":      {fromLAN, "ns.sub.oak.home.arpa A", "NOERROR ; sub.oak.home.arpa. NS ns.sub.oak.home.arpa. + ns.sub.oak.home.arpa. A 192.168.1.12"},
		"delegation's DS":        {fromLAN, "sub.oak.home.arpa DS", "NOERROR aa" + oakSOA},
		"apex NS":                {fromLAN, "oak.home.arpa NS", "NOERROR aa | oak.home.arpa. NS dns.oak.home.arpa. + dns.oak.home.arpa. A 192.168.1.1"},
		"apex SOA":               {fromLAN, "oak.home.arpa SOA", "NOERROR aa | oak.home.arpa. SOA"},
		"apex DS":                {fromLAN, "oak.home.arpa DS", "NOERROR aa" + soa("home.arpa.")},
		"ANY":                    {fromLAN, "nas.oak.home.arpa ANY", `NOERROR aa | nas.oak.home.arpa. HINFO "RFC8482" ""`},
		"ANY of nothing":         {fromLAN, "nope.oak.home.arpa ANY", "NXDOMAIN aa" + oakSOA},

		"cell, from itself":      {fromHost, "home.oak.home.arpa A", "NOERROR aa | home.oak.home.arpa. A 127.0.0.1"},
		"cell, from itself, v6":  {fromHost, "home.oak.home.arpa AAAA", "NOERROR aa | home.oak.home.arpa. AAAA ::1"},
		"cell, from the LAN":     {fromLAN, "oak.home.arpa A", "NOERROR aa | oak.home.arpa. A 192.168.1.1"},
		"cell, LAN has no v6":    {fromLAN, "oak.home.arpa AAAA", "NOERROR aa" + oakSOA},
		"cell, from the VPN":     {fromVPN, "mail.oak.home.arpa A", "NOERROR aa | mail.oak.home.arpa. A 10.80.1.1"},
		"cell, from the VPN, v6": {fromVPN6, "mail.oak.home.arpa AAAA", "NOERROR aa | mail.oak.home.arpa. AAAA fd12:3456:789a:1::1"},
		"cell, from a router":    {"172.16.3.3", "mail.oak.home.arpa A", "NOERROR aa | mail.oak.home.arpa. A 192.0.2.53"},
		"route":                  {fromLAN, "photos.oak.home.arpa A", "NOERROR aa | photos.oak.home.arpa. A 192.168.1.1"},
		"route elsewhere":        {fromVPN, "photos.example.com A", "NOERROR aa | photos.example.com. A 10.80.1.1"},
		"route elsewhere, HTTPS": {fromVPN, "photos.example.com HTTPS", "NOERROR aa"},
		"route elsewhere, MX":    {fromVPN, "photos.example.com MX", "elsewhere"},
		"the user's word counts": {fromVPN, "files.oak.home.arpa A", "NOERROR aa | files.oak.home.arpa. A 192.168.1.13"},
		"mail":                   {fromLAN, "oak.home.arpa MX", "NOERROR aa | oak.home.arpa. MX 10 mail.oak.home.arpa. + mail.oak.home.arpa. A 192.168.1.1"},
		"mail elsewhere":         {fromLAN, "other.home.arpa MX", "NOERROR aa | other.home.arpa. MX 5 mx.other.home.arpa. + mx.other.home.arpa. AAAA fd00::25"},
		"service":                {fromLAN, "_imaps._tcp.oak.home.arpa SRV", "NOERROR aa | _imaps._tcp.oak.home.arpa. SRV 0 1 10993 mail.oak.home.arpa. + mail.oak.home.arpa. A 192.168.1.1"},
		"service in the VPN":     {fromVPN, "_imaps._tcp.oak.home.arpa SRV", "NOERROR aa | _imaps._tcp.oak.home.arpa. SRV 0 1 993 mail.oak.home.arpa. + mail.oak.home.arpa. A 10.80.1.1 + mail.oak.home.arpa. AAAA fd12:3456:789a:1::1"},
		"service's path":         {fromVPN, "_caldavs._tcp.oak.home.arpa TXT", `NOERROR aa | _caldavs._tcp.oak.home.arpa. TXT "path=/dav/"`},

		"peer":                    {fromVPN, "laptop.vpn.oak.home.arpa A", "NOERROR aa | laptop.vpn.oak.home.arpa. A 10.80.1.2"},
		"peer, v6":                {fromVPN, "laptop.vpn.oak.home.arpa AAAA", "NOERROR aa | laptop.vpn.oak.home.arpa. AAAA fd12:3456:789a:1::2"},
		"peer switched off":       {fromVPN, "lost.vpn.oak.home.arpa A", "NXDOMAIN aa" + oakSOA},
		"reservation":             {fromLAN, "tv.oak.home.arpa A", "NOERROR aa | tv.oak.home.arpa. A 192.168.1.50"},
		"reservation in lan":      {fromLAN, "tv.lan.oak.home.arpa A", "NOERROR aa | tv.lan.oak.home.arpa. A 192.168.1.50"},
		"lease":                   {fromLAN, "phone.oak.home.arpa A", "NOERROR aa | phone.oak.home.arpa. A 192.168.1.101"},
		"lease has no v6":         {fromLAN, "phone.oak.home.arpa AAAA", "NOERROR aa" + oakSOA},
		"document beats lease":    {fromLAN, "printer.oak.home.arpa A", "NOERROR aa" + oakSOA},
		"lease at a non-terminal": {fromLAN, "apps.oak.home.arpa A", "NOERROR aa | apps.oak.home.arpa. A 192.168.1.103"},
		"host of a link":          {fromLAN, "pc.elm.example.org A", "NOERROR | pc.elm.example.org. A 10.90.0.7"},
		"nobody of a link":        {fromLAN, "nope.elm.example.org A", "elsewhere"},

		"reverse of the cell":      {fromVPN, "1.1.80.10.in-addr.arpa PTR", "NOERROR aa | 1.1.80.10.in-addr.arpa. PTR home.oak.home.arpa."},
		"reverse of the LAN's":     {fromLAN, "1.1.168.192.in-addr.arpa PTR", "NOERROR aa | 1.1.168.192.in-addr.arpa. PTR home.oak.home.arpa."},
		"reverse of loopback":      {fromHost, "1.0.0.127.in-addr.arpa PTR", "NOERROR aa | 1.0.0.127.in-addr.arpa. PTR home.oak.home.arpa."},
		"reverse of a peer":        {fromVPN, "2.1.80.10.in-addr.arpa PTR", "NOERROR aa | 2.1.80.10.in-addr.arpa. PTR laptop.vpn.oak.home.arpa."},
		"reverse of a peer, v6":    {fromVPN, "2.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.1.0.0.0.a.9.8.7.6.5.4.3.2.1.d.f.ip6.arpa PTR", "NOERROR aa | 2.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.1.0.0.0.a.9.8.7.6.5.4.3.2.1.d.f.ip6.arpa. PTR laptop.vpn.oak.home.arpa."},
		"reverse of a reservation": {fromLAN, "50.1.168.192.in-addr.arpa PTR", "NOERROR aa | 50.1.168.192.in-addr.arpa. PTR tv.lan.oak.home.arpa."},
		"reverse of a lease":       {fromLAN, "101.1.168.192.in-addr.arpa PTR", "NOERROR aa | 101.1.168.192.in-addr.arpa. PTR phone.lan.oak.home.arpa."},
		"reverse of nobody":        {fromLAN, "99.1.168.192.in-addr.arpa PTR", "NXDOMAIN aa" + soa("1.168.192.in-addr.arpa.")},
		"reverse, too deep":        {fromLAN, "9.1.1.168.192.in-addr.arpa PTR", "NXDOMAIN aa" + soa("1.168.192.in-addr.arpa.")},
		"reverse, apex":            {fromLAN, "1.168.192.in-addr.arpa NS", "NOERROR aa | 1.168.192.in-addr.arpa. NS dns.oak.home.arpa. + dns.oak.home.arpa. A 192.168.1.1"},
		"reverse, no PTR":          {fromLAN, "50.1.168.192.in-addr.arpa A", "NOERROR aa" + soa("1.168.192.in-addr.arpa.")},
		"reverse, above":           {fromLAN, "80.10.in-addr.arpa PTR", "NOERROR aa" + soa("10.in-addr.arpa.")},
		"reverse, above a link's":  {fromLAN, "90.10.in-addr.arpa PTR", "NOERROR aa" + soa("10.in-addr.arpa.")},
		"reverse, private":         {fromLAN, "7.7.7.10.in-addr.arpa PTR", "NXDOMAIN aa" + soa("10.in-addr.arpa.")},
		"reverse, public":          {fromLAN, "8.8.8.8.in-addr.arpa PTR", "elsewhere"},
		"reverse, public above":    {fromLAN, "192.in-addr.arpa NS", "elsewhere"},
		"reverse, not octets":      {fromLAN, "01.1.168.192.in-addr.arpa PTR", "NXDOMAIN aa" + soa("1.168.192.in-addr.arpa.")},

		"localhost":       {fromLAN, "localhost A", "NOERROR aa | localhost. A 127.0.0.1"},
		"below localhost": {fromLAN, "x.localhost AAAA", "NOERROR aa | x.localhost. AAAA ::1"},
		"local":           {fromLAN, "printer.local A", "NXDOMAIN aa" + soa("local.")},
		"onion":           {fromLAN, "x.onion A", "NXDOMAIN aa" + soa("onion.")},
		"invalid":         {fromLAN, "invalid A", "NOERROR aa" + soa("invalid.")},
		"home.arpa":       {fromLAN, "elm.home.arpa A", "NXDOMAIN aa" + soa("home.arpa.")},
		"DDR":             {fromLAN, "_dns.resolver.arpa A", "NOERROR aa" + soa("resolver.arpa.")},
		"resolver.arpa":   {fromLAN, "x.resolver.arpa A", "NXDOMAIN aa" + soa("resolver.arpa.")},
		"test, in a lab":  {fromLAN, "x.test A", "elsewhere"},
		"the world":       {fromLAN, "www.example.net A", "elsewhere"},
		"the root":        {fromLAN, ". NS", "elsewhere"},
	} {
		t.Run(name, func(t *testing.T) {
			qname, qtype, _ := strings.Cut(tt.question, " ")
			m := moment{table: tab, who: tab.conf.asker(netip.MustParseAddr(tt.from), netip.MustParseAddr("192.0.2.53")), snap: snap}
			r, _, ok := m.resolve(parsed(t, qname, qtype))
			got := said(r)
			if !ok {
				got = "elsewhere"
			}
			if got != tt.want {
				t.Errorf("got  %s\nwant %s", got, tt.want)
			}
		})
	}
}

// parsed returns the query for a name in the case given.
func parsed(t testing.TB, qname, qtype string) *query {
	t.Helper()
	b, err := new(dns.Msg).SetQuestion(dns.Fqdn(qname), dns.StringToType[qtype]).Pack()
	if err != nil {
		t.Fatal(err)
	}
	q, err := parse(b)
	if err != nil {
		t.Fatal(err)
	}
	return &q
}

// Records of further types, what they lead to, and ANY for those who are who
// they say.
func TestZonesAnswerFurtherTypes(t *testing.T) {
	d := signedLab()
	d.DNS.Own.Sign, d.DNS.Zones[0].Options.Sign = false, false
	d.DNS.Records = append(d.DNS.Records,
		config.Record{Name: "svc", Type: "SVCB", Value: "0 web"},
		config.Record{Name: "_sip._udp", Type: "SRV", Value: "0 0 5060 nas"},
		config.Record{Name: "_sip._udp", Type: "SRV", Value: "1 0 5060 web"},
		config.Record{Name: "_sip._udp", Type: "SRV", Value: "2 0 5060 phone.example.net"},
		config.Record{Name: "naptr", Type: "NAPTR", Value: `10 10 "s" "SIP+D2U" "" _sip._udp.oak.home.arpa.`},
	)
	m := &moment{table: compiled(t, d), snap: found(t)}
	m.who = m.conf.asker(netip.MustParseAddr(fromLAN), netip.Addr{})
	soa := " ; oak.home.arpa. SOA"
	for name, tt := range map[string]struct{ question, want string }{
		"DNAME":           {"old.oak.home.arpa DNAME", "NOERROR aa | old.oak.home.arpa. DNAME other.home.arpa."},
		"DNAME's own":     {"old.oak.home.arpa A", "NOERROR aa" + soa},
		"below":           {"WWW.old.oak.home.arpa A", "NOERROR aa | old.oak.home.arpa. DNAME other.home.arpa. | WWW.old.oak.home.arpa. CNAME www.other.home.arpa. | www.other.home.arpa. A 192.168.1.20"},
		"below, CNAME":    {"www.old.oak.home.arpa CNAME", "NOERROR aa | old.oak.home.arpa. DNAME other.home.arpa. | www.old.oak.home.arpa. CNAME www.other.home.arpa."},
		"below, deeper":   {"a.b.old.oak.home.arpa A", "NXDOMAIN aa | old.oak.home.arpa. DNAME other.home.arpa. | a.b.old.oak.home.arpa. CNAME a.b.other.home.arpa. ; other.home.arpa. SOA"},
		"too long":        {strings.Repeat("x.", 30) + "deep.oak.home.arpa A", "YXDOMAIN aa | deep.oak.home.arpa. DNAME " + strings.Repeat("d.", 100) + "home.arpa."},
		"HTTPS":           {"web.oak.home.arpa HTTPS", `NOERROR aa | web.oak.home.arpa. HTTPS 1 . alpn="h2" + web.oak.home.arpa. AAAA fd00::80`},
		"SVCB alias":      {"svc.oak.home.arpa SVCB", "NOERROR aa | svc.oak.home.arpa. SVCB 0 web.oak.home.arpa."},
		"SRV":             {"_sip._udp.oak.home.arpa SRV", "NOERROR aa | _sip._udp.oak.home.arpa. SRV 0 0 5060 nas.oak.home.arpa. | _sip._udp.oak.home.arpa. SRV 1 0 5060 web.oak.home.arpa. | _sip._udp.oak.home.arpa. SRV 2 0 5060 phone.example.net. + nas.oak.home.arpa. A 192.168.1.9 + nas.oak.home.arpa. A 192.168.1.10 + web.oak.home.arpa. AAAA fd00::80"},
		"NAPTR":           {"naptr.oak.home.arpa NAPTR", `NOERROR aa | naptr.oak.home.arpa. NAPTR 10 10 "s" "SIP+D2U" "" _sip._udp.oak.home.arpa.`},
		"DS":              {"safe.oak.home.arpa DS", "NOERROR aa | safe.oak.home.arpa. DS 12345 13 2 " + strings.ToUpper(strings.Repeat("0a", 32))},
		"RRSIG, unsigned": {"nas.oak.home.arpa RRSIG", "NOERROR aa" + soa},
		"NSEC, unsigned":  {"nas.oak.home.arpa NSEC", "NOERROR aa" + soa},
		"reverse":         {"9.1.168.192.in-addr.arpa PTR", "NOERROR aa | 9.1.168.192.in-addr.arpa. PTR nas.oak.home.arpa."},
		"zone below":      {"fine.oak.home.arpa NS", "NOERROR aa | fine.oak.home.arpa. NS dns.oak.home.arpa. + dns.oak.home.arpa. A 192.168.1.1"},
	} {
		t.Run(name, func(t *testing.T) {
			qname, qtype, _ := strings.Cut(tt.question, " ")
			r, _, _ := m.resolve(parsed(t, qname, qtype))
			if got := said(r); got != tt.want {
				t.Errorf("got  %s\nwant %s", got, tt.want)
			}
		})
	}
	m.whole = true
	r, _, _ := m.resolve(parsed(t, "web.oak.home.arpa", "ANY"))
	if got, want := said(r), `NOERROR aa | web.oak.home.arpa. AAAA fd00::80 | web.oak.home.arpa. HTTPS 1 . alpn="h2" + web.oak.home.arpa. AAAA fd00::80`; got != want {
		t.Errorf("ANY in full: got %s", got)
	}
}

func TestAddressesOfOthersGoBeforeAnAnswerIsCut(t *testing.T) {
	d := oak()
	for i := range 16 {
		d.DNS.Records = append(d.DNS.Records,
			config.Record{Name: "many", Type: "MX", Value: fmt.Sprintf("%d host-with-a-long-name-%02d", i, i)},
			config.Record{Name: fmt.Sprintf("host-with-a-long-name-%02d", i), Type: "AAAA", Value: fmt.Sprintf("fd00::%d", i+1)})
	}
	m := &moment{table: compiled(t, d)}
	q := parsed(t, "many.oak.home.arpa", "MX")
	r, _, _ := m.resolve(q)
	var whole, small dns.Msg
	if err := whole.Unpack(message(q, r, maxSize)); err != nil || len(whole.Extra) != 16 {
		t.Fatalf("got %d addresses, %v", len(whole.Extra), err)
	}
	if err := small.Unpack(message(q, r, len(message(q, r, maxSize))-100)); err != nil || small.Truncated || len(small.Answer) != 16 || len(small.Extra) != 0 {
		t.Errorf("got %v, %v", &small, err)
	}
}

func TestAnAliasOutOfTheZonesIsLeftToOthers(t *testing.T) {
	m := moment{table: compiled(t, oak())}
	r, last, ok := m.resolve(parsed(t, "shop.oak.home.arpa", "A"))
	if ok || last.String() != "shop.example.net." || said(r) != "NOERROR aa | shop.oak.home.arpa. CNAME shop.example.net." {
		t.Errorf("got %s, %s, %v", said(r), last, ok)
	}
}

func TestNegativeAnswersLiveForTheMinimum(t *testing.T) {
	m := moment{table: compiled(t, oak())}
	r, _, _ := m.resolve(parsed(t, "nope.oak.home.arpa", "A"))
	if soa := r.ns[0].(*dns.SOA); soa.Hdr.Ttl != negativeTTL || soa.Minttl != negativeTTL || soa.Serial != 7 {
		t.Errorf("got %v", soa)
	}
}

func TestRecordsOfASetShareTheLeastTTL(t *testing.T) {
	m := moment{table: compiled(t, oak())}
	r, _, _ := m.resolve(parsed(t, "nas.oak.home.arpa", "A"))
	for _, rr := range r.answer {
		if rr.Header().Ttl != 60 {
			t.Errorf("got %v", rr)
		}
	}
}

func TestOffIsAnEmptyConfig(t *testing.T) {
	d := oak()
	d.DNS.Enabled = new(bool)
	if c := From(d); c.Sockets != nil || c.Domain != "" {
		t.Errorf("got %v", c)
	}
	s := New(Options{Log: slog.New(slog.DiscardHandler), Pool: listen.NewPool(nil)})
	if err := errors.Join(s.Check(context.Background(), Config{}), s.Apply(context.Background(), Config{})); err != nil {
		t.Error(err)
	}
	if p := s.Problems(); p != nil {
		t.Errorf("it is off and complains: %v", p)
	}
}
