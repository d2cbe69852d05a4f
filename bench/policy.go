package main

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/binary"
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/google/nftables"

	"pic/core/config"
	"pic/core/service"
	"pic/netstack"
	"pic/netstack/fw"
	"pic/netstack/policy"
)

// policies measures how long rights take until they are in force.
func policies() contest {
	return contest{
		name: "policy", title: "Network: ten thousand rights, beside nft", packages: []string{"nftables"},
		what: `*Ten thousand elements* is the table of 2500 devices, each in four sets, which the kernel loads in one transaction; *a
household* is that of 10,000 devices in three sets each. Both are put in force where a table without devices is, from the
policy on (it is compiled, loaded and what has arrived is counted), and by ` + "`nft -f`" + ` from the same text, the start of the
program included and nothing counted. What is in the sets is then counted by another program's library. *One change* takes
one device's right to the LAN away or gives it back. In the table alone it is compiled anew, compared and loaded; nft deletes
or adds the one element. Of the whole cell it is a change of a document of 10,000 devices on disk: checked, resolved, in the
kernel's filter, in the tunnel, and with the open connections looked through for those that lost a right; *in force* is when all
of that is done, *kept* when it is also on disk.`,
		run: policyRun,
	}
}

// A houseful is a number of devices with the rights that make their elements.
type houseful struct {
	name  string
	peers int
	lan   bool
}

func (c houseful) elements() int {
	if c.lan {
		return 4 * c.peers
	}
	return 3 * c.peers
}

var households = []houseful{{"ten thousand elements", 2500, true}, {"a household", 10000, false}}

var crowdNet = netip.MustParsePrefix("10.64.0.0/16")

// crowdAddr is that of a device; the first two addresses are others'.
func crowdAddr(i int) netip.Addr {
	b := crowdNet.Addr().As4()
	binary.BigEndian.PutUint16(b[2:], uint16(i+2))
	return netip.AddrFrom4(b)
}

func (c houseful) model() fw.Model {
	m := fw.Model{Interface: "pic0", Rules: policy.Rules{
		Cell: []netip.Addr{crowdNet.Addr().Next()}, VPN: []netip.Prefix{crowdNet}, LAN: policy.Private,
		Services: []policy.Service{{Name: "dns", Ports: []policy.Port{{Proto: policy.UDP, Number: 53}}}},
	}}
	for i := range c.peers {
		m.Rules.Peers = append(m.Rules.Peers, policy.Peer{
			Name: "d" + strconv.Itoa(i), Addrs: []netip.Addr{crowdAddr(i)}, Internet: true, LAN: c.lan, Services: []string{"all"},
		})
	}
	return m
}

func policyRun(ctx context.Context, l *lab) (string, error) {
	var b strings.Builder
	b.WriteString("| what | devices | elements counted | cell ms | nft ms | cell : nft (less is better) |\n|---|--:|--:|--:|--:|--:|\n")
	line := func(what string, c houseful, n int, cell, nft []float64) {
		var quotients []float64
		for i := range min(len(cell), len(nft)) {
			quotients = append(quotients, cell[i]/nft[i])
		}
		fmt.Fprintf(os.Stderr, "   %-36s %6d elements: %8s ms, nft %8s ms\n", what, n, figure(spreadOf(cell).mid), figure(spreadOf(nft).mid))
		fmt.Fprintf(&b, "| %s | %d | %d | %s | %s | %s |\n", what, c.peers, n,
			spreadOf(cell), figure(spreadOf(nft).mid), spreadOf(quotients))
	}
	for _, c := range households {
		t, err := l.loads(ctx, c)
		if err != nil {
			return "", fmt.Errorf("%s: %w", c.name, err)
		}
		line("first apply, "+c.name, c, t.counted, t.first, t.firstNft)
		line("one change of the table, "+c.name, c, t.counted, t.change, t.changeNft)
	}
	inForce, kept, n, err := l.changes(ctx, households[1])
	if err != nil {
		return "", fmt.Errorf("the whole way: %w", err)
	}
	line("one change of the document, in force", households[1], n, inForce, nil)
	line("one change of the document, kept", households[1], n, kept, nil)
	return b.String(), nil
}

// turnsOf is how often each is measured in a round.
const policyTurns = 5

// loading is how long a table took, in milliseconds.
type loading struct {
	counted                            int
	first, firstNft, change, changeNft []float64
}

// loads measures the table by itself, and nft with its text.
func (l *lab) loads(ctx context.Context, c houseful) (loading, error) {
	var out loading
	f := fw.New(slog.New(slog.DiscardHandler))
	defer f.Remove()
	watch, stop := context.WithCancel(ctx)
	defer stop()
	watching := make(chan error, 1)
	go func() { watching <- f.Watch(watch, func() {}) }()
	defer func() { stop(); <-watching }()
	bare, full := fw.Compile(houseful{}.model()), c.model()
	file := filepath.Join(l.dir, "table.nft")
	if err := os.WriteFile(file, []byte(fw.Compile(full).String()), 0o600); err != nil {
		return out, err
	}
	nft := func(to *[]float64, script string) error {
		cmd := exec.CommandContext(ctx, "nft", "-f", "-")
		cmd.Stdin = strings.NewReader(script)
		return timed(to, func() error {
			if text, err := cmd.CombinedOutput(); err != nil {
				return fmt.Errorf("nft: %w: %s", err, bytes.TrimSpace(text))
			}
			return nil
		})
	}
	for range l.rounds * policyTurns {
		if err := waitIdle(ctx); err != nil {
			return out, err
		}
		if err := f.Set(bare); err != nil {
			return out, err
		}
		if err := timed(&out.first, func() error { return f.Set(fw.Compile(full)) }); err != nil {
			return out, err
		}
		n, err := countElements("internet4", "members4", "all_services4", "lan4")
		if err != nil || n != c.elements() {
			return out, fmt.Errorf("the kernel has %d elements in place of %d: %w", n, c.elements(), err)
		}
		out.counted = n
		for range 2 {
			one := &full.Rules.Peers[c.peers/2]
			one.LAN = !one.LAN
			if err := timed(&out.change, func() error { return f.Set(fw.Compile(full)) }); err != nil {
				return out, err
			}
		}
		if err := f.Remove(); err != nil {
			return out, err
		}
		if err := nft(&out.firstNft, "include \""+file+"\"\n"); err != nil {
			return out, err
		}
		verbs := []string{"delete", "add"}
		if !c.lan {
			verbs = []string{"add", "delete"}
		}
		for _, v := range verbs {
			if err := nft(&out.changeNft, fmt.Sprintf("%s element inet pic lan4 { %s }\n", v, crowdAddr(c.peers/2))); err != nil {
				return out, err
			}
		}
		if err := nft(new([]float64), "delete table inet pic\n"); err != nil {
			return out, err
		}
	}
	return out, nil
}

