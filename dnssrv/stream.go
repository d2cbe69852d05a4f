package dnssrv

import (
	"context"
	"net/netip"
	"strings"
	"sync"
	"time"
)

const (
	maxPipelined = 32                    // queries of one connection that wait for upstreams
	crowded      = 20 * time.Millisecond // until it is seen again whether a client may wait for one more
	slow         = 5 * time.Second       // a message must have come, or gone, after this
	shake        = 5 * time.Second       // and so must a handshake
)

func (p proto) String() string { return [...]string{"udp", "tcp", "tls", "https", "quic"}[p] }

// encrypted reports whether nobody on the way can read the message.
func (p proto) encrypted() bool { return p >= overTLS }

func streamLimit(*query) int { return maxSize }

// sightings are what streams look for kept answers with.
var sightings = sync.Pool{New: func() any { return new(sighting) }}

// answer answers the message b of a stream: at once, or by what later returns.
// Both are nil where b is no query. out is good until c.seen is used again. That
// the client may ask once more was seen before.
func (s *Server) answer(run context.Context, b []byte, c client) (out []byte, later func() []byte) {
	if out := s.hit(c.seen, b, c); out != nil {
		return out, nil
	}
	return s.respond(run, b, c, streamLimit)
}

// pace waits until the client at from may ask once more; false if ctx ends
// before that.
func (s *Server) pace(ctx context.Context, from addr) bool {
	for s.admit(from, time.Now()) != pass {
		if !sleep(ctx, crowded) {
			return false
		}
	}
	return true
}

// await returns what later returns, once c may wait for one more answer; nil if
// ctx ends before that.
func (s *Server) await(ctx context.Context, c client, later func() []byte) []byte {
	for !s.waiting.enter(c.from) {
		if !sleep(ctx, crowded) {
			return nil
		}
	}
	defer s.waiting.leave(c.from)
	return later()
}

// welcome reports whether who asks from a may ask at all.
func (s *Server) welcome(a netip.Addr) bool { return holds(s.table.Load().conf.Allow, a) }

// says returns the label by which a client that reached the cell as host calls
// itself: the first of LABEL.dns.<domain>. It is empty for all other hosts.
func (t *table) says(host string) string {
	label, ok := strings.CutSuffix(strings.ToLower(strings.TrimSuffix(host, ".")), ".dns."+t.conf.Domain)
	if !ok || !isLabel(label) {
		return ""
	}
	return label
}

// isLabel reports whether s, in lower case, may be what a client calls itself.
func isLabel(s string) bool {
	if s == "" || len(s) > 63 || s[0] == '-' || s[len(s)-1] == '-' {
		return false
	}
	for _, c := range []byte(s) {
		if c != '-' && (c < '0' || c > '9') && (c < 'a' || c > 'z') {
			return false
		}
	}
	return true
}

// A crowd counts the connections of each client.
type crowd struct {
	most, mostPerHost int

	mu    sync.Mutex
	total int
	by    map[addr]int
}

func newCrowd(most, mostPerHost int) *crowd {
	return &crowd{most: most, mostPerHost: mostPerHost, by: map[addr]int{}}
}

func (cr *crowd) enter(a addr) bool {
	cr.mu.Lock()
	defer cr.mu.Unlock()
	if cr.total >= cr.most || cr.by[a] >= cr.mostPerHost {
		return false
	}
	cr.total++
	cr.by[a]++
	return true
}

func (cr *crowd) leave(a addr) {
	cr.mu.Lock()
	defer cr.mu.Unlock()
	cr.total--
	if cr.by[a]--; cr.by[a] <= 0 {
		delete(cr.by, a)
	}
}

// half reports whether half of what there may be is there, in all or of a.
func (cr *crowd) half(a addr) bool {
	cr.mu.Lock()
	defer cr.mu.Unlock()
	return cr.total >= cr.most/2 || cr.by[a] >= cr.mostPerHost/2
}
