package mailsrv

import (
	"fmt"
	"io"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"pic/internal/nettest"
)

const sample = "From: Alice <alice@example.org>\r\nTo: bob@example.org\r\nSubject: =?utf-8?q?Gr=C3=BC=C3=9Fe?=\r\nDate: Mon, 1 Jan 2024 12:00:00 +0100\r\n" +
	"Message-ID: <m1@example.org>\r\nContent-Type: multipart/mixed; boundary=b\r\n\r\n" +
	"--b\r\nContent-Type: text/plain; charset=utf-8\r\n\r\nHello\r\n--b\r\nContent-Type: application/pdf; name=x.pdf\r\n" +
	"Content-Disposition: attachment; filename=x.pdf\r\nContent-Transfer-Encoding: base64\r\n\r\nQUJD\r\n--b--\r\n"

func TestFetchAnswersAll(t *testing.T) {
	x := start(t, testConfig())
	c := x.imapAs(t, "alice")
	c.append("INBOX", `(\Flagged $Work)`, sample)
	c.ok("SELECT INBOX")
	for item, want := range map[string]string{
		"FLAGS":         `FLAGS (\Flagged $Work)`,
		"RFC822.SIZE":   fmt.Sprint("RFC822.SIZE ", len(sample)),
		"UID":           "UID 1",
		"ENVELOPE":      `ENVELOPE ("Mon, 1 Jan 2024 12:00:00 +0100" "=?utf-8?q?Gr=C3=BC=C3=9Fe?=" (("Alice" NIL "alice" "example.org")) (("Alice" NIL "alice" "example.org")) (("Alice" NIL "alice" "example.org")) ((NIL NIL "bob" "example.org")) NIL NIL NIL "<m1@example.org>")`,
		"BODYSTRUCTURE": `BODYSTRUCTURE (("text" "plain" ("charset" "utf-8") NIL NIL "7bit" 5 0 NIL NIL NIL NIL)("application" "pdf" ("name" "x.pdf") NIL NIL "base64" 4 NIL ("attachment" ("filename" "x.pdf")) NIL NIL) "mixed" ("boundary" "b") NIL NIL NIL)`,
		"BODY":          `BODY (("text" "plain" ("charset" "utf-8") NIL NIL "7bit" 5 0)("application" "pdf" ("name" "x.pdf") NIL NIL "base64" 4) "mixed")`,
	} {
		c.gives("FETCH 1 "+item, "OK ", "* 1 FETCH ("+want+")")
	}
	for section, want := range map[string]string{
		"":                         sample,
		"HEADER":                   sample[:strings.Index(sample, "\r\n\r\n")+4],
		"TEXT":                     sample[strings.Index(sample, "\r\n\r\n")+4:],
		"1":                        "Hello",
		"2":                        "QUJD",
		"2.MIME":                   "Content-Type: application/pdf; name=x.pdf\r\nContent-Disposition: attachment; filename=x.pdf\r\nContent-Transfer-Encoding: base64\r\n\r\n",
		"3":                        "",
		"1.TEXT":                   "",
		"HEADER.FIELDS (to x-odd)": "To: bob@example.org\r\n\r\n",
		"HEADER.FIELDS.NOT (From Subject To Date Message-ID)": "Content-Type: multipart/mixed; boundary=b\r\n\r\n",
	} {
		if got := c.section("BODY.PEEK[" + section + "]"); got != want {
			t.Errorf("[%s] is %q, want %q", section, got, want)
		}
	}
	for part, want := range map[string]string{"<0.5>": sample[:5], "<10.7>": sample[10:17], "<9999.5>": "", fmt.Sprintf("<%d.99>", len(sample)-3): sample[len(sample)-3:]} {
		if got := c.section("BODY.PEEK[]" + part); got != want {
			t.Errorf("%s is %q, want %q", part, got, want)
		}
	}
	c.gives("FETCH 1 FLAGS", "OK ", `* 1 FETCH (FLAGS (\Flagged $Work))`)
	c.section("BODY[TEXT]<0.1>") // without PEEK it is seen
	c.gives("FETCH 1 FLAGS", "OK ", `* 1 FETCH (FLAGS (\Seen \Flagged $Work))`)
	c.gives("FETCH 2 FLAGS", "BAD ")
	c.gives("UID FETCH 7 FLAGS", "OK ")
	c.gives("UID FETCH 7:* FLAGS", "OK ", `* 1 FETCH (UID 1 FLAGS (\Seen \Flagged $Work))`)
	c.gives("FETCH 1 NOSUCH", "BAD ")
}

