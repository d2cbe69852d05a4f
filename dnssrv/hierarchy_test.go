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

	"pic/internal/nettest"
)

// Where the name servers of a hierarchy are. All are on the loopback interface of
// the test's own namespace, where port 53 is free.
const (
	rootAddr  = "127.1.0.1" // NSD
	topAddr   = "127.1.0.2" // Knot
	otherAddr = "127.1.0.3" // NSD
	bindAddr  = "127.1.1.1"
	bind6Addr = "fd53::1" // the same BIND
	nsdAddr   = "127.1.1.2"
	deadAddr  = "127.1.0.99" // takes what is sent and says nothing
	oddAddr   = "127.1.0.98" // knows no EDNS: what has it is not answered
	trapAddr  = "127.1.0.96" // hands everything on to 500 name servers that are nowhere
	rudeAddr  = "127.1.0.97" // denies names that have no records but names below
)

// A hierarchy is a root and the zones below it, served by real name servers and
// signed by their own tools.
type hierarchy struct {
	t      *testing.T
	dir    string
	anchor string // the DS record of the root
}

const www = "www A 192.0.2.1\nwww TXT x\nalias CNAME www\n*.wild A 192.0.2.2\na.b A 192.0.2.3\nx.y.deep A 192.0.2.4\n"

// newHierarchy builds a hierarchy that lives until the test ends.
func newHierarchy(t *testing.T) *hierarchy {
	t.Helper()
	self := nettest.New(t).Self()
	for _, a := range []string{bind6Addr + "/128", bindAddr + "/32"} { // BIND serves what it sees on an interface
		self.Run(t, "ip", "address", "replace", a, "dev", "lo")
	}
	h := &hierarchy{t: t, dir: t.TempDir()}
	many := ""
	for i := range 60 {
		many += fmt.Sprintf("many TXT \"%02d is one of many records that do not fit into a datagram\"\n", i)
	}
	h.write("good.example", bindAddr, www+many+"out CNAME www.three.example.\nold DNAME three.example.\nfar CNAME far.three.example.\n"+
		"sub NS ns.sub\nns.sub A 127.1.1.1\nnowhere CNAME nope.plain.example.\nround CNAME about\nabout CNAME round\n")
	h.write("sub.good.example", bindAddr, www)
	h.write("three.example", nsdAddr, www+"far CNAME www.plain.example.\n")
	h.write("plain.example", bindAddr, www+"ns1 A 127.1.1.1\n")
	h.write("bogus.example", bindAddr, www)
	for _, z := range []string{"glueless.example", "dead.example", "six.example"} {
		h.write(z, bindAddr, www)
	}
	h.write("lame.example", nsdAddr, www)
	h.write("hosting.other", otherAddr, "bind A 127.1.1.1\nnsd A 127.1.1.2\n")
	h.write("other", otherAddr, "hosting NS ns.hosting\nns.hosting A 127.1.0.3\ncross NS bind.hosting\nloop NS ns.pool\npool NS ns.loop\nlost NS a.nowhere\nlost NS b.nowhere\n")
	h.write("cross.other", bindAddr, www)
	h.bindSign("good.example")
	h.bindSign("bogus.example")
	h.edit("bogus.example.signed", "192.0.2.1", "192.0.2.66")
	h.ldnsSign("three.example", "-n", "-s", "ab12", "-t", "0")
	top := "nic A 127.1.0.2\n" + h.ds("good.example") + h.ds("bogus.example") + h.ds("three.example")
	for z, ns := range map[string][]string{
		"good": {bindAddr}, "three": {nsdAddr}, "plain": {bindAddr}, "bogus": {bindAddr}, "dead": {deadAddr, bindAddr},
		"six": {bind6Addr}, "odd": {oddAddr}, "rude": {rudeAddr}, "trap": {trapAddr},
	} {
		for i, a := range ns {
			typ := "A"
			if strings.Contains(a, ":") {
				typ = "AAAA"
			}
			top += fmt.Sprintf("%[1]s NS ns%[2]d.%[1]s\nns%[2]d.%[1]s %[3]s %[4]s\n", z, i+7, typ, a)
		}
	}
	top += "glueless NS bind.hosting.other.\nglueless NS ns1.plain\nlame NS bind.hosting.other.\nlame NS nsd.hosting.other.\n"
	h.write("example", topAddr, top)
	h.knot()
	root := "ns A 127.1.0.1\nexample NS nic.example\nnic.example A 127.1.0.2\nother NS ns.other\nns.other A 127.1.0.3\n" + h.ds("example")
	h.write("", rootAddr, root)
	h.anchor = h.ldnsSign("")
	h.nsd(rootAddr, ".=zone..signed")
	h.nsd(otherAddr, "other=zone.other", "hosting.other=zone.hosting.other")
	h.nsd(nsdAddr, "three.example=zone.three.example.signed", "lame.example=zone.lame.example")
	h.named("good.example=zone.good.example.signed", "bogus.example=zone.bogus.example.signed", "sub.good.example=zone.sub.good.example",
		"plain.example=zone.plain.example", "glueless.example=zone.glueless.example", "dead.example=zone.dead.example",
		"six.example=zone.six.example", "cross.other=zone.cross.other")
	h.silent(deadAddr)
	h.odd()
	h.rude()
	h.trap()
	for _, a := range []string{rootAddr, otherAddr, nsdAddr, bindAddr, topAddr} {
		h.up(a)
	}
	return h
}

