package proxy

import (
	"strconv"
	"time"

	"pic/core/config"
	"pic/core/service"
)

// A RouteStatus is how a route is doing since it was added.
type RouteStatus struct {
	Host      string        `json:"host"`
	Upstream  string        `json:"upstream"`
	Access    config.Access `json:"access"`
	OK        bool          `json:"ok"` // the upstream answered last time, or was not asked yet
	LastError string        `json:"lastError,omitempty"`
	Since     time.Time     `json:"since,omitzero"` // of not being OK
	Requests  int64         `json:"requests"`
	Active    int64         `json:"active"` // requests and websockets under way
}

// Routes tells how each route is doing, in the order of the document.
func (s *Server) Routes() []RouteStatus {
	var out []RouteStatus
	for _, r := range s.table.Load().routes {
		st := RouteStatus{
			Host: r.Host, Upstream: r.Upstream, Access: r.Access, OK: true,
			Requests: r.requests.Load(), Active: r.active.Load(),
		}
		if f := r.last.Load(); f != nil {
			st.OK, st.LastError, st.Since = false, f.err, f.since
		}
		out = append(out, st)
	}
	return out
}

// Problems implements [service.Reporter].
func (s *Server) Problems() []service.Problem {
	var out []service.Problem
	for _, r := range s.Routes() {
		if !r.OK {
			out = append(out, service.Problem{
				Code: "proxy/upstream-down", Severity: service.Warning, Since: r.Since,
				Title: "The server behind " + r.Host + " does not answer",
				Text:  r.Upstream + ": " + r.LastError,
				Fix:   "Start that server, or change the route's upstream.",
			})
		}
	}
	return out
}

// Sockets implements [service.Reporter].
func (s *Server) Sockets() []string { return s.set.Sockets() }

// Facts implements [service.Reporter].
func (s *Server) Facts() []service.Fact {
	routes := s.Routes()
	facts := []service.Fact{
		{Name: "connections", Value: strconv.FormatInt(s.open.Load(), 10)},
		{Name: "requests", Value: strconv.FormatInt(s.requests.Load(), 10)},
		{Name: "refused", Value: strconv.FormatInt(s.refused.Load(), 10)},
		{Name: "routes", Value: strconv.Itoa(len(routes))},
	}
	for _, r := range routes[:min(len(routes), 10)] {
		facts = append(facts, service.Fact{Name: r.Host, Value: strconv.FormatInt(r.Requests, 10) + " requests"})
	}
	return facts
}
