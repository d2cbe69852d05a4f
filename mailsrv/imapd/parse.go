package imapd

import (
	"errors"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/emersion/go-imap/v2"
)

// Bounds of one command.
const (
	maxLine    = 64 << 10  // without literals and sets of numbers
	maxStrings = 256 << 10 // of all literals but messages
	maxString  = 64 << 10  // of one of them
	maxRanges  = 200_000   // in sets of numbers
	maxList    = 1000      // things in a list
)

// A source is where a parser gets its bytes.
type source interface {
	fill() ([]byte, error) // the next, valid until it is called again
	ask() error            // tells the client to send its literal
}

// A parser takes a command off a stream, piece by piece, and never reads beyond
// its end. After the first thing that is not as it should be err is set, nothing
// more is taken, and what comes back is empty.
type parser struct {
	src  source
	buf  []byte // read and not yet taken
	err  error
	io   error // of the source; the connection is over
	utf8 bool  // strings may be UTF-8, and mailbox names are

	ended   bool // the command is
	size    int  // of its lines
	strings int  // of its literals
	ranges  int  // in its sets
	mem     [2 * keepTail]byte
	kept    int

	// A literal that was announced: its bytes to come, and whether the client
	// waits until it is asked for them.
	lit   int64
	waits bool
}

const keepTail = 32 // enough to see a literal announced

var (
	errTooLong = errors.New("command too long")
	errLiteral = errors.New("a literal was announced that cannot be")
)

// begin makes ready for the next command.
func (p *parser) begin() {
	p.err, p.ended, p.size, p.strings, p.ranges, p.kept, p.lit, p.waits = nil, false, 0, 0, 0, 0, 0, false
}

func bad(text string) error {
	return &imap.Error{Type: imap.StatusResponseTypeBad, Text: text}
}

func (p *parser) fail(text string) {
	if p.err == nil {
		p.err = bad(text)
	}
}

// have makes sure that there are bytes.
func (p *parser) have() bool {
	for len(p.buf) == 0 {
		b, err := p.src.fill()
		if err != nil {
			p.err, p.io = err, err
			return false
		}
		p.buf = b
	}
	return true
}

// peek is the next byte, 0 after an error.
func (p *parser) peek() byte {
	if p.err != nil || !p.have() {
		return 0
	}
	return p.buf[0]
}

// skip takes the byte that peek returned.
func (p *parser) skip() {
	if p.size++; p.size > maxLine {
		p.err, p.io = errTooLong, errTooLong
		return
	}
	p.take1()
}

// take1 takes a byte and keeps the end of the line in mind, with runs of spaces
// as one.
func (p *parser) take1() {
	c := p.buf[0]
	p.buf = p.buf[1:]
	switch {
	case c == '\n':
		p.kept = 0
		return
	case c == '\r', c == ' ' && p.kept > 0 && p.mem[p.kept-1] == ' ':
		return
	}
	if p.kept == len(p.mem) {
		p.kept = copy(p.mem[:], p.mem[keepTail:])
	}
	p.mem[p.kept] = c
	p.kept++
}

// is reports whether c is next.
func (p *parser) is(c byte) bool { return p.peek() == c && p.err == nil }

// take takes c if it is next.
func (p *parser) take(c byte) bool {
	if !p.is(c) {
		return false
	}
	p.skip()
	return true
}

// need takes c, which must be next.
func (p *parser) need(c byte) {
	if !p.take(c) {
		p.fail("Syntax error: " + strconv.QuoteRune(rune(c)) + " expected")
	}
}

func (p *parser) sp() { p.need(' ') }

// end takes the end of the command, which must be next. After it there is
// nothing of the command left.
func (p *parser) end() error {
	if p.take('\r') || p.is('\n') {
		if p.is('\n') {
			p.take1()
			p.ended = true
			return p.err
		}
	}
	p.fail("Syntax error: end of command expected")
	return p.err
}

// more reports whether the line goes on.
func (p *parser) more() bool {
	c := p.peek()
	return p.err == nil && c != '\r' && c != '\n'
}

func atomChar(c byte) bool {
	return c > ' ' && c < 0x7F && strings.IndexByte(`(){%*"\]`, c) < 0
}