func (h *hierarchy) path(name string) string { return filepath.Join(h.dir, name) }

// write makes the file of an unsigned zone whose server is at addr.
func (h *hierarchy) write(apex, addr, records string) {
	h.t.Helper()
	text := fmt.Sprintf("$ORIGIN %s.\n$TTL 300\n@ IN SOA ns hm 1 7200 3600 1209600 300\n@ NS ns\n", apex)
	if !strings.HasPrefix(records, "ns A") {
		text += "ns A " + addr + "\n"
	}
	if err := os.WriteFile(h.path("zone."+apex), []byte(text+records), 0o644); err != nil {
		h.t.Fatal(err)
	}
}

func (h *hierarchy) edit(file, old, text string) {
	h.t.Helper()
	b, err := os.ReadFile(h.path("zone." + file))
	if err != nil {
		h.t.Fatal(err)
	}
	if err := os.WriteFile(h.path("zone."+file), []byte(strings.ReplaceAll(string(b), old, text)), 0o644); err != nil {
		h.t.Fatal(err)
	}
}

func (h *hierarchy) run(name string, args ...string) string {
	h.t.Helper()
	cmd := exec.Command(nettest.Tool(h.t, name), args...)
	cmd.Dir = h.dir
	var errs strings.Builder
	cmd.Stderr = &errs
	out, err := cmd.Output()
	if err != nil {
		h.t.Fatalf("%s %s: %v\n%s%s", name, strings.Join(args, " "), err, out, errs.String())
	}
	return string(out)
}

func (h *hierarchy) bindSign(apex string) {
	h.t.Helper()
	h.run("dnssec-keygen", "-q", "-K", h.dir, "-a", "ECDSAP256SHA256", apex+".")
	h.run("dnssec-keygen", "-q", "-K", h.dir, "-a", "ECDSAP256SHA256", "-f", "KSK", apex+".")
	h.run("dnssec-signzone", "-q", "-S", "-g", "-K", h.dir, "-d", h.dir, "-o", apex+".", h.path("zone."+apex))
}

// ldnsSign signs a zone with one key and returns its DS record.
func (h *hierarchy) ldnsSign(apex string, opts ...string) string {
	h.t.Helper()
	key := strings.TrimSpace(h.run("ldns-keygen", "-a", "ECDSAP256SHA256", "-k", apex+"."))
	h.run("ldns-signzone", append(opts, "-o", apex+".", h.path("zone."+apex), h.path(key))...)
	b, err := os.ReadFile(h.path(key + ".ds"))
	if err != nil {
		h.t.Fatal(err)
	}
	if err := os.WriteFile(h.path("dsset-"+apex+"."), b, 0o644); err != nil {
		h.t.Fatal(err)
	}
	return strings.Join(strings.Fields(string(b)), " ")
}

