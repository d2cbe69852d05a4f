package netstack

import (
	"path/filepath"
	"strings"
	"testing"

	"pic/internal/nettest"
)

// Cleanup takes what a cell could have left, and nothing else.
func TestCleanupTakesWhatIsOurs(t *testing.T) {
	h := nettest.New(t).Host("cell")
	nettest.NeedTUN(t)
	before := h.Run(t, "ip", "rule") + h.Run(t, "ip", "-6", "rule")
	for _, cmd := range []string{
		"nft add table inet pic", "nft add table inet other",
		"ip tuntap add pix1 mode tun", "ip tuntap add pic0 mode tun", "ip tuntap add tun9 mode tun", "ip link add pix2 type veth peer name eth2",
		"ip link set pix1 up", "ip rule add fwmark 0x10000/0xff0000 lookup 51801 priority 5181",
		"ip -6 rule add fwmark 0x10000/0xff0000 lookup 51801 priority 5181",
		"ip route add default dev pix1 table 51801", "ip route add unreachable default metric 4278198272 table 51801",
		"ip -6 route add unreachable default metric 4278198272 table 51801",
	} {
		words := strings.Fields(cmd)
		h.Run(t, words[0], words[1:]...)
	}
	for _, want := range []int{7, 0} { // the second time there is nothing left
		err := h.Do(func() error {
			done, err := Cleanup("pic0", filepath.Join(t.TempDir(), "kernel.json"))
			if len(done) != want {
				t.Errorf("took away %q", done)
			}
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	if tables := strings.TrimSpace(h.Run(t, "nft", "list", "tables")); tables != "table inet other" {
		t.Errorf("tables: %s", tables)
	}
	if after := h.Run(t, "ip", "rule") + h.Run(t, "ip", "-6", "rule"); after != before {
		t.Errorf("rules: %s", after)
	}
	routes := h.Run(t, "ip", "route", "show", "table", "all") + h.Run(t, "ip", "-6", "route", "show", "table", "all")
	if strings.Contains(routes, "518") {
		t.Errorf("routes: %s", routes)
	}
	links := h.Run(t, "ip", "-o", "link")
	if strings.Contains(links, "pix1") || strings.Contains(links, "pic0") || !strings.Contains(links, "tun9") || !strings.Contains(links, "pix2") {
		t.Errorf("links: %s", links)
	}
}
