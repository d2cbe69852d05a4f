package davsrv

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"pic/internal/nettest"
)

// run runs a program with a home of its own and returns what it printed.
func run(t *testing.T, home, name string, args ...string) string {
	t.Helper()
	cmd := exec.Command(name, args...)
	cmd.Dir = home
	cmd.Env = []string{
		"PATH=" + os.Getenv("PATH"), "HOME=" + home, "XDG_CONFIG_HOME=" + home, "XDG_DATA_HOME=" + home, "XDG_CACHE_HOME=" + home,
		"LC_ALL=C.UTF-8", "PIC_NETTEST_INSIDE=" + os.Getenv("PIC_NETTEST_INSIDE"),
	}
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("%s %s: %v\n%s", filepath.Base(name), strings.Join(args, " "), err, out)
	}
	return string(out)
}

// rclone copies 200 files up and back; all are equal.
func TestRcloneCopiesUpAndBack(t *testing.T) {
	t.Parallel()
	rclone := nettest.Tool(t, "rclone")
	c := start(t)
	home := t.TempDir()
	up, back := filepath.Join(home, "up"), filepath.Join(home, "back")
	rnd := rand.New(rand.NewPCG(5, 6))
	for i := range 200 {
		name := fmt.Sprintf("d%d/sub %d/file ü %d & co.bin", i%7, i%3, i)
		content := make([]byte, rnd.IntN(9000))
		if i == 199 {
			content = make([]byte, 3<<20)
		}
		for j := range content {
			content[j] = byte(rnd.Uint32())
		}
		p := filepath.Join(up, name)
		if err := os.MkdirAll(filepath.Dir(p), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(p, content, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	few := filepath.Join(home, "few") // for a second vendor: rclone makes 100 requests a second at most
	for name, content := range readTree(t, filepath.Join(up, "d3")) {
		if err := os.MkdirAll(filepath.Join(few, filepath.Dir(name)), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(few, name), []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	for vendor, up := range map[string]string{"other": few, "nextcloud": up} {
		t.Run(vendor, func(t *testing.T) {
			t.Parallel()
			folder := filepath.Base(up)
			pass := strings.TrimSpace(run(t, home, rclone, "obscure", "pw"))
			flags := []string{"--config", "/dev/null", "--webdav-url", c.url + "/dav/files/alice/", "--webdav-vendor", vendor, "--webdav-user", "alice", "--webdav-pass", pass}
			rc := func(args ...string) string { return run(t, home, rclone, append(args, flags...)...) }
			remote, local := ":webdav:"+folder, filepath.Join(back, folder)
			rc("copy", up, remote)
			if vendor == "nextcloud" {
				rc("check", up, remote)
			} else {
				rc("check", "--download", up, remote)
			}
			rc("copy", remote, local)
			if a, b := readTree(t, up), readTree(t, local); !equalTrees(a, b) || vendor == "nextcloud" && len(a) != 200 {
				t.Errorf("%d files up, %d back, and not the same", len(a), len(b))
			}
			if vendor == "nextcloud" {
				if out := rc("copy", "-v", up, remote); !strings.Contains(out, "There was nothing to transfer") {
					t.Errorf("a second copy found work: %s", out)
				}
			}
			if vendor == "other" {
				rc("moveto", remote+"/sub 1", remote+"/moved")
				rc("purge", remote+"/sub 0")
				left := readTree(t, filepath.Join(c.files, "alice", folder))
				if want := len(readTree(t, filepath.Join(up, "sub 1"))) + len(readTree(t, filepath.Join(up, "sub 2"))); len(left) != want {
					t.Errorf("%d files are left, want %d", len(left), want)
				}
			}
		})
	}
}

func equalTrees(a, b map[string]string) bool {
	if len(a) != len(b) {
		return false
	}
	for k, v := range a {
		if w, ok := b[k]; !ok || v != w {
			return false
		}
	}
	return true
}

// What curl puts, vdirsyncer discovers, lists and fetches; what vdirsyncer
// puts, curl gets.
func TestVdirsyncerFindsWhatCurlPut(t *testing.T) {
	t.Parallel()
	curl, vdirsyncer := nettest.Tool(t, "curl"), nettest.Tool(t, "vdirsyncer")
	c := start(t)
	home := t.TempDir()
	put := func(name, content, url, kind string) {
		p := filepath.Join(home, name)
		if err := os.WriteFile(p, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
		status := run(t, home, curl, "-s", "-o", "/dev/null", "-w", "%{http_code}", "-u", "alice:pw", "-H", "Content-Type: "+kind, "-T", p, url)
		if status != "201" {
			t.Fatalf("curl PUT %s: %s", url, status)
		}
	}
	ics := event("lunch", "DTSTART:20260310T100000Z\nDTEND:20260310T110000Z\nSUMMARY:Lunch\n")
	vcf := contact("anna", "FN:Anna\nN:;Anna;;;\n")
	put("lunch.ics", ics, c.url+personal+"lunch.ics", "text/calendar")
	put("anna.vcf", vcf, c.url+book+"anna.vcf", "text/vcard")

	config := fmt.Sprintf(`[general]
status_path = "%[1]s/status/"
[pair cal]
a = "cal_local"
b = "cal_remote"
collections = ["from b"]
metadata = ["displayname", "color"]
[storage cal_local]
type = "filesystem"
path = "%[1]s/cal/"
fileext = ".ics"
[storage cal_remote]
type = "caldav"
url = "%[2]s/"
username = "alice"
password = "pw"
[pair card]
a = "card_local"
b = "card_remote"
collections = ["from b"]
[storage card_local]
type = "filesystem"
path = "%[1]s/card/"
fileext = ".vcf"
[storage card_remote]
type = "carddav"
url = "%[2]s/"
username = "alice"
password = "pw"
`, home, c.url)
	if err := os.WriteFile(filepath.Join(home, "vdirsyncer.conf"), []byte(config), 0o600); err != nil {
		t.Fatal(err)
	}
	vdir := func(args ...string) string {
		cmd := exec.Command(vdirsyncer, append([]string{"-c", filepath.Join(home, "vdirsyncer.conf")}, args...)...)
		cmd.Env = append(os.Environ(), "HOME="+home, "LC_ALL=C.UTF-8")
		cmd.Stdin = bytes.NewReader(bytes.Repeat([]byte("y\n"), 20))
		out, err := cmd.CombinedOutput()
		if err != nil {
			t.Fatalf("vdirsyncer %v: %v\n%s", args, err, out)
		}
		return string(out)
	}
	if out := vdir("discover"); !strings.Contains(out, `"personal"`) || !strings.Contains(out, `"contacts"`) {
		t.Errorf("discovered: %s", out)
	}
	vdir("sync")
	if got := readTree(t, filepath.Join(home, "cal"))["personal/lunch.ics"]; got != strings.ReplaceAll(ics, "\r\n", "\n") && got != ics {
		t.Errorf("vdirsyncer fetched %q", got)
	}
	if got := readTree(t, filepath.Join(home, "card"))["contacts/anna.vcf"]; !strings.Contains(got, "FN:Anna") {
		t.Errorf("vdirsyncer fetched %q", got)
	}
	// The other way round: a new one, a changed one, a deleted one.
	local := filepath.Join(home, "cal", "personal")
	if err := os.WriteFile(filepath.Join(local, "dinner.ics"), []byte(event("dinner", "DTSTART:20260310T190000Z\n")), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(local, "lunch.ics"), []byte(strings.Replace(ics, "Lunch", "Brunch", 1)), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Remove(filepath.Join(home, "card", "contacts", "anna.vcf")); err != nil {
		t.Fatal(err)
	}
	vdir("sync", "--force-delete")
	vdir("metasync", "cal")
	got := run(t, home, curl, "-s", "-u", "alice:pw", c.url+personal+"lunch.ics")
	if !strings.Contains(got, "SUMMARY:Brunch") {
		t.Errorf("curl got %q", got)
	}
	if all := truth(t, c, personal); len(all) != 2 {
		t.Errorf("the calendar holds %v", all)
	}
	if all := truth(t, c, book); len(all) != 0 {
		t.Errorf("the address book holds %v", all)
	}
}

func TestCurlSpeaksTheBasics(t *testing.T) {
	curl := nettest.Tool(t, "curl")
	c := start(t)
	home := t.TempDir()
	do := func(args ...string) string { return run(t, home, curl, append([]string{"-s"}, args...)...) }
	if got := do("-o", "/dev/null", "-w", "%{http_code}", c.url+"/dav/"); got != "401" {
		t.Errorf("without credentials: %s", got)
	}
	if got := do("-o", "/dev/null", "-w", "%{http_code}", "-u", "alice:wrong", c.url+"/dav/"); got != "401" {
		t.Errorf("with wrong credentials: %s", got)
	}
	if got := do("-L", "-X", "PROPFIND", "-H", "Depth: 0", "-u", "alice@oak.home.arpa:pw", c.url+"/.well-known/caldav"); !strings.Contains(got, "multistatus") {
		t.Errorf("discovery: %s", got)
	}
	do("-u", "alice:pw", "--data-binary", "hello", "-X", "PUT", c.url+"/dav/files/alice/hello.txt")
	if got := do("-u", "alice:pw", "-r", "1-3", c.url+"/dav/files/alice/hello.txt"); got != "ell" {
		t.Errorf("a range: %q", got)
	}
}
