package mailsrv

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"pic/internal/nettest"
)

// On a full disk mail is refused for now, none of it is left, what was there
// stays readable, and once there is room all goes on by itself.
func TestFullDisk(t *testing.T) {
	nettest.NeedNamespace(t)
	dir := t.TempDir()
	if err := unix.Mount("tmpfs", dir, "tmpfs", 0, "size=4m"); err != nil {
		nettest.Skip(t, "needs to mount a tmpfs: "+err.Error())
	}
	t.Cleanup(func() { unix.Unmount(dir, unix.MNT_DETACH) })
	x := startIn(t, testConfig(), dir)
	c := dial(t, x.at(smtpIn)).hello()
	send := func(text string) string {
		t.Helper()
		c.says("MAIL FROM:<x@example.net>", "250 ")
		c.says("RCPT TO:<alice@oak.home.arpa>", "250 ")
		c.says("DATA", "354 ")
		c.send(text + "\r\n.\r\n")
		return c.reply()
	}
	if got := send("Subject: first\r\n\r\nx"); !strings.HasPrefix(got, "250 ") {
		t.Fatal(got)
	}
	filler := filepath.Join(dir, "filler")
	if err := os.WriteFile(filler, bytes.Repeat([]byte{1}, 3700<<10), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, size := range []int{100 << 10, 900 << 10} { // spooled in memory, and in a file
		if got := send("Subject: big\r\n\r\n" + strings.Repeat("0123456789abcde\r\n", size/17) + strings.Repeat("x", 600)); size > 500<<10 && !strings.HasPrefix(got, "452 4.3.1") {
			t.Errorf("%d bytes: %q", size, got)
		}
	}
	for range 10 { // until nothing fits
		if got := send(strings.Repeat("0123456789abcde\r\n", 4000)); strings.HasPrefix(got, "452 4.3.1") {
			break
		}
	}
	if got := send(strings.Repeat("0123456789abcde\r\n", 4000)); !strings.HasPrefix(got, "452 4.3.1") {
		t.Errorf("nothing should fit any more: %q", got)
	}
	before := x.inbox(t, "alice")
	if p := x.Problems(); len(p) != 1 || p[0].Code != "mail/disk-full" {
		t.Errorf("%+v", p)
	}
	i := x.imapAs(t, "alice")
	i.gives("APPEND INBOX {100000+}\r\n"+strings.Repeat("x", 100000), "NO [UNAVAILABLE]")
	if err := os.Remove(filler); err != nil {
		t.Fatal(err)
	}
	if got := send("Subject: last\r\n\r\nx"); !strings.HasPrefix(got, "250 ") {
		t.Errorf("with room again: %q", got)
	}
	x.stop()
	y := startIn(t, testConfig(), dir)
	after := y.inbox(t, "alice")
	if len(after) != len(before)+1 || !strings.Contains(after[len(after)-1], "Subject: last") {
		t.Errorf("%d messages became %d", len(before), len(after))
	}
	for n := range before {
		if after[n] != before[n] {
			t.Errorf("message %d has changed", n)
		}
	}
}
