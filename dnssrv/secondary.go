package dnssrv

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"time"

	"github.com/miekg/dns"

	"pic/dnssrv/transfer"
)

const (
	maxFetches = 4               // transfers from primaries at a time
	calm       = time.Second     // between two looks at primaries, however often they call
	firstRetry = 2 * time.Second // while nothing has been transferred yet; then twice as long each time
	lastRetry  = 5 * time.Minute
)

// A follower keeps one zone as its primaries have it.
type follower struct {
	apex      name
	primaries []partner
	stop      context.CancelFunc
	wake      chan struct{}

	// Of what follows, keeper.nmu guards writing and the reading of others.
	checked time.Time // when a primary last said that our version is the newest
	expires time.Time
	states  []partnerState // of primaries
}

type partnerState struct {
	serial uint32
	seen   time.Time
	err    error
}

// follow starts and stops followers, so that there is one for each zone of t
// that others are the primaries of.
func (s *Server) follow(run context.Context, t *table) {
	k := s.keeper
	k.nmu.Lock()
	defer k.nmu.Unlock()
	for apex, f := range k.followers {
		p := t.peers[apex]
		if p != nil && slices.Equal(p.primaries, f.primaries) {
			continue
		}
		f.stop()
		delete(k.followers, apex)
		if len(t.zones) > 0 && (p == nil || len(p.primaries) == 0) {
			k.forget(apex)
		}
	}
	if run.Err() != nil {
		return
	}
	for apex, p := range t.peers {
		if len(p.primaries) == 0 || k.followers[apex] != nil {
			continue
		}
		ctx, stop := context.WithCancel(run)
		f := &follower{apex: apex, primaries: p.primaries, stop: stop, wake: make(chan struct{}, 1), states: make([]partnerState, len(p.primaries))}
		k.followers[apex] = f
		s.wg.Go(func() {
			s.insist(ctx, undot(apex.String()), func() { s.keepUp(ctx, f) })
		})
	}
}

// forget removes what was transferred of a zone that is not followed any more.
func (k *keeper) forget(apex name) {
	k.mu.Lock()
	delete(k.fetched, apex)
	k.mu.Unlock()
	if k.dir != "" {
		if err := os.Remove(k.path(apex)); err != nil && !errors.Is(err, fs.ErrNotExist) {
			k.log.Warn("removing a zone", "zone", undot(apex.String()), "err", err)
		}
	}
}

// path is the file of a transferred zone.
func (k *keeper) path(apex name) string {
	return filepath.Join(k.dir, url.PathEscape(undot(apex.String()))+".zone")
}

// refresh has the primaries of a zone asked now.
func (k *keeper) refresh(apex name) {
	k.nmu.Lock()
	defer k.nmu.Unlock()
	if f := k.followers[apex]; f != nil {
		select {
		case f.wake <- struct{}{}:
		default: // it is about to
		}
	}
}

// timers are those of a SOA record, within bounds: none that keeps us or the
// primary busy, none that makes a zone outlive its household.
func timers(soa *dns.SOA) (refresh, retry, expire time.Duration) {
	sec := func(n uint32, low, high time.Duration) time.Duration {
		return min(max(time.Duration(n)*time.Second, low), high)
	}
	refresh = sec(soa.Refresh, 2*time.Second, 24*time.Hour)
	retry = sec(soa.Retry, time.Second, time.Hour)
	return refresh, retry, sec(soa.Expire, refresh+retry, 60*24*time.Hour)
}

// keepUp follows the primaries of one zone until ctx is done.
func (s *Server) keepUp(ctx context.Context, f *follower) {
	have := s.recall(f)
	wait := time.Duration(0)
	failed := firstRetry
	for {
		timer := time.NewTimer(wait)
		select {
		case <-ctx.Done():
			timer.Stop()
			return
		case <-f.wake:
		case <-timer.C:
		}
		timer.Stop()
		got, err := s.fetch(ctx, f, have)
		if ctx.Err() != nil {
			return
		}
		if err == nil {
			have, failed = got, firstRetry
			refresh, _, expire := timers(have.soa())
			s.keeper.nmu.Lock()
			f.checked = time.Now()
			f.expires = f.checked.Add(expire)
			s.keeper.nmu.Unlock()
			s.keeper.touch(f.apex)
			wait = refresh
		} else if have != nil {
			_, retry, _ := timers(have.soa())
			wait = retry
			if time.Now().After(f.expires) {
				s.expire(f.apex)
				wait = min(retry, lastRetry)
			} else {
				wait = min(wait, time.Until(f.expires)+time.Millisecond)
			}
		} else {
			wait, failed = failed, min(2*failed, lastRetry)
		}
		if !sleep(ctx, calm) {
			return
		}
		wait = max(wait-calm, 0)
	}
}

