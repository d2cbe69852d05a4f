package dnssrv

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"pic/core/config"
	"pic/internal/nettest"
)

// A knotZone is a zone that Knot's tools sign.
type knotZone struct {
	apex    string // without the last dot; empty: the root
	records string
	sign    []string      // settings of its policy; nil: not signed
	ago     time.Duration // when it was signed
	spoil   func(signed string) string
}

// knot signs the zones, which are given with those below first, has their DS
// records in the zones above and serves them all by knotd. It returns where, and
// the DS record of the root.
func knot(t *testing.T, zones []knotZone) (addr, ds string) {
	t.Helper()
	nettest.NeedNamespace(t) // for resolvers look for name servers at port 53
	dir := t.TempDir()
	run := func(name string, args ...string) string {
		t.Helper()
		cmd := exec.Command(nettest.Tool(t, name), args...)
		out, err := cmd.CombinedOutput()
		if err != nil {
			t.Fatalf("%s %s: %v\n%s", name, strings.Join(args, " "), err, out)
		}
		return string(out)
	}
	above := map[string]string{} // DS records by the zone that has them
	served := ""
	for i, z := range zones {
		name, text := fmt.Sprintf("%d.zone", i), "$ORIGIN "+z.apex+".\n$TTL 300\n@ SOA ns hm 1 7200 3600 1209600 300\n@ NS ns\nns A 127.9.9.9\n"+z.records+above[z.apex]
		file := filepath.Join(dir, name)
		if err := os.WriteFile(file, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
		if z.sign != nil {
			conf := filepath.Join(dir, fmt.Sprintf("%d.conf", i))
			text := fmt.Sprintf("database:\n  storage: %[1]s\npolicy:\n- id: p\n  manual: on\n%[2]szone:\n- domain: %[3]s.\n  storage: %[1]s\n  file: %[4]s\n  dnssec-signing: on\n  dnssec-policy: p\n",
				dir, indented(z.sign), z.apex, name)
			if err := os.WriteFile(conf, []byte(text), 0o644); err != nil {
				t.Fatal(err)
			}
			for _, role := range [][]string{{"ksk=yes", "zsk=no", "ready=20260101000000"}, {"ksk=no", "zsk=yes"}} {
				run("keymgr", append([]string{"-c", conf, z.apex + ".", "generate", "algorithm=ECDSAP256SHA256", "created=20260101000000", "publish=20260101000000", "active=20260101000000"}, role...)...)
			}
			out := t.TempDir()
			run("kzonesign", "-c", conf, "-o", out, "-t", fmt.Sprint(time.Now().Add(-z.ago).Unix()), z.apex+".")
			ds = strings.Split(run("keymgr", "-c", conf, z.apex+".", "ds"), "\n")[0]
			_, parent, _ := strings.Cut(z.apex, ".")
			above[parent] += ds + "\n"
			file = filepath.Join(out, name)
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
		served += fmt.Sprintf("- domain: %s.\n  file: %s\n", z.apex, file)
	}
	runServer(t, "knotd", fmt.Sprintf("server:\n  listen: 127.9.9.9@53\n  rundir: %[1]s\n  udp-workers: 1\n  tcp-workers: 1\n  background-workers: 1\ndatabase:\n  storage: %[1]s\nlog:\n- target: stderr\n  any: info\ntemplate:\n- id: default\n  storage: %[1]s\n  semantic-checks: off\n  journal-content: none\n  zonefile-sync: -1\nzone:\n%[2]s",
		t.TempDir(), served), "-c", "@")
	answers(t, "127.9.9.9:53", ".")
	return "127.9.9.9:53", ds
}

func indented(lines []string) string {
	out := ""
	for _, l := range lines {
		out += "  " + l + "\n"
	}
	return out
}

// The root, a top level and zones of all kinds are signed and served by Knot, and
// resolved by Unbound; dig judges what the cell makes of it.
func TestZonesThatKnotSignedAreChecked(t *testing.T) {
	const www = "www A 192.0.2.1\nwww TXT x\nalias CNAME www\n*.wild A 192.0.2.2\na.b A 192.0.2.3\n"
	nsec3 := func(iterations int) []string {
		return []string{"nsec3: on", fmt.Sprintf("nsec3-iterations: %d", iterations), "nsec3-salt-length: 4"}
	}
	root, ds := knot(t, []knotZone{
		{apex: "sub.good.example", records: www},
		{apex: "good.example", records: www + delegations("sub"), sign: []string{}},
		{apex: "three.example", records: www, sign: nsec3(0)},
		{apex: "iter.example", records: www, sign: nsec3(51)},
		{apex: "bogus.example", records: www, sign: []string{}, spoil: func(s string) string { return strings.Replace(s, "192.0.2.1", "192.0.2.66", 1) }},
		{apex: "expired.example", records: www, sign: []string{}, ago: 60 * 24 * time.Hour},
		{apex: "plain.example", records: www},
		{apex: "example", records: delegations("good", "three", "iter", "bogus", "expired", "plain"), sign: append(nsec3(0), "nsec3-opt-out: on")},
		{apex: "", records: delegations("example"), sign: []string{}},
	})
	d := lab(recursing(t, root))
	d.DNS.Validate, d.DNS.Anchors = config.ValidateAuto, []string{ds}
	s := start(t, conf(d), nil)
	judged(t, s, []verdictOfDig{
		{"www.good.example A", "NOERROR", "ad", "192.0.2.1"},
		{"nope.good.example A", "NXDOMAIN", "ad", ""},
		{"b.good.example A", "NOERROR", "ad", ""},
		{"x.wild.good.example A", "NOERROR", "ad", "192.0.2.2"},
		{"x.wild.good.example TXT", "NOERROR", "ad", ""},
		{"alias.good.example A", "NOERROR", "ad", "192.0.2.1"},
		{"good.example DNSKEY", "NOERROR", "ad", "DNSKEY"},
		{"good.example DS", "NOERROR", "ad", "DS"},
		{"www.sub.good.example A", "NOERROR", "", "192.0.2.1"}, // no DS: insecure
		{"www.three.example A", "NOERROR", "ad", "192.0.2.1"},
		{"nope.three.example A", "NXDOMAIN", "ad", ""},
		{"x.wild.three.example A", "NOERROR", "ad", "192.0.2.2"},
		{"www.iter.example A", "NOERROR", "ad", "192.0.2.1"},
		{"nope.iter.example A", "NXDOMAIN", "", "EDE: 27"},
		{"www.iter.example AAAA", "NOERROR", "", "EDE: 27"},
		{"www.bogus.example A", "SERVFAIL", "", "EDE: 6"},
		{"www.bogus.example A +cd", "NOERROR", "", "192.0.2.66"},
		{"x.wild.bogus.example A", "NOERROR", "ad", "192.0.2.2"}, // only that one set is spoilt
		{"www.expired.example A", "SERVFAIL", "", "EDE: 7"},
		{"nope.expired.example A", "SERVFAIL", "", "EDE: 7"},
		{"www.expired.example A +cd", "NOERROR", "", "192.0.2.1"},
		{"www.plain.example A", "NOERROR", "", "192.0.2.1"},
		{"nope.plain.example A", "NXDOMAIN", "", ""},
		{"plain.example DS", "NOERROR", "", ""}, // in a span that opts out
		{"nope A", "NXDOMAIN", "ad", ""},
		{". NS", "NOERROR", "ad", ""},
	})
	if p := s.trust.problems(); len(p) != 0 {
		t.Errorf("problems: %+v", p)
	}
}
