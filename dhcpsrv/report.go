package dhcpsrv

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"strconv"
	"time"

	"pic/core/names"
	"pic/core/service"
)

// ErrNoLease reports an address that nobody has.
var ErrNoLease = errors.New("nobody has that address")

// Leases returns what is known of every address, by address.
func (s *Server) Leases() []Lease {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.pool == nil {
		return nil
	}
	return s.pool.leases(time.Now())
}

// Release ends the lease of an address, or a quarantine. The device does not
// learn of it and may go on using the address until it renews; before the
// address is offered to another, it is looked for in the LAN. The error wraps
// [ErrNoLease] where there is nothing to end.
func (s *Server) Release(ctx context.Context, a netip.Addr) error {
	s.mu.Lock()
	if s.pool == nil {
		s.mu.Unlock()
		return ErrNoLease
	}
	rec, ok := s.pool.forget(a)
	book := s.book
	s.publish()
	s.mu.Unlock()
	if !ok {
		return fmt.Errorf("%s: %w", a, ErrNoLease)
	}
	return book.Append(ctx, rec)
}

// publish tells core/names what the devices are called. The caller holds mu.
func (s *Server) publish() {
	var hosts []names.Host
	if s.pool != nil && s.conf.Interface != "" {
		hosts = s.pool.hosts(time.Now(), s.conf.Domain)
	}
	for _, r := range s.names.Publish(names.Leases, hosts) {
		s.log.Debug("name not published", "name", r.Host.Name, "err", r.Reason)
	}
}

// Problems lists what is wrong now.
func (s *Server) Problems() []service.Problem {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.problems()
}

// problems is Problems for who holds mu.
func (s *Server) problems() []service.Problem {
	if s.conf.Interface == "" {
		return nil
	}
	var out []service.Problem
	add := func(p service.Problem) {
		p.Since = s.since[p.Code]
		if p.Since.IsZero() {
			p.Since = time.Now()
		}
		out = append(out, p)
	}
	if s.fault != nil {
		p := service.Problem{
			Code: "dhcp/not-serving", Title: "Devices get no addresses", Text: s.fault.Error() + ".", Severity: service.Failure,
			Fix: "It is tried again every two seconds.",
		}
		if errors.Is(s.fault, errNoInterface) {
			p.Code = "dhcp/no-interface"
			p.Fix = "Plug the interface in, or name another as network.lan.name or dhcp.interface. It is tried again every two seconds."
		}
		add(p)
	}
	if s.book != nil && s.book.Err() != nil {
		add(service.Problem{
			Code: "dhcp/disk-failed", Title: "Leases cannot be saved", Text: s.book.Err().Error(), Severity: service.Failure,
			Fix: "Check the disk of the data folder. Until it works no new leases are given; the cell tries again by itself.",
		})
	}
	if s.strange {
		add(service.Problem{
			Code: "dhcp/no-address", Title: "The cell has not got its address in the LAN", Severity: service.Failure,
			Text: fmt.Sprintf("%s has not got the address %s, which devices are told to use.", s.conf.Interface, s.conf.Server.Addr()),
			Fix:  fmt.Sprintf("Give it to the interface (`ip address add %s dev %s`), or correct network.lan.address.", s.conf.Server, s.conf.Interface),
		})
	}
	if s.pool == nil {
		return out
	}
	if used, size := s.pool.usage(time.Now()); size > 0 && used >= size {
		add(service.Problem{
			Code: "dhcp/pool-full", Title: "All addresses of the LAN are given away", Severity: service.Warning,
			Text: fmt.Sprintf("%s to %s has %d addresses, and %d are in use.", s.conf.First, s.conf.Last, size, used),
			Fix:  "Widen dhcp.first and dhcp.last, or shorten dhcp.lease.",
		})
	}
	if s.damaged != "" {
		add(service.Problem{
			Code: "dhcp/leases-damaged", Title: "Some leases were lost", Severity: service.Warning,
			Text: "The file of the leases was damaged. What could be read is in use, and the file is kept as " + s.damaged + ".",
			Fix:  "Devices may get other addresses than before. Check the disk; remove that file once it is of no use.",
		})
	}
	return out
}

// Sockets lists what the server listens on.
func (s *Server) Sockets() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.link == nil {
		return nil
	}
	return []string{fmt.Sprintf("udp %s on %s", s.link.conn.LocalAddr(), s.conf.Interface)}
}

// Facts tells how full the pool is and what was answered.
func (s *Server) Facts() []service.Fact {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.pool == nil || s.conf.Interface == "" {
		return nil
	}
	used, size := s.pool.usage(time.Now())
	return []service.Fact{
		{Name: "addresses", Value: fmt.Sprintf("%d of %d in use", used, size)},
		{Name: "acknowledged", Value: strconv.FormatInt(s.served.acked.Load(), 10)},
		{Name: "refused", Value: strconv.FormatInt(s.served.refused.Load(), 10)},
		{Name: "dropped", Value: strconv.FormatInt(s.served.dropped.Load()+s.served.bad.Load(), 10)},
	}
}

// Usage returns how many addresses of the pool are in use, and how many it has.
func (s *Server) Usage() (used, size int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.pool == nil {
		return 0, 0
	}
	return s.pool.usage(time.Now())
}
