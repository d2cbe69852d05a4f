package davsrv

import (
	"bytes"
	"errors"
	"fmt"
	"strings"
)

// maxLines bounds the unfolded lines of one object.
const maxLines = 50_000

// A contentLine is one unfolded line of an iCalendar or vCard object (RFC 5545
// §3.1, RFC 6350 §3.3).
type contentLine struct {
	group  string // vCard's item1. before the name
	name   string // upper case
	params map[string][]string
	value  string // as written, escapes and all
}

// contentLines yields the lines of data in order. It is linear in len(data),
// and as lenient as real exports need: a BOM, bare line feeds and blank lines
// are accepted, and lines that are no content lines are left out.
func contentLines(data []byte, yield func(contentLine) error) error {
	data = bytes.TrimPrefix(data, []byte("\ufeff"))
	var folded []byte
	for n := 0; len(data) > 0; {
		line := cutLine(&data)
		if len(data) > 0 && isFold(data[0]) {
			folded = append(folded[:0], line...)
			for len(data) > 0 && isFold(data[0]) {
				folded = append(folded, cutLine(&data)[1:]...)
			}
			line = folded
		}
		if len(line) == 0 {
			continue
		}
		if n++; n > maxLines {
			return fmt.Errorf("it has more than %d lines", maxLines)
		}
		cl, err := parseLine(string(line))
		if err != nil {
			continue
		}
		if err := yield(cl); err != nil {
			return err
		}
	}
	return nil
}

func isFold(c byte) bool { return c == ' ' || c == '\t' }

// cutLine takes the first line off data, without its end.
func cutLine(data *[]byte) []byte {
	d := *data
	i := bytes.IndexByte(d, '\n')
	if i < 0 {
		*data = nil
		return bytes.TrimSuffix(d, []byte("\r"))
	}
	*data = d[i+1:]
	return bytes.TrimSuffix(d[:i], []byte("\r"))
}

var errNoLine = errors.New("not a content line")

func parseLine(s string) (contentLine, error) {
	var cl contentLine
	i := strings.IndexAny(s, ";:")
	if i <= 0 {
		return cl, errNoLine
	}
	name := s[:i]
	if g, rest, ok := strings.Cut(name, "."); ok {
		cl.group, name = g, rest
	}
	cl.name = strings.ToUpper(strings.TrimSpace(name))
	if cl.name == "" {
		return cl, errNoLine
	}
	for s = s[i:]; s[0] == ';'; {
		var err error
		if s, err = cl.param(s[1:]); err != nil {
			return cl, err
		}
	}
	cl.value = s[1:]
	return cl, nil
}

// param reads one parameter off the front of s and returns the rest, which
// begins with a semicolon or colon.
func (cl *contentLine) param(s string) (string, error) {
	i := strings.IndexAny(s, "=;:")
	if i < 0 {
		return "", errNoLine
	}
	name := strings.ToUpper(s[:i])
	if cl.params == nil {
		cl.params = make(map[string][]string)
	}
	if s[i] != '=' { // vCard 2.1 has values without a name: TEL;HOME:
		cl.params["TYPE"] = append(cl.params["TYPE"], s[:i])
		return s[i:], nil
	}
	for s = s[i+1:]; ; s = s[1:] {
		var v string
		if strings.HasPrefix(s, `"`) {
			end := strings.IndexByte(s[1:], '"')
			if end < 0 {
				return "", errNoLine
			}
			v, s = s[1:1+end], s[end+2:]
		}
		end := strings.IndexAny(s, ",;:")
		if end < 0 {
			return "", errNoLine
		}
		v, s = v+s[:end], s[end:]
		cl.params[name] = append(cl.params[name], v)
		if s[0] != ',' {
			return s, nil
		}
	}
}

// unescape decodes the escapes of a text value (RFC 5545 §3.3.11).
func unescape(s string) string {
	if !strings.Contains(s, `\`) {
		return s
	}
	var b strings.Builder
	for i := 0; i < len(s); i++ {
		if s[i] != '\\' || i+1 == len(s) {
			b.WriteByte(s[i])
			continue
		}
		i++
		switch s[i] {
		case 'n', 'N':
			b.WriteByte('\n')
		default:
			b.WriteByte(s[i])
		}
	}
	return b.String()
}
