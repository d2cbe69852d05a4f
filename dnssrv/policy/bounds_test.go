package policy

import (
	"runtime"
	"strings"
	"testing"
)

// An expression that is refused for its size takes no memory before.
func TestExpressionsAreWeighedBeforeTheyAreCompiled(t *testing.T) {
	for name, s := range map[string]string{
		"sets":     "(?:" + strings.Repeat("[ab]", 120) + "){1000}",
		"letters":  "(?:" + strings.Repeat("a", 500) + "){900}",
		"optional": "(?:" + strings.Repeat("[ab]?", 90) + "){0,1000}",
	} {
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		_, err := parsePattern(s)
		runtime.ReadMemStats(&after)
		if err == nil {
			t.Errorf("%s: taken", name)
		}
		if n := after.TotalAlloc - before.TotalAlloc; n > 1<<20 {
			t.Errorf("%s: %d bytes to refuse it", name, n)
		}
	}
}

// The place where nothing is left of a name is one too.
func TestStarsMatchToTheEndOfAName(t *testing.T) {
	for text, names := range map[string]map[string]bool{
		"*ab*ab^":   {"x.ab": false, "ab.ab": true, "ab.x.ab": true, "ab.abc": false},
		"a*b*b":     {"a.b": false, "a.bb": true, "xa.b.b": true},
		"||a*bc^":   {"a.x.bc": true, "b.a.x.bc": true, "a.x.bcd": false, "ca.x.bc": false},
		"||a^":      {"a": true, "a.a": true, "a.b": false},
		"a*b*a*b*a": {"abab": false, "ab.aba": true},
	} {
		p, err := parseAdblock(text)
		if err != nil {
			t.Fatalf("%s: %v", text, err)
		}
		for name, want := range names {
			if p.glob == nil {
				continue
			}
			if got := p.glob.match(name); got != want || slowGlob(p.glob, name) != want {
				t.Errorf("%s about %s: %v, want %v", text, name, got, want)
			}
		}
	}
}

type breaking struct{}

func (breaking) Read([]byte) (int, error) { panic("a rule that nobody thought of") }

func TestAListThatBreaksTheReaderLeavesTheOthers(t *testing.T) {
	s, err := newShelf(10)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := s.add("bad", breaking{}); err == nil || !strings.Contains(err.Error(), "nobody thought of") {
		t.Errorf("got %v", err)
	}
	if st, err := s.add("good", strings.NewReader("||ads.test^\n")); err != nil || st.Rules != 1 {
		t.Errorf("the next: %+v, %v", st, err)
	}
	lib, err := s.library()
	if err != nil || lib.names() != 1 {
		t.Errorf("%d names, %v", lib.names(), err)
	}
}
