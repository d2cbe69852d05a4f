package upstream

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"sync"
	"time"

	"github.com/quic-go/quic-go"
)

// Error codes of RFC 9250 §4.3.
const (
	doqNoError          = 0
	doqProtocolError    = 2
	doqRequestCancelled = 3
)

// A doq asks over QUIC: one connection, and a stream for each question
// (RFC 9250).
type doq struct {
	r *Resolver

	mu       sync.Mutex
	conn     *quic.Conn
	dialing  *calling
	failures int
	retry    time.Time
	failure  error
}

// A calling is a connection in the making, for all who wait for it.
type calling struct {
	done chan struct{}
	conn *quic.Conn
	err  error
}

// transportOptions bound what the resolver may send us, and open no streams to us.
func transportOptions() *quic.Config {
	return &quic.Config{
		HandshakeIdleTimeout: dialTimeout, MaxIdleTimeout: idleTimeout,
		MaxIncomingStreams: -1, MaxIncomingUniStreams: -1,
		MaxStreamReceiveWindow: 1 << 17, MaxConnectionReceiveWindow: 1 << 20,
	}
}

func (d *doq) close() {
	d.mu.Lock()
	conn := d.conn
	d.conn = nil
	d.mu.Unlock()
	if conn != nil {
		conn.CloseWithError(doqNoError, "")
	}
}

func (d *doq) ask(ctx context.Context, q Question, f form) ([]byte, error) {
	ctx, cancel := d.r.until(ctx)
	defer cancel()
	if err := q.spend(); err != nil {
		return nil, err
	}
	f.zero = true // RFC 9250 §4.2.1
	sent := q.message(f)
	for again := false; ; again = true {
		conn, fresh, err := d.get(ctx)
		if err != nil {
			return nil, explain(ctx, err)
		}
		b, err := d.exchange(ctx, conn, sent)
		if err == nil {
			return b, nil
		}
		if conn.Context().Err() == nil || fresh || again || ctx.Err() != nil {
			return nil, explain(ctx, err)
		}
		// It was closed for being idle when we came.
	}
}

func (d *doq) exchange(ctx context.Context, conn *quic.Conn, sent []byte) ([]byte, error) {
	s, err := conn.OpenStreamSync(ctx)
	if err != nil {
		return nil, err
	}
	defer s.CancelRead(doqRequestCancelled) // nothing, once all is read
	defer context.AfterFunc(ctx, func() { s.CancelRead(doqRequestCancelled) })()
	if end, ok := ctx.Deadline(); ok {
		s.SetDeadline(end)
	}
	framed := binary.BigEndian.AppendUint16(make([]byte, 0, 2+len(sent)), uint16(len(sent)))
	if _, err := s.Write(append(framed, sent...)); err != nil {
		s.CancelWrite(doqRequestCancelled) // or the stream stays open for as long as the connection
		return nil, err
	}
	if err := s.Close(); err != nil { // the question ends, not the answer
		return nil, err
	}
	d.r.sent.Add(1)
	b, err := io.ReadAll(io.LimitReader(s, 2+1<<16))
	if err != nil {
		return nil, err
	}
	if len(b) < 2 || int(binary.BigEndian.Uint16(b)) != len(b)-2 {
		conn.CloseWithError(doqProtocolError, "")
		return nil, fmt.Errorf("%w: its answer is not framed", ErrNonsense)
	}
	b = b[2:]
	if heads(b, sent) == foreign {
		return nil, fmt.Errorf("%w: its answer is to another question", ErrNonsense)
	}
	if _, err := check(b); err != nil {
		return nil, err
	}
	return b, nil
}

// get returns the connection, and whether it was made just now.
func (d *doq) get(ctx context.Context) (*quic.Conn, bool, error) {
	d.mu.Lock()
	if d.conn != nil && d.conn.Context().Err() == nil {
		defer d.mu.Unlock()
		return d.conn, false, nil
	}
	c := d.dialing
	if c == nil {
		if time.Until(d.retry) > 0 {
			defer d.mu.Unlock()
			return nil, false, fmt.Errorf("it could not be reached just now: %w", d.failure)
		}
		c = &calling{done: make(chan struct{})}
		d.dialing = c
		d.r.wg.Go(func() { d.dial(c) })
	}
	d.mu.Unlock()
	select {
	case <-c.done:
		return c.conn, true, c.err
	case <-ctx.Done():
		return nil, false, ctx.Err()
	}
}

func (d *doq) dial(c *calling) {
	ctx, cancel := context.WithTimeout(d.r.ctx, dialTimeout)
	defer cancel()
	conn, err := d.connect(ctx)
	d.mu.Lock()
	defer d.mu.Unlock()
	defer close(c.done)
	d.dialing = nil
	switch {
	case err != nil:
		d.failures++
		d.retry, d.failure = time.Now().Add(pauseAfter(d.failures)), err
		c.err = err
		return
	case d.r.ctx.Err() != nil:
		conn.CloseWithError(doqNoError, "")
		c.err = errClosed
		return
	}
	d.failures, d.retry = 0, time.Time{}
	d.conn, c.conn = conn, conn
}

func (d *doq) connect(ctx context.Context) (*quic.Conn, error) {
	under, err := d.r.connect(ctx, "udp")
	if err != nil {
		return nil, err
	}
	t := &quic.Transport{Conn: packets{under}}
	conn, err := t.Dial(ctx, under.RemoteAddr(), d.r.tls, transportOptions())
	if err != nil {
		d.r.place.next(addrOf(under))
		t.Close()
		under.Close()
		return nil, fmt.Errorf("QUIC: %w", err)
	}
	d.r.wg.Go(func() {
		<-conn.Context().Done()
		t.Close()
		under.Close()
	})
	return conn, nil
}

// packets makes a net.PacketConn of a connection: there is but one far end.
type packets struct{ net.Conn }

func (p packets) ReadFrom(b []byte) (int, net.Addr, error) {
	n, err := p.Read(b)
	return n, p.RemoteAddr(), err
}

func (p packets) WriteTo(b []byte, _ net.Addr) (int, error) {
	n, err := p.Write(b)
	var op *net.OpError
	if err != nil && errors.As(err, &op) && !errors.Is(err, net.ErrClosed) {
		return len(b), nil // such as an ICMP error for what was sent before; QUIC notices by itself
	}
	return n, err
}
