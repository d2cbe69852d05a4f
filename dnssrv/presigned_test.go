package dnssrv

import (
	"fmt"
	"maps"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/miekg/dns"

	"pic/internal/nettest"
)

const elm = `$TTL 300
@ IN SOA ns.elm.home.arpa. hostmaster.elm.home.arpa. 7 3600 600 604800 60
@ NS ns
ns A 192.168.1.2
www A 192.168.1.3
alias CNAME www
a.b.c TXT "text"
*.apps A 192.168.1.4
*.more CNAME www
sub NS ns.sub
ns.sub A 192.168.1.5
old DNAME elsewhere.home.arpa.
`

// signedElsewhere is elm, signed by BIND's tools, and the anchor file for it.
func signedElsewhere(t *testing.T, how ...string) (z *zone, anchors string) {
	t.Helper()
	dir := t.TempDir()
	run := func(tool string, args ...string) {
		t.Helper()
		cmd := exec.Command(nettest.Tool(t, tool), args...)
		cmd.Dir = dir
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Fatalf("%s: %v\n%s", tool, err, out)
		}
	}
	if err := os.WriteFile(filepath.Join(dir, "elm"), []byte(elm), 0o644); err != nil {
		t.Fatal(err)
	}
	run("dnssec-keygen", "-q", "-a", "ECDSAP256SHA256", "-f", "KSK", "elm.home.arpa")
	run("dnssec-keygen", "-q", "-a", "ECDSAP256SHA256", "elm.home.arpa")
	run("dnssec-signzone", append(how, "-S", "-o", "elm.home.arpa", "elm")...)
	text, err := os.ReadFile(filepath.Join(dir, "elm.signed"))
	if err != nil {
		t.Fatal(err)
	}
	apex := mustName("elm.home.arpa")
	zp := dns.NewZoneParser(strings.NewReader(string(text)), "elm.home.arpa.", "")
	var b builder
	b.table = &table{zones: map[name]*zone{}}
	z = newZone(apex, nil)
	z.kind = Secondary
	for rr, ok := zp.Next(); ok; rr, ok = zp.Next() {
		if soa, is := rr.(*dns.SOA); is {
			z.soa = soa
		}
		if k, is := rr.(*dns.DNSKEY); is && k.Flags&dns.SEP != 0 {
			ds := k.ToDS(dns.SHA256)
			anchors = fmt.Sprintf("trust-anchors { elm.home.arpa. static-ds %d %d %d %q; };\n", ds.KeyTag, ds.Algorithm, ds.DigestType, ds.Digest)
		}
		b.set(z, rr)
	}
	if err := zp.Err(); err != nil {
		t.Fatal(err)
	}
	z.sort()
	path := filepath.Join(dir, "ta.conf")
	if err := os.WriteFile(path, []byte(anchors), 0o644); err != nil {
		t.Fatal(err)
	}
	return z, path
}

// A zone that others signed is as good here as it is there.
func TestZonesSignedElsewhereStayValid(t *testing.T) {
	for name, how := range map[string][]string{
		"NSEC": nil, "NSEC3": {"-3", "-"}, "NSEC3 with salt": {"-3", "abcd", "-H", "5"}, "NSEC3 opt-out": {"-3", "-", "-A"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			z, anchors := signedElsewhere(t, how...)
			s := start(t, conf(lab()), nil)
			tab := *s.table.Load()
			tab.zones = maps.Clone(tab.zones)
			tab.zones[z.apex] = z
			s.table.Store(&tab)
			host, port, _ := net.SplitHostPort(s.at(t, "udp"))
			for question, want := range map[string]string{
				"www.elm.home.arpa A":      "; fully validated",
				"alias.elm.home.arpa A":    "; fully validated",
				"nope.elm.home.arpa A":     "; negative response, fully validated",
				"x.www.elm.home.arpa A":    "; negative response, fully validated",
				"www.elm.home.arpa TXT":    "; negative response, fully validated",
				"b.c.elm.home.arpa TXT":    "; negative response, fully validated",
				"x.y.apps.elm.home.arpa A": "; fully validated",
				"x.apps.elm.home.arpa TXT": "; negative response, fully validated",
				"x.more.elm.home.arpa A":   "; fully validated",
				"sub.elm.home.arpa DS":     "; negative response",
				"old.elm.home.arpa DNAME":  "; fully validated",
				"elm.home.arpa SOA":        "; fully validated",
			} {
				args := append([]string{"@" + host, "-p", port, "-a", anchors, "+root=elm.home.arpa"}, strings.Fields(question)...)
				out, err := exec.Command(nettest.Tool(t, "delv"), args...).CombinedOutput()
				if name == "NSEC3 opt-out" && strings.HasPrefix(question, "x.") && strings.HasSuffix(question, " A") && want[2] == 'f' {
					want = "; unsigned answer" // for all that opt-out covers (RFC 5155 §9.2)
				}
				if err != nil || !strings.Contains(string(out), want) {
					t.Errorf("delv %s: %v, no %q in\n%s", question, err, want, out)
				}
			}
			// A transfer passes it on as it is.
			if got, want := len(z.dump(s.outside())), countRecords(z); got != want {
				t.Errorf("the dump has %d records, the zone %d", got, want)
			}
		})
	}
}

func countRecords(z *zone) int {
	n := 0
	for _, at := range z.nodes {
		for _, set := range at.sets {
			n += len(set)
		}
	}
	return n
}
