package dnssrv

import (
	"net/netip"
	"slices"
	"strings"
	"testing"

	"github.com/miekg/dns"

	"pic/core/config"
)

func TestBadRecordsAreRefusedByTheirPath(t *testing.T) {
	for name, tt := range map[string]struct {
		record config.Record
		path   string // below dns.records.0; empty: accepted
	}{
		"A":                     {config.Record{Name: "x", Type: "A", Value: "192.0.2.1"}, ""},
		"type in lower case":    {config.Record{Name: "x", Type: "a", Value: "192.0.2.1"}, ""},
		"name with the zone":    {config.Record{Name: "x.oak.home.arpa", Type: "A", Value: "192.0.2.1"}, ""},
		"SRV":                   {config.Record{Name: "_sip._udp", Type: "SRV", Value: "0 1 5060 phone"}, ""},
		"CAA":                   {config.Record{Name: "@", Type: "CAA", Value: `0 issue "letsencrypt.org"`}, ""},
		"HTTPS":                 {config.Record{Name: "x", Type: "HTTPS", Value: `1 . alpn="h2,h3"`}, ""},
		"long TXT":              {config.Record{Name: "x", Type: "TXT", Value: strings.Repeat("k", 600)}, ""},
		"two quoted strings":    {config.Record{Name: "x", Type: "TXT", Value: `"a" "b"`}, ""},
		"v6 in A":               {config.Record{Name: "x", Type: "A", Value: "fd00::1"}, ".value"},
		"v4 in AAAA":            {config.Record{Name: "x", Type: "AAAA", Value: "192.0.2.1"}, ".value"},
		"no value":              {config.Record{Name: "x", Type: "A"}, ".value"},
		"two values":            {config.Record{Name: "x", Type: "A", Value: "192.0.2.1 192.0.2.2"}, ".value"},
		"open quote":            {config.Record{Name: "x", Type: "TXT", Value: `"a`}, ".value"},
		"second line":           {config.Record{Name: "x", Type: "A", Value: "192.0.2.1\ny A 192.0.2.2"}, ".value"},
		"include":               {config.Record{Name: "x", Type: "A", Value: "192.0.2.1\n$INCLUDE /etc/passwd"}, ".value"},
		"directive as a name":   {config.Record{Name: "$INCLUDE", Type: "A", Value: "/etc/passwd"}, ".name"},
		"comment as a name":     {config.Record{Name: ";", Type: "A", Value: "192.0.2.1"}, ".name"},
		"no name":               {config.Record{Type: "A", Value: "192.0.2.1"}, ".name"},
		"name of another zone":  {config.Record{Name: "x.example.com.", Type: "A", Value: "192.0.2.1"}, ".name"},
		"label too long":        {config.Record{Name: strings.Repeat("x", 64), Type: "A", Value: "192.0.2.1"}, ".name"},
		"SOA":                   {config.Record{Name: "@", Type: "SOA", Value: "a b 1 1 1 1 1"}, ".type"},
		"no such type":          {config.Record{Name: "x", Type: "AA", Value: "192.0.2.1"}, ".type"},
		"TTL of a year":         {config.Record{Name: "x", Type: "A", Value: "192.0.2.1", TTL: 365 * 24 * 3600}, ".ttl"},
		"CNAME at the apex":     {config.Record{Name: "@", Type: "CNAME", Value: "nas"}, ".type"},
		"delegated wildcard":    {config.Record{Name: "*", Type: "NS", Value: "nas"}, ".type"},
		"DNAME":                 {config.Record{Name: "x", Type: "DNAME", Value: "garden.home.arpa"}, ""},
		"DNAME of a wildcard":   {config.Record{Name: "*.x", Type: "DNAME", Value: "garden.home.arpa"}, ".type"},
		"DNAME above the cell":  {config.Record{Name: "@", Type: "DNAME", Value: "garden.home.arpa"}, ".name"},
		"DS without NS":         {config.Record{Name: "x", Type: "DS", Value: "1 13 2 " + strings.Repeat("0a", 32)}, ".type"},
		"DS of the zone itself": {config.Record{Name: "@", Type: "DS", Value: "1 13 2 " + strings.Repeat("0a", 32)}, ".name"},
		"type by number":        {config.Record{Name: "x", Type: "TYPE65280", Value: `\# 2 0a01`}, ""},
		"MX without preference": {config.Record{Name: "@", Type: "MX", Value: "mail"}, ".value"},
	} {
		d := oak()
		d.DNS.Records = []config.Record{tt.record}
		err := (&Server{}).Check(t.Context(), From(d))
		var want string
		if tt.path != "" {
			want = "dns.records.0" + tt.path
		}
		if got := paths(err); got != want {
			t.Errorf("%s: got %q (%v), want %q", name, got, err, want)
		}
	}
}

