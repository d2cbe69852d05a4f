package policy

import (
	"strings"

	"golang.org/x/net/idna"
)

const maxWire = 255

// appendWire appends the wire form, in lower case, of a name of letters, digits,
// - and _; a last dot may be there. ok is false for what is no such name, which
// includes addresses: a last label of digits alone is none of the Internet.
func appendWire(wire, name []byte) (_ []byte, ok bool) {
	if n := len(name); n > 0 && name[n-1] == '.' {
		name = name[:n-1]
	}
	if len(name) == 0 || len(name) > maxWire-2 {
		return nil, false
	}
	at, digits := len(wire), true
	wire = append(wire, 0)
	for _, c := range name {
		switch {
		case c == '.':
			if wire[at] == 0 {
				return nil, false
			}
			at, digits = len(wire), true
			wire = append(wire, 0)
			continue
		case 'A' <= c && c <= 'Z':
			c += 'a' - 'A'
			digits = false
		case 'a' <= c && c <= 'z', c == '-', c == '_':
			digits = false
		case '0' <= c && c <= '9':
		default:
			return nil, false
		}
		if wire[at]++; wire[at] > 63 {
			return nil, false
		}
		wire = append(wire, c)
	}
	return append(wire, 0), wire[at] != 0 && !digits
}

// wireOf is appendWire for names that may be written in any script.
func wireOf(name string) (string, bool) {
	var buf [maxWire + 1]byte
	if wire, ok := appendWire(buf[:0], []byte(name)); ok {
		return string(wire), true
	}
	if !strings.ContainsFunc(name, func(r rune) bool { return r >= 0x80 }) {
		return "", false
	}
	ascii, err := idna.Lookup.ToASCII(name)
	if err != nil {
		return "", false
	}
	wire, ok := appendWire(buf[:0], []byte(ascii))
	return string(wire), ok
}

// appendText appends a name in wire form as people write it, without the last
// dot. Of octets that no host name has, it is not exact.
func appendText(b []byte, wire string) []byte {
	start := len(b)
	for i := 0; i < len(wire); {
		n := int(wire[i])
		if n == 0 || i+1+n > len(wire) {
			break
		}
		if len(b) > start {
			b = append(b, '.')
		}
		for _, c := range []byte(wire[i+1 : i+1+n]) {
			if c == '.' || c <= ' ' {
				c = '?'
			}
			b = append(b, c)
		}
		i += 1 + n
	}
	return b
}

func textOf(wire string) string { return string(appendText(nil, wire)) }

// parent returns a name in wire form without its first label; the root's is the
// root.
func parent(wire string) string {
	if len(wire) <= 1 || 1+int(wire[0]) >= len(wire) {
		return "\x00"
	}
	return wire[1+int(wire[0]):]
}
