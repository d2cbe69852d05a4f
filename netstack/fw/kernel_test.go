package fw

import (
	"context"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"net/netip"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

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

// counters at zero, and no time that is left.
var volatile = regexp.MustCompile(`packets \d+ bytes \d+`)

// Whatever the order of changes, the table is what a fresh load makes of the
// last one, but for the order of its parts.
func TestChangesLeadWhereAFreshLoadDoes(t *testing.T) {
	f, h := fresh(t)
	rnd := rand.New(rand.NewPCG(7, 7))
	for range 25 {
		table := Compile(anyModel(rnd))
		if err := f.Set(table); err != nil {
			t.Fatal(err)
		}
		got := blocks(volatile.ReplaceAllString(listed(t, h), "packets 0 bytes 0"))
		want := blocks(table.String())
		for name, text := range want {
			if got[name] != text {
				t.Fatalf("%s is\n%s\nand should be\n%s", name, got[name], text)
			}
		}
		if len(got) != len(want) {
			t.Fatalf("%d parts in place of %d", len(got), len(want))
		}
	}
}

// blocks are the sets and chains of a listing, by their first line.
func blocks(listing string) map[string]string {
	out := map[string]string{}
	name := ""
	for _, line := range strings.Split(listing, "\n") {
		if strings.HasPrefix(line, "\t") && strings.HasSuffix(line, "{") {
			name = line
		}
		if name != "" {
			out[name] += sortedElements(line) + "\n"
		}
		if line == "\t}" {
			name = ""
		}
	}
	return out
}

func TestForeignTablesStayByteIdentical(t *testing.T) {
	f, h := fresh(t)
	var b strings.Builder
	b.WriteString("table inet other {\n set s { type ipv4_addr; flags interval; elements = { 10.0.0.0/8 } }\n chain c {\n  type filter hook forward priority 5; policy accept;\n")
	for i := range 100 {
		fmt.Fprintf(&b, "  ip saddr 192.0.2.%d tcp dport %d accept comment \"rule %d\"\n", i, 1000+i, i)
	}
	b.WriteString(" }\n}\n")
	file := filepath.Join(t.TempDir(), "other.nft")
	if err := os.WriteFile(file, []byte(b.String()), 0o600); err != nil {
		t.Fatal(err)
	}
	h.Run(t, "nft", "-f", file)
	t.Cleanup(func() { h.Try("nft", "delete", "table", "inet", "other") })
	before := h.Run(t, "nft", "-a", "list", "table", "inet", "other")
	for _, m := range []Model{small(), full(), small()} {
		if err := f.Set(Compile(m)); err != nil {
			t.Fatal(err)
		}
	}
	tables := h.Run(t, "nft", "list", "tables")
	if strings.TrimSpace(tables) != "table inet other\ntable inet pic" {
		t.Errorf("tables: %s", tables)
	}
	if err := f.Remove(); err != nil {
		t.Fatal(err)
	}
	if after := h.Run(t, "nft", "-a", "list", "table", "inet", "other"); after != before {
		t.Errorf("the other table was\n%s\nand is\n%s", before, after)
	}
}

// A small change is small: what it does not concern keeps its handles.
func TestSmallChangesTouchNothingElse(t *testing.T) {
	f, h := fresh(t)
	m := full()
	if err := f.Set(Compile(m)); err != nil {
		t.Fatal(err)
	}
	handles := func() string {
		return regexp.MustCompile(`elements = \{[^}]*\}`).ReplaceAllString(h.Run(t, "nft", "-a", "-s", "list", "table", "inet", "pic"), "")
	}
	before := handles()
	m.Rules.Peers[1].LAN = true
	m.Bans = append(m.Bans, Ban{Net: netip.MustParsePrefix("192.0.2.0/24"), Until: time.Now().Add(time.Hour)})
	table := Compile(m)
	if d := differ(f.loaded, &table); !d.small() || d.empty() {
		t.Errorf("a right and a block change more than elements: %+v", d)
	}
	if err := f.Set(table); err != nil {
		t.Fatal(err)
	}
	if after := handles(); after != before {
		t.Errorf("the table was\n%s\nand is\n%s", before, after)
	}
	if out := h.Run(t, "nft", "list", "set", "inet", "pic", "blocked4"); !strings.Contains(out, "192.0.2.0/24 timeout 59m") {
		t.Errorf("the block has no end: %s", out)
	}
	// One more forward makes its chain anew, and no other.
	m.Rules.Forwards = append(m.Rules.Forwards, policy.Forward{
		Name: "web", Proto: policy.TCP, First: 8443, Last: 8443, To: netip.MustParseAddr("192.168.1.7"), ToPort: 443,
	})
	table = Compile(m)
	d := differ(f.loaded, &table)
	if len(d.changedChains) != 1 || d.changedChains[0].name != "forwards4" || len(d.newSets)+len(d.newChains) != 0 {
		t.Errorf("a forward changes %+v", d)
	}
}

func TestCountersGoOnWhenAChainIsMadeAnew(t *testing.T) {
	f, h := fresh(t)
	m := small()
	if err := f.Set(Compile(m)); err != nil {
		t.Fatal(err)
	}
	hits := func() uint64 {
		rules, err := f.Rules()
		if err != nil {
			t.Fatal(err)
		}
		for _, r := range rules {
			if r.Chain == "screen" && r.Text == `iifname "lo" accept` {
				return r.Packets
			}
		}
		t.Fatalf("no such rule in %+v", rules)
		return 0
	}
	h.Run(t, "ping", "-c2", "-i0.01", "127.0.0.1")
	n := hits()
	if n < 4 {
		t.Fatalf("%d packets counted", n)
	}
	h.Run(t, "nft", "delete", "table", "inet", "pic")
	h.Run(t, "ping", "-c1", "127.0.0.1")
	m.Rules.Router, m.WAN = true, "wan0"
	if err := f.Set(Compile(m)); err != nil {
		t.Fatal(err)
	}
	if hits() > n {
		t.Errorf("what nobody has counted is counted: %d", hits())
	}
	before := hits()
	ch := f.loaded.chain("screen")
	f.remember([]*chain{ch})
	if got := hits(); got != 2*before { // remembered, and still there
		t.Errorf("%d is not remembered, got %d", before, got)
	}
}

// Watch tells of others' changes, and not of our own.
func TestWatchKnowsWhoChanged(t *testing.T) {
	f, h := fresh(t)
	if err := f.Set(Compile(small())); err != nil {
		t.Fatal(err)
	}
	told := make(chan struct{}, 100)
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- f.Watch(ctx, func() { told <- struct{}{} }) }()
	defer func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	}()
	nettest.WaitFor(t, 5*time.Second, f.watching.Load)
	want := Compile(full())
	for _, table := range []Table{Compile(small()), want, Compile(small()), want} {
		if err := f.Set(table); err != nil {
			t.Fatal(err)
		}
	}
	h.Run(t, "nft", "add table inet other")
	nettest.WaitFor(t, 5*time.Second, func() bool { return len(told) > 0 })
	if err := f.Set(want); err != nil || f.touched.Load() {
		t.Errorf("a table of others is taken for ours: %v", err)
	}
	for _, damage := range []string{"delete table inet pic", "flush ruleset", "flush set inet pic internet4", "flush chain inet pic from_vpn", "delete chain inet pic postrouting"} {
		h.Run(t, "nft", damage)
		nettest.WaitFor(t, 5*time.Second, func() bool {
			if f.touched.Load() {
				if err := f.Set(want); err != nil {
					t.Fatal(err)
				}
			}
			return whole(t, h) == ordered(want.String())
		})
	}
}

