package dnssrv

import (
	"fmt"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/miekg/dns"

	"pic/core/config"
	"pic/core/names"
	"pic/internal/nettest"
)

// unbound runs an Unbound that checks what s signs, and returns where it
// listens.
func unbound(t *testing.T, s *Server, zones ...string) string {
	t.Helper()
	dir := t.TempDir()
	l, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	l.Close()
	_, port, _ := net.SplitHostPort(l.LocalAddr().String())
	host, at, _ := net.SplitHostPort(s.at(t, "udp"))
	var conf strings.Builder
	fmt.Fprintf(&conf, `server:
	interface: 127.0.0.1
	port: %s
	directory: %q
	chroot: ""
	username: ""
	pidfile: ""
	use-syslog: no
	do-daemonize: no
	do-not-query-localhost: no
	module-config: "validator iterator"
	val-log-level: 2
	aggressive-nsec: yes
	qname-minimisation: yes
	harden-below-nxdomain: yes
	local-zone: "168.192.in-addr.arpa." nodefault
	local-zone: "home.arpa." nodefault
`, port, dir)
	for _, zone := range zones {
		for _, ds := range s.zoneInfo(t, zone).DS {
			fmt.Fprintf(&conf, "\ttrust-anchor: %q\n", ds)
		}
	}
	for _, zone := range zones {
		fmt.Fprintf(&conf, "stub-zone:\n\tname: %q\n\tstub-addr: %s@%s\n", zone, host, at)
	}
	path := filepath.Join(dir, "unbound.conf")
	if err := os.WriteFile(path, []byte(conf.String()), 0o644); err != nil {
		t.Fatal(err)
	}
	nettest.Start(t, exec.Command(nettest.Tool(t, "unbound"), "-c", path))
	addr := net.JoinHostPort("127.0.0.1", port)
	nettest.WaitFor(t, 10*time.Second, func() bool {
		c := dns.Client{Timeout: 100 * time.Millisecond}
		_, _, err := c.Exchange(new(dns.Msg).SetQuestion("localhost.", dns.TypeA), addr)
		return err == nil
	})
	return addr
}

