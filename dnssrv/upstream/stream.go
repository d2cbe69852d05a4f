package upstream

import (
	"bufio"
	"cmp"
	"context"
	"crypto/rand"
	"crypto/tls"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"sync"
	"sync/atomic"
	"time"
)

const (
	maxStreams   = 4  // connections to one resolver
	maxPipelined = 64 // questions under way on one of them
)

var (
	errGone   = errors.New("the connection was closed")
	errSilent = errors.New("the connection is dead")
)

// ErrBusy is the error when we have too much to do, and not the resolver.
var ErrBusy = errors.New("too many questions are under way")

// A pool holds the TCP or TLS connections to a resolver.
type pool struct {
	r *Resolver

	mu       sync.Mutex
	open     []*stream
	dialing  *dialing
	failures int // of dialing, in a row
	retry    time.Time
	failure  error // the last of them
	closed   bool
}

// A dialing is a connection in the making, for all who wait for it.
type dialing struct {
	done   chan struct{}
	stream *stream
	err    error
}

// ask puts the question over a connection, and once more over another where the
// resolver has closed an old one at that moment (RFC 7766 §6.2.4).
func (p *pool) ask(ctx context.Context, q Question, f form) ([]byte, error) {
	for {
		s, err := p.get(ctx)
		if err != nil {
			return nil, explain(ctx, err)
		}
		b, err := s.ask(ctx, q, f)
		if err == nil || !errors.Is(err, errGone) || !s.wasUsed() || ctx.Err() != nil {
			return b, err
		}
	}
}

// get returns a connection with room for a question.
func (p *pool) get(ctx context.Context) (*stream, error) {
	p.mu.Lock()
	var best *stream
	for _, s := range p.open {
		if best == nil || s.load() < best.load() {
			best = s
		}
	}
	switch {
	case p.closed:
		p.mu.Unlock()
		return nil, errGone
	case best != nil && (best.load() < maxPipelined/4 || len(p.open) == maxStreams || p.dialing != nil):
		p.mu.Unlock()
		return best, nil
	}
	d := p.dialing
	if d == nil {
		if wait := time.Until(p.retry); wait > 0 {
			err := p.failure
			p.mu.Unlock()
			if best != nil {
				return best, nil
			}
			return nil, fmt.Errorf("it could not be reached just now: %w", err)
		}
		d = &dialing{done: make(chan struct{})}
		p.dialing = d
		p.r.wg.Go(func() { p.dial(d) })
	}
	p.mu.Unlock()
	select {
	case <-d.done:
		return d.stream, d.err
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// dial makes a connection. It is nobody's in particular, so nobody's losing
// patience ends it.
func (p *pool) dial(d *dialing) {
	ctx, cancel := context.WithTimeout(p.r.ctx, dialTimeout)
	defer cancel()
	leave, err := p.r.enter()
	var c net.Conn
	if err == nil {
		if c, err = p.connect(ctx); err != nil {
			leave()
		}
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	defer close(d.done)
	p.dialing = nil
	if err == nil && p.closed {
		c.Close()
		leave()
		err = errGone
	}
	if errors.Is(err, ErrBusy) { // which is not the other side's fault
		d.err = err
		return
	}
	if err != nil {
		p.failures++
		p.retry, p.failure = time.Now().Add(pauseAfter(p.failures)), err
		d.err = err
		return
	}
	p.failures, p.retry = 0, time.Time{}
	s := &stream{conn: c, count: &p.r.sent, waiting: map[uint16]*waiter{}}
	s.idle = cmp.Or(p.r.opt.Idle, idleTimeout)
	s.gone = func() {
		leave()
		p.drop(s)
	}
	p.open = append(p.open, s)
	d.stream = s
	p.r.wg.Go(s.read)
}

// enter takes a place among the open connections. leave gives it back.
func (r *Resolver) enter() (leave func(), err error) {
	if r.opt.Room == nil {
		return func() {}, nil
	}
	select {
	case r.opt.Room <- struct{}{}:
		return func() { <-r.opt.Room }, nil
	default:
		return nil, ErrBusy
	}
}

func (p *pool) connect(ctx context.Context) (net.Conn, error) {
	c, err := p.r.connect(ctx, "tcp")
	if err != nil || p.r.addr.Proto != TLS {
		return c, err
	}
	t := tls.Client(c, p.r.tls)
	if err := t.HandshakeContext(ctx); err != nil {
		c.Close()
		p.r.place.next(addrOf(c))
		return nil, fmt.Errorf("TLS: %w", err)
	}
	return t, nil
}

func (p *pool) drop(s *stream) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for i, o := range p.open {
		if o == s {
			p.open = append(p.open[:i:i], p.open[i+1:]...)
		}
	}
}

func (p *pool) close() {
	p.mu.Lock()
	p.closed = true
	open := p.open
	p.mu.Unlock()
	for _, s := range open {
		s.fail(errGone)
	}
}

// A stream is a connection on which questions are pipelined. A waiter waits for
// one reply.
type stream struct {
	conn  net.Conn
	count *atomic.Uint64 // of messages sent
	gone  func()
	idle  time.Duration

	wmu sync.Mutex // of writing

	mu      sync.Mutex
	waiting map[uint16]*waiter
	used    bool      // a reply has come
	heard   time.Time // when the last did
	err     error     // why it is closed
}

type waiter struct {
	sent  []byte
	reply chan []byte // one, or closed where none comes
}

func (s *stream) load() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.waiting)
}

