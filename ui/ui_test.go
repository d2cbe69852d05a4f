package ui

import (
	"bytes"
	"compress/gzip"
	"io"
	"net/http"
	"net/http/httptest"
	"regexp"
	"strings"
	"testing"
	"testing/fstest"
)

const script = `console.log("the same words again and again and again and again")`

func built(t *testing.T) *site {
	t.Helper()
	var zipped bytes.Buffer
	z := gzip.NewWriter(&zipped)
	io.WriteString(z, script)
	z.Close()
	return newSite(fstest.MapFS{
		".placeholder":          {Data: []byte("x")},
		"index.html":            {Data: []byte(`<meta property="csp-nonce" nonce="__CSP_NONCE__"><p>cell</p>`)},
		"theme.js.gz":           {Data: zipped.Bytes()},
		"assets/app-1a2b.js.gz": {Data: zipped.Bytes()},
		"assets/geist.woff2":    {Data: []byte("font")},
	})
}

func get(h http.Handler, path string, header ...string) *http.Response {
	r := httptest.NewRequest("GET", path, nil)
	for i := 0; i+1 < len(header); i += 2 {
		r.Header.Set(header[i], header[i+1])
	}
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	return w.Result()
}

func text(t *testing.T, r *http.Response) string {
	t.Helper()
	b, err := io.ReadAll(r.Body)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

func TestPathsLeadToPagesFilesOrNothing(t *testing.T) {
	s := built(t)
	for name, tt := range map[string]struct {
		path   string
		status int
		page   bool
	}{
		"start":              {"/", 200, true},
		"page":               {"/peers", 200, true},
		"page below a page":  {"/logs/timeline", 200, true},
		"file":               {"/theme.js", 200, false},
		"unknown script":     {"/app.js", 404, false},
		"unknown asset":      {"/assets/gone", 404, false},
		"unknown API path":   {"/api/nothing", 404, false},
		"hidden file":        {"/.placeholder", 404, false},
		"packed form itself": {"/theme.js.gz", 404, false},
		"climbing out":       {"/../ui.go", 404, false},
	} {
		t.Run(name, func(t *testing.T) {
			r := get(s, tt.path)
			if r.StatusCode != tt.status {
				t.Fatalf("GET %s = %d, want %d", tt.path, r.StatusCode, tt.status)
			}
			if got := strings.Contains(text(t, r), "<p>cell</p>"); got != tt.page {
				t.Errorf("GET %s is the page: %v, want %v", tt.path, got, tt.page)
			}
			if r.Header.Get("X-Content-Type-Options") != "nosniff" {
				t.Error("no nosniff header")
			}
		})
	}
}

func TestEachPageHasItsOwnNonceInHeaderAndBody(t *testing.T) {
	s := built(t)
	seen := map[string]bool{}
	inHeader := regexp.MustCompile(`style-src 'self' 'nonce-([A-Za-z0-9+/=]{24})';`)
	for range 3 {
		r := get(s, "/")
		m := inHeader.FindStringSubmatch(r.Header.Get("Content-Security-Policy"))
		if m == nil {
			t.Fatalf("no nonce in %q", r.Header.Get("Content-Security-Policy"))
		}
		if !strings.Contains(text(t, r), `nonce="`+m[1]+`"`) {
			t.Error("the page does not carry the header's nonce")
		}
		seen[m[1]] = true
	}
	if len(seen) != 3 {
		t.Errorf("%d different nonces in 3 answers", len(seen))
	}
}

func TestPolicyAllowsNoForeignOrInlineScript(t *testing.T) {
	csp := get(built(t), "/").Header.Get("Content-Security-Policy")
	for _, want := range []string{"default-src 'none'", "script-src 'self';", "frame-ancestors 'none'", "base-uri 'none'"} {
		if !strings.Contains(csp, want) {
			t.Errorf("%q lacks %q", csp, want)
		}
	}
	for _, never := range []string{"unsafe", "http:", "https:", "*"} {
		if strings.Contains(csp, never) {
			t.Errorf("%q has %q", csp, never)
		}
	}
}

func TestPackedFilesReachEveryClient(t *testing.T) {
	s := built(t)
	for name, tt := range map[string]struct {
		accept string
		zipped bool
	}{
		"browser":     {"gzip, deflate, br, zstd", true},
		"anything":    {"*", true},
		"nothing":     {"", false},
		"refused":     {"gzip;q=0, *", false},
		"weight":      {"br, gzip; q=0.4", true},
		"bad weight":  {"gzip;q=x", false},
		"not gzip":    {"br", false},
		"all refused": {"*;q=0", false},
	} {
		t.Run(name, func(t *testing.T) {
			r := get(s, "/assets/app-1a2b.js", "Accept-Encoding", tt.accept)
			if got := r.Header.Get("Content-Encoding") == "gzip"; got != tt.zipped {
				t.Fatalf("gzip: %v, want %v", got, tt.zipped)
			}
			body := io.Reader(r.Body)
			if tt.zipped {
				z, err := gzip.NewReader(body)
				if err != nil {
					t.Fatal(err)
				}
				body = z
			}
			b, err := io.ReadAll(body)
			if err != nil || string(b) != script {
				t.Errorf("body %q, %v", b, err)
			}
			if r.Header.Get("Content-Type") != "text/javascript; charset=utf-8" || r.Header.Get("Vary") != "Accept-Encoding" {
				t.Errorf("headers %v", r.Header)
			}
		})
	}
}

func TestOnlyHashedFilesAreCachedForGood(t *testing.T) {
	s := built(t)
	if c := get(s, "/assets/geist.woff2").Header.Get("Cache-Control"); !strings.Contains(c, "immutable") {
		t.Errorf("asset: %q", c)
	}
	for _, path := range []string{"/", "/theme.js"} {
		if c := get(s, path).Header.Get("Cache-Control"); c != "no-cache" {
			t.Errorf("%s: %q", path, c)
		}
	}
	tag := get(s, "/theme.js").Header.Get("ETag")
	if r := get(s, "/theme.js", "If-None-Match", `"other", W/`+tag); r.StatusCode != http.StatusNotModified {
		t.Errorf("known file answers %d", r.StatusCode)
	}
}

func TestOnlyReadingIsAllowed(t *testing.T) {
	w := httptest.NewRecorder()
	built(t).ServeHTTP(w, httptest.NewRequest("POST", "/", nil))
	if w.Code != http.StatusMethodNotAllowed || w.Header().Get("Allow") != "GET, HEAD" {
		t.Errorf("POST: %d, Allow %q", w.Code, w.Header().Get("Allow"))
	}
	for _, path := range []string{"/", "/theme.js"} {
		w := httptest.NewRecorder()
		built(t).ServeHTTP(w, httptest.NewRequest("HEAD", path, nil))
		if w.Code != 200 || w.Body.Len() != 0 {
			t.Errorf("HEAD %s: %d with %d bytes", path, w.Code, w.Body.Len())
		}
	}
}

func TestUnbuiltUISaysHowToBuildIt(t *testing.T) {
	r := get(newSite(fstest.MapFS{".placeholder": {Data: []byte("x")}}), "/")
	if r.StatusCode != 200 || !strings.Contains(text(t, r), "make ui") {
		t.Errorf("answer %d without the advice", r.StatusCode)
	}
}

func TestEmbeddedUIAnswers(t *testing.T) {
	if r := get(Handler(), "/"); r.StatusCode != 200 {
		t.Errorf("GET / = %d", r.StatusCode)
	}
}

func FuzzAcceptsGzip(f *testing.F) {
	for _, s := range []string{"gzip", "gzip;q=0", "*;q=0.1, br", ";;,,q=", "GZIP ; q=1.0"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, header string) {
		if acceptsGzip(header) && !strings.Contains(strings.ToLower(header), "gzip") && !strings.Contains(header, "*") {
			t.Fatalf("%q names neither gzip nor *", header)
		}
	})
}
