package smtpd

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"net"
	"strconv"
	"strings"
	"sync"
	"time"
)

const (
	writeTime   = time.Minute
	commandTime = 5 * time.Minute // RFC 5321 §4.5.3.2.7
	dataTime    = 3 * time.Minute // between two reads
	dataGrace   = 5 * time.Minute // and then 1 KiB/s at least, altogether
	maxLine     = 2000            // of a command; a SASL response may need more than 512
	maxCommands = 1000
	maxErrors   = 10
)

// A gate stands between the connection and go-smtp. It hands on one command at a
// time, when the reply to the one before has been written, so it knows what the
// bytes that follow are: a command, a SASL response (after 334) or a message
// (after 354). In a message it replaces what must not be there by NUL, which
// changes no length and cannot be misread as the end, and remembers that it did.
//
// Only the goroutine of the connection uses it, but for Close.
type gate struct {
	net.Conn
	o      *Options
	br     *bufio.Reader
	secure bool
	mute   bool // the greeting was said before STARTTLS

	mode     mode
	line     []byte // of a command that is being handed on
	reply    []byte // the lines so far of one that is being written
	esmtp    bool
	commands int
	errors   int
	last     bool // the connection ends after the reply at hand
	over     bool // it has ended; go-smtp may ask again after an error

	// Of the message at hand:
	begun time.Time
	size  int64
	place place
	heldC bool // a CR whose successor has not been seen
	dirty bool // something was replaced
	out   []byte

	upgrade bool // ended for STARTTLS; the connection lives on
	once    sync.Once
	done    chan struct{}
}

type mode int

const (
	command mode = iota
	response
	message
)

// A place is where in a line of a message we are, as far as its end is concerned.
type place int

const (
	lineStart place = iota
	afterDot        // "." at the start
	within
)

func newGate(conn net.Conn, o *Options, secure, greeted bool) *gate {
	return &gate{Conn: conn, o: o, br: bufio.NewReaderSize(conn, 4096), secure: secure, mute: greeted, done: make(chan struct{})}
}

// Close ends the connection, unless it goes on with TLS.
func (g *gate) Close() error {
	var err error
	g.once.Do(func() {
		if !g.upgrade {
			err = g.Conn.Close()
		}
		close(g.done)
	})
	return err
}

// Write passes replies on, and learns from them what comes next.
func (g *gate) Write(b []byte) (int, error) {
	if g.mute {
		g.mute = false
		return len(b), nil
	}
	switch {
	case bytes.HasPrefix(b, []byte("354")):
		g.mode, g.begun, g.size = message, time.Now(), 0
		g.place, g.heldC, g.dirty = lineStart, false, false
	case bytes.HasPrefix(b, []byte("334")):
		g.mode = response
	case string(b) == "250-CHUNKING\r\n": // go-smtp always offers it
		return len(b), nil
	case len(b) > 3 && b[3] == '-': // the reply goes on; it shall be one packet
		g.reply = append(g.reply, b...)
		return len(b), nil
	}
	if len(g.reply) > 0 {
		_, err := g.Conn.Write(append(g.reply, b...))
		g.reply = nil
		return len(b), err
	}
	return g.Conn.Write(b)
}

// say writes a reply of the gate's own.
func (g *gate) say(reply string) {
	g.Conn.SetWriteDeadline(time.Now().Add(writeTime))
	io.WriteString(g.Conn, reply+"\r\n")
}

// end says a reply and ends the connection.
func (g *gate) end(reply string) error {
	g.over = true
	g.say(reply)
	return io.EOF
}

func (g *gate) Read(b []byte) (n int, err error) {
	defer func() {
		if v := recover(); v != nil {
			g.o.Log.Error("panic reading SMTP", "err", v)
			n, err = 0, io.EOF
		}
	}()
	if g.over || g.last && len(g.line) == 0 && g.mode != message {
		return 0, io.EOF
	}
	if len(g.line) == 0 && g.mode != message {
		if g.line, err = g.next(); err != nil {
			return 0, err
		}
	}
	if len(g.line) > 0 {
		n := copy(b, g.line)
		g.line = g.line[n:]
		return n, nil
	}
	return g.body(b)
}

// next returns the next line for go-smtp, whole and with CRLF.
func (g *gate) next() ([]byte, error) {
	for {
		g.Conn.SetReadDeadline(time.Now().Add(commandTime))
		line, err := g.br.ReadSlice('\n')
		switch {
		case errors.Is(err, bufio.ErrBufferFull), err == nil && len(line) > maxLine:
			return nil, g.end("500 5.5.2 Line too long")
		case err != nil:
			return nil, err // half a command is none
		}
		reply, err := g.judge(line)
		if err != nil {
			return nil, err
		}
		if reply == "" {
			g.mode = command
			return g.rewrite(line), nil
		}
		if g.errors++; g.errors > maxErrors {
			return nil, g.end("421 4.7.0 Too many errors")
		}
		g.say(reply)
	}
}

