package dnssrv

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"path/filepath"

	"github.com/miekg/dns"

	"pic/core/state/journal"
	"pic/dnssrv/transfer"
)

const (
	maxDynamic = 10_000  // records that updates may put into one zone
	compactAt  = 1 << 20 // bytes of the journal before it is written anew
)

// An updates is the journal of what updates made of the zones. The caller of its
// methods holds keeper.changing.
type updates struct {
	log  *journal.Log // nil: nothing is kept, so nothing may be acknowledged
	size int64        // of log when it was last written anew
	err  error        // why log is nil
}

// A saved is one record of the journal: what is at some names after an update,
// or after all was cleared. It says states, so reading it twice does no harm.
type saved struct {
	Zone  string     `json:"zone"`
	Clear bool       `json:"clear,omitempty"` // of everything before
	Sets  []savedSet `json:"sets,omitempty"`
}

type savedSet struct {
	Owner   string   `json:"owner"`
	Type    uint16   `json:"type"`
	Records [][]byte `json:"records,omitempty"` // in wire format
}

// openUpdates reads the journal.
func (k *keeper) openUpdates() {
	if k.dir == "" || k.updates.log != nil {
		return
	}
	all := map[name]dynamic{}
	log, err := journal.Open(filepath.Join(k.dir, "updates.journal"), func(rec []byte) error { return replayUpdate(all, rec) })
	if k.updates.err = err; err != nil {
		return
	}
	k.dynamic = all
	k.updates.log, k.updates.size = log, log.Size()
}

// replayUpdate takes one record of the journal in.
func replayUpdate(all map[name]dynamic, rec []byte) error {
	var v saved
	if err := json.Unmarshal(rec, &v); err != nil {
		return fmt.Errorf("a record of an update: %w", err)
	}
	apex, err := parseName(v.Zone)
	if err != nil {
		return fmt.Errorf("an update of %q: %w", v.Zone, err)
	}
	if v.Clear {
		delete(all, apex)
	}
	var changes []transfer.Change
	for _, set := range v.Sets {
		c := transfer.Change{Owner: set.Owner, Type: set.Type}
		for _, w := range set.Records {
			rr, err := transfer.Record(string(w))
			if err != nil {
				return fmt.Errorf("an update of %s: %w", set.Owner, err)
			}
			c.Records = append(c.Records, rr)
		}
		changes = append(changes, c)
	}
	d, err := all[apex].with(changes)
	if err != nil {
		return err
	}
	all[apex] = d
	return nil
}

// with returns d after changes; d stays as it is.
func (d dynamic) with(changes []transfer.Change) (dynamic, error) {
	out := maps.Clone(d)
	if out == nil {
		out = dynamic{}
	}
	for _, c := range changes {
		n, err := parseName(c.Owner)
		if err != nil {
			return nil, fmt.Errorf("an update of %q: %w", c.Owner, err)
		}
		sets := maps.Clone(out[n])
		if sets == nil {
			sets = transfer.Sets{}
		}
		if sets[c.Type] = c.Records; len(c.Records) == 0 {
			delete(sets, c.Type)
		}
		if out[n] = sets; len(sets) == 0 {
			delete(out, n)
		}
	}
	return out, nil
}

// records returns how many records d has.
func (d dynamic) records() int {
	n := 0
	for _, sets := range d {
		for _, set := range sets {
			n += len(set)
		}
	}
	return n
}

// encode writes what is at some names as a record of the journal.
func encode(v saved, changes []transfer.Change) ([]byte, error) {
	for _, c := range changes {
		set := savedSet{Owner: c.Owner, Type: c.Type}
		for _, rr := range c.Records {
			w, err := transfer.Wire(rr)
			if err != nil {
				return nil, err
			}
			set.Records = append(set.Records, []byte(w))
		}
		v.Sets = append(v.Sets, set)
	}
	return json.Marshal(v)
}

var errUnkept = errors.New("there is no folder to keep updates in")

// append makes a change of the zone durable.
func (u *updates) append(ctx context.Context, v saved, changes []transfer.Change) error {
	if u.log == nil {
		return errors.Join(errUnkept, u.err)
	}
	rec, err := encode(v, changes)
	if err != nil {
		return err
	}
	return u.log.Append(ctx, rec)
}

// compact writes the journal anew once most of it is about what is no more.
func (u *updates) compact(ctx context.Context, all map[name]dynamic) error {
	if u.log == nil || u.log.Size() < compactAt || u.log.Size() < 4*u.size {
		return nil
	}
	err := u.log.Rewrite(ctx, func(emit func([]byte) error) error {
		for apex, d := range all {
			for n, sets := range d {
				var changes []transfer.Change
				for typ, set := range sets {
					changes = append(changes, transfer.Change{Owner: n.String(), Type: typ, Records: set})
				}
				rec, err := encode(saved{Zone: apex.String()}, changes)
				if err != nil {
					return err
				}
				if err := emit(rec); err != nil {
					return err
				}
			}
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("shortening the journal of updates: %w", err)
	}
	u.size = u.log.Size()
	return nil
}

// ClearUpdates removes all that updates put into a zone, and returns how many
// records that were.
func (s *Server) ClearUpdates(ctx context.Context, zone string) (int, error) {
	apex, err := parseName(zone)
	if err != nil {
		return 0, err
	}
	k := s.keeper
	k.changing.Lock()
	defer k.changing.Unlock()
	n := k.dynamic[apex].records()
	if n == 0 {
		return 0, nil
	}
	if err := k.updates.append(ctx, saved{Zone: apex.String(), Clear: true}, nil); err != nil {
		return 0, fmt.Errorf("clearing the updates of %s: %w", zone, err)
	}
	s.lay(apex, dynamic{})
	s.log.Info("updates cleared", "zone", undot(apex.String()), "records", n)
	return n, nil
}

// lay puts what updates made of a zone in the place of what was. The caller
// holds k.changing.
func (s *Server) lay(apex name, d dynamic) {
	k := s.keeper
	k.mu.Lock()
	defer k.mu.Unlock()
	all := maps.Clone(k.dynamic)
	if all[apex] = d; len(d) == 0 {
		delete(all, apex)
	}
	k.dynamic = all
	s.relay(apex)
	s.wakeKeeper()
}

// entriesOf lists what updates put into a zone, or its primaries.
func (z *zone) entriesOf(yield func(Entry)) {
	for _, at := range z.nodes {
		sets, source := at.dynamic, Updated
		if z.kind == Secondary {
			sets, source = at.sets, Transferred
		}
		for _, set := range sets {
			for _, rr := range set {
				if rr.Header().Rrtype != dns.TypeSOA {
					yield(entry(z.apex, rr, source, ""))
				}
			}
		}
	}
}