func TestUnboundFindsEverythingSecure(t *testing.T) {
	nettest.NeedNamespace(t)
	snap := found(t)
	s := startSigned(t, conf(signedLab()), func() *names.Snapshot { return snap }, t.TempDir())
	resolver := unbound(t, s, "oak.home.arpa", "other.home.arpa", "1.168.192.in-addr.arpa")
	for name, tt := range map[string]struct{ question, want string }{
		"answer":             {"nas.oak.home.arpa A", "NOERROR ad | nas.oak.home.arpa. A 192.168.1.9 | nas.oak.home.arpa. A 192.168.1.10"},
		"no such name":       {"nope.oak.home.arpa A", "NXDOMAIN ad"},
		"below a name":       {"x.nas.oak.home.arpa A", "NXDOMAIN ad"},
		"no such type":       {"nas.oak.home.arpa TXT", "NOERROR ad"},
		"empty non-terminal": {"c.oak.home.arpa A", "NOERROR ad"},
		"there, and empty":   {"lan.oak.home.arpa AAAA", "NOERROR ad"},
		"wildcard":           {"x.y.apps.oak.home.arpa A", "NOERROR ad | x.y.apps.oak.home.arpa. A 192.168.1.11"},
		"wildcard, no type":  {"q.apps.oak.home.arpa MX", "NOERROR ad"},
		"wildcard blocked":   {"x.real.apps.oak.home.arpa A", "NXDOMAIN ad"},
		"wildcard of alias":  {"x.alias.oak.home.arpa A", "NOERROR ad | x.alias.oak.home.arpa. CNAME nas.oak.home.arpa. | nas.oak.home.arpa. A 192.168.1.9 | nas.oak.home.arpa. A 192.168.1.10"},
		"alias":              {"www.oak.home.arpa A", "NOERROR ad | www.oak.home.arpa. CNAME nas.oak.home.arpa. | nas.oak.home.arpa. A 192.168.1.9 | nas.oak.home.arpa. A 192.168.1.10"},
		"alias across zones": {"away.oak.home.arpa A", "NOERROR ad | away.oak.home.arpa. CNAME www.other.home.arpa. | www.other.home.arpa. A 192.168.1.20"},
		"DNAME":              {"www.old.oak.home.arpa A", "NOERROR ad | old.oak.home.arpa. DNAME other.home.arpa. | www.old.oak.home.arpa. CNAME www.other.home.arpa. | www.other.home.arpa. A 192.168.1.20"},
		"DNAME to nothing":   {"nope.old.oak.home.arpa A", "NXDOMAIN ad | old.oak.home.arpa. DNAME other.home.arpa. | nope.old.oak.home.arpa. CNAME nope.other.home.arpa."},
		"lease":              {"phone.oak.home.arpa A", "NOERROR ad | phone.oak.home.arpa. A 192.168.1.101"},
		"lease, no type":     {"phone.oak.home.arpa TXT", "NOERROR ad"},
		"beside a lease":     {"phone1.lan.oak.home.arpa A", "NXDOMAIN ad"},
		"the cell":           {"home.oak.home.arpa A", "NOERROR ad | home.oak.home.arpa. A 127.0.0.1"},
		"service":            {"_imaps._tcp.oak.home.arpa SRV", "NOERROR ad | _imaps._tcp.oak.home.arpa. SRV 0 1 10993 mail.oak.home.arpa."},
		"apex":               {"oak.home.arpa NS", "NOERROR ad | oak.home.arpa. NS dns.oak.home.arpa."},
		"DS":                 {"safe.oak.home.arpa DS", "NOERROR ad | safe.oak.home.arpa. DS 12345 13 2 " + strings.ToUpper(strings.Repeat("0a", 32))},
		"no DS":              {"sub.oak.home.arpa DS", "NOERROR ad"},
		"signed below":       {"x.fine.oak.home.arpa A", "NOERROR ad | x.fine.oak.home.arpa. A 192.168.1.22"},
		"nothing below":      {"y.fine.oak.home.arpa A", "NXDOMAIN ad"},
		"plain below":        {"x.plain.oak.home.arpa A", "NOERROR | x.plain.oak.home.arpa. A 192.168.1.21"},
		"reverse":            {"101.1.168.192.in-addr.arpa PTR", "NOERROR ad | 101.1.168.192.in-addr.arpa. PTR phone.lan.oak.home.arpa."},
		"reverse of a host":  {"9.1.168.192.in-addr.arpa PTR", "NOERROR ad | 9.1.168.192.in-addr.arpa. PTR nas.oak.home.arpa."},
		"reverse of nobody":  {"99.1.168.192.in-addr.arpa PTR", "NXDOMAIN ad"},
	} {
		t.Run(name, func(t *testing.T) {
			qname, qtype, _ := strings.Cut(tt.question, " ")
			m := new(dns.Msg).SetQuestion(qname+".", dns.StringToType[qtype])
			m.SetEdns0(4096, true)
			c := dns.Client{Timeout: 8 * time.Second}
			r, _, err := c.Exchange(m, resolver)
			if err != nil {
				t.Fatal(err)
			}
			got := rcodeName(r.Rcode)
			if r.AuthenticatedData {
				got += " ad"
			}
			var lines []string
			for _, rr := range r.Answer {
				if rr.Header().Rrtype != dns.TypeRRSIG {
					lines = append(lines, short(rr))
				}
			}
			// Unbound turns the records of a set around.
			if len(lines) > 1 && strings.HasSuffix(lines[len(lines)-1], "A 192.168.1.9") {
				n := len(lines)
				lines[n-1], lines[n-2] = lines[n-2], lines[n-1]
			}
			if got = strings.Join(append([]string{got}, lines...), " | "); got != tt.want {
				t.Errorf("got  %s\nwant %s", got, tt.want)
			}
		})
	}
}

// A validator notices what does not fit: here a zone that is signed by other
// keys than it was told.
func TestUnboundRefusesOtherKeys(t *testing.T) {
	nettest.NeedNamespace(t)
	d := signedLab()
	s := startSigned(t, conf(d), nil, t.TempDir())
	resolver := unbound(t, s, "oak.home.arpa")
	other := t.TempDir()
	s.keys.Rolling() // once who looks after the former ones has done so
	s.keys = newKeys(func() (o Options) { o.Log = s.log; sealing(&o, other); return o }())
	if err := s.Apply(t.Context(), conf(d)); err != nil {
		t.Fatal(err)
	}
	c := dns.Client{Timeout: 8 * time.Second}
	r, _, err := c.Exchange(new(dns.Msg).SetQuestion("nas.oak.home.arpa.", dns.TypeA), resolver)
	if err != nil || r.Rcode != dns.RcodeServerFailure {
		t.Errorf("got %v, %v", r, err)
	}
}

