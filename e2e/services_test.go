package e2e

import (
	"fmt"
	"net"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"github.com/miekg/dns"
)

func TestBinaryIsOneStaticFileUnder30MB(t *testing.T) {
	bin, err := binary()
	if err != nil {
		t.Fatal(err)
	}
	if out := run(t, "file", bin); !strings.Contains(out, "statically linked") {
		t.Errorf("file says %s", out)
	}
	st, err := os.Stat(bin)
	if err != nil || st.Size() > 30e6 {
		t.Errorf("%v bytes, %v", st.Size(), err)
	}
	t.Logf("%d bytes", st.Size())
}

func dig(t *testing.T, args ...string) string {
	t.Helper()
	return strings.TrimSpace(run(t, "dig", append([]string{"@127.0.0.1", "-p", "10053", "+short", "+tries=1", "+time=3"}, args...)...))
}

func TestDNSAnswersForTheCellAndForwardsTheRest(t *testing.T) {
	c := trial(t)
	for _, tcp := range []string{"+notcp", "+tcp"} {
		if got := dig(t, tcp, "mail.oak.home.arpa"); got != "127.0.0.1" {
			t.Errorf("mail is %q over %s", got, tcp)
		}
		if got := dig(t, tcp, "-x", "127.0.0.1"); got != "home.oak.home.arpa." {
			t.Errorf("127.0.0.1 is %q over %s", got, tcp)
		}
		if got := dig(t, tcp, "MX", "oak.home.arpa"); !strings.Contains(got, "mail.oak.home.arpa.") {
			t.Errorf("MX is %q", got)
		}
	}

	pc, err := net.ListenPacket("udp", "127.0.0.1:5399")
	if err != nil {
		t.Fatal(err)
	}
	s := &dns.Server{PacketConn: pc, Handler: dns.HandlerFunc(func(w dns.ResponseWriter, q *dns.Msg) {
		m := new(dns.Msg).SetReply(q)
		rr, err := dns.NewRR(q.Question[0].Name + " 60 IN A 192.0.2.77")
		if err == nil {
			m.Answer = append(m.Answer, rr)
		}
		w.WriteMsg(m)
	})}
	go s.ActivateAndServe()
	defer s.Shutdown()
	c.set("dns.upstreams", []string{"127.0.0.1:5399"})
	for _, tcp := range []string{"+notcp", "+tcp"} {
		if got := dig(t, tcp, "www.example.com"); got != "192.0.2.77" {
			t.Errorf("forwarded name is %q over %s", got, tcp)
		}
	}
}

var offset = regexp.MustCompile(`System clock wrong by (-?[0-9.]+) seconds`)

func TestChronyTrustsTheCell(t *testing.T) {
	trial(t)
	out := run(t, "chronyd", "-Q", "-t", "5", "server 127.0.0.1 port 10123 iburst maxsamples 2")
	m := offset.FindStringSubmatch(out)
	if m == nil {
		t.Fatalf("no offset in:\n%s", out)
	}
	if v, err := strconv.ParseFloat(m[1], 64); err != nil || v > 0.001 || v < -0.001 {
		t.Errorf("offset is %s s", m[1])
	}
	t.Log(m[0])
}

func TestMailFromSwaksToMbsync(t *testing.T) {
	c := trial(t)
	home := t.TempDir()
	run(t, "swaks", "--server", "127.0.0.1:10587", "-tls", "--auth", "PLAIN", "--auth-user", "alice", "--auth-password", password,
		"--from", "alice@oak.home.arpa", "--to", "alice@oak.home.arpa", "--header", "Subject: submitted")
	run(t, "swaks", "--server", "127.0.0.1:10025", "--from", "bob@example.com", "--to", "alice@oak.home.arpa",
		"--header", "Subject: received")
	if out, err := try(t, "swaks", "--server", "127.0.0.1:10025", "--from", "bob@example.com", "--to", "eve@example.net"); err == nil || !strings.Contains(out, "550") {
		t.Errorf("relayed for a stranger:\n%s", out)
	}
	if err := os.WriteFile(filepath.Join(home, "rc"), fmt.Appendf(nil, `
IMAPAccount oak
Host localhost
Port 10993
User alice
PassCmd "echo '%s'"
SSLType IMAPS
CertificateFile %s
AuthMechs PLAIN LOGIN

IMAPStore far
Account oak

MaildirStore near
Path %s/mail/
Inbox %s/mail/INBOX
SubFolders Verbatim

Channel all
Far :far:
Near :near:
Patterns *
Create Near
SyncState *
`, password, c.root(), home, home), 0o600); err != nil {
		t.Fatal(err)
	}
	os.Mkdir(filepath.Join(home, "mail"), 0o700)
	t.Setenv("HOME", home)
	run(t, "mbsync", "-c", filepath.Join(home, "rc"), "-a")
	var got string
	files, _ := filepath.Glob(filepath.Join(home, "mail/INBOX/*/*"))
	for _, f := range files {
		b, err := os.ReadFile(f)
		if err != nil {
			t.Fatal(err)
		}
		got += string(b)
	}
	if len(files) != 2 || !strings.Contains(got, "Subject: submitted") || !strings.Contains(got, "Subject: received") {
		t.Errorf("%d messages fetched:\n%s", len(files), got)
	}
}

func TestHTTPSByName(t *testing.T) {
	c := trial(t)
	root := c.root()
	for _, v := range []string{"--http1.1", "--http2"} {
		out := run(t, "curl", "-sS", v, "--cacert", root, "--resolve", "files.oak.home.arpa:10443:127.0.0.1",
			"-o", "/dev/null", "-w", "%{http_code} %{http_version}", "https://files.oak.home.arpa:10443/")
		if want := "200 " + strings.TrimPrefix(v, "--http"); out != want {
			t.Errorf("curl %s says %q, want %q", v, out, want)
		}
	}
	dir := t.TempDir()
	chain := run(t, "openssl", "s_client", "-connect", "127.0.0.1:10443", "-servername", "files.oak.home.arpa",
		"-CAfile", root, "-verify_return_error", "-showcerts")
	blocks := regexp.MustCompile(`(?s)-----BEGIN CERTIFICATE-----.*?-----END CERTIFICATE-----\n`).FindAllString(chain, -1)
	if len(blocks) < 2 {
		t.Fatalf("chain of %d certificates:\n%s", len(blocks), chain)
	}
	leaf, inter := filepath.Join(dir, "leaf.pem"), filepath.Join(dir, "int.pem")
	os.WriteFile(leaf, []byte(blocks[0]), 0o600)
	os.WriteFile(inter, []byte(blocks[1]), 0o600)
	if out := run(t, "openssl", "verify", "-x509_strict", "-CAfile", root, "-untrusted", inter, leaf); !strings.Contains(out, "OK") {
		t.Error(out)
	}
	if out := run(t, "curl", "-sS", "--resolve", "ca.oak.home.arpa:10080:127.0.0.1", "http://ca.oak.home.arpa:10080/root.pem"); out != c.pic("ca", "root") {
		t.Error("the root download differs from `pic ca root`")
	}
}
