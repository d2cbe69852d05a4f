package mailsrv

import (
	"fmt"
	"io"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/emersion/go-imap/v2"
	"github.com/emersion/go-imap/v2/imapclient"
)

// An imapConn speaks IMAP line by line.
type imapConn struct {
	*client
	n int
}

func (x *cell) imap1(t testing.TB) *imapConn {
	t.Helper()
	c := &imapConn{client: x.dialTLS(t, x.at(imaps))}
	if line := c.line(); !strings.HasPrefix(line, "* OK ") {
		t.Fatalf("greeting %q", line)
	}
	return c
}

// imapAs is logged in.
func (x *cell) imapAs(t testing.TB, user string) *imapConn {
	t.Helper()
	c := x.imap1(t)
	c.ok("LOGIN " + user + " " + user + "-secret")
	return c
}

func (c *imapConn) line() string {
	s, err := c.br.ReadString('\n')
	if err != nil {
		return "closed"
	}
	return strings.TrimRight(s, "\r\n")
}

// do sends a command and returns the untagged lines and the rest of the tagged
// one.
func (c *imapConn) do(command string) (untagged []string, result string) {
	c.t.Helper()
	c.n++
	tag := fmt.Sprintf("t%d ", c.n)
	c.send(tag + command + "\r\n")
	for {
		l := c.line()
		if rest, ok := strings.CutPrefix(l, tag); ok {
			return untagged, rest
		}
		untagged = append(untagged, l)
		if l == "closed" {
			return untagged, l
		}
	}
}

// ok does a command that must succeed.
func (c *imapConn) ok(command string) []string {
	c.t.Helper()
	u, r := c.do(command)
	if !strings.HasPrefix(r, "OK ") {
		c.t.Errorf("%.80s: %q %.200q", command, r, u)
	}
	return u
}

// gives does a command and checks all that it gives, the tagged line by its
// beginning.
func (c *imapConn) gives(command, result string, untagged ...string) {
	c.t.Helper()
	u, r := c.do(command)
	if !strings.HasPrefix(r, result) || !slices.Equal(u, untagged) {
		c.t.Errorf("%s:\n  got  %q %q\n  want %q %q", command, u, r, untagged, result)
	}
}

func (c *imapConn) append(box, flags, text string) {
	c.t.Helper()
	c.ok(fmt.Sprintf("APPEND %s %s {%d+}\r\n%s", box, flags, len(text), text))
}

// section fetches one literal.
func (c *imapConn) section(item string) string {
	c.t.Helper()
	c.n++
	c.send(fmt.Sprintf("t%d FETCH 1 (%s)\r\n", c.n, item))
	head := c.line()
	var n int
	i := strings.LastIndexByte(head, '{')
	if _, err := fmt.Sscanf(head[max(i, 0):], "{%d}", &n); err != nil {
		c.t.Fatalf("%s: %q", item, head)
	}
	b := make([]byte, n)
	if _, err := io.ReadFull(c.br, b); err != nil {
		c.t.Fatal(err)
	}
	for !strings.HasPrefix(c.line(), fmt.Sprintf("t%d ", c.n)) {
	}
	return string(b)
}

func (c *imapConn) copyUID(x *cell, box, uids string) string {
	c.t.Helper()
	u := c.ok("STATUS " + box + " (UIDVALIDITY)")
	var v int
	fmt.Sscanf(u[0][strings.LastIndexByte(u[0], '(')+1:], "UIDVALIDITY %d", &v)
	return fmt.Sprintf("* OK [COPYUID %d %s] COPY completed", v, uids)
}

