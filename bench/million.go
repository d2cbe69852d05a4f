package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"time"
)

const (
	listed  = 1_000_000 // names of the list
	settles = 3 * time.Second
	slowest = time.Minute // until a list is in force
)

// million compares name servers that block a million names.
func million() contest {
	return contest{
		name: "dns-million", title: "DNS: a million blocked names, beside Unbound and dnsmasq", packages: []string{"unbound", "dnsmasq-base"},
		what: `A list of a million names, of 16 bytes on average, is put in force, and then three times another takes its place. *Ready*
is the time until the last name of the list is blocked: from when the list is given to the cell, which runs already and
keeps a copy on disk, and from the start of the process for the others. *Added* is the resident memory that the list takes
three seconds later, beside the same server without it; *reload* is the most that is added while another list takes its
place. A single client asks one question at a time for 1000 names that the server has the answers to, before and during
the reload. Unbound has a local-zone of always_nxdomain for each name and is reloaded by SIGHUP, and does not answer
meanwhile; dnsmasq has them in a servers-file. What is changed in the list each time is one name.`,
		run: millionRun,
	}
}

// A filtering is a name server that blocks the names of a list.
type filtering struct {
	name   string
	proc   *process
	at     netip.AddrPort
	before float64       // resident bytes without the list
	ready  time.Duration // until it was in force
	added  float64
	write  func(tag string) error // makes another list
	reload func(ctx context.Context) error
}

// A renewal is what one reload of a list was like.
type renewal struct {
	took         time.Duration
	peak         float64 // bytes more than without a list
	idle, during latency
}

// listedName is unlike its neighbours, as names of such lists are.
func listedName(i int) string {
	n := uint32(i) * 2654435761
	if i%5 < 3 {
		return fmt.Sprintf("%c%x.a%05x.test", 'a'+byte(n%26), n>>22, i)
	}
	return fmt.Sprintf("%x%05x.example", n>>16, i)
}

// writeList writes the list in the form of a server; tag is in its last name.
func writeList(path, form, tag string) error {
	f, err := os.Create(path + ".new")
	if err != nil {
		return err
	}
	w := bufio.NewWriter(f)
	for i := range listed - 1 {
		fmt.Fprintf(w, form, listedName(i))
	}
	fmt.Fprintf(w, form, lastName(tag))
	return errors.Join(w.Flush(), f.Close(), os.Rename(path+".new", path))
}

const lastPrefix = "last-"

func lastName(tag string) string { return lastPrefix + tag + ".example" }

func millionRun(ctx context.Context, l *lab) (string, error) {
	up, err := l.upstream()
	if err != nil {
		return "", err
	}
	m := &match{}
	var all []*filtering
	var renewals [][]renewal
	for _, open := range []struct {
		name string
		f    func(ctx context.Context, up netip.AddrPort) (*filtering, error)
	}{{"pic", l.filteringCell}, {"unbound", l.filteringUnbound}, {"dnsmasq", l.filteringDnsmasq}} {
		s, err := open.f(ctx, up)
		var rounds []renewal
		if err == nil {
			s.name = open.name
			rounds, err = s.renewals(ctx, min(l.rounds, 3))
			s.proc.stop()
		}
		switch {
		case err == nil:
			all, renewals = append(all, s), append(renewals, rounds)
		case open.name == "pic":
			return "", err
		default:
			fmt.Fprintf(os.Stderr, "bench: %s does not take part: %v\n", open.name, err)
			m.absent = append(m.absent, fmt.Sprintf("%s (%s)", open.name, oneLine(err)))
		}
	}
	return millionTable(all, renewals) + m.missing(), nil
}

func (s *filtering) renewals(ctx context.Context, n int) ([]renewal, error) {
	var out []renewal
	for i := range n {
		r, err := s.renewal(ctx, fmt.Sprintf("%d", i+1))
		if err != nil {
			return nil, err
		}
		fmt.Fprintf(os.Stderr, "   %-10s ready %.2fs, +%.1f MiB; reload %.2fs, +%.1f MiB; p99 %v idle, %v then (%d, %d)\n",
			s.name, s.ready.Seconds(), s.added/(1<<20), r.took.Seconds(), r.peak/(1<<20), r.idle.p99, r.during.p99, r.idle.n, r.during.n)
		out = append(out, r)
	}
	return out, nil
}

// renewal puts another list in force while a client asks.
func (s *filtering) renewal(ctx context.Context, tag string) (r renewal, err error) {
	qs := questions(ownName)
	if err := errors.Join(s.write(tag), warm(s.at, qs)); err != nil {
		return r, err
	}
	rest, stop := context.WithTimeout(ctx, 2*time.Second)
	defer stop()
	if r.idle, err = single(rest, s.at, qs); err != nil {
		return r, err
	}
	if err := resetPeak(s.proc); err != nil {
		return r, err
	}
	during, over := context.WithCancel(ctx)
	defer over()
	type seen struct {
		latency
		err error
	}
	asked := make(chan seen, 1)
	go func() {
		l, err := single(during, s.at, qs)
		asked <- seen{l, err}
	}()
	began := time.Now()
	if err := s.reload(ctx); err != nil {
		return r, err
	}
	if err := blocked(ctx, s.proc, s.at, lastName(tag)); err != nil {
		return r, err
	}
	r.took = time.Since(began)
	over()
	got := <-asked
	if got.err != nil {
		return r, got.err
	}
	r.during = got.latency
	mem, err := memory([]*process{s.proc})
	r.peak = mem.peak - s.before
	return r, err
}

