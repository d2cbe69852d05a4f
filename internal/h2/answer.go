package h2

import (
	"bytes"
	"context"
	"net/http"
	"runtime/debug"
	"slices"
	"time"
)

// dispatch has a request answered. It has come whole, or its answer does not
// depend on the rest.
func (c *Conn) dispatch(s *stream) {
	s.taken, s.short = true, !s.ended
	c.refund(len(s.body))
	if s.big {
		w := newResponse(false)
		http.Error(w, "The request has too many headers.", http.StatusRequestHeaderFieldsTooLarge)
		c.complete(s, w)
		return
	}
	direct := s.request(&c.req) && !s.short
	way, more := c.opt.Gate.Way(c.req.Authority, c.req.Path)
	if way == Elsewhere {
		c.part(s)
		return
	}
	if way == Direct && direct {
		now, later, ok := c.session.Ask(&c.req)
		switch {
		case !ok:
		case later == nil && now.Else == nil:
			c.reply(s, &now, more)
			return
		case later == nil:
			c.otherwise(s, http.HandlerFunc(now.Else))
			return
		case c.opt.Gate.Enter():
			c.work(s, func() { c.answerLater(s, later, more) })
			return
		}
	}
	c.otherwise(s, c.opt.Rest)
}

// part ends the connection because of s, which something else must answer.
func (c *Conn) part(s *stream) {
	if c.barred == 0 {
		c.barred = s.id
		c.parted = c.now
	}
	c.reset(s, codeRefused)
}

// work has a goroutine answer s. It holds no lock.
func (c *Conn) work(s *stream, do func()) {
	s.busy = true
	c.working++
	c.wg.Go(func() {
		defer func() {
			p := recover()
			c.mu.Lock()
			defer c.mu.Unlock()
			c.working--
			s.busy = false
			switch {
			case p != nil:
				if p != http.ErrAbortHandler { //nolint:errorlint // as net/http compares it
					c.opt.Log.Error("a request failed", "addr", c.opt.From, "err", p, "stack", string(debug.Stack()))
				}
				if !s.done {
					c.reset(s, codeInternal)
				}
			case s.done:
				c.recycle(s)
			}
			c.flush()
		}()
		do()
	})
}

