package netstack

import (
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"time"

	"pic/netstack/fw"
	"pic/netstack/policy"
)

// A Ban is a block that somebody made at run time; it does not outlive the cell.
type Ban struct {
	Net    netip.Prefix
	Reason string
	Until  time.Time // zero: until it is lifted, or the cell stops
}

// mostPassing bounds the blocks and the mappings made at run time, each.
const mostPassing = 10000

var errNotHere = errors.New("the cell filters nothing: it has no network, or is a trial")

// Block shuts out addresses in both directions, until a time. A block of the same
// network is replaced.
func (s *Server) Block(b Ban) error {
	b.Net = b.Net.Masked()
	switch {
	case !b.Net.IsValid() || b.Net.Addr().Is4In6():
		return errors.New("what is to be blocked is not a network such as 203.0.113.0/24")
	case b.Net.Bits() == 0:
		return fmt.Errorf("%s is the whole internet", b.Net)
	case !b.Until.IsZero() && !time.Now().Before(b.Until):
		return errors.New("the block would be over already")
	}
	return s.pass(func(p *passing) error {
		p.bans = slices.DeleteFunc(p.bans, func(o Ban) bool { return o.Net == b.Net })
		if len(p.bans) >= mostPassing {
			return fmt.Errorf("there are %d blocks already", mostPassing)
		}
		p.bans = append(p.bans, b)
		return nil
	})
}

// Unblock lifts a block that Block made, and reports whether there was one.
func (s *Server) Unblock(n netip.Prefix) (bool, error) {
	found := false
	err := s.pass(func(p *passing) error {
		before := len(p.bans)
		p.bans = slices.DeleteFunc(p.bans, func(o Ban) bool { return o.Net == n.Masked() })
		found = len(p.bans) < before
		return nil
	})
	return found, err
}

// Bans returns the blocks made at run time.
func (s *Server) Bans() []Ban {
	s.mu.Lock()
	defer s.mu.Unlock()
	now := time.Now()
	return slices.DeleteFunc(slices.Clone(s.passing.bans), func(b Ban) bool { return !b.Until.IsZero() && !now.Before(b.Until) })
}

// Map leads a port to a device until a time, or longer if it is mapped already.
// Who may ask for it is the caller's business; a port forward of the document, or
// a port of the cell that is open to the internet, is not given away.
func (s *Server) Map(m fw.Mapping) error {
	if m.Proto != policy.TCP && m.Proto != policy.UDP || m.Port == 0 || !m.To.IsValid() || m.To.Port() == 0 {
		return errors.New("a mapping needs a protocol, a port and a device")
	}
	return s.pass(func(p *passing) error {
		if slices.Contains(s.conf.Rules.Open, policy.Port{Proto: m.Proto, Number: m.Port}) {
			return fmt.Errorf("port %d is the cell's", m.Port)
		}
		for _, f := range s.conf.Rules.Forwards {
			if f.Proto == m.Proto && f.First <= m.Port && m.Port <= f.Last && f.To.Is4() == m.To.Addr().Is4() {
				return fmt.Errorf("port %d is forwarded by %s already", m.Port, f.Name)
			}
		}
		i := slices.IndexFunc(p.mappings, func(o fw.Mapping) bool { return samePort(o, m) })
		switch {
		case i >= 0 && p.mappings[i].To != m.To && time.Now().Before(p.mappings[i].Until):
			return fmt.Errorf("port %d is mapped to %s already", m.Port, p.mappings[i].To.Addr())
		case i >= 0:
			p.mappings[i] = m
		case len(p.mappings) >= mostPassing:
			return fmt.Errorf("there are %d mappings already", mostPassing)
		default:
			p.mappings = append(p.mappings, m)
		}
		return nil
	})
}

// samePort reports whether two mappings cannot be at the same time. Two that only
// let in are told apart by the device.
func samePort(a, b fw.Mapping) bool {
	f, g := a.Forward(), b.Forward()
	if a.Proto != b.Proto || a.Port != b.Port || a.To.Addr().Is4() != b.To.Addr().Is4() || f.Direct() != g.Direct() {
		return false
	}
	return !f.Direct() || a.To == b.To
}

// Unmap takes a mapping back.
func (s *Server) Unmap(m fw.Mapping) error {
	return s.pass(func(p *passing) error {
		p.mappings = slices.DeleteFunc(p.mappings, func(o fw.Mapping) bool { return samePort(o, m) && o.To == m.To })
		return nil
	})
}

