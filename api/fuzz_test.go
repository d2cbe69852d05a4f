package api

import (
	"encoding/json"
	"strconv"
	"strings"
	"testing"

	"pic/core/config"
)

func FuzzDepth(f *testing.F) {
	for _, s := range []string{`{"a":[1,{"b":"]"}]}`, `"\\\"["`, `[[[`, `{"a":"\u005b"}`} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		got := depth([]byte(s))
		if got < 0 || got > len(s) {
			t.Fatalf("depth %d of %d bytes", got, len(s))
		}
		var v any
		if json.Unmarshal([]byte(s), &v) == nil && nesting(v) != got {
			t.Fatalf("depth %d, nesting %d", got, nesting(v))
		}
	})
}

// nesting is the depth of decoded JSON. Objects with a key twice lose a value.
func nesting(v any) int {
	deepest := 0
	switch v := v.(type) {
	case map[string]any:
		for _, e := range v {
			deepest = max(deepest, nesting(e))
		}
	case []any:
		for _, e := range v {
			deepest = max(deepest, nesting(e))
		}
	default:
		return 0
	}
	return deepest + 1
}

func FuzzOurHosts(f *testing.F) {
	for _, s := range []string{"oak.home.arpa", "evil.example", "[::1]:80", "a.oak.home.arpa:1", "127.0.0.1.evil", "[fe80::1%25x]"} {
		f.Add(s)
	}
	a := &API{Deps: Deps{Hostname: "pi"}}
	d := &config.Document{Cell: config.Cell{Name: "oak", Domain: "oak.home.arpa"}}
	f.Fuzz(func(t *testing.T, s string) {
		if !a.ours(d, s) {
			return
		}
		// Whatever is ours is an address or ends in a name that no stranger owns.
		host := strings.TrimSuffix(strings.ToLower(s), ".")
		if i := strings.LastIndexByte(host, ':'); i >= 0 && !strings.HasSuffix(host, "]") && strings.Count(host, ":") == 1 {
			host = strings.TrimSuffix(host[:i], ".")
		}
		for _, end := range []string{"localhost", "oak", "oak.home.arpa", "pi", "pi.local"} {
			if strings.HasSuffix(strings.Trim(host, "[]."), end) {
				return
			}
		}
		if !strings.ContainsAny(s, ":0123456789") {
			t.Fatalf("%q is ours", s)
		}
	})
}

func FuzzPreconditions(f *testing.F) {
	for _, s := range []string{``, `*`, `"7"`, `7`, `W/"7"`, `"7", "8"`, `"-1"`} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		n, err := Changing{IfMatch: s}.base()
		switch {
		case err != nil && n != 0:
			t.Fatalf("%q: base %d and %v", s, n, err)
		case n != 0 && strings.TrimSpace(s) != `"`+strconv.FormatInt(n, 10)+`"`:
			t.Fatalf("%q is read as revision %d", s, n)
		}
	})
}
