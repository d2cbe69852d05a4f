package config

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"reflect"
	"sync"
	"sync/atomic"
	"time"

	"pic/internal/faultfs"
)

// A Store holds the document in force and is the only way to change it. Use
// [Open]. All methods may be called from any goroutine.
//
// Invariants: a change is in force in every unit, or in none. It is on disk
// before Change returns. config.json always holds a whole document: the one in
// force, or after a crash the one before or the one after.
type Store struct {
	disk   disk
	env    Env
	log    *slog.Logger
	units  []Unit
	around func() (end func())
	watch  func(Revision)

	cur atomic.Pointer[current]

	mu      sync.Mutex // held for the whole of a change
	pending atomic.Pointer[Pending]
	expire  *time.Timer // reverts the pending change
	closed  bool
	damage  atomic.Pointer[Damage]
}

type current struct{ chosen, resolved *Document }

// A Damage is something that went wrong beyond what Change could report.
type Damage struct {
	Code string // undo-failed, not-synced, revert-failed, not-valid
	Err  error
	Time time.Time
}

// Open reads the document in dir. If a change was waiting for its confirmation
// when the process ended, it is reverted. The error says what is wrong with the
// document, or wraps [os.ErrNotExist] where there is none yet.
//
// A document that was in force before, and does not fit only since the host or
// the program changed, is no error but a [Damage]: a household without its
// uplink still wants its names and its mail.
func Open(dir string, env Env, log *slog.Logger) (*Store, error) {
	return open(disk{dir, faultfs.OS}, env, log)
}

func open(k disk, env Env, log *slog.Logger) (*Store, error) {
	env.Now = time.Now().Round(0)
	s := &Store{disk: k, env: env, log: log, around: func() func() { return func() {} }, watch: func(Revision) {}}
	doc, err := s.disk.boot()
	if err != nil {
		return nil, err
	}
	now := &current{doc, Resolve(doc, env)}
	if err := now.resolved.Validate(); err != nil {
		if !s.disk.accepted(doc) {
			return nil, fmt.Errorf("%s is not valid:\n%w", s.disk.config(), err)
		}
		s.hurt("not-valid", err)
	}
	s.cur.Store(now)
	return s, nil
}

// Create writes the first revision of a document into dir, which must not hold
// one yet.
func Create(dir string, d *Document, env Env, actor, reason string) error {
	d = d.Clone()
	d.Schema, d.Revision = Schema, 1
	if err := Resolve(d, env).Validate(); err != nil {
		return err
	}
	k := disk{dir, faultfs.OS}
	if k.exists() {
		return fmt.Errorf("%s is set up already; remove it or choose another folder", dir)
	}
	_, err := k.save(d, Revision{Number: 1, Time: time.Now(), Actor: actor, Reason: reason, Diff: Diff(&Document{}, d)}, nil)
	return err
}

// Follow makes the units follow the document from now on, in this order; undo
// goes the other way. around is called before units are touched, and what it
// returns afterwards. A unit that cannot follow is logged and does not stop the
// others. Follow is called once, before any Change.
func (s *Store) Follow(ctx context.Context, around func() (end func()), units ...Unit) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.units, s.around = units, around
	defer s.around()()
	for _, u := range units {
		if err := u.Restore(ctx, s.Resolved()); err != nil {
			s.log.Error("unit could not start", "unit", u.Name(), "err", err)
		}
	}
}

// Watch calls f after each change that is in force and on disk. f must not block
// nor change the document. Watch is called before the first Change.
func (s *Store) Watch(f func(Revision)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.watch = f
}

// Current returns the document as the user chose it. It must not be changed.
func (s *Store) Current() *Document { return s.cur.Load().chosen }

// Resolved returns the document with all defaults. It must not be changed.
func (s *Store) Resolved() *Document { return s.cur.Load().resolved }

// Pending returns the change that waits for its confirmation, or nil.
func (s *Store) Pending() *Pending { return s.pending.Load() }

// Damage returns what the store could not put right, or nil.
func (s *Store) Damage() *Damage { return s.damage.Load() }

// Change edits the document. It returns the document now in force, which after
// an edit that changes nothing is the one before. Errors are [FieldError]s
// joined, a [RefusedError], [ErrConflict], [ErrPending], or what went wrong when
// saving; after any of them the document before is in force.
func (s *Store) Change(ctx context.Context, c Change) (*Document, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.Pending() != nil && !c.Probe {
		return nil, ErrPending
	}
	return s.change(ctx, c)
}

