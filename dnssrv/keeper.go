package dnssrv

import (
	"errors"
	"fmt"
	"hash/maphash"
	"io/fs"
	"log/slog"
	"maps"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/miekg/dns"

	"pic/core/names"
	"pic/dnssrv/transfer"
	"pic/internal/atomicfile"
)

// ahead is how far serials may go on before the disk is told, in seconds.
const ahead = 600

// A keeper gives each zone the serial of what it holds, and remembers the last
// versions of zones that others transfer. Whatever takes the place of the table
// goes through it, so that an answer and the SOA that goes with it are of one
// version at any moment.
//
// Serials are times, in seconds, so that they grow over restarts; where changes
// come faster than seconds, or the clock was set back, they count on from the
// one before. What they must be greater than at the next start is on disk.
type keeper struct {
	dir  string // empty: nothing is kept
	log  *slog.Logger
	seed maphash.Seed
	wake chan struct{}

	changing sync.Mutex // held while an update is made
	updates  updates

	looking sync.Mutex // held while a version is made of a zone

	mu      sync.Mutex // of what takes the place of Server.table
	zones   map[name]*tracked
	floor   uint32 // all serials of former runs are not above
	ceiling uint32 // and none of this run will be after power loss
	opened  bool
	dynamic map[name]dynamic  // written to with changing held too
	fetched map[name]*fetched // versions of zones that others are the primaries of

	nmu       sync.Mutex
	notices   map[noticeKey]*notice
	followers map[name]*follower

	noticing, fetching, sending chan struct{} // as many as may be under way
}

// A tracked is what is known of a zone besides the table.
type tracked struct {
	sum     uint64 // of what it holds
	serial  uint32
	content *transfer.Content // the newest version that was looked at; nil: nobody transfers it
	history transfer.History
	since   time.Time // of content
}

// A fetched is a zone as its primaries have it.
type fetched struct {
	content *transfer.Content
	made    *zone // of content
	zone    *zone // made; nil: it has expired
}

func newKeeper(dir string, log *slog.Logger) *keeper {
	k := &keeper{
		log: log, wake: make(chan struct{}, 1),
		notices: map[noticeKey]*notice{}, followers: map[name]*follower{},
		noticing: make(chan struct{}, maxNotices), fetching: make(chan struct{}, maxFetches), sending: make(chan struct{}, maxTransfers),
		seed: maphash.MakeSeed(), zones: map[name]*tracked{}, dynamic: map[name]dynamic{}, fetched: map[name]*fetched{},
	}
	if dir != "" {
		k.dir = filepath.Join(dir, "zones")
	}
	return k
}

// present returns the table and the names found out, which belong together.
func (s *Server) present() (*table, *names.Snapshot) {
	t, snap := s.table.Load(), s.snapshot()
	if t.snap == snap || len(t.zones) == 0 {
		return t, snap
	}
	s.keeper.mu.Lock()
	defer s.keeper.mu.Unlock()
	if t = s.table.Load(); t.snap == snap {
		return t, snap
	}
	next := *t
	next.snap = snap
	next.zones = maps.Clone(t.zones)
	s.keeper.number(&next)
	s.table.Store(&next)
	return &next, snap
}

// adopt makes t, which is new from compile, the table: with the records of
// updates, the zones of others, and serials.
func (s *Server) adopt(t *table) {
	k := s.keeper
	k.mu.Lock()
	defer k.mu.Unlock()
	t.snap = s.snapshot()
	t.base = maps.Clone(t.zones)
	for apex := range t.zones {
		k.lay(t, apex)
	}
	k.number(t)
	for apex, at := range k.zones {
		if p := t.peers[apex]; t.zones[apex] == nil || p == nil || len(p.secondaries) == 0 {
			at.content, at.history = nil, transfer.History{} // the serial stays, should it come back
		}
	}
	s.table.Store(t)
}

// relay makes what is laid over the zone apex visible. The caller holds k.mu.
func (s *Server) relay(apex name) {
	t := s.table.Load()
	if t.base[apex] == nil {
		return // gone meanwhile
	}
	next := *t
	next.zones = maps.Clone(t.zones)
	s.keeper.lay(&next, apex)
	s.keeper.number(&next, apex)
	s.table.Store(&next)
}

// lay puts over a zone of the document what it does not say.
func (k *keeper) lay(t *table, apex name) {
	z := t.base[apex]
	switch {
	case z.kind == Secondary:
		t.zones[apex] = z
		if f := k.fetched[apex]; f != nil && f.zone != nil {
			t.zones[apex] = f.zone
		}
	case len(k.dynamic[apex]) > 0:
		t.zones[apex] = z.overlay(k.dynamic[apex])
	default:
		t.zones[apex] = z
	}
}

// number gives the zones, all or those named, their serials. What changes is
// replaced, not written to.
func (k *keeper) number(t *table, only ...name) {
	m := t.outside()
	ptrs := t.pointers()
	found := k.found(t)
	one := func(apex name, z *zone) {
		if z.kind == Secondary {
			return
		}
		sum := found[apex]
		for _, rr := range ptrs[apex] {
			sum += k.hash(rr)
		}
		base := t.base[apex]
		if base == nil {
			base = z
		}
		if base.sum == 0 {
			base.sum = k.fixed(m, base)
		}
		if z.sum == 0 {
			z.sum = base.sum + k.laid(apex)
		}
		sum += z.sum
		at := k.zones[apex]
		switch {
		case at == nil:
			at = &tracked{serial: k.next(0)}
			k.zones[apex] = at
		case at.sum != sum:
			at.serial = k.next(at.serial)
		}
		at.sum = sum
		switch {
		case z.soa.Serial == at.serial:
		case z.soa.Serial == 0 && z != base: // nobody uses it yet
			z.number(at.serial)
		default:
			t.zones[apex] = z.numbered(at.serial)
		}
	}
	if len(only) > 0 {
		for _, apex := range only {
			one(apex, t.zones[apex])
		}
		return
	}
	for apex, z := range t.zones {
		one(apex, z)
	}
}

