package mailsrv

import (
	"bytes"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"pic/internal/nettest"
)

// run runs a program to its end and returns what it said and its exit code.
func run(t *testing.T, stdin, name string, args ...string) (string, int) {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), nettest.Tool(t, name), args...)
	cmd.Stdin = strings.NewReader(stdin)
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	if err := cmd.Run(); err != nil && cmd.ProcessState == nil {
		t.Fatal(err)
	}
	return out.String(), cmd.ProcessState.ExitCode()
}

func TestSwaks(t *testing.T) {
	x := start(t, testConfig())
	auth := []string{"--auth", "PLAIN", "--auth-user", "alice@oak.home.arpa", "--auth-password", "alice-secret"}
	for name, tt := range map[string]struct {
		at       protocol
		from, to string
		args     []string
		want     string // what must be said
		exit     int
	}{
		"from outside":          {smtpIn, "x@example.net", "alice@oak.home.arpa", nil, "250 2.0.0 OK: queued", 0},
		"from outside, TLS":     {smtpIn, "x@example.net", "alice@oak.home.arpa", []string{"--tls"}, "250 2.0.0 OK: queued", 0},
		"pipelined":             {smtpIn, "x@example.net", "alice@oak.home.arpa", []string{"--pipeline"}, "250 2.0.0 OK: queued", 0},
		"from outside to out":   {smtpIn, "x@example.net", "x@example.com", nil, "550 5.7.1 Relaying denied", 24},
		"submitted":             {submission, "alice@oak.home.arpa", "bob@oak.home.arpa", append([]string{"--tls"}, auth...), "250 2.0.0 OK: queued", 0},
		"submitted, LOGIN":      {submission, "alice@oak.home.arpa", "bob@oak.home.arpa", append([]string{"--tls"}, "--auth", "LOGIN", "--auth-user", "alice", "--auth-password", "alice-secret"), "250 2.0.0 OK: queued", 0},
		"submitted at 465":      {submissions, "alice@oak.home.arpa", "bob@oak.home.arpa", append([]string{"--tlsc"}, auth...), "250 2.0.0 OK: queued", 0},
		"submitted to out":      {submission, "alice@oak.home.arpa", "x@example.com", append([]string{"--tls"}, auth...), "250 2.0.0 OK: queued", 0},
		"as somebody else":      {submission, "bob@oak.home.arpa", "bob@oak.home.arpa", append([]string{"--tls"}, auth...), "553 5.7.1 That is not an address of yours", 23},
		"submitted, no login":   {submission, "alice@oak.home.arpa", "bob@oak.home.arpa", []string{"--tls"}, "530 5.7.0 Login required", 23},
		"submitted, no TLS":     {submission, "alice@oak.home.arpa", "bob@oak.home.arpa", nil, "530 5.7.0 Use STARTTLS", 23},
		"login without TLS":     {submission, "alice@oak.home.arpa", "bob@oak.home.arpa", auth, "did not advertise authentication", 28},
		"login on port 25":      {smtpIn, "alice@oak.home.arpa", "bob@oak.home.arpa", append([]string{"--tls"}, auth...), "did not advertise authentication", 28},
		"with a wrong password": {submission, "alice@oak.home.arpa", "bob@oak.home.arpa", []string{"--tls", "--auth", "PLAIN", "--auth-user", "alice", "--auth-password", "x"}, "535 5.7.8", 28},
	} {
		t.Run(name, func(t *testing.T) {
			host, port, _ := net.SplitHostPort(x.at(tt.at))
			args := append([]string{"--server", host, "--port", port, "--from", tt.from, "--to", tt.to, "--helo", "client.example"}, tt.args...)
			out, exit := run(t, "", "swaks", args...)
			if exit != tt.exit || !strings.Contains(out, tt.want) {
				t.Errorf("exit %d, want %d and %q:\n%s", exit, tt.exit, tt.want, out)
			}
		})
	}
	nettest.WaitFor(t, 10*time.Second, func() bool { return len(x.Outbound().List()) == 0 }) // there is no example.com: alice is told
	if n, m := len(x.inbox(t, "alice")), len(x.inbox(t, "bob")); n != 4 || m != 3 {
		t.Errorf("alice has %d messages, bob %d", n, m)
	}
}

