package dnssrv

import (
	"context"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/miekg/dns"

	"pic/core/config"
	"pic/core/names"
	"pic/internal/listen"
	"pic/internal/nettest"
)

func TestMain(m *testing.M) { os.Exit(nettest.Main(m)) }

// lab is the document oak, listening on loopback ports of the kernel's choice.
func lab(upstreams ...string) *config.Document {
	d := oak()
	d.DNS.Upstreams = upstreams
	d.DNS.Listen = []netip.Addr{loopback4}
	d.WireGuard.Enabled = new(bool)
	d.DNS.TLS = new(bool) // those tests that are about it switch it on
	d.DNS.Rate = new(int) // tests are in a hurry
	d.DNS.Validate = config.ValidateOff
	return d
}

// conf is From; a document that leaves the port open gets one that is free.
func conf(d *config.Document) Config {
	if d.DNS.Port == 10053 {
		for range 50 {
			l, err := net.Listen("tcp", "127.0.0.1:0")
			if err != nil {
				panic(err)
			}
			l.Close()
			if pc, err := net.ListenPacket("udp", l.Addr().String()); err == nil {
				pc.Close()
				d.DNS.Port = uint16(l.Addr().(*net.TCPAddr).Port)
				break
			}
		}
	}
	return From(d)
}

// start runs a server of c until the test ends.
func start(t testing.TB, c Config, snap *names.Snapshot) *Server {
	t.Helper()
	s := New(Options{Log: slog.New(slog.DiscardHandler), Pool: listen.NewPool(nil), Names: func() *names.Snapshot { return snap }})
	if err := s.Apply(t.Context(), c); err != nil {
		t.Fatal(err)
	}
	running(t, s)
	return s
}

// at returns where s listens for network.
func (s *Server) at(t testing.TB, network string) string {
	t.Helper()
	for _, b := range s.set.Bound() {
		if b.Net == network && !slices.Contains(s.table.Load().conf.TLS, b.Socket) {
			return b.LocalAddr().String()
		}
	}
	t.Fatal("no socket for " + network)
	return ""
}

// ask sends one query to s and returns the reply.
func ask(t testing.TB, s *Server, network, qname string, qtype uint16, with ...func(*dns.Msg)) *dns.Msg {
	t.Helper()
	m := new(dns.Msg).SetQuestion(qname, qtype)
	for _, w := range with {
		w(m)
	}
	c := dns.Client{Net: network, Timeout: 5 * time.Second}
	r, _, err := c.Exchange(m, s.at(t, network))
	if err != nil {
		t.Fatalf("%s %s over %s: %v", qname, typeName(qtype), network, err)
	}
	return r
}

func edns(m *dns.Msg) { m.SetEdns0(4096, false) }

func wantDO(m *dns.Msg) { m.SetEdns0(4096, true) }

func noRD(m *dns.Msg) { m.RecursionDesired = false }

// brief writes a message in one line.
func brief(m *dns.Msg) string {
	s := rcodeName(m.Rcode)
	if m.Authoritative {
		s += " aa"
	}
	if m.Truncated {
		s += " tc"
	}
	for _, rr := range m.Answer {
		s += " | " + short(rr)
	}
	if e := reason(m); e != nil {
		s += fmt.Sprintf(" EDE %d", e.code)
	}
	return s
}

// dig runs dig against s and returns what it prints.
func dig(t *testing.T, s *Server, args ...string) string {
	t.Helper()
	network := "udp"
	for _, a := range args {
		if a == "+tcp" {
			network = "tcp"
		}
	}
	host, port, _ := net.SplitHostPort(s.at(t, network))
	args = append([]string{"@" + host, "-p", port, "+time=3", "+tries=1"}, args...)
	out, err := exec.Command(nettest.Tool(t, "dig"), args...).CombinedOutput()
	if err != nil {
		t.Errorf("dig %s: %v\n%s", strings.Join(args, " "), err, out)
	}
	return string(out)
}

