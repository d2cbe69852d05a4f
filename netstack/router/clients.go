package router

import (
	"context"
	"encoding/json"
	"errors"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"time"

	"pic/internal/atomicfile"
	"pic/netstack/router/dhcp4"
	"pic/netstack/router/dhcp6"
)

// remembered is a lease on disk, of a card: another card is another customer to
// the provider.
type remembered[L any] struct {
	Card string `json:"card"`
	MAC  string `json:"mac"`
	L    *L     `json:"lease"`
}

const (
	file4 = "lease4.json"
	file6 = "lease6.json"
)

// save keeps a lease; nil forgets it. That it cannot is told, but is no reason to
// go without an address.
func save[L any](s *Server, file, card, mac string, l *L) {
	path := filepath.Join(s.dir, file)
	if l == nil {
		if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
			s.log.Warn("old lease not removed", "err", err)
		}
		return
	}
	b, err := json.MarshalIndent(remembered[L]{card, mac, l}, "", "\t")
	if err == nil {
		err = atomicfile.WriteFile(path, append(b, '\n'), 0o600)
	}
	if err != nil {
		s.log.Warn("lease not saved", "err", err)
	}
}

// read returns the lease of a card, nil if there is none that can be read.
func read[L any](s *Server, file, card string) *L {
	b, err := os.ReadFile(filepath.Join(s.dir, file))
	if err != nil {
		return nil
	}
	var r remembered[L]
	if err := json.Unmarshal(b, &r); err != nil {
		s.log.Warn("a remembered lease is damaged and not used", "file", file, "err", err)
		return nil
	}
	link, err := net.InterfaceByName(card)
	if err != nil || r.Card != card || r.MAC != link.HardwareAddr.String() {
		return nil
	}
	return r.L
}

// recall takes up leases that are in force on the host still, as after kill -9,
// so that settle leaves their addresses in place. The caller holds mu.
func (s *Server) recall(c Config) {
	s.four, s.six, s.ra, s.state4, s.state6 = nil, nil, advert{}, dhcp4.Init, dhcp6.Idle
	s.strays, s.strayed = nil, time.Time{}
	s.trouble = troubles{}
	if !c.on() {
		return
	}
	now := time.Now()
	if c.WAN.DHCP {
		l := read[dhcp4.Lease](s, file4, c.WAN.Name)
		if l != nil && now.Before(l.Until) && s.kernel.has(c.WAN.Name, l.Address) {
			s.four = l
		}
	}
	if c.WAN.Delegation {
		// Nobody else was given the prefix while it is valid: it can be used before
		// the provider has confirmed it.
		if l := read[dhcp6.Lease](s, file6, c.WAN.Name); l != nil && now.Before(l.Until()) {
			s.six = l
		}
	}
}

// run4 asks for the WAN's IPv4 address until ctx ends.
func (s *Server) run4(ctx context.Context, c Config) error {
	card, err := s.card(c.WAN.Name)
	if err != nil {
		return err
	}
	s.mu.Lock()
	l, live := s.four, s.four != nil
	s.mu.Unlock()
	if l == nil {
		l = read[dhcp4.Lease](s, file4, card.Name)
	}
	began := time.Now()
	return dhcp4.Run(ctx, dhcp4.Options{
		Log: s.log, Card: card, Lease: l, Live: live, Plugged: s.plug.four,
		Bound: func(l dhcp4.Lease, fresh bool) {
			if fresh {
				s.log.Info("WAN has an address", "addr", l.Address, "server", l.Server, "until", l.Until)
			}
			save(s, file4, card.Name, card.HardwareAddr.String(), &l)
			s.mu.Lock()
			s.four = &l
			s.trouble.clear(codeNoLease, codeRefused)
			s.settleLogged()
			s.mu.Unlock()
			s.tell()
		},
		Lost: func(why string) {
			s.log.Warn("WAN lost its address", "err", why)
			save[dhcp4.Lease](s, file4, "", "", nil)
			s.mu.Lock()
			s.four = nil
			s.trouble.set(noLease("The provider's address is gone: " + why + "."))
			s.settleLogged()
			s.mu.Unlock()
			s.tell()
		},
		Enter: func(st dhcp4.State) {
			s.mu.Lock()
			defer s.mu.Unlock()
			s.state4 = st
			if s.four == nil && st == dhcp4.Selecting && time.Since(began) > patience {
				s.trouble.set(noLease("No DHCP server answers on " + card.Name + "."))
			}
		},
		Release: func() bool {
			s.mu.Lock()
			defer s.mu.Unlock()
			return s.conf.WAN != c.WAN
		},
	})
}

// patience is how long the provider may take before it is a problem.
const patience = 15 * time.Second

// settleLogged is settle for callbacks, which can only log. The caller holds mu.
func (s *Server) settleLogged() {
	if err := s.settle(); err != nil && !isMissing(err) {
		s.log.Warn("network not as it should be", "err", err)
	}
}

// card finds a card for a client.
func (s *Server) card(name string) (*net.Interface, error) {
	if _, err := linkNamed(name); err != nil {
		return nil, err
	}
	return net.InterfaceByName(name)
}

// run6 asks for prefixes and addresses until ctx ends.
func (s *Server) run6(ctx context.Context, c Config) error {
	card, err := s.card(c.WAN.Name)
	if err != nil {
		return err
	}
	s.mu.Lock()
	l := s.six
	s.mu.Unlock()
	return dhcp6.Run(ctx, dhcp6.Options{
		Log: s.log, Card: card, Lease: l, Plugged: s.plug.six,
		Bound: func(l dhcp6.Lease) {
			save(s, file6, card.Name, card.HardwareAddr.String(), &l)
			s.mu.Lock()
			s.six = &l
			s.trouble.clear(codeNoPrefix)
			s.settleLogged()
			s.mu.Unlock()
			s.tell()
		},
		Lost: func(why string) {
			s.log.Warn("WAN lost its IPv6 lease", "err", why)
			save[dhcp6.Lease](s, file6, "", "", nil)
			s.mu.Lock()
			s.six = nil
			s.settleLogged()
			s.mu.Unlock()
			s.tell()
		},
		Enter: func(st dhcp6.State) {
			s.mu.Lock()
			defer s.mu.Unlock()
			s.state6 = st
		},
		Release: func() bool {
			s.mu.Lock()
			defer s.mu.Unlock()
			return s.conf.WAN != c.WAN
		},
	})
}
