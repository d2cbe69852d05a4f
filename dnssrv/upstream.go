package dnssrv

import (
	"context"
	"crypto/rand"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"sync"
	"time"

	"github.com/miekg/dns"
)

const (
	// maxJunk is how many datagrams with a wrong id or question are borne
	// before we go where nobody can guess: TCP.
	maxJunk = 32
	// firstGuess stands for the round trip of an upstream never asked.
	firstGuess = 100 * time.Millisecond
	maxBackoff = 30 * time.Second
)

// An upstream is a resolver that others run, and how it has been doing.
type upstream struct {
	addr netip.AddrPort

	mu       sync.Mutex
	rtt      time.Duration // smoothed; 0: unknown
	failures int           // in a row
	asked    uint64
	failed   uint64
	last     error
	answered time.Time // the last answer
	broken   time.Time // the last failure that counted
	since    time.Time // the first of the failures in a row
	retry    time.Time // while it fails: not before the others until then
}

// UpstreamStatus is how an upstream resolver has been doing.
type UpstreamStatus struct {
	Address  string        `json:"address"`
	Up       bool          `json:"up"`
	RTT      time.Duration `json:"rtt"` // smoothed; 0: unknown
	Asked    uint64        `json:"asked"`
	Failed   uint64        `json:"failed"`
	Error    string        `json:"error,omitempty"` // the last, while it is not up
	Answered time.Time     `json:"answered,omitzero"`
}

// down is how many failures in a row make an upstream count as down.
const down = 3

func (u *upstream) status() UpstreamStatus {
	u.mu.Lock()
	defer u.mu.Unlock()
	s := UpstreamStatus{
		Address: u.addr.String(), Up: u.failures < down, RTT: u.rtt,
		Asked: u.asked, Failed: u.failed, Answered: u.answered,
	}
	if !s.Up {
		s.Error = u.last.Error()
	}
	return s
}

// failingSince is when the failures began, while it fails.
func (u *upstream) failingSince() time.Time {
	u.mu.Lock()
	defer u.mu.Unlock()
	return u.since
}

// score orders upstreams: the less, the sooner it is asked.
func (u *upstream) score(now time.Time) time.Duration {
	u.mu.Lock()
	defer u.mu.Unlock()
	s := u.rtt
	if s == 0 {
		s = firstGuess
	}
	if u.failures > 0 && now.Before(u.retry) {
		s += time.Hour * time.Duration(min(u.failures, 100))
	}
	return s
}

// patience is how long it is worth waiting before somebody else is asked too.
func (u *upstream) patience() time.Duration {
	u.mu.Lock()
	defer u.mu.Unlock()
	if u.rtt == 0 {
		return 400 * time.Millisecond
	}
	return min(max(4*u.rtt, 150*time.Millisecond), 600*time.Millisecond)
}

// worked notes an answer. The time that it took counts unless it is 0.
func (u *upstream) worked(rtt time.Duration) {
	u.mu.Lock()
	defer u.mu.Unlock()
	u.asked++
	u.failures = 0
	u.answered = time.Now()
	switch {
	case rtt == 0:
	case u.rtt == 0:
		u.rtt = rtt
	default:
		u.rtt += (rtt - u.rtt) / 8
	}
}

// broke notes that what was asked at start has failed. Tries of one question
// fail together and count once, and one lost in a stream of answers not at all.
func (u *upstream) broke(start time.Time, err error) {
	u.mu.Lock()
	defer u.mu.Unlock()
	now := time.Now()
	u.asked++
	u.failed++
	if u.answered.After(start) || now.Sub(u.broken) < firstGuess {
		return
	}
	if u.failures == 0 {
		u.since = now
	}
	u.failures++
	u.last, u.broken = err, now
	u.retry = now.Add(min(time.Second<<min(u.failures, 10), maxBackoff))
}

// An upstreamError is an answer of an upstream that is no answer.
type upstreamError struct {
	rcode int
	ede   *ede
}

func (e *upstreamError) Error() string {
	return "it answered " + dns.RcodeToString[e.rcode]
}

var errJunk = errors.New("too many forged answers")

// ask puts the question to the upstream and returns its answer: NOERROR or
// NXDOMAIN, of the right question, whole.
func (u *upstream) ask(ctx context.Context, q question) (*answer, error) {
	start, limit := time.Now(), u.patience()
	a, err := u.exchange(ctx, q)
	took := time.Since(start)
	var no *upstreamError
	switch {
	case err == nil:
		u.worked(took)
	case errors.As(err, &no) && no.rcode == dns.RcodeServerFailure:
		u.worked(0) // it is well; the zone asked about is not
	case errors.Is(ctx.Err(), context.Canceled) && took < limit:
		// Another was quicker, which says nothing about this one.
	default:
		u.broke(start, err)
	}
	return a, err
}

