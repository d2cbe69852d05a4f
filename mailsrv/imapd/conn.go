package imapd

import (
	"errors"
	"net"
	"os"
	"sync"
	"sync/atomic"
	"time"
)

const (
	loginTime = 2 * time.Minute  // for all that comes before the login
	idleTime  = 35 * time.Minute // between commands (RFC 9051 §5.4: at least 30)
	readTime  = 5 * time.Minute  // for the next bytes of a command
	writeTime = time.Minute
	inSize    = 4 << 10
	outSize   = 16 << 10
)

var (
	inBuffers  = sync.Pool{New: func() any { return new([inSize]byte) }}
	outBuffers = sync.Pool{New: func() any { return new([outSize]byte) }}
)

// errWoken says that there was something to tell before there was something to
// read.
var errWoken = errors.New("woken")

// A conn is the bytes of a connection. While it waits for a command it has no
// buffers. All is for the goroutine of the connection, but for wake.
type conn struct {
	net.Conn
	begun  time.Time
	authed bool // there is all the time

	in    *[inSize]byte // nil while waiting
	small [64]byte      // what is read into meanwhile
	out   *[outSize]byte
	n     int   // bytes in out
	err   error // of an earlier write
	woken atomic.Bool
	z     *squeezed // since COMPRESS
}

// wake has the next or present wait for a command return errWoken. It may be
// called from any goroutine and does not wait.
func (c *conn) wake() {
	c.woken.Store(true)
	c.SetReadDeadline(time.Unix(1, 0))
}

// fill returns the next bytes, which are valid until it is called again.
func (c *conn) fill() ([]byte, error) { return c.next(false) }

// park is fill between commands: it costs no memory and can be woken.
func (c *conn) park() ([]byte, error) { return c.next(true) }

func (c *conn) next(park bool) ([]byte, error) {
	if c.z != nil {
		return c.z.next(c, park)
	}
	if err := c.flush(); err != nil {
		return nil, err
	}
	into := c.small[:]
	if park {
		c.release()
	} else {
		into = c.buffer()
	}
	n, err := c.read(into, park)
	return into[:n], err
}

func (c *conn) buffer() []byte {
	if c.in == nil {
		c.in = inBuffers.Get().(*[inSize]byte)
	}
	return c.in[:]
}

// read reads from the network at least one byte.
func (c *conn) read(b []byte, park bool) (int, error) {
	end := time.Now().Add(readTime)
	if park {
		end = time.Now().Add(idleTime)
	}
	if last := c.begun.Add(loginTime); !c.authed && end.After(last) {
		end = last
	}
	for {
		c.SetReadDeadline(end)
		// Who wakes after this line moves the deadline into the past again.
		if park && c.woken.Swap(false) {
			return 0, errWoken
		}
		n, err := c.Conn.Read(b)
		if n > 0 {
			return n, nil
		}
		if err == nil || errors.Is(err, os.ErrDeadlineExceeded) && time.Now().Before(end) {
			continue
		}
		return 0, err
	}
}

// release gives the buffers back.
func (c *conn) release() {
	if c.in != nil {
		inBuffers.Put(c.in)
		c.in = nil
	}
	if c.out != nil && c.n == 0 {
		outBuffers.Put(c.out)
		c.out = nil
	}
}

// room returns where the next bytes to be written can be put, at least one.
// wrote says how many were.
func (c *conn) room() []byte {
	if c.out == nil {
		c.out = outBuffers.Get().(*[outSize]byte)
	}
	if c.n == len(c.out) {
		c.push()
	}
	return c.out[c.n:]
}

func (c *conn) wrote(n int) { c.n += n }

func (c *conn) Write(b []byte) (int, error) {
	for rest := b; len(rest) > 0; {
		n := copy(c.room(), rest)
		c.wrote(n)
		rest = rest[n:]
	}
	return len(b), c.err
}

// str writes a string as it stands.
func (c *conn) str(s string) {
	for len(s) > 0 {
		n := copy(c.room(), s)
		c.wrote(n)
		s = s[n:]
	}
}

// push hands on what is in out.
func (c *conn) push() {
	b := c.out[:c.n]
	c.n = 0
	if c.err != nil {
		return
	}
	if c.z != nil {
		c.err = c.z.write(c, b)
		return
	}
	c.send(b)
}

// send writes to the network.
func (c *conn) send(b []byte) {
	if c.err != nil {
		return
	}
	c.SetWriteDeadline(time.Now().Add(writeTime))
	_, c.err = c.Conn.Write(b)
}

// flush has the client get all that was written.
func (c *conn) flush() error {
	if c.n > 0 {
		c.push()
	}
	if c.z != nil && c.err == nil {
		c.err = c.z.flush(c)
	}
	return c.err
}
