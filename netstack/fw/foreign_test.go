package fw

import (
	"strings"
	"testing"

	"pic/internal/nettest"
)

// Each of these firewalls stops the tunnel; after its Fix it does not.
func TestForeignDropsAreFoundAndTheFixHelps(t *testing.T) {
	docker := `*filter
:INPUT ACCEPT [0:0]
:FORWARD DROP [0:0]
:OUTPUT ACCEPT [0:0]
:DOCKER-USER - [0:0]
:DOCKER-FORWARD - [0:0]
-A FORWARD -j DOCKER-USER
-A FORWARD -j DOCKER-FORWARD
-A DOCKER-FORWARD -o docker0 -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT
-A DOCKER-FORWARD -i docker0 ! -o docker0 -j ACCEPT
-A DOCKER-USER -j RETURN
COMMIT
`
	ufw := `*filter
:INPUT DROP [0:0]
:FORWARD DROP [0:0]
:OUTPUT ACCEPT [0:0]
:ufw-before-forward - [0:0]
:ufw-user-forward - [0:0]
:ufw-before-input - [0:0]
:ufw-user-input - [0:0]
-A INPUT -j ufw-before-input
-A FORWARD -j ufw-before-forward
-A ufw-before-forward -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT
-A ufw-before-forward -j ufw-user-forward
-A ufw-before-input -i lo -j ACCEPT
-A ufw-before-input -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT
-A ufw-before-input -j ufw-user-input
COMMIT
`
	for name, tt := range map[string]struct {
		tool, rules string
		drops       int
		chain, fix  string
		did         []string // what the fix does, where its program is not here
	}{
		"docker": {"iptables-nft-restore", docker, 2, "ip filter FORWARD", "iptables -I DOCKER-USER -i pic0 -j ACCEPT", nil},
		"ufw": {
			"iptables-nft-restore", ufw, 2, "ip filter FORWARD", "ufw route allow in on pic0",
			[]string{"-A ufw-user-forward -i pic0 -j ACCEPT", "-A ufw-user-input -i pic0 -j ACCEPT"},
		},
		"a reject at the end": {
			"nft", "table inet firewalld { chain filter_FORWARD { type filter hook forward priority 10; policy accept; ct state established,related accept; iifname \"lo\" accept; reject with icmpx admin-prohibited; }; }",
			1, "inet firewalld filter_FORWARD", "firewall-cmd --permanent --zone=trusted --add-interface=pic0",
			[]string{"inet firewalld filter_FORWARD iifname pic0 accept"},
		},
		"of one's own": {
			"nft", "table inet mine { chain f { type filter hook forward priority 0; policy drop; iifname \"eth*\" accept; }; chain i { type filter hook input priority 0; policy drop; ct state established accept; }; }",
			3, "inet mine f", "nft insert rule inet mine f iifname pic0 accept", nil,
		},
		"others' business": {
			"nft", "table inet mine { chain f { type filter hook forward priority 0; policy accept; ip saddr 192.0.2.1 drop; iifname \"eth0\" drop; ct state invalid drop; tcp dport 25 reject; }; }",
			0, "", "", nil,
		},
	} {
		t.Run(name, func(t *testing.T) {
			h := nettest.New(t).Self()
			nettest.Tool(t, tt.tool)
			t.Cleanup(func() { h.Run(t, "nft", "flush", "ruleset") })
			feed(t, h, tt.tool, tt.rules)
			drops, unread := Foreign("pic0")
			if len(unread) > 0 {
				t.Errorf("not read: %q", unread)
			}
			if len(drops) != tt.drops {
				t.Fatalf("found %+v", drops)
			}
			if tt.drops == 0 {
				return
			}
			found := false
			for _, d := range drops {
				found = found || d.Chain == tt.chain && strings.HasPrefix(d.Fix, tt.fix) && d.What != ""
			}
			if !found {
				t.Errorf("found %+v", drops)
			}
			for _, d := range drops {
				words := strings.Fields(strings.Replace(d.Fix, "iptables ", "iptables-nft ", 1))
				if tt.did == nil {
					h.Run(t, words[0], words[1:]...)
				}
			}
			for _, d := range tt.did {
				if tt.tool == "nft" {
					h.Run(t, "nft", append([]string{"insert", "rule"}, strings.Fields(d)...)...)
				} else {
					h.Run(t, "iptables-nft", strings.Fields(d)...)
				}
			}
			if left, _ := Foreign("pic0"); len(left) != 0 {
				t.Errorf("after the fix: %+v", left)
			}
		})
	}
}

func feed(t *testing.T, h *nettest.Host, tool, rules string) {
	t.Helper()
	cmd := h.Command(tool)
	if tool == "nft" {
		cmd = h.Command(tool, "-f", "-")
	}
	cmd.Stdin = strings.NewReader(rules)
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
}
