package proxy

import (
	"net/http"
	"strings"
	"testing"
)

func TestHostnames(t *testing.T) {
	for in, want := range map[string]string{
		"oak.home.arpa":       "oak.home.arpa",
		"OAK.home.arpa:10443": "oak.home.arpa",
		"oak.home.arpa.":      "oak.home.arpa",
		"oak.home.arpa.:443":  "oak.home.arpa",
		"[::1]:443":           "::1",
		"[::1]":               "::1",
		"::1":                 "::1",
		"127.0.0.1:1":         "127.0.0.1",
		"":                    "",
		":443":                "",
		"[":                   "[",
	} {
		if got := hostname(in); got != want {
			t.Errorf("%q is %q, want %q", in, got, want)
		}
	}
}

// Whatever a client says, it reaches a site only by that site's exact name, in
// any case, with a port and a final dot at most.
func FuzzSite(f *testing.F) {
	for _, h := range []string{"oak.home.arpa", "git.oak.home.arpa:443", "GIT.OAK.HOME.ARPA.", "[::1]:1", "127.0.0.1", "localhost", "evil", "a:b:c", "[x", "xgit.oak.home.arpa"} {
		f.Add(h)
	}
	git, apex, home := &site{}, &site{}, &site{}
	tab := &table{hosts: map[string]*site{"git.oak.home.arpa": git, "oak.home.arpa": apex}, home: home}
	f.Fuzz(func(t *testing.T, host string) {
		p, name := tab.site(host)
		if strings.ToLower(name) != name {
			t.Errorf("name %q", name)
		}
		bare := strings.ToLower(host)
		if i := strings.LastIndexByte(bare, ':'); i >= 0 && !strings.HasSuffix(bare, "]") && !strings.Contains(bare[:i], ":") {
			bare = bare[:i]
		}
		bare = strings.TrimSuffix(bare, ".")
		if (p == git) != (bare == "git.oak.home.arpa") || (p == apex) != (bare == "oak.home.arpa") {
			t.Errorf("%q reaches git: %v, apex: %v", host, p == git, p == apex)
		}
		if p == home && strings.ContainsAny(name, "/ \\@") {
			t.Errorf("%q reaches home", host)
		}
	})
}

// No name that begins as a reserved one may be left, however it is written.
func FuzzUndress(f *testing.F) {
	for _, n := range []string{"X-Forwarded-For", "remote_user", "X_Forwarded-User", "Referer", "Proxy", "Proxying"} {
		f.Add(n)
	}
	f.Fuzz(func(t *testing.T, name string) {
		if !token([]byte(name)) {
			return // net/http and the guard let no such name in
		}
		h := http.Header{http.CanonicalHeaderKey(name): {"v"}, "Cookie": {"kept"}, "Te": {"kept"}, "X-Requested-With": {"kept"}}
		undress(h)
		for left := range h {
			n := strings.ToLower(strings.ReplaceAll(left, "_", "-"))
			for _, p := range []string{"x-forwarded-", "remote-", "x-remote-", "ssl-client-", "x-webauth-"} {
				if strings.HasPrefix(n, p) {
					t.Errorf("%q is left as %q", name, left)
				}
			}
		}
		if h.Get("Cookie")+h.Get("Te")+h.Get("X-Requested-With") != "keptkeptkept" {
			t.Errorf("%q took others along: %v", name, h)
		}
	})
}