func (u *upstream) exchange(ctx context.Context, q question) (*answer, error) {
	m, err := u.udp(ctx, question2wire(q, true))
	if err == nil && m.Rcode == dns.RcodeFormatError && m.IsEdns0() == nil {
		m, err = u.udp(ctx, question2wire(q, false)) // it does not know EDNS (RFC 6891 §7)
	}
	if errors.Is(err, errJunk) || err == nil && m.Truncated {
		m, err = u.tcp(ctx, question2wire(q, true))
		if err == nil && m.Rcode == dns.RcodeFormatError && m.IsEdns0() == nil {
			m, err = u.tcp(ctx, question2wire(q, false))
		}
	}
	if err != nil {
		return nil, err
	}
	if m.Truncated {
		return nil, errors.New("its answer over TCP is cut off")
	}
	if m.Rcode != dns.RcodeSuccess && m.Rcode != dns.RcodeNameError {
		return nil, &upstreamError{m.Rcode, reason(m)}
	}
	a, err := digest(q, m)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", errNonsense, err)
	}
	return a, nil
}

// errNonsense marks answers that are about the question and mean nothing.
var errNonsense = errors.New("it answers nonsense")

// question2wire writes the message that asks q, with a random id.
func question2wire(q question, edns bool) []byte {
	b := make([]byte, headerLen, headerLen+len(q.name)+4+11)
	_, _ = rand.Read(b[:2]) // never fails
	b[2] = flagRD >> 8
	if q.cd {
		b[3] = flagCD
	}
	b[5] = 1
	b = append(b, q.name...)
	b = binary.BigEndian.AppendUint16(b, q.typ)
	b = binary.BigEndian.AppendUint16(b, dns.ClassINET)
	if !edns {
		return b
	}
	b[11] = 1
	opt := [11]byte{2: byte(dns.TypeOPT), 3: udpSize >> 8, 4: udpSize & 0xff}
	if q.do {
		opt[7] = 0x80
	}
	return append(b, opt[:]...)
}

// udp asks over UDP, from a port of its own that the kernel picks at random.
func (u *upstream) udp(ctx context.Context, msg []byte) (*dns.Msg, error) {
	c, stop, err := u.dial(ctx, "udp", msg)
	if err != nil {
		return nil, err
	}
	defer stop()
	buf := make([]byte, 4096)
	for range maxJunk {
		n, err := c.Read(buf)
		if err != nil {
			return nil, explain(ctx, err)
		}
		if !heads(buf[:n], msg) {
			continue
		}
		return read(buf[:n])
	}
	return nil, errJunk
}

// read decodes an answer, of which a cut one may be cut anywhere.
func read(b []byte) (*dns.Msg, error) {
	m := new(dns.Msg)
	err := m.Unpack(b)
	switch {
	case m.Truncated:
		return m, nil
	case err != nil:
		return nil, fmt.Errorf("%w: %w", errNonsense, err)
	case !whole(b):
		return nil, fmt.Errorf("%w: there are fewer records than it says", errNonsense)
	}
	return m, nil
}

// tcp asks over TCP.
func (u *upstream) tcp(ctx context.Context, msg []byte) (*dns.Msg, error) {
	framed := binary.BigEndian.AppendUint16(make([]byte, 0, 2+len(msg)), uint16(len(msg)))
	c, stop, err := u.dial(ctx, "tcp", append(framed, msg...))
	if err != nil {
		return nil, err
	}
	defer stop()
	var size [2]byte
	if _, err := io.ReadFull(c, size[:]); err != nil {
		return nil, explain(ctx, err)
	}
	buf := make([]byte, binary.BigEndian.Uint16(size[:]))
	if _, err := io.ReadFull(c, buf); err != nil {
		return nil, explain(ctx, err)
	}
	if !heads(buf, msg) {
		return nil, fmt.Errorf("%w: its answer is to another question", errNonsense)
	}
	return read(buf)
}

// dial connects and sends msg. What it returns ends with ctx; stop lets go of
// it.
func (u *upstream) dial(ctx context.Context, network string, msg []byte) (c net.Conn, stop func(), err error) {
	var d net.Dialer
	if c, err = d.DialContext(ctx, network, u.addr.String()); err != nil {
		return nil, nil, explain(ctx, err)
	}
	free := context.AfterFunc(ctx, func() { c.Close() })
	if _, err = c.Write(msg); err != nil {
		free()
		c.Close()
		return nil, nil, explain(ctx, err)
	}
	return c, func() { free(); c.Close() }, nil
}

// explain makes of a read that ctx cut short what it means.
func explain(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return fmt.Errorf("it does not answer: %w", ctx.Err())
	}
	return err
}
