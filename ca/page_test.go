package ca

import (
	"crypto/x509"
	"net/http/httptest"
	"net/netip"
	"strings"
	"testing"
	"time"
)

func TestRootIsOffered(t *testing.T) {
	s := newServer(t, t.TempDir())
	h := s.Handler()
	get := func(method, path string) *httptest.ResponseRecorder {
		w := httptest.NewRecorder()
		h.ServeHTTP(w, httptest.NewRequest(method, "http://ca.oak.home.arpa"+path, nil))
		return w
	}
	for _, p := range []string{"/", "/root.pem", "/root.crt"} {
		if w := get("GET", p); w.Code != 503 {
			t.Errorf("%s before there is a root: %d", p, w.Code)
		}
	}
	apply(t, s, oak())
	if w := get("GET", "/root.pem"); w.Code != 200 || w.Body.String() != string(s.RootPEM()) ||
		w.Header().Get("Content-Type") != "application/x-pem-file" {
		t.Errorf("root.pem: %d %v", w.Code, w.Header())
	}
	w := get("GET", "/root.crt")
	if c, err := x509.ParseCertificate(w.Body.Bytes()); err != nil || !c.IsCA || w.Header().Get("Content-Type") != "application/x-x509-ca-cert" {
		t.Errorf("root.crt: %d %v %v", w.Code, w.Header(), err)
	}
	r, _ := s.Root()
	if w := get("GET", "/"); w.Code != 200 || !strings.Contains(w.Body.String(), r.SHA256) || w.Header().Get("Content-Security-Policy") == "" {
		t.Errorf("page: %d %s", w.Code, w.Body)
	}
	if w := get("HEAD", "/root.pem"); w.Code != 200 {
		t.Errorf("HEAD: %d", w.Code)
	}
	if w := get("POST", "/root.pem"); w.Code != 405 {
		t.Errorf("POST: %d", w.Code)
	}
	if w := get("GET", "/root.key"); w.Code != 404 {
		t.Errorf("root.key: %d", w.Code)
	}
}

func TestFactsTellTheRoot(t *testing.T) {
	s := newServer(t, t.TempDir())
	if s.Facts() != nil || s.Problems() != nil {
		t.Error("facts of nothing")
	}
	c := oak("git.oak.home.arpa")
	c.Foreign = []string{"www.example.org"}
	apply(t, s, c)
	facts := map[string]string{}
	for _, f := range s.Facts() {
		facts[f.Name] = f.Value
	}
	r, _ := s.Root()
	if facts["certificates"] != "2" || facts["fingerprint"] != r.SHA256 || !strings.HasPrefix(facts["root"], "oak.home.arpa root CA") {
		t.Errorf("facts %v", facts)
	}
	if p := s.Problems(); len(p) != 1 || p[0].Code != "ca/foreign" || !strings.Contains(p[0].Text, "www.example.org") {
		t.Errorf("problems %+v", p)
	}
}

func TestUnfitConfigsAreRefused(t *testing.T) {
	for name, spoil := range map[string]func(*Config){
		"domain with a slash": func(c *Config) { c.Domain = "../x" },
		"domain of one label": func(c *Config) { c.Domain = "oak" },
		"life too short":      func(c *Config) { c.Life = time.Minute },
		"life too long":       func(c *Config) { c.Life = 10 * 365 * 24 * time.Hour },
		"foreign host":        func(c *Config) { c.Hosts = []string{"www.google.com"} },
		"no names":            func(c *Config) { c.Names = nil },
		"public address":      func(c *Config) { c.Addresses = append(c.Addresses, netip.MustParseAddr("8.8.8.8")) },
	} {
		c := oak()
		spoil(&c)
		if err := new(Server).Check(t.Context(), c); err == nil {
			t.Errorf("%s: accepted", name)
		}
	}
}

// Whatever nameFor lets pass must be a certificate that clients accept, for a
// name in the domain.
func FuzzNames(f *testing.F) {
	for _, n := range []string{"a.oak.home.arpa", "*.a.oak.home.arpa", "oak.home.arpa", "www.google.com", "*", ""} {
		f.Add(n)
	}
	now := time.Now()
	s := New(quiet, newSeal('k'), f.TempDir())
	apply(f, s, oak())
	f.Cleanup(func() { s.stop() })
	auth := s.live.Load().auth
	f.Fuzz(func(t *testing.T, name string) {
		if nameFor(name, "oak.home.arpa") != nil {
			return
		}
		if !strings.HasSuffix(name, "oak.home.arpa") {
			t.Fatalf("%q is not in the domain", name)
		}
		if _, err := auth.sign(&auth.key.PublicKey, subjects{names: []string{name}}, time.Hour, now); err != nil {
			t.Fatalf("%q: %v", name, err)
		}
	})
}
