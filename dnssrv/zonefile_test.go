package dnssrv

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"pic/core/config"
)

const garden = `$ORIGIN garden.home.arpa.
$TTL 1h
@	IN SOA	ns1 hostmaster 2026112401 3600 600 604800 60 ; ours is another
	IN NS	ns1
	300 IN MX	10 mail
ns1	A	192.168.1.2
	AAAA	fd00::2
mail	A	192.168.1.3
$ORIGIN beds.garden.home.arpa.
rose	7200 CNAME	ns1.garden.home.arpa.
*	TXT	( "two" ; a comment
		"strings; and a semicolon" )
$GENERATE 1-3 bed$	A	192.168.1.10$
$ORIGIN garden.home.arpa.
web	HTTPS	1 . alpn="h3,h2" port=8443
old	DNAME	elsewhere.home.arpa.
info	HINFO	"Pi" "Linux"
info	RRSIG	A 13 4 3600 20261208000000 20261124000000 1 garden.home.arpa. AAAA
info	HINFO	"Pi" "Linux"
www.example.com.	A	192.0.2.1
ch	CH TXT	"chaos"
long	1y A	192.168.1.4
now	0 A	192.168.1.5
`

func TestZoneFilesAreImported(t *testing.T) {
	records, notes, err := new(Server).Import(strings.Replace(garden, "1y", "31536000", 1), "garden.home.arpa")
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, r := range records {
		got = append(got, fmt.Sprintf("%s %d %s %s", r.Name, r.TTL, r.Type, r.Value))
	}
	want := []string{
		"@ 0 MX 10 mail.garden.home.arpa.",
		"ns1 3600 A 192.168.1.2", "ns1 3600 AAAA fd00::2", "mail 3600 A 192.168.1.3",
		"rose.beds 7200 CNAME ns1.garden.home.arpa.",
		`*.beds 3600 TXT "two" "strings; and a semicolon"`,
		"bed1.beds 3600 A 192.168.1.101", "bed2.beds 3600 A 192.168.1.102", "bed3.beds 3600 A 192.168.1.103",
		`web 3600 HTTPS 1 . alpn="h3,h2" port="8443"`, "old 3600 DNAME elsewhere.home.arpa.",
		`info 3600 TYPE13 \# 9 025069054c696e7578`,
		"long 604800 A 192.168.1.4", "now 1 A 192.168.1.5",
	}
	if !slices.Equal(got, want) {
		t.Errorf("got\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
	wantNotes := []string{
		"1 record is SOA and left out: the cell makes its own (first in line 3)",
		"1 record is NS of the zone itself and left out: the cell is its name server now (first in line 4)",
		"1 record is of DNSSEC and left out: the cell signs by itself (first in line 18)",
		"1 record is there twice (first in line 19)",
		"1 record is outside of garden.home.arpa and left out (first in line 20)",
		"1 record is not of class IN and left out (first in line 21)",
		"1 record is to be remembered for longer than a week, and now for a week (first in line 22)",
		"1 record is not to be remembered, and now for one second (first in line 23)",
	}
	if !slices.Equal(notes, wantNotes) {
		t.Errorf("got\n%s\nwant\n%s", strings.Join(notes, "\n"), strings.Join(wantNotes, "\n"))
	}
}

func TestZoneFilesWithMistakesAreRefusedByLine(t *testing.T) {
	for name, tt := range map[string]struct{ text, want string }{
		"not an address":  {"a A 192.0.2.1\nb A 192.0.2\n", `line 2, near "192.0.2": bad A A`},
		"no such type":    {"a A 192.0.2.1\n\n\nb AA x\n", "line 4"},
		"include":         {"$INCLUDE /etc/passwd\n", "line 1: $INCLUDE is not possible here"},
		"CNAME and more":  {"a CNAME b\na A 192.0.2.1\n", "line 2: a has a CNAME, and then may have no other record"},
		"bad CAA":         {"a A 192.0.2.1\n@ CAA 0 issued \"x.example\"\n", `line 2: "issued" is not a tag`},
		"odd name":        {`a\.b A 192.0.2.1` + "\n", "line 1"},
		"too many":        {strings.Repeat("a TXT b\n", maxImported+1), "line 10001: the zone file has more than 10000 records"},
		"generates":       {"$GENERATE 1-65535 a$ A 192.0.2.1\n", "the zone file has more than 10000 records"},
		"generates lines": {"x A 192.0.2.1\n$generate 1-5 a$ TXT " + strings.Repeat("x ", 400) + "\n", "line 2: a $GENERATE line may have 512 characters"},
		"generates files": {"$GENERATE 1-5 $INCLUDE /etc/passwd\n", "line 1"},
		"open quote":      {"a TXT \"b\nc\n", "line "},
		"open bracket":    {"a TXT ( b\nc\n", "line "},
		"junk":            {"\x00\x01\x02\n", "line 1"},
	} {
		t.Run(name, func(t *testing.T) {
			records, _, err := new(Server).Import(tt.text, "garden.home.arpa")
			if err == nil {
				t.Fatalf("imported %v", records)
			}
			if !strings.HasPrefix(err.Error(), "line ") || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("got %q, want %q", err, tt.want)
			}
		})
	}
	if _, _, err := new(Server).Import(strings.Repeat(" ", maxZoneFile+1), "garden.home.arpa"); err == nil {
		t.Error("a huge file was read")
	}
	if _, _, err := new(Server).Import("", "gar den"); err == nil {
		t.Error("a zone without a name was read")
	}
}

// reimported is what comes of records that are served, exported and imported.
func reimported(t testing.TB, records []config.Record) ([]config.Record, string) {
	t.Helper()
	d := oak()
	d.DNS.Zones = []config.Zone{{Name: "garden.home.arpa", Records: records}}
	tab, err := compile(From(d), 1)
	if err != nil {
		t.Fatalf("%v of %+v", err, records)
	}
	var s Server
	s.table.Store(tab)
	text, err := s.Export("garden.home.arpa")
	if err != nil {
		t.Fatal(err)
	}
	again, notes, err := s.Import(text, "garden.home.arpa")
	if err != nil {
		t.Fatalf("%v\n%s", err, text)
	}
	for _, n := range notes {
		if !strings.Contains(n, "SOA") && !strings.Contains(n, "NS of the zone itself") {
			t.Fatalf("%s\n%s", n, text)
		}
	}
	return again, text
}

func TestExportsCanBeImported(t *testing.T) {
	records, _, err := new(Server).Import(strings.Replace(garden, "1y", "31536000", 1), "garden.home.arpa")
	if err != nil {
		t.Fatal(err)
	}
	again, text := reimported(t, records)
	sortRecords := func(r []config.Record) []config.Record {
		slices.SortFunc(r, func(a, b config.Record) int { return strings.Compare(a.Name+a.Type+a.Value, b.Name+b.Type+b.Value) })
		return r
	}
	if !slices.Equal(sortRecords(records), sortRecords(slices.Clone(again))) {
		t.Errorf("got\n%+v\nwant\n%+v", again, records)
	}
	if _, second := reimported(t, again); second != text {
		t.Errorf("the second export differs:\n%s\n%s", text, second)
	}
	if !strings.HasPrefix(text, "$ORIGIN garden.home.arpa.\n$TTL 300\n@\t300\tIN\tSOA\t") || strings.Contains(text, "phone") {
		t.Errorf("got\n%s", text)
	}
}

func TestTheCellsOwnZoneIsExported(t *testing.T) {
	s := Server{names: nil}
	s.table.Store(compiled(t, oak()))
	text, err := s.Export("oak.home.arpa")
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"\nhome\t60\tIN\tA\t192.168.1.1\n", "\nlaptop.vpn\t300\tIN\tA\t10.80.1.2\n", "\n*.apps\t300\tIN\tA\t192.168.1.11\n", "\nns.sub\t300\tIN\tA\t192.168.1.12\n"} {
		if !strings.Contains(text, want) {
			t.Errorf("no %q in\n%s", want, text)
		}
	}
	if _, err := s.Export("example.com"); err == nil {
		t.Error("a zone that is not there was exported")
	}
}

