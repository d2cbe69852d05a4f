// Command dns compares the cell's name server with Unbound, on loopback and in
// turn: A B A B. Both answer for 5000 names of a zone of their own and for 5000
// that they asked one upstream for beforehand; the upstream is this program.
//
// It prints, for each, the answers per second and the median and 99th percentile
// of the time to an answer with 256 queries under way, the processor time that
// the server spent on one answer, and its memory; and the ratio of the medians.
// On a busy machine the processor time is what can be relied on.
//
//	go run ./bench/dns -unbound /usr/sbin/unbound -rounds 5 -time 2s
package main

import (
	"context"
	"flag"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/miekg/dns"

	"pic/core/config"
	"pic/dnssrv"
	"pic/internal/listen"
)

const (
	names  = 5000 // of each kind
	domain = "lab.home.arpa"
)

func main() {
	serve := flag.String("serve", "", "be the server of the cell at this address (used by the program itself)")
	upstream := flag.String("upstream", "", "its upstream")
	unbound := flag.String("unbound", "unbound", "the program to compare with")
	rounds := flag.Int("rounds", 5, "how many times each has its turn")
	span := flag.Duration("time", 2*time.Second, "how long a turn takes")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	var err error
	if *serve != "" {
		err = ours(ctx, *serve, *upstream)
	} else {
		err = compare(ctx, *unbound, *rounds, *span)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "dns:", err)
		os.Exit(1)
	}
}

// ours serves as the cell would, until ctx ends.
func ours(ctx context.Context, addr, upstream string) error {
	at, err := netip.ParseAddrPort(addr)
	if err != nil {
		return err
	}
	d := &config.Document{Cell: config.Cell{Name: "lab", Mode: config.Trial}}
	d.DNS = config.DNS{Listen: []netip.Addr{at.Addr()}, Port: at.Port(), Upstreams: []string{upstream}}
	d.WireGuard.Enabled = new(bool)
	for i := range names {
		d.DNS.Records = append(d.DNS.Records, config.Record{Name: fmt.Sprintf("h%04d", i), Type: "A", Value: value(i)})
	}
	s := dnssrv.New(slog.New(slog.DiscardHandler), listen.NewPool(nil), nil)
	if err := s.Apply(ctx, dnssrv.From(config.Resolve(d, config.Env{}))); err != nil {
		return err
	}
	return s.Run(ctx)
}

func value(i int) string { return fmt.Sprintf("192.168.%d.%d", i/250, i%250+1) }

// source answers every question with an address that may be kept for a day.
func source() (addr string, stop func(), err error) {
	pc, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		return "", nil, err
	}
	srv := &dns.Server{PacketConn: pc, Handler: dns.HandlerFunc(func(w dns.ResponseWriter, r *dns.Msg) {
		m := new(dns.Msg).SetReply(r)
		m.RecursionAvailable = true
		if q := r.Question[0]; q.Qtype == dns.TypeA {
			m.Answer = []dns.RR{&dns.A{
				Hdr: dns.RR_Header{Name: q.Name, Rrtype: dns.TypeA, Class: dns.ClassINET, Ttl: 86400},
				A:   net.IPv4(192, 0, 2, 1),
			}}
		}
		_ = w.WriteMsg(m)
	})}
	go func() { _ = srv.ActivateAndServe() }()
	return pc.LocalAddr().String(), func() { _ = srv.Shutdown() }, nil
}