// The library's own client goes through a day's work.
func TestLibraryClient(t *testing.T) {
	x := start(t, testConfig())
	c, err := imapclient.DialTLS(x.at(imaps), &imapclient.Options{TLSConfig: x.tls()})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	must(c.Login("alice", "alice-secret").Wait())
	for i := range 30 {
		msg := fmt.Sprintf("Subject: %d\r\n\r\n%d", i, i)
		cmd := c.Append("INBOX", int64(len(msg)), &imap.AppendOptions{Flags: []imap.Flag{imap.FlagSeen}})
		_, err := io.WriteString(cmd, msg)
		must(err)
		must(cmd.Close())
		data, err := cmd.Wait()
		must(err)
		if data.UID != imap.UID(i)+1 {
			t.Errorf("APPENDUID %d", data.UID)
		}
	}
	sel, err := c.Select("INBOX", nil).Wait()
	must(err)
	if sel.NumMessages != 30 || sel.UIDNext != 31 {
		t.Errorf("%+v", sel)
	}
	msgs, err := c.Fetch(imap.UIDSet{{Start: 1, Stop: 0}}, &imap.FetchOptions{
		UID: true, Flags: true, Envelope: true, InternalDate: true, RFC822Size: true, BodyStructure: &imap.FetchItemBodyStructure{Extended: true},
		BodySection: []*imap.FetchItemBodySection{{Peek: true}},
	}).Collect()
	must(err)
	for i, m := range msgs {
		want := fmt.Sprintf("Subject: %d\r\n\r\n%d", i, i)
		if m.Envelope.Subject != fmt.Sprint(i) || string(m.BodySection[0].Bytes) != want || m.RFC822Size != int64(len(want)) || !slices.Equal(m.Flags, []imap.Flag{imap.FlagSeen}) {
			t.Errorf("%d: %+v", i, m)
		}
	}
	if len(msgs) != 30 {
		t.Errorf("%d messages", len(msgs))
	}
	mv, err := c.Move(imap.UIDSet{{Start: 5, Stop: 9}}, "Archive").Wait()
	must(err)
	if mv.SourceUIDs.String() != "5:9" || mv.DestUIDs.String() != "1:5" {
		t.Errorf("%+v", mv)
	}
	must(c.Store(imap.UIDSet{{Start: 1, Stop: 4}}, &imap.StoreFlags{Op: imap.StoreFlagsAdd, Flags: []imap.Flag{imap.FlagDeleted}}, nil).Close())
	_, err = c.UIDExpunge(imap.UIDSet{{Start: 2, Stop: 2}}).Collect()
	must(err)
	found, err := c.UIDSearch(&imap.SearchCriteria{Flag: []imap.Flag{imap.FlagDeleted}}, nil).Wait()
	must(err)
	if got := found.AllUIDs(); !slices.Equal(got, []imap.UID{1, 3, 4}) {
		t.Errorf("%v", got)
	}
	boxes, err := c.List("", "*", nil).Collect()
	must(err)
	if len(boxes) != 6 {
		t.Errorf("%d mailboxes", len(boxes))
	}
	must(c.Logout().Wait())
}

// Structures that would bring the library to its knees come back quickly.
func TestBombsOverIMAP(t *testing.T) {
	x := start(t, testConfig())
	c := x.imapAs(t, "alice")
	var nested strings.Builder
	for i := range 3000 {
		fmt.Fprintf(&nested, "Content-Type: multipart/mixed; boundary=b%d\r\n\r\n--b%d\r\n", i, i)
	}
	for name, s := range map[string]string{
		"nested":   nested.String(),
		"parts":    "Content-Type: multipart/mixed; boundary=b\r\n\r\n" + strings.Repeat("--b\r\n\r\nx\r\n", 90000),
		"header":   "X: " + strings.Repeat("a", 1000000) + "\r\n\r\n",
		"messages": strings.Repeat("Content-Type: message/rfc822\r\n\r\n", 3000),
		"empty":    "Content-Type: multipart/mixed; boundary=b\r\n\r\n",
		"8 bit":    "Subject: \xff\xfe\r\nContent-Type: text/\xff; x=\"\xff\"\r\n\r\n\xff",
	} {
		c.append("INBOX", "()", s)
		c.ok("SELECT INBOX")
		begun := time.Now()
		u := c.ok("FETCH * (ENVELOPE BODYSTRUCTURE BODY)")
		if took := time.Since(begun); took > 2*time.Second {
			t.Errorf("%s took %v", name, took)
		}
		if len(strings.Join(u, "")) < 50 {
			t.Errorf("%s: %q", name, u)
		}
	}
}

// Programs that wait for mail cost little.
func TestIdleConnectionsAreSmall(t *testing.T) {
	x := start(t, testConfig())
	x.imap.allow(500)
	const n = 200
	x.imapAs(t, "alice").ok("SELECT INBOX")
	before := memory()
	for range n {
		c := x.imapAs(t, "alice")
		c.ok("SELECT INBOX")
		c.send("i IDLE\r\n")
		c.line()
	}
	used := (memory() - before) / n
	t.Logf("%d bytes a connection, both ends", used)
	if used > 40<<10 {
		t.Errorf("an idle connection costs %d bytes, both ends", used)
	}
}
