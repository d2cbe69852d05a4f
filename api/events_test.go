package api

import (
	"bufio"
	"encoding/json"
	"net/http"
	"strings"
	"testing"
	"time"

	"pic/api/wire"
	"pic/core/config"
	"pic/core/event"
)

// An ear listens to the event stream.
type ear struct {
	t     *testing.T
	resp  *http.Response
	lines *bufio.Scanner
}

func (a *agent) listen(path string, header ...string) *ear {
	a.h.t.Helper()
	req, err := http.NewRequestWithContext(a.h.t.Context(), "GET", a.h.server.URL+path, nil)
	must(a.h.t, err)
	req.AddCookie(&http.Cookie{Name: SessionCookie, Value: a.session})
	for i := 0; i < len(header); i += 2 {
		req.Header.Set(header[i], header[i+1])
	}
	resp, err := http.DefaultClient.Do(req)
	must(a.h.t, err)
	a.h.t.Cleanup(func() { resp.Body.Close() })
	if resp.StatusCode != 200 || resp.Header.Get("Content-Type") != "text/event-stream" {
		a.h.t.Fatalf("status %d, %v", resp.StatusCode, resp.Header)
	}
	return &ear{a.h.t, resp, bufio.NewScanner(resp.Body)}
}

type heard struct{ id, kind, data string }

// next returns the next message of a kind; ok is false at the end of the stream.
func (e *ear) next(kind string) (m heard, ok bool) {
	e.t.Helper()
	return e.until(func(m heard) bool { return m.kind == kind })
}

// any returns the next message of whatever kind.
func (e *ear) any() (m heard, ok bool) {
	e.t.Helper()
	return e.until(func(m heard) bool { return m.kind != "" })
}

func (e *ear) until(wanted func(heard) bool) (m heard, ok bool) {
	e.t.Helper()
	deadline := time.AfterFunc(20*time.Second, func() { e.resp.Body.Close() })
	defer deadline.Stop()
	for e.lines.Scan() {
		field, value, _ := strings.Cut(e.lines.Text(), ": ")
		switch field {
		case "id":
			m.id = value
		case "event":
			m.kind = value
		case "data":
			m.data = value
		case "":
			if wanted(m) {
				return m, true
			}
			m = heard{id: m.id}
		}
	}
	return m, false
}

func (e *ear) event() event.Event {
	e.t.Helper()
	m, ok := e.next("event")
	if !ok {
		e.t.Fatal("the stream ended")
	}
	var ev event.Event
	if err := json.Unmarshal([]byte(m.data), &ev); err != nil {
		e.t.Fatalf("%v in %s", err, m.data)
	}
	return ev
}

func TestEventsArriveAsTheyHappen(t *testing.T) {
	h := newHousehold(t)
	h.deps.Events.Append(event.Event{Kind: "test.before"})
	e := h.as("vera").listen("/api/events")
	m, ok := e.next("status")
	var p wire.Pulse
	if err := json.Unmarshal([]byte(m.data), &p); !ok || err != nil || !p.OK || p.States["dns"] != "running" {
		t.Errorf("first status %q, %v", m.data, err)
	}
	h.deps.Events.Append(event.Event{Kind: "test.one", Text: "two\nlines"})
	if ev := e.event(); ev.Kind != "test.one" || ev.Text != "two\nlines" {
		t.Errorf("heard %+v", ev)
	}
	h.deps.Log.Info("hello", "unit", "dns")
	m, ok = e.next("log")
	var l wire.Line
	if err := json.Unmarshal([]byte(m.data), &l); !ok || err != nil || l.Msg != "hello" || l.Unit != "dns" {
		t.Errorf("heard %q, %v", m.data, err)
	}
	if m, ok := e.next("traffic"); !ok || !strings.Contains(m.data, "dnsQueries") {
		t.Errorf("heard %q", m.data)
	}
}

func TestTheStreamResumes(t *testing.T) {
	h := newHousehold(t)
	vera := h.as("vera")
	e := vera.listen("/api/events?types=event")
	h.deps.Events.Append(event.Event{Kind: "test.one"})
	h.deps.Events.Append(event.Event{Kind: "test.two"})
	first, ok := e.next("event")
	if !ok {
		t.Fatal("the stream ended")
	}
	e.resp.Body.Close()
	h.deps.Events.Append(event.Event{Kind: "test.three"})
	for name, again := range map[string]*ear{
		"header": vera.listen("/api/events?types=event", "Last-Event-ID", first.id),
		"query":  vera.listen("/api/events?types=event&since=" + first.id),
	} {
		for _, want := range []string{"test.two", "test.three"} {
			if ev := again.event(); ev.Kind != want {
				t.Errorf("%s: heard %s, want %s", name, ev.Kind, want)
			}
		}
	}
	// What is no id is no reason to refuse.
	again := vera.listen("/api/events?types=event", "Last-Event-ID", "nonsense")
	h.deps.Events.Append(event.Event{Kind: "test.four"})
	if ev := again.event(); ev.Kind != "test.four" {
		t.Errorf("heard %s", ev.Kind)
	}
}

func TestUsersHearTheStatusOnly(t *testing.T) {
	h := newHousehold(t)
	e := h.as("bob").listen("/api/events")
	m, ok := e.next("status")
	if !ok || strings.Contains(m.data, "running") {
		t.Errorf("heard %q", m.data)
	}
	h.deps.Events.Append(event.Event{Kind: "test.one"})
	h.deps.Log.Info("secret of others")
	_, err := h.deps.Store.Change(t.Context(), config.Change{Edit: func(d *config.Document) error { d.DNS.Port = 5353; return nil }})
	must(t, err)
	for e.lines.Scan() {
		line := e.lines.Text()
		if strings.HasPrefix(line, "event: ") && line != "event: status" {
			t.Fatalf("heard %s", line)
		}
		if strings.Contains(line, `"revision":2`) {
			return
		}
	}
	t.Error("the stream ended")
}

func TestTheStreamEndsWithItsSession(t *testing.T) {
	h := newHousehold(t)
	vera := h.as("vera")
	e := vera.listen("/api/events")
	if _, ok := e.next("status"); !ok {
		t.Fatal("the stream ended")
	}
	must(t, h.deps.Users.EndSession(t.Context(), vera.session))
	for deadline := time.Now().Add(10 * time.Second); ; {
		m, ok := e.next("traffic")
		if !ok {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("still hears %q", m.data)
		}
	}
}

func TestStreamsAreCounted(t *testing.T) {
	var s streams
	for range userStreams {
		if _, ok := s.enter("bob"); !ok {
			t.Fatal("refused too early")
		}
	}
	if _, ok := s.enter("bob"); ok {
		t.Error("one user may open any number")
	}
	leave, ok := s.enter("carl")
	if !ok {
		t.Fatal("others are shut out")
	}
	leave()
	if s.all != userStreams || len(s.by) != 1 {
		t.Errorf("streams %+v", &s)
	}
}
