package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"
)

// ends compares WireGuard's implementations with one of each make at both ends.
func ends() contest {
	return contest{
		name: "wireguard-ends", title: "WireGuard: bare tunnels with one make at both ends", packages: []string{"wireguard-go"},
		what: `Two hosts joined by a virtual cable, on both the same program and nothing else: the cell's tunnel without a cell
around it, upstream's wireguard-go at the version that the cell is built with, and Debian's, of 2022. The processor time is
that of both ends; a table of its own has it for each. TCP: bytes that arrived. Packets: those that arrived at a socket behind
the tunnel; the sender and the receiver are the same for all and take many in one system call. In a flood the sender sends
what it can and most of it is lost before the tunnel; "256 under way" sends on only as packets arrive, so that next to none
is lost. MTU 1420.`,
		run: endsRun,
	}
}

// A makeOf is a program that is a WireGuard tunnel: `PROGRAM -f INTERFACE`.
type makeOf struct{ name, program string }

// makes are those that are compared; the cell's is the first.
func (l *lab) makes() []makeOf {
	return []makeOf{{"pic", l.tunnel}, {"wireguard-go, upstream", l.wireguardGo}, {"wireguard-go, Debian", "wireguard-go"}}
}

func endsRun(ctx context.Context, l *lab) (string, error) {
	var tubes []*tube
	streams := &match{unit: "Gbit", cpu: time.Millisecond, works: []string{"one TCP stream", "four TCP streams"}}
	packets := &match{unit: "packet", cpu: time.Microsecond, works: []string{
		"64 bytes, 256 under way", "64 bytes, flood", "1372 bytes, 256 under way", "1372 bytes, flood",
	}}
	for i, mk := range l.makes() {
		var t *tube
		err := streams.enter(mk.name, func() (_ *rival, err error) {
			if t, err = l.newTube(ctx, mk, fmt.Sprintf("wgt%d", i)); err != nil {
				return nil, err
			}
			four, err := t.streams(l, 4)
			if err != nil {
				return nil, err
			}
			return &rival{procs: t.procs(), jobs: []job{t.by("one TCP stream", four[:1]), t.by("four TCP streams", four)}}, nil
		})
		if err != nil {
			return "", err
		}
		if t == nil || len(streams.rivals) == len(tubes) {
			continue // it does not take part
		}
		err = packets.enter(mk.name, func() (*rival, error) {
			s, err := t.socket(l)
			if err != nil {
				return nil, err
			}
			r := &rival{procs: t.procs()}
			for _, w := range packets.works {
				size, flying := 64, 0
				if strings.HasPrefix(w, "1372") {
					size = 1372
				}
				if strings.HasSuffix(w, "under way") {
					flying = 256
				}
				r.jobs = append(r.jobs, t.meet(w, func(ctx context.Context, m *meter) error { return s.pass(ctx, m, size, flying) }))
			}
			return r, nil
		})
		if err != nil {
			return "", err
		}
		tubes = append(tubes, t)
	}
	first, err := streams.play(ctx, l)
	if err != nil {
		return "", err
	}
	second, err := packets.play(ctx, l)
	if err != nil {
		return "", err
	}
	return first + "\n" + second + "\n" + shares(tubes, slices.Concat(streams.works, packets.works)) + "\n" + peaks(tubes), nil
}

// A tube is two hosts with a tunnel between them.
type tube struct {
	name       string
	near, far  *host
	proc, dial *process // the near end, that listens, and the far one
	addr       string   // of the near end in the tunnel
	halves     map[string][]half
}

// A half is what a turn cost at each end, in processor seconds for a unit.
type half struct{ send, receive float64 }

func (t *tube) procs() []*process { return []*process{t.proc, t.dial} }

// newTube makes the hosts and starts the program on both.
func (l *lab) newTube(ctx context.Context, mk makeOf, card string) (t *tube, err error) {
	if mk.program == "" {
		return nil, errors.New("it was not built")
	}
	t = &tube{name: mk.name, halves: map[string][]half{}}
	if t.near, err = l.newHost(); err != nil {
		return nil, err
	}
	if t.far, err = l.newHost(); err != nil {
		return nil, err
	}
	if err := cable(t.near, serverAddr+"/24", t.far, deviceAddr+"/24"); err != nil {
		return nil, err
	}
	e, err := l.wgPeer(ctx, t.near, mk.program, card+"n")
	if err != nil {
		return nil, err
	}
	t.proc, t.addr = e.proc, e.serverAddr
	t.dial, err = l.wireguard(ctx, t.far, mk.program, card+"f", e.deviceAddr+"/24", e.deviceConf)
	return t, err
}

// streams connects from the far end to the near one.
func (t *tube) streams(l *lab, n int) (out []*stream, err error) {
	for range n {
		s, err := l.stream(t.near, t.far, t.addr)
		if err != nil {
			return nil, err
		}
		out = append(out, s)
	}
	return out, nil
}

// by is the job of sending through so many streams at once.
func (t *tube) by(work string, all []*stream) job {
	return t.meet(work, func(ctx context.Context, m *meter) error {
		got, errs := make([]int64, len(all)), make([]error, len(all))
		m.begin()
		var wg sync.WaitGroup
		for i, s := range all {
			wg.Go(func() { got[i], errs[i] = carry(ctx, m, s.device, s.server) })
		}
		wg.Wait()
		var sum int64
		for _, n := range got {
			sum += n
		}
		m.end(float64(sum) * 8 / 1e9)
		return errors.Join(errs...)
	})
}

// meet is a job that also notes what each end costs.
func (t *tube) meet(work string, j job) job {
	return func(ctx context.Context, m *meter) error {
		var before, after [2]time.Duration
		for i, p := range t.procs() {
			var err error
			if before[i], err = spent([]*process{p}); err != nil {
				return err
			}
		}
		if err := j(ctx, m); err != nil {
			return err
		}
		for i, p := range t.procs() {
			var err error
			if after[i], err = spent([]*process{p}); err != nil {
				return err
			}
		}
		t.halves[work] = append(t.halves[work], half{
			send: (after[1] - before[1]).Seconds() / m.turn.units, receive: (after[0] - before[0]).Seconds() / m.turn.units,
		})
		return nil
	}
}

// shares shows what each end cost.
func shares(tubes []*tube, works []string) string {
	var b strings.Builder
	b.WriteString("| work | server | CPU of the sending end | of the receiving end | |\n|---|---|--:|--:|---|\n")
	for _, w := range works {
		unit, scale := "µs/packet", 1e6
		if strings.Contains(w, "TCP") {
			unit, scale = "ms/Gbit", 1e3
		}
		for _, t := range tubes {
			var send, receive []float64
			for _, h := range t.halves[w] {
				send, receive = append(send, h.send*scale), append(receive, h.receive*scale)
			}
			fmt.Fprintf(&b, "| %s | %s | %s | %s | %s |\n", w, t.name, figure(spreadOf(send).mid), figure(spreadOf(receive).mid), unit)
		}
	}
	return b.String()
}

// peaks shows the most memory that one end took in all of the turns.
func peaks(tubes []*tube) string {
	var b strings.Builder
	b.WriteString("| peak of one process | sending MiB | receiving MiB |\n|---|--:|--:|\n")
	for _, t := range tubes {
		send, err := memory([]*process{t.dial})
		receive, err2 := memory([]*process{t.proc})
		if errors.Join(err, err2) != nil {
			continue // it has ended, and the match has said so
		}
		fmt.Fprintf(&b, "| %s | %.1f | %.1f |\n", t.name, send.peak/(1<<20), receive.peak/(1<<20))
	}
	return b.String()
}
