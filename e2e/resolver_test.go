package e2e

import (
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/miekg/dns"
	"github.com/quic-go/quic-go/http3"

	"pic/internal/nettest"
)

// beyond runs an upstream resolver in the test's own namespace, which knows that
// every name is at 192.0.2.77.
func beyond(t *testing.T) string {
	t.Helper()
	pc, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s := &dns.Server{PacketConn: pc, Handler: dns.HandlerFunc(func(w dns.ResponseWriter, q *dns.Msg) {
		m := new(dns.Msg).SetReply(q)
		m.RecursionAvailable = true
		if rr, err := dns.NewRR(q.Question[0].Name + " 60 IN A 192.0.2.77"); err == nil && q.Question[0].Qtype == dns.TypeA {
			m.Answer = append(m.Answer, rr)
		}
		w.WriteMsg(m)
	})}
	go s.ActivateAndServe()
	t.Cleanup(func() { s.Shutdown() })
	return pc.LocalAddr().String()
}

// Clients that trust the cell's root and nothing else ask it encrypted, by name
// and by address.
func TestEncryptedClientsTrustTheCell(t *testing.T) {
	c := trial(t)
	root := c.root()
	c.set("dns.upstreams", []string{beyond(t)})

	t.Run("kdig", func(t *testing.T) {
		for name, args := range map[string][]string{
			"tls":        {"-p", "10853", "+tls"},
			"quic":       {"-p", "10853", "+quic"},
			"https":      {"-p", "10443", "+https"},
			"https path": {"-p", "10443", "+https=/dns-query/kids"},
			"https GET":  {"-p", "10443", "+https-get"},
		} {
			for _, host := range []string{"dns.oak.home.arpa", "kids.dns.oak.home.arpa"} {
				args := append([]string{"@127.0.0.1", "+retry=0", "+timeout=5", "-d", "+padding", "+tls-ca=" + root, "+tls-hostname=" + host}, args...)
				out := run(t, "kdig", append(args, "www.example.com")...)
				for _, want := range []string{"The certificate is trusted", "NOERROR", "192.0.2.77", "Received 468 B"} {
					if !strings.Contains(out, want) {
						t.Errorf("%s as %s: no %q in\n%s", name, host, want, out)
					}
				}
			}
		}
	})
	t.Run("openssl", func(t *testing.T) {
		for name, args := range map[string][]string{
			"by address":  {"-noservername", "-verify_ip", "127.0.0.1"},
			"by name":     {"-servername", "dns.oak.home.arpa", "-verify_hostname", "dns.oak.home.arpa"},
			"as a device": {"-servername", "kids.dns.oak.home.arpa", "-verify_hostname", "kids.dns.oak.home.arpa"},
			"of 1.2":      {"-tls1_2", "-verify_ip", "127.0.0.1"},
		} {
			args := append([]string{"s_client", "-connect", "127.0.0.1:10853", "-alpn", "dot", "-CAfile", root, "-verify_return_error", "-brief"}, args...)
			if out := run(t, "openssl", args...); !strings.Contains(out, "Verification: OK") {
				t.Errorf("%s: %s", name, out)
			}
		}
		if out, err := try(t, "openssl", "s_client", "-connect", "127.0.0.1:10853", "-tls1_1", "-brief"); err == nil {
			t.Errorf("TLS 1.1 was spoken:\n%s", out)
		}
	})
	t.Run("curl", func(t *testing.T) {
		// The name is asked of the cell, and then its page is got from there.
		for _, url := range []string{"https://127.0.0.1:10443/dns-query", "https://127.0.0.1:10443/dns-query/kids"} {
			out := run(t, "curl", "-sS", "--noproxy", "*", "--cacert", root, "--doh-url", url, "-o", "/dev/null", "-w", "%{http_code} %{remote_ip}",
				"https://home.oak.home.arpa:10443/health")
			if out != "200 127.0.0.1" {
				t.Errorf("%s: %s", url, out)
			}
		}
	})
	t.Run("HTTP/3", func(t *testing.T) {
		pem, err := os.ReadFile(root)
		if err != nil {
			t.Fatal(err)
		}
		roots := x509.NewCertPool()
		roots.AppendCertsFromPEM(pem)
		tr := &http3.Transport{TLSClientConfig: &tls.Config{RootCAs: roots}}
		defer tr.Close()
		q, _ := new(dns.Msg).SetQuestion("www.example.com.", dns.TypeA).Pack()
		res, err := (&http.Client{Transport: tr, Timeout: 10 * time.Second}).Post(
			"https://127.0.0.1:10443/dns-query", "application/dns-message", strings.NewReader(string(q)))
		if err != nil {
			t.Fatal(err)
		}
		defer res.Body.Close()
		b, _ := io.ReadAll(res.Body)
		var m dns.Msg
		if err := m.Unpack(b); err != nil || len(m.Answer) != 1 || res.ProtoMajor != 3 {
			t.Errorf("%s over HTTP/%d: %v, %v", res.Status, res.ProtoMajor, &m, err)
		}
		if age := res.Header.Get("Cache-Control"); !strings.HasPrefix(age, "private, max-age=") {
			t.Errorf("Cache-Control is %q", age)
		}
	})
	t.Run("Unbound", func(t *testing.T) { unboundForwards(t, root) })
}

