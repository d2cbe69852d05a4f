package h2

import (
	"crypto/tls"
	"encoding/binary"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"os"
	"runtime/debug"
	"sync"
	"time"
)

const (
	maxStreams = 200 // as net/http is told
	maxBlock   = 32 << 10
	maxPieces  = 16        // frames of one block
	maxOut     = 64 << 10  // answers that wait to be written, before no more is read
	maxRest    = 256 << 10 // of answers that the client does not take
	maxText    = 512 << 10 // of fields of requests under way
	bufSize    = 4 << 10   // for reading, at first
	maxBuf     = 2 * (headLen + maxFrame)
	credit     = window / 2 // bytes of bodies after which the client may send more

	// What frames that make work may cost, and how much of that comes back with an
	// answer.
	patience = 400
	earned   = 4

	partTime  = 10 * time.Second // for a request to come whole
	idleTime  = 2 * time.Minute  // without any
	writeTime = 2 * time.Minute  // for the client to take something in
	drainTime = 300 * time.Millisecond
	hintTime  = 50 * time.Millisecond // from REFUSED_STREAM to GOAWAY: curl repeats a request after the former only
	calmTime  = time.Second           // without a word, after which the large buffers go
)

// Options are what a connection is served with.
type Options struct {
	Log     *slog.Logger
	Conn    net.Conn // after the handshake
	TLS     *tls.ConnectionState
	From    netip.Addr // the client's
	To      netip.Addr // ours
	Gate    Gate
	Handler Handler
	Rest    http.Handler
	// Dress makes a request for Rest one of this connection.
	Dress func(*http.Request) *http.Request
}

// A Conn is a connection.
type Conn struct {
	opt     Options
	session Session
	dec     *decoder

	// Of the reader.
	in     []byte // read, and not yet cut into frames
	buf    []byte // that in is a part of
	req    Request
	block  []byte // of headers, as far as they came
	pieces int
	blockF frame     // the frame that began it
	since  time.Time // of the first piece of the frame or block that is not whole

	mu      sync.Mutex
	now     time.Time // about
	asked   time.Time // about when the last request began or ended
	heard   time.Time // when the client said something last
	idle    sync.Cond // a write has ended
	out     []byte    // not yet written
	spare   []byte
	writing bool
	err     error // of a write
	streams map[uint32]*stream
	free    []*stream
	recent  [64]past  // streams that are closed
	last    uint32    // the highest stream that the client opened
	parted  time.Time // when barred was set
	barred  uint32    // streams from here on are not served; 0: all are
	working int       // goroutines
	budget  int
	bodies  int // streams whose body has not ended
	rest    int // bytes of all their rests
	text    int // bytes of all their fields
	blocked []*stream
	stuck   time.Time // since when blocked did not shrink
	window  int64     // what the client takes, in all
	initial int64     // and of a new stream
	given   int64     // what it may send
	taken   uint32    // since it was last told
	leaving time.Time // told that the connection ends; zero: not
	enc     encoder
	wg      sync.WaitGroup
}

// A past stream was closed, by its reset or not.
type past struct {
	id  uint32
	how ending
}

type ending uint8

const (
	endedWhole ending = iota
	resetByUs
	resetByClient
)

// New returns a connection that begins as [Begin] has read it.
func New(opt Options, start Start) *Conn {
	c := &Conn{
		opt: opt, dec: newDecoder(), in: start.Read, buf: start.Read,
		streams: map[uint32]*stream{}, budget: patience, window: window, initial: window, given: window,
	}
	c.idle.L = &c.mu
	if !start.Told {
		c.out = appendSettings(c.out)
	}
	return c
}

// Serve serves the connection until it ends, and closes it. It reports whether
// the client asked for something [Elsewhere].
func (c *Conn) Serve() (parted bool) {
	defer c.opt.Conn.Close()
	c.session = c.opt.Handler.Open(c.opt.From, c.opt.To)
	defer c.session.Close()
	err := c.serve()
	c.mu.Lock()
	var a *abort
	if errors.As(err, &a) {
		last := c.last
		if c.barred != 0 {
			last = min(last, c.barred-min(c.barred, 2))
		}
		c.out = appendGoAway(c.out, last, a.code)
	}
	for _, s := range c.streams {
		if s.cancel != nil {
			s.cancel()
		}
	}
	c.flush()
	c.mu.Unlock()
	if a != nil {
		c.opt.Log.Debug("ended a connection", "addr", c.opt.From, "err", err)
		c.linger()
	}
	c.opt.Conn.Close()
	c.wg.Wait()
	return c.barred != 0
}

// linger reads on for a moment, lest what the client still sends resets the
// connection before it has read why it ends.
func (c *Conn) linger() {
	if w, ok := c.opt.Conn.(interface{ CloseWrite() error }); ok && w.CloseWrite() == nil {
		c.opt.Conn.SetReadDeadline(time.Now().Add(drainTime))
		io.CopyN(io.Discard, c.opt.Conn, 256<<10)
	}
}

func (c *Conn) serve() (err error) {
	defer func() {
		if p := recover(); p != nil {
			c.opt.Log.Error("a connection failed", "addr", c.opt.From, "err", p, "stack", string(debug.Stack()))
			err = bad(codeInternal, "a panic")
		}
	}()
	prefaced := false
	c.now = time.Now()
	c.asked = c.now
	for {
		if !prefaced && len(c.in) >= len(Preface) {
			if string(c.in[:len(Preface)]) != Preface {
				return bad(codeProtocol, "not HTTP/2")
			}
			c.in, prefaced = c.in[len(Preface):], true
		}
		if prefaced {
			if err := c.batch(); err != nil {
				return err
			}
		}
		if err := c.read(); err != nil {
			return err
		}
	}
}

