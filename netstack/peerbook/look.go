package peerbook

import (
	"context"
	"fmt"
	"time"

	"pic/core/event"
)

const (
	// alive is how old a handshake may be in a session that is still good: peers
	// that talk shake hands every two minutes.
	alive = 3 * time.Minute
	// quiet is how long a device must be silent before the timeline is told that
	// it left: phones sleep, and come back.
	quiet = 10 * time.Minute
)

// look takes in what the tunnel says, and does what is due.
func (b *Book) look(ctx context.Context, now time.Time) {
	b.mu.Lock()
	on := b.conf.On
	b.mu.Unlock()
	var all []Seen
	if on {
		all = b.Look()
	}
	b.mu.Lock()
	if b.minute.IsZero() {
		b.minute = now.Truncate(time.Minute)
	}
	over := !now.Truncate(time.Minute).Equal(b.minute)
	b.mu.Unlock()
	if over {
		b.flush(ctx, now)
	}
	b.mu.Lock()
	for _, s := range all {
		b.at(s.PublicKey).sample(s, now)
	}
	var tell []event.Event
	var take []Peer
	urgent := false
	for _, p := range b.conf.Peers {
		e := b.at(p.PublicKey)
		if ev := e.presence(p, now); ev != nil {
			tell, urgent = append(tell, *ev), true
		}
		if ev := e.ending(p, now); ev != nil {
			tell, urgent = append(tell, *ev), true
		}
		if next := b.known[p.Next]; p.Next != "" && (next != nil && !next.seen.IsZero() || !now.Before(p.Until)) {
			take = append(take, p)
		}
	}
	b.mu.Unlock()

	if urgent {
		b.flush(ctx, now)
	}
	for _, e := range tell {
		b.Events.Append(e)
	}
	for _, p := range take {
		if err := b.Take(ctx, p.Name, p.Next); err != nil {
			b.Log.Warn("next keys of a peer do not take the place of its former ones yet", "peer", p.Name, "err", err)
		}
	}
}

// sample counts what came and went since the last look. A counter that fell began
// anew.
func (e *entry) sample(s Seen, now time.Time) {
	since := func(old, new uint64) uint64 {
		if new >= old {
			return new - old
		}
		return new
	}
	if e.sampled {
		rx, tx := since(e.rx, s.Rx), since(e.tx, s.Tx)
		if dt := now.Sub(e.at).Seconds(); dt > 0 {
			// The mean of about the last three seconds.
			e.rxRate += (float64(rx)/dt - e.rxRate) / 3
			e.txRate += (float64(tx)/dt - e.txRate) / 3
			if e.rxRate < 1 {
				e.rxRate = 0
			}
			if e.txRate < 1 {
				e.txRate = 0
			}
		}
		e.add(rx, tx)
	} else {
		e.add(s.Rx, s.Tx)
	}
	e.sampled, e.at, e.rx, e.tx = true, now, s.Rx, s.Tx
	if s.Endpoint.IsValid() && s.Endpoint != e.Endpoint && !s.Handshake.IsZero() {
		e.Endpoint, e.dirty = s.Endpoint, true
	}
	if s.Handshake.After(e.Handshake) {
		e.Handshake, e.dirty = s.Handshake, true
	}
	e.seen = s.Handshake
}

func (e *entry) add(rx, tx uint64) {
	e.Rx += rx
	e.Tx += tx
	e.sum.rx += rx
	e.sum.tx += tx
}

// presence says that a device came or went, nil where there is nothing to say.
func (e *entry) presence(p Peer, now time.Time) *event.Event {
	ev := event.Event{Severity: event.Info, Unit: "wireguard", Subject: p.Name}
	switch here := !e.Handshake.IsZero() && now.Sub(e.Handshake) < alive && !p.Disabled; {
	case here && e.Since.IsZero():
		e.Since, e.dirty = e.Handshake, true
		ev.Kind, ev.Text = "peer.connected", p.Name+" is connected"
		if e.Endpoint.IsValid() {
			ev.Text += ", from " + e.Endpoint.Addr().String()
		}
	case !here && !e.Since.IsZero() && (p.Disabled || now.Sub(e.Handshake) >= quiet):
		ev.Kind, ev.Text = "peer.disconnected", fmt.Sprintf("%s is away; it was connected for %s", p.Name, e.Handshake.Sub(e.Since).Round(time.Minute))
		e.Since, e.dirty = time.Time{}, true
	default:
		return nil
	}
	return &ev
}

// ending warns of the end of a device's time a week and a day before, and tells
// of it.
func (e *entry) ending(p Peer, now time.Time) *event.Event {
	if p.Expires.IsZero() {
		return nil
	}
	if !e.Warned.Equal(p.Expires) {
		e.Warned, e.Stage = p.Expires, 0
		e.dirty = true
	}
	left := p.Expires.Sub(now)
	stage := 0
	switch {
	case left <= 0:
		stage = 3
	case left <= 24*time.Hour:
		stage = 2
	case left <= 7*24*time.Hour:
		stage = 1
	}
	if stage <= e.Stage {
		return nil
	}
	e.Stage, e.dirty = stage, true
	ev := event.Event{
		Kind: "peer.expiring", Severity: event.Warning, Unit: "wireguard", Subject: p.Name,
		Text: fmt.Sprintf("%s is shut out on %s unless it gets more time", p.Name, p.Expires.Local().Format("Mon 2 Jan 15:04")),
	}
	if stage == 3 {
		ev.Kind, ev.Text = "peer.expired", p.Name+" is shut out: its time is over"
	}
	return &ev
}
