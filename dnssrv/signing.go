package dnssrv

import (
	"context"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/miekg/dns"

	"pic/core/service"
	"pic/dnssrv/sign"
	"pic/internal/order"
)

const (
	// keysEvery is how often keys are looked after. Clocks jump, and machines
	// sleep, so it is often.
	keysEvery = time.Minute
	// parentEvery is how often the parent of a zone is asked for its DS records
	// while they have to change.
	parentEvery = time.Hour
)

func newKeys(o Options) *sign.Keys {
	so := sign.Options{Log: o.Log, Seal: o.Seal, Unseal: o.Unseal, Credible: released}
	if o.Dir != "" {
		so.Dir = filepath.Join(o.Dir, "keys")
	}
	return sign.New(so)
}

// signed returns the zones of c that are to be signed.
func (c *Config) signed() []string {
	var out []string
	if c.DNS.Own.Sign && c.Domain != "" {
		out = append(out, c.Domain)
	}
	for _, z := range c.Zones {
		if z.Options.Sign && len(z.Primaries) == 0 { // a copy has the signatures of its primary
			out = append(out, z.Name)
		}
	}
	for i, s := range out {
		out[i] = strings.ToLower(dns.Fqdn(s))
	}
	return out
}

func (s *Server) ring(zone name) *sign.Ring { return s.keys.Ring(zone.String()) }

// renew makes a new version of all zones, for what signs them has changed.
func (s *Server) renew() {
	s.mu.Lock()
	defer s.mu.Unlock()
	old := s.table.Load()
	if old.made.IsZero() {
		return
	}
	t, err := version{ring: s.ring}.compile(old.conf)
	if err != nil {
		s.log.Error("signing anew", "err", err) // it compiled before
		return
	}
	t.made, t.keys, t.bad = time.Now(), old.keys, old.bad
	s.adopt(t)
}

