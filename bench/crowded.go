package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"time"
)

// crowded compares what peers cost that are known and silent.
func crowded() contest {
	return contest{
		name: "wireguard-peers", title: "WireGuard: ten thousand peers that are silent", packages: []string{"wireguard-go"},
		what: fmt.Sprintf(`Bare tunnels. Each is started, given %d peers by %s, each with an address of IPv4 and one of IPv6, and left alone:
how much its resident memory has grown once the peers are in, for each; how many goroutines there are (a dump of all at the
end counts them); how long %s takes that lists all, and what it costs the tunnel. A new process for each round.`,
			crowdSize, "`wg setconf`", "`wg show … dump`"),
		run: crowdedRun,
	}
}

const crowdSize = 10000

// A silence is what one tunnel was found to cost.
type silence struct {
	base, full   float64 // resident bytes, without peers and with
	goroutines   int
	set, show    time.Duration
	setCPU, cost time.Duration // processor time of the two
}

func (s silence) each() float64 { return (s.full - s.base) / crowdSize }

func crowdedRun(ctx context.Context, l *lab) (string, error) {
	conf, err := crowdConf()
	if err != nil {
		return "", err
	}
	file := filepath.Join(l.dir, "crowd.conf")
	if err := os.WriteFile(file, []byte(conf), 0o600); err != nil {
		return "", err
	}
	makes := l.makes()
	found := make([][]silence, len(makes))
	absent := map[int]string{}
	for round := range min(l.rounds, 2) { // memory hardly varies, and a round takes half a minute
		for i, mk := range makes {
			if absent[i] != "" {
				continue
			}
			s, err := l.crowd(ctx, mk, fmt.Sprintf("wgc%d%d", i, round), file)
			if err != nil && i == 0 {
				return "", fmt.Errorf("%s: %w", mk.name, err)
			}
			if err != nil {
				absent[i] = fmt.Sprintf("%s (%s)", mk.name, oneLine(err))
				continue
			}
			fmt.Fprintf(os.Stderr, "   %-22s %8.1f KB each, %d goroutines, show %v\n", mk.name, s.each()/1000, s.goroutines, s.show)
			found[i] = append(found[i], s)
		}
	}
	var b strings.Builder
	b.WriteString("| server | KB/peer | MiB in all | goroutines | `wg show` ms | its CPU ms | `wg setconf` s | cell : it, KB/peer (less is better) |\n" +
		"|---|--:|--:|--:|--:|--:|--:|--:|\n")
	for i, mk := range makes {
		if len(found[i]) == 0 {
			continue
		}
		mid := func(f func(silence) float64) float64 {
			var v []float64
			for _, s := range found[i] {
				v = append(v, f(s))
			}
			return spreadOf(v).mid
		}
		ratio := ""
		if i > 0 {
			var v []float64
			for n := range min(len(found[0]), len(found[i])) {
				v = append(v, found[0][n].each()/found[i][n].each())
			}
			ratio = spreadOf(v).String()
		}
		fmt.Fprintf(&b, "| %s | %s | %s | %.0f | %s | %s | %s | %s |\n", mk.name,
			figure(mid(silence.each)/1000), figure(mid(func(s silence) float64 { return s.full / (1 << 20) })),
			mid(func(s silence) float64 { return float64(s.goroutines) }),
			figure(mid(func(s silence) float64 { return float64(s.show.Microseconds()) / 1000 })),
			figure(mid(func(s silence) float64 { return float64(s.cost.Milliseconds()) })),
			figure(mid(func(s silence) float64 { return s.set.Seconds() })), ratio)
	}
	var who []string
	for i := range makes {
		if absent[i] != "" {
			who = append(who, absent[i])
		}
	}
	return b.String() + (&match{absent: who}).missing(), nil
}

// crowdConf is a configuration with all the peers.
func crowdConf() (string, error) {
	private, _, err := wgKey()
	if err != nil {
		return "", err
	}
	var b strings.Builder
	fmt.Fprintf(&b, "[Interface]\nPrivateKey = %s\nListenPort = %d\n", private, wgPort)
	four, six := netip.MustParseAddr("10.64.0.1"), netip.MustParseAddr("fd64::1")
	for range crowdSize {
		_, public, err := wgKey()
		if err != nil {
			return "", err
		}
		four, six = four.Next(), six.Next()
		fmt.Fprintf(&b, "[Peer]\nPublicKey = %s\nAllowedIPs = %s/32, %s/128\n", public, four, six)
	}
	return b.String(), nil
}

// crowd starts one tunnel, gives it the peers of the file, looks and ends it.
func (l *lab) crowd(ctx context.Context, mk makeOf, card, file string) (s silence, err error) {
	if mk.program == "" {
		return s, errors.New("it was not built")
	}
	h, err := l.newHost()
	if err != nil {
		return s, err
	}
	var dump counter
	p, err := l.startTo("", &dump, h, mk.program, "-f", card)
	if err != nil {
		return s, err
	}
	defer p.stop()
	if err := p.wait(ctx, func() bool {
		_, err := os.Stat("/run/wireguard/" + card + ".sock")
		return err == nil
	}); err != nil {
		return s, err
	}
	if err := h.do(func() error { return address(card, "10.64.0.1/10") }); err != nil {
		return s, err
	}
	if s.base, err = resident(ctx, p); err != nil {
		return s, err
	}
	if s.set, s.setCPU, _, err = clocked(ctx, p, "wg", "setconf", card, file); err != nil {
		return s, err
	}
	if s.full, err = resident(ctx, p); err != nil {
		return s, err
	}
	var list string
	if s.show, s.cost, list, err = clocked(ctx, p, "wg", "show", card, "dump"); err != nil {
		return s, err
	}
	if n := strings.Count(list, "\n"); n != crowdSize+1 {
		return s, fmt.Errorf("wg lists %d peers of %d", n-1, crowdSize)
	}
	// A Go program tells on SIGQUIT what each goroutine does, and ends.
	if err := p.cmd.Process.Signal(syscall.SIGQUIT); err != nil {
		return s, err
	}
	select {
	case <-p.done:
	case <-time.After(20 * time.Second):
		return s, errors.New("it does not end")
	}
	if s.goroutines = dump.count(); s.goroutines == 0 {
		return s, errors.New("it did not say what goroutines it has")
	}
	return s, nil
}

// clocked runs a command and says how long it took, what it cost p, and what it
// wrote.
func clocked(ctx context.Context, p *process, name string, args ...string) (took, cost time.Duration, out string, err error) {
	before, err := spent([]*process{p})
	if err != nil {
		return 0, 0, "", err
	}
	began := time.Now()
	out, err = command(ctx, "", name, args...)
	took = time.Since(began)
	if err != nil {
		return 0, 0, "", err
	}
	after, err := spent([]*process{p})
	return took, after - before, out, err
}

// A counter counts the goroutines in a dump as it goes by.
type counter struct {
	mu   sync.Mutex
	n    int
	rest []byte // a line that is not whole yet
}

func (c *counter) Write(b []byte) (int, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	text := append(c.rest, b...)
	for {
		line, rest, whole := bytes.Cut(text, []byte("\n"))
		if !whole {
			break
		}
		if bytes.HasPrefix(line, []byte("goroutine ")) && bytes.HasSuffix(line, []byte("]:")) {
			c.n++
		}
		text = rest
	}
	c.rest = bytes.Clone(text)
	return len(b), nil
}

func (c *counter) count() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.n
}
