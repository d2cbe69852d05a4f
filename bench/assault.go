package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"

	"github.com/miekg/dns"
)

// A siege is a cell, and who can attack it.
type siege struct {
	lab     *lab
	hostile *hostile
	up, at  netip.AddrPort // where the hostile upstream and the cell listen
	cell    *process
	client  *paced
	asked   atomic.Int64 // names so far: each is new
}

// An assault is one round of an attack, as the measured client saw it.
type assault struct {
	idle, apart, honest, attacked latency

	questions float64       // of the attacker in a second
	cpu       time.Duration // of the cell, for each
}

// assault measures the turns of the client with n questions of t under way.
func (s *siege) assault(ctx context.Context, t trap, n int) (a assault, err error) {
	hits := func() (latency, error) { return s.client.measure(s.lab.turn) }
	quiet := &meter{span: s.lab.turn, procs: []*process{s.cell}}
	quiet.begin()
	if a.idle, err = hits(); err != nil {
		return a, err
	}
	quiet.end(1)
	loud := &meter{span: s.lab.turn, procs: quiet.procs}
	s.hostile.listen(true)
	a.attacked, err = s.beset(ctx, n, s.asks(t, nil), func(done *atomic.Int64) (latency, error) {
		loud.begin()
		l, err := hits()
		loud.end(float64(done.Load()))
		return l, err
	})
	heard := s.hostile.listen(false)
	if err := errors.Join(err, quiet.err, loud.err); err != nil {
		return a, err
	}
	if loud.turn.units == 0 {
		return a, errors.New("no question of the attack was answered")
	}
	a.questions = loud.turn.rate()
	rest := time.Duration(quiet.turn.cpu.Seconds() / quiet.turn.took.Seconds() * float64(loud.turn.took))
	a.cpu = time.Duration(float64(max(0, loud.turn.cpu-rest)) / loud.turn.units)
	alone := func(*atomic.Int64) (latency, error) { return hits() }
	if a.apart, err = s.beset(ctx, n, s.repeats(heard, newPace(float64(len(heard))/loud.turn.took.Seconds())), alone); err != nil {
		return a, fmt.Errorf("apart: %w", err)
	}
	if a.honest, err = s.beset(ctx, n, s.asks(traps[0], newPace(a.questions)), alone); err != nil {
		return a, fmt.Errorf("honest: %w", err)
	}
	return a, nil
}

// beset has n attackers at work while f measures. They count what was done.
func (s *siege) beset(ctx context.Context, n int, work func(context.Context, *atomic.Int64) error, f func(done *atomic.Int64) (latency, error)) (latency, error) {
	run, over := context.WithCancel(ctx)
	defer over()
	var done atomic.Int64
	var wg sync.WaitGroup
	errs := make([]error, n)
	for i := range n {
		wg.Go(func() { errs[i] = work(run, &done) })
	}
	l, err := f(&done)
	over()
	wg.Wait()
	return l, errors.Join(err, errors.Join(errs...))
}

// A pace is a rate that several keep together; nil is as fast as they can.
type pace struct {
	began time.Time
	each  time.Duration
	n     atomic.Int64
}

func newPace(rate float64) *pace {
	return &pace{began: time.Now(), each: time.Duration(float64(time.Second) / rate)}
}

// wait waits for the next turn. What could not be done in time is left out.
func (p *pace) wait(ctx context.Context) {
	if p == nil {
		return
	}
	due := p.began.Add(time.Duration(p.n.Add(1)) * p.each)
	select {
	case <-ctx.Done():
	case <-time.After(time.Until(due)):
	}
}

// asks returns an attacker who asks the cell one question at a time, and counts
// what is answered with the code that is to come.
func (s *siege) asks(t trap, p *pace) func(context.Context, *atomic.Int64) error {
	return func(ctx context.Context, done *atomic.Int64) error {
		c, err := net.Dial("udp", s.at.String())
		if err != nil {
			return err
		}
		defer c.Close()
		buf := make([]byte, 4096)
		for p.wait(ctx); ctx.Err() == nil; p.wait(ctx) {
			q := question(t.ask(int(s.asked.Add(1))))
			if err := c.SetDeadline(time.Now().Add(3 * time.Second)); err != nil {
				return err
			}
			if _, err := c.Write(q); err != nil {
				return err
			}
			n, err := c.Read(buf)
			switch {
			case ctx.Err() != nil:
			case err != nil:
				return err
			case n < 12 || buf[3]&0xf != t.code:
				return fmt.Errorf("code %d", buf[3]&0xf)
			default:
				done.Add(1)
			}
		}
		return nil
	}
}

// repeats returns one who asks the upstream what the cell has asked it, again and
// again.
func (s *siege) repeats(heard []*dns.Msg, p *pace) func(context.Context, *atomic.Int64) error {
	var next atomic.Int64
	return func(ctx context.Context, done *atomic.Int64) error {
		c, err := net.Dial("tcp", s.up.String())
		if err != nil {
			return err
		}
		defer c.Close()
		conn := &dns.Conn{Conn: c}
		for p.wait(ctx); ctx.Err() == nil; p.wait(ctx) {
			if err := c.SetDeadline(time.Now().Add(3 * time.Second)); err != nil {
				return err
			}
			if err := conn.WriteMsg(heard[int(next.Add(1))%len(heard)]); err != nil {
				return err
			}
			if _, err := conn.ReadMsgHeader(nil); err != nil {
				return err
			}
			done.Add(1)
		}
		return nil
	}
}

// assaultRow is the rounds of an attack in a row of the table: medians of each.
func assaultRow(zone string, n int, rounds []assault) string {
	each := func(f func(assault) float64) spread {
		var v []float64
		for _, a := range rounds {
			v = append(v, f(a))
		}
		return spreadOf(v)
	}
	three := func(f func(assault) latency) string {
		micros := func(pick func(latency) time.Duration) string {
			return figure(each(func(a assault) float64 { return pick(f(a)).Seconds() * 1e6 }).mid)
		}
		return micros(func(l latency) time.Duration { return l.p50 }) + ", " +
			micros(func(l latency) time.Duration { return l.p99 }) + ", " + micros(func(l latency) time.Duration { return l.p999 })
	}
	over := func(f func(assault) latency) spread {
		return each(func(a assault) float64 { return a.attacked.p99.Seconds() / f(a).p99.Seconds() })
	}
	idle := func(a assault) latency { return a.idle }
	apart := func(a assault) latency { return a.apart }
	honest := func(a assault) latency { return a.honest }
	return fmt.Sprintf("| %s | %d | %s | %s | %s | %s | %s | %s | %s | %s | %s |\n", zone, n,
		figure(each(func(a assault) float64 { return a.questions }).mid),
		figure(each(func(a assault) float64 { return a.cpu.Seconds() * 1e3 }).mid),
		three(idle), three(apart), three(honest), three(func(a assault) latency { return a.attacked }),
		over(idle), over(apart), over(honest))
}
