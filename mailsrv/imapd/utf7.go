package imapd

import (
	"encoding/base64"
	"errors"
	"strings"
	"unicode/utf16"
	"unicode/utf8"
)

// utf7 is the encoding of mailbox names in IMAP4rev1 (RFC 3501 §5.1.3).
var utf7 = coding{base64.NewEncoding("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+,").WithPadding(base64.NoPadding).Strict()}

type coding struct{ b64 *base64.Encoding }

var errUTF7 = errors.New("a name that is not modified UTF-7")

func (c coding) decode(s string) (string, error) {
	var sb strings.Builder
	for s != "" {
		if ch := s[0]; ch != '&' {
			if ch < ' ' || ch > '~' {
				return "", errUTF7
			}
			sb.WriteByte(ch)
			s = s[1:]
			continue
		}
		part, rest, ok := strings.Cut(s[1:], "-")
		if !ok {
			return "", errUTF7
		}
		s = rest
		if part == "" {
			sb.WriteByte('&')
			continue
		}
		b, err := c.b64.DecodeString(part)
		if err != nil || len(b)%2 != 0 {
			return "", errUTF7
		}
		for len(b) > 0 {
			r := rune(b[0])<<8 | rune(b[1])
			b = b[2:]
			if utf16.IsSurrogate(r) {
				if len(b) < 2 {
					return "", errUTF7
				}
				r = utf16.DecodeRune(r, rune(b[0])<<8|rune(b[1]))
				b = b[2:]
			}
			if r == utf8.RuneError || r >= ' ' && r <= '~' { // those stand for themselves
				return "", errUTF7
			}
			sb.WriteRune(r)
		}
	}
	return sb.String(), nil
}

func (c coding) encode(s string) string {
	var sb strings.Builder
	var run []byte
	flush := func() {
		if len(run) > 0 {
			sb.WriteByte('&')
			sb.WriteString(c.b64.EncodeToString(run))
			sb.WriteByte('-')
			run = run[:0]
		}
	}
	for _, r := range s {
		if r >= ' ' && r <= '~' {
			flush()
			sb.WriteRune(r)
			if r == '&' {
				sb.WriteByte('-')
			}
			continue
		}
		for _, u := range utf16.AppendRune(nil, r) {
			run = append(run, byte(u>>8), byte(u))
		}
	}
	flush()
	return sb.String()
}
