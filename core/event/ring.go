package event

import (
	"context"
	"strings"
	"sync"
	"time"
	"unicode/utf8"
)

// behind is how many new entries wait for a subscriber before it loses some.
const behind = 256

// A ring numbers entries, keeps the last of them and hands them to subscribers.
type ring[T any] struct {
	id func(*T) *int64

	mu   sync.Mutex
	next int64 // id of the next entry
	buf  []T   // grows up to size, then wraps
	size int
	head int // index of the oldest entry once buf is full
	subs map[chan T]struct{}
}

// newRing numbers from the microseconds of the clock: a process that appends
// less than a million entries per second all its life never comes to an id of
// its successor, and the ids stay below 2^53, where JavaScript counts exactly.
func newRing[T any](size int, id func(*T) *int64) *ring[T] {
	return &ring[T]{id: id, next: max(time.Now().UnixMicro(), 1), size: max(size, 1), subs: map[chan T]struct{}{}}
}

func (r *ring[T]) append(v T) T {
	r.mu.Lock()
	defer r.mu.Unlock()
	*r.id(&v) = r.next
	r.next++
	r.keep(v)
	for ch := range r.subs {
		select {
		case ch <- v:
		default:
		}
	}
	return v
}

func (r *ring[T]) keep(v T) {
	if len(r.buf) < r.size {
		r.buf = append(r.buf, v)
		return
	}
	r.buf[r.head] = v
	r.head = (r.head + 1) % r.size
}

func (r *ring[T]) restore(old []T) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, v := range old {
		r.keep(v)
		r.next = max(r.next, *r.id(&v)+1)
	}
}

// at returns the i-th entry from the oldest.
func (r *ring[T]) at(i int) *T { return &r.buf[(r.head+i)%len(r.buf)] }

// after returns up to n entries with ids above id. Ids grow along the ring, but
// not by one across a restore.
func (r *ring[T]) after(id int64, n int) []T {
	lo, hi := 0, len(r.buf)
	for lo < hi {
		mid := (lo + hi) / 2
		if *r.id(r.at(mid)) <= id {
			lo = mid + 1
		} else {
			hi = mid
		}
	}
	count := len(r.buf) - lo
	if n > 0 {
		count = min(count, n)
	}
	out := make([]T, 0, count)
	for i := range count {
		out = append(out, *r.at(lo + i))
	}
	return out
}

func (r *ring[T]) since(id int64, n int) []T {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.after(id, n)
}

func (r *ring[T]) last(n int) []T {
	r.mu.Lock()
	defer r.mu.Unlock()
	n = min(max(n, 0), len(r.buf))
	out := make([]T, 0, n)
	for i := len(r.buf) - n; i < len(r.buf); i++ {
		out = append(out, *r.at(i))
	}
	return out
}

func (r *ring[T]) lastID() int64 {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.next - 1
}

func (r *ring[T]) subscribe(ctx context.Context, since int64) <-chan T {
	r.mu.Lock()
	defer r.mu.Unlock()
	backlog := r.after(since, 0)
	ch := make(chan T, len(backlog)+behind)
	for _, v := range backlog {
		ch <- v
	}
	r.subs[ch] = struct{}{}
	context.AfterFunc(ctx, func() {
		r.mu.Lock()
		defer r.mu.Unlock()
		delete(r.subs, ch)
		close(ch)
	})
	return ch
}

// cut bounds s to n bytes of valid UTF-8.
func cut(s string, n int) string {
	if len(s) > n {
		n -= len("…")
		for n > 0 && !utf8.RuneStart(s[n]) {
			n--
		}
		s = strings.Clone(s[:n]) + "…"
	}
	return strings.ToValidUTF8(s, "\uFFFD")
}
