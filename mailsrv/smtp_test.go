package mailsrv

import (
	"bytes"
	"crypto/tls"
	"encoding/base64"
	"fmt"
	"io"
	"net/netip"
	"strings"
	"testing"
	"time"

	"pic/internal/nettest"
)

func TestMailFromOutsideIsStoredWithTrace(t *testing.T) {
	x := start(t, testConfig())
	c := dial(t, x.at(smtpIn)).hello()
	c.says("MAIL FROM:<x@example.net> SIZE=100", "250 ")
	c.says("MAIL FROM:<y@example.net>", "503 5.5.1")
	c.says("RCPT TO:<family@oak.home.arpa>", "250 ")
	c.says("RCPT TO:<alice@example.org>", "250 ") // twice the same person
	c.says("RCPT TO:<nobody@oak.home.arpa>", "550 5.1.1")
	c.says("DATA", "354 ")
	c.says("Subject: hi\r\n\r\ntext\r\n..dot\r\n.", "250 2.0.0")
	c.says("MAIL FROM:<>", "250 ")
	c.says("RCPT TO:<postmaster>", "250 ")
	c.says("DATA", "354 ")
	c.says("\r\n.", "250 ")
	c.says("QUIT", "221 ")
	got := x.inbox(t, "alice")
	if len(got) != 2 {
		t.Fatalf("%d messages", len(got))
	}
	head, body, _ := strings.Cut(got[0], "Subject: hi\r\n")
	if body != "\r\ntext\r\n.dot\r\n" {
		t.Errorf("body %q", body)
	}
	for _, want := range []string{"Return-Path: <x@example.net>\r\nReceived: from client.example ([127.0.0.1])\r\n\tby mail.oak.home.arpa with ESMTP id ", "\r\n\t"} {
		if !strings.Contains(head, want) {
			t.Errorf("%q lacks %q", head, want)
		}
	}
	if strings.Contains(head, "for <") {
		t.Error("tells one recipient of another")
	}
	if !strings.HasPrefix(got[1], "Return-Path: <>\r\n") || !strings.Contains(got[1], "for <postmaster@mail.oak.home.arpa>;") {
		t.Errorf("%q", got[1])
	}
	if n := len(x.inbox(t, "bob")); n != 1 {
		t.Errorf("bob has %d messages", n)
	}
}

// The matrix of who may send what to whom, and on which port.
func TestNobodyCanRelay(t *testing.T) {
	x := start(t, testConfig())
	ports := map[string]func() *client{
		"25":           func() *client { return dial(t, x.at(smtpIn)).hello() },
		"25 with TLS":  func() *client { return x.secure(dial(t, x.at(smtpIn)).hello()) },
		"587":          func() *client { return dial(t, x.at(submission)).hello() },
		"587 with TLS": func() *client { return x.secure(dial(t, x.at(submission)).hello()) },
		"465":          func() *client { return x.dialTLS(t, x.at(submissions)).hello() },
	}
	for name, connect := range ports {
		in := strings.HasPrefix(name, "25")
		for _, login := range []bool{false, true} {
			for _, to := range []string{
				"alice@oak.home.arpa", "x@example.net", "x%example.net@oak.home.arpa", `"x@example.net"@oak.home.arpa`,
				"@oak.home.arpa:x@example.net", "example.net!x", "example.net!x@oak.home.arpa", "x@[192.0.2.1]", "x@[IPv6:2001:db8::1]",
			} {
				for _, from := range []string{"", "x@example.net", "alice@oak.home.arpa"} {
					c := connect()
					auth := false
					if login {
						c.send("AUTH PLAIN " + plain("alice") + "\r\n")
						reply := c.reply()
						auth = strings.HasPrefix(reply, "235 ")
						switch {
						case in && !strings.HasPrefix(reply, "503 5.5.1"), name == "587" && !strings.HasPrefix(reply, "538 5.7.11"),
							strings.HasSuffix(name, "TLS") && !in && !auth, name == "465" && !auth:
							t.Errorf("%s: login: %q", name, reply)
						}
					}
					c.send("MAIL FROM:<" + from + ">\r\n")
					mail := c.reply()
					wantMail := "250"
					switch {
					case !in && !auth:
						wantMail = "530 5.7.0"
					case auth && from == "x@example.net":
						wantMail = "553 5.7.1"
					}
					if !strings.HasPrefix(mail, wantMail) {
						t.Errorf("%s, login %v, from %q: %q, want %s", name, auth, from, mail, wantMail)
					}
					c.send("RCPT TO:<" + to + ">\r\n")
					rcpt := c.reply()
					may := wantMail == "250" && (to == "alice@oak.home.arpa" || auth && (to == "x@example.net" || to == "@oak.home.arpa:x@example.net"))
					if strings.HasPrefix(rcpt, "250") != may || !may && rcpt[0] != '5' {
						t.Errorf("%s, login %v, from %q to %q: %q", name, auth, from, to, rcpt)
					}
					c.c.Close()
				}
			}
		}
	}
}

