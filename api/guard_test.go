package api

import (
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"testing"

	"pic/core/config"
)

// A page of another site can make a browser resolve its own name to the cell's
// address; the Host header gives it away.
func TestForeignHostNamesAreRefused(t *testing.T) {
	h := newHousehold(t)
	for host, ok := range map[string]bool{
		"localhost:8081":              true,
		"LOCALHOST":                   true,
		"pic.localhost":               true,
		"127.0.0.1:3000":              true,
		"192.168.1.5":                 true,
		"[::1]:8081":                  true,
		"[fe80::1%25eth0]:8081":       true,
		"oak":                         true,
		"oak.home.arpa":               true,
		"home.oak.home.arpa:443":      true,
		"home.oak.home.arpa.":         true,
		"raspberry":                   true,
		"raspberry.local:8081":        true,
		"evil.example":                false,
		"oak.home.arpa.evil.example":  false,
		"evil-oak.home.arpa":          false,
		"raspberry.evil.example":      false,
		"127.0.0.1.evil.example:3000": false,
		"home.arpa":                   false,
	} {
		got := h.stranger().do("GET", "/health", nil, "Host", host)
		if (got.StatusCode == 200) != ok {
			t.Errorf("host %s: status %d", host, got.StatusCode)
		}
	}
}

func TestOtherSitesCannotMakeABrowserCall(t *testing.T) {
	h := newHousehold(t)
	body := `{"login":"alice","password":"` + password + `"}`
	for name, header := range map[string][]string{
		"fetch metadata": {"Sec-Fetch-Site", "cross-site"},
		"origin":         {"Origin", "https://evil.example"},
	} {
		e := h.stranger().do("POST", "/api/auth/login", body, header...).problem(t, http.StatusForbidden)
		if e.Code != "forbidden" {
			t.Errorf("%s: code %q", name, e.Code)
		}
	}
	got := h.as("alice").do("GET", "/api/status", nil, "Origin", "https://evil.example")
	got.want(t, 200, nil)
	for k := range got.Header {
		if strings.HasPrefix(k, "Access-Control-") {
			t.Errorf("there is a CORS header: %s", k)
		}
	}
}

func TestOutsidersAreRefused(t *testing.T) {
	h := newHousehold(t)
	for from, ok := range map[string]bool{
		"127.0.0.1:1":           true,
		"[::1]:1":               true,
		"192.168.7.7:1":         true,
		"[::ffff:10.1.2.3]:1":   true,
		"[fe80::1%eth0]:1":      true,
		"198.51.100.7:1":        false,
		"[2001:db8::1]:1":       false,
		"not an address at all": false,
	} {
		r := httptest.NewRequest("GET", "http://127.0.0.1/health", nil)
		r.RemoteAddr = from
		w := httptest.NewRecorder()
		h.api.Handler().ServeHTTP(w, r)
		if (w.Code == 200) != ok {
			t.Errorf("from %s: status %d", from, w.Code)
		}
	}
	// A document that forgets loopback must not lock out the machine itself.
	_, err := h.deps.Store.Change(t.Context(), config.Change{Edit: func(d *config.Document) error {
		d.Network.Allow = []netip.Prefix{netip.MustParsePrefix("192.168.1.0/24")}
		return nil
	}})
	must(t, err)
	h.stranger().do("GET", "/health", nil).want(t, 200, nil)
}

func TestBadBodiesAreRefused(t *testing.T) {
	h := newHousehold(t)
	alice := h.as("alice")
	deep := strings.Repeat("[", 40) + strings.Repeat("]", 40)
	for name, tt := range map[string]struct {
		method, path, body string
		status             int
		header             []string
	}{
		"too large":        {"POST", "/api/auth/login", `{"login":"` + strings.Repeat("a", smallBody) + `"}`, 413, nil},
		"far too large":    {"POST", "/api/tx", `{"reason":"` + strings.Repeat("a", 2*largeBody) + `"}`, 413, nil},
		"too deep":         {"PUT", "/api/config/value", `{"path":"dns.upstreams","value":` + deep + `}`, 400, nil},
		"not JSON":         {"PUT", "/api/config/value", `{"path":`, 400, nil},
		"empty":            {"PUT", "/api/config/value", ``, 400, nil},
		"another type":     {"PUT", "/api/config/value", `path=x`, 415, []string{"Content-Type", "application/x-www-form-urlencoded"}},
		"unknown field":    {"PUT", "/api/config/value", `{"path":"dns","value":1,"dryRun":true}`, 422, nil},
		"wrong type":       {"PUT", "/api/config/value", `{"path":7,"value":1}`, 422, nil},
		"misspelt dry run": {"PUT", "/api/config/value?dryrun=1", `{"path":"dns.upstreams","value":[]}`, 422, nil},
		"no such path":     {"GET", "/api/nothing", ``, 404, nil},
		"wrong method":     {"DELETE", "/api/status", ``, 405, nil},
	} {
		var body any
		if tt.body != "" {
			body = tt.body
		}
		e := alice.do(tt.method, tt.path, body, tt.header...).problem(t, tt.status)
		if strings.Contains(e.Detail, "aaaa") {
			t.Errorf("%s: the body is echoed: %s", name, e.Detail)
		}
	}
	if rev := h.deps.Store.Current().Revision; rev != 1 {
		t.Errorf("the document changed: revision %d", rev)
	}
}

// The rest of a body that was refused must not be taken for the next request.
func TestARefusedBodyIsNotTheNextRequest(t *testing.T) {
	h := newHousehold(t)
	alice := h.as("alice")
	for range 3 {
		alice.do("POST", "/api/tx", `{"reason":"`+strings.Repeat("GET /health HTTP/1.1\r\nHost: localhost\r\n\r\n", largeBody/16)+`"}`).problem(t, 413)
		alice.do("GET", "/api/auth/session", nil).want(t, 200, nil)
	}
}

// What somebody typed may be a secret.
func TestFailuresDoNotEchoValues(t *testing.T) {
	h := newHousehold(t)
	got := h.stranger().do("POST", "/api/auth/login", `{"login":7,"password":["hunter2"],"passwort":"hunter2"}`)
	got.problem(t, 422)
	if strings.Contains(string(got.body), "hunter2") {
		t.Errorf("a password is echoed: %s", got.body)
	}
}

func TestEveryAnswerHasSafeHeaders(t *testing.T) {
	h := newHousehold(t)
	for _, path := range []string{"/health", "/api/nothing", "/api/status"} {
		got := h.stranger().do("GET", path, nil)
		for k, want := range map[string]string{"Cache-Control": "no-store", "X-Content-Type-Options": "nosniff"} {
			if got.Header.Get(k) != want {
				t.Errorf("%s: %s is %q", path, k, got.Header.Get(k))
			}
		}
	}
}

func TestAPanicIsAnAnswer(t *testing.T) {
	h := newHousehold(t)
	h.deps.Units = nil // the handler of /health will fall over this
	server := httptest.NewServer(New(h.deps).Handler())
	defer server.Close()
	h.server = server
	h.stranger().do("GET", "/health", nil).problem(t, http.StatusInternalServerError)
}

func TestDepth(t *testing.T) {
	for text, want := range map[string]int{
		``: 0, `1`: 0, `[]`: 1, `{"a":[{}]}`: 3, `"[[["`: 0, `"\"[["`: 0, `["[",[]]`: 2, `]]][`: 0,
	} {
		if got := depth([]byte(text)); got != want {
			t.Errorf("depth of %s is %d, want %d", text, got, want)
		}
	}
}
