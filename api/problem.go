package api

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"pic/api/wire"
	"pic/core/config"
	"pic/core/users"
	"pic/core/vault"
)

const (
	jsonType    = "application/json"
	problemType = "application/problem+json"
)

// A problem is a failure on its way out; its body is a [wire.Error].
type problem struct {
	body  wire.Error
	retry time.Duration // when to come back, where not zero
}

// fail makes a problem of a status, a code and a sentence that says what to do.
func fail(status int, code, detail string) *problem {
	return &problem{body: wire.Error{Title: http.StatusText(status), Status: status, Code: code, Detail: detail}}
}

// wrong is the problem of one bad field of a request.
func wrong(path, message string) *problem {
	p := fail(http.StatusUnprocessableEntity, "invalid", path+": "+message)
	p.body.Errors = []wire.FieldError{{Path: path, Message: message}}
	return p
}

func missing(what string) *problem {
	return fail(http.StatusNotFound, "not-found", "there is no "+what)
}

func (p *problem) Error() string { return p.body.Detail }

// Refusals that need no facts.
var (
	errSignedOut = fail(http.StatusUnauthorized, "signed-out", "sign in first")
	errForbidden = fail(http.StatusForbidden, "forbidden", "your role does not allow this; ask an administrator")
	errCSRF      = fail(http.StatusForbidden, "forbidden", "the "+CSRFHeader+" header is missing or not that of the session; reload the page")
	errScheme    = fail(http.StatusUnauthorized, "signed-out", "use Authorization: Bearer with an API token")
	errNotSetUp  = fail(http.StatusServiceUnavailable, "setup", "this cell is not set up yet; open its web page or run pic setup")
)

// problem makes what the caller is told of err. What is not for callers goes to
// the log.
func (a *API) problem(ctx context.Context, err error) *problem {
	var (
		p       *problem
		refused *config.RefusedError
	)
	switch fields := fieldErrors(err); {
	case errors.As(err, &p):
		return p
	case errors.As(err, &refused): // may hold fields, too: they are why
		p := fail(http.StatusConflict, "refused", err.Error())
		p.body.Unit, p.body.Errors = refused.Unit, fields
		return p
	case fields != nil:
		p := fail(http.StatusUnprocessableEntity, "invalid", sentence(fields))
		p.body.Errors = fields
		return p
	case errors.Is(err, config.ErrPending):
		return fail(http.StatusConflict, "pending", err.Error())
	case errors.Is(err, config.ErrNotPending):
		return fail(http.StatusConflict, "conflict", err.Error())
	case errors.Is(err, config.ErrConflict):
		return fail(http.StatusPreconditionFailed, "conflict", err.Error())
	case errors.Is(err, config.ErrClosed):
		return fail(http.StatusServiceUnavailable, "busy", err.Error())
	case errors.Is(err, config.ErrNoRevision):
		return fail(http.StatusNotFound, "not-found", err.Error())
	case errors.Is(err, users.ErrDenied):
		return fail(http.StatusUnauthorized, "signed-out", err.Error())
	case errors.Is(err, users.ErrThrottled):
		p := fail(http.StatusTooManyRequests, "throttled", err.Error())
		p.retry = users.RetryAfter(err)
		return p
	case errors.Is(err, vault.ErrNotFound):
		return fail(http.StatusNotFound, "not-found", err.Error())
	case errors.Is(err, context.Canceled), errors.Is(err, context.DeadlineExceeded):
		return fail(http.StatusServiceUnavailable, "busy", "the request took too long and was given up; try again")
	}
	return a.internal(ctx, err)
}

// internal logs err. Administrators are told what it says, others that it is
// in the log.
func (a *API) internal(ctx context.Context, err error) *problem {
	a.Log.Error("request failed", "err", err)
	if c := callerOf(ctx); c != nil && c.admin() {
		return fail(http.StatusInternalServerError, "internal", err.Error())
	}
	return fail(http.StatusInternalServerError, "internal", "the cell could not do this; the reason is in its log")
}

// fieldErrors collects what err says of single fields.
func fieldErrors(err error) []wire.FieldError {
	var out []wire.FieldError
	for _, f := range config.FieldErrors(err) {
		out = append(out, wire.FieldError{Path: f.Path, Message: f.Problem})
	}
	return out
}

func sentence(fields []wire.FieldError) string {
	var b strings.Builder
	for i, f := range fields {
		if i == 3 {
			b.WriteString("; and " + strconv.Itoa(len(fields)-i) + " more")
			break
		}
		if i > 0 {
			b.WriteString("; ")
		}
		b.WriteString(f.Path + ": " + f.Message)
	}
	return b.String()
}

// refuse answers with err before a handler was reached.
func (a *API) refuse(hc huma.Context, err error) {
	p := a.problem(hc.Context(), err)
	send(p, hc.SetHeader, hc.SetStatus, hc.BodyWriter().Write)
}

func writeProblem(w http.ResponseWriter, p *problem) {
	send(p, w.Header().Set, w.WriteHeader, w.Write)
}

func send(p *problem, header func(k, v string), status func(int), write func([]byte) (int, error)) {
	body, _ := json.Marshal(p.body) // a wire.Error has nothing that could fail
	if p.retry > 0 {
		header("Retry-After", strconv.Itoa(int((p.retry+time.Second-1)/time.Second)))
	}
	header("Content-Type", problemType)
	status(p.body.Status)
	_, _ = write(append(body, '\n')) // whoever is gone does not need it
}