// Seven ends of a message that are none, or are one in an odd place. None lets
// the text behind it become a second message.
func TestNothingIsSmuggled(t *testing.T) {
	x := start(t, testConfig())
	inner := "MAIL FROM:<evil@example.net>\r\nRCPT TO:<alice@oak.home.arpa>\r\nDATA\r\nSubject: smuggled\r\n\r\nx\r\n.\r\n"
	for name, end := range map[string]string{
		"LF.LF": "\n.\n", "LF.CRLF": "\n.\r\n", "CRLF.LF": "\r\n.\n", "CR.CR": "\r.\r", "CR.CRLF": "\r.\r\n", "CRLF.CR": "\r\n.\r",
		"CRLF.NUL": "\r\n\x00.\r\n",
	} {
		c := dial(t, x.at(smtpIn)).hello()
		c.says("MAIL FROM:<x@example.net>", "250 ")
		c.says("RCPT TO:<alice@oak.home.arpa>", "250 ")
		c.says("DATA", "354 ")
		// All that follows is one message, up to the end of inner.
		c.send("Subject: outer\r\n\r\nhi" + end + inner + "NOOP\r\n")
		if got := c.reply(); !strings.HasPrefix(got, "550 5.5.2") {
			t.Errorf("%s: %q", name, got)
		}
		if got := c.reply(); !strings.HasPrefix(got, "250 2.0.0") {
			t.Errorf("%s: after it NOOP gives %q", name, got)
		}
		c.says("QUIT", "221 ")
	}
	// A CR before the end is bad, but the end it is: the next commands are
	// commands.
	c := dial(t, x.at(smtpIn)).hello()
	c.says("MAIL FROM:<x@example.net>", "250 ")
	c.says("RCPT TO:<alice@oak.home.arpa>", "250 ")
	c.says("DATA", "354 ")
	c.send("hi\r\r\n.\r\nNOOP\r\nQUIT\r\n")
	for _, want := range []string{"550 5.5.2", "250 2.0.0", "221 "} {
		if got := c.reply(); !strings.HasPrefix(got, want) {
			t.Errorf("CRCRLF.CRLF: %q, want %s", got, want)
		}
	}
	if got := x.inbox(t, "alice"); len(got) != 0 {
		t.Errorf("%d messages got in: %q", len(got), got)
	}
	// The same on submission, inside TLS.
	s := x.submitter(t, "alice")
	s.says("MAIL FROM:<alice@oak.home.arpa>", "250 ")
	s.says("RCPT TO:<bob@oak.home.arpa>", "250 ")
	s.says("DATA", "354 ")
	s.says("From: alice@oak.home.arpa\r\n\r\nhi\n.\r\nx\r\n.", "550 5.5.2")
	s.says("QUIT", "221 ")
}

