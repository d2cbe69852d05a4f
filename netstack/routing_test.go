package netstack

import (
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"pic/internal/nettest"
)

const childRouting = "PIC_TEST_ROUTING_RECORD"

// forwardUntilKilled lets the kernel forward and takes that back, again and again.
func forwardUntilKilled(path string) {
	for n := 0; ; n++ {
		r := routing{path: path} // as at a start
		if err := r.enable(true); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		fmt.Println("on")
		if err := r.restore(); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
	}
}

func TestKernelSettingsComeBack(t *testing.T) {
	lab := nettest.New(t)
	self := lab.Self()
	lab.Link(self, "eth0", "192.168.1.10/24", lab.Host("other"), "eth0", "192.168.1.20/24")
	path := filepath.Join(t.TempDir(), "router", "kernel.json")
	state := func() string {
		t.Helper()
		return strings.Join(strings.Fields(self.Run(t, "sysctl", "-n", "net.ipv4.ip_forward", "net.ipv6.conf.all.forwarding", "net.ipv6.conf.eth0.accept_ra")), " ")
	}
	self.Run(t, "sysctl", "-q", "net.ipv4.ip_forward=0", "net.ipv6.conf.all.forwarding=0", "net.ipv6.conf.eth0.accept_ra=1")
	on := func() {
		t.Helper()
		if err := (&routing{path: path}).enable(true); err != nil || state() != "1 1 2" {
			t.Fatalf("%s, %v", state(), err)
		}
	}
	cleanup := func() string {
		t.Helper()
		done, err := Cleanup("pic0", path)
		if err != nil {
			t.Fatal(err)
		}
		return strings.Join(done, "; ")
	}
	on() // and then it was killed
	on() // and started, and killed again
	if done := cleanup(); state() != "0 0 1" || !strings.Contains(done, "net.ipv4.ip_forward, which is 0 again") || !strings.Contains(done, "eth0") {
		t.Errorf("after the cleanup: %s; it says %q", state(), done)
	}
	if _, err := os.Stat(path); !os.IsNotExist(err) {
		t.Errorf("the record is still there: %v", err)
	}
	if done := cleanup(); done != "" {
		t.Errorf("the second time: %q", done)
	}

	// What others have set since is theirs.
	on()
	self.Run(t, "sysctl", "-q", "net.ipv6.conf.eth0.accept_ra=0")
	if cleanup(); state() != "0 0 0" {
		t.Errorf("another's setting is changed: %s", state())
	}
	self.Run(t, "sysctl", "-q", "net.ipv4.ip_forward=1")
	on0 := routing{path: path}
	if err := on0.enable(false); err != nil {
		t.Fatal(err)
	}
	if cleanup(); state()[0] != '1' {
		t.Error("it was on before us, and is off now")
	}

	// Nor is what the kernel has after a restart of the host ours.
	self.Run(t, "sysctl", "-q", "net.ipv4.ip_forward=0")
	if err := on0.enable(false); err != nil {
		t.Fatal(err)
	}
	var f former
	b, err := os.ReadFile(path)
	if err == nil {
		err = json.Unmarshal(b, &f)
	}
	if err != nil {
		t.Fatal(err)
	}
	f.Boot = "another"
	if b, err = json.Marshal(f); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, b, 0o600); err != nil {
		t.Fatal(err)
	}
	if done := cleanup(); done != "" || state()[0] != '1' {
		t.Errorf("a record of another boot is followed: %s; %q", state(), done)
	}
	if err := os.WriteFile(path, []byte("{"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := Cleanup("pic0", path); err == nil || !strings.Contains(err.Error(), "move the file away") {
		t.Errorf("a damaged record: %v", err)
	}
}

func TestKernelSettingsSurviveKills(t *testing.T) {
	lab := nettest.New(t)
	self := lab.Self()
	path := filepath.Join(t.TempDir(), "kernel.json")
	self.Run(t, "sysctl", "-q", "net.ipv4.ip_forward=0", "net.ipv6.conf.all.forwarding=0")
	for round := range 8 {
		cmd := exec.Command(os.Args[0])
		cmd.Env = append(os.Environ(), childRouting+"="+path)
		p := nettest.Start(t, cmd)
		nettest.WaitFor(t, 10*time.Second, func() bool { return strings.Count(p.Output(), "on") > 2*round || !p.Running() })
		if !p.Running() {
			t.Fatal(p.Output())
		}
		p.Kill()
		if _, err := Cleanup("pic0", path); err != nil {
			t.Fatal(err)
		}
		if out := strings.Fields(self.Run(t, "sysctl", "-n", "net.ipv4.ip_forward", "net.ipv6.conf.all.forwarding")); strings.Join(out, " ") != "0 0" {
			t.Fatalf("round %d: it forwards still: %v", round, out)
		}
	}
}