// What the document and the leases say is there in both directions at once, and
// gone in both.
func TestNamesComeAndGoInBothDirections(t *testing.T) {
	reg := names.New("oak.home.arpa")
	d := signedLab()
	s := startSigned(t, conf(d), reg.Snapshot, t.TempDir())
	both := func(name, addr string) string {
		rev, _ := dns.ReverseAddr(addr)
		return brief(ask(t, s, "udp", name+".", dns.TypeA, wantDO)) + brief(ask(t, s, "udp", rev, dns.TypePTR, wantDO))
	}
	check := func(name, addr string, there bool) {
		t.Helper()
		end := time.Now().Add(100 * time.Millisecond)
		for {
			got := both(name, addr)
			if is := strings.Contains(got, " A "+addr) && strings.Contains(got, " PTR "+name+"."); is == there && (there || strings.Count(got, "NXDOMAIN") == 2) {
				return
			} else if time.Now().After(end) {
				t.Fatalf("%s should be there: %v; got %s", name, there, got)
			}
		}
	}
	for range 3 {
		check("tablet.lan.oak.home.arpa", "192.168.1.150", false)
		reg.Publish(names.Leases, []names.Host{{Name: "tablet.lan.oak.home.arpa", Addrs: []netip.Addr{netip.MustParseAddr("192.168.1.150")}, TTL: time.Hour}})
		check("tablet.lan.oak.home.arpa", "192.168.1.150", true)
		reg.Publish(names.Leases, nil)
		check("tablet.lan.oak.home.arpa", "192.168.1.150", false)

		check("new.oak.home.arpa", "192.168.1.151", false)
		d.DNS.Records = append(d.DNS.Records, config.Record{Name: "new", Type: "A", Value: "192.168.1.151"})
		if err := s.Apply(t.Context(), conf(d)); err != nil {
			t.Fatal(err)
		}
		check("new.oak.home.arpa", "192.168.1.151", true)
		d.DNS.Records = d.DNS.Records[:len(d.DNS.Records)-1]
		if err := s.Apply(t.Context(), conf(d)); err != nil {
			t.Fatal(err)
		}
	}
}

// Every address that a name has leads back to a name that has the address, for
// everybody who may ask.
func TestEveryAddressLeadsBack(t *testing.T) {
	tab, snap := compiled(t, signedLab()), found(t)
	checked := 0
	for _, from := range []string{fromHost, fromLAN, fromVPN, fromVPN6} {
		who := tab.conf.asker(netip.MustParseAddr(from), netip.MustParseAddr("192.168.1.1"))
		m := &moment{table: tab, who: who, snap: snap}
		for _, z := range tab.zones {
			if z.kind != Own && z.kind != Document {
				continue
			}
			for _, rr := range z.dump(m) {
				a, ok := addressOf(rr)
				n := mustName(rr.Header().Name)
				if _, elsewhere := z.above(n, dns.TypeA); elsewhere != 0 {
					continue // glue
				}
				if !ok || strings.HasPrefix(rr.Header().Name, "*") || tab.above(reverseOfAddr(a)) == nil {
					continue
				}
				o, ok := m.local(reverseOfAddr(a), dns.TypePTR)
				if !ok || len(o.answer) != 1 {
					t.Errorf("from %s: %v leads to %s, and back to %v", from, n, a, o.answer)
					continue
				}
				target := mustName(o.answer[0].(*dns.PTR).Ptr)
				back, _ := m.local(target, rr.Header().Rrtype)
				found := false
				for _, rr := range back.answer {
					b, ok := addressOf(rr)
					found = found || ok && b == a
				}
				own := a == tab.conf.LAN.Addr() || a.IsLoopback() || strings.HasPrefix(a.String(), "10.80.1.1") || from != fromLAN && a == who.four
				if !found && !own {
					t.Errorf("from %s: %v leads to %s, and that to %v, which leads to %v", from, n, a, target, back.answer)
				}
				checked++
			}
		}
	}
	if checked < 100 {
		t.Errorf("only %d addresses were checked", checked)
	}
}