func TestBareLineEndsInCommandsAreRefused(t *testing.T) {
	x := start(t, testConfig())
	c := dial(t, x.at(smtpIn)).hello()
	c.send("NOOP\n")
	if got := c.reply(); !strings.HasPrefix(got, "500 5.5.2") {
		t.Error(got)
	}
	c.says("NOOP\rNOOP", "500 5.5.2")
	c.says("NO\x00OP", "500 5.5.2")
	c.says("NOOP", "250 ")
	c.says("STARTTLSx", "500 ")
	c.says("STARTTLS now", "501 ")
	c.says(strings.Repeat("x", 3000), "500 5.5.2 Line too long")
	if got := c.reply(); got != "closed" {
		t.Error(got)
	}
	c = dial(t, x.at(smtpIn))
	c.reply()
	c.says("GET / HTTP/1.1", "421 ")
}

// What is sent in the clear behind STARTTLS is not obeyed afterwards.
func TestCommandsBehindSTARTTLSAreDropped(t *testing.T) {
	x := start(t, testConfig())
	for name, p := range map[string]protocol{"25": smtpIn, "587": submission} {
		c := dial(t, x.at(p)).hello()
		c.send("STARTTLS\r\nNOOP\r\nMAIL FROM:<evil@example.net>\r\n")
		if got := c.reply(); !strings.HasPrefix(got, "220 ") {
			t.Fatal(got)
		}
		tc := tls.Client(c.c, x.tls())
		if err := tc.Handshake(); err != nil {
			t.Fatal(err)
		}
		c = wrap(t, tc)
		c.send("VRFY x\r\n") // has a reply of its own
		if got := c.reply(); !strings.HasPrefix(got, "252 ") {
			t.Errorf("%s: first reply inside TLS is %q", name, got)
		}
		c.says("MAIL FROM:<x@example.net>", "502 ") // EHLO is forgotten as well
		c.send("EHLO again\r\n")
		if all := c.lines(); strings.Contains(all, "STARTTLS") || strings.Contains(all, "CHUNKING") || strings.Contains(all, "AUTH") != (p == submission) {
			t.Errorf("%s offers %q", name, all)
		}
		c.says("STARTTLS", "503 ")
	}
}

func TestSizesAreLimited(t *testing.T) {
	x := start(t, testConfig())
	c := dial(t, x.at(smtpIn)).hello()
	c.says("MAIL FROM:<x@example.net> SIZE=1048577", "552 5.3.4")
	c.says("MAIL FROM:<x@example.net>", "250 ")
	c.says("RCPT TO:<alice@oak.home.arpa>", "250 ")
	c.says("DATA", "354 ")
	c.says(strings.Repeat("0123456789abcdef\r\n", 64<<10)+".", "552 5.3.4")
	c.says("NOOP", "250 ")
	for i := range maxRecipients {
		if i == 0 {
			c.says("MAIL FROM:<x@example.net>", "250 ")
		}
		c.says(fmt.Sprintf("RCPT TO:<alice+%d@oak.home.arpa>", i), "250 ")
	}
	c.says("RCPT TO:<bob@oak.home.arpa>", "452 4.5.3")
	c.says("BDAT 4294967296 LAST", "552 5.3.4")
	if got := c.reply(); got != "closed" {
		t.Error(got)
	}
	c = dial(t, x.at(smtpIn)).hello()
	c.says("BDAT 5 LAST", "502 ")
	c = dial(t, x.at(smtpIn)).hello()
	c.says("MAIL FROM:<x@example.net>", "250 ")
	for range 20 {
		c.says("RCPT TO:<nobody@oak.home.arpa>", "550 5.1.1")
	}
	c.says("RCPT TO:<nobody@oak.home.arpa>", "421 ")
	if got := c.reply(); got != "closed" {
		t.Error(got)
	}
	// An endless message is not read for ever.
	c = dial(t, x.at(smtpIn)).hello()
	c.says("MAIL FROM:<x@example.net>", "250 ")
	c.says("RCPT TO:<alice@oak.home.arpa>", "250 ")
	c.says("DATA", "354 ")
	chunk := strings.Repeat(strings.Repeat("x", 998)+"\r\n", 256)
	for i := 0; ; i++ {
		if _, err := io.WriteString(c.c, chunk); err != nil {
			break
		}
		if i > 100 {
			t.Fatal("25 MB were read of a message of 1 MB at most")
		}
	}
	if got := x.inbox(t, "alice"); len(got) != 0 {
		t.Errorf("%d messages", len(got))
	}
	if n := x.spooled.Load(); n != 0 {
		t.Errorf("%d bytes of spools are not given back", n)
	}
}