func (s *stream) wasUsed() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.used
}

func (s *stream) ask(ctx context.Context, q Question, f form) ([]byte, error) {
	if err := q.spend(); err != nil {
		return nil, err
	}
	start := time.Now()
	w := &waiter{sent: q.message(f), reply: make(chan []byte, 1)}
	id, err := s.enter(w)
	if err != nil {
		return nil, err
	}
	defer s.leave(id, w)
	s.count.Add(1)
	if err := s.write(w.sent); err != nil {
		s.fail(errGone)
		return nil, errGone
	}
	select {
	case b, ok := <-w.reply:
		if !ok {
			return nil, s.reason()
		}
		if heads(b, w.sent) == foreign {
			s.fail(errGone) // what else may it mix up?
			return nil, fmt.Errorf("%w: its answer is to another question", ErrNonsense)
		}
		if _, err := check(b); err != nil {
			return nil, err
		}
		return b, nil
	case <-ctx.Done():
		if errors.Is(ctx.Err(), context.DeadlineExceeded) && !s.heardSince(start) {
			s.fail(errSilent) // the other end may have gone without a word
		}
		return nil, explain(ctx, ctx.Err())
	}
}

// enter gives the question an id that no other under way has.
func (s *stream) enter(w *waiter) (uint16, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case s.err != nil:
		return 0, errGone
	case len(s.waiting) >= maxPipelined:
		return 0, ErrBusy
	}
	id := binary.BigEndian.Uint16(w.sent)
	for s.waiting[id] != nil {
		rand.Read(w.sent[:2])
		id = binary.BigEndian.Uint16(w.sent)
	}
	s.waiting[id] = w
	return id, nil
}

func (s *stream) leave(id uint16, w *waiter) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.waiting[id] == w {
		delete(s.waiting, id)
	}
}

func (s *stream) heardSince(t time.Time) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.heard.After(t)
}

func (s *stream) reason() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.err
}

func (s *stream) write(b []byte) error {
	framed := binary.BigEndian.AppendUint16(make([]byte, 0, 2+len(b)), uint16(len(b)))
	s.wmu.Lock()
	defer s.wmu.Unlock()
	s.conn.SetWriteDeadline(time.Now().Add(dialTimeout))
	_, err := s.conn.Write(append(framed, b...))
	return err
}

// read hands out replies until the connection ends.
func (s *stream) read() {
	defer s.fail(errGone)
	in := bufio.NewReaderSize(s.conn, 4096)
	for junk := 0; junk < maxJunk; {
		s.conn.SetReadDeadline(time.Now().Add(s.idle))
		head, err := in.Peek(2)
		if err != nil {
			return
		}
		s.conn.SetReadDeadline(time.Now().Add(slow))
		b := make([]byte, binary.BigEndian.Uint16(head))
		in.Discard(2)
		if _, err := io.ReadFull(in, b); err != nil {
			return
		}
		if len(b) < 12 || !s.deliver(b) {
			junk++ // late, or never asked for
		}
	}
}

func (s *stream) deliver(b []byte) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.used, s.heard = true, time.Now()
	id := binary.BigEndian.Uint16(b)
	w := s.waiting[id]
	if w == nil {
		return false
	}
	delete(s.waiting, id)
	w.reply <- b
	return true
}

// fail closes the connection and tells those who wait.
func (s *stream) fail(err error) {
	s.mu.Lock()
	if s.err != nil {
		s.mu.Unlock()
		return
	}
	s.err = err
	for id, w := range s.waiting {
		close(w.reply)
		delete(s.waiting, id)
	}
	s.mu.Unlock()
	s.conn.Close()
	s.gone()
}
