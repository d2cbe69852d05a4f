package origin

import (
	"bytes"
	"errors"
	"strings"
)

var errTags = errors.New("not a list of tags")

// tags reads a list of tag=value pairs (RFC 6376 §3.2). A tag that comes twice
// makes all of it void.
func tags(s string) (map[string]string, error) {
	out := map[string]string{}
	for part := range strings.SplitSeq(s, ";") {
		part = strings.Trim(part, " \t\r\n")
		if part == "" {
			continue
		}
		name, value, ok := strings.Cut(part, "=")
		name = strings.TrimRight(name, " \t\r\n")
		if _, twice := out[name]; !ok || twice || !tagName(name) || len(out) == 40 {
			return nil, errTags
		}
		out[name] = strings.TrimLeft(value, " \t\r\n")
	}
	return out, nil
}

func tagName(s string) bool {
	for i, c := range []byte(s) {
		switch {
		case 'a' <= c && c <= 'z', 'A' <= c && c <= 'Z':
		case i > 0 && ('0' <= c && c <= '9' || c == '_'):
		default:
			return false
		}
	}
	return s != ""
}

// pressed is s without white space, which may stand anywhere in base64 and
// in lists.
func pressed(s string) string {
	return strings.Map(func(r rune) rune {
		if r == ' ' || r == '\t' || r == '\r' || r == '\n' {
			return -1
		}
		return r
	}, s)
}

// list splits a value at colons.
func list(s string) []string {
	var out []string
	for v := range strings.SplitSeq(pressed(s), ":") {
		if v != "" {
			out = append(out, strings.ToLower(v))
		}
	}
	return out
}

// A field is one of a header as it came, with the CRLF at its end.
type field struct {
	name string // in lower case
	raw  []byte
}

// value is what comes after the colon, as it came.
func (f field) value() []byte {
	_, v, _ := bytes.Cut(f.raw, []byte(":"))
	return v
}

// blanked returns raw without the value of its tag b, as a signature that covers
// its own field leaves it out (RFC 6376 §3.7).
func blanked(raw []byte) []byte {
	_, rest, _ := bytes.Cut(raw, []byte(":"))
	at := len(raw) - len(rest)
	out := bytes.Clone(raw[:at])
	for first := true; ; first = false {
		part, more, found := bytes.Cut(rest, []byte(";"))
		if !first {
			out = append(out, ';')
		}
		name, _, ok := bytes.Cut(part, []byte("="))
		if ok && string(bytes.Trim(name, " \t\r\n")) == "b" {
			out = append(append(out, name...), '=')
			if !found && bytes.HasSuffix(part, []byte("\r\n")) {
				out = append(out, "\r\n"...)
			}
		} else {
			out = append(out, part...)
		}
		if !found {
			return out
		}
		rest = more
	}
}
