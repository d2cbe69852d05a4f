package mailsrv

import (
	"context"
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

// offlineimap fetches all into Maildirs, and brings flags and deletions both ways.
func TestOfflineIMAP(t *testing.T) {
	x := start(t, testConfig())
	_, port, _ := net.SplitHostPort(x.at(imaps))
	dir := t.TempDir()
	rc := filepath.Join(dir, "rc")
	if err := os.WriteFile(rc, fmt.Appendf(nil, `[general]
accounts = cell
metadata = %s/meta
[Account cell]
localrepository = near
remoterepository = far
[Repository near]
type = Maildir
localfolders = %s/mail
[Repository far]
type = IMAP
remotehost = localhost
remoteport = %s
remoteuser = alice
remotepass = alice-secret
ssl = yes
sslcacertfile = %s
auth_mechanisms = PLAIN
`, dir, dir, port, x.ca), 0o600); err != nil {
		t.Fatal(err)
	}
	sync := func() {
		t.Helper()
		if out, exit := run(t, "", "offlineimap", "-c", rc, "-o", "-u", "basic"); exit != 0 {
			t.Fatalf("exit %d\n%s", exit, out)
		}
	}
	c := x.imapAs(t, "alice")
	for i := range 12 {
		c.append("INBOX", []string{"()", `(\Seen)`}[i%2], strings.Replace(sample, "m1@", fmt.Sprintf("m%d@", i), 1))
	}
	c.ok("CREATE Entw&APw-rfe")
	sync()
	inbox := filepath.Join(dir, "mail", "INBOX")
	if all, seen := maildir(t, inbox, "S"); all != 12 || seen != 6 {
		t.Errorf("%d messages, %d seen", all, seen)
	}
	c.ok("SELECT INBOX")
	c.ok(`STORE 1:2 +FLAGS.SILENT (\Flagged)`)
	c.ok(`STORE 12 +FLAGS.SILENT (\Deleted)`)
	c.ok("EXPUNGE")
	names, _ := filepath.Glob(inbox + "/cur/*:2,S")
	if len(names) == 0 {
		t.Fatal("nothing is seen")
	}
	if err := os.Remove(names[0]); err != nil {
		t.Fatal(err)
	}
	sync()
	if all, flagged := maildir(t, inbox, "F"); all < 10 || all > 11 || flagged == 0 {
		t.Errorf("%d messages, %d flagged", all, flagged)
	}
	sync()
	all, _ := maildir(t, inbox, "F")
	c.gives("STATUS INBOX (MESSAGES)", "OK ", append(c.news(), fmt.Sprintf("* STATUS INBOX (MESSAGES %d)", all))...)
}

// news takes what there is to be told, so that the next command tells nothing.
func (c *imapConn) news() []string {
	c.t.Helper()
	c.ok("NOOP")
	return nil
}

// screen gives a program a terminal and waits for its end, 20 s at most.
const screen = `
import os, pty, select, sys, time
pid, fd = pty.fork()
if pid == 0:
    os.environ["TERM"] = "xterm"
    os.execvp(sys.argv[1], sys.argv[1:])
out, end = b"", time.time() + 20
while time.time() < end:
    if not select.select([fd], [], [], 1)[0]:
        continue
    try:
        b = os.read(fd, 65536)
    except OSError:
        break
    if not b:
        break
    out += b
else:
    os.kill(pid, 9)
sys.stdout.write(out.decode("utf-8", "replace"))
sys.exit(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) & 255)
`

// neomutt, with CONDSTORE and QRESYNC, keeps what it knows and
// catches up with what others did.
func TestNeomutt(t *testing.T) {
	x := start(t, testConfig())
	_, port, _ := net.SplitHostPort(x.at(imaps))
	dir := t.TempDir()
	rc := filepath.Join(dir, "rc")
	if err := os.WriteFile(rc, fmt.Appendf(nil, `set certificate_file = %s
set ssl_starttls = no
set imap_user = alice
set imap_pass = alice-secret
set imap_qresync = yes
set imap_condstore = yes
set header_cache = %s/cache
set quit = yes
set confirm_append = no
set confirm_create = no
set delete = yes
set mark_old = no
set wait_key = no
set auto_tag = yes
set sleep_time = 0
set beep = no
`, x.ca, dir), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, sub := range []string{"cache", "Mail"} { // or it asks
		if err := os.Mkdir(filepath.Join(dir, sub), 0o700); err != nil {
			t.Fatal(err)
		}
	}
	script := filepath.Join(dir, "screen.py")
	if err := os.WriteFile(script, []byte(screen), 0o600); err != nil {
		t.Fatal(err)
	}
	mutt := func(keys string) {
		t.Helper()
		ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
		defer cancel()
		cmd := exec.CommandContext(ctx, nettest.Tool(t, "python3"), script, nettest.Tool(t, "neomutt"), "-n", "-F", rc,
			"-f", "imaps://localhost:"+port+"/INBOX", "-e", "push '"+keys+"'")
		cmd.Env = append(os.Environ(), "HOME="+dir, "LANG=C.UTF-8")
		cmd.WaitDelay = time.Second
		out, err := cmd.CombinedOutput()
		if t.Logf("%s", out); err != nil {
			t.Fatal(err)
		}
	}
	copied := func(name string) string { return filepath.Join(dir, name) }
	count := func(name string) int {
		t.Helper()
		b, err := os.ReadFile(copied(name))
		if err != nil {
			t.Fatal(err)
		}
		return strings.Count("\n"+string(b), "\nMessage-ID: ")
	}
	take := func(name string) string {
		return "<tag-pattern>~A<enter><copy-message>" + copied(name) + "<enter><quit>"
	}
	c := x.imapAs(t, "alice")
	for i := range 10 {
		c.append("INBOX", "()", strings.Replace(sample, "m1@", fmt.Sprintf("m%d@", i), 1))
	}
	mutt(take("first"))
	if n := count("first"); n != 10 {
		t.Errorf("%d messages", n)
	}
	c.ok("SELECT INBOX")
	c.ok(`STORE 3:5 +FLAGS.SILENT (\Deleted)`)
	c.ok("EXPUNGE")
	c.ok(`STORE 1 +FLAGS.SILENT (\Flagged)`)
	c.append("INBOX", "()", strings.Replace(sample, "m1@", "m11@", 1))
	mutt("<untag-pattern>~A<enter><tag-pattern>~F<enter><copy-message>" + copied("flagged") + "<enter>" + take("second"))
	if n, m := count("second"), count("flagged"); n != 8 || m != 1 {
		t.Errorf("%d messages, %d flagged", n, m)
	}
	mutt("<delete-pattern>~A<enter><sync-mailbox><quit>")
	c.news()
	c.gives("STATUS INBOX (MESSAGES)", "OK ", "* STATUS INBOX (MESSAGES 0)")
}