func TestSubmissionAddsAndChecksFields(t *testing.T) {
	x := start(t, testConfig())
	c := x.submitter(t, "alice@oak.home.arpa"[:5])
	send := func(header, want string) {
		t.Helper()
		c.says("MAIL FROM:<alice@oak.home.arpa>", "250 ")
		c.says("RCPT TO:<bob@oak.home.arpa>", "250 ")
		c.says("DATA", "354 ")
		c.says(header+"\r\ntext\r\n.", want)
	}
	send("From: Alice <alice+x@example.org>\r\n", "250 ")
	send("Date: Mon, 1 Jan 2024 00:00:00 +0000\r\nMessage-ID: <own@x>\r\nFrom: family@oak.home.arpa\r\n", "250 ")
	send("From: Bob <bob@oak.home.arpa>\r\n", "550 5.7.1")
	send("From: alice@oak.home.arpa, boss@example.net\r\n", "550 5.7.1")
	send("From: boss@example.net\r\nResent-From: alice@oak.home.arpa\r\n", "250 ")
	got := x.inbox(t, "bob")
	if len(got) != 3 {
		t.Fatalf("%d messages", len(got))
	}
	if !strings.Contains(got[0], "\r\nDate: ") || !strings.Contains(got[0], "@mail.oak.home.arpa>\r\nFrom: Alice") || !strings.Contains(got[0], " with ESMTPSA id ") {
		t.Errorf("%q", got[0])
	}
	if n := strings.Count(got[1], "Date:") + strings.Count(got[1], "Message-ID:"); n != 2 {
		t.Errorf("%q", got[1])
	}
}

func TestLoginsAreCounted(t *testing.T) {
	x := start(t, testConfig())
	b64 := base64.StdEncoding.EncodeToString
	c := x.secure(dial(t, x.at(submission)).hello())
	c.says("AUTH LOGIN", "334 "+b64([]byte("Username:")))
	c.says(b64([]byte("bob@oak.home.arpa")), "334 "+b64([]byte("Password:")))
	c.says(b64([]byte("bob-secret")), "235 ")
	c.says("AUTH PLAIN "+plain("bob"), "503 ")
	c.says("MAIL FROM:<bob@example.org>", "250 ")

	// A response that is too long ends all, also what follows it.
	c = x.dialTLS(t, x.at(submissions)).hello()
	c.says("AUTH PLAIN", "334")
	c.says(strings.Repeat("x", 3000)+"\r\nAUTH PLAIN "+plain("alice"), "500 5.5.2")
	if got := c.reply(); got != "closed" {
		t.Error(got)
	}

	c = x.dialTLS(t, x.at(submissions)).hello()
	c.says("AUTH LOGIN "+b64([]byte("bob")), "334 ")
	c.says("*", "501 ")
	c.says("AUTH CRAM-MD5", "504 ")
	c.says("AUTH PLAIN "+b64([]byte("bob\x00alice\x00alice-secret")), "535 5.7.8")
	c.says("AUTH PLAIN "+b64([]byte("\x00alice\x00wrong")), "535 5.7.8")
	c.says("AUTH PLAIN "+b64([]byte("\x00dave\x00dave-secret")), "535 5.7.8") // switched off
	if got := c.reply(); got != "closed" {
		t.Error(got)
	}
}

