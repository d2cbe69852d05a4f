package imapd

import (
	"bytes"
	"compress/flate"
	"io"
	"sync"
)

// squeezed is both directions of a connection since COMPRESS (RFC 4978).
//
// What is sent ends in a sync flush whenever the client is waited for. There a
// writer can be taken away and another put in its place, because one that knows
// nothing of what was before refers to nothing before. So the writer, which is
// large, is there only while something is written.
type squeezed struct {
	c    *conn
	in   inflater
	more bool // there may be more without reading
	buf  []byte
	mem  *[inSize]byte // of buf; nil while waiting
	w    *flate.Writer
}

var squeezers = sync.Pool{New: func() any {
	w, err := flate.NewWriter(io.Discard, flate.BestSpeed)
	if err != nil {
		panic(err) // the level is one
	}
	return w
}}

// fill reads compressed bytes, if there are none.
func (z *squeezed) fill(park bool) error {
	if len(z.buf) > 0 {
		return nil
	}
	into := z.c.small[:]
	if park {
		if z.mem != nil {
			inBuffers.Put(z.mem)
			z.mem = nil
		}
	} else {
		if z.mem == nil {
			z.mem = inBuffers.Get().(*[inSize]byte)
		}
		into = z.mem[:]
	}
	n, err := z.c.read(into, park)
	z.buf = into[:n]
	return err
}

// take is the next compressed byte.
func (z *squeezed) take() (byte, bool) {
	if len(z.buf) == 0 {
		return 0, false
	}
	b := z.buf[0]
	z.buf = z.buf[1:]
	return b, true
}

// compress is COMPRESS.
func (s *session) compress(bool) error {
	p := &s.p
	p.sp()
	if p.verb() != "DEFLATE" {
		p.fail("Only DEFLATE is known")
	}
	if err := p.end(); err != nil {
		return err
	}
	if s.z != nil {
		return no("COMPRESSIONACTIVE", "That is done already")
	}
	s.then = func() {
		if s.flush() != nil {
			return
		}
		z := &squeezed{c: s.conn, buf: bytes.Clone(p.buf)}
		z.in.src, z.in.wait = z.take, func() error { return z.fill(false) }
		p.buf, s.z = nil, z
	}
	return nil
}

func (z *squeezed) next(c *conn, park bool) ([]byte, error) {
	if !z.more {
		if err := c.flush(); err != nil {
			return nil, err
		}
		if park {
			c.release()
		}
		if err := z.fill(park); err != nil {
			return nil, err
		}
	}
	b := c.buffer()
	n, err := z.in.Read(b)
	z.more = n == len(b)
	if n > 0 {
		err = nil
	}
	return b[:n], err
}

func (z *squeezed) write(c *conn, b []byte) error {
	if z.w == nil {
		z.w = squeezers.Get().(*flate.Writer)
		z.w.Reset(sender{c})
	}
	_, err := z.w.Write(b)
	return err
}

func (z *squeezed) flush(c *conn) error {
	if z.w == nil {
		return nil
	}
	err := z.w.Flush()
	z.w.Reset(io.Discard)
	squeezers.Put(z.w)
	z.w = nil
	return err
}

// A sender writes to the network below compression.
type sender struct{ c *conn }

func (s sender) Write(b []byte) (int, error) {
	s.c.send(b)
	return len(b), s.c.err
}
