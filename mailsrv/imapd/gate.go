package imapd

import (
	"bufio"
	"bytes"
	"errors"
	"io"
	"net"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

const (
	loginTime  = 2 * time.Minute // for all that comes before the login
	writeTime  = time.Minute
	writeSize  = 16 << 10
	maxLiteral = 4096     // except for messages, as in the library
	maxCommand = 48 << 10 // without literals; the library loses its place at 50 KiB
	keepTail   = 64       // of a line, enough to see a literal announced
	keepHead   = 128      // of a line, enough for tag and verb
)

// A gate stands between the connection and imapserver. It follows the framing of
// commands (RFC 9051 §4.3, RFC 7888) and holds the library to these rules, which
// it keeps as long as it sees the same framing:
//
//   - A command is answered when its last line is read, before the next is asked
//     for.
//   - While a command is not complete, there is no answer to it. Only for a
//     synchronizing literal there may be one instead of the continuation; then
//     the command was over.
//
// Where a rule is broken, the rest of a command could be taken for a command, and
// the connection is closed.
type gate struct {
	net.Conn
	o     *Options
	br    *bufio.Reader
	begun time.Time

	authenticated atomic.Bool
	last          atomic.Bool // the connection ends after the answer at hand
	done          chan struct{}
	once          sync.Once

	writeMu sync.Mutex // Write is called from the goroutine of IDLE as well
	pending []byte     // not written yet
	waiting bool       // for the client

	mu    sync.Mutex
	state state
	plus  bool // a continuation was written since bytes were last handed on
	other bool // an answer was written since

	dead bool // for Read alone, as is what follows; the library may ask again after an error

	// Of the command at hand:
	head    []byte // of its first line
	tail    []byte // of its present line
	size    int    // of its lines
	first   bool   // the present line is its first
	literal int64  // bytes announced, then bytes to come
	nonSync bool
	idle    bool // the next line ends IDLE
}

// A state says what was handed on last.
type state int

const (
	atStart   state = iota // nothing of a command
	inLine                 // part of a line
	complete               // all of a command
	announced              // a line that announces a literal
	inLiteral              // part of a literal, or all of it
)

func newGate(conn net.Conn, o *Options) *gate {
	return &gate{Conn: conn, o: o, br: bufio.NewReaderSize(conn, 4096), begun: time.Now(), done: make(chan struct{})}
}

// Close ends the connection.
func (g *gate) Close() error {
	var err error
	g.once.Do(func() {
		g.writeMu.Lock()
		g.flush()
		g.writeMu.Unlock()
		err = g.Conn.Close()
		close(g.done)
	})
	return err
}

// SetReadDeadline is not later than the time for the login.
func (g *gate) SetReadDeadline(t time.Time) error {
	if end := g.begun.Add(loginTime); !g.authenticated.Load() && (t.IsZero() || t.After(end)) {
		t = end
	}
	return g.Conn.SetReadDeadline(t)
}

// Write takes note of answers and passes them on, in larger pieces than the
// library makes: at the latest when the next command is asked for. In the middle
// of a command the library writes whole lines only: a continuation, an answer, or
// what IDLE has to tell, which begins with an asterisk and is no answer.
func (g *gate) Write(b []byte) (int, error) {
	g.mu.Lock()
	switch {
	case len(b) == 0:
	case b[0] == '+':
		g.plus = true
	case b[0] != '*' || g.state == complete:
		g.other = true
	}
	g.mu.Unlock()
	g.writeMu.Lock()
	defer g.writeMu.Unlock()
	g.pending = append(g.pending, b...)
	if g.waiting || len(g.pending) >= writeSize {
		return len(b), g.flush()
	}
	return len(b), nil
}

// flush writes what is pending; g.writeMu is held.
func (g *gate) flush() error {
	if len(g.pending) == 0 {
		return nil
	}
	g.Conn.SetWriteDeadline(time.Now().Add(writeTime))
	_, err := g.Conn.Write(g.pending)
	if g.pending = g.pending[:0]; cap(g.pending) > 4096 {
		g.pending = nil
	}
	return err
}

// await reads what may have to be waited for. Meanwhile answers are passed on at
// once.
func (g *gate) await(read func() error) error {
	g.writeMu.Lock()
	g.waiting = true
	err := g.flush()
	g.writeMu.Unlock()
	if err == nil {
		err = read()
	}
	g.writeMu.Lock()
	g.waiting = false
	g.writeMu.Unlock()
	return err
}

// ready makes sure that bytes are there.
func (g *gate) ready() error {
	if g.br.Buffered() > 0 {
		return nil
	}
	return g.await(func() error { _, err := g.br.Peek(1); return err })
}

// SetWriteDeadline does nothing: flush has its own.
func (g *gate) SetWriteDeadline(time.Time) error { return nil }

var errFraming = errors.New("command refused in its middle")

// bye says goodbye and why. Nothing more is read.
func (g *gate) bye(why string) error {
	g.dead = true
	g.writeMu.Lock()
	defer g.writeMu.Unlock()
	g.pending = append(g.pending, "* BYE "+why+"\r\n"...)
	g.flush()
	g.Conn.Close()
	return errFraming
}

func (g *gate) Read(b []byte) (n int, err error) {
	defer func() {
		if v := recover(); v != nil {
			g.o.Log.Error("panic reading IMAP", "err", v)
			n, err = 0, io.ErrUnexpectedEOF
		}
	}()
	if g.dead {
		return 0, errFraming
	}
	next, err := g.turn()
	if err != nil {
		return 0, err
	}
	if next == inLiteral && g.literal > 0 {
		if int64(len(b)) > g.literal {
			b = b[:g.literal]
		}
		if err := g.ready(); err != nil {
			return 0, err
		}
		n, err := g.br.Read(b)
		g.literal -= int64(n)
		g.handOn(inLiteral)
		return n, err
	}
	return g.text(b, next)
}

// turn judges what was written since bytes were last handed on, and returns the
// state to go on in: atStart, inLine or inLiteral.
func (g *gate) turn() (state, error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.last.Load() {
		return 0, g.bye("Too many failed logins")
	}
	switch g.state {
	case complete:
		if !g.plus && !g.other {
			return 0, g.bye("Your command does not end where it seems to")
		}
		g.idle = g.plus && verb(g.head) == "IDLE"
		return atStart, nil
	case announced:
		switch {
		case g.nonSync && (g.plus || g.other):
			return 0, g.bye("Command refused with a literal under way")
		case g.nonSync || g.plus:
			return inLiteral, nil
		case g.other:
			return atStart, nil
		}
		return 0, g.bye("Your literal was not understood")
	case inLine, inLiteral:
		if g.other {
			return 0, g.bye("Command refused in its middle")
		}
	}
	return g.state, nil
}

// handOn notes what is about to be handed on.
func (g *gate) handOn(s state) {
	g.mu.Lock()
	g.state, g.plus, g.other = s, false, false
	g.mu.Unlock()
}

// text hands on a piece of a line: all of it, or as much as b holds.
func (g *gate) text(b []byte, next state) (int, error) {
	if next == atStart {
		g.head, g.tail, g.size, g.first = g.head[:0], g.tail[:0], 0, true
	} else if next == inLiteral { // it is over, the command goes on
		g.tail, g.first = g.tail[:0], false
	}
	if g.idle {
		return g.endIdle(b)
	}
	if err := g.ready(); err != nil {
		return 0, err
	}
	in, _ := g.br.Peek(min(g.br.Buffered(), len(b)))
	ended := false
	if i := bytes.IndexByte(in, '\n'); i >= 0 {
		in, ended = in[:i+1], true
	}
	n := copy(b, in)
	g.br.Discard(n)
	g.size += n
	if g.first && len(g.head) < keepHead {
		g.head = append(g.head, b[:min(n, keepHead-len(g.head))]...)
	}
	g.tail = append(g.tail, b[:n]...)
	g.tail = append(g.tail[:0], g.tail[max(0, len(g.tail)-keepTail):]...)
	switch {
	case g.size > maxCommand:
		return 0, g.bye("Command too long")
	case !ended:
		g.handOn(inLine)
		return n, nil
	}
	size, nonSync, ok := literal(g.tail)
	if !ok {
		g.handOn(complete)
		return n, nil
	}
	if size > maxLiteral && !g.isMessage() {
		return 0, g.bye("Literal too big")
	}
	g.literal, g.nonSync = size, nonSync
	g.handOn(announced)
	return n, nil
}

// endIdle hands on the line that ends IDLE, whole, so that DONE can be written in
// any case.
func (g *gate) endIdle(b []byte) (int, error) {
	g.idle = false
	var line []byte
	err := g.await(func() (err error) { line, err = g.br.ReadSlice('\n'); return err })
	switch {
	case errors.Is(err, bufio.ErrBufferFull), err == nil && len(line) > len(b):
		return 0, g.bye("Line too long")
	case err != nil:
		return 0, err
	}
	n := copy(b, line)
	if bytes.EqualFold(bytes.TrimRight(line, "\r\n"), []byte("DONE")) {
		copy(b, "DONE")
	}
	g.handOn(complete)
	return n, nil
}

// literal finds the announcement of a literal at the end of a line.
func literal(line []byte) (size int64, nonSync, ok bool) {
	line = bytes.TrimRight(line, " \r\n")
	line, ok = bytes.CutSuffix(line, []byte("}"))
	if !ok {
		return 0, false, false
	}
	line, nonSync = bytes.CutSuffix(line, []byte("+"))
	i := bytes.LastIndexByte(line, '{')
	if i < 0 || i+1 == len(line) {
		return 0, false, false
	}
	n, err := strconv.ParseInt(string(line[i+1:]), 10, 64)
	if errors.Is(err, strconv.ErrRange) {
		return n, nonSync, n > 0 // then it is the highest
	}
	return n, nonSync, err == nil && n >= 0
}

// verb is the verb of a command, in upper case.
func verb(head []byte) string {
	f := strings.Fields(string(head))
	if len(f) < 2 {
		return ""
	}
	return strings.ToUpper(f[1])
}

// isMessage reports whether the literal announced is the message of an APPEND
// and not the name of its mailbox.
func (g *gate) isMessage() bool {
	if verb(g.head) != "APPEND" {
		return false
	}
	return !g.first || g.size > keepHead || len(strings.Fields(string(g.head))) > 3
}