// Mappings returns the mappings in force.
func (s *Server) Mappings() []fw.Mapping {
	s.mu.Lock()
	defer s.mu.Unlock()
	return current(s.passing.mappings, time.Now())
}

// pass changes what passes by itself and puts it in force. On error it stays as
// it was, and so does what is in force.
func (s *Server) pass(edit func(*passing) error) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.policy.Load() == nil {
		return errNotHere
	}
	old := s.passing
	s.passing = passing{bans: slices.Clone(old.bans), mappings: slices.Clone(old.mappings)}
	s.passing.drop(time.Now())
	err := edit(&s.passing)
	if err != nil {
		s.passing = old
		return err
	}
	if err = s.refilter(); err == nil {
		return nil
	}
	s.passing = old
	if back := s.refilter(); back != nil {
		s.log.Warn("network not as it should be", "why", "a change of blocks or mappings was not undone", "err", back)
		s.trouble.set(drifted(back))
	}
	return err
}

// drop forgets what is over, and reports whether something was.
func (p *passing) drop(now time.Time) bool {
	before := len(p.bans) + len(p.mappings)
	p.bans = slices.DeleteFunc(p.bans, func(b Ban) bool { return !b.Until.IsZero() && !now.Before(b.Until) })
	p.mappings = current(p.mappings, now)
	return len(p.bans)+len(p.mappings) < before
}

// refilter puts the policy of the present Config in force, in the kernel or in
// user space.
func (s *Server) refilter() error {
	now := time.Now()
	g := s.terrain(s.conf)
	p := policy.New(s.conf.rules(g, s.passing, now))
	if s.filters {
		if err := s.firewall.Set(fw.Compile(s.conf.model(g, s.passing, now))); err != nil {
			return err
		}
		return s.enforce(p)
	}
	s.policy.Store(p)
	if t := s.tunnel.Load(); t != nil && t.stack != nil {
		t.stack.Obey(p)
	}
	return nil
}

// pastDue tells the policy what has ended by itself; the kernel knows.
func (s *Server) pastDue(now time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	over := s.passing.drop(now)
	for _, b := range s.conf.Filter.Blocked {
		over = over || !b.Until.IsZero() && !now.Before(b.Until) && now.Sub(b.Until) < 2*time.Second
	}
	if !over || s.policy.Load() == nil {
		return
	}
	if err := s.refilter(); err != nil {
		s.log.Warn("network not as it should be", "why", "a block or a mapping has ended", "err", err)
		s.trouble.set(drifted(err))
	}
}

// enforce makes p the policy and ends the connections that it does not allow.
// Those that could not be ended are tried again with the next policy, be it the
// same.
func (s *Server) enforce(p *policy.Policy) error {
	old := s.policy.Swap(p)
	if (old == nil || !old.Same(p)) && !slices.Contains(s.owed, old) {
		s.owed = append(s.owed, old)
	}
	if len(s.owed) > mostOwed {
		s.owed = []*policy.Policy{nil} // all that is not allowed now
	}
	n, err := s.cut(s.owed, p)
	if n > 0 {
		s.log.Info("connections ended that lost their right", "number", n)
	}
	if err == nil {
		s.owed = nil
	}
	return err
}

// mostOwed bounds the policies whose connections are still to be looked through.
const mostOwed = 4

// Policy is who may reach what, as it is in force; nil while there is no network.
func (s *Server) Policy() *policy.Policy { return s.policy.Load() }

// FirewallRules returns the rules of the packet filter with their counters;
// nothing where the cell filters nothing.
func (s *Server) FirewallRules() ([]fw.Rule, error) { return s.firewall.Rules() }

// ForeignDrops lists what other firewalls of the host drop of ours; nothing where
// the cell filters nothing.
func (s *Server) ForeignDrops() []fw.Drop {
	s.mu.Lock()
	c, filters := s.conf, s.filters
	s.mu.Unlock()
	if !filters || c.Mode != TUN {
		return nil
	}
	drops, _ := fw.Foreign(c.Interface)
	return drops
}

// Traffic returns what devices have sent and received through the cell.
func (s *Server) Traffic() (map[netip.Addr]fw.Bytes, error) { return s.firewall.Traffic() }
