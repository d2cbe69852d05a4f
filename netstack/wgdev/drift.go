package wgdev

import (
	"fmt"
	"time"
)

// Drift says in words what others, such as `wg set`, have made different from
// what was last set; nil for nothing. Where a peer is called is not part of it,
// for peers move. The next Set undoes it.
func (d *Device) Drift() []string {
	have, err := d.engine.state()
	if err != nil {
		return nil
	}
	d.mu.Lock()
	want := d.want
	d.mu.Unlock()
	return drift(have, want)
}

// maxDrift is how many differences are told.
const maxDrift = 10

func drift(have State, want Config) (out []string) {
	say := func(format string, args ...any) {
		if len(out) < maxDrift {
			out = append(out, fmt.Sprintf(format, args...))
		}
	}
	if have.Private != want.Private {
		say("the private key is another")
	}
	if want.Port != 0 && have.Port != want.Port {
		say("the port is %d in place of %d", have.Port, want.Port)
	}
	if have.Mark != want.Mark {
		say("the mark is %#x in place of %#x", have.Mark, want.Mark)
	}
	for _, pub := range sorted(have.Peers) {
		if _, ok := want.Peers[pub]; !ok {
			say("the peer %s was added", pub.Base64())
		}
	}
	for _, pub := range sorted(want.Peers) {
		w := want.Peers[pub]
		h, ok := have.Peers[pub]
		switch name := pub.Base64(); {
		case !ok:
			say("the peer %s was removed", name)
		case h.Preshared != w.Preshared:
			say("the preshared key of the peer %s is another", name)
		case !sameSet(h.Allowed, w.Allowed):
			say("the peer %s has the addresses %v in place of %v", name, h.Allowed, w.Allowed)
		case h.Keepalive != w.Keepalive:
			say("the peer %s has a keepalive of %d s in place of %d s", name, h.Keepalive/time.Second, w.Keepalive/time.Second)
		}
	}
	return out
}
