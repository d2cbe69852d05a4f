package mailsrv

import (
	"bufio"
	"compress/flate"
	"fmt"
	"net"
	"slices"
	"strings"
	"testing"
)

// modseq is what a mailbox says of its highest modification sequence.
func (c *imapConn) modseq(box string) int {
	c.t.Helper()
	u := c.ok("STATUS " + box + " (HIGHESTMODSEQ)")
	var n int
	if len(u) == 0 {
		c.t.Fatal("no STATUS")
	}
	if _, err := fmt.Sscanf(u[len(u)-1][strings.LastIndexByte(u[len(u)-1], '('):], "(HIGHESTMODSEQ %d)", &n); err != nil {
		c.t.Fatal(u, err)
	}
	return n
}

// With CONDSTORE a client hears what changed since it last looked, and changes
// nothing that it has not seen (RFC 7162).
func TestConditionalStore(t *testing.T) {
	x := start(t, testConfig())
	a, b := x.imapAs(t, "alice"), x.imapAs(t, "alice")
	for range 4 {
		a.append("INBOX", "()", sample)
	}
	n := a.modseq("INBOX")
	if u := a.ok("SELECT INBOX (CONDSTORE)"); !slices.Contains(u, fmt.Sprintf("* OK [HIGHESTMODSEQ %d] Highest", n)) {
		t.Errorf("%q", u)
	}
	b.ok("SELECT INBOX")
	b.gives(`STORE 2 +FLAGS (\Seen)`, "OK ", `* 2 FETCH (FLAGS (\Seen))`) // it did not ask for more
	a.gives("NOOP", "OK ", fmt.Sprintf(`* 2 FETCH (UID 2 FLAGS (\Seen) MODSEQ (%d))`, n+1))
	a.gives(fmt.Sprintf(`STORE 1:3 (UNCHANGEDSINCE %d) +FLAGS.SILENT (\Flagged)`, n), "OK [MODIFIED 2]",
		fmt.Sprintf("* 1 FETCH (UID 1 MODSEQ (%d))", n+2), fmt.Sprintf("* 3 FETCH (UID 3 MODSEQ (%d))", n+2))
	a.gives(`UID STORE 4 (UNCHANGEDSINCE 1) +FLAGS (\Flagged)`, "OK [MODIFIED 4]")
	a.gives(fmt.Sprintf("FETCH 1:* (FLAGS) (CHANGEDSINCE %d)", n+1), "OK ",
		fmt.Sprintf(`* 1 FETCH (MODSEQ (%d) FLAGS (\Flagged))`, n+2), fmt.Sprintf(`* 3 FETCH (MODSEQ (%d) FLAGS (\Flagged))`, n+2))
	a.gives("FETCH 4 MODSEQ", "OK ", fmt.Sprintf("* 4 FETCH (MODSEQ (%d))", n))
	a.gives(fmt.Sprintf("SEARCH MODSEQ %d", n+1), "OK ", fmt.Sprintf("* SEARCH 1 2 3 (MODSEQ %d)", n+2))
	a.gives(fmt.Sprintf(`SEARCH RETURN (COUNT) MODSEQ "/flags/\\Seen" all %d`, n+2), "OK ", fmt.Sprintf(`* ESEARCH (TAG "t%d") COUNT 2 MODSEQ %d`, a.n+1, n+2))
	a.gives("FETCH 1 FLAGS (VANISHED)", "BAD ")
	a.gives("SELECT INBOX (QRESYNC (1 1))", "BAD ")
}

