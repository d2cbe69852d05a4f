package mailsrv

import (
	"context"
	"net/netip"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"pic/core/config"
	"pic/internal/listen"
	"pic/internal/nettest"
)

// People, aliases and domains change under the feet of open sessions; these and
// the sockets stay.
func TestChangesAreHot(t *testing.T) {
	conf := testConfig()
	x := start(t, conf)
	sockets := x.Sockets()
	smtp, alice, bob := dial(t, x.at(smtpIn)).hello(), x.imapAs(t, "alice"), x.imapAs(t, "bob")
	sub := x.submitter(t, "bob")
	sub.says("MAIL FROM:<bob@oak.home.arpa>", "250 ")

	next := conf
	next.Users, next.Disabled = []string{"alice", "carol"}, []string{"dave", "bob"}
	next.Domains = []string{"new.example"}
	next.Aliases = []config.Alias{{Name: "team", To: []string{"carol"}}}
	if err := x.Apply(t.Context(), next); err != nil {
		t.Fatal(err)
	}
	if got := x.Sockets(); !slices.Equal(got, sockets) {
		t.Errorf("sockets %v became %v", sockets, got)
	}
	smtp.says("MAIL FROM:<x@example.net>", "250 ")
	smtp.says("RCPT TO:<alice@oak.home.arpa>", "550 5.7.1")
	smtp.says("RCPT TO:<bob@new.example>", "550 5.2.1")
	smtp.says("RCPT TO:<team@new.example>", "250 ")
	smtp.says("DATA", "354 ")
	smtp.says("hi\r\n.", "250 ")
	alice.ok("NOOP")
	if got := bob.line(); got != "closed" {
		t.Errorf("bob still has his session: %q", got)
	}
	if got := sub.reply(); got != "closed" {
		t.Errorf("bob still submits: %q", got)
	}
	x.imap1(t).gives("LOGIN bob bob-secret", "NO [AUTHENTICATIONFAILED]")
	if n := len(x.inbox(t, "carol")); n != 1 {
		t.Errorf("carol has %d messages", n)
	}
	accounts, err := x.Accounts()
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []AccountStatus{{User: "alice"}, {User: "bob", Suspended: true}} {
		if !slices.Contains(accounts, want) {
			t.Errorf("%+v lacks %+v", accounts, want)
		}
	}
	boxes, err := x.Mailboxes("carol")
	if err != nil || len(boxes) != 6 || boxes[0].Name != "INBOX" || boxes[0].Messages != 1 {
		t.Errorf("%+v %v", boxes, err)
	}
	if _, err := x.Mailboxes("nobody"); err == nil {
		t.Error("nobody has mailboxes")
	}

	// One port moves; sessions on it and elsewhere live on.
	old := x.at(imaps)
	next.IMAPS = []listen.Socket{{Net: "tcp", Addr: netip.MustParseAddrPort("127.0.0.5:0")}}
	if err := x.Apply(t.Context(), next); err != nil {
		t.Fatal(err)
	}
	if x.at(imaps) == old || x.at(smtpIn) == "" {
		t.Error("the port did not move, or others did")
	}
	alice.ok("NOOP")
	x.imapAs(t, "carol").ok("SELECT INBOX")
	smtp.says("NOOP", "250 ")

	// What cannot be had leaves all as it is.
	bad := next
	bad.SMTP = []listen.Socket{{Net: "tcp", Addr: netip.MustParseAddrPort("192.0.2.1:2525")}}
	bad.Users = nil
	if err := x.Apply(t.Context(), bad); err == nil {
		t.Error("listens on a foreign address")
	}
	smtp.says("MAIL FROM:<>", "250 ")
	smtp.says("RCPT TO:<alice@new.example>", "250 ")

	// Two services at one place are refused before anything happens.
	bad = next
	bad.SMTP = next.IMAPS
	if err := x.Check(t.Context(), bad); err == nil {
		t.Error("two services have one socket")
	}

	// Off and on again.
	if err := x.Apply(t.Context(), Config{}); err != nil {
		t.Fatal(err)
	}
	nettest.WaitFor(t, 5*time.Second, func() bool { return x.imap.count()+x.smtp.count() == 0 })
	if got := x.Sockets(); len(got) != 0 {
		t.Errorf("off, but %v", got)
	}
	if err := x.Deliver(t.Context(), "", []string{"alice"}, strings.NewReader("x")); err == nil {
		t.Error("off, but delivers")
	}
	if err := x.Apply(t.Context(), conf); err != nil {
		t.Fatal(err)
	}
	x.imapAs(t, "bob").gives("STATUS INBOX (MESSAGES)", "OK ", "* STATUS INBOX (MESSAGES 0)")
}

// After Run has ended the supervisor may begin again.
func TestItCanBeStartedAgain(t *testing.T) {
	x := start(t, testConfig())
	x.imapAs(t, "alice").append("INBOX", "()", sample)
	x.stop()
	y := startIn(t, testConfig(), filepath.Dir(x.dir)) // the folder is free
	y.stop()
	if err := x.Apply(t.Context(), testConfig()); err != nil {
		t.Fatal(err)
	}
	x.imapAs(t, "alice").gives("STATUS INBOX (MESSAGES)", "OK ", "* STATUS INBOX (MESSAGES 1)")
	over, cancel := context.WithCancel(t.Context())
	cancel()
	if err := x.Run(over); err != nil {
		t.Fatal(err)
	}
	if got := x.Sockets(); len(got) != 0 {
		t.Errorf("after the end: %v", got)
	}
}

func TestReports(t *testing.T) {
	conf := testConfig()
	x := start(t, conf)
	if got := x.Problems(); len(got) != 0 {
		t.Errorf("%+v", got)
	}
	x.full.Store(time.Now().UnixNano())
	conf.Postmaster = ""
	if err := x.Apply(t.Context(), conf); err != nil {
		t.Fatal(err)
	}
	got := x.Problems()
	if len(got) != 2 || got[0].Code != "mail/disk-full" || got[1].Code != "mail/no-postmaster" {
		t.Errorf("%+v", got)
	}
	x.imapAs(t, "alice")
	facts := x.Facts()
	if len(facts) != 3 || facts[1].Value != "1" {
		t.Errorf("%+v", facts)
	}
	if got := x.Sockets(); len(got) != 4 || !strings.HasPrefix(got[0], "tcp 127.0.0.") {
		t.Errorf("%v", got)
	}
}
