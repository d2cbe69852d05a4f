package sign

import (
	"bufio"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"
)

const killDir = "PIC_TEST_KILL_DIR"

// TestExchangeUntilKilled is the process that TestKillLosesNoKey kills; by
// itself it does nothing.
func TestExchangeUntilKilled(t *testing.T) {
	dir := os.Getenv(killDir)
	if dir == "" {
		return
	}
	s := open(t, dir)
	s.Follow([]string{oak})
	if f := s.Faults(); len(f) > 0 {
		t.Fatal(f[0].Err)
	}
	for {
		// The next key is known to others once it is told, so it may not be lost.
		fmt.Printf("told %s\n", tags(s))
		_ = s.Roll(oak) // or it is being exchanged already
		fmt.Printf("told %s\n", tags(s))
		s.pass(publish, nobody)
	}
}

func tags(s *shop) string {
	var out []string
	for _, k := range s.Status(oak) {
		if k.State == Published || k.State == Active { // others may be over soon
			out = append(out, fmt.Sprintf("%s-%d", k.Role, k.Tag))
		}
	}
	return strings.Join(out, " ")
}

func TestKillLosesNoKey(t *testing.T) {
	dir := t.TempDir()
	rounds := 0
	for range 10 {
		cmd := exec.Command(os.Args[0], "-test.run=^TestExchangeUntilKilled$")
		cmd.Env = append(os.Environ(), killDir+"="+dir)
		out, err := cmd.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		timer := time.AfterFunc(time.Duration(20+rand.IntN(60))*time.Millisecond, func() { cmd.Process.Kill() })
		told := ""
		for lines := bufio.NewScanner(out); lines.Scan(); {
			if keys, ok := strings.CutPrefix(lines.Text(), "told "); ok {
				told = keys
				rounds++
			}
		}
		cmd.Wait() // killed: an error that says nothing new
		timer.Stop()
		s := open(t, dir)
		s.Follow([]string{oak})
		if f := s.Faults(); len(f) > 0 {
			t.Fatalf("after the kill: %v", f[0].Err)
		}
		// Whatever became of the keys that were told last, none is lost.
		have := map[string]bool{}
		for _, k := range s.Status(oak) {
			have[fmt.Sprintf("%s-%d", k.Role, k.Tag)] = true
			if k.State == Revoked { // the flag adds 128 to the tag, and a carry (RFC 4034 appendix B)
				have[fmt.Sprintf("%s-%d", k.Role, k.Tag-128)] = true
				have[fmt.Sprintf("%s-%d", k.Role, k.Tag-129)] = true
			}
		}
		for _, k := range strings.Fields(told) {
			if !have[k] {
				t.Fatalf("told were %s, and there are %v", told, have)
			}
		}
	}
	if rounds < 10 {
		t.Errorf("only %d rounds in all", rounds)
	}
}