func TestMailboxCommands(t *testing.T) {
	x := start(t, testConfig())
	c := x.imapAs(t, "alice")
	c.gives(`LIST "" %`, "OK ", `* LIST (\HasNoChildren \Archive) "/" "Archive"`, `* LIST (\HasNoChildren \Drafts) "/" "Drafts"`,
		`* LIST (\HasNoChildren) "/" INBOX`, `* LIST (\HasNoChildren \Junk) "/" "Junk"`, `* LIST (\HasNoChildren \Sent) "/" "Sent"`,
		`* LIST (\HasNoChildren \Trash) "/" "Trash"`)
	c.gives(`LIST "" ""`, "OK ", `* LIST (\Noselect) "/" ""`)
	c.ok("CREATE Lists/go/announce")
	c.ok("CREATE Sp&AOQ-ter/")
	c.gives("CREATE lists", "OK ")
	c.gives("CREATE Lists", "NO [ALREADYEXISTS]")
	c.gives("CREATE inbox", "NO [ALREADYEXISTS]")
	c.gives(`CREATE "a%b"`, "NO [CANNOT]")
	c.gives(`CREATE Ablage (USE (\Archive))`, "NO [ALREADYEXISTS]")
	c.gives(`CREATE Fav (USE (\Flagged))`, "NO [USEATTR]")
	c.gives(`LIST "" Lists*`, "OK ", `* LIST (\HasChildren) "/" "Lists"`, `* LIST (\HasChildren) "/" "Lists/go"`, `* LIST (\HasNoChildren) "/" "Lists/go/announce"`)
	c.gives("DELETE Lists/go", "OK ")
	c.gives(`LIST Lists/ %`, "OK ", `* LIST (\NonExistent \Noselect \HasChildren) "/" "Lists/go"`)
	c.ok("RENAME Lists Old/Lists")
	c.gives(`LIST "" Old/*`, "OK ", `* LIST (\HasChildren) "/" "Old/Lists"`, `* LIST (\NonExistent \Noselect \HasChildren) "/" "Old/Lists/go"`, `* LIST (\HasNoChildren) "/" "Old/Lists/go/announce"`)
	c.gives("SELECT Lists", "NO [NONEXISTENT]")
	c.gives("DELETE INBOX", "NO [CANNOT]")
	c.gives("DELETE nope", "NO [NONEXISTENT]")
	c.gives("RENAME nope x", "NO [NONEXISTENT]")
	c.ok("SUBSCRIBE Old/Lists")
	c.ok("SUBSCRIBE Ghost")
	c.gives(`LSUB "" G*`, "OK ", `* LSUB (\NonExistent \Noselect \Subscribed) "/" "Ghost"`)
	c.gives(`LIST (SUBSCRIBED) "" Old*`, "OK ", `* LIST (\Subscribed \HasChildren) "/" "Old/Lists"`)
	c.gives(`LIST (SUBSCRIBED RECURSIVEMATCH) "" %`, "OK ", `* LIST (\Subscribed \HasNoChildren \Archive) "/" "Archive"`, `* LIST (\Subscribed \HasNoChildren \Drafts) "/" "Drafts"`,
		`* LIST (\NonExistent \Noselect \Subscribed) "/" "Ghost"`, `* LIST (\Subscribed \HasNoChildren) "/" INBOX`, `* LIST (\Subscribed \HasNoChildren \Junk) "/" "Junk"`,
		`* LIST (\HasChildren) "/" "Old" (CHILDINFO ("SUBSCRIBED"))`, `* LIST (\Subscribed \HasNoChildren \Sent) "/" "Sent"`, `* LIST (\Subscribed \HasNoChildren \Trash) "/" "Trash"`)
	c.gives(`LIST (SPECIAL-USE) "" * RETURN (STATUS (MESSAGES))`, "OK ", `* LIST (\HasNoChildren \Archive) "/" "Archive"`, `* STATUS "Archive" (MESSAGES 0)`,
		`* LIST (\HasNoChildren \Drafts) "/" "Drafts"`, `* STATUS "Drafts" (MESSAGES 0)`, `* LIST (\HasNoChildren \Junk) "/" "Junk"`, `* STATUS "Junk" (MESSAGES 0)`,
		`* LIST (\HasNoChildren \Sent) "/" "Sent"`, `* STATUS "Sent" (MESSAGES 0)`, `* LIST (\HasNoChildren \Trash) "/" "Trash"`, `* STATUS "Trash" (MESSAGES 0)`)
	c.ok("UNSUBSCRIBE Ghost")
	c.append("Sent", `(\Seen)`, sample)
	c.append("Sent", `(\Deleted)`, sample)
	c.gives("STATUS Sent (MESSAGES UNSEEN UIDNEXT RECENT SIZE DELETED)", "OK ", fmt.Sprintf(`* STATUS "Sent" (MESSAGES 2 UIDNEXT 3 UNSEEN 1 DELETED 1 SIZE %d RECENT 0)`, 2*len(sample)))
	c.gives("STATUS nope (MESSAGES)", "NO [NONEXISTENT]")
	c.gives("NAMESPACE", "OK ", `* NAMESPACE (("" "/")) NIL NIL`)
	c.gives("APPEND nope {3+}\r\nabc", "NO [TRYCREATE]")
	c.gives(fmt.Sprintf("APPEND Sent (\\Odd) {%d+}\r\n%s", len(sample), sample), "NO [CANNOT]")
	caps := strings.Join(c.ok("CAPABILITY"), " ")
	for _, want := range []string{"IMAP4rev1", "IDLE", "UIDPLUS", "MOVE", "SPECIAL-USE", "NAMESPACE", "UNSELECT", "LITERAL+", "APPENDLIMIT=1048576"} {
		if !strings.Contains(caps, " "+want) {
			t.Errorf("%q lacks %s", caps, want)
		}
	}
	for _, not := range []string{"STARTTLS", "AUTH=", "QUOTA", "ACL", "CATENATE"} {
		if strings.Contains(caps, not) {
			t.Errorf("%q has %s", caps, not)
		}
	}
}