// batch takes in the frames that have been read, and writes what there is to say.
func (c *Conn) batch() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	for {
		f, rest, ok, err := cut(c.in)
		if err != nil {
			return err
		}
		if !ok {
			break
		}
		c.in = rest
		if c.block == nil {
			c.since = time.Time{}
		}
		if err := c.frame(f); err != nil {
			return err
		}
		if len(c.out) >= maxOut {
			c.flush()
			for len(c.out) >= maxOut && c.err == nil {
				c.idle.Wait()
			}
		}
		if c.err != nil {
			return c.err
		}
	}
	if len(c.in) > 0 && c.since.IsZero() {
		c.since = c.now
	}
	c.flush()
	return c.err
}

// read reads once.
func (c *Conn) read() error {
	n := copy(c.buf, c.in) // to the beginning
	if n == cap(c.buf) || cap(c.buf) < bufSize {
		bigger := make([]byte, max(bufSize, min(2*cap(c.buf), maxBuf)))
		copy(bigger, c.in)
		c.buf = bigger
	}
	c.buf = c.buf[:cap(c.buf)]
	c.in = c.buf[:n]
	if err := c.deadline(); err != nil {
		return err
	}
	n = len(c.in)
	m, err := c.opt.Conn.Read(c.buf[n:])
	c.in = c.buf[:n+m]
	c.mu.Lock()
	if c.now = time.Now(); m > 0 {
		c.heard = c.now
	}
	c.mu.Unlock()
	switch {
	case m > 0:
		if n+m == cap(c.buf) && cap(c.buf) < maxBuf { // there may be more at once
			bigger := make([]byte, min(4*cap(c.buf), maxBuf))
			c.buf = bigger[:copy(bigger, c.in)]
			c.in = c.buf
		}
		return nil
	case errors.Is(err, os.ErrDeadlineExceeded):
		return nil // deadline says what that means
	}
	return err // the client went
}

// deadline sets until when to read, or returns why the connection ends.
func (c *Conn) deadline() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	at := c.now.Add(idleTime)
	// past reports whether t has come; if not, it is seen to that it will be noticed.
	past := func(t time.Time) bool {
		if t.Before(at) {
			at = t
		}
		return !c.now.Before(t)
	}
	if c.bodies > 0 {
		for _, s := range c.streams {
			if !s.ended && !s.taken && past(s.begun.Add(partTime)) {
				c.reset(s, codeCancel)
			}
		}
		c.flush()
	}
	if c.barred != 0 && c.leaving.IsZero() && past(c.parted.Add(hintTime)) {
		c.leave(c.barred - min(c.barred, 2))
		c.flush()
	}
	switch {
	case c.err != nil:
		return c.err
	case !c.since.IsZero() && past(c.since.Add(partTime)):
		return bad(codeNone, "a frame did not come whole")
	case len(c.blocked) > 0 && past(c.stuck.Add(writeTime)):
		return bad(codeNone, "nothing is taken in")
	case len(c.streams) > 0:
	case c.barred != 0 && !c.leaving.IsZero():
		return bad(codeNone, "something else is wanted")
	case !c.leaving.IsZero() && past(c.leaving.Add(drainTime)):
		return bad(codeNone, "over")
	case past(c.asked.Add(idleTime)):
		return bad(codeNone, "idle")
	}
	idle := len(c.in) < bufSize && len(c.out) == 0 && !c.writing
	if idle && max(cap(c.buf), cap(c.out), cap(c.spare)) > bufSize && past(c.heard.Add(calmTime)) {
		c.shrink()
	}
	return c.opt.Conn.SetReadDeadline(at) // with the lock held, so that none of wake is overwritten
}

// shrink lets go of what a rush has left behind.
func (c *Conn) shrink() {
	c.out, c.spare, c.free = nil, nil, nil
	n := len(c.in)
	c.buf = append(make([]byte, 0, bufSize), c.in...)[:bufSize]
	c.in = c.buf[:n]
}

// wake has the reader look at the deadlines.
func (c *Conn) wake() { c.opt.Conn.SetReadDeadline(time.Now()) }

// Shutdown tells the client to open no more requests, and ends the connection
// when those under way have been answered. It does not wait for that.
func (c *Conn) Shutdown() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.leave(maxID)
	c.flush()
	c.wake()
}

// leave announces the end (RFC 9113 §6.8).
func (c *Conn) leave(last uint32) {
	if c.leaving.IsZero() || last != maxID {
		c.out = appendGoAway(c.out, last, codeNone)
	}
	if c.leaving.IsZero() {
		c.leaving = time.Now()
	}
}

// flush writes what there is to write. c.mu is held, but not meanwhile. Where
// somebody writes already, he writes that too.
func (c *Conn) flush() {
	for len(c.out) > 0 && !c.writing && c.err == nil {
		b := c.out
		c.out, c.writing = c.spare[:0], true
		c.mu.Unlock()
		c.opt.Conn.SetWriteDeadline(time.Now().Add(writeTime))
		_, err := c.opt.Conn.Write(b)
		c.mu.Lock()
		c.writing, c.spare = false, nil
		if cap(b) <= 2*maxOut {
			c.spare = b
		}
		if err != nil {
			c.err = err
		}
		c.idle.Broadcast()
	}
}

// charge makes the client pay for a frame that makes work and asks for nothing.
func (c *Conn) charge() error {
	if c.budget--; c.budget < 0 {
		return bad(codeCalm, "too much ado")
	}
	return nil
}

func get32(b []byte) uint32 { return binary.BigEndian.Uint32(b) }
