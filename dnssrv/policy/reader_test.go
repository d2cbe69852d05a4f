package policy

import (
	"slices"
	"strings"
	"testing"

	"github.com/miekg/dns"

	"pic/core/config"
)

// decided is what a list says of a name, in words.
func decided(t *testing.T, v *View, question string) string {
	t.Helper()
	name, typ, _ := strings.Cut(question, " ")
	code := dns.TypeA
	if typ != "" {
		code = dns.StringToType[typ]
	}
	d := v.Decide(wire(t, name), code)
	out := [...]string{"-", "allow", "block", "rewrite"}[d.Action]
	for _, a := range d.Addrs {
		out += " " + a.String()
	}
	if d.Target != "" {
		out += " " + textOf(d.Target)
	}
	if d.Action == Rewrite && d.Rcode != 0 {
		out += " " + dns.RcodeToString[d.Rcode]
	}
	if d.Rule != "" {
		out += ": " + d.Rule
	}
	return out
}

func viewOf(t *testing.T, lists ...string) (*View, Stats) {
	t.Helper()
	s, err := newShelf(10)
	if err != nil {
		t.Fatal(err)
	}
	var conf Config
	var all Stats
	for i, text := range lists {
		url := string(rune('a' + i))
		st, err := s.add(url, strings.NewReader(text))
		if err != nil {
			t.Fatal(err)
		}
		all.Rules += st.Rules
		all.Foreign += st.Foreign
		all.Skipped += st.Skipped
		all.Samples = append(all.Samples, st.Samples...)
		conf.Filter.Lists = append(conf.Filter.Lists, config.List{Name: url, URL: url, Rewrite: true})
	}
	lib, err := s.library()
	if err != nil {
		t.Fatal(err)
	}
	return newSet(must(t, conf), lib, nil, never, noon).View(client1, ""), all
}

