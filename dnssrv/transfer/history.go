package transfer

import "slices"

// Bounds of a [History].
const (
	maxVersions = 100
	maxHistory  = 1 << 20 // bytes of records
)

// A Content is one version of a zone. It never changes.
type Content struct {
	SOA     string
	Records []string // all but the SOA, sorted, none twice
}

// NewContent makes a content of a SOA and other records in any order. It takes
// records over.
func NewContent(soa string, records []string) *Content {
	slices.Sort(records)
	return &Content{soa, slices.Compact(records)}
}

// Serial returns the version's serial.
func (c *Content) Serial() uint32 { return serialOf(c.SOA) }

// Size returns how many bytes the records have.
func (c *Content) Size() int { return size(c.Records) + len(c.SOA) }

func size(records []string) int {
	n := 0
	for _, r := range records {
		n += len(r)
	}
	return n
}

// A Delta leads from one version of a zone to a later one.
type Delta struct {
	From, To       string // SOA records
	Removed, Added []string
}

func (d *Delta) size() int { return len(d.From) + len(d.To) + size(d.Removed) + size(d.Added) }

// Diff returns what leads from the version old to c.
func (c *Content) Diff(old *Content) Delta {
	d := Delta{From: old.SOA, To: c.SOA}
	a, b := old.Records, c.Records
	for len(a) > 0 || len(b) > 0 {
		switch {
		case len(b) == 0 || len(a) > 0 && a[0] < b[0]:
			d.Removed = append(d.Removed, a[0])
			a = a[1:]
		case len(a) == 0 || b[0] < a[0]:
			d.Added = append(d.Added, b[0])
			b = b[1:]
		default:
			a, b = a[1:], b[1:]
		}
	}
	return d
}

// Apply returns the version that d leads to from c. The error says that d does
// not fit c.
func (c *Content) Apply(d Delta) (*Content, error) {
	if serialOf(d.From) != c.Serial() {
		return nil, errDelta
	}
	gone := make(map[string]bool, len(d.Removed))
	for _, r := range d.Removed {
		gone[r] = true
	}
	out := make([]string, 0, len(c.Records)+len(d.Added))
	for _, r := range c.Records {
		if gone[r] {
			delete(gone, r)
			continue
		}
		out = append(out, r)
	}
	if len(gone) > 0 {
		return nil, errDelta
	}
	return NewContent(d.To, append(out, d.Added...)), nil
}

// A History remembers the last versions of a zone as their differences, at most
// 100 and 1 MiB of them. The zero History is empty.
type History struct {
	deltas []Delta
	bytes  int
}

// Add takes in the step to a new version. A step that does not follow the last
// one makes the history begin anew.
func (h *History) Add(d Delta) {
	if n := len(h.deltas); n > 0 && serialOf(h.deltas[n-1].To) != serialOf(d.From) {
		*h = History{}
	}
	deltas := append(slices.Clone(h.deltas), d) // copies of h may be in use
	h.bytes += d.size()
	for len(deltas) > maxVersions || h.bytes > maxHistory && len(deltas) > 0 {
		h.bytes -= deltas[0].size()
		deltas = deltas[1:]
	}
	h.deltas = deltas
}

// Since returns the steps from the version serial to the newest; ok is false
// where they are not known.
func (h *History) Since(serial uint32) (steps []Delta, ok bool) {
	for i := range h.deltas {
		if serialOf(h.deltas[i].From) == serial {
			return slices.Clone(h.deltas[i:]), true
		}
	}
	return nil, false
}
