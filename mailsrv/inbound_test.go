package mailsrv

import (
	"crypto/ed25519"
	"net"
	"net/netip"
	"strings"
	"testing"

	"pic/mailsrv/origin"
)

// from connects to SMTP from one of the machine's own addresses.
func (x *cell) from(t *testing.T, addr string) *client {
	t.Helper()
	d := net.Dialer{LocalAddr: &net.TCPAddr{IP: net.ParseIP(addr)}}
	c, err := d.DialContext(t.Context(), "tcp", x.at(smtpIn))
	if err != nil {
		t.Fatal(err)
	}
	return wrap(t, c).hello()
}

// send sends a message to alice and returns the reply.
func (c *client) message(from, text string) string {
	c.t.Helper()
	c.says("MAIL FROM:<"+from+">", "250 ")
	c.says("RCPT TO:<alice@oak.home.arpa>", "250 ")
	c.says("DATA", "354 ")
	c.send(text + "\r\n.\r\n")
	return c.reply()
}

// Mail from outside says what it is worth, goes to Junk or is refused as the
// domain in From wants, and cannot speak for us.
func TestMailFromOutsideIsExamined(t *testing.T) {
	conf := testConfig()
	conf.Insiders = []netip.Prefix{netip.MustParsePrefix("127.0.0.1/32")}
	x := start(t, conf)
	key := origin.Key{Domain: "example.net", Selector: "s", Signer: ed25519.NewKeyFromSeed(make([]byte, 32))}
	head, body := "From: Bob <bob@example.net>\r\nSubject: walk\r\n", "Shall we?\r\n"
	sig, err := origin.Sign([]byte(head), strings.NewReader(body), []origin.Key{key}, x.policy.Load().since)
	if err != nil {
		t.Fatal(err)
	}
	signed := string(sig) + head + "\r\n" + body
	good, bad := "127.0.7.1", "127.0.7.2"
	for name, tt := range map[string]struct {
		addr, from, text string
		reply            string
		box              string
		results          string
	}{
		"allowed host":    {good, "bob@example.net", head + "\r\n" + body, "250 ", "INBOX", "spf=pass smtp.mailfrom=bob@example.net;\r\n\tdkim=none;\r\n\tdmarc=pass "},
		"signed":          {bad, "bounce@elsewhere.example", signed, "250 ", "INBOX", "dkim=pass header.d=example.net header.s=s "},
		"neither":         {bad, "bob@example.net", head + "\r\n" + body, "550 5.7.1 example.net wants mail refused", "", ""},
		"below":           {bad, "bob@example.net", "From: x@sub.example.net\r\n\r\n", "250 ", "Junk", "dmarc=fail "},
		"as if from us":   {bad, "bob@elsewhere.example", "From: Alice <alice@example.org>\r\n\r\n", "250 ", "Junk", "dmarc=none "},
		"in our name":     {good, "bob@example.net", "Authentication-Results: mail.oak.home.arpa; dmarc=lie\r\n" + head + "\r\n" + body, "250 ", "INBOX", "dmarc=pass "},
		"without headers": {good, "bob@example.net", "\r\nhi", "250 ", "INBOX", "dmarc=permerror "},
		"DNS is down":     {bad, "x@down.example", "From: x@down.example\r\n\r\n", "250 ", "INBOX", "spf=temperror "},
		"an insider":      {"127.0.0.1", "bob@example.net", head + "\r\n" + body, "250 ", "INBOX", ""},
	} {
		c := x.from(t, tt.addr)
		if got := c.message(tt.from, tt.text); !strings.HasPrefix(got, tt.reply) {
			t.Errorf("%s: %s", name, got)
		}
		boxes := map[string][]string{"INBOX": x.box(t, "alice", "INBOX"), "Junk": x.box(t, "alice", "Junk")}
		for box, msgs := range boxes {
			want := 0
			if box == tt.box {
				want = 1
			}
			if len(msgs) != want {
				t.Errorf("%s: %d messages in %s", name, len(msgs), box)
				continue
			}
			if want == 0 {
				continue
			}
			m := msgs[0]
			if !strings.HasPrefix(m, "Return-Path: <"+tt.from+">\r\n") || !strings.Contains(m, tt.results) || strings.Contains(m, "dmarc=lie") ||
				strings.Contains(m, "Authentication-Results: mail.oak.home.arpa;") != (tt.results != "") || strings.Contains(tt.text, body) && !strings.HasSuffix(m, "\r\n\r\n"+body+"\r\n") {
				t.Errorf("%s: %q", name, m)
			}
		}
		x.empty(t, "alice")
	}
}

// empty removes all messages of a user.
func (x *cell) empty(t *testing.T, user string) {
	t.Helper()
	l := x.enter()
	defer l.wg.Done()
	a, err := l.store.Account(user)
	if err != nil {
		t.Fatal(err)
	}
	defer a.Release()
	for _, b := range a.Mailboxes() {
		uids, _, err := a.UIDs(b.ID)
		if err == nil && len(uids) > 0 {
			_, err = a.Remove(t.Context(), b.ID, uids)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
}
