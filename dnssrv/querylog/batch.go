package querylog

import (
	"cmp"
	"slices"
	"time"
)

const (
	turn     = 200 * time.Millisecond // how often the rings are looked at while entries come
	latest   = time.Second            // until what came is written
	sortable = 4096                   // entries of one turn that are put in order of time
)

// run takes entries off the rings until stop is closed.
func (l *Log) run(stop, ended chan struct{}) {
	defer close(ended)
	if err := l.disk.open(); err != nil {
		l.disk.outcome(err)
	}
	l.recall(time.Now())
	l.prune(time.Now())
	l.build.reset(l.disk.next, time.Now().UnixMilli(), l.config().Anonymise)
	began := time.Now() // of the frame
	pruned := began
	timer := time.NewTimer(turn)
	defer timer.Stop()
	for {
		var ask chan struct{}
		select {
		case <-stop:
			l.drain(time.Now())
			l.flush(time.Now())
			l.finish(time.Now())
			return
		case ask = <-l.asks:
		case <-l.wake:
		case <-timer.C:
		}
		l.asleep.Store(false)
		now := time.Now()
		got := l.drain(now)
		if l.build.n == 0 {
			began = now
		}
		if l.build.full() || ask != nil || now.Sub(began) >= latest || now.Before(began) {
			l.flush(now)
			began = now
		}
		if now.Sub(pruned) >= 10*time.Minute || !hour(now).Equal(hour(pruned)) {
			l.prune(now)
			if !hour(now).Equal(hour(pruned)) {
				l.flush(now)
				l.remember(now)
			}
			pruned = now
		}
		if ask != nil {
			close(ask)
		}
		if got == 0 && l.build.n == 0 {
			// Who adds from here on sees that we sleep, or we see what they added.
			l.asleep.Store(true)
			if l.empty() {
				timer.Reset(time.Minute) // for what time alone demands
				continue
			}
			l.asleep.Store(false)
		}
		timer.Reset(turn)
	}
}

func (l *Log) config() Config { return *l.conf.Load() }

func (l *Log) empty() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return !slices.ContainsFunc(l.rings, func(r *Ring) bool { return !r.empty() })
}

// drain takes all that waits into frames, and reports how many there were.
func (l *Log) drain(now time.Time) int {
	l.batch = l.batch[:0]
	l.mu.Lock()
	l.rings = slices.DeleteFunc(l.rings, func(r *Ring) bool {
		over := r.closed.Load() // before take: nothing comes after
		l.batch = r.take(l.batch)
		if over {
			l.dropped.Add(r.dropped.Load())
		}
		return over
	})
	subs := len(l.subs) > 0
	l.mu.Unlock()
	us := now.UnixMicro()
	for i := range l.batch {
		if l.batch[i].Time == 0 {
			l.batch[i].Time = us
		}
	}
	if len(l.batch) <= sortable {
		slices.SortStableFunc(l.batch, func(a, b Entry) int { return cmp.Compare(a.Time, b.Time) })
	}
	c := l.config()
	if c.Anonymise != l.build.anonymous {
		l.flush(now)
	}
	l.stats.count(l.batch, now)
	for i := range l.batch {
		e := &l.batch[i]
		if e.Unlogged || !c.Enabled || e.Told == nil {
			continue
		}
		if l.build.full() {
			l.flush(now)
		}
		id := l.build.first + uint64(l.build.n)
		l.build.add(e)
		if subs {
			l.tell(l.record(id, e, c))
		}
	}
	n := len(l.batch)
	clear(l.batch) // of pointers
	return n
}

// record is what search will find of an entry.
func (l *Log) record(id uint64, e *Entry, c Config) Record {
	a := e.Client.Unmap()
	r := Record{ID: id, Time: time.UnixMilli(e.Time / 1000), Device: e.Device, Proto: e.Proto, Took: e.Took, Told: *e.Told}
	if r.Client, _ = a.Prefix(a.BitLen()); c.Anonymise {
		r.Client, r.Device = mask(a), ""
	}
	return r
}

func (l *Log) tell(r Record) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for c := range l.subs {
		select {
		case c <- r:
		default:
		}
	}
}

// flush writes the frame that was built, and begins another.
func (l *Log) flush(now time.Time) {
	b, c := &l.build, l.config()
	if b.n > 0 {
		l.stats.rank(&b.tally, now)
		err := l.disk.write(l.frame(), b.first, now, c)
		if err != nil {
			l.dropped.Add(uint64(b.n))
		}
		l.disk.outcome(err)
		l.disk.next = b.first + uint64(b.n)
	}
	b.reset(l.disk.next, now.UnixMilli(), c.Anonymise)
}

// frame returns what was built, in memory that is used again.
func (l *Log) frame() []byte {
	l.out = l.build.frame(l.out)
	return l.out
}

// prune deletes what the Config does not keep, also where nobody asks any more and
// nothing else would end the last segment. The Config before the first Apply says
// nothing about that.
func (l *Log) prune(now time.Time) {
	if l.config() == (Config{}) {
		return
	}
	if l.disk.file != nil && !hour(now).Equal(hour(l.disk.last().start)) {
		l.disk.seal(now)
	}
	l.stats.forget(now.Add(-l.config().Keep))
	if err := l.disk.prune(now, l.config()); err != nil {
		l.log.Warn("deleting old parts of the query log", "err", err)
	}
}

// finish leaves all as the next Open wants it.
func (l *Log) finish(now time.Time) {
	l.disk.seal(now)
	l.remember(now)
}

// sync makes the batcher take and write all that was added before.
func (l *Log) sync(stop <-chan struct{}) error {
	l.mu.Lock()
	ended := l.ended
	l.mu.Unlock()
	if ended == nil {
		return ErrClosed
	}
	ask := make(chan struct{})
	select {
	case l.asks <- ask:
	case <-ended:
		return ErrClosed
	case <-stop:
		return nil // the caller's context has the reason
	}
	<-ask
	return nil
}
