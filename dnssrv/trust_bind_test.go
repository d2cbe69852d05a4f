package dnssrv

import (
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/miekg/dns"

	"pic/core/config"
	"pic/internal/nettest"
)

// A bindZone is a zone that BIND's tools sign.
type bindZone struct {
	apex    string // without the last dot; empty: the root
	records string
	sign    []string // options of dnssec-signzone; nil: not signed
	spoil   func(signed string) string
}

// bind signs the zones, each after those below it, and serves them all by named.
// It returns where, and the DS record of the root.
func bind(t *testing.T, zones []bindZone) (addr, ds string) {
	t.Helper()
	nettest.New(t).Self().Addr("lo", "127.9.9.9/32") // for resolvers look for name servers at port 53
	for _, tool := range []string{"named", "dnssec-keygen", "dnssec-signzone"} {
		nettest.Tool(t, tool)
	}
	dir := t.TempDir()
	addr = "127.9.9.9:53"
	run := func(name string, args ...string) {
		t.Helper()
		cmd := exec.Command(nettest.Tool(t, name), args...)
		cmd.Dir = dir
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Fatalf("%s %s: %v\n%s", name, strings.Join(args, " "), err, out)
		}
	}
	var conf strings.Builder
	fmt.Fprintf(&conf, "options { directory %q; listen-on { 127.9.9.9; }; listen-on-v6 { none; }; recursion no; dnssec-validation no; pid-file none; session-keyfile none; minimal-responses yes; };\ncontrols { };\n", dir)
	for _, z := range zones {
		file := filepath.Join(dir, "zone."+z.apex)
		text := "$TTL 300\n@ IN SOA ns hm 1 7200 3600 1209600 300\n@ NS ns\nns A 127.9.9.9\n" + z.records
		if err := os.WriteFile(file, []byte("$ORIGIN "+z.apex+".\n"+text), 0o644); err != nil {
			t.Fatal(err)
		}
		if z.sign != nil {
			run("dnssec-keygen", "-q", "-K", dir, "-a", "ECDSAP256SHA256", z.apex+".")
			run("dnssec-keygen", "-q", "-K", dir, "-a", "ECDSAP256SHA256", "-f", "KSK", z.apex+".")
			run("dnssec-signzone", append(append([]string{"-q", "-S", "-g", "-K", dir, "-d", dir, "-o", z.apex + "."}, z.sign...), file)...)
			file += ".signed"
		}
		if z.spoil != nil {
			b, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(file, []byte(z.spoil(string(b))), 0o644); err != nil {
				t.Fatal(err)
			}
		}
		fmt.Fprintf(&conf, "zone %q { type primary; file %q; };\n", z.apex+".", file)
	}
	path := filepath.Join(dir, "named.conf")
	if err := os.WriteFile(path, []byte(conf.String()), 0o644); err != nil {
		t.Fatal(err)
	}
	nettest.Start(t, exec.Command(nettest.Tool(t, "named"), "-g", "-n", "1", "-c", path))
	answers(t, addr, ".")
	b, err := os.ReadFile(filepath.Join(dir, "dsset-."))
	if err != nil {
		t.Fatal(err)
	}
	return addr, strings.TrimSpace(strings.Split(string(b), "\n")[0])
}

func answers(t *testing.T, addr, about string) {
	t.Helper()
	nettest.WaitFor(t, 10*time.Second, func() bool {
		c := dns.Client{Timeout: 100 * time.Millisecond}
		r, _, err := c.Exchange(new(dns.Msg).SetQuestion(about, dns.TypeSOA), addr)
		return err == nil && r.Rcode == dns.RcodeSuccess
	})
}

// recursing runs an Unbound that resolves from the root at addr and checks
// nothing.
func recursing(t *testing.T, addr string) string {
	t.Helper()
	dir, at := t.TempDir(), net.JoinHostPort("127.0.0.1", fmt.Sprint(nettest.FreePort(t)))
	_, port, _ := net.SplitHostPort(at)
	text := fmt.Sprintf(`server:
	interface: 127.0.0.1
	port: %s
	directory: %q
	chroot: ""
	username: ""
	pidfile: ""
	use-syslog: no
	do-daemonize: no
	do-not-query-localhost: no
	module-config: "iterator"
	local-zone: "example." nodefault
stub-zone:
	name: "."
	stub-addr: %s
`, port, dir, strings.Replace(addr, ":", "@", 1))
	path := filepath.Join(dir, "unbound.conf")
	if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	nettest.Start(t, exec.Command(nettest.Tool(t, "unbound"), "-c", path))
	answers(t, at, ".")
	return at
}