func TestExamineIsReadOnly(t *testing.T) {
	x := start(t, testConfig())
	c := x.imapAs(t, "alice")
	c.append("INBOX", `(\Deleted)`, sample)
	u := c.ok("EXAMINE INBOX")
	if !slices.Contains(u, "* OK [PERMANENTFLAGS ()] Permanent flags") {
		t.Errorf("%q", u)
	}
	c.gives(`STORE 1 +FLAGS (\Seen)`, "NO [READ-ONLY]")
	c.gives("EXPUNGE", "NO [READ-ONLY]")
	c.gives("UID EXPUNGE 1", "NO [READ-ONLY]")
	c.gives("MOVE 1 Trash", "NO [READ-ONLY]")
	c.section("BODY[TEXT]<0.1>")
	c.gives("FETCH 1 FLAGS", "OK ", `* 1 FETCH (FLAGS (\Deleted))`)
	c.ok("COPY 1 Trash")
	c.ok("CLOSE")
	c.ok("SELECT INBOX")
	c.gives("FETCH 1 FLAGS", "OK ", `* 1 FETCH (FLAGS (\Deleted))`)
	c.ok("CLOSE")
	c.gives("STATUS INBOX (MESSAGES)", "OK ", "* STATUS INBOX (MESSAGES 0)")
}

