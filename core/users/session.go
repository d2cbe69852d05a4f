package users

import (
	"cmp"
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"iter"
	"net/netip"
	"strings"
	"time"

	"pic/core/state"
	"pic/internal/order"
)

const (
	sessionIdle = 7 * 24 * time.Hour  // without a request
	sessionLife = 30 * 24 * time.Hour // in all
	seenStep    = 10 * time.Minute    // how exactly the last request is kept
	maxSessions = 50                  // of one user; the one unused for longest makes room
	maxAgent    = 200
)

// A Session is a browser that is signed in.
type Session struct {
	ID      string // for lists; not the token
	User    string
	CSRF    string // must come with every request that changes something; empty in lists
	From    netip.Addr
	Agent   string // what the browser says it is
	Created time.Time
	Seen    time.Time // the last request, to ten minutes
	Expires time.Time // if nothing comes
}

type sessionRecord struct {
	ID      string     `json:"id"`
	User    string     `json:"user"`
	From    netip.Addr `json:"from,omitzero"`
	Agent   string     `json:"agent,omitempty"`
	Created time.Time  `json:"created"`
	Seen    time.Time  `json:"seen"`
}

func sessionKey(token string) []byte { return []byte("s/" + digest(token)) }

func (s sessionRecord) expires() time.Time {
	idle, life := s.Seen.Add(sessionIdle), s.Created.Add(sessionLife)
	if idle.Before(life) {
		return idle
	}
	return life
}

func (s sessionRecord) public(csrf string) Session {
	return Session{s.ID, s.User, csrf, s.From, s.Agent, s.Created, s.Seen, s.expires()}
}

// csrfOf follows from the token, so that only who has the one knows the other,
// and neither is kept.
func csrfOf(token string) string {
	h := hmac.New(sha256.New, []byte(token))
	h.Write([]byte("pic csrf"))
	return base64.RawURLEncoding.EncodeToString(h.Sum(nil)[:16])
}

// NewSession signs in a user who has proved who they are. The token goes into a
// cookie; csrf must come with every request that changes something. A session
// ends after 7 days without a request, and after 30 days.
func (d *Directory) NewSession(ctx context.Context, name string, from netip.Addr, agent string) (token, csrf string, err error) {
	if _, ok := d.active(name); !ok {
		return "", "", ErrDenied
	}
	if len(agent) > maxAgent {
		agent = agent[:maxAgent]
	}
	token = newSecret()
	at := now()
	rec := sessionRecord{newID(), name, from, strings.ToValidUTF8(agent, ""), at, at}
	err = d.space.Update(ctx, func(w state.Writer) error {
		if err := makeRoom(w, name); err != nil {
			return err
		}
		return save(w, sessionKey(token), rec)
	})
	if err != nil {
		return "", "", err
	}
	return token, csrfOf(token), nil
}

// makeRoom ends the sessions of a user that were unused for longest.
func makeRoom(w state.Writer, name string) error {
	type one struct {
		id   string
		seen time.Time
	}
	var all []one
	for _, s := range sessions(w) {
		if s.User == name {
			all = append(all, one{s.ID, s.Seen})
		}
	}
	if len(all) < maxSessions {
		return nil
	}
	order.By(all, func(a, b one) int { return a.seen.Compare(b.seen) })
	gone := map[string]bool{}
	for _, s := range all[:len(all)-maxSessions+1] {
		gone[s.id] = true
	}
	_, err := deleteSessions(w, func(s sessionRecord) bool { return gone[s.ID] })
	return err
}

// Session returns who is behind a token and keeps the session alive. An unknown
// token, or one whose session or user is over, is [ErrDenied].
func (d *Directory) Session(ctx context.Context, token string) (Principal, Session, error) {
	if token == "" || len(token) > maxSecret {
		return Principal{}, Session{}, ErrDenied
	}
	key := sessionKey(token)
	var rec sessionRecord
	ok := false
	err := d.space.View(func(r state.Reader) (err error) {
		ok, err = load(r, key, &rec)
		return err
	})
	if err != nil {
		return Principal{}, Session{}, err
	}
	at := now()
	p, active := d.active(rec.User)
	if !ok || !active || !at.Before(rec.expires()) {
		return Principal{}, Session{}, ErrDenied
	}
	if gone := at.Sub(rec.Seen); gone < 0 || gone >= seenStep {
		err := d.space.Update(ctx, func(w state.Writer) error {
			if ok, err := load(w, key, &rec); err != nil || !ok {
				return err // ended meanwhile
			}
			rec.Seen = at
			return save(w, key, rec)
		})
		if err != nil {
			d.log.Warn("keeping a session alive", "user", rec.User, "err", err)
		}
	}
	return p, rec.public(csrfOf(token)), nil
}

// EndSession signs a token out; there being no such session is no error.
func (d *Directory) EndSession(ctx context.Context, token string) error {
	return d.space.Update(ctx, func(w state.Writer) error { return w.Delete(sessionKey(token)) })
}

// EndSessionID signs out the session of that id of a user.
func (d *Directory) EndSessionID(ctx context.Context, user, id string) error {
	return d.space.Update(ctx, func(w state.Writer) error {
		_, err := deleteSessions(w, func(s sessionRecord) bool { return s.User == user && s.ID == id })
		return err
	})
}

// EndSessions signs a user out everywhere.
func (d *Directory) EndSessions(ctx context.Context, user string) error {
	return d.space.Update(ctx, func(w state.Writer) error {
		_, err := deleteSessions(w, func(s sessionRecord) bool { return s.User == user })
		return err
	})
}

// Sessions lists a user's sessions, the last used first, without their CSRF
// tokens.
func (d *Directory) Sessions(user string) ([]Session, error) {
	out := []Session{}
	at := now()
	err := d.space.View(func(r state.Reader) error {
		for _, s := range sessions(r) {
			if s.User == user && at.Before(s.expires()) {
				out = append(out, s.public(""))
			}
		}
		return nil
	})
	order.By(out, func(a, b Session) int { return cmp.Or(b.Seen.Compare(a.Seen), cmp.Compare(a.ID, b.ID)) })
	return out, err
}

// endOver deletes the sessions that have expired, or whose user may not enter.
func (d *Directory) endOver(ctx context.Context, at time.Time) (int, error) {
	over := func(s sessionRecord) bool {
		_, ok := d.active(s.User)
		return !ok || !at.Before(s.expires())
	}
	any := false
	err := d.space.View(func(r state.Reader) error {
		for _, s := range sessions(r) {
			any = any || over(s)
		}
		return nil
	})
	if err != nil || !any {
		return 0, err
	}
	n := 0
	err = d.space.Update(ctx, func(w state.Writer) (err error) {
		n, err = deleteSessions(w, over)
		return err
	})
	return n, err
}

// sessions yields the sessions with their keys. What cannot be read is nobody's.
func sessions(r state.Reader) iter.Seq2[[]byte, sessionRecord] {
	return func(yield func([]byte, sessionRecord) bool) {
		for k := range r.Scan([]byte("s/"), nil) {
			var s sessionRecord
			if _, err := load(r, k, &s); err != nil {
				s = sessionRecord{}
			}
			if !yield(k, s) {
				return
			}
		}
	}
}

// deleteSessions ends those that are over and says how many.
func deleteSessions(w state.Writer, over func(sessionRecord) bool) (n int, err error) {
	for k, s := range sessions(w) {
		if over(s) {
			if err := w.Delete(k); err != nil {
				return n, err
			}
			n++
		}
	}
	return n, nil
}
