package queue

import (
	"context"
	"errors"
	"math/rand/v2"
	"slices"
	"time"
)

// fly brings a message to one domain and writes down what came of it.
func (q *Queue) fly(ctx context.Context, f flight) {
	defer func() {
		if v := recover(); v != nil {
			q.o.Log.Error("panic sending mail", "id", f.id, "err", v)
			q.note(ctx, f, &parcel{}, later("4.3.0", "this cell met an error of its own"))
		}
		q.mu.Lock()
		defer q.mu.Unlock()
		delete(q.out, f)
		if q.busy[f.domain]--; q.busy[f.domain] <= 0 {
			delete(q.busy, f.domain)
		}
		q.rouse()
	}()
	p := q.pack(f)
	if p == nil {
		return
	}
	err := q.deliver(ctx, p)
	if ctx.Err() != nil && err != nil {
		return // we are stopping: it is tried again after the start
	}
	q.note(ctx, f, p, err)
}

// pack takes what is due for a domain; nil if it is no longer there.
func (q *Queue) pack(f flight) *parcel {
	q.mu.Lock()
	defer q.mu.Unlock()
	m := q.all[f.id]
	if m == nil {
		return nil
	}
	p := &parcel{Message: *m, domain: f.domain}
	p.Recipients = nil
	for _, r := range m.Recipients {
		if r.open() && r.domain() == f.domain {
			p.to = append(p.to, r.Addr)
		}
	}
	if len(p.to) == 0 {
		return nil
	}
	return p
}

// note writes down what became of a flight, tells the sender what he must know,
// and removes the message when nobody needs it any more.
func (q *Queue) note(ctx context.Context, f flight, p *parcel, all error) {
	now := q.o.Now().UTC()
	err := q.record(f.id, func(m *Message) {
		for i := range m.Recipients {
			r := &m.Recipients[i]
			if !r.open() || r.domain() != f.domain {
				continue
			}
			err := all
			if at := slices.Index(p.to, r.Addr); err == nil && at >= 0 && at < len(p.results) {
				err = p.results[at]
			}
			r.after(now, m.Created, err)
			r.Host, r.TLS = p.host, p.tls
			q.o.Log.Info("mail sent on", "id", m.ID, "to", r.Addr, "host", r.Host, "tls", r.TLS, "done", r.Done, "failed", r.Failed, "err", r.Why)
		}
	})
	if errors.Is(err, ErrNone) {
		return
	}
	if err != nil {
		q.o.Log.Error("mail queue not saved", "id", f.id, "err", err)
	}
	q.tell(ctx, f.id, now)
}

// after writes down one attempt.
func (r *Recipient) after(now, created time.Time, err error) {
	r.Attempts++
	if err == nil {
		r.Done, r.Why, r.Status = true, "", "2.0.0"
		return
	}
	o, ok := errors.AsType[*outcome](err)
	if !ok {
		o = &outcome{status: "4.0.0", why: err.Error()}
	}
	r.Why, r.Status = o.why, o.status
	switch {
	case o.final:
		r.Failed = true
	case now.Sub(created) >= giveUpAfter:
		r.Failed, r.Status = true, "5.4.7"
	default:
		r.Next = now.Add(pause(r.Attempts))
	}
}

// pause is how long to wait after so many attempts.
func pause(attempts int) time.Duration {
	d := firstPause << min(attempts-1, 10)
	d = min(d, longestPause)
	return d - time.Duration(rand.Int64N(int64(d/10)))
}

// tell reports to the sender what failed for good or takes long, and removes the
// message once that is done.
func (q *Queue) tell(ctx context.Context, id string, now time.Time) {
	q.telling.Lock() // or two flights of a message would both tell
	defer q.telling.Unlock()
	q.mu.Lock()
	m := q.all[id]
	if m == nil {
		q.mu.Unlock()
		return
	}
	c := *m
	c.Recipients = slices.Clone(m.Recipients)
	q.mu.Unlock()
	var failed, slow []Recipient
	left := false
	for _, r := range c.Recipients {
		switch {
		case r.Failed && !r.Told:
			failed = append(failed, r)
		case r.open():
			left = true
			if !c.Warned && now.Sub(c.Created) >= warnAfter {
				slow = append(slow, r)
			}
		}
	}
	for _, kind := range []struct {
		action string
		who    []Recipient
	}{{"failed", failed}, {"delayed", slow}} {
		if len(kind.who) == 0 {
			continue
		}
		if !q.bounce(ctx, &c, kind.action, kind.who, now) {
			return // the next flight or start tries again
		}
		if left { // or it goes in a moment
			q.wrote(id, kind.action, kind.who)
		}
	}
	if !left {
		if err := q.Drop(id); err != nil && !errors.Is(err, ErrNone) {
			q.o.Log.Error("sent mail stays in the queue", "id", id, "err", err)
		}
		return
	}
}

// wrote notes that the sender was told, before anything else can fail: or it
// would be told again.
func (q *Queue) wrote(id, action string, who []Recipient) {
	err := q.record(id, func(m *Message) {
		m.Warned = m.Warned || action == "delayed"
		for i := range m.Recipients {
			r := &m.Recipients[i]
			// Others may have failed while these were told.
			r.Told = r.Told || action == "failed" && slices.ContainsFunc(who, func(f Recipient) bool { return f.Addr == r.Addr })
		}
	})
	if err != nil && !errors.Is(err, ErrNone) {
		q.o.Log.Error("mail queue not saved", "id", id, "err", err)
	}
}

// bounce delivers a report. false means that it has to be tried again.
func (q *Queue) bounce(ctx context.Context, m *Message, action string, who []Recipient, now time.Time) bool {
	if m.From == "" || q.o.Bounce == nil {
		return true // nobody is told about a report (RFC 5321 §6.1)
	}
	f, err := q.disk.text(m.ID)
	if err != nil {
		q.o.Log.Error("report about mail not written", "id", m.ID, "err", err)
		return true
	}
	defer f.Close()
	q.mu.Lock()
	host := q.routes.Host
	q.mu.Unlock()
	if err := q.o.Bounce(ctx, m.From, report(m, f, host, action, who, now)); err != nil {
		q.o.Log.Warn("report about mail not delivered", "id", m.ID, "to", m.From, "err", err)
		return now.Sub(m.Created) > giveUpAfter+24*time.Hour // the sender may be gone
	}
	return true
}
