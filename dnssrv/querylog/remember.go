package querylog

import (
	"encoding/json"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"pic/internal/atomicfile"
)

// countsFile is where the counts are kept between two lives of the process. What
// came after it was written is counted again from the segments.
const countsFile = "counts.json"

type counts struct {
	Next   uint64 // id of the first record that is not counted
	Hours  []*period
	Days   []*period
	Points []Point // those that are not empty
}

// remember saves the counts; what was built must have been written before.
func (l *Log) remember(now time.Time) {
	if l.disk.dir == "" {
		return
	}
	s := &l.stats
	s.mu.Lock()
	c := counts{Next: l.disk.next, Hours: s.hours.periods, Days: s.days.periods}
	for _, p := range s.points {
		if p.Queries > 0 && now.Sub(p.Time) < steps*step {
			c.Points = append(c.Points, p)
		}
	}
	b, err := json.Marshal(c)
	s.mu.Unlock()
	if err == nil {
		if err = os.MkdirAll(l.disk.dir, 0o700); err == nil {
			err = atomicfile.Write(l.disk.fs, filepath.Join(l.disk.dir, countsFile), b, 0o600)
		}
	}
	if err != nil {
		l.log.Warn("saving the counts of queries", "err", err)
	}
}

// recall takes up the counts again.
func (l *Log) recall(now time.Time) {
	s := &l.stats
	s.reset()
	if l.disk.dir == "" {
		return
	}
	var c counts
	b, err := os.ReadFile(filepath.Join(l.disk.dir, countsFile))
	if err == nil {
		err = json.Unmarshal(b, &c)
	}
	if err != nil {
		if !errors.Is(err, fs.ErrNotExist) {
			l.log.Warn("reading the counts of queries; they begin anew", "err", err)
		}
		c = counts{}
	}
	l.disk.next = max(l.disk.next, c.Next)
	s.mu.Lock()
	s.hours.periods, s.days.periods = sound(c.Hours), sound(c.Days)
	for _, p := range c.Points {
		*s.point(p.Time) = Point{p.Time.Truncate(step), p.Queries, p.Blocked}
	}
	s.mu.Unlock()
	segments := l.disk.list()
	for i := range segments {
		counted := i+1 < len(segments) && segments[i+1].first <= c.Next
		if !counted && segments[i].end.After(now.Add(-steps*step)) {
			s.recount(&segments[i], c.Next)
		}
	}
}

// sound leaves out what no version of this package wrote.
func sound(all []*period) []*period {
	var out []*period
	for _, p := range all {
		if p == nil || p.Start.IsZero() {
			continue
		}
		for _, s := range []*sketch{&p.Clients, &p.Names, &p.Blocked, &p.Lists, &p.Upstreams} {
			if *s == nil {
				*s = sketch{}
			}
		}
		out = append(out, p)
	}
	return out
}

// recount counts the records of a segment from the id next on.
func (s *stats) recount(seg *segment, next uint64) {
	b, err := read(seg)
	if err != nil {
		return // a search says so
	}
	var batch []Entry
	for d := range frames(b) {
		if d.first < next {
			continue // a frame is counted as a whole
		}
		var t tally
		t.of(d)
		batch = batch[:0]
		r := d.records
		for range d.n {
			x := d.record(&r)
			t.toldN[x.told]++
			t.whoN[x.client]++
			batch = append(batch, Entry{Told: &d.told[x.told], Took: x.took})
		}
		at := time.UnixMilli(d.time)
		s.count(batch, at)
		s.rank(&t, at)
	}
}
