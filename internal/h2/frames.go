package h2

import "time"

// frame takes in a frame. An error ends the connection.
func (c *Conn) frame(f frame) error {
	if c.block != nil && (f.typ != typeContinuation || f.id != c.blockF.id) {
		return bad(codeProtocol, "a header block is broken off")
	}
	switch f.typ {
	case typeData:
		return c.data(f)
	case typeHeaders:
		return c.headers(f)
	case typeContinuation:
		return c.continuation(f)
	case typePriority:
		return c.priority(f)
	case typeReset:
		return c.resetBy(f)
	case typeSettings:
		return c.settings(f)
	case typePush:
		return bad(codeProtocol, "clients do not push")
	case typePing:
		return c.ping(f)
	case typeGoAway:
		switch {
		case f.id != 0:
			return bad(codeProtocol, "GOAWAY of a stream")
		case len(f.payload) < 8:
			return bad(codeSize, "a short GOAWAY")
		}
		c.leave(maxID)
		return c.charge()
	case typeWindow:
		return c.update(f)
	}
	return c.charge() // of another type, as RFC 9113 §5.5 allows
}

func (c *Conn) headers(f frame) error {
	if f.id&1 == 0 {
		return bad(codeProtocol, "a request on a stream that is not the client's")
	}
	if err := f.unpad(); err != nil {
		return err
	}
	self := false
	if f.flags&flagPriority != 0 {
		if len(f.payload) < 5 {
			return bad(codeSize, "a short priority")
		}
		self = get32(f.payload)&maxID == f.id
		f.payload = f.payload[5:]
	}
	if f.flags&flagEndHeaders == 0 {
		c.block, c.blockF, c.pieces = append(make([]byte, 0, 2*len(f.payload)), f.payload...), f, 1
		c.since = c.now
		return c.charge()
	}
	return c.open(f, f.payload, self)
}

func (c *Conn) continuation(f frame) error {
	if c.block == nil {
		return bad(codeProtocol, "the continuation of nothing")
	}
	c.block = append(c.block, f.payload...)
	if c.pieces++; c.pieces > maxPieces || len(c.block) > maxBlock {
		return bad(codeCalm, "a header block without end")
	}
	if f.flags&flagEndHeaders == 0 {
		return nil
	}
	block := c.block
	c.block, c.since = nil, time.Time{}
	return c.open(c.blockF, block, false)
}

// open begins the request whose header block has come whole, or ends one by
// trailers.
func (c *Conn) open(f frame, block []byte, self bool) error {
	s := c.streams[f.id]
	end := f.flags&flagEndStream != 0
	switch {
	case s != nil:
		return c.trailers(s, block, end)
	case c.barred != 0 && f.id >= c.barred:
		c.last = max(c.last, f.id)
		if _, err := c.decode(nil, block); err != nil { // the table must follow all the same
			return err
		}
		c.out = appendReset(c.out, f.id, codeRefused)
		return c.charge()
	case f.id <= c.last:
		if _, err := c.decode(nil, block); err != nil {
			return err
		}
		switch p := c.recent[f.id/2%uint32(len(c.recent))]; {
		case p.id != f.id:
			return bad(codeProtocol, "a stream that was passed over")
		case p.how == resetByUs:
			return c.charge() // sent before it knew
		}
		return bad(codeClosed, "a request on a closed stream")
	}
	c.last, c.asked = f.id, c.now
	s = c.fresh(f.id)
	good, err := c.decode(s, block)
	if err != nil {
		return err
	}
	s.ended = end
	c.streams[s.id] = s
	c.text += len(s.text)
	if !end {
		c.bodies++
		s.begun = c.now
	}
	switch {
	case self, !good && !s.big, !s.big && !s.whole(), end && s.length > 0:
		c.reset(s, codeProtocol)
		return c.charge()
	case len(c.streams) > maxStreams || c.working >= maxStreams || c.text > maxText:
		c.reset(s, codeRefused)
		return c.charge()
	case end || s.big || s.length > maxBody:
		c.dispatch(s)
		return nil
	}
	return nil
}

// decode reads a header block into s; into nothing where that is nil. good is
// false where a field is malformed.
func (c *Conn) decode(s *stream, block []byte) (good bool, err error) {
	good = true
	for c.dec.begin(); ; {
		name, value, rest, more, err := c.dec.field(block)
		if err != nil || !more {
			return good, err
		}
		block = rest
		if s != nil && good && !s.big {
			good = s.take(name, value)
		}
	}
}

// trailers end a request. What they say is ignored.
func (c *Conn) trailers(s *stream, block []byte, end bool) error {
	if s.ended {
		return bad(codeClosed, "headers after the end of a request")
	}
	t := c.fresh(s.id)
	defer c.recycle(t)
	good, err := c.decode(t, block)
	if err != nil {
		return err
	}
	const pseudo = hasMethod | hasScheme | hasPath | hasAuthority
	if !good || !end || t.has&pseudo != 0 || !s.taken && s.length >= 0 && s.length != int64(len(s.body)) {
		c.reset(s, codeProtocol)
		return c.charge()
	}
	c.end(s)
	return nil
}

// end notes that all of a request has come.
func (c *Conn) end(s *stream) {
	s.ended = true
	c.bodies--
	if !s.taken {
		c.dispatch(s)
	}
}

