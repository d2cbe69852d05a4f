package api

import (
	"context"
	"net/http"
	"reflect"
	"strings"

	"github.com/danielgtaylor/huma/v2"
)

const (
	smallBody = 64 << 10
	largeBody = 1 << 20
)

// The shapes that requests and answers have in common.
type (
	// A body is JSON.
	body[T any] struct{ Body T }
	// A tagged body comes from the document, or has changed it.
	tagged[T any] struct {
		ETag string `header:"ETag"`
		Body T
	}
	// A made body tells of something new.
	made[T any] struct {
		Status int
		Body   T
	}
	// A text is anything but JSON.
	text struct {
		Status      int
		ContentType string `header:"Content-Type"`
		Body        []byte
	}
)

// route adds one operation. target is method and path, such as "GET /api/dns";
// rule says who may call it. It is compiled for every route, hence so short.
func route[I, O any](a *API, rule Rule, target, summary string, handle func(context.Context, *I) (*O, error), more ...func(*huma.Operation)) {
	a.add(describe(rule, target, summary, more), reflect.TypeFor[I](), reflect.TypeFor[O](), func(ctx context.Context, in any) (any, error) {
		out, err := handle(ctx, in.(*I))
		if err != nil || out == nil {
			return nil, err
		}
		return out, nil
	})
}

func describe(rule Rule, target, summary string, more []func(*huma.Operation)) *huma.Operation {
	method, path, _ := strings.Cut(target, " ")
	op := &huma.Operation{
		Method:       method,
		Path:         path,
		OperationID:  operationID(method, path),
		Summary:      summary,
		Tags:         []string{tag(path)},
		Metadata:     map[string]any{"rule": rule},
		Extensions:   map[string]any{"x-rule": string(rule)},
		MaxBodyBytes: smallBody,
	}
	if rule != Anyone {
		op.Security = []map[string][]string{{"session": {}}, {"token": {}}}
	}
	for _, f := range more {
		f(op)
	}
	return op
}

// operationID makes dns-records-get of GET /api/dns/records.
func operationID(method, path string) string {
	id := strings.NewReplacer("/", "-", "{", "", "}", "", ".", "-").Replace(strings.TrimPrefix(strings.TrimPrefix(path, "/api"), "/"))
	return id + "-" + strings.ToLower(method)
}

// tag is the noun of a path: dns for /api/dns/records.
func tag(path string) string {
	noun, _, _ := strings.Cut(strings.TrimPrefix(path, "/api/"), "/")
	return strings.TrimPrefix(noun, "/")
}

func wide(op *huma.Operation) { op.MaxBodyBytes = largeBody }

// answers describes the success of a route whose body is not JSON.
func answers(contentType, description string) func(*huma.Operation) {
	return func(op *huma.Operation) {
		op.Responses = map[string]*huma.Response{"200": {
			Description: description,
			Content:     map[string]*huma.MediaType{contentType: {Schema: &huma.Schema{Type: huma.TypeString}}},
		}}
	}
}

// dispatch is the mux with problems instead of plain text where no route fits.
func (a *API) dispatch(w http.ResponseWriter, r *http.Request) {
	if _, pattern := a.mux.Handler(r); pattern != "" {
		a.mux.ServeHTTP(w, r)
		return
	}
	var methods []string
	for _, m := range []string{"GET", "POST", "PUT", "PATCH", "DELETE"} {
		probe := r.Clone(r.Context())
		probe.Method = m
		if _, pattern := a.mux.Handler(probe); pattern != "" {
			methods = append(methods, m)
		}
	}
	if methods != nil {
		w.Header().Set("Allow", strings.Join(methods, ", "))
		writeProblem(w, fail(http.StatusMethodNotAllowed, "", "this path takes "+strings.Join(methods, ", ")))
		return
	}
	writeProblem(w, fail(http.StatusNotFound, "not-found", "there is no such path in the API"))
}
