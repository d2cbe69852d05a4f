package upstream

import (
	"context"
	"crypto/rand"
	"errors"
	"net"
	"net/netip"
	"sync"
	"time"

	"github.com/miekg/dns"
)

const (
	// maxJunk is how many datagrams that are no reply to the question are borne
	// before it goes where nobody can guess: TCP.
	maxJunk = 32
	// learned is how long it counts that a resolver does not keep the case of
	// names, or does not know EDNS or cookies.
	learned = time.Hour
)

// errDoubt is the error of a reply that may be forged.
var errDoubt = errors.New("its answer may be forged")

// plain is what is known of a resolver that is asked over UDP.
type plain struct {
	mu       sync.Mutex
	cookie   []byte     // the client's 8 bytes and what the server gave last
	local    netip.Addr // ours, that the cookie is for
	looked   time.Time  // when local was last looked up
	lower    time.Time  // until then names go in lower case
	noCookie time.Time  // until then cookies are not insisted on
	noEDNS   time.Time  // until then EDNS is left out
}

// form returns how to write the next question on c.
func (p *plain) form(c net.Conn) form {
	p.mu.Lock()
	defer p.mu.Unlock()
	now := time.Now()
	if now.Sub(p.looked) > moved {
		p.looked = now
		if local := localOf(c); len(p.cookie) == 0 || p.local != local {
			// Another address is another client, also to who watches (RFC 7873 §8).
			p.cookie, p.local = make([]byte, 8), local
			rand.Read(p.cookie)
		}
	}
	return form{edns: now.After(p.noEDNS), mixed: now.After(p.lower), cookie: p.cookie}
}

// learn takes the server's part of the cookie from a reply to f. It is false
// where the reply has a wrong cookie, or has lost one that it should have.
func (p *plain) learn(f form, got []byte) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	switch {
	case !f.edns:
		return true
	case len(got) == 0:
		return len(f.cookie) == 8 || time.Now().Before(p.noCookie)
	case len(got) < 16 || len(got) > 40 || string(got[:8]) != string(f.cookie[:8]):
		return len(got) == 8 && string(got) == string(f.cookie[:8]) // it echoes what it does not know
	case len(p.cookie) > 0 && string(p.cookie[:8]) == string(f.cookie[:8]):
		p.cookie = append([]byte(nil), got...)
	}
	return true
}

// note remembers until when something is so.
func (p *plain) note(at *time.Time) {
	p.mu.Lock()
	defer p.mu.Unlock()
	*at = time.Now().Add(learned)
}

// udp asks over UDP, and over TCP where that is too small or not to be trusted.
func (r *Resolver) udp(ctx context.Context, q Question) ([]byte, error) {
	p := &r.plain
	b, f, err := r.datagram(ctx, q, nil)
	if err == nil && f.edns && lacksEDNS(b) {
		p.note(&p.noEDNS)
		b, _, err = r.datagram(ctx, q, nil)
	}
	if err == nil && rcode(b) == dns.RcodeBadCookie {
		if b, _, err = r.datagram(ctx, q, nil); err == nil && rcode(b) == dns.RcodeBadCookie {
			err = errDoubt // RFC 7873 §5.3
		}
	}
	switch {
	case err == nil && b[2]&flagTC == 0:
		return b, nil
	case err != nil && !errors.Is(err, errDoubt):
		return nil, err
	}
	sure, terr := r.bare(ctx, q, r.stream.ask)
	var lost *doubt
	switch {
	case terr == nil && errors.As(err, &lost):
		p.note(lost.until(p)) // it is the resolver, or somebody on the way, for now
		return sure, nil
	case terr == nil || !errors.As(err, &lost) || ctx.Err() != nil:
		return sure, terr
	}
	// No TCP there. Then do without what the resolver does not keep.
	b, _, err = r.datagram(ctx, q, lost)
	if err == nil && b[2]&flagTC == 0 {
		p.note(lost.until(p))
		return b, nil
	}
	return nil, errors.Join(terr, err)
}

// A doubt is a reply that fits but for one thing.
type doubt struct{ cased bool } // the case of the name; else the cookie

func (d *doubt) Error() string        { return errDoubt.Error() }
func (d *doubt) Is(target error) bool { return target == errDoubt }

func (d *doubt) until(p *plain) *time.Time {
	if d.cased {
		return &p.lower
	}
	return &p.noCookie
}

var buffers = sync.Pool{New: func() any { b := make([]byte, 4096); return &b }}

// datagram asks once over UDP, from a port that the kernel picks at random and
// that no other question has meanwhile; see bank. without says what is not
// insisted on.
func (r *Resolver) datagram(ctx context.Context, q Question, without *doubt) (answer []byte, f form, err error) {
	var c net.Conn
	if s := r.bank.take(); s != nil {
		c = s
	} else if c, err = r.connect(ctx, "udp"); err != nil {
		r.bank.give(nil, false)
		return nil, f, explain(ctx, err)
	}
	clean, stop := false, func() bool { return true }
	defer func() { r.bank.give(c, stop() && clean && err == nil) }()
	f = r.plain.form(c)
	f.edns = f.edns && !q.Bare
	if without != nil {
		f.mixed = f.mixed && !without.cased
		f.cookie = f.cookie[:8]
	}
	if err := q.spend(); err != nil {
		return nil, f, err
	}
	end, _ := ctx.Deadline()
	c.SetDeadline(end)
	stop = context.AfterFunc(ctx, func() { c.SetDeadline(time.Unix(1, 0)) })
	sent := q.message(f)
	kept := buffers.Get().(*[]byte)
	defer buffers.Put(kept)
	buf := *kept
	r.sent.Add(1)
	var broken error
	for i := range maxJunk {
		n, err := 0, error(nil)
		if i == 0 {
			n, err = put(c, sent, buf)
		} else {
			n, err = c.Read(buf)
		}
		if err != nil {
			if broken != nil {
				return nil, f, broken
			}
			return nil, f, explain(ctx, err)
		}
		how := heads(buf[:n], sent)
		if how == foreign {
			continue
		}
		cookie, err := check(buf[:n])
		if err != nil {
			broken = err // somebody may wish us to stop waiting for the true one
			continue
		}
		if how == miscased {
			return nil, f, &doubt{cased: true}
		}
		switch b := buf[:n]; {
		case b[2]&flagTC != 0, r.plain.learn(f, cookie):
			clean = i == 0 && b[2]&flagTC == 0
			return append([]byte(nil), b...), f, nil
		case len(cookie) == 0:
			return nil, f, &doubt{}
		}
	}
	return nil, f, errDoubt
}

// put sends what was asked and waits for the first datagram.
func put(c net.Conn, sent, buf []byte) (int, error) {
	if s, ok := c.(*socket); ok {
		return s.ask(sent, buf)
	}
	if _, err := c.Write(sent); err != nil {
		return 0, err
	}
	return c.Read(buf)
}

func localOf(c net.Conn) netip.Addr {
	if u, ok := c.LocalAddr().(*net.UDPAddr); ok {
		return u.AddrPort().Addr()
	}
	return netip.Addr{}
}
