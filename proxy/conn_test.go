package proxy

import (
	"io"
	"net"
	"time"
)

// pieces is a connection whose client sends in, so many bytes at a time, and
// perhaps something else for ever.
type pieces struct {
	net.Conn
	in      []byte
	size    int
	forever []byte
}

func (p *pieces) Read(b []byte) (int, error) {
	if len(p.in) == 0 {
		if p.forever == nil {
			return 0, io.EOF
		}
		p.in = p.forever
	}
	n := copy(b, p.in[:min(p.size, len(p.in))])
	p.in = p.in[n:]
	return n, nil
}

func (p *pieces) SetReadDeadline(time.Time) error { return nil }