// whole is the table as listed, elements in order; nothing if there is none.
func whole(t *testing.T, h *nettest.Host) string {
	t.Helper()
	if _, err := h.Try("nft", "list", "table", "inet", "pic"); err != nil {
		return ""
	}
	return volatile.ReplaceAllString(ordered(listed(t, h)), "packets 0 bytes 0")
}

func ordered(listing string) string {
	var out []string
	for _, line := range strings.Split(listing, "\n") {
		out = append(out, sortedElements(line))
	}
	return strings.Join(out, "\n")
}

// TestFilterProcess is the process that the next test kills.
func TestFilterProcess(t *testing.T) {
	if os.Getenv("FW_LOAD") == "" {
		t.Skip("only as a child of another test") // nothing is missing: no nettest.Skip
	}
	f := New(slog.New(slog.DiscardHandler))
	rnd := rand.New(rand.NewPCG(1, 1))
	if err := f.Set(Compile(full())); err != nil {
		t.Fatal(err)
	}
	os.Stdout.WriteString("up\n")
	for os.Getenv("FW_LOAD") == "on" {
		if err := f.Set(Compile(anyModel(rnd))); err != nil {
			t.Fatal(err)
		}
	}
}

func TestKilledAnywhereTheSameTableComesBack(t *testing.T) {
	h := nettest.New(t).Host("cell")
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	start := func(mode string) *nettest.Proc {
		cmd := h.Command(self, "-test.run=^TestFilterProcess$")
		cmd.Env = append(os.Environ(), "FW_LOAD="+mode)
		return nettest.Start(t, cmd)
	}
	want := ""
	rnd := rand.New(rand.NewPCG(3, 3))
	for i := range 50 {
		p := start("on")
		nettest.WaitFor(t, 10*time.Second, func() bool { return strings.Contains(p.Output(), "up\n") })
		time.Sleep(time.Duration(rnd.IntN(40)) * time.Millisecond) // anywhere
		p.Kill()
		if out, err := h.Try("nft", "list", "table", "inet", "pic"); err != nil || !strings.Contains(out, "chain forward {") {
			t.Fatalf("after kill -9 there is no whole table: %v\n%s", err, out)
		}
		if i%10 != 9 {
			continue
		}
		if err := start("once").Wait(); err != nil {
			t.Fatal(err)
		}
		got := listed(t, h)
		if want == "" {
			want = got
		}
		if got != want {
			t.Fatalf("the table was\n%s\nand is\n%s", want, got)
		}
	}
}