// paths returns the fields that err complains of.
func paths(err error) string {
	var out []string
	for _, f := range config.FieldErrors(err) {
		out = append(out, f.Path)
	}
	return strings.Join(out, " ")
}

func TestAllThatIsWrongIsToldAtOnce(t *testing.T) {
	d := oak()
	d.DNS.Records = []config.Record{
		{Name: "x", Type: "CNAME", Value: "nas"},
		{Name: "x", Type: "A", Value: "192.0.2.1"},
		{Name: "y", Type: "A", Value: "192.0.2.1"},
		{Name: "y", Type: "A", Value: "192.0.2.1"},
		{Name: "z", Type: "TXT", Value: "a"},
		{Name: "z", Type: "CNAME", Value: "nas"},
	}
	d.DNS.Zones = []config.Zone{
		{Name: "oak.home.arpa"},
		{Name: "."},
		{Name: "a.example"},
		{Name: "A.example."},
		{Name: "b.example", Records: []config.Record{{Name: "x", Type: "A", Value: "nas"}}},
	}
	d.DNS.Records = append(d.DNS.Records,
		config.Record{Name: "d", Type: "DNAME", Value: "garden.home.arpa"},
		config.Record{Name: "d", Type: "DNAME", Value: "yard.home.arpa"},
		config.Record{Name: "x.y.d", Type: "A", Value: "192.0.2.1"},
		config.Record{Name: "d", Type: "NS", Value: "nas"})
	d.DNS.Upstreams = []string{"9.9.9.9", "[2620:fe::fe]:53", "dns.example", "192.0.2.1:0"}
	err := (&Server{}).Check(t.Context(), From(d))
	want := "dns.zones.0.name dns.zones.1.name dns.zones.3.name " +
		"dns.records.1.name dns.records.3.value dns.records.5.name dns.records.7.name dns.records.9.type " +
		"dns.zones.4.records.0.value dns.records.8.name " +
		"dns.upstreams.2 dns.upstreams.3"
	if got := paths(err); got != want {
		t.Errorf("got  %s\nwant %s\n%v", got, want, err)
	}
}

// Every record that is accepted can be asked for, and what is refused says why.
func FuzzRecord(f *testing.F) {
	for _, r := range oak().DNS.Records {
		f.Add(r.Name, r.Type, r.Value)
	}
	f.Add("x", "CAA", `0 issue "x"`)
	f.Fuzz(func(t *testing.T, owner, typ, value string) {
		d := oak()
		d.DNS.Records = []config.Record{{Name: owner, Type: typ, Value: value}}
		tab, err := compile(From(d), 1)
		if err != nil {
			if f := config.FieldErrors(err); len(f) == 0 || f[0].Problem == "" {
				t.Fatalf("refused without a reason: %v", err)
			}
			return
		}
		i := slices.IndexFunc(tab.entries, func(e Entry) bool { return e.Source == Record })
		if i < 0 {
			t.Fatal("accepted and not there")
		}
		e := tab.entries[i]
		n, err := parseName(e.Name)
		if err != nil || !n.below(mustName("oak.home.arpa")) {
			t.Fatalf("it is at %q, %v", e.Name, err)
		}
		m := moment{table: tab, who: tab.conf.asker(netip.MustParseAddr(fromLAN), netip.Addr{})}
		q, err := parse(question2wire(question{name: n, typ: kinds[strings.ToUpper(typ)]}, true))
		if err != nil {
			t.Fatal(err)
		}
		r, _, _ := m.resolve(&q)
		if len(r.answer)+len(r.ns) == 0 {
			t.Fatalf("%v is not answered: %s", e, said(r))
		}
		if err := new(dns.Msg).Unpack(message(&q, r, maxSize)); err != nil {
			t.Fatalf("%v makes a message that cannot be read: %v", e, err)
		}
	})
}
