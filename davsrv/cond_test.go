package davsrv

import (
	"errors"
	"net/http"
	"strings"
	"testing"
	"time"
)

func TestConditionsOfChanges(t *testing.T) {
	now := time.Date(2026, 3, 10, 12, 0, 0, 500, time.UTC)
	there := resourceState{true, `"a"`, now}
	for name, tt := range map[string]struct {
		header string
		value  string
		state  resourceState
		ok     bool
	}{
		"match":                     {"If-Match", `"a"`, there, true},
		"match in a list":           {"If-Match", `"x", "a"`, there, true},
		"comma within a tag":        {"If-Match", `"x,\"a"`, there, false},
		"no match":                  {"If-Match", `"b"`, there, false},
		"weak never matches":        {"If-Match", `W/"a"`, there, false},
		"anything":                  {"If-Match", `*`, there, true},
		"anything, nothing there":   {"If-Match", `*`, resourceState{}, false},
		"match, nothing there":      {"If-Match", `"a"`, resourceState{}, false},
		"malformed":                 {"If-Match", `a`, there, false},
		"none":                      {"If-None-Match", `*`, resourceState{}, true},
		"none, something there":     {"If-None-Match", `*`, there, false},
		"none match":                {"If-None-Match", `"b"`, there, true},
		"none match, it does":       {"If-None-Match", `"a"`, there, false},
		"none match, weakly":        {"If-None-Match", `W/"a"`, there, false},
		"collection has no tag":     {"If-Match", `"a"`, resourceState{exists: true}, false},
		"unmodified":                {"If-Unmodified-Since", now.Format(http.TimeFormat), there, true},
		"modified":                  {"If-Unmodified-Since", now.Add(-time.Minute).Format(http.TimeFormat), there, false},
		"unmodified, not a date":    {"If-Unmodified-Since", "yesterday", there, true},
		"unmodified, nothing there": {"If-Unmodified-Since", now.Format(http.TimeFormat), resourceState{}, true},
	} {
		t.Run(name, func(t *testing.T) {
			err := checkConditions(http.Header{tt.header: {tt.value}}, tt.state)
			if (err == nil) != tt.ok || err != nil && !errors.Is(err, errPrecondition) {
				t.Errorf("got %v, want ok %v", err, tt.ok)
			}
		})
	}
}

// fixed is a server's state with one locked file.
type fixed struct{}

func (fixed) etagOf(t target) string {
	if t.path() == "f" {
		return `"e"`
	}
	return ""
}
func (fixed) lockedBy(t target, token string) bool { return t.path() == "f" && token == "urn:t" }

func TestIfHeader(t *testing.T) {
	self := target{tree: treeFiles, owner: "alice", rest: []string{"f"}}
	r, _ := http.NewRequest("PUT", "http://cell/dav/files/alice/f", nil)
	for name, tt := range map[string]struct {
		header string
		holds  bool
		bad    bool
	}{
		"none":                      {"", true, false},
		"token":                     {"(<urn:t>)", true, false},
		"other token":               {"(<urn:x>)", false, false},
		"not other token":           {"(Not <urn:x>)", true, false},
		"token and tag":             {`(<urn:t> ["e"])`, true, false},
		"token and other tag":       {`(<urn:t> ["x"])`, false, false},
		"weak tag":                  {`([W/"e"])`, false, false},
		"second list":               {`(<urn:x>) (not <DAV:no-lock> ["e"])`, true, false},
		"tagged":                    {`<http://cell/dav/files/alice/f> (<urn:t>)`, true, false},
		"tagged by path":            {`</dav/files/alice/f> (<urn:t>)`, true, false},
		"tagged, other file":        {`</dav/files/alice/g> (<urn:t>)`, false, false},
		"tagged, other server":      {`<http://other/dav/files/alice/f> (<urn:t>)`, false, false},
		"other server, negated":     {`<http://other/dav/files/alice/f> (Not <urn:t>)`, true, false},
		"two resources":             {`</dav/files/alice/g> (<urn:t>) </dav/files/alice/f> (["e"])`, true, false},
		"empty list":                {"()", false, true},
		"not alone":                 {"(Not)", false, true},
		"unclosed":                  {"(<urn:t>", false, true},
		"unclosed tag":              {`(["e)`, false, true},
		"tag without list":          {"<urn:t>", false, true},
		"untagged before tagged":    {`(<urn:t>) </dav/files/alice/f> (<urn:t>)`, false, true},
		"words":                     {"urn:t", false, true},
		"too many":                  {"(" + strings.Repeat("<u:>", maxIfConditions+1) + ")", false, true},
		"too long":                  {strings.Repeat(" ", maxIfHeader+1), false, true},
		"tagged with something odd": {`<::> (Not <urn:t>)`, true, false},
	} {
		t.Run(name, func(t *testing.T) {
			h, err := parseIf(tt.header)
			if (err != nil) != tt.bad {
				t.Fatalf("parsing: %v", err)
			}
			if err == nil && h.holds(r, self, fixed{}) != tt.holds {
				t.Errorf("holds is %v", !tt.holds)
			}
		})
	}
}

// A header that is accepted says the same when it is written down again.
func FuzzIf(f *testing.F) {
	for _, s := range []string{`(<urn:t> ["e"]) (Not <DAV:no-lock>)`, `<http://a/b> (["x"]) (Not [W/"y"])`, "(", "<a>(<b>)(<c>)"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		h, err := parseIf(s)
		if err != nil {
			return
		}
		n := 0
		var b strings.Builder
		for _, l := range h {
			if l.resource != "" {
				b.WriteString("<" + l.resource + ">")
			}
			b.WriteString("(")
			for _, c := range l.conditions {
				n++
				if (c.token == "") == (c.etag == "") {
					t.Fatalf("a condition with both or none: %+v", c)
				}
				if c.not {
					b.WriteString("Not ")
				}
				if c.token != "" {
					b.WriteString("<" + c.token + "> ")
				} else {
					b.WriteString("[" + c.etag + "] ")
				}
			}
			b.WriteString(")")
		}
		if n > maxIfConditions || len(s) > 0 && n == 0 && trim(s) != "" {
			t.Fatalf("%d conditions in %q", n, s)
		}
		if b.Len() > maxIfHeader {
			return
		}
		again, err := parseIf(b.String())
		if err != nil || len(again) != len(h) {
			t.Fatalf("%q written as %q: %v", s, b.String(), err)
		}
	})
}
