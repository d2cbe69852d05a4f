package policy

import (
	"errors"
	"regexp"
	"regexp/syntax"
	"strings"
)

const (
	maxRegexp  = 512 // bytes of one expression
	maxWeight  = 1 << 20
	maxProgram = 500 // instructions of one, for its time is their number times the name's length
)

// A glob is a pattern of adblock syntax with text and *.
type glob struct {
	parts  []string // what * is between
	label  bool     // || : begins at a label
	start  bool     // |  : begins where the name does
	end    bool     // ^ or | : ends where the name does
	needle string   // the longest part
}

var (
	errEverything = errors.New("it is about every name")
	errBrowser    = errors.New("it is about addresses of pages, which only a browser sees")
	errTooLong    = errors.New("the expression takes too long to match")
	errName       = errors.New("it has what no name has")
)

// parseGlob reads what is left of a pattern after @@ and before $.
func parseGlob(s string) (glob, error) {
	var g glob
	if rest, ok := strings.CutPrefix(s, "||"); ok {
		g.label, s = true, rest
	} else if rest, ok := strings.CutPrefix(s, "|"); ok {
		g.start, s = true, rest
	}
	s = strings.TrimSuffix(s, "^*") // what comes after the end is up to the browser
	for _, end := range []string{"|", "^"} {
		if rest, ok := strings.CutSuffix(s, end); ok {
			g.end, s = true, rest
		}
	}
	s = strings.ToLower(s)
	for _, c := range []byte(s) {
		switch {
		case c == '/' || c == ':' || c == '?' || c == '=' || c == '&' || c == '%':
			return g, errBrowser
		case c != '.' && c != '*' && c != '-' && c != '_' && (c < '0' || c > '9') && (c < 'a' || c > 'z'):
			return g, errName
		}
	}
	for strings.Contains(s, "**") {
		s = strings.ReplaceAll(s, "**", "*")
	}
	g.parts = strings.Split(s, "*")
	for _, p := range g.parts {
		if len(p) > len(g.needle) {
			g.needle = p
		}
	}
	return g, nil
}

// everything reports whether the pattern leaves no name out.
func (g *glob) everything() bool { return g.needle == "" }

// match reports whether the pattern is about a name, written without last dot.
// Where the first part fits and there are others, a place further on leaves them
// no more room, so it is not tried: a list cannot make names cost more than
// their length.
func (g *glob) match(s string) bool {
	if !strings.Contains(s, g.needle) {
		return false
	}
	first, alone := g.parts[0], len(g.parts) == 1
	switch {
	case g.start:
	case g.label:
		for !strings.HasPrefix(s, first) || alone && g.end && len(s) > len(first) {
			i := strings.IndexByte(s, '.')
			if i < 0 {
				return false
			}
			s = s[i+1:]
		}
	case alone && g.end:
		return strings.HasSuffix(s, first)
	default:
		i := strings.Index(s, first)
		if i < 0 {
			return false
		}
		s = s[i:]
	}
	return g.from(s)
}

// from reports whether s is as the pattern says from its first octet on.
func (g *glob) from(s string) bool {
	s, ok := strings.CutPrefix(s, g.parts[0])
	if !ok {
		return false
	}
	last := len(g.parts) - 1
	if last == 0 {
		return !g.end || s == ""
	}
	for _, p := range g.parts[1:last] {
		i := strings.Index(s, p)
		if i < 0 {
			return false
		}
		s = s[i+len(p):]
	}
	if g.end {
		return strings.HasSuffix(s, g.parts[last])
	}
	return strings.Contains(s, g.parts[last])
}

// A pattern is a regular expression of a rule.
type pattern struct {
	re     *regexp.Regexp
	needle string // text that every match has
	size   int    // instructions
}

func parsePattern(s string) (*pattern, error) {
	if len(s) > maxRegexp {
		return nil, errors.New("the expression is longer than 512 characters")
	}
	tree, err := syntax.Parse(s, syntax.Perl|syntax.FoldCase)
	if err != nil {
		return nil, errors.New("the expression is not one of RE2: " + strings.TrimPrefix(err.Error(), "error parsing regexp: "))
	}
	if weight(tree) > 2*maxProgram { // before memory is spent on it
		return nil, errTooLong
	}
	tree = tree.Simplify()
	prog, err := syntax.Compile(tree)
	if err != nil || len(prog.Inst) > maxProgram {
		return nil, errTooLong
	}
	re, err := regexp.Compile("(?i)" + s)
	if err != nil {
		return nil, errors.New("the expression is not one of RE2")
	}
	return &pattern{re, strings.ToLower(needle(tree)), len(prog.Inst)}, nil
}

// weight is about how many instructions an expression comes to, no more than
// twice as many as it does; beyond maxWeight it is that.
func weight(re *syntax.Regexp) int {
	n := 1 + len(re.Rune)
	if re.Op != syntax.OpLiteral {
		n = 1
	}
	for _, sub := range re.Sub {
		n = min(n+weight(sub), maxWeight)
	}
	if re.Op == syntax.OpRepeat {
		n = min(n*max(re.Min, re.Max, 1), maxWeight)
	}
	return n
}

// needle returns text that whatever the expression matches must have.
func needle(re *syntax.Regexp) string {
	switch re.Op {
	case syntax.OpLiteral:
		for _, r := range re.Rune {
			if r >= 0x80 { // 'k' folds to a sign that is none of ASCII, and more such
				return ""
			}
		}
		return string(re.Rune)
	case syntax.OpCapture, syntax.OpPlus:
		return needle(re.Sub[0])
	case syntax.OpConcat:
		best := ""
		for _, sub := range re.Sub {
			if n := needle(sub); len(n) > len(best) {
				best = n
			}
		}
		return best
	}
	return ""
}

func (p *pattern) match(s string) bool {
	return (p.needle == "" || strings.Contains(s, p.needle)) && p.re.MatchString(s)
}

// everything reports whether the expression seems to leave no name out.
func (p *pattern) everything() bool {
	for _, s := range []string{"a.bc", "xn--4-z.qq", "0-7.w_v.jk"} {
		if !p.match(s) {
			return false
		}
	}
	return true
}