// word takes characters as long as ok says so, at least one.
func (p *parser) word(what string, ok func(byte) bool) string {
	var b []byte
	for {
		c := p.peek()
		if p.err != nil || !ok(c) {
			break
		}
		p.skip()
		b = append(b, c)
	}
	if len(b) == 0 {
		p.fail("Syntax error: " + what + " expected")
	}
	return string(b)
}

func (p *parser) atom() string { return p.word("word", atomChar) }

// verb is an atom in upper case.
func (p *parser) verb() string { return strings.ToUpper(p.atom()) }

func (p *parser) astring() string {
	if c := p.peek(); c == '"' || c == '{' {
		return p.string()
	}
	return p.word("string", func(c byte) bool { return atomChar(c) || c == ']' || p.utf8 && c >= 0x80 })
}

// string takes a quoted string or a literal.
func (p *parser) string() string {
	if p.is('{') {
		s := p.bytes(p.literal())
		if strings.IndexByte(s, 0) >= 0 {
			p.fail("A string cannot have the byte 0")
		}
		return s
	}
	p.need('"')
	var b []byte
	for p.err == nil {
		c := p.peek()
		switch c {
		case '"':
			p.skip()
			return string(b)
		case '\\':
			p.skip()
			if c = p.peek(); c != '"' && c != '\\' {
				p.fail(`Syntax error: only " and \ can follow \ in a string`)
			}
		case 0, '\r', '\n':
			p.fail("Syntax error: a string does not end")
		}
		if p.err == nil {
			p.skip()
			b = append(b, c)
		}
	}
	return ""
}

// nstring takes a string or NIL.
func (p *parser) nstring() (s string, null bool) {
	if c := p.peek(); c == '"' || c == '{' {
		return p.string(), false
	}
	if p.verb() != "NIL" {
		p.fail("Syntax error: string or NIL expected")
	}
	return "", true
}

func (p *parser) num64() int64 {
	s := p.word("number", func(c byte) bool { return c >= '0' && c <= '9' })
	n, err := strconv.ParseInt(s, 10, 64)
	if err != nil {
		p.fail("Syntax error: a number too big")
		return 0
	}
	return n
}

func (p *parser) num32() uint32 {
	n := p.num64()
	if n > 1<<32-1 {
		p.fail("Syntax error: a number too big")
		return 0
	}
	return uint32(n)
}

// list takes a list in parentheses, calling one for each thing in it.
func (p *parser) list(one func()) {
	p.need('(')
	if p.take(')') {
		return
	}
	for n := 0; p.err == nil; n++ {
		if n == maxList {
			p.fail("The list is too long")
			return
		}
		one()
		if p.take(')') {
			return
		}
		p.sp()
	}
}

// mailbox takes the name of one.
func (p *parser) mailbox() string {
	s := p.astring()
	if p.err != nil {
		return ""
	}
	name, err := p.decode(s)
	if err != nil {
		p.fail(err.Error())
	}
	return name
}

// decode makes UTF-8 of a mailbox name as it is sent.
func (p *parser) decode(s string) (string, error) {
	if strings.EqualFold(s, "INBOX") {
		return "INBOX", nil
	}
	if p.utf8 {
		if !utf8.ValidString(s) {
			return "", errors.New("a name that is not UTF-8")
		}
		return s, nil
	}
	return utf7.decode(s)
}

// flags takes a list of flags.
func (p *parser) flags() []imap.Flag {
	var out []imap.Flag
	p.list(func() { out = append(out, p.flag()) })
	return out
}

func (p *parser) flag() imap.Flag {
	if p.take('\\') {
		return imap.Flag(`\` + p.atom())
	}
	return imap.Flag(p.atom())
}

// date takes a day.
func (p *parser) date() time.Time {
	quoted := p.take('"')
	s := p.word("date", func(c byte) bool { return atomChar(c) })
	if quoted {
		p.need('"')
	}
	t, err := time.Parse("2-Jan-2006", s)
	if err != nil {
		p.fail("Syntax error: a date is like 1-Feb-2024")
	}
	return t
}

// dateTime takes a moment.
func (p *parser) dateTime() time.Time {
	s := p.string()
	t, err := time.Parse("_2-Jan-2006 15:04:05 -0700", s)
	if err != nil {
		p.fail("Syntax error: a time is like \" 1-Feb-2024 13:30:00 +0100\"")
	}
	return t
}
