package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"time"
)

// A contest is a section of the page and how its figures come about.
type contest struct {
	name     string   // for -only
	title    string   // of the section
	what     string   // what is done, and what to beware of
	packages []string // of Debian, that the peers come from
	run      func(ctx context.Context, l *lab) (markdown string, err error)
}

// A lab is what a contest has at hand.
type lab struct {
	dir    string // its folder, removed after it
	pic    string // the cell's program
	rounds int
	turn   time.Duration
	ends   []func()

	wireguardGo string // upstream's program, if there is one
	coreDNS     string // likewise
	rootless    string // bench/rootless
	tunnel      string // bench/tunnel
	core        bool   // servers that are started get the first core alone
}

// atEnd has f called after the contest; the last first.
func (l *lab) atEnd(f func()) { l.ends = append(l.ends, f) }

func (l *lab) close() {
	for i := len(l.ends) - 1; i >= 0; i-- {
		l.ends[i]()
	}
}

// A job is one turn of a server at some work. It prepares what it needs, calls
// [meter.begin], works until [meter.over] or to the end of the work, and calls
// [meter.end] with how much it got done.
type job func(ctx context.Context, m *meter) error

// A rival is one that takes part: a server that is up, and the jobs that it can
// be given, in the order of the match's works.
type rival struct {
	name  string
	procs []*process
	jobs  []job
}

// A match is a contest between servers that are up at the same time.
type match struct {
	unit  string        // what is done, in the singular, such as "answer"
	cpu   time.Duration // the unit in which processor time is shown
	works []string      // such as "own names"

	rivals []*rival // the cell is the first
	absent []string // who could not take part, and why
}

// enter lets a server take part, if open can start it. The cell must.
func (m *match) enter(name string, open func() (*rival, error)) error {
	r, err := open()
	switch {
	case err == nil:
		r.name = name
		m.rivals = append(m.rivals, r)
	case len(m.rivals) == 0:
		return fmt.Errorf("%s: %w", name, err)
	default:
		fmt.Fprintf(os.Stderr, "bench: %s does not take part: %v\n", name, err)
		m.absent = append(m.absent, fmt.Sprintf("%s (%s)", name, oneLine(err)))
	}
	return nil
}

// A turn is what one server did in one go.
type turn struct {
	units float64
	took  time.Duration
	cpu   time.Duration
}

func (t turn) rate() float64 { return t.units / t.took.Seconds() }
func (t turn) cost() float64 { return t.cpu.Seconds() / t.units }

// A meter measures one turn.
type meter struct {
	span  time.Duration
	procs []*process

	began  time.Time
	before time.Duration
	turn   turn
	err    error
}

func (m *meter) begin() {
	m.before, m.err = spent(m.procs)
	m.began = time.Now()
}

func (m *meter) end(units float64) {
	m.turn.took, m.turn.units = time.Since(m.began), units
	after, err := spent(m.procs)
	m.err = errors.Join(m.err, err)
	m.turn.cpu = after - m.before
}

// over reports whether the time of the turn is up.
func (m *meter) over() bool { return time.Since(m.began) >= m.span }

// play gives every rival its turns and returns the tables.
func (m *match) play(ctx context.Context, l *lab) (string, error) {
	turns := make([][][]turn, len(m.works)) // by work, rival, round
	for w, work := range m.works {
		turns[w] = make([][]turn, len(m.rivals))
		for range l.rounds {
			for i, r := range m.rivals {
				mt := &meter{span: l.turn, procs: r.procs}
				err := r.jobs[w](ctx, mt)
				if err == nil {
					err = mt.err
				}
				if err == nil && mt.turn.units <= 0 {
					err = errors.New("nothing was done")
				}
				if err != nil {
					return "", fmt.Errorf("%s, %s: %w", r.name, work, err)
				}
				turns[w][i] = append(turns[w][i], mt.turn)
				fmt.Fprintf(os.Stderr, "   %-22s %-24s %10.2f/s %10.2f %v/%s\n",
					r.name, work, mt.turn.rate(), mt.turn.cost()/m.cpu.Seconds(), unitName(m.cpu), m.unit)
			}
		}
	}
	mem := make([]room, len(m.rivals))
	for i, r := range m.rivals {
		var err error
		if mem[i], err = memory(r.procs); err != nil {
			return "", err
		}
	}
	return m.table(turns) + "\n" + m.rooms(mem) + m.missing(), nil
}