// Probe returns what c would make of the document, without making it.
func (s *Store) Probe(ctx context.Context, c Change) (*Document, []Difference, error) {
	c.Probe = true
	next, err := s.Change(ctx, c)
	if err != nil {
		return nil, nil, err
	}
	return next, Diff(s.Current(), next), nil
}

func (s *Store) change(ctx context.Context, c Change) (*Document, error) {
	if s.closed {
		return nil, ErrClosed
	}
	prev := s.cur.Load()
	if c.Base != 0 && c.Base != prev.chosen.Revision {
		return nil, ErrConflict
	}
	doc := prev.chosen.Clone()
	if err := c.Edit(doc); err != nil {
		return nil, err
	}
	doc.Schema, doc.Revision = Schema, prev.chosen.Revision
	if reflect.DeepEqual(prev.chosen, doc) {
		return prev.chosen, nil
	}
	doc.Revision++
	if err := small(doc); err != nil {
		return nil, err
	}
	env := s.env
	env.Now = time.Now().Round(0)
	next := &current{doc, Resolve(doc, env)}
	if err := next.resolved.Validate(); err != nil {
		return nil, err
	}
	for _, u := range s.units {
		if err := u.Check(ctx, next.resolved); err != nil && !c.forced {
			return nil, &RefusedError{u.Name(), err}
		}
	}
	if c.Probe {
		return doc, nil
	}
	began := time.Now()
	defer s.around()()
	for i, u := range s.units {
		follow := u.Apply
		if c.forced {
			follow = u.Restore
		}
		if err := follow(ctx, next.resolved); err != nil && !c.forced {
			s.undo(ctx, s.units[:i], prev.resolved)
			return nil, &RefusedError{u.Name(), err}
		}
	}
	rev := Revision{
		Number: doc.Revision, Time: time.Now(), Actor: c.Actor, Reason: c.Reason, Diff: Diff(prev.chosen, doc),
	}
	if err := s.save(doc, rev, c.Confirm); err != nil {
		s.undo(ctx, s.units, prev.resolved)
		return nil, fmt.Errorf("saving revision %d: %w", doc.Revision, err)
	}
	s.cur.Store(next)
	s.env = env
	s.watch(rev)
	s.log.Info("change applied", "rev", doc.Revision, "actor", c.Actor, "reason", c.Reason, "dur", time.Since(began))
	return doc, nil
}

// save makes the change durable. Once config.json has its new name, the change
// is committed whatever else fails.
func (s *Store) save(d *Document, rev Revision, confirm time.Duration) error {
	var p *Pending
	if confirm > 0 {
		p = &Pending{Revision: rev.Number, Base: rev.Number - 1, Deadline: rev.Time.Add(confirm)}
	}
	committed, err := s.disk.save(d, rev, p)
	switch {
	case !committed:
		return err
	case err != nil:
		s.hurt("not-synced", err)
	default:
		s.damage.Store(nil) // every unit follows what is whole on disk
	}
	if p != nil {
		s.pending.Store(p)
		s.expire = time.AfterFunc(confirm, s.revertExpired)
	}
	return nil
}

func (s *Store) undo(ctx context.Context, done []Unit, prev *Document) {
	ctx = context.WithoutCancel(ctx)
	var errs []error
	for i := len(done) - 1; i >= 0; i-- {
		if err := done[i].Restore(ctx, prev); err != nil {
			errs = append(errs, fmt.Errorf("restoring %s: %w", done[i].Name(), err))
		}
	}
	if err := errors.Join(errs...); err != nil {
		s.hurt("undo-failed", err)
	}
}

func (s *Store) hurt(code string, err error) {
	s.log.Error("document store is hurt", "code", code, "err", err)
	s.damage.Store(&Damage{code, err, time.Now()})
}

// Renew makes the units follow the document on a host that has changed: with
// other addresses or resolvers the defaults are others. It makes no revision. A
// host that the document does not fit is a [Damage], and the units follow what
// was in force before.
func (s *Store) Renew(ctx context.Context, env Env) {
	s.mu.Lock()
	defer s.mu.Unlock()
	env.Now = s.env.Now
	if s.closed || reflect.DeepEqual(s.env, env) {
		return
	}
	if s.follow(ctx, env) {
		s.log.Info("the host changed", "lan", env.LAN.Name, "addr", env.LAN.Address)
	}
}