func (h *hierarchy) ds(apex string) string {
	h.t.Helper()
	b, err := os.ReadFile(h.path("dsset-" + apex + "."))
	if err != nil {
		h.t.Fatal(err)
	}
	return string(b) + "\n"
}

// knot serves example., which it signs itself.
func (h *hierarchy) knot() {
	h.t.Helper()
	conf := fmt.Sprintf(`server:
  listen: %s@53
  rundir: %[2]s
  udp-workers: 1
  tcp-workers: 1
  background-workers: 1
database:
  storage: %[2]s
log:
- target: stderr
  any: warning
policy:
- id: lab
  manual: on
  algorithm: ecdsap256sha256
  nsec3: on
  nsec3-iterations: 0
zone:
- domain: example
  storage: %[2]s
  file: zone.example
  zonefile-load: whole
  zonefile-sync: -1
  dnssec-signing: on
  dnssec-policy: lab
`, topAddr, h.dir)
	path := h.path("knot.conf")
	if err := os.WriteFile(path, []byte(conf), 0o644); err != nil {
		h.t.Fatal(err)
	}
	h.run("keymgr", "-c", path, "example.", "generate", "algorithm=13", "ksk=yes", "zsk=no")
	h.run("keymgr", "-c", path, "example.", "generate", "algorithm=13", "ksk=no", "zsk=yes")
	out := h.run("keymgr", "-c", path, "example.", "ds")
	ds := ""
	for line := range strings.Lines(out) {
		if f := strings.Fields(line); len(f) == 6 && f[4] == "2" {
			ds += line
		}
	}
	if err := os.WriteFile(h.path("dsset-example."), []byte(ds), 0o644); err != nil {
		h.t.Fatal(err)
	}
	nettest.Start(h.t, exec.Command(nettest.Tool(h.t, "knotd"), "-c", path))
}

func (h *hierarchy) nsd(addr string, zones ...string) {
	h.t.Helper()
	dir := h.path("nsd-" + addr)
	if err := os.Mkdir(dir, 0o755); err != nil {
		h.t.Fatal(err)
	}
	conf := fmt.Sprintf(`server:
  ip-address: %s
  username: ""
  chroot: ""
  zonesdir: "%s"
  database: ""
  pidfile: "%[3]s/nsd.pid"
  xfrdfile: "%[3]s/xfrd.state"
  zonelistfile: "%[3]s/zone.list"
  cookie-secret-file: "%[3]s/cookie"
  xfrdir: "%[3]s"
  server-count: 1
  rrl-ratelimit: 0
remote-control:
  control-enable: no
`, addr, h.dir, dir)
	for _, z := range zones {
		apex, file, _ := strings.Cut(z, "=")
		conf += fmt.Sprintf("zone:\n  name: %q\n  zonefile: %q\n", apex, file)
	}
	runServer(h.t, "nsd", conf, "-d", "-c", "@")
}

func (h *hierarchy) named(zones ...string) {
	h.t.Helper()
	conf := fmt.Sprintf("options { directory %q; listen-on { %s; }; listen-on-v6 { %s; }; recursion no; dnssec-validation no; pid-file none; session-keyfile none; minimal-responses yes; };\ncontrols { };\n",
		h.dir, bindAddr, bind6Addr)
	for _, z := range zones {
		apex, file, _ := strings.Cut(z, "=")
		conf += fmt.Sprintf("zone %q { type primary; file %q; };\n", apex, file)
	}
	runServer(h.t, "named", conf, "-g", "-n", "1", "-c", "@")
}

// up waits for a server.
func (h *hierarchy) up(addr string) {
	h.t.Helper()
	nettest.WaitFor(h.t, 10*time.Second, func() bool {
		c := dns.Client{Timeout: 100 * time.Millisecond}
		_, _, err := c.Exchange(new(dns.Msg).SetQuestion(".", dns.TypeSOA), net.JoinHostPort(addr, "53"))
		return err == nil
	})
}

// silent takes what is sent there.
func (h *hierarchy) silent(addr string) {
	h.t.Helper()
	pc, err := net.ListenPacket("udp", addr+":53")
	if err != nil {
		h.t.Fatal(err)
	}
	h.t.Cleanup(func() { pc.Close() })
}