// What is imported can be served, and what is served comes back from an export
// as it was. No text takes long or makes a panic.
func FuzzZoneFile(f *testing.F) {
	f.Add(garden)
	f.Add("$GENERATE 1-9/2 a${0,3,x} A 192.0.2.$\n")
	f.Add("a TXT \"\\\"\\\\\\255\"\n@ LOC 52 22 23.0 N 4 53 32.0 E -2m\n")
	f.Add("a NAPTR 10 10 \"s\" \"SIP+D2U\" \"\" _sip._udp\nb URI 10 1 \"https://example.com/\"\nc OPENPGPKEY AAAA\n")
	f.Add("a TLSA 3 1 1 " + strings.Repeat("0a", 32) + "\nb SSHFP 4 2 " + strings.Repeat("0a", 32) + "\nc SVCB 0 x\n")
	f.Fuzz(func(t *testing.T, text string) {
		records, _, err := new(Server).Import(text, "garden.home.arpa")
		if err != nil || len(records) > 100 {
			return
		}
		d := oak()
		d.DNS.Zones = []config.Zone{{Name: "garden.home.arpa", Records: records}}
		if _, err := compile(From(d), 1); err != nil {
			// Only what several records mean to each other may still be wrong.
			for _, f := range config.FieldErrors(err) {
				if !strings.Contains(f.Problem, "DNAME") && !strings.Contains(f.Problem, "DS record") {
					t.Fatalf("%v of %+v", err, records)
				}
			}
			return
		}
		again, text1 := reimported(t, records)
		if _, text2 := reimported(t, again); text1 != text2 {
			t.Fatalf("the second export differs:\n%s\n%s", text1, text2)
		}
	})
}

