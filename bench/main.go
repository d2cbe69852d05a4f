// Command bench measures the cell beside the servers that people would run
// instead, and writes what it found as a page of the documentation.
//
// In a contest the cell and its peers are up side by side and take turns at the
// same work: A B C, A B C, several times. What is told of a turn is how much was
// done in a second and how much processor time the server's processes spent on
// one piece of it (/proc/PID/stat); of a whole contest, their memory. The figures
// are medians; the ratios are those of turns in the same round, as median and
// range. Nothing is hidden: where a peer is better, the row says so, and what
// could not be run is named with the reason.
//
// All of it happens in namespaces made for the run: network (loopback and pairs
// of virtual cards), mounts (an empty /run) and processes, so that nothing
// outlives the run and nothing leaves the machine. It needs root, or a kernel
// that lets users make namespaces; peers that are not installed are left out.
// A run ends after fifteen minutes at most.
//
// The load comes from this program, on the same processor cores as the servers.
// The processor time can therefore be relied on more than the amount per second.
//
// A new contest is a file with a function that returns a [contest], and its name
// in contests.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"syscall"
	"time"
)

// contests are those of a whole run, in the order of the page.
func contests() []contest {
	return []contest{
		start(), names(), namesOnOne(), million(), keytrap(), secrets(), clock(), web(),
		policies(), tunnel(), ends(), crowded(), rootless(), calendar(), mail(),
	}
}

func main() {
	o := options{}
	flag.StringVar(&o.pic, "pic", "bin/pic", "the cell's program")
	flag.StringVar(&o.wireguard, "wireguard", "", "an upstream wireguard-go, another peer of the tunnel")
	flag.StringVar(&o.rootless, "rootless", "", "bench/rootless, which the contest of that name needs")
	flag.StringVar(&o.tunnel, "tunnel", "", "bench/tunnel, the cell's WireGuard alone, for the contests of bare tunnels")
	flag.StringVar(&o.coreDNS, "coredns", "", "CoreDNS, another peer of the name server")
	flag.StringVar(&o.out, "out", "", "write the page here, not to standard output")
	flag.StringVar(&o.only, "only", "", "run only these contests, by name and with commas between")
	flag.IntVar(&o.rounds, "rounds", 3, "how many turns each server has")
	flag.DurationVar(&o.turn, "turn", 1200*time.Millisecond, "how long a turn is, where the work has no end of its own")
	flag.DurationVar(&o.limit, "limit", 15*time.Minute, "when the run ends at the latest")
	client := flag.String("paced", "", "be the measured client of dns-keytrap, which asks this address; the bench starts it itself")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	var err error
	switch {
	case *client != "":
		err = bePaced(*client, os.Stdin, os.Stdout)
	case inside():
		err = run(ctx, o)
	default:
		err = enter(ctx, o.limit+20*time.Second)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

type options struct {
	pic, wireguard, coreDNS string
	rootless, tunnel        string
	out, only               string
	rounds                  int
	turn, limit             time.Duration
}

// run holds the contests and writes the page.
func run(ctx context.Context, o options) error {
	stopped := ctx
	ctx, cancel := context.WithTimeout(ctx, o.limit)
	defer cancel()
	if err := furnish(); err != nil {
		return err
	}
	for _, p := range []*string{&o.pic, &o.wireguard, &o.coreDNS, &o.rootless, &o.tunnel} {
		if *p == "" {
			continue
		}
		var err error
		if *p, err = filepath.Abs(*p); err != nil {
			return err
		}
		if _, err := os.Stat(*p); err != nil {
			return fmt.Errorf("%w: build it first", err)
		}
	}
	all, err := chosen(o.only)
	if err != nil {
		return err
	}
	var page strings.Builder
	page.WriteString(head(ctx, all, o))
	var failed error
	for _, c := range all {
		fmt.Fprintf(os.Stderr, "== %s\n", c.title)
		fmt.Fprintf(&page, "\n## %s\n\n%s\n\n", c.title, wrap(c.what))
		text, err := hold(ctx, c, o)
		if err != nil {
			failed = errors.Join(failed, fmt.Errorf("%s: %w", c.name, err))
			text = wrap(fmt.Sprintf("Not measured in this run: %s.", oneLine(err))) + "\n"
		}
		page.WriteString(text)
	}
	if stopped.Err() != nil {
		return errors.New("it was stopped; the page stays as it was")
	}
	if o.out == "" {
		fmt.Print(page.String())
		return failed
	}
	return errors.Join(failed, os.WriteFile(o.out, []byte(page.String()), 0o644))
}

// chosen returns the contests of these names, all for none.
func chosen(only string) ([]contest, error) {
	all := contests()
	if only == "" {
		return all, nil
	}
	want := strings.Split(only, ",")
	for _, name := range want {
		if !slices.ContainsFunc(all, func(c contest) bool { return c.name == name }) {
			return nil, fmt.Errorf("there is no contest %q", name)
		}
	}
	return slices.DeleteFunc(all, func(c contest) bool { return !slices.Contains(want, c.name) }), nil
}

// hold runs one contest in a folder of its own and stops all that it started.
func hold(ctx context.Context, c contest, o options) (text string, err error) {
	if ctx.Err() != nil {
		return "", errors.New("the time of the run was over")
	}
	dir, err := os.MkdirTemp("", "pic-bench-")
	if err != nil {
		return "", err
	}
	defer os.RemoveAll(dir)
	// Servers that give up root must reach their files.
	if err := os.Chmod(dir, 0o755); err != nil {
		return "", err
	}
	l := &lab{dir: dir, pic: o.pic, wireguardGo: o.wireguard, coreDNS: o.coreDNS, rootless: o.rootless, tunnel: o.tunnel, rounds: o.rounds, turn: o.turn}
	defer l.close()
	return c.run(ctx, l)
}

// head is the beginning of the page.
func head(ctx context.Context, all []contest, o options) string {
	var b strings.Builder
	b.WriteString("# How fast it is\n\n" + wrap("Written by `make bench`"+` in one run on one machine, beside the servers that
people would run instead. They take turns at the same work; a ratio is that of the cell to the other in the same round,
as median and range of the rounds. Only ratios travel to other machines. The load comes from the same cores, so the
processor time for one piece of work says more than the amount per second; it is that of the server's processes, in
steps of 10 ms of a turn. Memory is that of a whole cell with all its services, beside a server that does one thing;
*peak* is the sum of the processes' VmHWM, *share* their PSS at the end, which counts pages that processes share once.
What is worse than the peer is shown like the rest.`) + "\n\n")
	fmt.Fprintf(&b, "%s, %d cores (%s), Linux %s, %s. %d rounds, turns of %v.\n\n",
		time.Now().Format(time.DateOnly), runtime.NumCPU(), processor(), kernel(), runtime.Version(), o.rounds, o.turn)
	text := fmt.Sprintf("Cell: %s.", oneLine(output(ctx, o.pic, "version")))
	var peers []string
	for _, c := range all {
		for _, p := range c.packages {
			if slices.ContainsFunc(peers, func(said string) bool { return strings.HasPrefix(said, p+" ") }) {
				continue
			}
			v := output(ctx, "dpkg-query", "-W", "-f", "${Version}", p)
			if v == "" {
				v = "not installed"
			}
			peers = append(peers, p+" "+v)
		}
	}
	if len(peers) > 0 {
		text += fmt.Sprintf(" Peers, from Debian's packages: %s.", strings.Join(peers, ", "))
	}
	return b.String() + wrap(text) + "\n"
}