// serve runs a server of our own, for what no real one does.
func serveAt(t testing.TB, addr string, f dns.HandlerFunc) {
	t.Helper()
	for _, network := range []string{"udp", "tcp"} {
		started := make(chan struct{})
		s := &dns.Server{Addr: net.JoinHostPort(addr, "53"), Net: network, Handler: f, NotifyStartedFunc: func() { close(started) }}
		go s.ListenAndServe()
		<-started
		t.Cleanup(func() { s.Shutdown() })
	}
}

// odd serves odd.example and does not answer what has EDNS.
func (h *hierarchy) odd() {
	serveAt(h.t, oddAddr, func(w dns.ResponseWriter, r *dns.Msg) {
		if r.IsEdns0() == nil {
			w.WriteMsg(leaf(r, "odd.example."))
		}
	})
}

// rude serves rude.example and denies deep.rude.example although there are names
// below it.
func (h *hierarchy) rude() {
	serveAt(h.t, rudeAddr, func(w dns.ResponseWriter, r *dns.Msg) {
		m := leaf(r, "rude.example.")
		if m.Question[0].Name != "www.rude.example." && dns.CountLabel(m.Question[0].Name) < 5 && len(m.Answer) == 0 {
			m.Rcode = dns.RcodeNameError
		}
		w.WriteMsg(m)
	})
}

// trap hands the names below trap.example on to name servers of somebody else.
func (h *hierarchy) trap() {
	serveAt(h.t, trapAddr, func(w dns.ResponseWriter, r *dns.Msg) {
		m := new(dns.Msg).SetReply(r)
		name := dns.CanonicalName(r.Question[0].Name)
		if labels := dns.SplitDomainName(name); len(labels) > 2 {
			for i := range 500 {
				rr, _ := dns.NewRR(fmt.Sprintf("%s.trap.example. 300 IN NS n%d.%s.good.example.", labels[len(labels)-3], i, labels[len(labels)-3]))
				m.Ns = append(m.Ns, rr)
			}
			if w.RemoteAddr().Network() == "udp" {
				m.Truncated, m.Ns = true, nil
			}
		} else {
			m = leaf(r, "trap.example.")
		}
		w.WriteMsg(m)
	})
}

// leaf answers as the only server of a zone with an address at www and at
// x.y.deep.
func leaf(r *dns.Msg, zone string) *dns.Msg {
	m := new(dns.Msg).SetReply(r)
	m.Authoritative = true
	q := r.Question[0]
	name := dns.CanonicalName(q.Name)
	if (name == "www."+zone || name == "x.y.deep."+zone) && q.Qtype == dns.TypeA {
		rr, _ := dns.NewRR(q.Name + " 300 IN A 192.0.2.1")
		m.Answer = append(m.Answer, rr)
		return m
	}
	rr, _ := dns.NewRR(zone + " 300 IN SOA ns hm 1 2 3 4 300")
	m.Ns = append(m.Ns, rr)
	return m
}

// unbound runs an Unbound that resolves from the same root and checks by the same
// anchor. It returns where.
func (h *hierarchy) unbound() string {
	h.t.Helper()
	at := fmt.Sprint(nettest.FreePort(h.t))
	if err := os.WriteFile(h.path("hints"), []byte(". 3600 NS ns.\nns. 3600 A "+rootAddr+"\n"), 0o644); err != nil {
		h.t.Fatal(err)
	}
	conf := fmt.Sprintf(`server:
  interface: 127.0.0.1
  port: %s
  directory: %q
  chroot: ""
  username: ""
  pidfile: ""
  use-syslog: no
  do-daemonize: no
  do-not-query-localhost: no
  root-hints: "hints"
  trust-anchor: %q
  module-config: "validator iterator"
  minimal-responses: yes
  local-zone: "example." nodefault
  val-clean-additional: yes
`, at, h.dir, h.anchor)
	runServer(h.t, "unbound", conf, "-c", "@")
	addr := net.JoinHostPort("127.0.0.1", at)
	answers(h.t, addr, ".")
	return addr
}
