package ntpsrv

import (
	"context"
	"crypto/md5"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"net/netip"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/beevik/ntp"
)

const (
	pollEvery = 64 * time.Second
	pollMax   = 1024 * time.Second
	pollWait  = 3 * time.Second
	window    = 8 // samples that are kept of a source
	// jump is by how much an offset must change, besides what the network may
	// do, for a clock to have been set.
	jump = 20 * time.Millisecond
)

// A sample is what one exchange with a source said.
type sample struct {
	at        time.Time
	offset    time.Duration // what to add to the host's clock
	delay     time.Duration // there and back
	stratum   uint8
	leap      uint8
	refID     [4]byte // of us, if we follow it
	theirID   string
	rootDelay time.Duration
	rootDisp  time.Duration
}

// SourceState says whether a source can be used.
type SourceState string

const (
	Waiting     SourceState = "waiting" // for its first answer
	Reachable   SourceState = "reachable"
	Unreachable SourceState = "unreachable"
	Denied      SourceState = "denied" // it told us not to ask again
)

// SourceStatus is what is known of a source.
type SourceStatus struct {
	Source   string        `json:"source"`            // as in the document
	Address  string        `json:"address,omitempty"` // what it resolved to
	State    SourceState   `json:"state"`
	Selected bool          `json:"selected"`          // it is the one that we go by
	Reach    uint8         `json:"reach"`             // the last 8 polls, the latest lowest; 1: answered
	Stratum  uint8         `json:"stratum,omitempty"` // its own
	RefID    string        `json:"refid,omitempty"`   // what it goes by
	Offset   time.Duration `json:"offset"`            // the host's clock plus this is its time
	Delay    time.Duration `json:"delay"`             // there and back
	Jitter   time.Duration `json:"jitter"`            // mean distance of the kept offsets
	Polled   time.Time     `json:"polled,omitzero"`
	Next     time.Time     `json:"next,omitzero"`
	Error    string        `json:"error,omitempty"` // of the last poll
}

// A source is asked for the time, again and again.
type source struct {
	name   string
	stop   context.CancelFunc
	itself func(netip.AddrPort) bool // is it this server?

	mu      sync.Mutex
	status  SourceStatus
	samples []sample // the latest last
	addr    string   // resolved; empty: resolve anew
}

// follow polls until ctx ends; polled is called after each poll.
func (s *source) follow(ctx context.Context, polled func()) {
	for every := pollEvery; ; {
		err := s.poll(ctx)
		if ctx.Err() != nil {
			return
		}
		switch {
		case err == nil:
			every = max(every/2, pollEvery)
		case errors.Is(err, errDenied):
			polled()
			return
		default:
			every = min(every*2, pollMax)
		}
		wait := every - every/8 + rand.N(every/4) // so that nobody's polls fall together
		if len(s.samples) < 4 && err == nil {
			wait = 2*time.Second + rand.N(time.Second)
		}
		s.mu.Lock()
		s.status.Next = time.Now().Add(wait)
		s.mu.Unlock()
		polled()
		select {
		case <-ctx.Done():
			return
		case <-time.After(wait):
		}
	}
}

var (
	errDenied = errors.New("it refuses to serve us")
	errItself = errors.New("it is this cell itself")
)

// poll asks once and takes the answer in.
func (s *source) poll(ctx context.Context) error {
	sm, err := s.ask(ctx)
	s.mu.Lock()
	defer s.mu.Unlock()
	st := &s.status
	st.Polled = time.Now()
	st.Reach <<= 1
	if err != nil {
		s.addr = "" // it may have moved
		st.Error = err.Error()
		if st.Reach == 0 {
			st.State = Unreachable
			s.samples = nil
		}
		if errors.Is(err, errDenied) {
			st.State = Denied
			s.samples = nil
		}
		return err
	}
	st.Reach |= 1
	st.State, st.Error = Reachable, ""
	if best, ok := s.best(); ok && (sm.offset-best.offset).Abs() > sm.delay+best.delay+jump {
		s.samples = nil // one of the clocks was set; what was before says nothing
	}
	s.samples = append(s.samples, sm)
	if len(s.samples) > window {
		s.samples = append(s.samples[:0], s.samples[1:]...)
	}
	best, _ := s.best()
	st.Stratum, st.RefID, st.Offset, st.Delay = best.stratum, best.theirID, best.offset, best.delay
	st.Jitter = 0
	for _, v := range s.samples {
		st.Jitter += (v.offset - best.offset).Abs() / time.Duration(len(s.samples))
	}
	return nil
}