func (c *Conn) answerLater(s *stream, later func() Reply, more string) {
	r := func() Reply {
		defer c.opt.Gate.Leave()
		return later()
	}()
	if r.Else != nil {
		c.handle(s, http.HandlerFunc(r.Else))
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.room()
	if !s.done {
		c.reply(s, &r, more)
	}
}

// otherwise has a handler of net/http answer s.
func (c *Conn) otherwise(s *stream, h http.Handler) {
	c.work(s, func() { c.handle(s, h) })
}

// handle answers s by h. It holds no lock.
func (c *Conn) handle(s *stream, h http.Handler) {
	ctx, cancel := context.WithCancel(context.WithValue(context.Background(), http.LocalAddrContextKey, c.opt.Conn.LocalAddr()))
	defer cancel()
	c.mu.Lock()
	r, err := s.full(ctx)
	if s.cancel = cancel; err != nil && !s.done {
		c.reset(s, codeProtocol)
	}
	done := s.done
	c.mu.Unlock()
	if done {
		return
	}
	r.RemoteAddr = c.opt.Conn.RemoteAddr().String()
	r.TLS = c.opt.TLS
	w := newResponse(r.Method == http.MethodHead)
	h.ServeHTTP(w, c.opt.Dress(r))
	c.mu.Lock()
	defer c.mu.Unlock()
	s.cancel = nil
	c.room()
	if !s.done {
		c.complete(s, w)
	}
}

// complete answers s by what a handler has written.
func (c *Conn) complete(s *stream, w *response) {
	w.finish()
	c.out = c.enc.appendAll(c.out, s.id, w, c.now)
	if w.head || len(w.body) == 0 {
		w.body = nil
	}
	c.send(s, w.body)
}

// room waits until others have written what there is, for one who did not come
// from the reader.
func (c *Conn) room() {
	for len(c.out) >= maxOut && c.writing && c.err == nil {
		c.idle.Wait()
	}
	c.now = time.Now()
}

// reply answers s. r is no longer used afterwards.
func (c *Conn) reply(s *stream, r *Reply, more string) {
	c.out = c.enc.append(c.out, s.id, r, more, c.now)
	c.send(s, r.Body)
}

// send sends the body of an answer whose head was sent, as far as the client
// takes it.
func (c *Conn) send(s *stream, body []byte) {
	c.budget = min(patience, c.budget+earned)
	left := c.pour(s, body)
	if left < 0 {
		c.finish(s)
		return
	}
	s.rest = bytes.Clone(body[len(body)-left:])
	c.rest += left
	if len(c.blocked) == 0 {
		c.stuck = c.now
	}
	c.blocked = append(c.blocked, s)
	if c.rest > maxRest {
		c.reset(s, codeCalm)
	}
}

// pour sends of body what the windows let through, and returns how much is
// left; -1 where that and the end of the stream were sent.
func (c *Conn) pour(s *stream, body []byte) int {
	for {
		n := int(min(int64(len(body)), c.window, s.window, maxFrame))
		if n <= 0 && len(body) > 0 {
			return len(body)
		}
		var flags byte
		if n == len(body) {
			flags = flagEndStream
		}
		c.out = append(appendHead(c.out, n, typeData, flags, s.id), body[:n]...)
		c.window -= int64(n)
		s.window -= int64(n)
		if body = body[n:]; flags != 0 {
			return -1
		}
	}
}

// push sends what the client takes now of answers that were held up.
func (c *Conn) push() {
	if len(c.blocked) == 0 {
		return
	}
	for _, s := range slices.Clone(c.blocked) {
		had := len(s.rest)
		left := c.pour(s, s.rest)
		if left < had {
			c.stuck = c.now
		}
		if left >= 0 {
			c.rest -= had - left
			s.rest = s.rest[had-left:]
			continue
		}
		c.finish(s)
	}
}

// finish ends s, whose answer was sent.
func (c *Conn) finish(s *stream) {
	c.unblock(s)
	if !s.ended { // the client need not go on
		c.out = appendReset(c.out, s.id, codeNone)
		c.close(s, resetByUs)
		return
	}
	c.close(s, endedWhole)
}

// reset ends s by RST_STREAM.
func (c *Conn) reset(s *stream, why code) {
	c.out = appendReset(c.out, s.id, why)
	c.close(s, resetByUs)
}

func (c *Conn) unblock(s *stream) {
	if s.rest == nil {
		return
	}
	c.rest -= len(s.rest)
	s.rest = nil
	c.blocked = slices.DeleteFunc(c.blocked, func(b *stream) bool { return b == s })
}

// close forgets s.
func (c *Conn) close(s *stream, how ending) {
	c.unblock(s)
	if !s.ended {
		c.bodies--
	}
	if !s.taken {
		c.refund(len(s.body))
	}
	if s.cancel != nil {
		s.cancel()
	}
	delete(c.streams, s.id)
	c.text -= len(s.text)
	c.recent[s.id/2%uint32(len(c.recent))] = past{s.id, how}
	s.done = true
	if !s.busy {
		c.recycle(s)
	}
	c.asked = c.now
	if len(c.streams) == 0 && !c.leaving.IsZero() {
		c.wake()
	}
}

// fresh returns a stream.
func (c *Conn) fresh(id uint32) *stream {
	var s *stream
	if n := len(c.free); n > 0 {
		s, c.free = c.free[n-1], c.free[:n-1]
	} else {
		s = new(stream)
	}
	s.clear(id, c.initial)
	return s
}

// recycle keeps s for another request.
func (c *Conn) recycle(s *stream) {
	if len(c.free) < 16 && cap(s.text) <= 1<<10 && cap(s.body) <= 1<<10 {
		c.free = append(c.free, s)
	}
}
