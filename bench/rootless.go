package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os/exec"
	"path/filepath"
	"time"
)

// rootless compares the ways of WireGuard in a process without privileges.
func rootless() contest {
	return contest{
		name: "rootless", title: "WireGuard without privileges: TCP through a stack in the process, beside wireguard-go's own",
		what: `Two devices in one process, each on a TCP/IP stack in it, joined by UDP on loopback, so that both ends are of the
same make and both count, TCP included. The cell's is what a trial runs on; the other is tun/netstack, which comes with
wireguard-go, at the version that the cell is built with. Both stacks are gVisor's. MTU 1420.`,
		run: rootlessRun,
	}
}

func rootlessRun(ctx context.Context, l *lab) (string, error) {
	if l.rootless == "" {
		return "", errors.New("bench/rootless was not built")
	}
	m := &match{unit: "Gbit", cpu: time.Millisecond, works: []string{"one stream", "four streams"}}
	for _, r := range []struct{ name, kind string }{{"pic", "pic"}, {"tun/netstack", "stock"}} {
		err := m.enter(r.name, func() (*rival, error) {
			h, err := l.newHost()
			if err != nil {
				return nil, err
			}
			p, err := l.startPair(h, r.kind)
			if err != nil {
				return nil, err
			}
			return &rival{procs: []*process{p.process}, jobs: []job{p.streams(1), p.streams(4)}}, nil
		})
		if err != nil {
			return "", err
		}
	}
	return m.play(ctx, l)
}

// A pairing is a bench/rootless that waits for orders.
type pairing struct {
	process *process
	orders  io.Writer
	answers *bufio.Scanner
}

func (l *lab) startPair(h *host, kind string) (*pairing, error) {
	p := &process{name: filepath.Base(l.rootless), cmd: exec.Command(l.rootless, kind), done: make(chan struct{})}
	p.cmd.Stderr, p.cmd.WaitDelay = &p.out, time.Second
	in, err := p.cmd.StdinPipe()
	if err != nil {
		return nil, err
	}
	out, err := p.cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := h.do(p.cmd.Start); err != nil {
		return nil, err
	}
	l.atEnd(p.stop)
	g := &pairing{process: p, orders: in, answers: bufio.NewScanner(out)}
	_, err = g.answer() // that it is ready
	go func() {
		_ = p.cmd.Wait()
		close(p.done)
	}()
	return g, err
}

func (p *pairing) answer() (string, error) {
	if !p.answers.Scan() {
		return "", fmt.Errorf("%s ended: %s", p.process.name, oneLine(p.process.out.String()))
	}
	return p.answers.Text(), nil
}

// streams is the work of so many TCP connections at once.
func (p *pairing) streams(n int) job {
	return func(_ context.Context, m *meter) error {
		m.begin()
		if _, err := fmt.Fprintln(p.orders, n, m.span.Milliseconds()); err != nil {
			return err
		}
		text, err := p.answer()
		if err != nil {
			return err
		}
		var got, took int64
		if _, err := fmt.Sscan(text, &got, &took); err != nil {
			return err
		}
		m.end(float64(got) * 8 / 1e9)
		return nil
	}
}
