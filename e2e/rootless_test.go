package e2e

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"pic/internal/nettest"
)

// unprivileged has the cell run with no capability at all, as a program of any
// user does, even though its user owns the namespace here.
func (c *cell) unprivileged() {
	c.t.Helper()
	setpriv := nettest.Tool(c.t, "setpriv")
	script := filepath.Join(c.t.TempDir(), "pic")
	text := fmt.Sprintf("#!/bin/sh\nexec %s --bounding-set=-all --inh-caps=-all --ambient-caps=-all %s \"$@\"\n", setpriv, c.bin)
	if err := os.WriteFile(script, []byte(text), 0o755); err != nil {
		c.t.Fatal(err)
	}
	c.bin = script
}

func TestATrialWithoutPrivilegesForwards(t *testing.T) {
	for _, tool := range []string{"iperf3", "dig", "ping", "curl"} {
		nettest.Tool(t, tool)
	}
	lab := nettest.New(t)
	laptop, internet := lab.Host("laptop"), lab.Host("internet")
	lab.Link(lab.Self(), "ext0", "198.51.100.1/24", laptop, "eth0", "198.51.100.2/24")
	lab.Link(lab.Self(), "wan0", "203.0.113.1/24", internet, "eth0", "203.0.113.9/24")
	c := newCell(t, lab.Self(), "--trial")
	c.unprivileged()
	c.start()
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", c.cmd.Process.Pid))
	if err != nil || !regexp.MustCompile(`(?m)^CapPrm:\s*0+$`).Match(status) || !regexp.MustCompile(`(?m)^CapBnd:\s*0+$`).Match(status) {
		t.Fatalf("the cell has capabilities, %v:\n%s", err, status)
	}
	c.pic("peer", "add", "laptop", "--endpoint", "198.51.100.1:51820")
	d := connect(t, laptop, c.pic("peer", "config", "laptop", "--endpoint", "198.51.100.1:51820"))
	d.uses(t, c.root())

	const far = "203.0.113.9"
	internet.Start(t, "iperf3", "-s", "-B", far)
	nettest.WaitFor(t, 10*time.Second, func() bool {
		_, err := laptop.Try("iperf3", "-c", far, "-n", "1M", "--connect-timeout", "2000")
		return err == nil
	})
	for name, args := range map[string][]string{
		"TCP out":      {"-n", "20M"},
		"TCP in":       {"-n", "20M", "-R"},
		"four streams": {"-n", "20M", "-P", "4"},
		"UDP out":      {"-u", "-b", "5M", "-t", "1"},
		"UDP in":       {"-u", "-b", "5M", "-t", "1", "-R"},
	} {
		if out, err := laptop.Try("timeout", append([]string{"20", "iperf3", "-c", far, "--connect-timeout", "5000"}, args...)...); err != nil {
			t.Errorf("%s: %v\n%s", name, err, out)
		}
	}

	// Refusals are told, by a reset and by ICMP.
	for name, c := range map[string]struct {
		says string
		args []string
	}{
		"TCP": {"exit status 7", []string{"curl", "-sS", "-m", "5", "http://" + far + "/"}}, // not 28, too late
		"UDP": {"connection refused", []string{"dig", "@" + far, "+tries=1", "+time=5", "example.org"}},
	} {
		out, err := laptop.Try(c.args[0], c.args[1:]...)
		if err == nil || !strings.Contains(out+err.Error(), c.says) {
			t.Errorf("%s where nobody listens: %v\n%s", name, err, out)
		}
	}

	// Pings only where the host allows them.
	if out, err := laptop.Try("ping", "-c1", "-W1", far); err == nil {
		t.Errorf("somebody answers pings for others:\n%s", out)
	}
	lab.Self().Sysctl("net.ipv4.ping_group_range", "0 0")
	laptop.Run(t, "ping", "-c2", "-i0.2", "-W5", far)

	stream := laptop.Start(t, "iperf3", "-c", far, "-t", "30", "--forceflush")
	nettest.WaitFor(t, 10*time.Second, func() bool { return strings.Contains(stream.Output(), "bits/sec") })
	c.set("peers.laptop.internet", false)
	nettest.WaitFor(t, 3*time.Second, func() bool { return !stream.Running() })
	if out, err := laptop.Try("ping", "-c1", "-W1", far); err == nil {
		t.Errorf("pings pass without the right:\n%s", out)
	}
}