func TestListsMeanWhatTheySay(t *testing.T) {
	for name, tt := range map[string]struct {
		list string
		want map[string]string
		st   Stats // without samples
	}{
		"hosts": {
			"\ufeff# Title: x\n127.0.0.1 localhost\n::1 ip6-localhost\n0.0.0.0 0.0.0.0\r\n0.0.0.0 A.test b.test ## both\n0.0.0.0 d.test#x y.test\n### title ###\n:: c.test\n192.0.2.7 nas.test\n2001:db8::7 nas.test\n192.0.2.8 nas.test\n0.0.0.0 bad!name.test",
			map[string]string{
				"a.test": "block: 0.0.0.0 a.test", "b.test": "block: 0.0.0.0 b.test", "x.a.test": "-", "c.test": "block: 0.0.0.0 c.test", "d.test": "block: 0.0.0.0 d.test", "y.test": "block: 0.0.0.0 y.test", "localhost": "-",
				"nas.test": "rewrite 192.0.2.7 192.0.2.8: 192.0.2.7 nas.test", "nas.test AAAA": "rewrite 2001:db8::7: 192.0.2.7 nas.test", "nas.test MX": "-",
			},
			Stats{Rules: 8, Skipped: 1},
		},
		"names": {
			"a.test\nB.test.  # note\n*.note.test ## note\n||note2.test^ # note\n*.star.test\n.dot.test\nbücher.test\n1.2.3.4\nword\nfour.words.of.test are none\nx..y\n",
			map[string]string{
				"a.test": "block: a.test", "x.a.test": "-", "b.test": "block: b.test", "star.test": "block: *.star.test", "x.star.test": "block: *.star.test",
				"y.dot.test": "block: *.dot.test", "note.test": "block: *.note.test", "xn--bcher-kva.test": "block: xn--bcher-kva.test", "word": "-",
			},
			Stats{Rules: 6, Skipped: 5},
		},
		"adblock": {
			"[Adblock Plus 2.0]\n! Title\n||a.test^\n@@||ok.a.test^\n||b.test^$important\n@@||b.test^\n|c.test^\n@@||c.test|\n||d.test^$all\n||pre.\nmid-*\n||e*.test^\n.gif.test^|\n" +
				"||typed.test^$dnstype=~A\n||not.test^$dnstype=A|AAAA\n||tld^$denyallow=good.tld|fine.tld\n/^x\\d+\\./\n/LOUD[.]/$important\n@@/^x9\\./\n",
			map[string]string{
				"a.test": "block: ||a.test^", "z.a.test": "block: ||a.test^", "x.ok.a.test": "allow: @@||ok.a.test^", "b.test": "block: ||b.test^$important",
				"c.test": "allow: @@||c.test^", "d.test": "block: ||d.test^", "w.pre.x": "block: ||pre.", "wpre.x": "-", "a.mid-b.test": "block: mid-*",
				"eee.test": "block: ||e*.test^", "x.e1.test": "block: ||e*.test^", "fe1.test": "-", "e.testing": "-", "a.gif.test": "block: .gif.test^|",
				"typed.test": "-", "typed.test HTTPS": "block: ||typed.test^$dnstype=~A", "not.test HTTPS": "-", "not.test AAAA": "block: ||not.test^$dnstype=A|AAAA",
				"tld": "block: ||tld^$denyallow=good.tld|fine.tld", "a.tld": "block: ||tld^$denyallow=good.tld|fine.tld", "a.good.tld": "-", "fine.tld": "-",
				"x12.test": `block: /^x\d+\./`, "ax12.test": "-", "x9.test": `allow: @@/^x9\./`, "x.loud.test": "block: /LOUD[.]/$important",
			},
			Stats{Rules: 17},
		},
		"for browsers": {
			"example.com##.ad\n##.banner\nexample.com#@#.ad\n||a.test/ads/*\n||b.test^$script\n||c.test^$third-party,domain=x.test\n/(?=look)ahead/\n*\n||^\n/.*/\n||ok.test^",
			map[string]string{"a.test": "-", "b.test": "-", "c.test": "-", "example.com": "-", "ok.test": "block: ||ok.test^"},
			Stats{Rules: 1, Foreign: 4, Skipped: 6},
		},
		"taken back": {
			"||a.test^\n||a.test^$badfilter\n||b.test^$important,dnstype=A\n||b.test^$dnstype=A,important,badfilter\n||c.test^\n|c.test^$badfilter\n",
			map[string]string{"a.test": "-", "b.test": "-", "c.test": "block: ||c.test^"},
			Stats{Rules: 6},
		},
		"dnsrewrite": {
			"||a.test^$dnsrewrite=192.0.2.1\n||b.test^$dnsrewrite=x.example\n||c.test^$dnsrewrite=NXDOMAIN\n||d.test^$dnsrewrite=NOERROR;A;192.0.2.2\n||d.test^$dnsrewrite=NOERROR;AAAA;2001:db8::2\n" +
				"||e.test^$dnsrewrite=REFUSED;;\n||f.test^$dnsrewrite=NOERROR;;\n||g.test^$dnsrewrite=NOERROR;CNAME;y.example\n||h.test^$dnsrewrite=NOERROR;TXT;x\n@@||ok.a.test^\n||i.test^$dnsrewrite=300.1.1.1\n",
			map[string]string{
				"a.test": "rewrite 192.0.2.1: ||a.test^$dnsrewrite=192.0.2.1", "a.test AAAA": "rewrite: ||a.test^$dnsrewrite=192.0.2.1", "a.test HTTPS": "rewrite: ||a.test^$dnsrewrite=192.0.2.1", "a.test TXT": "-",
				"b.test": "rewrite x.example: ||b.test^$dnsrewrite=x.example", "c.test MX": "rewrite NXDOMAIN: ||c.test^$dnsrewrite=NXDOMAIN",
				"d.test AAAA": "rewrite 2001:db8::2: ||d.test^$dnsrewrite=NOERROR;A;192.0.2.2", "e.test": "rewrite REFUSED: ||e.test^$dnsrewrite=REFUSED;;",
				"f.test": "rewrite: ||f.test^$dnsrewrite=NOERROR;;", "g.test": "rewrite y.example: ||g.test^$dnsrewrite=NOERROR;CNAME;y.example", "h.test": "-", "ok.a.test": "allow: @@||ok.a.test^",
			},
			Stats{Rules: 9, Skipped: 2},
		},
		"policy zone": {
			"$TTL 300\n@ IN SOA localhost. root.localhost. (\n 1 ; serial\n 2 3 4 5 )\n  IN NS localhost.\n$ORIGIN rpz.example.\n; comment\na.test CNAME .\n*.a.test 60 IN CNAME .\nok.a.test IN 60 CNAME rpz-passthru.\n" +
				"b.test CNAME *.\nc.test.rpz.example. CNAME rpz-drop.\n*.d.test CNAME rpz-passthru.\nbad.d.test CNAME .\nw.test CNAME garden.example.\nloc.test A 192.0.2.5\n  AAAA 2001:db8::5\n" +
				"32.1.2.0.192.rpz-ip CNAME .\ntcp.test CNAME rpz-tcp-only.\ntxt.test TXT \"x\"\nother.test.other. CNAME .\n*.wild.test CNAME *.garden.example.\n",
			map[string]string{
				"a.test": "block: a.test CNAME .", "x.a.test": "block: *.a.test CNAME .", "ok.a.test": "allow: ok.a.test CNAME rpz-passthru.", "b.test": "block: b.test CNAME .", "c.test": "block: c.test CNAME .",
				"d.test": "-", "x.d.test": "allow: *.d.test CNAME rpz-passthru.", "bad.d.test": "block: bad.d.test CNAME .", // the closest counts
				"w.test": "rewrite garden.example: w.test CNAME garden.example.", "loc.test": "rewrite 192.0.2.5: loc.test A 192.0.2.5", "loc.test AAAA": "rewrite 2001:db8::5: loc.test A 192.0.2.5",
				"tcp.test": "-", "txt.test": "-",
			},
			Stats{Rules: 10, Skipped: 5},
		},
		"policy records without a zone": {
			"a.test CNAME .\n*.a.test 60 IN CNAME .\n", map[string]string{"a.test": "block: a.test CNAME .", "b.a.test": "block: *.a.test CNAME ."}, Stats{Rules: 2},
		},
		"junk": {
			strings.Repeat("x", 5000) + "\n" + strings.Repeat("||"+strings.Repeat("a", 64)+".test^\n", 8) + "last.test", map[string]string{"last.test": "block: last.test"}, Stats{Rules: 1, Skipped: 9},
		},
	} {
		t.Run(name, func(t *testing.T) {
			v, st := viewOf(t, tt.list)
			samples := st.Samples
			st.Samples = nil
			if st.Rules != tt.st.Rules || st.Foreign != tt.st.Foreign || st.Skipped != tt.st.Skipped {
				t.Errorf("got %+v, want %+v: %s", st, tt.st, strings.Join(samples, "\n"))
			}
			for q, want := range tt.want {
				if got := decided(t, v, q); got != want {
					t.Errorf("%s: got %s, want %s", q, got, want)
				}
			}
		})
	}
}

