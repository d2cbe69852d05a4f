package store

import (
	"fmt"
	"strings"
	"unicode"
	"unicode/utf8"
)

// Inbox is the mailbox that new mail goes to. It cannot be deleted.
const Inbox = "INBOX"

const (
	maxName  = 512 // bytes of a whole name
	maxLevel = 255 // bytes of one level
	maxDepth = 16
)

// canonical is the name under which a mailbox is kept: INBOX is INBOX in
// whatever case (RFC 9051 §5.1), also as the first level of others.
func canonical(name string) string {
	first, rest, sub := strings.Cut(name, "/")
	if !strings.EqualFold(first, Inbox) {
		return name
	}
	if !sub {
		return Inbox
	}
	return Inbox + "/" + rest
}

// checkName says what is wrong with the name of a new mailbox.
func checkName(name string) error {
	bad := func(why string) error { return fmt.Errorf("%w: %s", ErrName, why) }
	if len(name) > maxName {
		return bad("it is too long")
	}
	if !utf8.ValidString(name) {
		return bad("it is not UTF-8")
	}
	levels := strings.Split(name, "/")
	if len(levels) > maxDepth {
		return bad("it has too many levels")
	}
	for _, l := range levels {
		switch {
		case l == "":
			return bad("a level of it is empty")
		case len(l) > maxLevel:
			return bad("a level of it is too long")
		case strings.TrimSpace(l) != l:
			return bad("a level of it begins or ends with a space")
		}
	}
	for _, r := range name {
		switch {
		case unicode.IsControl(r), r == 0x2028, r == 0x2029, r == utf8.RuneError:
			return bad("it has control characters")
		case r == '%', r == '*':
			return bad("% and * stand for other characters")
		}
	}
	return nil
}

// checkKeyword says whether name can be a keyword (RFC 9051 §2.3.2: an atom).
func checkKeyword(name string) error {
	if name == "" || len(name) > 100 {
		return fmt.Errorf("%w: keyword of %d bytes", ErrLimit, len(name))
	}
	for i := range len(name) {
		if c := name[i]; c <= ' ' || c >= 0x7F || strings.IndexByte(`(){%*"\]`, c) >= 0 {
			return fmt.Errorf("%w: %q is not a keyword", ErrName, name)
		}
	}
	return nil
}
