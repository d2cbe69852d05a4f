package netstack

import "pic/netstack/policy"

// Policy returns the policy in force, made of the same rules as the packet filter,
// or that of the user-space stack. It is made anew for each call: for people, not
// for packets.
func (s *Server) Policy() *policy.Policy {
	s.mu.Lock()
	c := s.conf
	s.mu.Unlock()
	return policy.New(c.rules(s.host.onLink(c.LAN)))
}