// With QRESYNC a client that comes back hears at once what it missed.
func TestQuickResync(t *testing.T) {
	x := start(t, testConfig())
	a, b := x.imapAs(t, "alice"), x.imapAs(t, "alice")
	for range 8 {
		a.append("INBOX", "()", sample)
	}
	n := a.modseq("INBOX")
	var validity int
	fmt.Sscanf(a.ok("STATUS INBOX (UIDVALIDITY)")[0], "* STATUS INBOX (UIDVALIDITY %d)", &validity)
	b.ok("SELECT INBOX")
	b.ok(`STORE 2,3,7 +FLAGS.SILENT (\Deleted)`)
	b.ok("EXPUNGE")
	b.ok(`UID STORE 5 +FLAGS.SILENT ($New)`)
	a.gives("ENABLE QRESYNC X-ODD", "OK ", "* ENABLED QRESYNC")
	u := a.ok(fmt.Sprintf("SELECT INBOX (QRESYNC (%d %d))", validity, n))
	flags := fmt.Sprintf("* 3 FETCH (UID 5 FLAGS ($New) MODSEQ (%d))", n+3)
	if !slices.Contains(u, "* VANISHED (EARLIER) 2:3,7") || !slices.Contains(u, flags) || !slices.Contains(u, "* 5 EXISTS") {
		t.Errorf("%q", u)
	}
	u = a.ok(fmt.Sprintf("SELECT INBOX (QRESYNC (%d %d 3:6 (1:3 1:3)))", validity, n))
	if !slices.Contains(u, "* OK [CLOSED] The one before is closed") || !slices.Contains(u, "* VANISHED (EARLIER) 3") || !slices.Contains(u, flags) {
		t.Errorf("%q", u)
	}
	if u = a.ok(fmt.Sprintf("SELECT INBOX (QRESYNC (%d %d))", validity+1, n)); strings.Contains(strings.Join(u, ""), "VANISHED") {
		t.Errorf("%q", u)
	}
	a.gives(fmt.Sprintf("UID FETCH 1:* (FLAGS) (CHANGEDSINCE %d VANISHED)", n), "OK ", "* VANISHED (EARLIER) 2:3,7",
		fmt.Sprintf("* 3 FETCH (UID 5 MODSEQ (%d) FLAGS ($New))", n+3))
	b.ok(`UID STORE 1,4 +FLAGS.SILENT (\Deleted)`)
	b.ok("EXPUNGE")
	a.gives("NOOP", "OK ", "* VANISHED 1,4")
	a.gives("UID MOVE 8 Trash", "OK [HIGHESTMODSEQ ", a.copyUID(x, "Trash", "8 1"), "* VANISHED 8")
	a.ok(`UID STORE 5 +FLAGS.SILENT (\Deleted)`)
	a.gives("EXPUNGE", fmt.Sprintf("OK [HIGHESTMODSEQ %d]", a.modseq("INBOX")+1), "* VANISHED 5")
}

func TestSavedResults(t *testing.T) {
	x := start(t, testConfig())
	c := x.imapAs(t, "alice")
	for i := range 5 {
		c.append("INBOX", []string{"()", `(\Flagged)`}[i%2], sample)
	}
	c.ok("SELECT INBOX")
	c.gives("FETCH $ UID", "OK ")
	c.gives("SEARCH RETURN (SAVE) FLAGGED", "OK ")
	c.gives("FETCH $ UID", "OK ", "* 2 FETCH (UID 2)", "* 4 FETCH (UID 4)")
	c.gives("UID SEARCH RETURN (SAVE COUNT) NOT $", "OK ", fmt.Sprintf(`* ESEARCH (TAG "t%d") UID COUNT 3`, c.n+1))
	c.gives("UID SEARCH RETURN (SAVE MAX) UID $", "OK ", fmt.Sprintf(`* ESEARCH (TAG "t%d") UID MAX 5`, c.n+1))
	c.gives(`STORE $ +FLAGS.SILENT (\Deleted)`, "OK ")
	c.gives("EXPUNGE", "OK ", "* 5 EXPUNGE")
	c.gives("COPY $ Trash", "OK COPY") // nothing is left of it
	c.gives("SEARCH RETURN (SAVE) BODY", "BAD ")
}

// IMAP4rev2 says some things in another way (RFC 9051).
func TestRevisionTwo(t *testing.T) {
	x := start(t, testConfig())
	c := x.imapAs(t, "alice")
	c.ok("CREATE Entw&APw-rfe")
	c.gives("ENABLE IMAP4rev2", "OK ", "* ENABLED IMAP4rev2")
	c.gives(`LIST "" Ent*`, "OK ", `* LIST (\HasNoChildren) "/" "Entwürfe"`)
	c.append(`"Entwürfe"`, "()", sample)
	u := c.ok(`SELECT "Entwürfe"`)
	if !slices.Contains(u, `* LIST () "/" "Entwürfe"`) || slices.Contains(u, "* 0 RECENT") {
		t.Errorf("%q", u)
	}
	c.gives("SEARCH ALL", "OK ", fmt.Sprintf(`* ESEARCH (TAG "t%d") ALL 1`, c.n+1))
	c.gives("SEARCH SEEN", "OK ", fmt.Sprintf(`* ESEARCH (TAG "t%d")`, c.n+1))
	if u := c.ok("SELECT INBOX"); u[0] != "* OK [CLOSED] The one before is closed" {
		t.Errorf("%q", u)
	}
	c.gives("UNAUTHENTICATE", "OK ")
	c.gives("SELECT INBOX", "BAD ")
	c.ok("LOGIN bob bob-secret")
	c.gives(`LIST "" Ent*`, "OK ")
	c.ok("CREATE Entw&APw-rfe") // in the coding of before
}