func TestDrillAndKdigAgree(t *testing.T) {
	s := startSigned(t, conf(signedLab()), nil, t.TempDir())
	host, port, _ := net.SplitHostPort(s.at(t, "udp"))
	for _, tt := range []struct {
		tool, args string
		want       []string
	}{
		{"drill", "-D www.old.oak.home.arpa A", []string{"old.oak.home.arpa.\t300\tIN\tDNAME\tother.home.arpa.", "www.old.oak.home.arpa.\t300\tIN\tCNAME\twww.other.home.arpa.", "rcode: NOERROR", "DNAME 13 4"}},
		{"drill", "-D " + strings.Repeat("long.", 15) + "deep.oak.home.arpa A", []string{"rcode: YXDOMAIN"}},
		{"drill", "x.y.apps.oak.home.arpa A", []string{"x.y.apps.oak.home.arpa.\t300\tIN\tA\t192.168.1.11"}},
		{"drill", "apps.oak.home.arpa A", []string{"rcode: NOERROR", "ANSWER: 0", "AUTHORITY: 1"}},
		{"drill", "-D x.y.apps.oak.home.arpa A", []string{"A 13 4 300", "real.apps.oak.home.arpa.\t60\tIN\tNSEC"}},
		{"kdig", "+dnssec old.oak.home.arpa A", []string{"status: NOERROR", "NSEC\t"}},
		{"kdig", "+dnssec +tcp oak.home.arpa ANY", []string{"SOA\t", "NS\t", "DNSKEY\t", "CDS\t", "MX\t", "NSEC\t", "A\t"}[:5]},
		{"kdig", "oak.home.arpa ANY", []string{"HINFO", "RFC8482"}},
		{"kdig", "+dnssec x.sub.oak.home.arpa A", []string{"AUTHORITY: 3", "sub.oak.home.arpa.  \t300\tIN\tNS\tns.sub.oak.home.arpa.", "NS RRSIG NSEC", "192.168.1.12"}},
		{"kdig", "+dnssec x.safe.oak.home.arpa A", []string{"AUTHORITY: 3", "DS\t12345 13 2", "RRSIG\tDS 13 4", "192.168.1.14"}},
		{"kdig", "+dnssec nas.oak.home.arpa RRSIG", []string{"RRSIG\tA 13 4", "RRSIG\tNSEC 13 4"}},
		{"kdig", "web.oak.home.arpa HTTPS", []string{"HTTPS\t1 . alpn=", "web.oak.home.arpa.  \t300\tIN\tAAAA\tfd00::80"}},
	} {
		args := append([]string{"@" + host, "-p", port}, strings.Fields(tt.args)...)
		out, err := exec.Command(nettest.Tool(t, tt.tool), args...).CombinedOutput()
		if err != nil {
			t.Errorf("%s %s: %v\n%s", tt.tool, tt.args, err, out)
		}
		for _, w := range tt.want {
			if !strings.Contains(string(out), w) {
				t.Errorf("%s %s: no %q in\n%s", tt.tool, tt.args, w, out)
			}
		}
	}
}

// Names found out change what there is between two names, and the proofs with it,
// while others ask.
func TestProofsFollowTheNamesFoundOut(t *testing.T) {
	var snap atomic.Pointer[names.Snapshot]
	s := startSigned(t, conf(signedLab()), snap.Load, t.TempDir())
	for i := range 20 {
		reg := names.New("oak.home.arpa")
		reg.Publish(names.Leases, []names.Host{{Name: fmt.Sprintf("m%02d.oak.home.arpa", i), Addrs: []netip.Addr{netip.MustParseAddr("192.168.1.160")}, TTL: time.Hour}})
		snap.Store(reg.Snapshot())
		r := ask(t, s, "udp", "lzz.oak.home.arpa.", dns.TypeA, wantDO)
		if r.Rcode != dns.RcodeNameError || !strings.Contains(fmt.Sprint(r.Ns), fmt.Sprintf("m%02d.oak.home.arpa.", i)) {
			t.Fatalf("got %v", r)
		}
	}
}
