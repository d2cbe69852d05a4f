package davsrv

import (
	"os/exec"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"pic/internal/nettest"
)

// All suites of litmus pass whole: nothing fails, nothing is skipped, nothing is
// warned about.
func TestLitmusPassesWhole(t *testing.T) {
	tool := nettest.Tool(t, "litmus")
	c := start(t)
	for suite, tests := range map[string]int{"basic": 16, "copymove": 13, "props": 30, "locks": 41, "http": 4} {
		t.Run(suite, func(t *testing.T) {
			cmd := exec.Command(tool, "-k", c.url+"/dav/files/alice/", "alice", "pw")
			cmd.Env = append(cmd.Environ(), "TESTS="+suite)
			cmd.Dir = t.TempDir()
			out, _ := cmd.CombinedOutput()
			m := regexp.MustCompile(`of (\d+) tests run: (\d+) passed, (\d+) failed`).FindStringSubmatch(string(out))
			if m == nil {
				t.Fatalf("litmus did not finish: %s", out)
			}
			ran, _ := strconv.Atoi(m[1])
			if ran != tests || m[2] != m[1] || strings.Contains(string(out), "WARNING") || strings.Contains(string(out), "SKIPPED") {
				t.Errorf("litmus wants %d of %d passed without a warning, got:\n%s", tests, tests, out)
			}
		})
	}
}
