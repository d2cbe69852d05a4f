package api

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/netip"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/danielgtaylor/huma/v2"
	"github.com/danielgtaylor/huma/v2/adapters/humago"

	"pic/api/wire"
	"pic/dnssrv/querylog"
)

const (
	heartbeat   = 15 * time.Second
	glance      = 2 * time.Second  // how often state and traffic are looked at
	recheck     = time.Second      // how old the check of a session may be when something is sent
	writeTime   = 10 * time.Second // a client that takes nothing for so long is gone
	maxStreams  = 128
	userStreams = 16
)

// streams counts who listens.
type streams struct {
	mu  sync.Mutex
	all int
	by  map[string]int
}

func (s *streams) enter(user string) (leave func(), ok bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.all >= maxStreams || s.by[user] >= userStreams {
		return nil, false
	}
	if s.by == nil {
		s.by = map[string]int{}
	}
	s.all++
	s.by[user]++
	return func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		s.all--
		if s.by[user]--; s.by[user] == 0 {
			delete(s.by, user)
		}
	}, true
}

func (a *API) eventRoutes() {
	route(a, SignedIn, "GET /api/events", "What happens, as it happens (server-sent events)", a.eventStream,
		answers("text/event-stream", "Messages of the types event (an Event), log (a Line), status (a Pulse), traffic (a Traffic), peers (LivePeers: those "+
			"that changed) and, only where asked for, dns (a DNSQuery). Their ids resume the stream by Last-Event-ID. The role user gets status only."))
	// No body has these types, so they would be missing from the OpenAPI.
	for _, t := range []reflect.Type{reflect.TypeFor[wire.Pulse](), reflect.TypeFor[wire.Traffic](), reflect.TypeFor[wire.LivePeer]()} {
		a.huma.OpenAPI().Components.Schemas.Schema(t, true, "")
	}
}

type eventQuery struct {
	LastEventID string   `header:"Last-Event-ID" maxLength:"64"`
	Since       string   `query:"since" maxLength:"64" doc:"Like Last-Event-ID, for the first request of a page"`
	Types       []string `query:"types" maxItems:"8" doc:"Only these of event, log, status, traffic, peers, dns"`
}

// kinds are the types of messages.
func kinds() []string { return []string{"event", "log", "status", "traffic", "peers", "dns"} }

func (a *API) eventStream(ctx context.Context, in *eventQuery) (*huma.StreamResponse, error) {
	for _, t := range in.Types {
		if !slices.Contains(kinds(), t) {
			return nil, wrong("types", "there are "+strings.Join(kinds(), ", "))
		}
	}
	c := callerOf(ctx)
	leave, ok := a.streams.enter(c.Name)
	if !ok {
		p := fail(http.StatusServiceUnavailable, "busy", "too many event streams are open; close some pages")
		p.retry = heartbeat
		return nil, p
	}
	wants := func(t string) bool {
		named := slices.Contains(in.Types, t) || len(in.Types) == 0 && t != "dns"
		return named && (t == "status" || c.viewer())
	}
	s := stream{api: a, caller: c, wants: wants, events: a.Events.LastID(), lines: a.Lines.LastID()}
	s.resume(in.LastEventID, in.Since)
	return &huma.StreamResponse{Body: func(hc huma.Context) {
		defer leave()
		r, w := humago.Unwrap(hc)
		s.request, s.w, s.out = r, w, http.NewResponseController(w)
		s.run(ctx)
	}}, nil
}

// A stream is one client that listens.
type stream struct {
	api     *API
	caller  *caller
	wants   func(kind string) bool
	request *http.Request
	w       http.ResponseWriter
	out     *http.ResponseController

	events, lines int64 // ids of what was sent last
	last          string
	checked       time.Time

	queries <-chan querylog.Record
	moments map[string]wire.LivePeer // as last sent, by name
	told    int                      // queries since the last look
	devices map[netip.Addr]string    // as of then; nil: not looked up
}

// resume sets where to go on from the id of the last message seen.
func (s *stream) resume(ids ...string) {
	for _, id := range ids {
		e, l, ok := strings.Cut(id, "-")
		en, err1 := strconv.ParseInt(e, 10, 64)
		ln, err2 := strconv.ParseInt(l, 10, 64)
		if ok && err1 == nil && err2 == nil && en >= 0 && ln >= 0 {
			s.events, s.lines = en, ln
			return
		}
	}
}

func (s *stream) id() string { return fmt.Sprintf("%d-%d", s.events, s.lines) }