func TestBinaryParts(t *testing.T) {
	x := start(t, testConfig())
	c := x.imapAs(t, "alice")
	c.append("INBOX", "()", sample)
	c.append("INBOX", "()", "Content-Transfer-Encoding: x-odd\r\n\r\nx")
	c.ok("SELECT INBOX")
	for item, want := range map[string]string{"2": "ABC", "2]<1.1": "B", "1": "Hello", "": sample} {
		if got := c.section("BINARY.PEEK[" + strings.TrimSuffix(item, "]") + strings.Repeat("]", 1-strings.Count(item, "]")) + map[bool]string{true: ">"}[strings.Contains(item, "<")]); got != want {
			t.Errorf("[%s] is %q", item, got)
		}
	}
	c.gives("FETCH 1 (BINARY.SIZE[2] BINARY.SIZE[1])", "OK ", "* 1 FETCH (BINARY.SIZE[2] 3 BINARY.SIZE[1] 5)")
	c.gives("FETCH 2 BINARY.PEEK[1]", "NO [UNKNOWN-CTE]")
	c.gives("FETCH 1 BINARY[1.MIME]", "BAD ")
	c.ok("APPEND Drafts ~{6+}\r\nX:\r\n\r\n")
	c.gives("ENABLE UTF8=ACCEPT", "OK ", "* ENABLED UTF8=ACCEPT")
	c.ok("APPEND Drafts UTF8 (~{6+}\r\nX:\r\n\r\n)")
	c.gives("STATUS Drafts (MESSAGES SIZE)", "OK ", `* STATUS "Drafts" (MESSAGES 2 SIZE 12)`)
}

func TestSortAndThread(t *testing.T) {
	x := start(t, testConfig())
	c := x.imapAs(t, "alice")
	for i, m := range []struct{ id, refs, subject, from, date string }{
		{"a@x", "", "Plans", "Zoe <b@x>", "Tue, 2 Jan 2024 10:00:00 +0000"},
		{"b@x", "<a@x>", "Re: Plans", "carl@x", "Wed, 3 Jan 2024 10:00:00 +0000"},
		{"c@x", "<a@x> <b@x>", "Re: [list] Plans (fwd)", "Adam <d@x>", "Thu, 4 Jan 2024 10:00:00 +0000"},
		{"d@x", "<a@x>", "Re: Plans", "a@x", "Thu, 4 Jan 2024 11:00:00 +0200"},
		{"e@x", "<gone@x>", "Other", "=?utf-8?q?Bj=C3=B6rn?= <e@x>", "Mon, 1 Jan 2024 10:00:00 +0000"},
		{"f@x", "<gone@x>", "Re: Other", "f@x", "Fri, 5 Jan 2024 10:00:00 +0000"},
		{"g@x", "", "RE: plans", "g@x", "Sat, 6 Jan 2024 10:00:00 +0000"},
	} {
		c.append("INBOX", fmt.Sprintf(`() "%02d-Feb-2024 00:00:00 +0000"`, 20-i), fmt.Sprintf("Message-ID: <%s>\r\nReferences: %s\r\nSubject: %s\r\nFrom: %s\r\nDate: %s\r\n\r\n%s",
			m.id, m.refs, m.subject, m.from, m.date, strings.Repeat("x", (i*3)%7)))
	}
	c.ok("SELECT INBOX")
	for how, want := range map[string]string{
		"ARRIVAL":         " 7 6 5 4 3 2 1",
		"REVERSE ARRIVAL": " 1 2 3 4 5 6 7",
		"DATE":            " 5 1 2 4 3 6 7",
		"SUBJECT DATE":    " 5 6 1 2 4 3 7",
		"FROM":            " 4 1 2 3 5 6 7",
		"DISPLAYFROM":     " 4 3 5 2 6 7 1",
	} {
		c.gives("SORT ("+how+") UTF-8 ALL", "OK ", "* SORT"+want)
	}
	c.gives("UID SORT (REVERSE SIZE ARRIVAL) US-ASCII SUBJECT other", "OK ", "* SORT 5 6")
	c.gives("SORT (ODD) UTF-8 ALL", "BAD ")
	c.gives("THREAD REFERENCES UTF-8 ALL", "OK ", "* THREAD ((5)(6))(1 (2 3)(4)(7))")
	c.gives("UID THREAD ORDEREDSUBJECT UTF-8 ALL", "OK ", "* THREAD (5 6)(1 (2)(4)(3)(7))")
	c.gives("THREAD REFERENCES UTF-8 SUBJECT nowhere", "OK ", "* THREAD")
}

