package main

import (
	"context"
	"fmt"
	"os"
	"strings"
	"time"
)

// start tells how large a cell is, how soon it serves and what it needs idle.
func start() contest {
	return contest{
		name: "start", title: "Start and size",
		what: `A trial cell with all services: from the start of the process until every port is open and ` + "`/health`" + ` says ok,
and what it needs in the five seconds after. The data folder was set up before; the files are in the page cache. There
is no peer.`,
		run: startRun,
	}
}

const idle = 5 * time.Second

func startRun(ctx context.Context, l *lab) (string, error) {
	c, err := l.setUp(ctx, nil, "--trial")
	if err != nil {
		return "", err
	}
	tcp, udp := trialPorts()
	var took, rss, cpu []float64
	for range min(l.rounds, 3) {
		began := time.Now()
		p, err := l.start(nil, l.pic, "serve", "--data", c.data)
		if err != nil {
			return "", err
		}
		if err := p.wait(ctx, func() bool { return listening(tcp, udp) && healthy() == nil }); err != nil {
			return "", err
		}
		took = append(took, time.Since(began).Seconds()*1000)
		before, err := spent([]*process{p})
		if err != nil {
			return "", err
		}
		select {
		case <-ctx.Done():
			return "", ctx.Err()
		case <-time.After(idle):
		}
		after, err := spent([]*process{p})
		if err != nil {
			return "", err
		}
		status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", p.cmd.Process.Pid))
		if err != nil {
			return "", err
		}
		rss = append(rss, kilobytes(string(status), "VmRSS:")/1024)
		cpu = append(cpu, (after-before).Seconds()*1000/idle.Seconds())
		p.stop()
	}
	bin, err := os.Stat(l.pic)
	if err != nil {
		return "", err
	}
	var b strings.Builder
	b.WriteString("| figure | median | range |\n|---|--:|--:|\n")
	for _, f := range []struct {
		name   string
		values []float64
	}{
		{"start until all ports are open, ms", took},
		{"resident after 5 s, MiB", rss},
		{"CPU when idle, ms/s", cpu},
	} {
		s := spreadOf(f.values)
		fmt.Fprintf(&b, "| %s | %.1f | %.1f–%.1f |\n", f.name, s.mid, s.low, s.high)
	}
	fmt.Fprintf(&b, "| program, MB | %.1f | |\n", float64(bin.Size())/1e6)
	return b.String(), nil
}