func TestEveryTypeHasAnExampleThatIsAccepted(t *testing.T) {
	hash := strings.Repeat("0a", 32)
	values := map[string]string{
		"A": "192.168.1.7", "AAAA": "fd00::7", "CNAME": "nas", "DNAME": "garden.home.arpa", "TXT": "some text", "MX": "10 mail",
		"SRV": "0 1 5060 phone", "CAA": `0 issue "letsencrypt.org"`, "NS": "nas", "PTR": "nas", "DS": "12345 13 2 " + hash,
		"HTTPS": "1 . alpn=h3,h2 port=443", "SVCB": "1 nas alpn=dot", "SSHFP": "4 2 " + hash, "TLSA": "3 1 1 " + hash,
		"NAPTR": `10 10 "s" "SIP+D2U" "" _sip._udp`, "URI": `10 1 "https://example.com/"`, "LOC": "52 22 23.0 N 4 53 32.0 E -2m",
		"OPENPGPKEY": "mQENBFVHm5sBCADL", "SMIMEA": "3 0 1 " + hash, "TYPE65280": `\# 2 0a01`,
	}
	for typ := range kinds {
		if values[typ] == "" {
			t.Errorf("no example of %s", typ)
		}
		if _, ferr := parseRecord(config.Record{Name: "x", Type: typ, Value: `"nonsense`}, mustName("garden.home.arpa"), 300); ferr == nil ||
			!strings.Contains(ferr.Problem, "such as") && !strings.Contains(ferr.Problem, "has a") && !strings.Contains(ferr.Problem, "has the") && !strings.Contains(ferr.Problem, "must end") {
			t.Errorf("%s: nonsense is refused with %v", typ, ferr)
		}
	}
	for typ, v := range values {
		rr, ferr := parseRecord(config.Record{Name: "x", Type: typ, Value: v}, mustName("garden.home.arpa"), 300)
		if ferr != nil {
			t.Errorf("%s %s: %v", typ, v, ferr)
			continue
		}
		if want, _ := kindOf(typ); rr.Header().Rrtype != want {
			t.Errorf("%s became %v", typ, rr)
		}
	}
}

func TestMistakesWithinValuesAreToldInASentence(t *testing.T) {
	hash := strings.Repeat("0a", 32)
	for value, want := range map[string]string{
		`CAA 1 issue "letsencrypt.org"`:      "the flag is 0, or 128",
		`CAA 0 issuer "letsencrypt.org"`:     `"issuer" is not a tag`,
		`CAA 0 issue "https://x.example"`:    "is not the domain of an authority",
		`CAA 0 issue ";"`:                    "",
		`CAA 0 iodef "admin@x.example"`:      "reports go to a mailto:",
		"HTTPS 0 .":                          "needs the name of a host",
		"HTTPS 0 nas alpn=h2":                "is an alias, and has no parameters",
		"HTTPS 0 nas":                        "",
		"HTTPS 1 . mandatory=port alpn=h2":   "port is mandatory and missing",
		"HTTPS 1 . mandatory=alpn alpn=h2":   "",
		"HTTPS 1 . port=0":                   "port cannot be 0",
		"HTTPS 1 . no-default-alpn port=443": "no-default-alpn needs alpn",
		"HTTPS 1 . port=443 port=444":        "",
		"HTTPS 1 . alpn=":                    "",
		"TLSA 4 1 1 " + hash:                 "the first number says how",
		"TLSA 3 2 1 " + hash:                 "the second number is 0",
		"TLSA 3 1 2 " + hash:                 "has 64 hexadecimal digits, and must have 128",
		"TLSA 3 1 3 " + hash:                 "3 is not a kind of hash",
		"TLSA 3 1 0 30820122":                "",
		"TLSA 3 1 0 3082012":                 "two for each byte",
		"SSHFP 5 2 " + hash:                  "the first number is the kind of key",
		"SSHFP 4 1 " + hash:                  "must have 40",
		"DS 1 0 2 " + hash:                   "the second number is the algorithm",
		"DS 1 13 3 " + hash:                  "3 is not a kind of digest",
		"SRV 0 1 0 nas":                      "the third number is the port",
		"SRV 0 0 0 .":                        "",
		"MX 10 .":                            `the value "0 ."`,
		"MX 0 .":                             "",
		`NAPTR 1 1 "u" "E2U+sip" "!x!y!" x.`: "not both",
		`TYPE65280 \# 3 0a01`:                "is not valid",
	} {
		typ, v, _ := strings.Cut(value, " ")
		_, ferr := parseRecord(config.Record{Name: "x", Type: typ, Value: v}, mustName("garden.home.arpa"), 300)
		got := ""
		if ferr != nil {
			got = ferr.Problem
		}
		if want == "" && ferr != nil && !strings.Contains(value, "port=443 port") && !strings.HasSuffix(value, "alpn=") || !strings.Contains(got, want) {
			t.Errorf("%s: got %q, want %q", value, got, want)
		}
	}
	for _, typ := range []string{"SOA", "TYPE6", "TYPE1", "TYPE41", "TYPE46", "TYPE48", "TYPE250", "TYPE255", "TYPE0", "TYPE65535", "TYPE99999", "AXFR", "RRSIG"} {
		if _, ferr := parseRecord(config.Record{Name: "x", Type: typ, Value: `\# 0`}, mustName("garden.home.arpa"), 300); ferr == nil || ferr.Path != "type" {
			t.Errorf("%s: got %v", typ, ferr)
		}
	}
}
