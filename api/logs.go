package api

import (
	"context"
	"log/slog"
	"strings"

	"pic/api/wire"
)

func (a *API) logRoutes() {
	route(a, Viewers, "GET /api/logs", "The last lines of the log, oldest first", a.logs)
	route(a, Viewers, "GET /api/timeline", "What happened, oldest first", a.timeline)
}

type logsInput struct {
	Unit  string `query:"unit" maxLength:"32" doc:"Of this service only"`
	Level string `query:"level" enum:"debug,info,warn,error" doc:"This level and above"`
	Text  string `query:"text" maxLength:"200" doc:"Only lines with this text, whatever its case"`
	Since int64  `query:"since" minimum:"0" doc:"After the line with this id"`
	Limit int    `query:"limit" default:"500" minimum:"1" maximum:"5000" doc:"The last so many, or with since the first"`
}

func (a *API) logs(_ context.Context, in *logsInput) (*body[[]wire.Line], error) {
	level := slog.Level(-128)
	if in.Level != "" {
		if err := level.UnmarshalText([]byte(in.Level)); err != nil {
			return nil, wrong("level", err.Error())
		}
	}
	text := strings.ToLower(in.Text)
	fits := func(l wire.Line) bool {
		return l.Level >= level && (in.Unit == "" || l.Unit == in.Unit) && (text == "" || contains(l, text))
	}
	return &body[[]wire.Line]{pick(a.Lines.Since(in.Since, 0), in.Limit, in.Since > 0, fits)}, nil
}

type timelineInput struct {
	Subject string `query:"subject" maxLength:"100" doc:"About this peer, lease or service only"`
	Since   int64  `query:"since" minimum:"0" doc:"After the event with this id"`
	Limit   int    `query:"limit" default:"200" minimum:"1" maximum:"5000" doc:"The last so many, or with since the first"`
}

func (a *API) timeline(_ context.Context, in *timelineInput) (*body[[]wire.Event], error) {
	fits := func(e wire.Event) bool { return in.Subject == "" || e.Subject == in.Subject }
	return &body[[]wire.Event]{pick(a.Events.Since(in.Since, 0), in.Limit, in.Since > 0, fits)}, nil
}

// pick returns the first or else the last n of what fits.
func pick[T any](all []T, n int, first bool, fits func(T) bool) []T {
	out := []T{}
	for _, v := range all {
		if fits(v) {
			out = append(out, v)
			if first && len(out) == n {
				break
			}
		}
	}
	return out[max(0, len(out)-n):]
}

// contains reports whether text, in lower case, occurs in the line.
func contains(l wire.Line, text string) bool {
	if strings.Contains(strings.ToLower(l.Msg), text) {
		return true
	}
	for k, v := range l.Attrs {
		if strings.Contains(k+"="+strings.ToLower(v), text) {
			return true
		}
	}
	return false
}
