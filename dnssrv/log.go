package dnssrv

import (
	"context"
	"encoding/binary"
	"net/netip"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/miekg/dns"

	"pic/core/config"
	"pic/core/service"
	"pic/dnssrv/policy"
	"pic/dnssrv/querylog"
)

func newQueries(o Options) *querylog.Log {
	dir := o.Dir
	if dir != "" {
		dir = filepath.Join(dir, "querylog")
	}
	return querylog.New(querylog.Options{Log: o.Log, Dir: dir})
}

func (c *Config) queries() querylog.Config {
	l := c.DNS.Log
	return querylog.Config{Enabled: config.On(l.Enabled), Keep: time.Duration(l.Keep), MaxSize: l.MaxSize, Anonymise: l.Anonymise}
}

// note tells the query log what a client was told that asked at start. A
// goroutine that answers much has a ring; nil: none.
func (s *Server) note(ring *querylog.Ring, c client, v *policy.View, told *querylog.Told, start time.Time, took time.Duration) {
	e := querylog.Entry{
		Time: start.UnixMicro(), Client: c.from, Device: v.Client(), Told: told, Took: took, Proto: querylog.Proto(c.proto), Unlogged: !v.Logged(),
	}
	if ring != nil {
		ring.Add(&e)
		return
	}
	s.diary.Add(&e)
}

// account is what the log has of r, which went out as the message out. It is nil
// where nobody knows what was asked.
func account(q *query, r *reply, out []byte) *querylog.Told {
	if q.name == "" || len(q.asked) == 0 {
		return nil
	}
	t := &querylog.Told{
		Name: bare(q.name), Type: q.typ, Rcode: uint16(r.rcode), Source: sourceOf(r), Verdict: verdictOf(r), Secure: r.secure,
		Answer: inShort(out, headerLen+len(q.raw)),
	}
	t.Upstream = r.upstream
	if r.ede != nil {
		t.Reason = inWords(r.ede)
	}
	if d := r.judged; d != nil {
		t.List, t.Rule = d.List, d.Rule
	}
	return t
}

func sourceOf(r *reply) querylog.Source {
	switch {
	case r.via == viaBlocked || r.via == viaRewritten:
		return querylog.Policy
	case r.stale:
		return querylog.Stale
	case r.via == viaCache:
		return querylog.Cache
	case r.via == viaUpstream:
		return querylog.Upstream
	}
	return querylog.Zone
}

func verdictOf(r *reply) querylog.Verdict {
	switch d := r.judged; {
	case d != nil && d.Action == policy.Block:
		return querylog.Blocked
	case d != nil && d.Action == policy.Rewrite:
		return querylog.Rewritten
	case r.rcode == dns.RcodeRefused:
		return querylog.Refused
	case r.rcode != dns.RcodeSuccess && r.rcode != dns.RcodeNameError:
		return querylog.Failed
	case d != nil && d.Action == policy.Allow:
		return querylog.Allowed
	}
	return querylog.Answered
}

// bare is n in presentation format without the last dot.
func bare(n name) string {
	s := n.String()
	if len(s) > 1 {
		s = strings.TrimSuffix(s, ".")
	}
	return s
}

// inWords says an extended error in words.
func inWords(e *ede) string {
	return strings.TrimSuffix(dns.ExtendedErrorCodeToString[e.code]+": "+e.text, ": ")
}

// inShort tells the first records of a message, which begin at off, in short.
func inShort(b []byte, off int) string {
	const most = 4
	n := int(binary.BigEndian.Uint16(b[6:]))
	var s strings.Builder
	for i := range min(n, most) {
		rr, ok := skim(b, off)
		if !ok {
			break
		}
		if i > 0 {
			s.WriteString(", ")
		}
		data := b[rr.ttlAt+6 : rr.end]
		switch rr.typ {
		case dns.TypeA, dns.TypeAAAA:
			if a, ok := netip.AddrFromSlice(data); ok {
				s.WriteString(a.String())
			}
		case dns.TypeCNAME, dns.TypePTR, dns.TypeNS, dns.TypeDNAME:
			target, _, err := dns.UnpackDomainName(b, rr.ttlAt+6)
			if err == nil {
				s.WriteString(typeName(rr.typ) + " " + target[:min(len(target), 100)])
			}
		default:
			s.WriteString(typeName(rr.typ))
		}
		off = rr.end
	}
	if n > most {
		s.WriteString(" and " + strconv.Itoa(n-most) + " more")
	}
	return s.String()
}

