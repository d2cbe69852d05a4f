package fw

import (
	"log/slog"
	"net/netip"
	"regexp"
	"slices"
	"strings"
	"testing"

	"pic/internal/nettest"
	"pic/netstack/policy"
)

// fresh is a firewall of the test process's own namespace.
func fresh(t *testing.T) (*Firewall, *nettest.Host) {
	t.Helper()
	h := nettest.New(t).Self()
	f := New(slog.New(slog.DiscardHandler))
	t.Cleanup(func() {
		if err := f.Remove(); err != nil {
			t.Error(err)
		}
		if out, err := h.Try("nft", "list", "table", "inet", "pic"); err == nil {
			t.Errorf("our table stays:\n%s", out)
		}
	})
	return f, h
}

var (
	breaks = regexp.MustCompile(`,\s+`)
	tens   = regexp.MustCompile(`\b10\.\d+\.\d+\.\d+`)
)

// listed is what nft shows of our table.
func listed(t *testing.T, h *nettest.Host) string {
	t.Helper()
	return breaks.ReplaceAllString(h.Run(t, "nft", "list", "table", "inet", "pic"), ", ")
}

// What nft prints is what the golden files say, but for line breaks.
func TestKernelHasWhatTheTextSays(t *testing.T) {
	f, h := fresh(t)
	for name, m := range models() {
		if err := f.Remove(); err != nil {
			t.Fatal(err)
		}
		table := Compile(m)
		if err := f.Set(table); err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		compareLines(t, name, listed(t, h), table.String())
	}
}

func compareLines(t *testing.T, name, got, want string) {
	t.Helper()
	g, w := strings.Split(got, "\n"), strings.Split(want, "\n")
	for i := range max(len(g), len(w)) {
		var a, b string
		if i < len(g) {
			a = g[i]
		}
		if i < len(w) {
			b = w[i]
		}
		if sortedElements(a) != sortedElements(b) {
			t.Errorf("%s, line %d: the kernel has\n%s\nand should have\n%s", name, i+1, a, b)
			return
		}
	}
}

// sortedElements puts the elements of a line in order: nft has one of its own.
func sortedElements(line string) string {
	head, rest, ok := strings.Cut(line, "elements = { ")
	if !ok {
		return line
	}
	list := strings.Split(strings.TrimSuffix(rest, " }"), ", ")
	slices.Sort(list)
	return head + strings.Join(list, ", ")
}

// A set of many peers must arrive whole: the library is known to truncate.
func TestThousandsOfPeersAreAllInTheSets(t *testing.T) {
	f, h := fresh(t)
	m := crowd(10000)
	if err := f.Set(Compile(m)); err != nil {
		t.Fatal(err)
	}
	count := func() int {
		return len(tens.FindAllString(h.Run(t, "nft", "list", "set", "inet", "pic", "internet4"), -1))
	}
	if n := count(); n != 10000 {
		t.Errorf("%d elements", n)
	}
	m.Rules.Peers = m.Rules.Peers[1:]
	if err := f.Set(Compile(m)); err != nil {
		t.Fatal(err)
	}
	if n := count(); n != 9999 {
		t.Errorf("%d elements after one has gone", n)
	}
}

// crowd has n peers that may reach the internet.
func crowd(n int) Model {
	m := small()
	m.Rules.VPN, m.Rules.Peers = nets("10.128.0.0/9"), nil
	a := netip.MustParseAddr("10.128.0.1")
	for range n {
		a = a.Next()
		m.Rules.Peers = append(m.Rules.Peers, policy.Peer{Addrs: []netip.Addr{a}, Internet: true, Services: []string{"all"}})
	}
	return m
}