func TestSessionsHearOfEachOther(t *testing.T) {
	x := start(t, testConfig())
	a, b := x.imapAs(t, "alice"), x.imapAs(t, "alice")
	for range 4 {
		a.append("INBOX", "()", sample)
	}
	a.ok("SELECT INBOX")
	b.ok("SELECT INBOX")
	a.gives(`STORE 2 +FLAGS (\Seen)`, "OK ", `* 2 FETCH (FLAGS (\Seen))`)
	a.gives(`STORE 3 +FLAGS.SILENT (\Deleted)`, "OK ")
	b.gives("NOOP", "OK ", `* 2 FETCH (UID 2 FLAGS (\Seen))`, `* 3 FETCH (UID 3 FLAGS (\Deleted))`)
	a.gives("NOOP", "OK ") // no echo
	a.gives("EXPUNGE", "OK ", "* 3 EXPUNGE")
	a.append("INBOX", "()", sample)
	a.gives(`STORE 4 +FLAGS.SILENT ($New)`, "OK ", `* FLAGS (\Seen \Answered \Flagged \Deleted \Draft $New)`)
	// During FETCH no message may vanish, so numbers still mean what they did.
	b.gives("FETCH 3 UID", "NO [EXPUNGEISSUED]", `* FLAGS (\Seen \Answered \Flagged \Deleted \Draft $New)`, "* 5 EXISTS")
	b.gives("FETCH 4 UID", "OK ", "* 4 FETCH (UID 4)")
	b.gives("NOOP", "OK ", "* 3 EXPUNGE")
	b.gives("FETCH 4 (UID FLAGS)", "OK ", `* 4 FETCH (UID 5 FLAGS ($New))`)
	b.gives("MOVE 1:2 Trash", "OK ", a.copyUID(x, "Trash", "1:2 1:2"), "* 2 EXPUNGE", "* 1 EXPUNGE")
	a.gives("NOOP", "OK ", "* 2 EXPUNGE", "* 1 EXPUNGE")
	b.ok("DELETE Junk")
	a.ok("SELECT Trash")
	b.ok("DELETE Trash")
	a.gives("FETCH 1 UID", "NO [EXPUNGEISSUED]")
	a.gives("NOOP", "OK ", "* 2 EXPUNGE", "* 1 EXPUNGE")
	a.gives(`STORE 1 +FLAGS (\Seen)`, "BAD ")
	a.gives("NOOP", "OK ")
}

func TestIdleTellsAtOnce(t *testing.T) {
	x := start(t, testConfig())
	c := x.imapAs(t, "alice")
	c.ok("SELECT INBOX")
	c.send("i IDLE\r\n")
	if got := c.line(); !strings.HasPrefix(got, "+ ") {
		t.Fatal(got)
	}
	if err := x.Deliver(t.Context(), "", []string{"alice"}, strings.NewReader(sample)); err != nil {
		t.Fatal(err)
	}
	if got := c.line(); got != "* 1 EXISTS" {
		t.Error(got)
	}
	c.send("do") // in pieces, and in lower case
	if err := x.Deliver(t.Context(), "", []string{"alice"}, strings.NewReader(sample)); err != nil {
		t.Fatal(err)
	}
	if got := c.line(); got != "* 2 EXISTS" {
		t.Error(got)
	}
	c.send("ne\r\n")
	if got := c.line(); got != "i OK IDLE completed" {
		t.Error(got)
	}
	c.ok("NOOP")
	// Clients that vanish in IDLE leave nothing behind.
	for range 20 {
		v := x.imapAs(t, "alice")
		v.ok("SELECT INBOX")
		v.send("i IDLE\r\n")
		v.line()
		v.c.Close()
	}
	nettest.WaitFor(t, 5*time.Second, func() bool { return x.imap.count() == 1 })
	c.send("j IDLE\r\n")
	c.line()
	c.send("what\r\n")
	if got := c.line(); !strings.HasPrefix(got, "j BAD ") {
		t.Error(got)
	}
	c.ok("NOOP")
}