// maildir counts messages in a Maildir, and those that have a flag.
func maildir(t *testing.T, dir, flag string) (all, flagged int) {
	t.Helper()
	for _, sub := range []string{"cur", "new"} {
		entries, err := os.ReadDir(filepath.Join(dir, sub))
		if err != nil {
			t.Fatal(err)
		}
		for _, e := range entries {
			all++
			if _, info, _ := strings.Cut(e.Name(), ":2,"); strings.Contains(info, flag) {
				flagged++
			}
		}
	}
	return all, flagged
}

// mbsync fetches all, and brings flags, deletions and new messages both ways.
func TestMbsync(t *testing.T) {
	x := start(t, testConfig())
	dir := t.TempDir()
	_, port, _ := net.SplitHostPort(x.at(imaps))
	rc := filepath.Join(dir, "mbsyncrc")
	if err := os.WriteFile(rc, fmt.Appendf(nil, `IMAPAccount cell
Host localhost
Port %s
User alice
Pass alice-secret
SSLType IMAPS
CertificateFile %s
AuthMechs PLAIN

IMAPStore far
Account cell

MaildirStore near
Path %s/
Inbox %s/INBOX
SubFolders Verbatim

Channel all
Far :far:
Near :near:
Patterns *
Create Both
Expunge Both
SyncState *
`, port, x.ca, dir, dir), 0o600); err != nil {
		t.Fatal(err)
	}
	sync := func() string {
		t.Helper()
		out, exit := run(t, "", "mbsync", "-c", rc, "-a", "-V")
		if exit != 0 {
			t.Fatalf("mbsync: exit %d\n%s", exit, out)
		}
		return out
	}
	c := x.imapAs(t, "alice")
	for i := range 20 {
		c.append("INBOX", "()", strings.Replace(sample, "m1@", fmt.Sprintf("m%d@", i), 1))
	}
	c.ok("CREATE Lists/go")
	c.append("Lists/go", `(\Seen)`, sample)
	sync()
	inbox := filepath.Join(dir, "INBOX")
	if all, seen := maildir(t, inbox, "S"); all != 20 || seen != 0 {
		t.Errorf("%d messages, %d seen", all, seen)
	}
	if all, seen := maildir(t, filepath.Join(dir, "Lists/go"), "S"); all != 1 || seen != 1 {
		t.Errorf("Lists/go: %d messages, %d seen", all, seen)
	}
	// Flags there and deletion here.
	c.ok("SELECT INBOX")
	c.ok(`STORE 1:5 +FLAGS.SILENT (\Seen)`)
	names, err := filepath.Glob(inbox + "/*/*")
	if err != nil || len(names) != 20 {
		t.Fatal(len(names), err)
	}
	gone := names[len(names)-1]
	if err := os.Remove(gone); err != nil {
		t.Fatal(err)
	}
	flagged := filepath.Join(inbox, "cur", strings.TrimSuffix(filepath.Base(names[0]), ":2,")+":2,F")
	if err := os.Rename(names[0], flagged); err != nil {
		t.Fatal(err)
	}
	// A message that was written here.
	if err := os.WriteFile(filepath.Join(inbox, "cur", "1.mine:2,S"), []byte("From: me@x\nSubject: mine\n\ntext\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	sync()
	all, seen := maildir(t, inbox, "S")
	if all != 20 || seen < 5 {
		t.Errorf("%d messages, %d seen", all, seen)
	}
	c.ok("NOOP")
	c.gives("STATUS Lists/go (MESSAGES)", "OK ", `* STATUS "Lists/go" (MESSAGES 1)`)
	if u := c.ok("SEARCH FLAGGED"); len(u) != 1 || len(strings.Fields(u[0])) != 3 {
		t.Errorf("flagged there: %q", u)
	}
	if u := c.ok("SEARCH SUBJECT mine SEEN"); len(u) != 1 || len(strings.Fields(u[0])) != 3 {
		t.Errorf("mine there: %q", u)
	}
	// A third run has nothing to do.
	out := sync()
	if !strings.Contains(out, "INBOX") {
		t.Errorf("%s", out)
	}
	before, _ := filepath.Glob(inbox + "/*/*")
	sync()
	after, _ := filepath.Glob(inbox + "/*/*")
	if fmt.Sprint(before) != fmt.Sprint(after) {
		t.Error("a run without news changed something")
	}
}

const pythonIMAP = `
import imaplib, ssl, sys
ctx = ssl.create_default_context(cafile=sys.argv[2])
m = imaplib.IMAP4_SSL("localhost", int(sys.argv[1]), ssl_context=ctx)
def ok(r):
    assert r[0] == "OK", r
    return r[1]
ok(m.login("alice@oak.home.arpa", "alice-secret"))
text = b"Subject: from python\r\nX-Test: 1\r\n\r\nhello\r\n"
for i in range(10):
    ok(m.append("INBOX", "(\\Seen)" if i % 2 else None, '"01-Jan-2024 00:00:00 +0000"', text))
assert ok(m.select("INBOX")) == [b"10"]
assert ok(m.search(None, "UNSEEN")) == [b"1 3 5 7 9"]
typ, data = m.fetch("1:3", "(UID FLAGS BODY.PEEK[])")
assert typ == "OK" and [d[1] for d in data if isinstance(d, tuple)] == [text] * 3, data
ok(m.store("1", "+FLAGS", "\\Deleted"))
assert ok(m.expunge()) == [b"1"]
ok(m.create('"My Folder"'))
ok(m.copy("1:2", '"My Folder"'))
ok(m.select('"My Folder"', readonly=True))
try:
    assert m.store("1", "+FLAGS", "\\Seen")[0] == "NO"
except imaplib.IMAP4.readonly:
    pass
ok(m.uid("SEARCH", "HEADER", "X-Test", "1"))
ok(m.close())
m.logout()
print("well")
`

func TestPythonIMAP(t *testing.T) {
	x := start(t, testConfig())
	_, port, _ := net.SplitHostPort(x.at(imaps))
	if out, exit := run(t, pythonIMAP, "python3", "-", port, x.ca); exit != 0 || !strings.Contains(out, "well") {
		t.Errorf("exit %d\n%s", exit, out)
	}
}

// curl speaks both.
func TestCurl(t *testing.T) {
	x := start(t, testConfig())
	_, smtpPort, _ := net.SplitHostPort(x.at(submissions))
	_, imapPort, _ := net.SplitHostPort(x.at(imaps))
	resolve := []string{
		"--resolve", "mail.oak.home.arpa:" + smtpPort + ":127.0.0.4", "--resolve", "mail.oak.home.arpa:" + imapPort + ":127.0.0.1",
		"--cacert", x.ca, "-s", "-S",
	}
	out, exit := run(t, "From: alice@oak.home.arpa\r\nSubject: curl\r\n\r\nhi\r\n", "curl", append(resolve, "--user", "alice:alice-secret",
		"--url", "smtps://mail.oak.home.arpa:"+smtpPort, "--mail-from", "alice@oak.home.arpa", "--mail-rcpt", "bob@oak.home.arpa", "--upload-file", "-")...)
	if exit != 0 {
		t.Fatalf("exit %d\n%s", exit, out)
	}
	out, exit = run(t, "", "curl", append(resolve, "--user", "bob:bob-secret", "imaps://mail.oak.home.arpa:"+imapPort+"/INBOX;UID=1")...)
	if exit != 0 || !strings.HasSuffix(out, "Subject: curl\r\n\r\nhi\r\n") {
		t.Errorf("exit %d\n%s", exit, out)
	}
}
