package davsrv

import (
	"strings"

	"golang.org/x/text/unicode/norm"
)

// A collation says which texts are equal (RFC 4790).
type collation string

const (
	asciiCasemap   collation = "i;ascii-casemap"
	unicodeCasemap collation = "i;unicode-casemap" // RFC 5051
	octet          collation = "i;octet"
)

// collationOf reads the collation attribute of a text-match; def holds where
// there is none, and for "default".
func collationOf(attr string, def collation) (collation, bool) {
	switch c := collation(attr); c {
	case "", "default":
		return def, true
	case asciiCasemap, unicodeCasemap, octet:
		return c, true
	}
	return "", false
}

// fold brings s into the form in which equal texts have equal bytes.
func (c collation) fold(s string) string {
	switch c {
	case octet:
		return s
	case asciiCasemap:
		return strings.Map(func(r rune) rune {
			if r >= 'A' && r <= 'Z' {
				return r + 'a' - 'A'
			}
			return r
		}, s)
	}
	return norm.NFKD.String(strings.ToTitle(s))
}

func (c collation) contains(s, sub string) bool {
	return strings.Contains(c.fold(s), c.fold(sub))
}