func TestOutsidersMayOnlyBringMail(t *testing.T) {
	c := testConfig()
	c.Insiders = []netip.Prefix{netip.MustParsePrefix("192.0.2.0/24")}
	x := start(t, c)
	dial(t, x.at(smtpIn)).hello()
	if got := dial(t, x.at(submission)).reply(); !strings.HasPrefix(got, "554 5.7.1") {
		t.Error(got)
	}
	for _, p := range []protocol{submissions, imaps} {
		if c, err := tls.Dial("tcp", x.at(p), x.tls()); err == nil {
			c.Close()
			t.Errorf("%v serves outsiders", p)
		}
	}
}

// Many slow connections neither keep others waiting nor cost much.
func TestSlowAndManyConnections(t *testing.T) {
	x := start(t, testConfig())
	x.smtp.allow(400)
	before := memory()
	for range 300 {
		c := dial(t, x.at(smtpIn)).hello()
		c.says("MAIL FROM:<x@example.net>", "250 ")
		c.says("RCPT TO:<alice@oak.home.arpa>", "250 ")
		c.says("DATA", "354 ")
		c.send("S")
	}
	used := (memory() - before) / 300
	t.Logf("%d bytes a connection, both ends", used)
	if used > 64<<10 {
		t.Errorf("a slow connection costs %d bytes", used)
	}
	begun := time.Now()
	c := dial(t, x.at(smtpIn)).hello()
	c.says("MAIL FROM:<x@example.net>", "250 ")
	c.says("RCPT TO:<alice@oak.home.arpa>", "250 ")
	c.says("DATA", "354 ")
	c.says("hi\r\n.", "250 ")
	if took := time.Since(begun); took > time.Second {
		t.Errorf("took %v", took)
	}
	x.smtp.allow(302)
	dial(t, x.at(smtpIn)).hello()
	if got := dial(t, x.at(smtpIn)).reply(); !strings.HasPrefix(got, "421 ") {
		t.Error(got)
	}
}

func TestMailIsTakenWhileMemoryIsShort(t *testing.T) {
	x := start(t, testConfig())
	x.spooled.Store(spoolTotal)
	defer x.spooled.Store(0)
	text := strings.Repeat("0123456789\r\n", 50000)
	c := dial(t, x.at(smtpIn)).hello()
	c.says("MAIL FROM:<x@example.net>", "250 ")
	c.says("RCPT TO:<alice@oak.home.arpa>", "250 ")
	c.says("DATA", "354 ")
	c.says(text+".", "250 ")
	if got := x.inbox(t, "alice"); len(got) != 1 || !strings.HasSuffix(got[0], text) {
		t.Error("the message did not arrive whole")
	}
}

func TestDeliverIsForLocalUse(t *testing.T) {
	x := start(t, testConfig())
	msg := "Subject: backup done\r\n\r\nx\r\n"
	if err := x.Deliver(t.Context(), "", []string{"alice", "family@oak.home.arpa"}, strings.NewReader(msg)); err != nil {
		t.Fatal(err)
	}
	if got := x.inbox(t, "alice"); len(got) != 1 || got[0] != "Return-Path: <>\r\n"+msg {
		t.Errorf("%q", got)
	}
	for _, to := range []string{"dave", "nobody", "x@example.net"} {
		if err := x.Deliver(t.Context(), "", []string{to}, strings.NewReader(msg)); err == nil {
			t.Errorf("delivered to %s", to)
		}
	}
	if err := x.Deliver(t.Context(), "", []string{"alice"}, bytes.NewReader(make([]byte, 2<<20))); err == nil {
		t.Error("delivered too much")
	}
	x.stop()
	if err := x.Deliver(t.Context(), "", []string{"alice"}, strings.NewReader(msg)); err == nil {
		t.Error("delivered after the end")
	}
	nettest.WaitFor(t, time.Second, func() bool { return x.spooled.Load() == 0 })
}