// Tick makes the units follow the document where something in it has come to its
// end, such as a peer that is let in until a day. It makes no revision, and costs
// little where there is nothing to do.
func (s *Store) Tick(ctx context.Context) {
	s.mu.Lock()
	defer s.mu.Unlock()
	now := time.Now().Round(0) // by the clock on the wall, which may be set
	due := s.Current().Due(s.env.Now)
	// A clock that was set back brings back what had ended.
	if s.closed || !now.Before(s.env.Now) && (due.IsZero() || now.Before(due)) {
		return
	}
	env := s.env
	env.Now = now
	if s.follow(ctx, env) {
		s.log.Info("something in the document has ended", "due", due)
	}
}

// follow brings the units to what the document is with env. It reports whether
// that is something else than before.
func (s *Store) follow(ctx context.Context, env Env) bool {
	s.env = env
	prev := s.cur.Load()
	next := &current{prev.chosen, Resolve(prev.chosen, env)}
	err := next.resolved.Validate()
	if d := s.Damage(); err == nil && d != nil && d.Code == "not-valid" {
		s.damage.Store(nil)
	} else if err != nil {
		s.hurt("not-valid", err)
		return false
	}
	if reflect.DeepEqual(prev.resolved, next.resolved) {
		return false
	}
	s.cur.Store(next)
	defer s.around()()
	for _, u := range s.units {
		if err := u.Restore(ctx, next.resolved); err != nil {
			s.log.Warn("unit does not follow", "unit", u.Name(), "err", err)
		}
	}
	return true
}

// Confirm makes the pending change final.
func (s *Store) Confirm(_ context.Context, actor string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	p := s.Pending()
	if p == nil {
		return ErrNotPending
	}
	if err := s.disk.disarm(); err != nil {
		return fmt.Errorf("confirming revision %d: %w", p.Revision, err)
	}
	s.expire.Stop()
	s.pending.Store(nil)
	if d := s.Damage(); d != nil && d.Code == "revert-failed" {
		s.damage.Store(nil)
	}
	s.log.Info("change confirmed", "rev", p.Revision, "actor", actor)
	return nil
}

// Revert undoes the pending change now.
func (s *Store) Revert(ctx context.Context, actor string) (*Document, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.revert(ctx, actor, "reverted before it was confirmed")
}

func (s *Store) revert(ctx context.Context, actor, reason string) (*Document, error) {
	p := s.Pending()
	if p == nil {
		return nil, ErrNotPending
	}
	base, err := s.disk.document(p.Base)
	if err != nil {
		return nil, err
	}
	c := Change{Actor: actor, Reason: reason, Edit: func(d *Document) error {
		*d = *base.Clone()
		return nil
	}}
	doc, err := s.change(ctx, c)
	if refused := (*RefusedError)(nil); errors.As(err, &refused) {
		// Whoever armed the change may be locked out by it. So the document goes
		// back all the same, as it would at a restart, and the unit that cannot
		// follow it says so and keeps trying.
		s.log.Warn("revert goes on without a unit", "unit", refused.Unit, "err", refused.Err)
		c.forced = true
		doc, err = s.change(ctx, c)
	}
	if err != nil {
		return nil, err
	}
	if err := s.disk.disarm(); err != nil {
		s.hurt("not-synced", err) // harmless: at start an armed change that is not current is ignored
	}
	s.expire.Stop()
	s.pending.Store(nil)
	return doc, nil
}

// revertExpired runs when nobody confirmed in time.
func (s *Store) revertExpired() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if p := s.Pending(); s.closed || p == nil || time.Now().Before(p.Deadline.Add(-time.Second)) {
		return
	}
	if _, err := s.revert(context.Background(), "cell", "nobody confirmed it in time"); err != nil {
		s.hurt("revert-failed", err)
		s.expire = time.AfterFunc(10*time.Second, s.revertExpired)
	}
}

// Rollback makes the document of an earlier revision current again.
func (s *Store) Rollback(ctx context.Context, number int64, c Change) (*Document, error) {
	old, err := s.Revision(number)
	if err != nil {
		return nil, err
	}
	c.Edit = func(d *Document) error { *d = *old.Clone(); return nil }
	if c.Reason == "" {
		c.Reason = fmt.Sprintf("back to revision %d", number)
	}
	return s.Change(ctx, c)
}

// Revision returns the document of a revision that is still kept, migrated to
// today's schema.
func (s *Store) Revision(number int64) (*Document, error) { return s.disk.document(number) }

// History returns the last n revisions, newest first.
func (s *Store) History(n int) ([]Revision, error) { return s.disk.history(n) }

// Close waits for a change under way and refuses further ones with [ErrClosed].
// A change that waits for its confirmation is left to the next Open, which
// reverts it.
func (s *Store) Close() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.closed = true
	if s.expire != nil {
		s.expire.Stop()
	}
}
