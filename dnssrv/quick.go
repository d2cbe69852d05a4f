package dnssrv

import (
	"bytes"
	"context"
	"encoding/base64"
	"net/http"
	"net/netip"
	"time"

	"pic/internal/h2"
)

// Wants reports whether path is that of DNS over HTTPS, or below it.
func (doh) Wants(path []byte) bool {
	rest, ok := bytes.CutPrefix(path, []byte(dohPath))
	return ok && (len(rest) == 0 || rest[0] == '/')
}

// Sessions answer queries over HTTP/2 without net/http. What is no query is left to
// that, and so are the words in which it is refused.
func (s doh) Sessions() h2.Handler { return s }

// Open begins a session.
func (s doh) Open(from, to netip.Addr) h2.Session {
	return &dohSession{
		doh: s, seen: sightings.Get().(*sighting),
		client: client{from: from.Unmap(), to: to.Unmap(), proto: overHTTPS},
	}
}

// A dohSession answers the queries of one connection.
type dohSession struct {
	doh
	client client
	seen   *sighting
	query  []byte // of a GET

	// What the host says of the client is found out when that or the table changes.
	table *table
	host  []byte
	says  string
}

func (d *dohSession) Close() { sightings.Put(d.seen) }

// Ask answers what is kept or at hand at once.
func (d *dohSession) Ask(r *h2.Request) (now h2.Reply, later func() h2.Reply, ok bool) {
	run := d.running.Load()
	if !d.doh.table.Load().overHTTPS() || run == nil {
		return now, nil, false
	}
	b, ok := d.read(r)
	if !ok {
		return now, nil, false
	}
	c := d.client
	if c.id, ok = d.named(r); !ok {
		return now, nil, false
	}
	d.count.over[overHTTPS].Add(1)
	if d.admit(c.from, time.Now()) != pass {
		return now, d.patiently(*run, bytes.Clone(b), c), true
	}
	c.seen = d.seen
	out, rest := d.answer(*run, b, c)
	switch {
	case rest != nil:
		return now, d.behind(c, rest), true
	case out == nil:
		return replied(nil, errDoHNone), nil, true
	}
	return replied(out, nil), nil, true
}

// behind answers what takes others. That it is a function of its own keeps c out
// of the memory that is collected, where all is at hand; likewise patiently.
func (d *dohSession) behind(c client, rest func() []byte) func() h2.Reply {
	return func() h2.Reply {
		out, err := d.fetched(context.Background(), c, rest)
		return replied(out, err)
	}
}

// patiently answers b when c may ask once more.
func (d *dohSession) patiently(run context.Context, b []byte, c client) func() h2.Reply {
	return func() h2.Reply {
		if err := d.hold(context.Background(), c.from); err != nil {
			return replied(nil, err)
		}
		c.seen = new(sighting)
		out, err := d.fully(context.Background(), run, b, c)
		return replied(out, err)
	}
}

func replied(out []byte, err error) h2.Reply {
	if err != nil {
		return h2.Reply{Else: func(w http.ResponseWriter, _ *http.Request) { decline(w, err) }}
	}
	r := h2.Reply{Type: dohType, Cache: neverKept, Body: out}
	if ttl, ok := leastTTL(out); ok && ttl > 0 {
		r.Cache, r.Age = keptFor, int64(ttl)
	}
	return r
}

// read takes the query out of r.
func (d *dohSession) read(r *h2.Request) ([]byte, bool) {
	if a := r.Accept; a != nil && string(a) != dohType && string(a) != "*/*" && !accepts([]string{string(a)}) {
		return nil, false
	}
	switch string(r.Method) {
	case http.MethodPost:
		ok := string(r.ContentType) == dohType || isQuery(string(r.ContentType))
		return r.Body, ok && len(r.Body) <= maxQuery
	case http.MethodGet:
		return d.inQuery(r.Query)
	}
	return nil, false
}

// inQuery reads the parameter dns.
func (d *dohSession) inQuery(raw []byte) ([]byte, bool) {
	for len(raw) > 0 {
		var pair []byte
		pair, raw, _ = bytes.Cut(raw, []byte("&"))
		value, ok := bytes.CutPrefix(pair, []byte("dns="))
		if !ok {
			continue
		}
		n := base64.RawURLEncoding.DecodedLen(len(value))
		if n == 0 || n > maxQuery || bytes.ContainsAny(value, "\r\n") {
			return nil, false
		}
		if cap(d.query) < n {
			d.query = make([]byte, max(n, minSize))
		}
		n, err := base64.RawURLEncoding.Decode(d.query[:cap(d.query)], value)
		return d.query[:n], err == nil
	}
	return nil, false
}

// named returns what the client calls itself, in the path or the host.
func (d *dohSession) named(r *h2.Request) (id string, ok bool) {
	if len(r.Path) > len(dohPath) {
		id, ok = idOf(string(r.Path))
		if id != "" || !ok {
			return id, ok
		}
	}
	if t := d.doh.table.Load(); t != d.table || !bytes.Equal(r.Authority, d.host) {
		d.table, d.host = t, append(d.host[:0], r.Authority...)
		d.says = t.says(bareHost(string(r.Authority)))
	}
	return d.says, true
}
