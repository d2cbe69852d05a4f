package event

import (
	"context"
	"fmt"
	"log/slog"
	"sync/atomic"
	"time"
)

// A Line is one line of the log. The attribute "unit" stands in Unit, not among
// Attrs; the keys of attributes within groups are joined by dots.
type Line struct {
	ID    int64             `json:"id"` // grows; unique over restarts
	Time  time.Time         `json:"time"`
	Level slog.Level        `json:"level"` // as text: INFO
	Unit  string            `json:"unit,omitempty"`
	Msg   string            `json:"msg"`
	Attrs map[string]string `json:"attrs,omitempty"`
}

// Lines keeps the last log lines in memory. Its methods are safe for concurrent
// use and never wait for a subscriber.
type Lines struct {
	r     *ring[Line]
	level atomic.Int64
}

// NewLines keeps the last size lines of level Info and above.
func NewLines(size int) *Lines {
	return &Lines{r: newRing(size, func(l *Line) *int64 { return &l.ID })}
}

// SetLevel keeps lines of that level and above from now on.
func (l *Lines) SetLevel(level slog.Level) { l.level.Store(int64(level)) }

// Since returns the first n lines after the one with that id, oldest first; all
// of them if n is not positive. Id 0 begins with the oldest kept.
func (l *Lines) Since(id int64, n int) []Line { return l.r.since(id, n) }

// Last returns the last n lines, oldest first.
func (l *Lines) Last(n int) []Line { return l.r.last(n) }

// LastID returns the id of the last line, or one that is lower than that of any
// line to come.
func (l *Lines) LastID() int64 { return l.r.lastID() }

// Subscribe delivers the lines after the one with the id since, first those
// kept, then new ones, until ctx is done; then it closes the channel. A
// subscriber that falls more than 256 lines behind loses lines.
func (l *Lines) Subscribe(ctx context.Context, since int64) <-chan Line {
	return l.r.subscribe(ctx, since)
}

// Handler returns a handler that keeps each record and passes it on to next,
// which may be nil. Values are resolved first, so that what hides behind a
// [slog.LogValuer] stays hidden.
func (l *Lines) Handler(next slog.Handler) slog.Handler { return &handler{lines: l, next: next} }

type handler struct {
	lines *Lines
	next  slog.Handler // nil: there is none

	unit   string
	attrs  []pair // given by WithAttrs, keys with their groups
	prefix string // the open groups, each with a dot
}

type pair struct{ key, value string }

func (h *handler) keeps(level slog.Level) bool { return int64(level) >= h.lines.level.Load() }

func (h *handler) Enabled(ctx context.Context, level slog.Level) bool {
	return h.keeps(level) || h.next != nil && h.next.Enabled(ctx, level)
}

func (h *handler) Handle(ctx context.Context, rec slog.Record) error {
	if h.keeps(rec.Level) {
		line := Line{Time: rec.Time, Level: rec.Level, Unit: h.unit, Msg: cut(rec.Message, maxText)}
		c := collector{unit: &line.Unit, attrs: h.attrs[:len(h.attrs):len(h.attrs)]}
		rec.Attrs(func(a slog.Attr) bool {
			c.add(h.prefix, a)
			return true
		})
		if len(c.attrs) > 0 {
			line.Attrs = make(map[string]string, len(c.attrs))
			for _, p := range c.attrs {
				line.Attrs[p.key] = p.value
			}
		}
		h.lines.r.append(line)
	}
	if h.next == nil || !h.next.Enabled(ctx, rec.Level) {
		return nil
	}
	return h.next.Handle(ctx, rec)
}

func (h *handler) WithAttrs(attrs []slog.Attr) slog.Handler {
	if len(attrs) == 0 {
		return h
	}
	n := *h
	c := collector{unit: &n.unit, attrs: h.attrs[:len(h.attrs):len(h.attrs)]}
	for _, a := range attrs {
		c.add(h.prefix, a)
	}
	n.attrs = c.attrs
	if h.next != nil {
		n.next = h.next.WithAttrs(attrs)
	}
	return &n
}

func (h *handler) WithGroup(name string) slog.Handler {
	if name == "" {
		return h
	}
	n := *h
	n.prefix = cut(h.prefix+name, maxWord-1) + "."
	if h.next != nil {
		n.next = h.next.WithGroup(name)
	}
	return &n
}

// A collector flattens attributes.
type collector struct {
	unit  *string
	attrs []pair
}

func (c *collector) add(prefix string, a slog.Attr) {
	v := a.Value.Resolve()
	if v.Kind() == slog.KindGroup {
		if a.Key != "" {
			prefix = cut(prefix+a.Key, maxWord-1) + "."
		}
		for _, inner := range v.Group() {
			c.add(prefix, inner)
		}
		return
	}
	if a.Key == "" {
		return // as every handler must; see slog.Handler
	}
	if prefix == "" && a.Key == "unit" {
		*c.unit = cut(text(v), maxWord)
		return
	}
	if len(c.attrs) < maxAttrs {
		c.attrs = append(c.attrs, pair{cut(prefix+a.Key, maxWord), cut(text(v), maxValue)})
	}
}

// text writes a value for a person. A value that panics must not take the
// caller of the logger down.
func text(v slog.Value) (s string) {
	defer func() {
		if p := recover(); p != nil {
			s = fmt.Sprintf("!panic: %v", p)
		}
	}()
	switch v.Kind() {
	case slog.KindTime:
		return v.Time().Format(time.RFC3339)
	case slog.KindAny:
		switch a := v.Any().(type) {
		case error:
			return a.Error()
		case fmt.Stringer:
			return a.String()
		case []byte:
			return fmt.Sprintf("%d bytes", len(a)) // could be anything, even a key
		default:
			return fmt.Sprint(a)
		}
	}
	return v.String()
}
