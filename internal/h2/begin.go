package h2

import (
	"bytes"
	"net"
	"time"
)

// undecided is how long a client may wait with its first request until net/http
// takes the connection.
const (
	undecided = 5 * time.Second
	maxStart  = 8 << 10 // bytes that are looked at for it
)

// A Start is the beginning of a connection, as far as it was read to find out
// whose it is.
type Start struct {
	Read []byte
	// Told says that settings were sent, for a client that waits for them.
	Told bool
}

// Begin reads until the first request, and reports whether its head satisfies
// ours: then [New] takes the connection, else [Start.Replay] gives it to others.
func Begin(c net.Conn, ours func(authority, path []byte) bool) (s Start, yes bool, err error) {
	defer c.SetReadDeadline(time.Time{})
	c.SetReadDeadline(time.Now().Add(undecided))
	buf := make([]byte, 0, bufSize)
	for {
		if len(buf) == cap(buf) {
			buf = append(make([]byte, 0, maxStart), buf...)
		}
		n, err := c.Read(buf[len(buf):cap(buf)])
		buf = buf[:len(buf)+n]
		s.Read = buf
		if e, ok := err.(net.Error); ok && e.Timeout() && n == 0 { //nolint:errorlint // as it is returned by the connection
			return s, false, nil
		}
		if err != nil && n == 0 {
			return s, false, err
		}
		state, yes := first(buf, ours)
		switch {
		case state == decided:
			return s, yes, nil
		case len(buf) >= maxStart:
			return s, false, nil
		case state == waiting && !s.Told:
			// Some clients send no request before they know the settings.
			if _, err := c.Write(appendSettings(nil)); err != nil {
				return s, false, err
			}
			s.Told = true
		}
	}
}

// What there is to see at the beginning of a connection.
type sight int

const (
	partly  sight = iota // something that is not whole
	waiting              // no request
	decided              // enough
)

func first(b []byte, ours func(authority, path []byte) bool) (sight, bool) {
	if len(b) < len(Preface) {
		if string(b) != Preface[:len(b)] {
			return decided, false
		}
		return partly, false
	}
	if string(b[:len(Preface)]) != Preface {
		return decided, false
	}
	seen := false
	for b = b[len(Preface):]; ; seen = true {
		f, rest, ok, err := cut(b)
		if err != nil {
			return decided, false
		}
		if !ok {
			if seen && len(b) == 0 {
				return waiting, false
			}
			return partly, false
		}
		b = rest
		switch f.typ {
		case typeSettings, typeWindow, typePriority, typePing:
			continue
		case typeHeaders:
		default:
			return decided, false
		}
		if f.flags&flagEndHeaders == 0 || f.unpad() != nil {
			return decided, false
		}
		if f.flags&flagPriority != 0 {
			if len(f.payload) < 5 {
				return decided, false
			}
			f.payload = f.payload[5:]
		}
		c := Conn{dec: newDecoder()}
		s := new(stream)
		s.clear(f.id, 0)
		good, err := c.decode(s, f.payload)
		if err != nil || !good || !s.whole() {
			return decided, false
		}
		path, _, _ := bytes.Cut(s.at(s.path), []byte("?"))
		return decided, ours(s.at(s.authority), path)
	}
}

// Replay returns a connection from which s can be read again before what comes
// from c. If settings were sent, the client's acknowledgement is left out, for
// whoever serves the connection sends settings of its own, which replace them.
func (s Start) Replay(c net.Conn) net.Conn {
	r := &replay{Conn: c}
	if !s.Told {
		r.ready = s.Read
		return r
	}
	r.skip, r.after = true, len(Preface)
	r.filter(s.Read)
	return r
}

// A replay is read by one goroutine at a time.
type replay struct {
	net.Conn
	ready []byte // to be read next
	skip  bool   // the acknowledgement is still to come
	after int    // bytes until the next frame begins
	head  []byte // of a frame, as far as it came
}

func (r *replay) Read(p []byte) (int, error) {
	for len(r.ready) == 0 {
		if !r.skip {
			return r.Conn.Read(p)
		}
		b := make([]byte, bufSize)
		n, err := r.Conn.Read(b)
		if r.filter(b[:n]); n == 0 {
			return 0, err
		}
	}
	n := copy(p, r.ready)
	if r.ready = r.ready[n:]; len(r.ready) == 0 {
		r.ready = nil
	}
	return n, nil
}

// filter passes on b without the acknowledgement.
func (r *replay) filter(b []byte) {
	for r.skip && len(b) > 0 {
		if r.after > 0 {
			n := min(r.after, len(b))
			r.ready = append(r.ready, b[:n]...)
			r.after, b = r.after-n, b[n:]
			continue
		}
		n := min(headLen-len(r.head), len(b))
		r.head, b = append(r.head, b[:n]...), b[n:]
		if len(r.head) < headLen {
			return
		}
		r.after = int(r.head[0])<<16 | int(r.head[1])<<8 | int(r.head[2])
		if r.head[3] == typeSettings && r.head[4]&flagAck != 0 && r.after == 0 {
			r.skip = false
			continue
		}
		r.ready = append(r.ready, r.head...)
		r.head = r.head[:0]
	}
	r.ready = append(r.ready, b...)
}
