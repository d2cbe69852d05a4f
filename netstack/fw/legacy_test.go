package fw

import (
	"strings"
	"testing"

	"pic/internal/nettest"
)

// The legacy iptables is seen as its own program shows it, in both families, and
// what is to be done about it helps.
func TestLegacyDropsAreFoundAndTheFixHelps(t *testing.T) {
	h := nettest.New(t).Self()
	for _, tool := range []string{"iptables-legacy", "ip6tables-legacy"} {
		nettest.Tool(t, tool)
		family := map[string]string{"iptables-legacy": "ip", "ip6tables-legacy": "ip6"}[tool]
		t.Cleanup(func() {
			for _, c := range []string{"INPUT", "FORWARD"} {
				h.Try(tool, "-P", c, "ACCEPT")
			}
			h.Try(tool, "-F")
			h.Try(tool, "-X")
		})
		found := func() (chains string, unread []string) {
			drops, unread := Foreign("pic0")
			var list []string
			for _, d := range drops {
				if d.What == "" || !strings.HasPrefix(d.Fix, tool) {
					t.Errorf("found %+v", d)
				}
				list = append(list, strings.Fields(d.Chain)[2])
			}
			return strings.Join(list, " "), unread
		}
		is := func(what, want string, unread bool) {
			t.Helper()
			got, left := found()
			if got != want || (len(left) > 0) != unread {
				t.Errorf("%s, %s: %q drop, not read: %q", family, what, got, left)
			}
		}
		h.Run(t, tool, "-S")
		is("a table without rules", "", false)
		h.Run(t, tool, "-P", "FORWARD", "DROP")
		is("a policy", "FORWARD FORWARD", false)
		h.Run(t, tool, "-A", "FORWARD", "-m", "conntrack", "--ctstate", "RELATED,ESTABLISHED", "-j", "ACCEPT")
		is("answers let pass", "FORWARD", false)
		h.Run(t, tool, "-A", "FORWARD", "-i", "eth+", "-j", "ACCEPT")
		h.Run(t, tool, "-A", "INPUT", "-i", "eth0", "-j", "DROP")
		is("others' cards", "FORWARD", false)
		h.Run(t, tool, "-N", "mine")
		h.Run(t, tool, "-A", "INPUT", "-j", "mine")
		h.Run(t, tool, "-A", "mine", "-i", "lo", "-j", "RETURN")
		h.Run(t, tool, "-A", "mine", "-j", "REJECT")
		is("a jump", "INPUT FORWARD", false)
		drops, _ := Foreign("pic0")
		for _, d := range drops {
			words := strings.Fields(d.Fix)
			h.Run(t, words[0], words[1:]...)
		}
		is("after the fix", "", false)
		h.Run(t, tool, "-I", "FORWARD", "-p", "tcp", "--dport", "25", "-j", "DROP")
		is("a rule that may apply", "", true)
		h.Run(t, tool, "-D", "FORWARD", "-p", "tcp", "--dport", "25", "-j", "DROP")
		for _, c := range []string{"INPUT", "FORWARD"} {
			h.Run(t, tool, "-P", c, "ACCEPT")
		}
		h.Run(t, tool, "-F")
		h.Run(t, tool, "-X")
	}
}

// Whatever the kernel says, to follow it ends, and never outside of it.
func FuzzLegacyWalk(f *testing.F) {
	f.Add([]byte{}, uint32(0))
	f.Add(make([]byte, 400), uint32(0))
	f.Fuzz(func(t *testing.T, b []byte, at uint32) {
		for _, k := range legacyKinds() {
			table := &legacyTable{kind: k, entries: b}
			for _, p := range []trial{{in: "pic0"}, {out: "pic0"}} {
				if e, sure := table.walk(at, p, 0); sure && len(b) < k.size {
					t.Errorf("%v of nothing", e)
				}
			}
		}
	})
}
