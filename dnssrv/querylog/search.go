package querylog

import (
	"context"
	"errors"
	"io/fs"
	"net/netip"
	"slices"
	"strings"
	"time"
)

const (
	// MaxLimit is the most records of one page.
	MaxLimit = 1000
	// longest is how long a page may take; what was found by then is returned.
	longest = 2 * time.Second
)

// A Query says which records are wanted. What is zero does not matter.
type Query struct {
	// Client is one of these addresses or networks, or has this name of a device.
	Clients []netip.Prefix
	Device  string

	Name     string // a part of the name, in any case
	Verdicts []Verdict
	Types    []uint16

	Since, Until time.Time
	Before       uint64 // ids below it, to go on after a page
	Limit        int    // at most MaxLimit; default: 100
}

// A Page is what was found.
type Page struct {
	Records []Record // the newest first
	// Next is Query.Before of the page after it; 0: that was all. A page may have
	// fewer records than the limit, or none, and yet not be the last.
	Next uint64
}

// Search finds records. Its errors are those of ctx and of the disk, and
// [ErrClosed].
func (l *Log) Search(ctx context.Context, q Query) (Page, error) {
	select {
	case l.seats <- struct{}{}:
		defer func() { <-l.seats }()
	case <-ctx.Done():
		return Page{}, ctx.Err()
	}
	if err := l.sync(ctx.Done()); err != nil {
		return Page{}, err
	}
	if q.Limit <= 0 {
		q.Limit = 100
	}
	q.Limit = min(q.Limit, MaxLimit)
	q.Name = strings.ToLower(strings.TrimSuffix(q.Name, "."))
	if old := time.Now().Add(-l.config().Keep); q.Since.Before(old) {
		q.Since = old // a segment may have older ones still
	}
	var p Page
	start := time.Now()
	segments := l.disk.list()
	for i, s := range slices.Backward(segments) {
		if err := ctx.Err(); err != nil {
			return Page{}, err
		}
		if q.Before != 0 && s.first >= q.Before || !s.within(&q) {
			continue
		}
		b, err := read(&s)
		if errors.Is(err, fs.ErrNotExist) {
			continue // it was too old
		} else if err != nil {
			return Page{}, err
		}
		found := q.find(b, q.Limit+1-len(p.Records))
		slices.Reverse(found)
		p.Records = append(p.Records, found...)
		switch {
		case len(p.Records) > q.Limit:
			p.Records = p.Records[:q.Limit]
			p.Next = p.Records[q.Limit-1].ID
			return p, nil
		case time.Since(start) > longest && i > 0:
			p.Next = s.first
			return p, nil
		}
	}
	return p, nil
}

// slack is how far the times of records may lie beside those of their segment.
const slack = time.Minute

func (s *segment) within(q *Query) bool {
	return (s.end.IsZero() || !s.end.Add(slack).Before(q.Since)) &&
		(q.Until.IsZero() || !s.start.Add(-slack).After(q.Until))
}

// find returns the last n matching records of a segment, in their order. A frame
// that is damaged is left out.
func (q *Query) find(b []byte, n int) []Record {
	var found []Record
	for d := range frames(b) {
		if q.Before != 0 && d.first >= q.Before {
			break
		}
		found = q.pick(d, found)
		if len(found) > 2*n {
			found = append(found[:0], found[len(found)-n:]...)
		}
	}
	return found[max(0, len(found)-n):]
}

// pick appends the records of a frame that match. The tables are judged first:
// most frames need no more.
func (q *Query) pick(d *decoded, found []Record) []Record {
	told, any := make([]bool, len(d.told)), false
	for i := range d.told {
		told[i] = q.wantsTold(&d.told[i])
		any = any || told[i]
	}
	if !any {
		return found
	}
	clients := make([]bool, len(d.clients))
	for i := range d.clients {
		clients[i] = q.wantsClient(&d.clients[i])
	}
	since, until := q.Since.UnixMilli(), q.Until.UnixMilli()
	r := d.records
	for i := range d.n {
		x := d.record(&r)
		id := d.first + uint64(i)
		if told[x.told] && clients[x.client] && x.at >= since && (q.Until.IsZero() || x.at <= until) && (q.Before == 0 || id < q.Before) {
			found = append(found, d.whole(id, x))
		}
	}
	return found
}

func (q *Query) wantsTold(t *Told) bool {
	return (len(q.Verdicts) == 0 || slices.Contains(q.Verdicts, t.Verdict)) &&
		(len(q.Types) == 0 || slices.Contains(q.Types, t.Type)) &&
		(q.Name == "" || strings.Contains(strings.ToLower(t.Name), q.Name))
}

func (q *Query) wantsClient(c *client) bool {
	if len(q.Clients) == 0 && q.Device == "" {
		return true
	}
	if q.Device != "" && strings.EqualFold(q.Device, c.device) {
		return true
	}
	// A network that an anonymous log kept is found by an address within it.
	return slices.ContainsFunc(q.Clients, func(p netip.Prefix) bool { return c.net.IsValid() && p.Overlaps(c.net) })
}
