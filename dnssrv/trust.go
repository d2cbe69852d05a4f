package dnssrv

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/miekg/dns"

	"pic/core/config"
	"pic/core/service"
	"pic/dnssrv/validate"
)

const (
	// provenEvery is how often it is seen again whether upstreams pass signatures
	// on, once that is known.
	provenEvery = 30 * time.Minute
	// retryEvery is the same while it is not known, or they do not.
	retryEvery = 2 * time.Minute
	// soonest is the time between two tries that queries wait for, and briefly how
	// long they do.
	soonest = 5 * time.Second
	briefly = 500 * time.Millisecond
)

// released is when this was written. A clock before it is one of a machine that
// has just been switched on and knows no better: then signatures count whatever
// their dates are, so that a source of time can be found by its name.
var released = time.Date(2026, 11, 1, 0, 0, 0, 0, time.UTC)

// A trust checks answers of upstreams by DNSSEC. Its methods may be called from
// any goroutine.
type trust struct {
	forward *forwarder
	changed func() // what is checked is another thing now
	root    *rootKeys

	mode      atomic.Pointer[config.Validation]
	validator atomic.Pointer[validate.Validator]
	passing   atomic.Pointer[passing] // nil: not known
	loose     atomic.Bool             // meanwhile something was told unchecked

	mu      sync.Mutex
	anchors []*dns.DS // of the document
	trusted []*dns.DS // by the validator
	ups     []*remote // that passing is about
	probing *probing  // nil: none is under way
	tried   time.Time // when the last began
}

// Passing is what is known of the upstreams of all names that no forward is
// about.
type passing struct {
	ok    bool
	bad   []string // upstreams that do not pass signatures on
	since time.Time
}

func newTrust(f *forwarder, o Options, changed func()) *trust {
	t := &trust{forward: f, changed: changed, root: newRootKeys(o.Dir, o.Log, f.fetch)}
	off := config.ValidateOff
	t.mode.Store(&off)
	t.anchored(nil)
	f.judge, f.judges = t.judge, t.judges
	return t
}

// anchored takes the trust anchors of the document, which replace the built-in
// ones if one is for the root.
func (t *trust) anchored(own []*dns.DS) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.anchors = own
	t.rely()
}

// rely makes the validator trust the anchors of the document and the keys of the
// root as they are now. The caller holds mu.
func (t *trust) rely() {
	own := t.anchors
	all, root := own[:len(own):len(own)], ownRoot(own)
	if !root {
		all = append(all, t.root.anchors()...)
	}
	if t.validator.Load() != nil && sameAnchors(all, t.trusted) {
		return
	}
	t.trusted = all
	o := validate.Options{Credible: released, Relieve: t.forward.relieve}
	if !root {
		o.Unsigned = []string{"test."} // which the world's root knows nothing of (RFC 6761)
	}
	t.validator.Store(validate.New(all, t.forward.fetch, o))
}

// ownRoot reports whether the document says what the root is trusted by.
func ownRoot(own []*dns.DS) bool {
	return slices.ContainsFunc(own, func(ds *dns.DS) bool { return ds.Hdr.Name == "." })
}

// renew looks at the keys of the root if it is time to.
func (t *trust) renew(ctx context.Context) {
	t.mu.Lock()
	own := t.anchors
	t.mu.Unlock()
	if ownRoot(own) || !t.root.refresh(ctx) {
		return
	}
	t.mu.Lock()
	t.rely() // on what the document says by now
	t.mu.Unlock()
	t.changed()
}

// follow takes what the document says, after the forwarder has. What other
// upstreams do is found out anew.
func (t *trust) follow(mode config.Validation, own []*dns.DS) {
	t.root.open()
	t.anchored(own)
	ups := t.forward.routing.Load().root.ups
	t.mu.Lock()
	defer t.mu.Unlock()
	if *t.mode.Swap(&mode) == mode && slices.Equal(t.ups, ups) {
		return
	}
	t.ups, t.tried, t.probing = ups, time.Time{}, nil
	t.passing.Store(nil)
}

