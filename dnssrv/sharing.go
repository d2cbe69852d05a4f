package dnssrv

import (
	"cmp"
	"context"
	"fmt"
	"strings"
	"time"

	"pic/core/service"
	"pic/internal/order"
)

// A Sharing is how a zone is shared with other name servers and programs.
type Sharing struct {
	Zone        string // without the last dot
	Serial      uint32 // 0: nothing has been transferred yet
	Updates     int    // records that updates put there
	Secondaries []Partner
	Primaries   []Partner
	Expires     time.Time // of a zone with primaries, should none answer; zero: nothing has been transferred yet
}

// A Partner is another name server of a zone.
type Partner struct {
	Address string    // with the port, where that is not 53
	Key     string    // name of the shared key, or empty
	Serial  uint32    // what it has, as far as is known; 0: not known
	Seen    time.Time // when that was
	Error   string    // why it could not be told, or does not tell
}

// Sharings returns the zones that others have a part in, by name.
func (s *Server) Sharings() []Sharing {
	t, _ := s.present()
	k := s.keeper
	k.mu.Lock()
	dynamic := k.dynamic
	k.mu.Unlock()
	k.nmu.Lock()
	defer k.nmu.Unlock()
	out := []Sharing{}
	for apex, z := range t.zones {
		p, updates := t.peers[apex], dynamic[apex].records()
		if p == nil && updates == 0 {
			continue
		}
		sh := Sharing{Zone: undot(apex.String()), Updates: updates, Secondaries: []Partner{}, Primaries: []Partner{}}
		if !z.absent {
			sh.Serial = z.soa.Serial
		}
		if p != nil {
			for _, to := range p.secondaries {
				st := Partner{Address: to.String(), Key: undot(to.key)}
				if n := k.notices[noticeKey{apex, to}]; n != nil {
					st.Serial, st.Seen, st.Error = n.has, n.seen, problem(n.err)
				}
				sh.Secondaries = append(sh.Secondaries, st)
			}
			for i, from := range p.primaries {
				st := Partner{Address: from.String(), Key: undot(from.key)}
				if f := k.followers[apex]; f != nil && i < len(f.states) {
					st.Serial, st.Seen, st.Error = f.states[i].serial, f.states[i].seen, problem(f.states[i].err)
					sh.Expires = f.expires
				}
				sh.Primaries = append(sh.Primaries, st)
			}
		}
		out = append(out, sh)
	}
	order.By(out, func(a, b Sharing) int { return cmp.Compare(a.Zone, b.Zone) })
	return out
}

func problem(err error) string {
	if err == nil {
		return ""
	}
	return err.Error()
}

// Transfer asks the primaries of a zone for a new version now, and tells its
// secondaries of the one that there is. It does not wait for them; the error is
// about the name of the zone.
func (s *Server) Transfer(_ context.Context, zone string) error {
	apex, err := parseName(zone)
	t := s.table.Load()
	if err != nil || t.peers[apex] == nil || len(t.peers[apex].primaries)+len(t.peers[apex].secondaries) == 0 {
		return fmt.Errorf("%s is not a zone that is shared with other name servers", zone)
	}
	s.keeper.refresh(apex)
	s.keeper.nmu.Lock()
	for key, n := range s.keeper.notices {
		if key.zone == apex {
			n.want = 0
		}
	}
	s.keeper.nmu.Unlock()
	s.wakeKeeper()
	return nil
}

// sharingProblems are what is wrong with zones that others have a part in.
func (s *Server) sharingProblems() []service.Problem {
	t := s.table.Load()
	var out []service.Problem
	for name, err := range t.bad {
		out = append(out, service.Problem{
			Code: "dns/key", Title: "The key " + name + " cannot be used",
			Text:     fmt.Sprintf("%v. Whoever signs with it is refused.", err),
			Fix:      "Store its secret anew, in base64 as the other side has it, and name it in dns.keys.",
			Severity: service.Failure, Since: t.made,
		})
	}
	s.keeper.changing.Lock()
	err := s.keeper.updates.err
	s.keeper.changing.Unlock()
	if err != nil {
		out = append(out, service.Problem{
			Code: "dns/updates", Title: "Updates of zones cannot be kept",
			Text:     err.Error() + ". What programs put into zones is missing, and updates are refused.",
			Fix:      "Restore the file from a backup, or move it away to start without what it holds.",
			Severity: service.Failure, Since: t.made,
		})
	}
	for _, sh := range s.Sharings() {
		var bad []string
		for _, p := range sh.Primaries {
			if p.Error != "" {
				bad = append(bad, p.Address+": "+p.Error)
			}
		}
		if len(bad) == 0 || len(bad) < len(sh.Primaries) {
			continue
		}
		p := service.Problem{
			Code: "dns/primaries", Title: "The primaries of " + sh.Zone + " do not tell it",
			Text:     strings.Join(bad, "; "),
			Fix:      "See whether they run, serve the zone, and let this cell transfer it.",
			Severity: service.Warning, Since: t.made,
		}
		switch {
		case sh.Serial == 0:
			p.Severity = service.Failure
			p.Text += ". Its names do not resolve."
		default:
			p.Text += fmt.Sprintf(". Its names resolve until %s.", sh.Expires.Format(time.DateTime))
		}
		out = append(out, p)
	}
	return out
}
