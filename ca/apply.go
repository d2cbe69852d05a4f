package ca

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"time"
)

// Apply makes sure that there is an authority for c.Domain and a certificate
// for every name, and serves them from then on. It takes a few milliseconds for
// each certificate that is missing. On error what was served stays.
func (s *Server) Apply(ctx context.Context, c Config) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.apply(ctx, c)
}

func (s *Server) apply(ctx context.Context, c Config) error {
	old := s.live.Load()
	if c.Domain == "" {
		s.live.Store(nil)
		return s.retire(ctx, old, nil)
	}
	sh := shelf{fs: s.fs, seal: s.seal, dir: filepath.Join(s.dir, c.Domain), name: c.Domain}
	now := s.clock()
	if old != nil && !old.closed && old.record.log.Err() != nil {
		// A failed sync is final for a record. Its file is read anew; what is in
		// memory is served meanwhile.
		s.log.Warn("opening the record of certificates anew", "err", errors.Join(old.record.log.Err(), old.close()))
	}
	var keep *keeper
	var auth *authority
	if old != nil && old.domain == c.Domain && !old.closed {
		keep, auth = old.keeper, old.auth
		if reflect.DeepEqual(old.conf, c) && !auth.due(now) {
			return nil
		}
	}
	var err error
	if auth == nil || auth.due(now) {
		if auth, err = openAuthority(sh, c.Domain, now); err != nil {
			return err
		}
	}
	if keep == nil {
		if keep, err = newKeeper(s.log, sh, s.look, s.clock); err != nil {
			return err
		}
	}
	next := &live{certs: keep.under(auth, c), hosts: map[string]bool{}, moved: s.moved(c.Domain)}
	if err := next.fill(ctx); err != nil {
		if old == nil || old.keeper != keep {
			err = errors.Join(err, keep.close())
		}
		return err
	}
	keep.now.Store(next.magic)
	s.live.Store(next)
	if old == nil || old.auth != auth {
		s.log.Info("serving certificates", "root", fingerprint(auth.root), "until", auth.root.NotAfter)
	}
	if err := s.retire(ctx, old, next); err != nil {
		s.log.Warn("old certificates were not tidied away", "err", err)
	}
	return nil
}

// fill gets a certificate for every name. All are on disk before the first is
// served, so that an error leaves what is served as it was.
func (l *live) fill(ctx context.Context) error {
	l.hosts = map[string]bool{}
	own := append([]string{l.conf.Domain}, l.conf.Hosts...)
	for _, n := range own {
		if err := l.obtain(ctx, n); err != nil {
			return err
		}
	}
	for _, n := range own {
		if err := l.adopt(ctx, n); err != nil {
			return err
		}
	}
	for _, n := range slices.Concat(l.conf.Names, l.conf.Hosts) {
		l.hosts[n] = true
	}
	return nil
}

// retire forgets what is served no more: on disk all that is not next's, for a
// crash may have kept it from being removed before.
func (s *Server) retire(ctx context.Context, old, next *live) error {
	var errs []error
	if old != nil && (next == nil || next.keeper != old.keeper) {
		errs = append(errs, old.close())
	}
	if next == nil {
		return errors.Join(errs...)
	}
	if old != nil && old.keeper == next.keeper {
		for _, h := range old.conf.Hosts {
			if !slices.Contains(next.conf.Hosts, h) {
				next.cache.Remove(next.held(h))
			}
		}
	}
	return errors.Join(append(errs, next.tidy(ctx))...)
}

// moved reports whether there is a root for another domain too.
func (s *Server) moved(domain string) bool {
	entries, err := os.ReadDir(s.dir)
	if err != nil {
		return false
	}
	for _, e := range entries {
		if e.Name() == domain {
			continue
		}
		if _, err := os.Stat(filepath.Join(s.dir, e.Name(), "root.pem")); err == nil {
			return true
		}
	}
	return false
}

// Run renews until ctx is done: certmagic the leaves, and this the intermediate.
// It returns an error once nothing can be recorded, and thus issued, any more.
// Who asks for a certificate afterwards still gets one, for other services may
// end later.
func (s *Server) Run(ctx context.Context) error {
	tick := time.NewTicker(time.Hour)
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
			if err := s.renew(ctx); err != nil {
				s.log.Error("the intermediate was not renewed", "err", err)
			}
			if l := s.live.Load(); l != nil && l.record.log.Err() != nil {
				return errors.Join(l.record.log.Err(), s.stop())
			}
		case <-ctx.Done():
			return s.stop()
		}
	}
}

// renew replaces the intermediate, and then all leaves, when it is due.
func (s *Server) renew(ctx context.Context) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	l := s.live.Load()
	if l == nil || !l.auth.due(s.clock()) {
		return nil
	}
	return s.apply(ctx, l.conf)
}

func (s *Server) stop() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if l := s.live.Load(); l != nil {
		return l.close()
	}
	return nil
}