func (s *stream) run(ctx context.Context) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	var events <-chan wire.Event
	var lines <-chan wire.Line
	if s.wants("event") || s.wants("status") {
		events = s.api.Events.Subscribe(ctx, s.events)
	}
	if s.wants("log") {
		lines = s.api.Lines.Subscribe(ctx, s.lines)
	}
	if s.wants("dns") {
		s.queries = s.api.DNS.Tail(ctx)
	}
	h := s.w.Header()
	h.Set("Content-Type", "text/event-stream")
	h.Set("X-Accel-Buffering", "no")
	s.w.WriteHeader(http.StatusOK)
	s.checked = time.Now()
	if !s.write("retry: 2000\n\n") || !s.status() {
		return
	}
	beat, look := time.NewTicker(heartbeat), time.NewTicker(glance)
	defer beat.Stop()
	defer look.Stop()
	for ok := true; ok; {
		select {
		case <-ctx.Done():
			return
		case e, open := <-events:
			if !open {
				return
			}
			s.events = e.ID
			ok = s.send("event", e) && s.status()
		case l, open := <-lines:
			if !open {
				return
			}
			s.lines = l.ID
			ok = s.send("log", l)
		case q, open := <-s.queries:
			if !open {
				return
			}
			ok = s.query(&q)
		case <-look.C:
			s.told, s.devices = 0, nil
			ok = s.status() && s.traffic() && s.peers()
		case <-beat.C:
			ok = s.valid() && s.write(": still here\n\n")
		}
	}
}

// maxTold is how many queries are told between two looks: more than a person can
// read, and no more than a page can show.
const maxTold = 400

func (s *stream) query(q *querylog.Record) bool {
	if s.told++; s.told > maxTold {
		return true
	}
	if q.Device == "" && q.Client.IsSingleIP() {
		if s.devices == nil {
			s.devices = s.api.DNS.Devices()
		}
		q.Device = s.devices[q.Client.Addr()]
	}
	return s.send("dns", asked(q))
}

// status sends the state of the cell where it is not what was sent last.
func (s *stream) status() bool {
	if !s.wants("status") {
		return true
	}
	now, err := json.Marshal(s.api.pulse(s.caller))
	if err != nil || string(now) == s.last {
		return err == nil
	}
	s.last = string(now)
	return s.send("status", json.RawMessage(now))
}

// traffic sends the counters of the tunnel and of DNS.
func (s *stream) traffic() bool {
	if !s.wants("traffic") {
		return true
	}
	return s.send("traffic", s.api.traffic())
}

// peers sends what is new of the devices; at first of all.
func (s *stream) peers() bool {
	if !s.wants("peers") {
		return true
	}
	changed, now := []wire.LivePeer{}, map[string]wire.LivePeer{}
	for _, p := range s.api.moments() {
		now[p.Name] = p
		if old, ok := s.moments[p.Name]; !ok || old != p {
			changed = append(changed, p)
		}
	}
	s.moments = now
	return len(changed) == 0 || s.send("peers", changed)
}

func (a *API) traffic() wire.Traffic {
	t := wire.Traffic{Time: time.Now()}
	for _, p := range a.Network.Peers() {
		t.RxBytes += p.RxBytes
		t.TxBytes += p.TxBytes
	}
	dns := a.DNS.Stats()
	t.DNSQueries = dns.Queries()
	return t
}

func (s *stream) send(kind string, v any) bool {
	if !s.wants(kind) {
		return true
	}
	data, err := json.Marshal(v)
	if err != nil {
		s.api.Log.Error("event does not encode", "kind", kind, "err", err)
		return false
	}
	return s.valid() && s.write("id: "+s.id()+"\nevent: "+kind+"\ndata: "+string(data)+"\n\n")
}

// valid reports whether the caller may still listen: the session or token lives
// and has the role it had.
func (s *stream) valid() bool {
	if time.Since(s.checked) < recheck {
		return true
	}
	c, err := s.api.identify(s.request)
	if err != nil || c == nil || c.Role != s.caller.Role {
		return false
	}
	s.checked = time.Now()
	return true
}

func (s *stream) write(text string) bool {
	now := time.Now()
	// Where the writer knows no deadlines, the server's own hold.
	_ = s.out.SetWriteDeadline(now.Add(writeTime + heartbeat))
	if _, err := s.w.Write([]byte(text)); err != nil {
		return false
	}
	return s.out.Flush() == nil
}