// flush forgets all keys.
func (t *trust) flush() { t.validator.Load().Flush() }

// on reports whether the document wants checks, and anything served at all.
func (t *trust) on() bool {
	mode := *t.mode.Load()
	return mode == config.ValidateAuto || mode == config.ValidateOn
}

// judges reports whether answers of g are to be judged at all.
func (t *trust) judges(ctx context.Context, g *group) bool {
	switch {
	case !g.validate:
		return false
	case g.domain != root || *t.mode.Load() != config.ValidateAuto:
		return true // somebody said so
	case g.iter != nil:
		return true // nobody is between the zones and us
	}
	if t.passing.Load() == nil {
		if p := t.probe(soonest); p != nil {
			late := time.NewTimer(briefly)
			defer late.Stop()
			select {
			case <-p.first:
			case <-late.C:
			case <-ctx.Done():
			}
		}
	}
	p := t.passing.Load()
	if p == nil {
		t.loose.Store(true)
	}
	return p != nil && p.ok
}

// checks reports whether answers are checked, as far as is known: with auto, the
// upstreams must pass signatures on.
func (t *trust) checks() bool {
	switch *t.mode.Load() {
	case config.ValidateOn:
		return true
	case config.ValidateAuto:
		if t.forward.routing.Load().root.iter != nil {
			return true
		}
		p := t.passing.Load()
		return p != nil && p.ok
	}
	return false
}

// judge is what the forwarder asks about the answer m to q.
func (t *trust) judge(ctx context.Context, q question, m *dns.Msg) verdict {
	r := t.forward.routing.Load()
	var leaves func(string) bool
	if f := r.leaves(r.group(q)); f != nil {
		leaves = func(n string) bool { return f(name(n)) }
	}
	asked := dns.Question{Name: q.name.String(), Qtype: q.typ, Qclass: dns.ClassINET}
	res := t.validator.Load().ValidateTo(ctx, asked, m, leaves)
	v := verdict{secure: res.State == validate.Secure, bogus: res.State == validate.Bogus}
	if res.Text != "" {
		v.ede = &ede{res.Code, res.Text}
	}
	return v
}

// watch sees again now and then whether the upstreams pass signatures on.
func (t *trust) watch(ctx context.Context) {
	if !t.on() {
		return
	}
	if t.checks() {
		t.renew(ctx)
	}
	if t.forward.routing.Load().root.iter != nil {
		return // there are none
	}
	wait := retryEvery
	if p := t.passing.Load(); p != nil && p.ok {
		wait = provenEvery
	}
	if p := t.probe(wait); p != nil {
		select {
		case <-p.all:
		case <-ctx.Done():
		}
	}
}

// A probing is a probe under way.
type probing struct {
	first, all chan struct{} // closed when one upstream has answered, and when it is over
}

// probe finds out whether the upstreams pass signatures on, unless that was begun
// less than pause ago; then it returns what is still under way, or nil.
func (t *trust) probe(pause time.Duration) *probing {
	t.mu.Lock()
	defer t.mu.Unlock()
	now := time.Now()
	if t.probing != nil || now.Sub(t.tried) < pause && !now.Before(t.tried) {
		return t.probing
	}
	f := t.forward
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.closed {
		return nil
	}
	p := &probing{first: make(chan struct{}), all: make(chan struct{})}
	t.probing, t.tried = p, now
	run, ups := f.running, t.ups
	f.wg.Go(func() {
		ctx, cancel := context.WithTimeout(run, patience)
		defer cancel()
		t.see(ctx, p, ups)
	})
	return p
}