// A QueryFilter says which queries are wanted; what is zero does not matter.
type QueryFilter struct {
	Client string // an address, a network, or the name of a device
	querylog.Query
}

// Queries searches the query log. Its errors are those of ctx and of the disk.
func (s *Server) Queries(ctx context.Context, f QueryFilter) (querylog.Page, error) {
	if f.Client != "" {
		f.Query.Clients, f.Query.Device = s.clients(f.Client)
	}
	p, err := s.diary.Search(ctx, f.Query)
	if err != nil {
		return p, err
	}
	names := s.devices()
	for i := range p.Records {
		r := &p.Records[i]
		if r.Device == "" && r.Client.IsSingleIP() {
			r.Device = names[r.Client.Addr()]
		}
	}
	return p, nil
}

// clients finds out whom a person means.
func (s *Server) clients(text string) (nets []netip.Prefix, device string) {
	if a, err := netip.ParseAddr(text); err == nil {
		a = a.Unmap().WithZone("")
		return []netip.Prefix{netip.PrefixFrom(a, a.BitLen())}, ""
	}
	if p, err := netip.ParsePrefix(text); err == nil {
		return []netip.Prefix{p.Masked()}, ""
	}
	for a, name := range s.devices() {
		if strings.EqualFold(name, text) {
			nets = append(nets, netip.PrefixFrom(a, a.BitLen()))
		}
	}
	return nets, text
}

// devices are the names of the devices of the VPN and the LAN by address.
func (s *Server) devices() map[netip.Addr]string {
	out := map[netip.Addr]string{}
	label := func(name string) string {
		l, _, _ := strings.Cut(name, ".")
		return l
	}
	if snap := s.snapshot(); snap != nil {
		for _, h := range snap.Each() {
			for _, a := range h.Addrs {
				out[a.Unmap()] = label(h.Name)
			}
		}
	}
	for _, h := range s.table.Load().conf.Hosts {
		for _, a := range h.Addrs {
			out[a.Unmap()] = label(h.Name)
		}
	}
	return out
}

// Tail tells of queries as they come; see [querylog.Log.Tail].
func (s *Server) Tail(ctx context.Context) <-chan querylog.Record { return s.diary.Tail(ctx) }

// Devices returns the names of devices by address, as far as they are known: of
// all that were found out, and of clients of the document that are at.
func (s *Server) Devices(at ...netip.Addr) map[netip.Addr]string {
	out := s.devices()
	set := s.filter.Current()
	for _, a := range at {
		if a = a.Unmap(); out[a] == "" {
			if name := set.View(a, "").Client(); name != "" {
				out[a] = name
			}
		}
	}
	for a := range out {
		if name := set.View(a, "").Client(); name != "" {
			out[a] = name
		}
	}
	return out
}

// Asked counts what was asked in the last back, at most seven days.
func (s *Server) Asked(back time.Duration) querylog.Stats { return s.diary.Stats(back) }

// logProblems says whether the query log is written.
func (s *Server) logProblems() []service.Problem {
	since, err := s.diary.Fault()
	if err == nil || !config.On(s.table.Load().conf.DNS.Log.Enabled) {
		return nil
	}
	return []service.Problem{{
		Code:     "dns/log-not-written",
		Title:    "The query log is not written",
		Text:     "Names are resolved as before, but not noted: " + err.Error(),
		Fix:      "Make room on the disk, or make dns.log.maxSize smaller.",
		Severity: service.Warning,
		Since:    since,
	}}
}
