package api

import (
	"context"
	"fmt"
	"net/http"
	"runtime/metrics"
	"slices"
	"strings"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"pic/api/wire"
	"pic/core/config"
	"pic/core/service"
)

func (a *API) statusRoutes() {
	route(a, Anyone, "GET /health", "ok or not ok, nothing else", a.health, answers("text/plain", "ok"), beforeSetup)
	route(a, SignedIn, "GET /api/status", "The state of the whole cell", a.status)
	route(a, Viewers, "GET /api/services", "The state of every service", a.services)
	route(a, Viewers, "GET /api/services/{service}", "The state of one service", a.service)
	route(a, Admins, "POST /api/services/{service}/restart", "End a service and start it anew", a.restart)
}

func (a *API) health(context.Context, *struct{}) (*text, error) {
	if a.Store != nil && allWell(a.Units.Status()) {
		return &text{http.StatusOK, "text/plain; charset=utf-8", []byte("ok\n")}, nil
	}
	return &text{http.StatusServiceUnavailable, "text/plain; charset=utf-8", []byte("not ok\n")}, nil
}

func allWell(units []service.Status) bool {
	return !slices.ContainsFunc(units, func(s service.Status) bool { return !well(s) })
}

func well(s service.Status) bool { return s.State == service.Running || s.State == service.Off }

func (a *API) status(ctx context.Context, _ *struct{}) (*tagged[wire.Health], error) {
	doc, units := a.Store.Resolved(), a.Units.Status()
	problems := a.problems(units)
	out := wire.Health{
		Cell:          wire.Cell{Name: doc.Cell.Name, Domain: doc.Cell.Domain, Mode: doc.Cell.Mode},
		Version:       a.Version.Version,
		Revision:      doc.Revision,
		UptimeSeconds: int64(time.Since(a.Started) / time.Second),
		MemoryBytes:   memory(),
		OK:            allWell(units),
		Sentence:      healthSentence(units, problems),
		Services:      []service.Status{},
		Problems:      []wire.UnitProblem{},
		Pending:       a.Store.Pending(),
		Ports:         ports(doc),
	}
	if callerOf(ctx).viewer() {
		out.Services, out.Problems = list(units), problems
	}
	return &tagged[wire.Health]{etag(doc.Revision), out}, nil
}

// pulse is the small status for the event stream of c.
func (a *API) pulse(c *caller) wire.Pulse {
	units := a.Units.Status()
	problems := a.problems(units)
	out := wire.Pulse{
		Revision: a.Store.Current().Revision,
		OK:       allWell(units),
		Sentence: healthSentence(units, problems),
		Pending:  a.Store.Pending(),
		States:   map[string]service.State{},
		Problems: []string{},
	}
	if c.viewer() {
		for _, u := range units {
			out.States[u.Name] = u.State
		}
		for _, p := range problems {
			out.Problems = append(out.Problems, p.Code)
		}
	}
	return out
}

// problems collects what the units and the store say is wrong, failures first.
func (a *API) problems(units []service.Status) []wire.UnitProblem {
	var failures, warnings []wire.UnitProblem
	add := func(unit string, p service.Problem) {
		if p.Severity == service.Failure {
			failures = append(failures, wire.UnitProblem{Unit: unit, Problem: p})
		} else {
			warnings = append(warnings, wire.UnitProblem{Unit: unit, Problem: p})
		}
	}
	if d := a.Store.Damage(); d != nil {
		add("config", service.Problem{
			Code: "config/" + d.Code, Title: "The configuration store is hurt", Text: d.Err.Error(),
			Fix:      "Look at the log and at the disk, then restart the cell.",
			Severity: service.Failure, Since: d.Time,
		})
	}
	for _, u := range units {
		for _, p := range u.Problems {
			add(u.Name, p)
		}
	}
	return list(append(failures, warnings...))
}

// healthSentence says how the cell is, for people.
func healthSentence(units []service.Status, problems []wire.UnitProblem) string {
	var on int
	var down []string
	for _, u := range units {
		if u.State == service.Off {
			continue
		}
		on++
		if !well(u) {
			down = append(down, u.Name)
		}
	}
	switch {
	case len(down) > 0:
		verb := "are"
		if len(down) == 1 {
			verb = "is"
		}
		return fmt.Sprintf("%s %s not running.", strings.Join(down, ", "), verb)
	case len(problems) == 1:
		return "All " + count(on, "service") + " run; one thing needs attention."
	case len(problems) > 1:
		return fmt.Sprintf("All %s run; %d things need attention.", count(on, "service"), len(problems))
	}
	return "All " + count(on, "service") + " are well."
}

func count(n int, what string) string {
	if n == 1 {
		return "1 " + what
	}
	return fmt.Sprintf("%d %ss", n, what)
}

// ports are those that people type into their programs.
func ports(d *config.Document) map[string]uint16 {
	return map[string]uint16{
		"ui": d.Web.UIPort, "api": d.Web.APIPort, "http": d.Proxy.HTTPPort, "https": d.Proxy.HTTPSPort,
		"dns": d.DNS.Port, "ntp": d.NTP.Port, "wireguard": d.WireGuard.Port,
		"smtp": d.Mail.SMTPPort, "submission": d.Mail.SubmissionPort, "submissions": d.Mail.SubmissionsPort,
		"imaps": d.Mail.IMAPPort, "caldav": d.DAV.CalDAVPort, "webdav": d.DAV.WebDAVPort,
	}
}

// memory is what the process got from the system, less what it gave back.
func memory() uint64 {
	s := []metrics.Sample{{Name: "/memory/classes/total:bytes"}, {Name: "/memory/classes/heap/released:bytes"}}
	metrics.Read(s)
	return s[0].Value.Uint64() - s[1].Value.Uint64()
}

func (a *API) services(context.Context, *struct{}) (*body[[]service.Status], error) {
	return &body[[]service.Status]{list(a.Units.Status())}, nil
}

// OneService names a service in the path.
type OneService struct {
	Service string `path:"service" maxLength:"32" example:"dns"`
}

func (a *API) service(_ context.Context, in *OneService) (*body[service.Status], error) {
	for _, s := range a.Units.Status() {
		if s.Name == in.Service {
			return &body[service.Status]{s}, nil
		}
	}
	return nil, missing("service " + in.Service)
}

func (a *API) restart(ctx context.Context, in *OneService) (*body[service.Status], error) {
	if _, err := a.service(ctx, in); err != nil {
		return nil, err
	}
	if err := a.Units.Restart(ctx, in.Service); err != nil {
		return nil, err
	}
	a.tell(ctx, "unit.restarted", in.Service, in.Service+" was restarted by hand")
	return a.service(ctx, in)
}

// beforeSetup marks a route that answers while there is no first revision.
func beforeSetup(op *huma.Operation) { op.Metadata["before setup"] = true }