// soa returns the SOA record of a fetched zone.
func (f *fetched) soa() *dns.SOA { return f.made.soa }

// fetch asks the primaries in turn, and puts a new version in place. have is
// what there is, or nil.
func (s *Server) fetch(ctx context.Context, f *follower, have *fetched) (*fetched, error) {
	k := s.keeper
	select {
	case k.fetching <- struct{}{}:
		defer func() { <-k.fetching }()
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	zone := undot(f.apex.String())
	var errs []error
	for i, p := range f.primaries {
		got, err := s.fetchFrom(ctx, f.apex, p, have)
		if ctx.Err() != nil {
			return nil, ctx.Err()
		}
		k.nmu.Lock()
		if f.states[i].err = err; err == nil {
			f.states[i].serial, f.states[i].seen = got.content.Serial(), time.Now()
		}
		k.nmu.Unlock()
		if err != nil {
			s.log.Warn("primary does not tell", "zone", zone, "addr", p, "err", err)
			errs = append(errs, err)
			continue
		}
		if got == have && k.serves(f.apex) {
			return got, nil
		}
		if k.dir != "" && got != have {
			if err := transfer.Save(k.path(f.apex), got.content); err != nil {
				s.log.Error("a transferred zone is not kept", "zone", zone, "err", err)
			}
		}
		s.put(f.apex, got)
		s.log.Info("zone fetched", "zone", zone, "from", p, "serial", got.content.Serial(), "records", len(got.content.Records))
		return got, nil
	}
	return nil, errors.Join(errs...)
}

func (s *Server) fetchFrom(ctx context.Context, apex name, p partner, have *fetched) (*fetched, error) {
	key, err := s.table.Load().key(p)
	if err != nil {
		return nil, err
	}
	r := transfer.Request{Server: p.at.String(), Zone: apex.String(), Key: key}
	if have != nil {
		r.Have = have.content
	}
	c, err := new(transfer.Client).Fetch(ctx, r)
	if err != nil {
		return nil, err
	}
	if have != nil && c == have.content {
		return have, nil
	}
	return fetchedOf(apex, c)
}

func fetchedOf(apex name, c *transfer.Content) (*fetched, error) {
	z, err := zoneOf(apex, c)
	if err != nil {
		return nil, err
	}
	return &fetched{content: c, made: z}, nil
}

// put makes a version of a zone the one that is served.
func (s *Server) put(apex name, f *fetched) {
	k := s.keeper
	k.mu.Lock()
	defer k.mu.Unlock()
	k.fetched[apex] = &fetched{content: f.content, made: f.made, zone: f.made}
	s.relay(apex)
	s.wakeKeeper()
}

// expire ends the service of a zone whose primaries have not answered for too
// long.
func (s *Server) expire(apex name) {
	k := s.keeper
	k.mu.Lock()
	defer k.mu.Unlock()
	if f := k.fetched[apex]; f != nil && f.zone != nil {
		k.fetched[apex] = &fetched{content: f.content, made: f.made}
		s.relay(apex)
		s.log.Error("a zone has expired", "zone", undot(apex.String()))
	}
}

// serves reports whether a transferred zone is in use.
func (k *keeper) serves(apex name) bool {
	k.mu.Lock()
	defer k.mu.Unlock()
	f := k.fetched[apex]
	return f != nil && f.zone != nil
}

// recall puts in place what is on disk of a zone, unless it is too old.
func (s *Server) recall(f *follower) *fetched {
	k := s.keeper
	k.mu.Lock()
	have := k.fetched[f.apex]
	k.mu.Unlock()
	if have == nil && k.dir != "" {
		c, err := transfer.Load(k.path(f.apex))
		if err == nil {
			have, err = fetchedOf(f.apex, c)
		}
		if err != nil {
			if !errors.Is(err, fs.ErrNotExist) {
				s.log.Warn("a transferred zone cannot be read; it is fetched anew", "zone", undot(f.apex.String()), "err", err)
			}
			return nil
		}
	}
	if have == nil {
		return nil
	}
	checked := time.Now()
	if st, err := os.Stat(k.path(f.apex)); err == nil && st.ModTime().Before(checked) {
		checked = st.ModTime()
	}
	_, _, expire := timers(have.soa())
	k.nmu.Lock()
	f.checked, f.expires = checked, checked.Add(expire)
	k.nmu.Unlock()
	if time.Now().Before(f.expires) {
		s.put(f.apex, have)
	}
	return have
}

// touch notes on disk that a version is still the newest.
func (k *keeper) touch(apex name) {
	if k.dir == "" {
		return
	}
	now := time.Now()
	if err := os.Chtimes(k.path(apex), now, now); err != nil && !errors.Is(err, fs.ErrNotExist) {
		k.log.Warn("keeping a zone", "err", fmt.Errorf("noting that it is fresh: %w", err))
	}
}
