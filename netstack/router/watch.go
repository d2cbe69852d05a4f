package router

import (
	"context"
	"time"

	"github.com/vishvananda/netlink"
)

// watch tells changed after each change of cards, addresses and routes, whoever
// makes it, and the clients when the WAN's cable was plugged in.
func (s *Server) watch(ctx context.Context, changed chan<- struct{}) {
	for ctx.Err() == nil {
		s.mu.Lock()
		on := s.conf.on()
		s.mu.Unlock()
		if on {
			s.listen(ctx, changed)
		}
		select {
		case <-ctx.Done():
		case <-time.After(pauseAfter): // the kernel's queue ran over: look at all, then listen on
			poke(changed)
		}
	}
}

func (s *Server) listen(ctx context.Context, changed chan<- struct{}) {
	done := make(chan struct{})
	defer close(done)
	failed := make(chan struct{}, 1)
	trouble := func(error) { poke(failed) }
	links, addrs, routes := make(chan netlink.LinkUpdate, 64), make(chan netlink.AddrUpdate, 64), make(chan netlink.RouteUpdate, 64)
	if netlink.LinkSubscribeWithOptions(links, done, netlink.LinkSubscribeOptions{ErrorCallback: trouble}) != nil ||
		netlink.AddrSubscribeWithOptions(addrs, done, netlink.AddrSubscribeOptions{ErrorCallback: trouble}) != nil ||
		netlink.RouteSubscribeWithOptions(routes, done, netlink.RouteSubscribeOptions{ErrorCallback: trouble}) != nil {
		return
	}
	// Senders block on their channel; they must not once we are gone.
	defer func() {
		go func() {
			for range links {
			}
		}()
		go func() {
			for range addrs {
			}
		}()
		go func() {
			for range routes {
			}
		}()
	}()
	up := false
	if l, err := linkNamed(s.wan()); err == nil {
		up = plugged(l)
	}
	var rest <-chan time.Time // changes come in swarms
	for {
		select {
		case <-ctx.Done():
			return
		case <-failed:
			return
		case l, ok := <-links:
			if !ok {
				return
			}
			// By what the message says: when it is read, the cable may be in again.
			if now := plugged(l.Link); l.Attrs().Name == s.wan() && now != up {
				up = now
				if now {
					s.log.Info("WAN was plugged in")
					poke(s.plug.four)
					poke(s.plug.six)
				}
			}
		case _, ok := <-addrs:
			if !ok {
				return
			}
		case _, ok := <-routes:
			if !ok {
				return
			}
		case <-rest:
			rest = nil
			poke(changed)
			continue
		}
		if rest == nil {
			rest = time.After(moment)
		}
	}
}

// moment is how long a change rests before it is looked at.
const moment = 100 * time.Millisecond

func (s *Server) wan() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.conf.WAN.Name
}

func poke(c chan<- struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}
