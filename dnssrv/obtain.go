package dnssrv

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"time"

	"github.com/miekg/dns"

	"pic/core/config"
)

// A care is what is done about answers besides passing them on.
type care struct {
	treatment
	stale  time.Duration // how long answers are told after their time
	itself func(netip.AddrPort) bool
}

// A treatment is the part of a care that kept answers depend on.
type treatment struct {
	rebind   bool
	private  []name         // domains that may have private addresses
	networks []netip.Prefix // of the household, besides those that are always private
	dns64    netip.Prefix
	validate config.Validation
}

// obtain finds the answer to q by the upstreams of g.
func (f *forwarder) obtain(ctx context.Context, r *routing, g *group, q question) *answer {
	a := f.checked(ctx, r, g, q)
	if q.raw {
		return a
	}
	if a.further != "" {
		a = f.onward(ctx, q, a)
	}
	if r.care.dns64.IsValid() && q.typ == dns.TypeAAAA && !(q.do && q.cd) {
		a = f.translated(ctx, r.care.dns64, q, a)
	}
	return a
}

// checked is the answer of the upstreams of g, which somebody has judged if that
// is wanted.
func (f *forwarder) checked(ctx context.Context, r *routing, g *group, q question) *answer {
	m := manner{leaves: r.leaves(g), guard: r.guard(g, q)}
	if f.judge == nil || q.cd || q.raw || !f.judges(ctx, g) {
		return f.find(ctx, g, q, m)
	}
	raw := question{name: q.name, typ: q.typ, do: true, cd: true, raw: true}
	a, age := f.through(ctx, raw)
	if a.failed {
		b := *a
		return &b
	}
	// What is told after its time is judged like all else: it may never have
	// been believed.
	f.relieve()
	late := a.ede == edeStale || a.ede == edeStaleNX
	said := a.reply(age)
	full, err := said.unpack(raw)
	if err != nil {
		return failed(edeInvalid)
	}
	v := f.judge(ctx, q, full)
	if late && v.bogus { // signatures have their time too
		b := failed(edeUnreachable)
		b.unasked = true
		return b
	}
	if v.bogus {
		b := failed(v.ede)
		b.bogus = true
		return b
	}
	f.relieve()
	b, err := m.digest(q, full)
	if err != nil {
		return failed(edeInvalid)
	}
	b.from = a.from
	if late {
		b.life, b.ede = 0, a.ede
		return b
	}
	b.secure = v.secure && b.ede == nil
	if b.ede == nil {
		b.ede = v.ede
	}
	return b
}

type hopsKey struct{}

// onward asks those who know about the name that an alias leads to.
func (f *forwarder) onward(ctx context.Context, q question, a *answer) *answer {
	hops, _ := ctx.Value(hopsKey{}).(int)
	if hops == maxHops {
		return failed(edeInvalid)
	}
	next := question{name: a.further, typ: q.typ, do: q.do, cd: q.cd}
	b, age := f.through(context.WithValue(within(ctx), hopsKey{}, hops+1), next)
	if b.failed {
		return b
	}
	first, second := a.reply(0), b.reply(age)
	one, err1 := first.unpack(q)
	two, err2 := second.unpack(next)
	if errors.Join(err1, err2) != nil {
		return failed(edeInvalid)
	}
	out := &answer{rcode: b.rcode, ede: b.ede, secure: a.secure && b.secure, from: b.from}
	out.aliases = append(append(out.aliases, a.aliases...), b.aliases...)
	out.life = max(0, min(a.life, b.life-age))
	if err := out.pack(q, append(one.Answer, two.Answer...), two.Ns); err != nil {
		return failed(edeInvalid)
	}
	return out
}

var errNoTunnel = errors.New("the VPN is down")

// tunnel connects through the VPN, or not at all.
func (f *forwarder) tunnel(ctx context.Context, network, address string) (net.Conn, error) {
	if f.dial == nil {
		return nil, errNoTunnel
	}
	return f.dial(ctx, network, address)
}
