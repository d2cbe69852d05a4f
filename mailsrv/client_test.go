package mailsrv

import (
	"bufio"
	"crypto/tls"
	"encoding/base64"
	"io"
	"net"
	"strings"
	"testing"
	"time"

	"pic/mailsrv/store"
)

// A client speaks lines, and says what it likes.
type client struct {
	t  testing.TB
	c  net.Conn
	br *bufio.Reader
}

func dial(t testing.TB, addr string) *client {
	t.Helper()
	c, err := net.Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	return wrap(t, c)
}

func wrap(t testing.TB, c net.Conn) *client {
	t.Cleanup(func() { c.Close() })
	c.SetDeadline(time.Now().Add(20 * time.Second))
	return &client{t, c, bufio.NewReader(c)}
}

func (c *client) send(s string) {
	c.t.Helper()
	if _, err := io.WriteString(c.c, s); err != nil {
		c.t.Fatalf("sending %.60q: %v", s, err)
	}
}

// reply reads one reply of SMTP, whose last line it returns. "closed" is the end.
func (c *client) reply() string {
	c.t.Helper()
	for {
		line, err := c.br.ReadString('\n')
		if err != nil {
			return "closed"
		}
		if len(line) < 4 || line[3] != '-' {
			return strings.TrimRight(line, "\r\n")
		}
	}
}

// lines reads all lines of one reply.
func (c *client) lines() string {
	var all strings.Builder
	for {
		line, err := c.br.ReadString('\n')
		all.WriteString(line)
		if err != nil || len(line) < 4 || line[3] != '-' {
			return all.String()
		}
	}
}

// says sends a line and checks what the reply begins with.
func (c *client) says(line, want string) {
	c.t.Helper()
	c.send(line + "\r\n")
	if got := c.reply(); !strings.HasPrefix(got, want) {
		c.t.Errorf("%.80q: %q, want %q", line, got, want)
	}
}

// hello begins SMTP.
func (c *client) hello() *client {
	c.t.Helper()
	if got := c.reply(); !strings.HasPrefix(got, "220 ") {
		c.t.Fatalf("greeting %q", got)
	}
	c.says("EHLO client.example", "250 ")
	return c
}

// secure does STARTTLS.
func (x *cell) secure(c *client) *client {
	c.t.Helper()
	c.says("STARTTLS", "220 ")
	tc := tls.Client(c.c, x.tls())
	if err := tc.Handshake(); err != nil {
		c.t.Fatal(err)
	}
	c = wrap(c.t, tc)
	c.says("EHLO client.example", "250 ")
	return c
}

func plain(user string) string {
	return base64.StdEncoding.EncodeToString([]byte("\x00" + user + "\x00" + user + "-secret"))
}

func (x *cell) dialTLS(t testing.TB, addr string) *client {
	t.Helper()
	c, err := tls.Dial("tcp", addr, x.tls())
	if err != nil {
		t.Fatal(err)
	}
	return wrap(t, c)
}

// submitter is logged in for submission.
func (x *cell) submitter(t testing.TB, user string) *client {
	t.Helper()
	c := x.dialTLS(t, x.at(submissions)).hello()
	c.says("AUTH PLAIN "+plain(user), "235 ")
	return c
}

// inbox returns the texts of all messages in a user's INBOX.
func (x *cell) inbox(t testing.TB, user string) []string {
	t.Helper()
	return x.box(t, user, "INBOX")
}

// box returns the messages of a mailbox.
func (x *cell) box(t testing.TB, user, name string) []string {
	t.Helper()
	l := x.enter()
	if l == nil {
		t.Fatal("not running")
	}
	defer l.wg.Done()
	a, err := l.store.Account(user)
	if err != nil {
		t.Fatal(err)
	}
	defer a.Release()
	in, _ := a.Mailbox(name)
	rows := make([]store.Message, in.Messages)
	a.Messages(in.ID, 0, rows)
	var out []string
	for _, r := range rows {
		c, err := a.Open(r)
		if err != nil {
			t.Fatal(err)
		}
		b, err := io.ReadAll(c)
		if err != nil {
			t.Fatal(err)
		}
		c.Close()
		out = append(out, string(b))
	}
	return out
}