func TestSeveralMessagesInOneAppend(t *testing.T) {
	x := start(t, testConfig())
	c := x.imapAs(t, "alice")
	c.gives("APPEND INBOX (\\Seen) {6+}\r\nX: 1\r\n ($a) \"01-Feb-2024 00:00:00 +0000\" {6+}\r\nX: 2\r\n {6+}\r\nX: 3\r\n", "OK [APPENDUID ")
	c.gives("APPEND INBOX {6+}\r\nX: 4\r\n (\\Odd) {6+}\r\nX: 5\r\n", "NO [CANNOT]")
	c.gives("APPEND INBOX {6+}\r\nX: 4\r\n ", "BAD ")
	c.ok("SELECT INBOX")
	c.gives("FETCH 1:* FLAGS", "OK ", `* 1 FETCH (FLAGS (\Seen))`, "* 2 FETCH (FLAGS ($a))", "* 3 FETCH (FLAGS ())")
	var validity int
	fmt.Sscanf(c.ok("STATUS Drafts (UIDVALIDITY)")[0], `* STATUS "Drafts" (UIDVALIDITY %d)`, &validity)
	c.gives("UID REPLACE 2 Drafts (\\Draft) {6+}\r\nX: 6\r\n", "OK UID REPLACE", fmt.Sprintf("* OK [APPENDUID %d 1] Replaced", validity), "* 2 EXPUNGE")
	c.gives("REPLACE 7 Drafts {6+}\r\nX: 6\r\n", "BAD ")
	c.gives("STATUS Drafts (MESSAGES)", "OK ", `* STATUS "Drafts" (MESSAGES 1)`)
}

func TestNamesOfThings(t *testing.T) {
	x := start(t, testConfig())
	c := x.imapAs(t, "alice")
	reply := strings.NewReplacer("m1@", "m2@", "Subject", "References: <m1@example.org>\r\nSubject").Replace(sample)
	c.append("INBOX", `() "01-Feb-2024 00:00:00 +0000"`, sample)
	c.append("INBOX", "()", reply)
	c.append("INBOX", "()", "X:\r\n\r\n")
	c.ok("SELECT INBOX")
	c.ok("COPY 1 Archive")
	box := c.ok("STATUS INBOX (MAILBOXID)")[0]
	ids := c.ok("FETCH 1:* (EMAILID THREADID)")
	var email, thread [3]string
	for i, l := range ids {
		fmt.Sscanf(l[strings.IndexByte(l, '('):], "(EMAILID (%s THREADID (%s", &email[i], &thread[i])
	}
	if thread[0] != thread[1] || thread[1] == thread[2] || email[0] == email[1] {
		t.Errorf("%q", ids)
	}
	c.gives("SEARCH EMAILID "+strings.Trim(email[1], ")"), "OK ", "* SEARCH 2")
	c.gives("SEARCH THREADID "+strings.Trim(thread[1], ")"), "OK ", "* SEARCH 1 2")
	c.gives("SEARCH OLDER 3600", "OK ", "* SEARCH 1")
	c.gives("SEARCH YOUNGER 3600 SAVEDSINCE 1-Jan-2025", "OK ", "* SEARCH 2 3")
	c.gives("SEARCH SAVEDBEFORE 1-Jan-2025", "OK ", "* SEARCH")
	if u := c.ok("FETCH 1 SAVEDATE"); !strings.HasPrefix(u[0], `* 1 FETCH (SAVEDATE "`) {
		t.Errorf("%q", u)
	}
	c.gives("FETCH 1:2 (PREVIEW (LAZY))", "OK ", `* 1 FETCH (PREVIEW "Hello")`, `* 2 FETCH (PREVIEW "Hello")`)
	box = strings.TrimSuffix(box[strings.LastIndexByte(box, '('):], ")")
	if u := c.ok("SELECT Archive"); strings.Contains(strings.Join(u, ""), box) {
		t.Errorf("%q", u)
	}
	if u := c.ok("FETCH 1 EMAILID"); u[0] != "* 1 FETCH (EMAILID ("+email[0]+")" {
		t.Errorf("%q, was %s", u, email[0])
	}
}

