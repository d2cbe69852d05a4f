package users

import (
	"context"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"net/netip"
	"strconv"
	"sync"
	"time"
)

// A mark stands for a secret in memory: a keyed hash, worthless elsewhere.
type mark [16]byte

type pair struct {
	login  mark
	source netip.Prefix
}

// An answer is what was found out about a mark.
type answer struct {
	right   bool
	version uint64 // of the person's credentials
	expires time.Time
}

// A flight is a check under way, which others with the same mark wait for.
type flight struct{ landed chan struct{} }

// doors remembers in memory who just proved who they are, who guessed wrong, and
// what is being checked.
type doors struct {
	key [32]byte

	mu       sync.Mutex
	answers  map[mark]answer
	flights  map[mark]*flight
	versions map[string]uint64 // grows when credentials of the name change
	pairs    counter[pair]
	sources  counter[netip.Prefix]
	logins   counter[mark]
	known    map[pair]time.Time // who entered from where, and when last
	held     int                // who are held up by perLogin
}

const (
	rightLife  = 5 * time.Minute
	wrongLife  = 24 * time.Hour
	knownLife  = 30 * 24 * time.Hour
	maxAnswers = 4096
	maxKnown   = 4096
	maxHeld    = 64
)

func newDoors() *doors {
	d := &doors{
		answers: map[mark]answer{}, flights: map[mark]*flight{}, versions: map[string]uint64{}, known: map[pair]time.Time{},
		pairs: newCounter[pair](perPair), sources: newCounter[netip.Prefix](perSource), logins: newCounter[mark](perLogin),
	}
	_, _ = rand.Read(d.key[:]) // never fails
	return d
}

// mark stands for parts, which cannot run into each other.
func (d *doors) mark(parts ...string) (m mark) {
	h := hmac.New(sha256.New, d.key[:])
	for _, p := range parts {
		h.Write([]byte(strconv.Itoa(len(p)) + ":" + p))
	}
	copy(m[:], h.Sum(nil))
	return m
}

// changed makes all that is remembered of a person's credentials worthless.
func (d *doors) changed(name string) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.versions[name]++
}

// A try is one call of Authenticate on its way through the doors.
type try struct {
	name    string
	secret  mark
	who     pair
	version uint64
	flight  *flight
}

// enter finds out what to do with a try: use an answer, be refused, wait for a
// flight of somebody else, or check. In the last case the guess is pending until
// leave, and hold is how long to wait first.
func (d *doors) enter(t *try, now time.Time) (known *answer, wait *flight, hold time.Duration, err error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	t.version = d.versions[t.name]
	p, s := d.pairs.at(t.who, now), d.sources.at(t.who.source, now)
	if after := d.pairs.wait(p, now); after > 0 && d.flights[t.secret] == nil {
		return nil, nil, 0, &throttledError{after, "too many failed sign-ins"}
	}
	a, ok := d.answers[t.secret]
	if ok = ok && a.version == t.version && now.Before(a.expires); ok && a.right {
		return &a, nil, 0, nil
	}
	// Others behind the same address may have spent what it has; that is no
	// reason to turn away who just proved who they are, above.
	if after := d.sources.wait(s, now); after > 0 && d.flights[t.secret] == nil {
		return nil, nil, 0, &throttledError{after, "too many failed sign-ins from this address"}
	}
	if ok {
		a.expires = now.Add(wrongLife) // a program that keeps trying keeps it known
		d.answers[t.secret] = a
		return &a, nil, 0, nil
	}
	if f := d.flights[t.secret]; f != nil {
		return nil, f, 0, nil
	}
	l := d.logins.at(t.who.login, now)
	if _, ok := d.known[t.who]; !ok {
		hold = d.logins.delay(l)
	}
	if hold > 0 {
		if d.held >= maxHeld {
			return nil, nil, 0, &throttledError{2 * time.Second, "too many failed sign-ins for this name"}
		}
		d.held++
	}
	t.flight = &flight{make(chan struct{})}
	d.flights[t.secret] = t.flight
	p.pending++
	s.pending++
	return nil, nil, hold, nil
}

// leave ends what enter began. done is false if the check came to no end.
func (d *doors) leave(t *try, hold time.Duration, done, right bool, now time.Time) {
	d.mu.Lock()
	defer d.mu.Unlock()
	delete(d.flights, t.secret)
	close(t.flight.landed)
	if hold > 0 {
		d.held--
	}
	p, s := d.pairs.at(t.who, now), d.sources.at(t.who.source, now)
	p.pending--
	s.pending--
	if !done {
		return
	}
	if len(d.answers) >= maxAnswers {
		evict(d.answers, func(a answer) time.Time { return a.expires }, func(answer) bool { return false })
	}
	d.answers[t.secret] = answer{right, t.version, now.Add(rightLife)}
	if !right {
		d.answers[t.secret] = answer{right, t.version, now.Add(wrongLife)}
		d.pairs.fail(p, now)
		d.sources.fail(s, now)
		d.logins.fail(d.logins.at(t.who.login, now), now)
		return
	}
	// The pair is forgiven; not the source, or whoever has one password of the
	// cell could guess others' for ever.
	p.fails, p.until = 0, time.Time{}
	if len(d.known) >= maxKnown {
		evict(d.known, func(t time.Time) time.Time { return t }, func(time.Time) bool { return false })
	}
	d.known[t.who] = now
	for k, at := range d.known {
		if now.Sub(at) > knownLife {
			delete(d.known, k)
		}
		break // one a time, at random, is enough
	}
}

// stands reports whether a person's credentials are those of version.
func (d *doors) stands(name string, version uint64) bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.versions[name] == version
}

// sleep waits, or returns early with ctx's error.
func sleep(ctx context.Context, d time.Duration) error {
	if d <= 0 {
		return ctx.Err()
	}
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
