package api

import (
	"context"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/danielgtaylor/huma/v2"
	"github.com/danielgtaylor/huma/v2/adapters/humago"

	"pic/api/wire"
)

// Everything that an input of ours has.
type everyInput struct {
	OneService
	Match   string     `header:"If-Match" doc:"of the former"`
	Hidden  string     `header:"User-Agent" hidden:"true"`
	Must    string     `query:"must" required:"true" minLength:"2" maxLength:"5"`
	Word    string     `query:"word" enum:"tcp,udp" default:"tcp"`
	Number  int        `query:"number" minimum:"1" maximum:"9" default:"4"`
	Big     int64      `query:"big"`
	Yes     bool       `query:"yes"`
	List    []string   `query:"list" maxItems:"2"`
	Since   time.Time  `query:"since"`
	Address netip.Addr `query:"address"`
	Body    struct {
		Name  string     `json:"name" minLength:"1" maxLength:"8"`
		Where netip.Addr `json:"where,omitempty"`
		Many  []int      `json:"many,omitempty" maxItems:"3"`
	}
}

type everyOutput struct {
	Status int
	ETag   string `header:"ETag"`
	Body   everyInput
}

// huma.Register says what a route reads, refuses and answers; ours does the same
// and describes it with the same words.
func TestAnEndpointDoesAsHumaWould(t *testing.T) {
	handle := func(_ context.Context, in *everyInput) (*everyOutput, error) {
		return &everyOutput{Status: http.StatusCreated, ETag: `"1"`, Body: *in}, nil
	}
	ours := &API{mux: http.NewServeMux()}
	ours.huma = humago.New(ours.mux, specification())
	route(ours, Admins, "POST /api/{service}", "Every kind", handle)

	mux := http.NewServeMux()
	theirs := humago.New(mux, specification())
	op := *ours.huma.OpenAPI().Paths["/api/{service}"].Post
	op.Parameters, op.RequestBody, op.Responses, op.RejectUnknownQueryParameters = nil, nil, nil, true
	huma.Register(theirs, op, handle)

	describe := func(a huma.API) string {
		finish(a.OpenAPI())
		delete(a.OpenAPI().Components.Schemas.Map(), "ErrorModel")
		delete(a.OpenAPI().Components.Schemas.Map(), "ErrorDetail")
		text, err := json.MarshalIndent(a.OpenAPI(), "", " ")
		must(t, err)
		return string(text)
	}
	if got, want := describe(ours.huma), describe(theirs); got != want {
		t.Errorf("the OpenAPI is\n%s\nwant\n%s", got, want)
	}

	const fine = `{"name":"x"}`
	for name, r := range map[string]struct{ query, body, kind string }{
		"all fine": {
			"must=abc&number=9&big=-7&yes=1&list=a,b&since=2026-01-02T03:04:05Z&address=192.0.2.1&word=udp",
			`{"name":"x","where":"2001:db8::1","many":[1,2]}`, "",
		},
		"the defaults":            {"must=abc", fine, "application/json"},
		"a required one missing":  {"", fine, ""},
		"too short":               {"must=a", fine, ""},
		"too long":                {"must=abcdef", fine, ""},
		"not of the words":        {"must=abc&word=icmp", fine, ""},
		"no number":               {"must=abc&number=x", fine, ""},
		"too big a number":        {"must=abc&number=10", fine, ""},
		"beyond any number":       {"must=abc&big=99999999999999999999", fine, ""},
		"neither yes nor no":      {"must=abc&yes=maybe", fine, ""},
		"too many":                {"must=abc&list=a,b,c", fine, ""},
		"no time":                 {"must=abc&since=today", fine, ""},
		"no address":              {"must=abc&address=300.0.0.1", fine, ""},
		"a misspelt one":          {"must=abc&dryrun=1", fine, ""},
		"an odd escape":           {"must=a%zzb", fine, ""},
		"no body":                 {"must=abc", "", ""},
		"a body that is not JSON": {"must=abc", `{"name":`, ""},
		"JSON of another shape":   {"must=abc", `[1]`, ""},
		"null":                    {"must=abc", `null`, ""},
		"an unknown field":        {"must=abc", `{"name":"x","nme":"y"}`, ""},
		"a field missing":         {"must=abc", `{}`, ""},
		"a field too long":        {"must=abc", `{"name":"123456789"}`, ""},
		"a field of another type": {"must=abc", `{"name":1,"many":"x"}`, ""},
		"no address within":       {"must=abc", `{"name":"x","where":"nowhere"}`, ""},
		"both bad":                {"must=a", `{"name":1}`, ""},
		"both bad, one unread":    {"must=a", `{`, ""},
		"too deep":                {"must=abc", strings.Repeat("[", 40) + strings.Repeat("]", 40), ""},
		"too large":               {"must=abc", `{"name":"` + strings.Repeat("x", smallBody) + `"}`, ""},
		"with a charset":          {"must=abc", fine, "application/json; charset=utf-8"},
		"of a JSON kind":          {"must=abc", fine, "application/merge-patch+json"},
		"not JSON by its kind":    {"must=abc", fine, "text/plain"},
	} {
		ask := func(h http.Handler) *httptest.ResponseRecorder {
			q := httptest.NewRequest("POST", "/api/dns?"+r.query, strings.NewReader(r.body))
			q.Header.Set("If-Match", `"7"`)
			q.Header.Set("User-Agent", "test")
			if r.kind != "" {
				q.Header.Set("Content-Type", r.kind)
			}
			w := httptest.NewRecorder()
			h.ServeHTTP(w, q)
			return w
		}
		got, want := ask(ours.mux), ask(mux)
		if got.Code != want.Code {
			t.Errorf("%s: status %d %s, want %d %s", name, got.Code, got.Body, want.Code, want.Body)
			continue
		}
		if got.Code < 400 {
			if got.Body.String() != want.Body.String() || !reflect.DeepEqual(got.Header(), want.Header()) {
				t.Errorf("%s: %v %s, want %v %s", name, got.Header(), got.Body, want.Header(), want.Body)
			}
			continue
		}
		var was huma.ErrorModel
		var is wire.Error
		must(t, json.Unmarshal(want.Body.Bytes(), &was))
		must(t, json.Unmarshal(got.Body.Bytes(), &is))
		if is.Code != "invalid" || strings.Contains(is.Detail, "123456789") {
			t.Errorf("%s: %+v", name, is)
		}
		if len(was.Errors) == 0 && is.Detail != was.Detail || len(is.Errors) != len(was.Errors) {
			t.Errorf("%s: %+v, want %+v", name, is, was)
			continue
		}
		for i, e := range was.Errors {
			if is.Errors[i].Message != e.Message || !strings.HasSuffix(e.Location, is.Errors[i].Path) {
				t.Errorf("%s: %+v, want %+v", name, is.Errors[i], e)
			}
		}
	}
}