// unboundConf is a configuration for the same work, on one thread.
func unboundConf(dir string, at, upstream netip.AddrPort) string {
	var b strings.Builder
	fmt.Fprintf(&b, `server:
 interface: %s@%d
 port: %d
 access-control: 127.0.0.0/8 allow
 do-daemonize: no
 use-syslog: no
 logfile: ""
 verbosity: 0
 username: ""
 chroot: ""
 directory: %q
 pidfile: %q
 module-config: "iterator"
 do-not-query-localhost: no
 num-threads: 1
 msg-cache-size: 16m
 rrset-cache-size: 16m
 local-zone: "%s." static
`, at.Addr(), at.Port(), at.Port(), dir, filepath.Join(dir, "pid"), domain)
	for i := range names {
		fmt.Fprintf(&b, " local-data: \"h%04d.%s. 300 IN A %s\"\n", i, domain, value(i))
	}
	fmt.Fprintf(&b, "remote-control:\n control-enable: no\nforward-zone:\n name: \".\"\n forward-addr: %s@%d\n", upstream.Addr(), upstream.Port())
	return b.String()
}

// free returns a loopback address whose port nobody has.
func free() (netip.AddrPort, error) {
	pc, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		return netip.AddrPort{}, err
	}
	defer pc.Close()
	return pc.LocalAddr().(*net.UDPAddr).AddrPort(), nil
}

// A rival is a server that runs.
type rival struct {
	name string
	at   netip.AddrPort
	cmd  *exec.Cmd
	runs []result
}

func compare(ctx context.Context, unbound string, rounds int, span time.Duration) error {
	dir, err := os.MkdirTemp("", "bench-dns")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	up, stop, err := source()
	if err != nil {
		return err
	}
	defer stop()
	var rivals []*rival
	defer func() {
		for _, r := range rivals {
			_ = r.cmd.Process.Signal(os.Interrupt)
			_ = r.cmd.Wait()
		}
	}()
	for _, name := range []string{"pic", "unbound"} {
		at, err := free()
		if err != nil {
			return err
		}
		cmd := exec.Command("/proc/self/exe", "-serve", at.String(), "-upstream", up)
		if name == "unbound" {
			conf := filepath.Join(dir, "unbound.conf")
			if err := os.WriteFile(conf, []byte(unboundConf(dir, at, netip.MustParseAddrPort(up))), 0o600); err != nil {
				return err
			}
			cmd = exec.Command(unbound, "-c", conf)
		}
		cmd.Stderr = os.Stderr
		if err := cmd.Start(); err != nil {
			return fmt.Errorf("starting %s: %w", name, err)
		}
		rivals = append(rivals, &rival{name: name, at: at, cmd: cmd})
	}
	qs := queries()
	for _, r := range rivals {
		if err := warm(r.at, qs); err != nil {
			return fmt.Errorf("%s: %w", r.name, err)
		}
	}
	for range rounds {
		for _, r := range rivals {
			res, err := measure(ctx, r.at, r.cmd.Process.Pid, qs, span)
			if err != nil {
				return fmt.Errorf("%s: %w", r.name, err)
			}
			r.runs = append(r.runs, res)
			fmt.Printf("%-8s %s\n", r.name, res)
		}
	}
	a, b := median(rivals[0].runs), median(rivals[1].runs)
	fmt.Printf("\nmedians  %s: %s\n         %s: %s\n", rivals[0].name, a, rivals[1].name, b)
	fmt.Printf("ratio    answers/s %.2f (more is better)   CPU per answer %.2f (less is better)   memory %.2f\n",
		a.rate/b.rate, a.cpu.Seconds()/b.cpu.Seconds(), float64(a.rss)/float64(b.rss))
	return nil
}

// median takes each figure's median by itself.
func median(runs []result) result {
	mid := func(less func(a, b result) int) result {
		s := slices.Clone(runs)
		slices.SortFunc(s, less)
		return s[len(s)/2]
	}
	m := mid(func(a, b result) int { return int(a.rate - b.rate) })
	m.cpu = mid(func(a, b result) int { return int(a.cpu - b.cpu) }).cpu
	m.p50 = mid(func(a, b result) int { return int(a.p50 - b.p50) }).p50
	m.p99 = mid(func(a, b result) int { return int(a.p99 - b.p99) }).p99
	m.rss = mid(func(a, b result) int { return a.rss - b.rss }).rss
	return m
}
