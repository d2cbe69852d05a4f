package dnssrv

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/miekg/dns"

	"pic/dnssrv/transfer"
)

const (
	lookEvery   = time.Second // until names found out since are in a zone's serial, where nobody asks
	maxNotices  = 16          // under way at a time
	noticeTries = 6           // of one, the second after a second, each further after twice as long
)

// A notice is what a secondary is told, and what is known of it.
type notice struct {
	want    uint32 // the newest serial
	told    uint32 // that it said it has heard of
	has     uint32 // that it transferred
	seen    time.Time
	err     error
	running bool
}

type noticeKey struct {
	zone name
	to   partner
}

// tend looks after the zones that others have a part in until run ends.
func (s *Server) tend(run context.Context) {
	tick := time.NewTicker(lookEvery)
	defer tick.Stop()
	for {
		s.look(run)
		select {
		case <-run.Done():
			return
		case <-tick.C:
		case <-s.keeper.wake:
		}
	}
}

// look tells secondaries of new versions, and has primaries followed.
func (s *Server) look(run context.Context) {
	defer s.guard(addr{})
	t, _ := s.present()
	for apex, p := range t.peers {
		if z := t.zones[apex]; z != nil && !z.absent && len(p.secondaries) > 0 {
			s.tell(run, z, p)
		}
	}
	s.follow(run, t)
}

// tell begins to tell the secondaries of z of its version, where they have not
// been.
func (s *Server) tell(run context.Context, z *zone, p *peering) {
	k := s.keeper
	looked := false
	for _, to := range p.secondaries {
		k.nmu.Lock()
		n := k.notices[noticeKey{z.apex, to}]
		if n == nil {
			n = &notice{}
			k.notices[noticeKey{z.apex, to}] = n
		}
		fresh := n.want != z.soa.Serial
		n.want = z.soa.Serial
		start := fresh && !n.running
		n.running = n.running || start
		k.nmu.Unlock()
		if fresh && !looked {
			looked = true
			// So that differences can be told from this version on.
			if _, _, err := s.contents(z.apex); err != nil {
				s.log.Warn("looking at a zone", "zone", undot(z.apex.String()), "err", err)
			}
		}
		if start {
			s.wg.Go(func() {
				s.insist(run, undot(z.apex.String()), func() { s.notify(run, z.apex, to, n) })
			})
		}
	}
}

// notify tells one secondary until it has heard of the newest version, or it is
// clear that nobody is there.
func (s *Server) notify(run context.Context, apex name, to partner, n *notice) {
	k := s.keeper
	select {
	case k.noticing <- struct{}{}:
		defer func() { <-k.noticing }()
	case <-run.Done():
		return
	}
	pause := time.Second
	for tries := 0; ; tries++ {
		k.nmu.Lock()
		want := n.want
		k.nmu.Unlock()
		err := s.notifyOnce(run, apex, to)
		k.nmu.Lock()
		if n.err = err; err == nil {
			n.told = want
			if want == n.want {
				n.running = false
				k.nmu.Unlock()
				return
			}
			tries, pause = -1, time.Second
		} else if tries+1 >= noticeTries || run.Err() != nil {
			n.running = false
			k.nmu.Unlock()
			s.log.Warn("secondary not told", "zone", undot(apex.String()), "addr", to, "err", err)
			return
		}
		k.nmu.Unlock()
		if err != nil {
			if !sleep(run, pause) {
				return
			}
			pause *= 2
		}
	}
}

func (s *Server) notifyOnce(run context.Context, apex name, to partner) error {
	t, _ := s.present()
	z := t.zones[apex]
	if z == nil {
		return errors.New("the zone is gone")
	}
	key, err := t.key(to)
	if err != nil {
		return err
	}
	soa, err := transfer.Wire(z.soa)
	if err != nil {
		return err
	}
	return transfer.Notify(run, to.at.String(), apex.String(), soa, key)
}

// key returns the key that is shared with a partner, nil if there is none.
func (t *table) key(p partner) (*transfer.Key, error) {
	if p.key == "" {
		return nil, nil
	}
	if key, ok := t.keys[p.key]; ok {
		return &key, nil
	}
	if err := t.bad[undot(p.key)]; err != nil {
		return nil, fmt.Errorf("the key %s cannot be used: %w", undot(p.key), err)
	}
	return nil, fmt.Errorf("there is no key %s", undot(p.key))
}

// sent notes that a secondary has a version. Partners that only differ in their
// port are one, as far as can be seen from here.
func (s *Server) sent(apex name, p *peering, who partner, serial uint32) {
	k := s.keeper
	k.nmu.Lock()
	defer k.nmu.Unlock()
	for _, to := range p.secondaries {
		if to.key != who.key || to.at.Addr() != who.at.Addr() {
			continue
		}
		n := k.notices[noticeKey{apex, to}]
		if n == nil {
			n = &notice{}
			k.notices[noticeKey{apex, to}] = n
		}
		n.has, n.seen, n.err = serial, time.Now(), nil
	}
}

// notified answers a NOTIFY: primaries may say that they have a new version.
func (s *Server) notified(b []byte, c client, session *transfer.Session) (rcode int) {
	var m dns.Msg
	if m.Unpack(b) != nil || len(m.Question) != 1 {
		return dns.RcodeFormatError
	}
	apex, err := parseName(m.Question[0].Name)
	t := s.table.Load()
	if err != nil || t.zones[apex] == nil || t.zones[apex].kind != Secondary || t.peers[apex] == nil {
		return dns.RcodeNotAuth
	}
	if _, ok := among(t.peers[apex].primaries, c.from, session.Key()); !ok {
		s.count.refused.Add(1)
		s.log.Info("notify refused", "zone", undot(apex.String()), "from", c.from)
		return dns.RcodeRefused
	}
	s.keeper.refresh(apex)
	return dns.RcodeSuccess
}