func (c *Conn) data(f frame) error {
	if f.id == 0 {
		return bad(codeProtocol, "DATA of no stream")
	}
	n := len(f.payload)
	if c.given -= int64(n); c.given < 0 {
		return bad(codeFlow, "more data than allowed")
	}
	if err := f.unpad(); err != nil {
		return err
	}
	s := c.streams[f.id]
	if s == nil || s.ended || s.taken {
		c.refund(n)
		return c.surplus(f, s)
	}
	c.refund(n - len(f.payload))
	end := f.flags&flagEndStream != 0
	s.body = append(s.body, f.payload...)
	size := int64(len(s.body))
	switch {
	case s.length >= 0 && (size > s.length || end && size != s.length):
		c.reset(s, codeProtocol) // RFC 9113 §8.1.1
		return c.charge()
	case end:
		c.end(s)
		return nil
	case size > maxBody:
		c.dispatch(s)
		return nil
	}
	return c.charge()
}

// surplus takes in data that nobody wants.
func (c *Conn) surplus(f frame, s *stream) error {
	switch {
	case s != nil && s.ended:
		c.reset(s, codeClosed)
	case s != nil: // its answer is under way
		if f.flags&flagEndStream != 0 {
			c.end(s)
			return nil
		}
	case f.id > c.last, f.id&1 == 0:
		return bad(codeProtocol, "data before its request")
	case c.barred == 0 || f.id < c.barred:
		p := c.recent[f.id/2%uint32(len(c.recent))]
		if p.id != f.id || p.how != resetByUs {
			c.out = appendReset(c.out, f.id, codeClosed)
		}
	}
	return c.charge()
}

// refund lets the client send n bytes anew.
func (c *Conn) refund(n int) {
	c.taken += uint32(n)
	if c.taken >= credit {
		c.out = appendWindow(c.out, 0, c.taken)
		c.given += int64(c.taken)
		c.taken = 0
	}
}

func (c *Conn) priority(f frame) error {
	switch {
	case f.id == 0:
		return bad(codeProtocol, "PRIORITY of no stream")
	case len(f.payload) != 5:
		return c.fault(f.id, codeSize)
	case get32(f.payload)&maxID == f.id:
		return c.fault(f.id, codeProtocol)
	}
	return c.charge()
}

// fault ends a stream, whether it is open or not.
func (c *Conn) fault(id uint32, why code) error {
	if s := c.streams[id]; s != nil {
		c.reset(s, why)
	} else {
		c.out = appendReset(c.out, id, why)
	}
	return c.charge()
}

func (c *Conn) resetBy(f frame) error {
	switch {
	case len(f.payload) != 4:
		return bad(codeSize, "a RST_STREAM of another length")
	case f.id == 0, f.id > c.last, f.id&1 == 0:
		return bad(codeProtocol, "RST_STREAM of an idle stream")
	}
	if s := c.streams[f.id]; s != nil {
		c.close(s, resetByClient)
	}
	return c.charge()
}

func (c *Conn) ping(f frame) error {
	switch {
	case f.id != 0:
		return bad(codeProtocol, "PING of a stream")
	case len(f.payload) != 8:
		return bad(codeSize, "a PING of another length")
	case f.flags&flagAck == 0:
		c.out = append(appendHead(c.out, 8, typePing, flagAck, 0), f.payload...)
	}
	return c.charge()
}

func (c *Conn) settings(f frame) error {
	switch {
	case f.id != 0:
		return bad(codeProtocol, "SETTINGS of a stream")
	case f.flags&flagAck != 0 && len(f.payload) != 0, len(f.payload)%6 != 0:
		return bad(codeSize, "SETTINGS of a wrong length")
	case f.flags&flagAck != 0:
		return c.charge()
	}
	for p := f.payload; len(p) > 0; p = p[6:] {
		v := get32(p[2:])
		switch int(p[0])<<8 | int(p[1]) {
		case setTable:
			c.enc.limit(v)
		case setPush:
			if v > 1 {
				return bad(codeProtocol, "ENABLE_PUSH is neither 0 nor 1")
			}
		case setWindow:
			if v > maxID {
				return bad(codeFlow, "too large a window")
			}
			more := int64(v) - c.initial
			c.initial = int64(v)
			for _, s := range c.streams {
				if s.window += more; s.window > maxID {
					return bad(codeFlow, "too large a window")
				}
			}
		case setFrame:
			if v < maxFrame || v > 1<<24-1 {
				return bad(codeProtocol, "MAX_FRAME_SIZE out of bounds")
			}
		}
	}
	c.out = appendHead(c.out, 0, typeSettings, flagAck, 0)
	c.push()
	return c.charge()
}

func (c *Conn) update(f frame) error {
	if len(f.payload) != 4 {
		return bad(codeSize, "a WINDOW_UPDATE of another length")
	}
	if err := c.charge(); err != nil {
		return err
	}
	n := int64(get32(f.payload) & maxID)
	if f.id == 0 {
		if c.window += n; n == 0 {
			return bad(codeProtocol, "an empty WINDOW_UPDATE")
		} else if c.window > maxID {
			return bad(codeFlow, "too large a window")
		}
		c.push()
		return nil
	}
	s := c.streams[f.id]
	switch {
	case f.id > c.last, f.id&1 == 0:
		return bad(codeProtocol, "WINDOW_UPDATE of an idle stream")
	case n == 0:
		return c.fault(f.id, codeProtocol)
	case s == nil: // it came too late
		return nil
	}
	if s.window += n; s.window > maxID {
		c.reset(s, codeFlow)
		return c.charge()
	}
	c.push()
	return nil
}