// A literal whose command fails is never taken for commands.
func TestLiteralsAreNotObeyed(t *testing.T) {
	inject := "c CREATE injected\r\n"
	for name, attack := range map[string]string{
		"unknown command": fmt.Sprintf("a NOSUCH {%d+}\r\n%s", len(inject), inject),
		"syntax error":    fmt.Sprintf("a SELECT (x {%d+}\r\n%s", len(inject), inject),
		"append too big":  fmt.Sprintf("a APPEND INBOX {%d+}\r\n%s%s", 2<<20, inject, strings.Repeat("x", 2<<20)),
		"long literal":    fmt.Sprintf("a CREATE {5000+}\r\n%s\r\n%s", "injected", strings.Repeat("x", 5000)),
		"long sync":       "a CREATE {5000}\r\ninjected\r\n" + strings.Repeat("x", 5000),
		"long line":       "a NOOP " + strings.Repeat("x", 70000) + "\r\n" + inject,
		"long word":       "a SEARCH SUBJECT " + strings.Repeat("x", 65536-16) + " " + inject,
		"space behind":    fmt.Sprintf("a NOSUCH {%d+} \r\n%s", len(inject), inject),
		"quoted line":     "a CREATE \"x{19+}\r\n" + inject,
		"lone LF":         fmt.Sprintf("a NOSUCH {%d+}\n%s", len(inject), inject),
		"second literal":  fmt.Sprintf("a SEARCH SUBJECT {1+}\r\nx NOSUCH {%d+}\r\n%s", len(inject), inject),
		"huge number":     "a CREATE {99999999999999999999+}\r\n" + inject,
		"append name":     "a APPEND {5000+}\r\ninjected " + strings.Repeat("x", 5000),
	} {
		t.Run(name, func(t *testing.T) {
			x := start(t, testConfig())
			c := x.imapAs(t, "alice")
			c.ok("SELECT INBOX")
			go io.WriteString(c.c, attack+"\r\nz NOOP\r\n")
			for {
				l := c.line()
				if l == "closed" {
					break
				}
				if strings.HasPrefix(l, "c ") {
					t.Errorf("obeyed: %q", l)
				}
				if strings.HasPrefix(l, "z OK") {
					break // it was read as a literal, which is as good
				}
			}
			d := x.imapAs(t, "alice")
			if u := d.ok(`LIST "" *inj*`); len(u) != 0 {
				t.Errorf("%q", u)
			}
		})
	}
	// What is allowed works.
	x := start(t, testConfig())
	c := x.imapAs(t, "alice")
	c.ok("CREATE {4+}\r\nfine")
	c.ok("STATUS {4+}\r\nfine (MESSAGES)")
	c.ok("APPEND {4+}\r\nfine (\\Seen) {6+}\r\nabc\r\nd")
	c.gives("SELECT {4+}\r\nnope", "NO [NONEXISTENT]")
	c.send("s CREATE {3}\r\n")
	if got := c.line(); !strings.HasPrefix(got, "+ ") {
		t.Fatal(got)
	}
	c.send("two\r\n")
	if got := c.line(); !strings.HasPrefix(got, "s OK ") {
		t.Error(got)
	}
	c.send("s APPEND INBOX {2000000}\r\n") // refused instead of the continuation
	if got := c.line(); !strings.HasPrefix(got, "s NO [TOOBIG] ") {
		t.Error(got)
	}
	c.ok("NOOP")
}

func TestLoginsOverIMAP(t *testing.T) {
	x := start(t, testConfig())
	c := x.imap1(t)
	c.gives("SELECT INBOX", "BAD ")
	c.gives("LOGIN alice wrong", "NO [AUTHENTICATIONFAILED]")
	c.gives("LOGIN dave dave-secret", "NO [AUTHENTICATIONFAILED]")
	if _, r := c.do("AUTHENTICATE PLAIN " + plain("alice")); !strings.HasPrefix(r, "OK ") {
		t.Error(r)
	}
	c = x.imap1(t)
	c.send("a AUTHENTICATE PLAIN\r\n")
	if got := c.line(); !strings.HasPrefix(got, "+ ") {
		t.Error(got)
	}
	c.send(plain("bob@example.org"[:3]) + "\r\n")
	if got := c.line(); !strings.HasPrefix(got, "a OK ") {
		t.Error(got)
	}
	c = x.imap1(t)
	c.gives("AUTHENTICATE PLAIN AAAA", "BAD ") // three NULs and nothing else
	for range 3 {
		c.do("LOGIN alice wrong")
	}
	if got := c.line(); !strings.HasPrefix(got, "* BYE ") || c.line() != "closed" {
		t.Error(got)
	}
}