// keepKeys moves keys on as time goes by, until ctx is done.
func (s *Server) keepKeys(ctx context.Context) {
	tick := time.NewTicker(keysEvery)
	defer tick.Stop()
	parents := map[string]sign.Parent{}
	var asked time.Time
	for {
		if rolling := s.keys.Rolling(); len(rolling) > 0 && (asked.IsZero() || time.Since(asked) >= parentEvery) {
			clear(parents)
			for _, zone := range rolling {
				parents[zone] = s.parent(ctx, zone)
			}
			asked = time.Now()
		}
		if s.keys.Tick(parents) {
			s.renew()
		}
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
}

// parent finds out which DS records the zone above has. One of our own follows
// at once, or is not signed.
func (s *Server) parent(ctx context.Context, zone string) sign.Parent {
	n, err := parseName(zone)
	if err != nil {
		return sign.Parent{}
	}
	var got []dns.RR
	t := s.table.Load()
	switch up := t.above(n.parent()); {
	case up == nil:
		q, err := parse(question2wire(question{name: n, typ: dns.TypeDS}, true))
		if err != nil {
			return sign.Parent{}
		}
		var m dns.Msg
		r := s.beyond.resolve(ctx, question{name: n, typ: dns.TypeDS})
		if m.Unpack(message(&q, r, maxSize)) != nil || r.rcode != dns.RcodeSuccess && r.rcode != dns.RcodeNameError {
			return sign.Parent{}
		}
		got = m.Answer
	case up.ring != nil && up.nodes[n] != nil:
		got = up.nodes[n].sets[dns.TypeDS]
	}
	p := sign.Parent{Known: true}
	for _, rr := range got {
		if ds, ok := rr.(*dns.DS); ok {
			p.DS = append(p.DS, ds)
		}
	}
	return p
}

// Rollover begins to exchange the keys that sign a zone. What follows takes its
// time and happens by itself, but that a parent zone which is not the cell's own
// must be given the DS record of the new key. The error is for the user.
func (s *Server) Rollover(_ context.Context, zone string) error {
	n, err := parseName(zone)
	if err != nil {
		return fmt.Errorf("%q is not a domain name", zone)
	}
	if err := s.keys.Roll(n.String()); err != nil {
		return err
	}
	s.renew()
	return nil
}

// A Kind is why the cell answers for a zone.
type Kind string

const (
	Own       Kind = "own"       // the cell's domain
	Document  Kind = "document"  // written by the user
	Secondary Kind = "secondary" // transferred from others
	Reverse   Kind = "reverse"   // of the LAN or the VPN
)

// A ZoneInfo is what is told of a zone.
type ZoneInfo struct {
	Name    string // without the last dot
	Kind    Kind
	Serial  uint32 // 0: of a zone that has not been transferred yet
	Records int    // as the LAN gets them, without signatures
	Signed  bool
	DS      []string // for the parent zone, or as trust anchors; in presentation format
	Keys    []sign.KeyInfo
	Sharing Sharing // what other servers and programs have to do with it
}

// Zones returns the zones that the cell answers for, but for those that only
// keep names in the house. The cell's own goes first.
func (s *Server) Zones() []ZoneInfo {
	m := s.outside()
	m.do = false
	shared := map[string]Sharing{}
	for _, sh := range s.Sharings() {
		shared[sh.Zone] = sh
	}
	var out []ZoneInfo
	for _, z := range m.zones {
		if z.kind == "" {
			continue
		}
		info := ZoneInfo{Name: undot(z.apex.String()), Kind: z.kind, Serial: z.soa.Serial, Signed: z.ring != nil}
		info.Sharing = shared[info.Name]
		if z.absent {
			info.Serial = 0 // nothing is known of it
			out = append(out, info)
			continue
		}
		info.Records = len(z.dump(m))
		if z.ring != nil {
			info.Keys = s.keys.Status(z.apex.String())
			for _, ds := range z.ring.DS() {
				info.DS = append(info.DS, strings.ReplaceAll(ds.String(), "\t", " "))
			}
		}
		out = append(out, info)
	}
	rank := []Kind{Own, Document, Secondary, Reverse}
	order.By(out, func(a, b ZoneInfo) int {
		if d := slices.Index(rank, a.Kind) - slices.Index(rank, b.Kind); d != 0 {
			return d
		}
		return strings.Compare(a.Name, b.Name)
	})
	return out
}

// outside is the moment as others than a device see it: secondaries, exports.
// They get what the LAN gets.
func (s *Server) outside() *moment {
	t, _ := s.present()
	return t.outside()
}

func (t *table) outside() *moment {
	return &moment{table: t, who: t.conf.asker(t.conf.LAN.Masked().Addr(), t.conf.LAN.Addr()), snap: t.snap, do: true}
}

// dump returns all records of z at a moment in the order of the zone, the SOA
// first; signed where the zone is and m wants it (RFC 4035 §2).
func (z *zone) dump(m *moment) []dns.RR {
	if z.ring == nil {
		plain := *m // what others signed has its signatures among its records
		plain.do = false
		m = &plain
	}
	soa := *z.soa
	out := z.signed(m, []dns.RR{&soa})
	for _, n := range z.all(m) {
		at := z.at(m, n)
		types := z.types(m, n, at)
		for _, t := range types {
			switch {
			case n == z.apex && t == dns.TypeSOA:
			case n != z.apex && t == dns.TypeNS:
				out = append(out, owned(at.sets[t], n.String())...)
			default:
				out = append(out, z.signed(m, at.set(m, n, t))...)
			}
		}
		if m.signs(z) && len(types) > 0 {
			out = append(out, z.signed(m, []dns.RR{z.nsec(m, n)})...)
		}
	}
	for _, n := range z.glue {
		for _, t := range []uint16{dns.TypeA, dns.TypeAAAA} {
			out = append(out, z.nodes[n].set(m, n, t)...)
		}
	}
	return out
}

// keyProblems are what is wrong with the keys of zones.
func (s *Server) keyProblems() []service.Problem {
	var out []service.Problem
	for _, f := range s.keys.Faults() {
		p := service.Problem{
			Code:     "dns/keys",
			Title:    "The keys of " + f.Zone + " cannot be saved",
			Text:     f.Err.Error() + ". The zone stays signed with the keys that it has.",
			Fix:      "See whether the disk is full or broken.",
			Severity: service.Warning,
			Since:    f.Since,
		}
		if !f.Signed {
			p.Severity = service.Failure
			p.Title = f.Zone + " is not signed"
			p.Text = f.Err.Error() + ". Where the zone above has a DS record, or a device a trust anchor for it, its names do not resolve."
			p.Fix = "Restore the file from a backup. If there is none, remove the DS record and the file; the cell then makes new keys."
		}
		out = append(out, p)
	}
	for _, zone := range s.keys.Rolling() {
		for _, k := range s.keys.Status(zone) {
			if k.Role != sign.KSK || k.State != sign.Published {
				continue
			}
			out = append(out, service.Problem{
				Code:     "dns/anchor",
				Title:    "The key of " + undot(zone) + " is changing",
				Text:     fmt.Sprintf("Key %d is to take over as the one that others trust.", k.Tag),
				Fix:      s.anchorFix(zone, k.Tag),
				Severity: service.Warning,
				Since:    k.Since,
			})
		}
	}
	return out
}

// anchorFix says what to do about a KSK that is to take over: nothing before all
// who keep the keys of the zone can know it.
func (s *Server) anchorFix(zone string, tag uint16) string {
	ring := s.keys.Ring(zone)
	if ring != nil && slices.ContainsFunc(ring.DS(), func(rr dns.RR) bool { return rr.(*dns.DS).KeyTag == tag }) {
		return "Give the new DS record, which pic dns zone ds " + undot(zone) + " prints, to whoever has the zone above and takes no CDS records, " +
			"and to devices that have it as a fixed trust anchor. Others follow by themselves."
	}
	return "Nothing yet: others have to learn of the key first, which takes about a day. Then its DS record is to be given to whoever has the zone above."
}

// keeping runs what looks after keys beside Run.
func (s *Server) keeping(ctx context.Context) (wait func()) {
	var wg sync.WaitGroup
	wg.Go(func() { s.keepKeys(ctx) })
	return wg.Wait
}
