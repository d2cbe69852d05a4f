package netstack

import (
	"errors"
	"net/netip"
	"strings"
	"testing"
	"time"

	"pic/internal/nettest"
	"pic/netstack/fw"
	"pic/netstack/policy"
)

// Connections that could not be ended are tried again until they are, and what
// was to end them is not said to be in force before.
func TestFailedCutIsTriedAgain(t *testing.T) {
	w := newTown(t)
	s, _ := w.serve(t)
	w.join(t)
	w.self.Try("conntrack", "-F") // other tests have left theirs
	p := w.client.Start(t, "curl", "-sSN", "-m", "60", "http://192.168.1.20/slow")
	open := func() bool {
		return strings.Contains(w.self.Run(t, "conntrack", "-L", "-s", "10.77.0.2", "-d", "192.168.1.20"), "dst=192.168.1.20")
	}
	nettest.WaitFor(t, 10*time.Second, open)
	fails := errors.New("the kernel has no time")
	var asked [][]*policy.Policy
	s.mu.Lock()
	granted := s.policy.Load()
	s.cut = func(old []*policy.Policy, now *policy.Policy) (int, error) {
		asked = append(asked, old)
		if len(asked) <= 2 {
			return 0, fails
		}
		return fw.Cut(old, now)
	}
	s.mu.Unlock()
	w.allow(true, false)
	if err := s.Apply(t.Context(), w.config()); !errors.Is(err, fails) {
		t.Fatalf("the change is said to be in force: %v", err)
	}
	if !open() {
		t.Fatal("the connection is gone, so this shows nothing")
	}
	apply(t, s, w.config())
	s.mu.Lock()
	if len(asked) < 3 || asked[1][0] != granted || asked[2][0] != granted {
		t.Errorf("what is owed since %p was asked for as %v", granted, asked)
	}
	s.mu.Unlock()
	nettest.WaitFor(t, time.Second, func() bool { return !open() })
	s.mu.Lock()
	if s.owed != nil {
		t.Errorf("%d policies are owed still", len(s.owed))
	}
	s.mu.Unlock()
	p.Stop()

	// A block that was not put in force is not there, and the next is tried anew.
	s.mu.Lock()
	asked = asked[:0]
	s.mu.Unlock()
	b := Ban{Net: netip.MustParsePrefix("198.51.100.2/32")}
	if err := s.Block(b); !errors.Is(err, fails) || len(s.Bans()) != 0 || s.Policy().Blocks(b.Net.Addr()) {
		t.Errorf("a block that failed is there: %v, %v", err, s.Bans())
	}
	if out := w.self.Run(t, "nft", "list", "set", "inet", "pic", "blocked4"); strings.Contains(out, "198.51.100.2") {
		t.Errorf("the kernel blocks:\n%s", out)
	}
	if err := s.Block(b); err != nil || !s.Policy().Blocks(b.Net.Addr()) {
		t.Errorf("the next block: %v", err)
	}
}