func TestDigGetsWhatItAsks(t *testing.T) {
	d := lab(source(t, world).addr)
	for i := range 40 {
		d.DNS.Records = append(d.DNS.Records, config.Record{Name: "many", Type: "TXT", Value: fmt.Sprintf("record number %02d of many", i)})
	}
	s := start(t, conf(d), found(t))
	for name, tt := range map[string]struct {
		args string
		want []string // all of them are printed
	}{
		"service":          {"+short home.oak.home.arpa", []string{"127.0.0.1\n"}},
		"service over TCP": {"+tcp +short home.oak.home.arpa", []string{"127.0.0.1\n"}},
		"reverse":          {"+short -x 127.0.0.1", []string{"home.oak.home.arpa.\n"}},
		"reverse of lease": {"+short -x 192.168.1.101", []string{"phone.lan.oak.home.arpa.\n"}},
		"reverse of v6":    {"-x fd00::99", []string{"NXDOMAIN", "qr aa rd ra", "AUTHORITY: 1"}},
		"forwarded":        {"www.example.net", []string{"NOERROR", "flags: qr rd ra;", "192.0.2.80", "udp: 1232"}},
		"forwarded, alias": {"+short shop.oak.home.arpa", []string{"shop.example.net.\n192.0.2.81\n"}},
		"forwarded, nope":  {"nope.example.net", []string{"NXDOMAIN", "AUTHORITY: 1", "SOA"}},
		"no recursion":     {"+norec +noedns soa oak.home.arpa", []string{"NOERROR", "qr aa ra", "ANSWER: 1", "ADDITIONAL: 0"}},
		"EDNS version":     {"+norec +edns=100 +noednsneg soa oak.home.arpa", []string{"BADVERS", "ANSWER: 0", "EDNS: version: 0"}},
		"EDNS option":      {"+norec +ednsopt=100 soa oak.home.arpa", []string{"NOERROR", "ANSWER: 1"}},
		"EDNS flags":       {"+norec +ednsflags=0x80 soa oak.home.arpa", []string{"NOERROR", "flags:; udp"}},
		"DO":               {"+dnssec soa oak.home.arpa", []string{"flags: do; udp"}},
		"too long":         {"+bufsize=512 +ignore many.oak.home.arpa TXT", []string{"qr aa tc", "ANSWER: 0"}},
		"long over TCP":    {"+tcp many.oak.home.arpa TXT", []string{"qr aa rd ra", "ANSWER: 40"}},
		"retries over TCP": {"many.oak.home.arpa TXT", []string{"ANSWER: 40"}},
		"opcode":           {"+opcode=15 oak.home.arpa", []string{"NOTIMP"}},
		"NXDOMAIN":         {"nope.oak.home.arpa", []string{"NXDOMAIN", "AUTHORITY: 1", "\t60\tIN\tSOA"}},
		"non-terminal":     {"c.oak.home.arpa", []string{"NOERROR", "ANSWER: 0", "AUTHORITY: 1"}},
		"wildcard":         {"+short x.y.apps.oak.home.arpa", []string{"192.168.1.11"}},
		"ANY":              {"+notcp any oak.home.arpa", []string{`HINFO	"RFC8482"`}},
		"ANY over TCP":     {"+tcp any oak.home.arpa", []string{"ANSWER: 4", "SOA\t", "NS\t", "MX\t"}},
		"transfer":         {"+tcp axfr oak.home.arpa", []string{"Transfer failed"}},
		"version":          {"ch txt version.bind", []string{"REFUSED"}},
		"case":             {"wWw.ExAmPlE.nEt", []string{";wWw.ExAmPlE.nEt.", "wWw.ExAmPlE.nEt.\t"}},
		"case, own":        {"HoMe.oAk.home.arpa", []string{"HoMe.oAk.home.arpa.\t60"}},
		"private reverse":  {"-x 10.9.8.7", []string{"NXDOMAIN", "10.in-addr.arpa."}},
	} {
		t.Run(name, func(t *testing.T) {
			got := dig(t, s, strings.Fields(tt.args)...)
			for _, w := range tt.want {
				if !strings.Contains(got, w) {
					t.Errorf("dig %s: no %q in\n%s", tt.args, w, got)
				}
			}
		})
	}
}

func TestAnswersFollowTheAddressOfTheClient(t *testing.T) {
	nettest.NeedNamespace(t)
	lab := nettest.New(t)
	cell, client := lab.Self(), lab.Host("client")
	lab.Link(cell, "lan0", "192.168.1.1/24", client, "eth0", "192.168.1.2/24")
	cell.Run(t, "ip", "addr", "add", "10.80.1.1/24", "dev", "lan0")
	client.Run(t, "ip", "addr", "add", "10.80.1.2/24", "dev", "eth0")
	client.Run(t, "ip", "addr", "add", "198.51.100.2/24", "dev", "eth0")
	cell.Run(t, "ip", "addr", "add", "198.51.100.1/24", "dev", "lan0")
	d := oak()
	d.DNS.Port = 53
	start(t, From(d), nil)
	for name, tt := range map[string]struct{ args, want string }{
		"LAN":      {"@192.168.1.1 home.oak.home.arpa", "192.168.1.1\n"},
		"VPN":      {"-b 10.80.1.2 @10.80.1.1 home.oak.home.arpa", "10.80.1.1\n"},
		"VPN, v6":  {"-b 10.80.1.2 @10.80.1.1 home.oak.home.arpa AAAA", "fd12:3456:789a:1::1\n"},
		"TCP":      {"+tcp -b 10.80.1.2 @10.80.1.1 home.oak.home.arpa", "10.80.1.1\n"},
		"outsider": {"-b 198.51.100.2 @198.51.100.1 home.oak.home.arpa", ""},
	} {
		t.Run(name, func(t *testing.T) {
			args := append([]string{"dig", "+short", "+time=3", "+tries=1"}, strings.Fields(tt.args)...)
			if got := client.Run(t, args[0], args[1:]...); string(got) != tt.want {
				t.Errorf("got %q, want %q", got, tt.want)
			}
		})
	}
	for _, network := range []string{"+notcp", "+tcp"} {
		got := client.Run(t, "dig", network, "-b", "198.51.100.2", "@198.51.100.1", "www.example.net")
		if !strings.Contains(string(got), "REFUSED") || !strings.Contains(string(got), "EDE: 18 (Prohibited)") {
			t.Errorf("an outsider got\n%s", got)
		}
	}
}