// unboundForwards lets Unbound ask the cell over TLS for somebody else.
func unboundForwards(t *testing.T, root string) {
	conf := filepath.Join(t.TempDir(), "unbound.conf")
	err := os.WriteFile(conf, fmt.Appendf(nil, `server:
 interface: 127.0.0.1
 port: 5300
 do-daemonize: no
 use-syslog: no
 username: ""
 chroot: ""
 directory: %q
 pidfile: ""
 do-not-query-localhost: no
 module-config: "iterator"
 tls-cert-bundle: %q
 local-zone: "home.arpa." nodefault
remote-control:
 control-enable: no
forward-zone:
 name: "."
 forward-tls-upstream: yes
 forward-addr: 127.0.0.1@10853#kids.dns.oak.home.arpa
`, t.TempDir(), root), 0o644)
	if err != nil {
		t.Fatal(err)
	}
	nettest.New(t).Self().Start(t, "unbound", "-d", "-c", conf)
	nettest.WaitFor(t, 10*time.Second, func() bool {
		out, _ := try(t, "dig", "@127.0.0.1", "-p", "5300", "+short", "+tries=1", "+time=2", "files.oak.home.arpa")
		return strings.TrimSpace(out) == "127.0.0.1"
	})
	for i := range 5 {
		name := fmt.Sprintf("w%d.example.com", i)
		if got := strings.TrimSpace(run(t, "dig", "@127.0.0.1", "-p", "5300", "+short", name)); got != "192.0.2.77" {
			t.Errorf("%s is %q", name, got)
		}
	}
}

// What leads devices to their encrypted resolver is answered here, whatever the
// client asks, and never by anybody else.
func TestDesignatedResolversStayInTheHouse(t *testing.T) {
	c := trial(t)
	up := beyond(t)
	_, port, _ := net.SplitHostPort(up)
	c.set("dns.upstreams", []string{up})
	watch := nettest.New(t).Self().Start(t, "tcpdump", "-i", "lo", "-n", "-l", "--immediate-mode", "-T", "domain", "udp or tcp", "and", "port", port)
	nettest.WaitFor(t, 10*time.Second, func() bool { return strings.Contains(watch.Output(), "listening on") })
	out := run(t, "dig", "@127.0.0.1", "-p", "10053", "+time=3", "+tries=1", "_dns.resolver.arpa", "TYPE64")
	for _, want := range []string{"ANSWER: 3", "dns.oak.home.arpa.", `alpn="dot"`, `alpn="doq"`, `alpn="h2,h3"`, "port=10853", "port=10443", "ipv4hint=127.0.0.1"} {
		if !strings.Contains(out, want) {
			t.Errorf("no %q in\n%s", want, out)
		}
	}
	for _, q := range [][]string{
		{"_dns.resolver.arpa", "A"},
		{"resolver.arpa", "NS"},
		{"x.resolver.arpa", "A"},
		{"_DNS.Resolver.ARPA", "HTTPS"},
		{"_dns.resolver.arpa", "DS"},
		{"resolver.arpa", "DNSKEY"},
		{"_dns.resolver.arpa", "ANY"},
		{"_8443._https.resolver.arpa", "SVCB"},
	} {
		run(t, "dig", append([]string{"@127.0.0.1", "-p", "10053", "+time=3", "+tries=1"}, q...)...)
	}
	if got := dig(t, "www.example.com"); got != "192.0.2.77" { // which shows that the watch sees
		t.Errorf("a name of the world is %q", got)
	}
	seen := func() string { return strings.ToLower(watch.Output()) }
	nettest.WaitFor(t, 10*time.Second, func() bool { return strings.Contains(seen(), "www.example.com") })
	if strings.Contains(seen(), "resolver.arpa") {
		t.Errorf("it left the house:\n%s", watch.Output())
	}
	c.set("dns.https", false)
	c.set("dns.tls", false)
	if out := run(t, "dig", "@127.0.0.1", "-p", "10053", "_dns.resolver.arpa", "TYPE64"); !strings.Contains(out, "ANSWER: 0") {
		t.Errorf("told of what is off:\n%s", out)
	}
	if out := run(t, "curl", "-sS", "-k", "--noproxy", "*", "-o", "/dev/null", "-w", "%{http_code}", "https://127.0.0.1:10443/dns-query?dns=AAAA"); out != "404" {
		t.Errorf("DNS over HTTPS that is off answers %s", out)
	}
	c.set("dns.tls", true)
}