// judge returns the reply to a line that go-smtp shall not see, if it is one.
func (g *gate) judge(line []byte) (reply string, err error) {
	if g.commands++; g.commands > maxCommands {
		return "", g.end("421 4.7.0 Too many commands")
	}
	text, ok := bytes.CutSuffix(line, []byte("\r\n"))
	if !ok {
		return "500 5.5.2 Lines end in CR and LF", nil
	}
	if bytes.ContainsAny(text, "\r\x00") {
		return "500 5.5.2 Control character in a command", nil
	}
	if g.mode == response {
		return "", nil
	}
	verb, args, _ := strings.Cut(strings.TrimRight(string(text), " \t"), " ")
	switch strings.ToUpper(verb) {
	case "EHLO":
		g.esmtp = true
	case "HELO":
		g.esmtp = false
	case "STARTTLS":
		return g.startTLS(args)
	case "AUTH":
		switch {
		case g.o.Role != Submission:
			return "503 5.5.1 There is no login here: it is for submission, on the ports 587 and 465", nil
		case !g.secure:
			return "538 5.7.11 Encryption required: use STARTTLS first", nil
		}
	case "BDAT":
		// The chunk follows at once; only the end of the connection is safe.
		size, _, _ := strings.Cut(args, " ")
		if n, err := strconv.ParseUint(size, 10, 64); err == nil && n > uint64(g.o.MaxSize) {
			return "", g.end("552 5.3.4 Message too big")
		}
		return "", g.end("502 5.5.1 BDAT is not offered here")
	case "GET", "POST", "PUT", "HEAD", "OPTIONS", "CONNECT", "DELETE", "PATCH", "TRACE":
		return "", g.end("421 4.7.0 This is not a web server")
	}
	if u := strings.ToUpper(verb); u != "STARTTLS" && strings.HasPrefix(u, "STARTTLS") {
		return "500 5.5.2 No such command", nil // go-smtp would take it for STARTTLS
	}
	return "", nil
}

func (g *gate) startTLS(args string) (string, error) {
	switch {
	case args != "":
		return "501 5.5.4 STARTTLS has no parameters", nil
	case g.secure:
		return "503 5.5.1 The connection is encrypted already", nil
	case g.o.TLS == nil:
		return "502 5.5.1 STARTTLS is not offered here", nil
	}
	// What is in the buffer was sent in the clear; it goes with the gate.
	g.upgrade = true
	return "", g.end("220 2.0.0 Go ahead")
}

// rewrite lets RCPT TO:<postmaster> be understood (RFC 5321 §4.5.1).
func (g *gate) rewrite(line []byte) []byte {
	if strings.EqualFold(strings.TrimSpace(string(line)), "RCPT TO:<postmaster>") {
		return fmt.Appendf(nil, "RCPT TO:<postmaster@%s>\r\n", g.o.Host)
	}
	return line
}

// body reads a piece of a message.
func (g *gate) body(b []byte) (int, error) {
	if len(g.out) == 0 {
		if err := g.fill(); err != nil {
			return 0, err
		}
	}
	n := copy(b, g.out)
	g.out = g.out[n:]
	if len(g.out) == 0 && g.place == ended {
		g.mode = command
	}
	return n, nil
}

const ended place = 100

// fill takes what is there of a message, up to its end, into out.
func (g *gate) fill() error {
	if g.br.Buffered() == 0 {
		now := time.Now()
		limit := g.begun.Add(dataGrace + time.Duration(g.size/1024)*time.Second)
		if soon := now.Add(dataTime); soon.Before(limit) {
			limit = soon
		}
		g.Conn.SetReadDeadline(limit)
		if _, err := g.br.Peek(1); err != nil {
			return err
		}
	}
	in, _ := g.br.Peek(g.br.Buffered())
	out, used := g.out[:0], 0
	for _, c := range in {
		used++
		if out = g.take(out, c); g.place == ended {
			break
		}
	}
	g.br.Discard(used)
	g.size += int64(used)
	g.out = out
	if g.place != ended && g.size > 2*g.o.MaxSize+1<<20 {
		return g.end("552 5.3.4 Message too big")
	}
	if len(out) == 0 { // only a CR so far
		return g.fill()
	}
	return nil
}

// take takes one byte of a message and appends what is to be handed on.
func (g *gate) take(out []byte, c byte) []byte {
	if g.heldC {
		g.heldC = false
		if c == '\n' {
			if g.place == afterDot {
				g.place = ended
			} else {
				g.place = lineStart
			}
			return append(out, '\r', '\n')
		}
		out = g.bad(out)
	}
	switch {
	case c == '\r':
		g.heldC = true
		return out
	case c == '\n' || c == 0:
		return g.bad(out)
	case c == '.' && g.place == lineStart:
		g.place = afterDot
	default:
		g.place = within
	}
	return append(out, c)
}

func (g *gate) bad(out []byte) []byte {
	g.dirty, g.place = true, within
	return append(out, 0)
}