// see asks each upstream for the keys of the root. They pass signatures on if all
// do that answer. If nothing was known, what the first says counts at once.
func (t *trust) see(ctx context.Context, p *probing, ups []*remote) {
	type result struct {
		from         *remote
		ok, answered bool
	}
	results := make(chan result, len(ups))
	for _, u := range ups {
		go func() {
			r := result{from: u}
			defer func() {
				_ = recover() // a message that breaks the decoder is no answer
				results <- r
			}()
			q := question{name: root, typ: dns.TypeDNSKEY, do: true, cd: true, raw: true}
			a, _, err := u.ask(ctx, q, manner{})
			if err != nil {
				return
			}
			said := a.reply(0)
			m, err := said.unpack(q)
			r.answered, r.ok = true, err == nil && signedKeys(m)
		}()
	}
	var now *passing
	for range ups {
		r := <-results
		if !r.answered {
			continue
		}
		first := now == nil
		if first {
			now = &passing{ok: true, since: time.Now()}
		}
		if !r.ok {
			now.ok, now.bad = false, append(now.bad, r.from.addr.String())
		}
		if first {
			t.early(p, *now)
			close(p.first)
		}
	}
	if now == nil {
		close(p.first)
	}
	if t.over(p, now) {
		t.changed()
	}
	close(p.all)
}

// early takes what the first upstream says.
func (t *trust) early(p *probing, now passing) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.probing == p && t.passing.Load() == nil {
		t.passing.Store(&now)
	}
}

// over takes what all upstreams say, nil if none does. It reports whether answers
// that were kept are no longer what would be told.
func (t *trust) over(p *probing, now *passing) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.probing != p {
		return false // it was about upstreams of the past
	}
	t.probing = nil
	if now == nil {
		return false
	}
	old := t.passing.Load()
	if old != nil && !old.ok && !now.ok {
		now.since = old.since
	}
	t.passing.Store(now)
	loose := t.loose.Swap(false)
	return old != nil && old.ok != now.ok || loose && now.ok
}

// problems says why answers are not checked.
func (t *trust) problems() []service.Problem {
	if !t.on() {
		return nil
	}
	var out []service.Problem
	t.mu.Lock()
	own := t.anchors
	t.mu.Unlock()
	if !ownRoot(own) {
		out = t.root.problems()
	}
	if time.Now().Before(released) {
		out = append(out, service.Problem{
			Code:     "dns/clock",
			Title:    "The host's clock is wrong",
			Text:     "It shows " + time.Now().Format("2006-01-02") + ". Until it is set, answers are checked by DNSSEC without regard to the dates of signatures.",
			Fix:      "See that the host sets its clock by the network, with chrony or systemd-timesyncd.",
			Severity: service.Warning,
		})
	}
	p := t.passing.Load()
	if p == nil || p.ok {
		return out
	}
	bad := service.Problem{
		Code:     "dns/no-dnssec",
		Title:    "Answers from outside are not checked by DNSSEC",
		Text:     strings.Join(p.bad, ", ") + " does not pass signatures on.",
		Fix:      "Set dns.upstreams to resolvers that do, such as tls://dns.quad9.net#9.9.9.9, or dns.validate to off if you do not want checks.",
		Severity: service.Warning,
		Since:    p.since,
	}
	if *t.mode.Load() == config.ValidateOn {
		bad.Title = "Signed names outside the household cannot be resolved"
		bad.Text += " With dns.validate on, nothing can be believed without them."
		bad.Severity = service.Failure
	}
	return append(out, bad)
}

// fact is what people may want to know.
func (t *trust) fact() service.Fact {
	st := t.validator.Load().Stats()
	return service.Fact{Name: "checked by DNSSEC", Value: fmt.Sprintf("%d signed, %d unsigned, %d refused", st.Secure, st.Insecure, st.Bogus)}
}

// trusted reads the trust anchors of the document.
func (b *builder) trusted(c Config) {
	for i, s := range c.DNS.Anchors {
		ds, err := validate.ParseAnchor(s)
		if err != nil {
			b.fail(fmt.Sprintf("dns.anchors.%d", i), "%v; write it as a DS record: example. DS 12345 13 2 0123…", err)
			continue
		}
		ds.Hdr.Name = dns.CanonicalName(ds.Hdr.Name)
		b.table.anchors = append(b.table.anchors, ds)
	}
}
