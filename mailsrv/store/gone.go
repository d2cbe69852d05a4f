package store

import (
	"cmp"

	"pic/internal/order"
)

// maxGone is how many ranges of UIDs of messages that left a mailbox are known,
// at least; when there are twice as many, the older half is forgotten.
const maxGone = 4096

// gone are messages that left a mailbox together.
type gone struct {
	span
	seq uint64
}

// left notes that a message left, with those of the same frame in the order of
// their UIDs.
func (b *box) left(uid uint32, seq uint64) {
	if n := len(b.gone); n > 0 && b.gone[n-1].seq == seq && b.gone[n-1].to+1 == uid {
		b.gone[n-1].to = uid
		return
	}
	if len(b.gone) >= 2*maxGone {
		b.forgot = b.gone[maxGone-1].seq
		b.gone = append(make([]gone, 0, maxGone+1), b.gone[maxGone:]...)
	}
	b.gone = append(b.gone, gone{span{uid, uid}, seq})
}

// A Range is UIDs from one to another, both of them included.
type Range struct{ From, To uint32 }

// Vanished returns the UIDs of messages that left a mailbox after the
// modification sequence since, ascending (RFC 7162 §3.2). The last 4096 ranges of
// those that left together are remembered, as far as the log goes back. Where
// that does not reach back to since, all UIDs are returned that were given out
// and have no message now: more than is needed, and never less.
func (a *Account) Vanished(box uint32, since uint64) ([]Range, error) {
	a.mu.RLock()
	defer a.mu.RUnlock()
	b := a.st.boxes[box]
	if b == nil {
		return nil, ErrNoMailbox
	}
	if since < b.forgot {
		return b.holes(), nil
	}
	var out []Range
	for i := len(b.gone) - 1; i >= 0 && b.gone[i].seq > since; i-- {
		out = append(out, Range{b.gone[i].from, b.gone[i].to})
	}
	order.By(out, func(a, b Range) int { return cmp.Compare(a.From, b.From) })
	return out, nil
}

// holes are the UIDs below the next one that no message has.
func (b *box) holes() []Range {
	var out []Range
	from := uint32(1)
	for i := range b.rows {
		if u := b.rows[i].UID; u > from {
			out = append(out, Range{from, u - 1})
		}
		from = b.rows[i].UID + 1
	}
	if b.next > from {
		out = append(out, Range{from, b.next - 1})
	}
	return out
}
