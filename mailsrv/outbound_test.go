package mailsrv

import (
	"fmt"
	"net"
	"net/netip"
	"strconv"
	"strings"
	"testing"
	"time"

	"pic/core/config"
	"pic/internal/nettest"
	"pic/mailsrv/lookup/lookuptest"
	"pic/mailsrv/queue"
)

// What one cell sends to another arrives once, signed, and says where it is from.
func TestMailGoesToOtherPlacesSigned(t *testing.T) {
	keys, err := NewKeys("oak.example", time.Now())
	if err != nil {
		t.Fatal(err)
	}
	// The other cell takes mail from strangers, and examines it.
	zone := lookuptest.Records{}
	conf := testConfig()
	conf.Domains, conf.Insiders = []string{"elm.example"}, []netip.Prefix{netip.MustParsePrefix("127.0.0.9/32")}
	conf.Host = "mail.elm.example"
	elm := startWith(t, conf, t.TempDir(), Options{DNS: zone})
	host, port, _ := net.SplitHostPort(elm.at(smtpIn))
	n, err := strconv.Atoi(port)
	if err != nil {
		t.Fatal(err)
	}
	lines := []string{
		`_dmarc.oak.example. 60 IN TXT "v=DMARC1; p=reject"`, `elm.example. 60 IN MX 1 mail.elm.example.`,
		`mail.elm.example. 60 IN A ` + host,
	}
	secrets := map[config.Secret][]byte{}
	conf = testConfig()
	conf.Domains, conf.Host = []string{"oak.example"}, "mail.oak.example"
	for i, k := range keys {
		id := config.Secret(fmt.Sprint("key-", i))
		secrets[id] = k.Private
		conf.DKIM = append(conf.DKIM, config.DKIM{Domain: "oak.example", Selector: k.Selector, Record: k.Record, Key: id})
		half := len(k.Record) / 2
		lines = append(lines, fmt.Sprintf(`%s._domainkey.oak.example. 60 IN TXT %q %q`, k.Selector, k.Record[:half], k.Record[half:]))
	}
	for name, rrs := range lookuptest.Zone(lines...) {
		zone[name] = rrs
	}
	oak := startWith(t, conf, t.TempDir(), Options{
		DNS: zone, Secret: func(id config.Secret) ([]byte, error) { return secrets[id], nil },
		Queue: queue.Options{Port: uint16(n), Reach: func(netip.Addr) bool { return true }},
	})
	c := oak.submitter(t, "alice")
	c.says("MAIL FROM:<alice@oak.example>", "250 ")
	for _, bad := range []string{"bob%elm.example@elsewhere.example", `"bob@elm.example"@elsewhere.example`, "elm.example!bob@elsewhere.example", "bob@localhost", "bob@[127.0.0.1]"} {
		c.says("RCPT TO:<"+bad+">", "5")
	}
	c.says("RCPT TO:<bob@elm.example>", "250 ")
	c.says("RCPT TO:<bob@oak.example>", "250 ")
	c.says("RCPT TO:<nobody@elm.example>", "250 ")
	c.says("DATA", "354 ")
	c.says("From: Alice <alice@oak.example>\r\nTo: bob@elm.example\r\nSubject: A walk\r\n\r\nShall we?\r\n.", "250 ")
	nettest.WaitFor(t, 10*time.Second, func() bool {
		return len(elm.inbox(t, "bob")) == 1 && len(oak.Outbound().List()) == 0 && len(oak.inbox(t, "alice")) == 1
	})
	got := elm.inbox(t, "bob")[0]
	for _, want := range []string{"Return-Path: <alice@oak.example>\r\nAuthentication-Results: mail.elm.example;", "dkim=pass header.d=oak.example header.s=r", "dkim=pass header.d=oak.example header.s=e", "dmarc=pass ", "\r\nDate: ", "\r\nMessage-ID: <", "\r\n\r\nShall we?\r\n"} {
		if !strings.Contains(got, want) {
			t.Errorf("it lacks %q:\n%s", want, got)
		}
	}
	if strings.Count(got, "Received: ") != 2 || strings.Contains(got, "from client.example ([127.0.0.1]") && strings.Count(got, "127.0.0.1") > 1 {
		t.Errorf("%s", got)
	}
	if mine := oak.inbox(t, "bob"); len(mine) != 1 || strings.Contains(mine[0], "DKIM-Signature") {
		t.Errorf("at home: %q", mine)
	}
	report := oak.inbox(t, "alice")[0]
	if !strings.Contains(report, "Content-Type: multipart/report; report-type=delivery-status;") || !strings.Contains(report, "Final-Recipient: rfc822; nobody@elm.example\r\nAction: failed\r\nStatus: 5.1.1") {
		t.Errorf("%s", report)
	}
}
