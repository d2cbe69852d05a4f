package peerbook

import (
	"context"
	"encoding/binary"
	"errors"
	"slices"
	"time"

	"pic/core/state"
)

// A Level is how finely a history is told.
type Level byte

// The levels. Each keeps its counts in chunks, so that a minute's work writes
// little.
const (
	Minutes Level = 'm' // of the last two days
	Hours   Level = 'h' // of the last 40 days
	Days    Level = 'd' // of the last two years, in UTC
)

// A span says how a level is kept.
type span struct {
	step  time.Duration
	slots int
	keep  time.Duration
}

func (l Level) span() span {
	const day = 24 * time.Hour
	switch l {
	case Minutes:
		return span{time.Minute, 60, 2 * day}
	case Hours:
		return span{time.Hour, 24, 40 * day}
	}
	return span{day, 32, 2 * 366 * day}
}

// chunk returns the beginning of the chunk that at is in, and its place there.
func (s span) chunk(at time.Time) (start int64, slot int) {
	step := int64(s.step / time.Second)
	n := at.Unix() / step
	return (n - n%int64(s.slots)) * step, int(n % int64(s.slots))
}

// A count is bytes from and to a device.
type count struct{ rx, tx uint64 }

func historyPrefix(key string) []byte { return []byte("h/" + key + "/") }

// chunkKey sorts by level, then time.
func chunkKey(key string, l Level, start int64) []byte {
	return binary.BigEndian.AppendUint64(append(historyPrefix(key), byte(l)), uint64(start))
}

var errChunk = errors.New("a count of traffic is damaged")

// encode writes the slots up to the last that counts.
func encode(slots []count) []byte {
	n := len(slots)
	for n > 0 && slots[n-1] == (count{}) {
		n--
	}
	var b []byte
	for _, c := range slots[:n] {
		b = binary.AppendUvarint(binary.AppendUvarint(b, c.rx), c.tx)
	}
	return b
}

// decode is the reverse; there are at most n slots, and then exactly n.
func decode(b []byte, n int) ([]count, error) {
	out := make([]count, n)
	for i := 0; len(b) > 0; i++ {
		if i == n {
			return nil, errChunk
		}
		for _, v := range []*uint64{&out[i].rx, &out[i].tx} {
			x, used := binary.Uvarint(b)
			if used <= 0 {
				return nil, errChunk
			}
			*v, b = x, b[used:]
		}
	}
	return out, nil
}

// count adds to the history of a key.
func (b *Book) count(w state.Writer, key string, at time.Time, c count) error {
	for _, l := range []Level{Minutes, Hours, Days} {
		s := l.span()
		start, slot := s.chunk(at)
		k := chunkKey(key, l, start)
		had := w.Get(k)
		slots, err := decode(had, s.slots)
		if err != nil {
			b.Log.Warn("a count of traffic is damaged and begins anew", "at", start)
			slots = make([]count, s.slots)
		}
		slots[slot].rx += c.rx
		slots[slot].tx += c.tx
		if err := w.Put(k, encode(slots)); err != nil {
			return err
		}
		if had != nil {
			continue
		}
		old, _ := s.chunk(at.Add(-s.keep))
		for k := range w.Scan(append(historyPrefix(key), byte(l)), nil) {
			if int64(binary.BigEndian.Uint64(k[len(k)-8:])) >= old {
				break
			}
			if err := w.Delete(slices.Clone(k)); err != nil {
				return err
			}
		}
	}
	return nil
}

// A Point is what a device carried from a moment on, for one step of the level.
type Point struct {
	Time   time.Time
	Rx, Tx uint64 // bytes from and to the device
}

// History returns what a device carried from since on, the oldest first, without
// the steps in which it carried nothing. What is counted at the moment is in it.
func (b *Book) History(key string, l Level, since time.Time) ([]Point, error) {
	s := l.span()
	b.mu.Lock()
	var now count
	at := b.minute
	if e := b.known[key]; e != nil {
		now = e.sum
	}
	b.mu.Unlock()

	var out []Point
	if since.Before(time.Unix(0, 0)) {
		since = time.Unix(0, 0)
	}
	first, _ := s.chunk(since)
	err := b.Space.View(func(r state.Reader) error {
		prefix := append(historyPrefix(key), byte(l))
		for k, v := range r.Scan(prefix, chunkKey(key, l, first)) {
			slots, err := decode(v, s.slots)
			if err != nil {
				continue
			}
			start := time.Unix(int64(binary.BigEndian.Uint64(k[len(k)-8:])), 0)
			for i, c := range slots {
				if t := start.Add(time.Duration(i) * s.step); c != (count{}) && !t.Add(s.step).Before(since) {
					out = append(out, Point{t.UTC(), c.rx, c.tx})
				}
			}
		}
		return nil
	})
	if err != nil || now == (count{}) {
		return out, err
	}
	start, slot := s.chunk(at)
	t := time.Unix(start, 0).Add(time.Duration(slot) * s.step).UTC()
	if n := len(out); n > 0 && out[n-1].Time.Equal(t) {
		out[n-1].Rx += now.rx
		out[n-1].Tx += now.tx
		return out, nil
	}
	return append(out, Point{t, now.rx, now.tx}), nil
}

// flush keeps what was counted and found out.
func (b *Book) flush(ctx context.Context, now time.Time) {
	b.mu.Lock()
	defer b.mu.Unlock()
	type page struct {
		record
		sum count
	}
	pages := map[string]page{}
	for key, e := range b.known {
		if e.dirty || e.sum != (count{}) {
			pages[key] = page{e.record, e.sum}
		}
	}
	at := b.minute
	b.minute = now.Truncate(time.Minute)
	if len(pages) == 0 {
		return
	}
	err := b.Space.Update(ctx, func(w state.Writer) error {
		for key, p := range pages {
			if err := put(w, recordKey(key), p.record); err != nil {
				return err
			}
			if p.sum == (count{}) {
				continue
			}
			if err := b.count(w, key, at, p.sum); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		b.Log.Warn("the traffic of peers is not kept", "err", err)
		return // it is tried again with the next minute
	}
	for key := range pages {
		e := b.known[key]
		e.dirty, e.sum = false, count{}
	}
}
