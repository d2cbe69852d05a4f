package event_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"strings"
	"testing"
	"testing/slogtest"
	"time"

	"pic/core/event"
)

type hidden string

func (hidden) LogValue() slog.Value { return slog.StringValue("[secret]") }

func TestLinesFlattenAttributes(t *testing.T) {
	for name, tt := range map[string]struct {
		log   func(*slog.Logger)
		unit  string
		attrs map[string]string
	}{
		"plain":            {func(l *slog.Logger) { l.Info("m", "n", 7, "err", errors.New("no")) }, "", map[string]string{"n": "7", "err": "no"}},
		"unit of a logger": {func(l *slog.Logger) { l.With("unit", "dns").Info("m", "a", 1) }, "dns", map[string]string{"a": "1"}},
		"unit of a record": {func(l *slog.Logger) { l.With("unit", "dns").Info("m", "unit", "dhcp") }, "dhcp", nil},
		"with":             {func(l *slog.Logger) { l.With("a", 1).With("b", 2).Info("m", "c", 3) }, "", map[string]string{"a": "1", "b": "2", "c": "3"}},
		"groups": {func(l *slog.Logger) {
			l.With("a", 1).WithGroup("g").With("b", 2).WithGroup("h").Info("m", "c", 3, slog.Group("i", "d", 4))
		}, "", map[string]string{"a": "1", "g.b": "2", "g.h.c": "3", "g.h.i.d": "4"}},
		"unit in a group": {func(l *slog.Logger) { l.WithGroup("g").Info("m", "unit", "x") }, "", map[string]string{"g.unit": "x"}},
		"inlined group":   {func(l *slog.Logger) { l.Info("m", slog.Group("", "a", 1)) }, "", map[string]string{"a": "1"}},
		"secret":          {func(l *slog.Logger) { l.With("k", hidden("pw")).Info("m", "l", hidden("pw")) }, "", map[string]string{"k": "[secret]", "l": "[secret]"}},
		"bytes":           {func(l *slog.Logger) { l.Info("m", "k", []byte("pw")) }, "", map[string]string{"k": "2 bytes"}},
		"duration, time": {func(l *slog.Logger) {
			l.Info("m", "d", time.Second, "t", time.Unix(0, 0).UTC())
		}, "", map[string]string{"d": "1s", "t": "1970-01-01T00:00:00Z"}},
		"nil": {func(l *slog.Logger) { l.Info("m", "x", nil) }, "", map[string]string{"x": "<nil>"}},
	} {
		lines := event.NewLines(10)
		tt.log(slog.New(lines.Handler(nil)))
		got := lines.Since(0, 0)
		if len(got) != 1 || got[0].Msg != "m" || got[0].Unit != tt.unit || !maps.Equal(got[0].Attrs, tt.attrs) {
			t.Errorf("%s: got %+v, want unit %q, attrs %v", name, got, tt.unit, tt.attrs)
		}
	}
}

// Siblings of one logger must not write into each other's attributes.
func TestSiblingLoggersDoNotShare(t *testing.T) {
	lines := event.NewLines(10)
	base := slog.New(lines.Handler(nil)).With("a", 1).With("b", 2).With("c", 3)
	x, y := base.With("x", 1), base.With("y", 1)
	x.Info("x", "more", 1)
	y.Info("y", "other", 1)
	for _, l := range lines.Since(0, 0) {
		other := map[string]string{"x": "y", "y": "x"}[l.Msg]
		if _, ok := l.Attrs[other]; ok || len(l.Attrs) != 5 {
			t.Errorf("%s: %v", l.Msg, l.Attrs)
		}
	}
}

func TestLinesPassOnWhatNextWants(t *testing.T) {
	var out bytes.Buffer
	next := slog.NewTextHandler(&out, &slog.HandlerOptions{Level: slog.LevelWarn})
	lines := event.NewLines(10)
	log := slog.New(lines.Handler(next)).With("unit", "dns").WithGroup("g")
	log.Debug("d")
	log.Info("i", "k", hidden("pw"))
	log.Warn("w", "k", hidden("pw"))
	if got := lines.Since(0, 0); len(got) != 2 || got[0].Msg != "i" || got[1].Level != slog.LevelWarn {
		t.Errorf("kept %+v", got)
	}
	if s := out.String(); strings.Count(s, "\n") != 1 || !strings.Contains(s, "msg=w unit=dns g.k=[secret]") {
		t.Errorf("passed on %q", s)
	}
	lines.SetLevel(slog.LevelDebug)
	log.Debug("d")
	if got := lines.Last(1); got[0].Msg != "d" {
		t.Errorf("level debug, kept %+v", got)
	}
}

type nasty struct{}

func (nasty) String() string { panic("boom") }

func TestPanickingValueHarmsNobody(t *testing.T) {
	lines := event.NewLines(10)
	var nilErr *json.SyntaxError
	slog.New(lines.Handler(nil)).Info("m", "a", nasty{}, "b", error(nilErr), "c", 1)
	got := lines.Last(1)[0].Attrs
	if !strings.Contains(got["a"], "boom") || !strings.Contains(got["b"], "nil pointer") || got["c"] != "1" {
		t.Errorf("got %v", got)
	}
}

func TestLinesAreBounded(t *testing.T) {
	long := strings.Repeat("x", 1<<20)
	lines := event.NewLines(2)
	log := slog.New(lines.Handler(nil)).WithGroup(long)
	for i := range 100 {
		log = log.With(fmt.Sprint(i, long), long)
	}
	log.Info(long, "k", long, slog.Group(long, "x", long))
	l := lines.Last(1)[0]
	size := len(l.Msg)
	for k, v := range l.Attrs {
		size += len(k) + len(v)
	}
	if size > 50<<10 {
		t.Errorf("%d bytes kept of one line", size)
	}
}

// The standard library's own test of handlers, on the lines as nested maps.
func TestHandlerKeepsTheRulesOfSlog(t *testing.T) {
	lines := event.NewLines(100)
	err := slogtest.TestHandler(lines.Handler(nil), func() []map[string]any {
		var out []map[string]any
		for _, l := range lines.Since(0, 0) {
			m := map[string]any{slog.LevelKey: l.Level, slog.MessageKey: l.Msg}
			if !l.Time.IsZero() {
				m[slog.TimeKey] = l.Time
			}
			for k, v := range l.Attrs {
				at := m
				path := strings.Split(k, ".")
				for _, g := range path[:len(path)-1] {
					if at[g] == nil {
						at[g] = map[string]any{}
					}
					at = at[g].(map[string]any)
				}
				at[path[len(path)-1]] = v
			}
			out = append(out, m)
		}
		return out
	})
	if err != nil {
		t.Error(err)
	}
}
