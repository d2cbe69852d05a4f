package traffic

import (
	"encoding/json"
	"fmt"
	"slices"
	"time"

	"pic/internal/order"
)

// A Step is the length of the buckets of a series.
type Step string

const (
	Minute Step = "minute"
	Hour   Step = "hour"
	Day    Step = "day"
)

// steps and how many buckets of each are kept.
var steps = map[Step]int{Minute: 180, Hour: 8 * 24, Day: 400}

// mostDevices bounds the memory: some 10 MB if all of them talk all the time.
const mostDevices = 512

// A Bucket is what was sent and received within a step from At on.
type Bucket struct {
	At time.Time
	Bytes
}

// start is where the bucket of a time begins. Days are those of the household.
func (s Step) start(t time.Time) time.Time {
	switch s {
	case Minute:
		return t.Truncate(time.Minute)
	case Hour:
		return t.Truncate(time.Hour)
	}
	y, m, d := t.Date()
	return time.Date(y, m, d, 0, 0, 0, 0, t.Location())
}

// A device is the history of one ID: buckets by time, oldest first.
type device struct {
	buckets map[Step][]Bucket
	seen    time.Time     // when it last sent or received
	dirty   map[Step]bool // the last bucket is not on disk as it is
}

// A history is all that is known, without clock and disk.
type history struct {
	devices map[ID]*device
}

func newHistory() *history { return &history{map[ID]*device{}} }

// add counts b for id at a time that is not before any other.
func (h *history) add(now time.Time, id ID, b Bytes) {
	d := h.device(id)
	d.seen = now
	for step := range steps {
		at := step.start(now)
		list := d.buckets[step]
		if n := len(list); n > 0 && !at.After(list[n-1].At) { // also if the clock went back
			list[n-1].Bytes = list[n-1].plus(b)
		} else {
			d.put(step, Bucket{at, b})
		}
		d.dirty[step] = true
	}
}

// device returns that of an ID. To make room for a new one, the one that was
// silent for longest goes.
func (h *history) device(id ID) *device {
	if d := h.devices[id]; d != nil {
		return d
	}
	if len(h.devices) >= mostDevices {
		var oldest ID
		for o, d := range h.devices {
			if e := h.devices[oldest]; o.Kind != WAN && (e == nil || d.seen.Before(e.seen)) {
				oldest = o
			}
		}
		delete(h.devices, oldest)
	}
	d := &device{buckets: map[Step][]Bucket{}, dirty: map[Step]bool{}}
	h.devices[id] = d
	return d
}

// put sets a bucket, whatever was in it, and drops those that are too many.
func (d *device) put(step Step, b Bucket) {
	list := d.buckets[step]
	i, found := slices.BinarySearchFunc(list, b.At, func(o Bucket, at time.Time) int { return o.At.Compare(at) })
	if found {
		list[i] = b
	} else {
		list = slices.Insert(list, i, b)
	}
	if over := len(list) - steps[step]; over > 0 {
		list = slices.Delete(list, 0, over)
	}
	d.buckets[step] = list
}

// An entry is one bucket of the journal. Entries are states, not differences, so
// that one that comes twice does no harm.
type entry struct {
	ID
	Step     Step   `json:"p"`
	At       int64  `json:"t"`
	Sent     uint64 `json:"s,omitempty"`
	Received uint64 `json:"r,omitempty"`
}

// changes are the entries that are not on disk, nil for none.
func (h *history) changes() ([]byte, error) {
	var all []entry
	for id, d := range h.devices {
		for step := range d.dirty {
			// The bucket before the last may have grown since, too.
			list := d.buckets[step]
			for _, b := range list[max(0, len(list)-2):] {
				all = append(all, entry{id, step, b.At.Unix(), b.Sent, b.Received})
			}
		}
		clear(d.dirty)
	}
	if len(all) == 0 {
		return nil, nil
	}
	return json.Marshal(all)
}

// dump writes everything.
func (h *history) dump(emit func([]byte) error) error {
	for id, d := range h.devices {
		var all []entry
		for step, list := range d.buckets {
			for _, b := range list {
				all = append(all, entry{id, step, b.At.Unix(), b.Sent, b.Received})
			}
		}
		b, err := json.Marshal(all)
		if err != nil {
			return err
		}
		if err := emit(b); err != nil {
			return err
		}
	}
	return nil
}

// replay takes up a record of the journal.
func (h *history) replay(rec []byte) error {
	var all []entry
	if err := json.Unmarshal(rec, &all); err != nil {
		return fmt.Errorf("a record of traffic: %w", err)
	}
	for _, e := range all {
		if steps[e.Step] == 0 {
			continue // of a later version
		}
		d := h.device(e.ID)
		at := time.Unix(e.At, 0)
		d.put(e.Step, Bucket{at, Bytes{e.Sent, e.Received}})
		if at.After(d.seen) {
			d.seen = at
		}
	}
	return nil
}

// A Series is what is known of one ID for some time.
type Series struct {
	ID
	Total   Bytes
	Rate    Bytes // a second, just now
	Buckets []Bucket
}

// Since returns what everybody sent and received since a time, most first, in
// steps that fit the length.
func (s *Server) Since(from time.Time) (Step, []Series) {
	s.mu.Lock()
	defer s.mu.Unlock()
	step := Day
	switch ago := time.Since(from); {
	case ago <= 3*time.Hour:
		step = Minute
	case ago <= 8*24*time.Hour:
		step = Hour
	}
	var out []Series
	if s.hist == nil {
		return step, nil
	}
	from = step.start(from)
	for id, d := range s.hist.devices {
		e := Series{ID: id, Rate: s.rates[id]}
		for _, b := range d.buckets[step] {
			if !b.At.Before(from) {
				e.Total = e.Total.plus(b.Bytes)
				e.Buckets = append(e.Buckets, b)
			}
		}
		if len(e.Buckets) > 0 {
			out = append(out, e)
		}
	}
	order.By(out, func(a, b Series) int {
		x, y := a.Total.Sent+a.Total.Received, b.Total.Sent+b.Total.Received
		switch {
		case x > y:
			return -1
		case x < y:
			return 1
		case a.ID.Kind+Kind(a.ID.Name) < b.ID.Kind+Kind(b.ID.Name):
			return -1
		}
		return 1
	})
	return step, out
}
