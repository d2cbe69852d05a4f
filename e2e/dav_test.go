package e2e

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

const (
	files = "http://127.0.0.1:8080/dav/files/alice/"
	auth  = "alice:" + password
)

func TestRcloneCopiesUpAndBack(t *testing.T) {
	c := trial(t)
	home := t.TempDir()
	t.Setenv("HOME", home)
	t.Setenv("RCLONE_CONFIG", filepath.Join(home, "rclone.conf"))
	t.Setenv("RCLONE_WEBDAV_URL", files)
	t.Setenv("RCLONE_WEBDAV_USER", "alice")
	t.Setenv("RCLONE_WEBDAV_PASS", strings.TrimSpace(run(t, "rclone", "obscure", password)))
	up, back := filepath.Join(home, "up"), filepath.Join(home, "back")
	for n := range 200 {
		dir := filepath.Join(up, fmt.Sprintf("d%02d/ä ö%d", n%10, n%3))
		os.MkdirAll(dir, 0o700)
		text := strings.Repeat(fmt.Sprintf("file %d\n", n), n*37)
		if err := os.WriteFile(filepath.Join(dir, fmt.Sprintf("f %d.txt", n)), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	run(t, "rclone", "copy", up, ":webdav:copied")
	run(t, "rclone", "check", "--download", up, ":webdav:copied")
	run(t, "rclone", "copy", ":webdav:copied", back)
	run(t, "diff", "-r", up, back)
	_ = c
}

var litmusLine = regexp.MustCompile("<- summary for `(\\w+)': of (\\d+) tests run: (\\d+) passed")

func TestLitmusPassesWhole(t *testing.T) {
	trial(t)
	dir := t.TempDir() // litmus writes its log where it stands
	t.Chdir(dir)
	want := map[string]string{"basic": "16", "copymove": "13", "http": "4"}
	t.Setenv("TESTS", "basic copymove http")
	out, err := try(t, "litmus", "-k", files, "alice", password)
	got := map[string]bool{}
	for _, m := range litmusLine.FindAllStringSubmatch(out, -1) {
		got[m[1]] = m[3] == want[m[1]]
	}
	for name := range want {
		if !got[name] {
			t.Errorf("%s did not pass whole (%v):\n%s", name, err, out)
		}
	}
}

const event = "BEGIN:VCALENDAR\r\nVERSION:2.0\r\nPRODID:-//test//EN\r\nBEGIN:VEVENT\r\nUID:tea@test\r\nDTSTAMP:20260601T120000Z\r\n" +
	"DTSTART:20260601T150000Z\r\nDTEND:20260601T160000Z\r\nSUMMARY:Tea\r\nEND:VEVENT\r\nEND:VCALENDAR\r\n"

const card = "BEGIN:VCARD\r\nVERSION:3.0\r\nUID:bob@test\r\nFN:Bob\r\nN:;Bob;;;\r\nEND:VCARD\r\n"

func TestVdirsyncerListsWhatCurlPut(t *testing.T) {
	trial(t)
	home := t.TempDir()
	t.Setenv("HOME", home)
	put := func(path, kind, body string) {
		t.Helper()
		out := run(t, "curl", "-sS", "-u", auth, "-X", "PUT", "-H", "Content-Type: "+kind, "--data-binary", body,
			"-o", "/dev/null", "-w", "%{http_code}", "http://127.0.0.1:5232"+path)
		if out != "201" {
			t.Errorf("PUT %s gave %s", path, out)
		}
	}
	put("/dav/calendars/alice/personal/tea.ics", "text/calendar", event)
	put("/dav/contacts/alice/contacts/bob.vcf", "text/vcard", card)
	conf := filepath.Join(home, "config")
	if err := os.WriteFile(conf, fmt.Appendf(nil, `
[general]
status_path = "%[1]s/status/"
[pair cal]
a = "cal_near"
b = "cal_far"
collections = ["from b"]
[storage cal_near]
type = "filesystem"
path = "%[1]s/cal/"
fileext = ".ics"
[storage cal_far]
type = "caldav"
url = "http://127.0.0.1:5232/"
username = "alice"
password = "%[2]s"
[pair card]
a = "card_near"
b = "card_far"
collections = ["from b"]
[storage card_near]
type = "filesystem"
path = "%[1]s/card/"
fileext = ".vcf"
[storage card_far]
type = "carddav"
url = "http://127.0.0.1:5232/"
username = "alice"
password = "%[2]s"
`, home, password), 0o600); err != nil {
		t.Fatal(err)
	}
	run(t, "sh", "-c", "yes | vdirsyncer -c "+conf+" discover && vdirsyncer -c "+conf+" sync")
	for pattern, want := range map[string]string{"cal/personal/*.ics": "SUMMARY:Tea", "card/contacts/*.vcf": "FN:Bob"} {
		found, _ := filepath.Glob(filepath.Join(home, pattern))
		if len(found) != 1 {
			t.Errorf("%s: %d files", pattern, len(found))
			continue
		}
		if b, err := os.ReadFile(found[0]); err != nil || !strings.Contains(string(b), want) {
			t.Errorf("%s holds %s, %v", found[0], b, err)
		}
	}
}
