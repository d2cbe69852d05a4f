package imapd

import (
	"strconv"
	"strings"
)

// drain takes what is left of a command that was refused, with its literals up
// to limit bytes in all. An error means that the connection must end.
func (p *parser) drain(limit int64) error {
	p.err = nil
	for !p.ended && p.io == nil {
		if p.waits { // and now for the answer instead
			p.ended = true
			break
		}
		if p.lit > 0 {
			if limit -= p.lit; limit < 0 {
				return errTooLong
			}
			p.discard()
			continue
		}
		if !p.have() {
			break
		}
		if c := p.buf[0]; c != '\n' {
			if p.size++; p.size > maxLine {
				return errTooLong
			}
			p.take1()
			continue
		}
		n, sync, announced, err := announcement(p.mem[:p.kept])
		if err != nil {
			return err
		}
		p.take1()
		if !announced || sync {
			p.ended = true
		} else {
			p.lit, p.waits = n, false
		}
	}
	return p.io
}

// discard takes the literal that was announced.
func (p *parser) discard() {
	for p.lit > 0 && p.have() {
		n := min(int64(len(p.buf)), p.lit)
		p.buf = p.buf[n:]
		p.lit -= n
	}
}

// announcement finds that of a literal at the end of a line.
func announcement(line []byte) (n int64, sync, ok bool, err error) {
	s := strings.TrimRight(string(line), " ")
	s, ok = strings.CutSuffix(s, "}")
	if !ok {
		return 0, false, false, nil
	}
	s, plus := strings.CutSuffix(s, "+")
	i := strings.LastIndexByte(s, '{')
	digits := s[i+1:]
	for _, c := range []byte(digits) {
		if c < '0' || c > '9' {
			return 0, false, false, nil
		}
	}
	switch {
	case digits == "":
		return 0, false, false, nil
	case i < 0: // so many digits that the beginning is out of sight
		return 0, false, false, errLiteral
	}
	n, err = strconv.ParseInt(digits, 10, 63)
	if err != nil {
		return 0, false, false, errLiteral
	}
	return n, !plus, n > 0 || plus, nil
}

// literal takes the announcement of a literal and the end of its line. Its
// bytes are for open and Read.
func (p *parser) literal() int64 {
	p.need('{')
	n := p.num64()
	plus := p.take('+')
	p.need('}')
	if p.take('\r') || p.is('\n') {
		if p.is('\n') {
			p.take1()
			p.lit, p.waits = n, !plus
			return n
		}
	}
	p.fail("Syntax error: a literal does not begin here")
	return 0
}

// open has the client send the literal that was announced.
func (p *parser) open() {
	if p.err == nil && p.waits {
		p.waits = false
		if err := p.src.ask(); err != nil {
			p.err, p.io = err, err
		}
	}
}

// bytes takes a literal of n bytes.
func (p *parser) bytes(n int64) string {
	if n > maxString || p.strings+int(n) > maxStrings {
		p.fail("Literal too big")
		return ""
	}
	p.strings += int(n)
	p.open()
	b := make([]byte, 0, n)
	for p.err == nil && int64(len(b)) < n && p.have() {
		k := min(len(p.buf), int(n)-len(b))
		b = append(b, p.buf[:k]...)
		p.buf = p.buf[k:]
		p.lit -= int64(k)
	}
	return string(b)
}