func TestZonesChangeWithoutALostQuery(t *testing.T) {
	d := lab(source(t, world).addr)
	s := start(t, conf(d), nil)
	before := s.Sockets()
	stop := make(chan struct{})
	var asked, failed atomic.Int64
	done := make(chan struct{})
	for i := range 4 {
		network := []string{"udp", "tcp"}[i%2]
		addr := s.at(t, network)
		go func() {
			defer func() { done <- struct{}{} }()
			c := dns.Client{Net: network, Timeout: 5 * time.Second}
			conn, err := c.Dial(addr)
			if err != nil {
				t.Error(err)
				return
			}
			defer conn.Close()
			for n := 0; ; n++ {
				select {
				case <-stop:
					return
				default:
				}
				name := []string{"nas.oak.home.arpa.", "www.example.net.", fmt.Sprintf("n%d-%d.example.net.", i, n)}[n%3]
				r, _, err := c.ExchangeWithConn(new(dns.Msg).SetQuestion(name, dns.TypeA), conn)
				asked.Add(1)
				if err != nil || r.Rcode == dns.RcodeServerFailure {
					failed.Add(1)
					t.Errorf("%s over %s: %v %v", name, network, err, r)
					return
				}
			}
		}()
	}
	for i := range 50 {
		d.DNS.Records = append(oak().DNS.Records, config.Record{Name: "new", Type: "A", Value: fmt.Sprintf("192.168.2.%d", i)})
		if err := s.Apply(t.Context(), conf(d)); err != nil {
			t.Fatal(err)
		}
		r := ask(t, s, "udp", "new.oak.home.arpa.", dns.TypeA)
		if want := fmt.Sprintf("NOERROR aa | new.oak.home.arpa. A 192.168.2.%d", i); brief(r) != want {
			t.Fatalf("got %s, want %s", brief(r), want)
		}
	}
	close(stop)
	for range 4 {
		<-done
	}
	if asked.Load() < 100 || failed.Load() > 0 {
		t.Errorf("%d of %d queries failed", failed.Load(), asked.Load())
	}
	if after := s.Sockets(); strings.Join(before, " ") != strings.Join(after, " ") {
		t.Errorf("sockets changed: %v, then %v", before, after)
	}
}

func TestTheSerialGrowsWithEachChangeAndNotWithout(t *testing.T) {
	d := lab()
	s := start(t, conf(d), nil)
	serial := func() uint32 {
		return ask(t, s, "udp", "oak.home.arpa.", dns.TypeSOA).Answer[0].(*dns.SOA).Serial
	}
	first := serial()
	if err := s.Apply(t.Context(), conf(d)); err != nil {
		t.Fatal(err)
	}
	if got := serial(); got != first {
		t.Errorf("nothing changed, and the serial went from %d to %d", first, got)
	}
	d.DNS.Records = nil
	if err := s.Apply(t.Context(), conf(d)); err != nil {
		t.Fatal(err)
	}
	if got := serial(); got <= first {
		t.Errorf("the zone changed, and the serial went from %d to %d", first, got)
	}
}

func TestARefusedChangeKeepsServing(t *testing.T) {
	s := start(t, conf(lab()), nil)
	bad := conf(lab())
	bad.Sockets = append(bad.Sockets, listen.Socket{Net: "udp", Addr: netip.MustParseAddrPort("192.0.2.1:53")})
	bad.Records = nil
	if err := s.Apply(t.Context(), bad); err == nil {
		t.Fatal("a foreign address was accepted")
	}
	if got := brief(ask(t, s, "udp", "nas.oak.home.arpa.", dns.TypeA)); !strings.HasPrefix(got, "NOERROR") {
		t.Errorf("got %s", got)
	}
}

func TestRunsAgainAfterRunEnded(t *testing.T) {
	up := source(t, world)
	s := New(Options{Log: slog.New(slog.DiscardHandler), Pool: listen.NewPool(nil)})
	for i := range 3 {
		if err := s.Apply(t.Context(), conf(lab(up.addr))); err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error)
		go func() { done <- s.Run(ctx) }()
		for _, network := range []string{"udp", "tcp"} {
			r := ask(t, s, network, fmt.Sprintf("n%d-%s.example.net.", i, network), dns.TypeA)
			if r.Rcode != dns.RcodeSuccess {
				t.Errorf("run %d: %s", i, brief(r))
			}
		}
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
		if got := s.Sockets(); len(got) != 0 {
			t.Errorf("still open: %v", got)
		}
	}
}