// next returns the serial that follows one.
func (k *keeper) next(serial uint32) uint32 {
	n := uint32(time.Now().Unix())
	if serial == 0 && k.floor != 0 && !transfer.Newer(n, k.floor) {
		n = k.floor + 1 // a start soon after the last, or the clock was set back
	}
	if serial != 0 && !transfer.Newer(n, serial) {
		n = serial + 1
	}
	if k.opened && (k.ceiling == 0 || transfer.Newer(n, k.ceiling)) {
		k.ceiling = n + ahead
		if err := k.save(); err != nil {
			k.log.Warn("keeping the serial of zones", "err", err)
		}
	}
	return n
}

func (k *keeper) save() error {
	if err := os.MkdirAll(k.dir, 0o700); err != nil {
		return err
	}
	return atomicfile.WriteFile(filepath.Join(k.dir, "serial"), []byte(strconv.FormatUint(uint64(k.ceiling), 10)+"\n"), 0o600)
}

// wakeKeeper has the zones looked at, because one changed.
func (s *Server) wakeKeeper() {
	select {
	case s.keeper.wake <- struct{}{}:
	default: // it is about to
	}
}

// open reads what is on disk. What cannot be read is told, and otherwise as if
// it were not there.
func (k *keeper) open() {
	if k.dir == "" {
		return
	}
	k.changing.Lock()
	defer k.changing.Unlock()
	k.mu.Lock()
	defer k.mu.Unlock()
	err := os.MkdirAll(k.dir, 0o700)
	if err == nil {
		err = atomicfile.Sweep(k.dir)
	}
	if err == nil {
		err = k.recall()
	}
	if err != nil {
		k.log.Error("reading what is kept of zones", "err", err)
	}
	k.openUpdates()
	if k.updates.err != nil {
		k.log.Error("updates cannot be kept", "err", k.updates.err)
	}
}

// recall reads the serial that those of the former run were below.
func (k *keeper) recall() error {
	k.opened = true
	b, err := os.ReadFile(filepath.Join(k.dir, "serial"))
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	n, err := strconv.ParseUint(strings.TrimSpace(string(b)), 10, 32)
	if err != nil {
		return fmt.Errorf("the last serial: %w", err)
	}
	k.floor, k.ceiling = uint32(n), uint32(n)
	return nil
}

// close ends what open began. Nothing uses the keeper any more.
func (k *keeper) close() {
	k.changing.Lock()
	defer k.changing.Unlock()
	if k.updates.log != nil {
		if err := k.updates.log.Close(); err != nil {
			k.log.Error("closing the journal of updates", "err", err)
		}
		k.updates.log = nil
	}
	k.nmu.Lock()
	defer k.nmu.Unlock()
	clear(k.followers) // their goroutines have ended
	for _, n := range k.notices {
		n.running = false
	}
}

// hash is the part of a record in the sum of its zone; parts are added, so that
// their order does not matter.
func (k *keeper) hash(rr dns.RR) uint64 {
	w, err := transfer.Wire(rr)
	if err != nil {
		w = rr.String()
	}
	return maphash.String(k.seed, w) | 1
}

// fixed sums up what z holds by itself, for all who ask.
func (k *keeper) fixed(m *moment, z *zone) uint64 {
	sum := uint64(1)
	if z.ring != nil {
		sum += maphash.Comparable(k.seed, z.ring)
	}
	for n, at := range z.nodes {
		for typ, set := range at.sets {
			if typ == dns.TypeSOA {
				continue
			}
			for _, rr := range set {
				sum += k.hash(rr)
			}
		}
		for _, set := range at.tunnel {
			for _, rr := range set {
				sum += 3 * k.hash(rr)
			}
		}
		if !at.cell && !at.ddr {
			continue
		}
		for _, typ := range []uint16{dns.TypeA, dns.TypeAAAA, dns.TypeSVCB} {
			for _, rr := range at.set(m, n, typ) {
				sum += 5 * k.hash(rr)
			}
		}
	}
	return sum
}

// laid sums up what updates put into a zone.
func (k *keeper) laid(apex name) uint64 {
	sum := uint64(0)
	for _, sets := range k.dynamic[apex] {
		for _, set := range sets {
			for _, rr := range set {
				sum += 7 * k.hash(rr)
			}
		}
	}
	return sum
}

// found sums up the names found out by the zones that they are in.
func (k *keeper) found(t *table) map[name]uint64 {
	out := map[name]uint64{}
	for z, rr := range t.discoveries() {
		out[z.apex] += k.hash(rr)
	}
	return out
}

// copyOf returns what was transferred of a zone, nil if nothing was.
func (k *keeper) copyOf(apex name) *transfer.Content {
	k.mu.Lock()
	defer k.mu.Unlock()
	if f := k.fetched[apex]; f != nil && f.zone != nil {
		return f.content
	}
	return nil
}