// best returns the sample with the least delay: queues of the network only ever
// add to it, and make the offset wrong. The caller holds mu.
func (s *source) best() (sample, bool) {
	if len(s.samples) == 0 {
		return sample{}, false
	}
	b := s.samples[0]
	for _, v := range s.samples[1:] {
		if v.delay <= b.delay {
			b = v
		}
	}
	return b, true
}

// ask exchanges one pair of messages with the source.
func (s *source) ask(ctx context.Context) (sample, error) {
	ctx, cancel := context.WithTimeout(ctx, 2*pollWait)
	defer cancel()
	addr, err := s.resolve(ctx)
	if err != nil {
		return sample{}, err
	}
	var free func() bool
	r, err := ntp.QueryWithOptions(addr, ntp.QueryOptions{
		Timeout: pollWait,
		Dialer: func(_, addr string) (net.Conn, error) {
			var d net.Dialer
			c, err := d.DialContext(ctx, "udp", addr)
			if err == nil {
				free = context.AfterFunc(ctx, func() { c.Close() })
			}
			return c, err
		},
	})
	if free != nil {
		free()
	}
	if err != nil {
		return sample{}, err
	}
	if r.KissCode != "" {
		if r.KissCode == "DENY" || r.KissCode == "RSTR" {
			return sample{}, errDenied
		}
		return sample{}, fmt.Errorf("it asks for fewer questions (%s)", r.KissCode)
	}
	if err := r.Validate(); err != nil {
		return sample{}, err
	}
	return sample{
		at: time.Now(), offset: r.ClockOffset, delay: r.RTT, stratum: r.Stratum, leap: uint8(r.Leap),
		refID: refID(addr), theirID: r.ReferenceString(), rootDelay: r.RootDelay, rootDisp: r.RootDispersion,
	}, nil
}

// resolve returns the address and port of the source. A name that has several
// is not asked again while the one in use answers.
func (s *source) resolve(ctx context.Context) (string, error) {
	s.mu.Lock()
	addr := s.addr
	s.mu.Unlock()
	if addr != "" {
		return addr, nil
	}
	host, service, err := split(s.name)
	if err != nil {
		return "", err
	}
	ips, err := net.DefaultResolver.LookupNetIP(ctx, "ip", host)
	if err != nil {
		return "", err
	}
	to := netip.AddrPortFrom(ips[0].Unmap(), service)
	if s.itself(to) {
		return "", errItself
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.addr, s.status.Address = to.String(), to.String()
	return s.addr, nil
}

// split parses host, host:port, an IPv6 address or [IPv6]:port.
func split(s string) (host string, service uint16, err error) {
	if a, err := netip.ParseAddr(s); err == nil {
		return a.String(), port, nil
	}
	host, p := s, ""
	if strings.Contains(s, ":") {
		if host, p, err = net.SplitHostPort(s); err != nil {
			return "", 0, errors.New("not a host or host:port")
		}
	}
	if host == "" || len(host) > 253 || strings.ContainsFunc(host, func(c rune) bool { return c <= ' ' || c > '~' || strings.ContainsRune(`/\"'`, c) }) {
		return "", 0, errors.New("not a host or host:port")
	}
	if p == "" && host == s {
		return host, port, nil
	}
	n, err := strconv.ParseUint(p, 10, 16)
	if err != nil || n == 0 {
		return "", 0, errors.New("not a port")
	}
	return host, uint16(n), nil
}

// refID is the reference of a server that follows the one at addr: its IPv4
// address, or a hash of its IPv6 address (RFC 5905 §7.3).
func refID(addr string) [4]byte {
	a, err := netip.ParseAddrPort(addr)
	if err != nil {
		return localID
	}
	if a.Addr().Is4() {
		return a.Addr().As4()
	}
	b := a.Addr().As16()
	sum := md5.Sum(b[:])
	return [4]byte(sum[:4])
}