// The root, a top level and zones of all kinds are signed by BIND's tools and
// resolved by Unbound; dig and delv judge what the cell makes of it.
func TestZonesThatBINDSignedAreChecked(t *testing.T) {
	const www = "www A 192.0.2.1\nwww TXT x\nalias CNAME www\n*.wild A 192.0.2.2\na.b A 192.0.2.3\n"
	old := []string{"-s", "20260101000000", "-e", "20260201000000", "-P"}
	root, ds := bind(t, []bindZone{
		{apex: "good.example", records: www + "out CNAME www.three.example.\nold DNAME three.example.\nsub NS ns.sub\nns.sub A 127.9.9.9\n", sign: []string{}},
		{apex: "sub.good.example", records: www},
		{apex: "three.example", records: www, sign: []string{"-3", "ab12", "-H", "0"}},
		{apex: "open.example", records: www + "sub NS ns.sub\nns.sub A 127.9.9.9\n", sign: []string{"-3", "-", "-H", "0", "-A"}},
		{apex: "sub.open.example", records: www},
		{apex: "iter.example", records: www, sign: []string{"-3", "ab", "-H", "51"}},
		{apex: "bogus.example", records: www, sign: []string{}, spoil: func(s string) string { return strings.Replace(s, "192.0.2.1", "192.0.2.66", 1) }},
		{apex: "expired.example", records: www, sign: old},
		{apex: "plain.example", records: www},
		{apex: "example", records: delegations("good", "three", "open", "iter", "bogus", "expired", "plain"), sign: []string{"-3", "-", "-H", "0", "-A"}},
		{apex: "", records: delegations("example"), sign: []string{}},
	})
	d := lab(recursing(t, root))
	d.DNS.Validate, d.DNS.Anchors = config.ValidateAuto, []string{ds}
	s := start(t, conf(d), nil)
	judged(t, s, []verdictOfDig{
		{"www.good.example A", "NOERROR", "ad", "192.0.2.1"},
		{"www.good.example AAAA", "NOERROR", "ad", ""},
		{"nope.good.example A", "NXDOMAIN", "ad", ""},
		{"b.good.example A", "NOERROR", "ad", ""},
		{"x.wild.good.example A", "NOERROR", "ad", "192.0.2.2"},
		{"x.wild.good.example TXT", "NOERROR", "ad", ""},
		{"alias.good.example A", "NOERROR", "ad", "192.0.2.1"},
		{"out.good.example A", "NOERROR", "ad", "192.0.2.1"},
		{"www.old.good.example A", "NOERROR", "ad", "192.0.2.1"},
		{"good.example DNSKEY", "NOERROR", "ad", "DNSKEY"},
		{"good.example DS", "NOERROR", "ad", "DS"},
		{"www.sub.good.example A", "NOERROR", "", "192.0.2.1"},
		{"www.three.example A", "NOERROR", "ad", "192.0.2.1"},
		{"nope.three.example A", "NXDOMAIN", "ad", ""},
		{"www.three.example AAAA", "NOERROR", "ad", ""},
		{"x.wild.three.example A", "NOERROR", "ad", "192.0.2.2"},
		{"x.wild.three.example TXT", "NOERROR", "ad", ""},
		{"www.open.example A", "NOERROR", "ad", "192.0.2.1"},
		{"nope.open.example A", "NXDOMAIN", "", ""},
		{"www.sub.open.example A", "NOERROR", "", "192.0.2.1"},
		{"www.iter.example A", "NOERROR", "ad", "192.0.2.1"},
		{"nope.iter.example A", "NXDOMAIN", "", "EDE: 27"},
		{"www.bogus.example A", "SERVFAIL", "", "EDE: 6"},
		{"www.bogus.example A +cd", "NOERROR", "", "192.0.2.66"},
		{"www.expired.example A", "SERVFAIL", "", "EDE: 7"},
		{"www.expired.example A +cd", "NOERROR", "", "192.0.2.1"},
		{"www.plain.example A", "NOERROR", "", "192.0.2.1"},
		{"nope.plain.example A", "NXDOMAIN", "", ""},
		{"plain.example DS", "NOERROR", "", ""},
		{"nope.example A", "NXDOMAIN", "", ""},
		{"nope A", "NXDOMAIN", "ad", ""},
		{". NS", "NOERROR", "ad", ""},
	})
	f := strings.Fields(ds)
	path := filepath.Join(t.TempDir(), "ta.conf")
	text := fmt.Sprintf("trust-anchors { . static-ds %s %s %s %q; };\n", f[3], f[4], f[5], strings.Join(f[6:], ""))
	if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	host, port, _ := net.SplitHostPort(s.at(t, "udp"))
	for _, tt := range []struct{ name, typ, want string }{
		{"www.good.example", "A", "; fully validated"},
		{"nope.good.example", "A", "; negative response, fully validated"},
		{"www.good.example", "MX", "; negative response, fully validated"},
		{"x.wild.three.example", "A", "; fully validated"},
		{"out.good.example", "A", "; fully validated"},
		{"www.plain.example", "A", "; unsigned answer"},
	} {
		cmd := exec.Command(nettest.Tool(t, "delv"), "-a", path, "+root=.", "@"+host, "-p", port, tt.name, tt.typ)
		out, err := cmd.CombinedOutput()
		if err != nil || !strings.Contains(string(out), tt.want) {
			t.Errorf("delv %s %s: %v\n%s", tt.name, tt.typ, err, out)
		}
	}
	if p := s.trust.problems(); len(p) != 0 {
		t.Errorf("problems: %+v", p)
	}
}

func delegations(names ...string) string {
	out := ""
	for _, n := range names {
		out += fmt.Sprintf("%s NS ns.%s\nns.%s A 127.9.9.9\n", n, n, n)
	}
	return out
}

// A verdictOfDig is what dig is to see: a status, the flag AD or none, and a text.
type verdictOfDig struct{ args, status, ad, text string }

// judged asks each question twice with dig.
func judged(t *testing.T, s *Server, all []verdictOfDig) {
	t.Helper()
	for _, tt := range all {
		for range 2 {
			out := dig(t, s, append([]string{"+dnssec"}, strings.Fields(tt.args)...)...)
			_, flags, _ := strings.Cut(out, ";; flags: ")
			flags, _, _ = strings.Cut(flags, ";")
			ad := ""
			if strings.Contains(flags, " ad") {
				ad = "ad"
			}
			if !strings.Contains(out, "status: "+tt.status) || ad != tt.ad || !strings.Contains(out, tt.text) {
				t.Errorf("%s: want %s %q %q\n%s", tt.args, tt.status, tt.ad, tt.text, out)
			}
		}
	}
}