func (l *lab) filteringCell(ctx context.Context, up netip.AddrPort) (*filtering, error) {
	c, err := l.trial(ctx, map[string]any{"dns.records": ownRecords(), "dns.upstreams": []string{up.String()}, "dns.rate": 10_000_000})
	if err != nil {
		return nil, err
	}
	s := &filtering{proc: c.proc, at: netip.MustParseAddrPort("127.0.0.1:10053")}
	list := filepath.Join(l.dir, "list")
	if err := errors.Join(warm(s.at, questions(ownName)), writeList(list, "%s\n", "0")); err != nil {
		return nil, err
	}
	if s.before, err = resident(ctx, s.proc); err != nil {
		return nil, err
	}
	began := time.Now()
	if _, err := c.pic(ctx, fmt.Sprintf(`[{"name":"million","url":%q}]`, list), "set", "dns.filter.lists", "-"); err != nil {
		return nil, err
	}
	s.write = func(tag string) error { return writeList(list, "%s\n", tag) }
	s.reload = func(ctx context.Context) error {
		_, err := c.pic(ctx, "", "dns", "list", "refresh", "million")
		return err
	}
	return s, s.inForce(ctx, began)
}

// inForce waits for the first list.
func (s *filtering) inForce(ctx context.Context, began time.Time) error {
	if err := blocked(ctx, s.proc, s.at, lastName("0")); err != nil {
		return err
	}
	s.ready = time.Since(began)
	now, err := resident(ctx, s.proc)
	s.added = now - s.before
	return err
}

func (l *lab) filteringUnbound(ctx context.Context, up netip.AddrPort) (*filtering, error) {
	list := filepath.Join(l.dir, "unbound.list")
	return l.filteringPeer(ctx, list, " local-zone: \"%s.\" always_nxdomain\n", func(port uint16) (*process, error) {
		return l.unbound(port, up, fmt.Sprintf("server:\n include: %q\n", list))
	})
}

func (l *lab) filteringDnsmasq(ctx context.Context, up netip.AddrPort) (*filtering, error) {
	list := filepath.Join(l.dir, "dnsmasq.list")
	return l.filteringPeer(ctx, list, "server=/%s/\n", func(port uint16) (*process, error) {
		return l.dnsmasq(port, up, "servers-file="+list+"\n")
	})
}

// filteringPeer starts a server without the list, and again with it.
func (l *lab) filteringPeer(ctx context.Context, list, form string, open func(port uint16) (*process, error)) (*filtering, error) {
	own := questions(ownName)
	start := func() (*filtering, error) {
		port, err := closedPort()
		if err != nil {
			return nil, err
		}
		s := &filtering{at: netip.AddrPortFrom(netip.MustParseAddr("127.0.0.1"), port)}
		s.proc, err = open(port)
		return s, err
	}
	if err := os.WriteFile(list, nil, 0o644); err != nil {
		return nil, err
	}
	bare, err := start()
	if err != nil {
		return nil, err
	}
	if err := bare.proc.wait(ctx, func() bool { return warm(bare.at, own[:1]) == nil }); err != nil {
		return nil, err
	}
	if err := warm(bare.at, own); err != nil {
		return nil, err
	}
	before, err := resident(ctx, bare.proc)
	bare.proc.stop()
	if err != nil {
		return nil, err
	}
	if err := writeList(list, form, "0"); err != nil {
		return nil, err
	}
	began := time.Now()
	s, err := start()
	if err != nil {
		return nil, err
	}
	s.before = before
	s.write = func(tag string) error { return writeList(list, form, tag) }
	s.reload = func(context.Context) error { return s.proc.cmd.Process.Signal(syscall.SIGHUP) }
	return s, s.inForce(ctx, began)
}

// millionTable shows what a list costs each server.
func millionTable(all []*filtering, renewals [][]renewal) string {
	var b strings.Builder
	b.WriteString("| server | added MiB | ready s | reload, added MiB | reload s | p99 idle µs | p99 in reload µs | in reload : idle | longest ms |\n")
	b.WriteString("|---|--:|--:|--:|--:|--:|--:|--:|--:|\n")
	each := func(i int, f func(renewal) float64) spread {
		var v []float64
		for _, r := range renewals[i] {
			v = append(v, f(r))
		}
		return spreadOf(v)
	}
	peak := func(r renewal) float64 { return r.peak / (1 << 20) }
	took := func(r renewal) float64 { return r.took.Seconds() }
	for i, s := range all {
		fmt.Fprintf(&b, "| %s | %s | %s | %s | %s | %s | %s | %s | %s |\n", s.name, figure(s.added/(1<<20)), figure(s.ready.Seconds()),
			figure(each(i, peak).mid), figure(each(i, took).mid),
			figure(each(i, func(r renewal) float64 { return r.idle.p99.Seconds() * 1e6 }).mid),
			figure(each(i, func(r renewal) float64 { return r.during.p99.Seconds() * 1e6 }).mid),
			each(i, func(r renewal) float64 { return r.during.p99.Seconds() / r.idle.p99.Seconds() }),
			figure(each(i, func(r renewal) float64 { return r.during.most.Seconds() * 1e3 }).mid))
	}
	b.WriteString("\n| cell : it (less is better) | added | ready | reload, added | reload s |\n|---|--:|--:|--:|--:|\n")
	for i, s := range all {
		if i == 0 {
			continue
		}
		fmt.Fprintf(&b, "| %s | **%s** | **%s** | **%s** | **%s** |\n", s.name, figure(all[0].added/s.added),
			figure(all[0].ready.Seconds()/s.ready.Seconds()), figure(each(0, peak).mid/each(i, peak).mid), figure(each(0, took).mid/each(i, took).mid))
	}
	return b.String()
}