// timed runs f and notes how many milliseconds it took.
func timed(to *[]float64, f func() error) error {
	began := time.Now()
	err := f()
	*to = append(*to, time.Since(began).Seconds()*1e3)
	return err
}

// countElements asks the kernel how many elements sets of the table have.
func countElements(sets ...string) (int, error) {
	c, err := nftables.New()
	if err != nil {
		return 0, err
	}
	n := 0
	for _, name := range sets {
		s, err := c.GetSetByName(&nftables.Table{Family: nftables.TableFamilyINet, Name: "pic"}, name)
		if err != nil {
			return 0, fmt.Errorf("set %s: %w", name, err)
		}
		list, err := c.GetSetElements(s)
		if err != nil {
			return 0, fmt.Errorf("set %s: %w", name, err)
		}
		n += len(list)
	}
	return n, nil
}

// changes measures changes of a document from the store to the kernel.
func (l *lab) changes(ctx context.Context, c houseful) (inForce, kept []float64, counted int, err error) {
	log := slog.New(slog.DiscardHandler)
	private, public := netstack.NewKey()
	server := netstack.New(log, func(config.Secret) ([]byte, error) { return base64.StdEncoding.DecodeString(private) })
	no := false
	doc := &config.Document{
		Cell:      config.Cell{Name: "oak", Mode: config.Appliance},
		DHCP:      config.DHCP{Enabled: &no},
		Network:   config.Network{LAN: config.Interface{Name: "lo", Address: netip.MustParsePrefix("192.168.1.10/24")}},
		WireGuard: config.WireGuard{Key: "wg", PublicKey: public, Subnet: crowdNet},
		Users:     []config.User{{Name: "ann", Role: config.Admin}},
	}
	for i := range c.peers {
		key := make([]byte, 32)
		binary.BigEndian.PutUint32(key, uint32(i+1))
		doc.Peers = append(doc.Peers, config.Peer{
			Name: "d" + strconv.Itoa(i), PublicKey: base64.StdEncoding.EncodeToString(key), Address: crowdAddr(i),
			Rights: config.Rights{LAN: &no},
		})
	}
	dir := filepath.Join(l.dir, "document")
	if err := os.Mkdir(dir, 0o700); err != nil {
		return nil, nil, 0, err
	}
	if err := config.Create(dir, doc, config.Env{}, "bench", ""); err != nil {
		return nil, nil, 0, err
	}
	store, err := config.Open(dir, config.Env{}, log)
	if err != nil {
		return nil, nil, 0, err
	}
	bound := service.Bind("wireguard", server, netstack.From)
	unit := &lastUnit{Unit: bound}
	run, stop := context.WithCancel(ctx)
	ended := make(chan error, 1)
	store.Follow(ctx, func() func() { return func() {} }, unit)
	go func() { ended <- bound.Run(run) }()
	defer func() {
		stop()
		err = errors.Join(err, <-ended)
	}()
	if counted, err = countElements("internet4", "members4", "all_services4", "lan4"); err != nil || counted != c.elements() {
		return nil, nil, 0, fmt.Errorf("the kernel has %d elements in place of %d: %w", counted, c.elements(), err)
	}
	for i := range l.rounds * policyTurns * 2 {
		if err := waitIdle(ctx); err != nil {
			return nil, nil, 0, err
		}
		began := time.Now()
		err := timed(&kept, func() error {
			_, err := store.Change(ctx, config.Change{Actor: "bench", Edit: func(d *config.Document) error {
				yes := i%2 == 0
				d.Peers[c.peers/2].LAN = &yes
				return nil
			}})
			return err
		})
		if err != nil {
			return nil, nil, 0, err
		}
		inForce = append(inForce, unit.done.Sub(began).Seconds()*1e3)
		if n, err := countElements("lan4"); err != nil || n != 1-i%2 {
			return nil, nil, 0, fmt.Errorf("%d devices have the right to the LAN: %w", n, err)
		}
	}
	return inForce, kept, counted, nil
}

// waitIdle gives what watches the kernel the time to see the last change.
func waitIdle(ctx context.Context) error {
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-time.After(200 * time.Millisecond):
		return nil
	}
}

// A lastUnit notes when it last followed the document.
type lastUnit struct {
	config.Unit
	done time.Time
}

func (u *lastUnit) Apply(ctx context.Context, d *config.Document) error {
	err := u.Unit.Apply(ctx, d)
	u.done = time.Now()
	return err
}