func TestSearch(t *testing.T) {
	x := start(t, testConfig())
	c := x.imapAs(t, "alice")
	c.append("INBOX", `(\Seen $Work) "01-Feb-2024 23:59:59 +0000"`, sample)
	c.append("INBOX", `(\Flagged) "02-Feb-2024 00:00:00 +0000"`, "Subject: plain\r\nTo: Carol <carol@example.org>\r\nDate: Tue, 2 Jan 2024 00:00:00 -0800\r\nContent-Transfer-Encoding: base64\r\n\r\n"+
		"R3LDvMOfZSBhdXMgQmVybGlu\r\n")
	c.append("INBOX", `"03-Feb-2024 00:00:00 +0000"`, "Subject: long\r\n\r\n"+strings.Repeat("filler ", 10000)+"needle"+strings.Repeat(" filler", 10000))
	c.ok("SELECT INBOX")
	for search, want := range map[string]string{
		"ALL":                    " 1 2 3",
		"SEEN":                   " 1",
		"UNSEEN":                 " 2 3",
		"FLAGGED":                " 2",
		"KEYWORD $WORK":          " 1",
		"UNKEYWORD $work":        " 2 3",
		"KEYWORD $Never":         "",
		"FROM alice":             " 1",
		"TO carol":               " 2",
		"HEADER Message-ID m1@":  " 1",
		"HEADER Message-ID \"\"": " 1",
		"BODY berlin":            " 2",
		"TEXT BERLIN":            " 2",
		"TEXT plain":             " 1 2", // also in a header of a part
		"BODY needle":            " 3",
		"BODY nowhere":           "",
		"SINCE 2-Feb-2024":       " 2 3",
		"BEFORE 2-Feb-2024":      " 1",
		"ON 2-Feb-2024":          " 2",
		"SENTON 2-Jan-2024":      " 2",
		"SENTBEFORE 2-Jan-2024":  " 1",
		"LARGER 10000":           " 3",
		"SMALLER 10000":          " 1 2",
		"OR SEEN FLAGGED":        " 1 2",
		"NOT (OR SEEN FLAGGED)":  " 3",
		"2:*":                    " 2 3",
		"UID 2:*":                " 2 3",
		"*":                      " 3",
		"UID 99:*":               " 3",
		"NEW":                    "",
		"RECENT":                 "",
		"OLD":                    " 1 2 3",
	} {
		c.gives("SEARCH "+search, "OK ", "* SEARCH"+want)
	}
	c.gives("SEARCH CHARSET UTF-8 SUBJECT {7+}\r\nGRÜß"+"E", "OK ", "* SEARCH 1")
	c.gives("SEARCH CHARSET UTF-8 BODY {7+}\r\nGrüße", "OK ", "* SEARCH 2")
	c.gives("SEARCH CHARSET KOI8-R ALL", "NO [BADCHARSET (UTF-8 US-ASCII)]")
	c.gives("UID SEARCH RETURN (MIN MAX COUNT) UNSEEN", "OK ", fmt.Sprintf(`* ESEARCH (TAG "t%d") UID MIN 2 MAX 3 COUNT 2`, c.n+1))
	c.gives("SEARCH RETURN () FLAGGED", "OK ", fmt.Sprintf(`* ESEARCH (TAG "t%d") ALL 2`, c.n+1))
	c.gives("SEARCH "+strings.Repeat("BODY x ", 300)+"ALL", "NO [LIMIT]")
}

func memory() int64 {
	var m runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc + m.StackInuse)
}