func TestListsTellWhatTheyCouldNotFollow(t *testing.T) {
	_, st := viewOf(t, "! fine\n||a.test^$removeparam=x\n")
	want := []string{`line 2: ||a.test^$removeparam=x: the option "removeparam" is not one for names`}
	if !slices.Equal(st.Samples, want) {
		t.Errorf("got %q, want %q", st.Samples, want)
	}
}

// What hostile lists hold is bounded, and none of it reaches a terminal raw.
func TestFullRulesAreBounded(t *testing.T) {
	var text strings.Builder
	long := "||" + strings.Repeat("a", 60) + ".test^$denyallow=" + strings.Repeat(strings.Repeat("b", 60)+".test|", 12) + "c"
	for range 20_000 {
		text.WriteString(long + "\n")
	}
	_, st := viewOf(t, text.String())
	if most := maxRoom / 400; st.Rules > most || st.Rules < 1000 || st.Rules+st.Skipped != 20_000 {
		t.Errorf("got %d rules, %d skipped", st.Rules, st.Skipped)
	}
	for _, s := range []string{"||a.test^$client=\x1b[31m", "||a.test^$client=\xff", "||" + strings.Repeat("*a", 600)} {
		if _, err := parseAdblock(s); err == nil {
			t.Errorf("%.20q is taken", s)
		}
	}
}

func TestExpressionsAreBounded(t *testing.T) {
	for name, text := range map[string]string{
		"long":   "/" + strings.Repeat("a", 600) + "/",
		"slow":   "/((a{30}){30}){30}/",
		"broken": "/(/",
	} {
		if _, err := parseAdblock(text); err == nil {
			t.Errorf("%s is taken", name)
		}
	}
	var text strings.Builder
	for range maxPatterns + 5 {
		text.WriteString("/^a[0-9]+$/\n")
	}
	for range maxScanned + 5 {
		text.WriteString("||a*b^\n")
	}
	if _, st := viewOf(t, text.String()); st.Rules != maxPatterns+maxScanned || st.Skipped != 10 {
		t.Errorf("got %d rules, %d skipped", st.Rules, st.Skipped)
	}
}