func TestAnnotations(t *testing.T) {
	x := start(t, testConfig())
	c := x.imapAs(t, "alice")
	c.ok(`SETMETADATA INBOX (/private/comment "mine" /shared/x/y {3+}` + "\r\na\"b)")
	c.ok(`SETMETADATA "" (/private/comment "all of it")`)
	c.gives("GETMETADATA INBOX /private/comment", "OK ", `* METADATA INBOX ("/private/comment" "mine")`)
	c.gives("GETMETADATA INBOX /shared", "BAD ")
	c.gives("GETMETADATA (DEPTH infinity) INBOX (/private/comment /shared/x)", "OK ", `* METADATA INBOX ("/private/comment" "mine" "/shared/x/y" "a\"b")`)
	c.gives("GETMETADATA (MAXSIZE 3) INBOX /private/comment", "OK [METADATA LONGENTRIES 4]")
	c.gives(`GETMETADATA "" /private/comment`, "OK ", `* METADATA "" ("/private/comment" "all of it")`)
	c.ok("SETMETADATA INBOX (/private/comment NIL)")
	c.gives("GETMETADATA INBOX /private/comment", "OK ")
	c.gives("SETMETADATA nope (/private/comment NIL)", "NO [NONEXISTENT]")
	c.gives(fmt.Sprintf("SETMETADATA INBOX (/private/c {9000+}\r\n%s)", strings.Repeat("x", 9000)), "NO [METADATA MAXSIZE 8192]")
}

// After COMPRESS all is said in one stream each way, also what comes in pieces
// and in IDLE.
func TestCompressed(t *testing.T) {
	x := start(t, testConfig())
	c := x.imapAs(t, "alice")
	c.gives("COMPRESS LZW", "BAD ")
	c.send("z COMPRESS DEFLATE\r\n")
	if got := c.line(); got != "z OK COMPRESS completed" {
		t.Fatal(got)
	}
	w, err := flate.NewWriter(c.c, -1)
	if err != nil {
		t.Fatal(err)
	}
	c.br = bufio.NewReader(flate.NewReader(c.br))
	c.c = deflated{c.c, w}
	c.gives("COMPRESS DEFLATE", "NO [COMPRESSIONACTIVE]")
	text := strings.Repeat(sample, 500)
	c.append("INBOX", "()", text)
	c.ok("SELECT INBOX")
	if got := c.section("BODY.PEEK[]"); got != text {
		t.Errorf("%d bytes instead of %d", len(got), len(text))
	}
	c.send("i IDLE\r\n")
	c.line()
	for n := 2; n < 5; n++ {
		if err := x.Deliver(t.Context(), "", []string{"alice"}, strings.NewReader(sample)); err != nil {
			t.Fatal(err)
		}
		if got := c.line(); got != fmt.Sprintf("* %d EXISTS", n) {
			t.Error(got)
		}
	}
	c.send("DONE\r\nx NOOP\r\ny NOOP\r\n")
	for _, want := range []string{"i OK IDLE completed", "x OK NOOP completed", "y OK NOOP completed"} {
		if got := c.line(); got != want {
			t.Error(got)
		}
	}
	c.ok("LOGOUT")
}

// deflated compresses what is written.
type deflated struct {
	net.Conn
	w *flate.Writer
}

func (d deflated) Write(b []byte) (int, error) {
	n, err := d.w.Write(b)
	if err == nil {
		err = d.w.Flush()
	}
	return n, err
}
