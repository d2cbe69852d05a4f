package api

import (
	"encoding/json"
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/danielgtaylor/huma/v2"
)

// An operation is one route as the OpenAPI tells of it.
type operation struct {
	method, path string
	rule         Rule
	spec         *huma.Operation
}

func operations(t *testing.T, a *API) []operation {
	t.Helper()
	var out []operation
	for path, item := range a.huma.OpenAPI().Paths {
		for method, op := range map[string]*huma.Operation{"GET": item.Get, "POST": item.Post, "PUT": item.Put, "DELETE": item.Delete} {
			if op == nil {
				continue
			}
			rule, _ := op.Extensions["x-rule"].(string)
			if !slices.Contains(Rules(), Rule(rule)) {
				t.Errorf("%s %s has no rule", method, path)
			}
			out = append(out, operation{method, path, Rule(rule), op})
		}
	}
	if len(out) < 40 {
		t.Fatalf("only %d routes", len(out))
	}
	return out
}

// ask sends a request to the route that an administrator may send and that
// changes nothing: the edits miss their precondition, the rest is incomplete.
func (o operation) ask(a *agent, user string) reply {
	path := strings.NewReplacer("{name}", user, "{peer}", "none", "{service}", "dns", "{id}", "none", "{address}", "192.0.2.1").Replace(o.path)
	var query []string
	for _, p := range o.spec.Parameters {
		if p.In == "query" && p.Required {
			query = append(query, p.Name+"=1")
		}
	}
	if o.path == "/api/events" {
		query = append(query, "types=none") // a stream would not end
	}
	if query != nil {
		path += "?" + strings.Join(query, "&")
	}
	var body any
	if o.spec.RequestBody != nil {
		body = "{}"
	}
	return a.do(o.method, path, body, "If-Match", `"999999"`)
}

// Every route, asked by everybody: what the rule of the route says is what the
// caller gets. A new route is in the table by itself.
func TestRulesDecideWhoMayCall(t *testing.T) {
	h := newHousehold(t)
	agents := map[string]*agent{}
	for _, o := range operations(t, h.api) {
		t.Run(o.method+o.path, func(t *testing.T) {
			for who, may := range map[string]bool{
				"stranger":     o.rule == Anyone,
				"user":         slices.Contains([]Rule{Anyone, SignedIn, Self}, o.rule),
				"viewer":       slices.Contains([]Rule{Anyone, SignedIn, Viewers}, o.rule), // asks about the user: not self
				"admin":        true,
				"bad csrf":     o.rule == Anyone || o.method == "GET",
				"no csrf":      o.rule == Anyone || o.method == "GET",
				"bad session":  o.rule == Anyone,
				"bad token":    o.rule == Anyone,
				"basic":        o.rule == Anyone,
				"viewer token": slices.Contains([]Rule{Anyone, SignedIn, Viewers}, o.rule),
			} {
				a := agents[who]
				if a == nil {
					a = h.caller(who)
					agents[who] = a
				}
				if o.path == "/api/auth/logout" {
					delete(agents, who)
				}
				got := o.ask(a, "bob")
				denied := got.StatusCode == http.StatusUnauthorized || got.StatusCode == http.StatusForbidden
				if o.path == "/api/auth/login" || o.path == "/api/setup" {
					denied = false // their own refusals look the same
				}
				if denied == may {
					t.Errorf("%s: status %d: %s", who, got.StatusCode, got.body)
				}
				if who == "stranger" && !may && got.StatusCode != http.StatusUnauthorized {
					t.Errorf("a stranger gets %d instead of 401", got.StatusCode)
				}
				if got.StatusCode >= 400 {
					got.problem(t, got.StatusCode)
				}
			}
		})
	}
}

func (h *household) caller(who string) *agent {
	switch who {
	case "user":
		return h.as("bob")
	case "viewer":
		return h.as("vera")
	case "admin":
		return h.as("alice")
	case "bad csrf":
		a := h.as("alice")
		a.csrf += "x"
		return a
	case "no csrf":
		a := h.as("alice")
		a.csrf = ""
		return a
	case "bad session":
		return &agent{h: h, session: "nonsense", csrf: "nonsense"}
	case "bad token":
		return &agent{h: h, bearer: "nonsense"}
	case "viewer token":
		_, secret, err := h.deps.Users.CreateToken(h.t.Context(), "alice", "test", "viewer")
		must(h.t, err)
		return &agent{h: h, bearer: secret}
	}
	return h.stranger()
}

func TestNobodyIsSelfForSomebodyElse(t *testing.T) {
	h := newHousehold(t)
	for _, o := range operations(t, h.api) {
		if o.rule != Self {
			continue
		}
		o.ask(h.as("bob"), "carl").problem(t, http.StatusForbidden)
		if got := o.ask(h.as("alice"), "carl"); got.StatusCode == http.StatusForbidden {
			t.Errorf("an administrator may not %s %s", o.method, o.path)
		}
	}
}

// The spec is a promise about the answers, too.
func TestAnswersFitTheirSchemas(t *testing.T) {
	h := newHousehold(t)
	alice := h.as("alice")
	alice.do("POST", "/api/peers", `{"name":"laptop","owner":"bob"}`).want(t, 200, nil)
	alice.do("POST", "/api/users/bob/app-passwords", `{"label":"phone","scopes":["mail"]}`).want(t, 201, nil)
	alice.do("POST", "/api/tokens", `{"label":"script"}`).want(t, 201, nil)
	h.deps.Log.Info("something", "unit", "dns", "n", 1)
	registry := h.api.huma.OpenAPI().Components.Schemas
	for _, o := range operations(t, h.api) {
		if o.method != "GET" || strings.Contains(o.path, "{id}") || o.path == "/api/events" {
			continue
		}
		path := strings.NewReplacer("{name}", "bob", "{peer}", "laptop", "{service}", "dns", "{zone}", "oak.home.arpa").Replace(o.path)
		switch o.path {
		case "/api/config/value":
			path += "?path=users"
		case "/api/config/diff":
			path += "?from=1"
		case "/api/explain":
			path += "?from=laptop&to=cell"
		case "/api/dns/lookup":
			path += "?name=home"
		}
		got := alice.do("GET", path, nil)
		got.want(t, 200, nil)
		media := o.spec.Responses["200"].Content["application/json"]
		if media == nil {
			continue
		}
		var v any
		if err := json.Unmarshal(got.body, &v); err != nil {
			t.Errorf("%s: %v", path, err)
			continue
		}
		res := &huma.ValidateResult{}
		huma.Validate(registry, media.Schema, huma.NewPathBuffer(nil, 0), huma.ModeReadFromServer, v, res)
		for _, err := range res.Errors {
			t.Errorf("GET %s does not fit its schema: %v", path, err)
		}
	}
}
