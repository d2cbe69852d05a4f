package davsrv

import (
	"encoding/xml"
	"net/http"
)

// flushAt is how much of an answer is gathered before it is sent on.
const flushAt = 32 << 10

// A multistatus streams a 207 answer (RFC 4918 §13): memory stays bounded no
// matter how many responses there are. The header goes out with the first.
type multistatus struct {
	w       http.ResponseWriter
	x       *xmlWriter
	root    xml.Name
	started bool  // the root element is open
	sent    bool  // the header went out
	err     error // of the first failed write; everything after is dropped
}

// newMultistatus starts an answer whose root element is DAV:multistatus.
func newMultistatus(w http.ResponseWriter) *multistatus {
	return &multistatus{w: w, x: newXMLWriter(), root: dav("multistatus")}
}

func (m *multistatus) begin() {
	if m.started {
		return
	}
	m.started = true
	m.x.start()
	m.x.openRoot(m.root)
}

func (m *multistatus) flush(limit int) {
	if m.x.buf.Len() < limit {
		return
	}
	m.header()
	if m.err == nil {
		_, m.err = m.w.Write(m.x.buf.Bytes())
	}
	m.x.buf.Reset()
}

func (m *multistatus) header() {
	if m.sent {
		return
	}
	m.sent = true
	h := m.w.Header()
	h.Set("Content-Type", `application/xml; charset="utf-8"`)
	h.Set("Cache-Control", "no-store")
	m.w.WriteHeader(http.StatusMultiStatus)
}

// close ends the answer. The error is that of writing to the client.
func (m *multistatus) close() error {
	m.begin()
	m.x.close(m.root)
	m.flush(0)
	m.x.free()
	return m.err
}

// finish ends the answer after err. Before anything was sent the error can
// still become the answer; after that only a broken connection tells the client.
func (m *multistatus) finish(err error) error {
	switch {
	case err == nil:
		return m.close()
	case m.sent:
		err = &brokenAnswer{err}
	}
	m.x.free()
	return err
}

// A brokenAnswer is an error after half of the answer had been sent.
type brokenAnswer struct{ err error }

func (e *brokenAnswer) Error() string { return "in the middle of an answer: " + e.err.Error() }
func (e *brokenAnswer) Unwrap() error { return e.err }

// open begins the response of one resource; done ends it.
func (m *multistatus) open(href string) *xmlWriter {
	m.begin()
	m.x.open(dav("response"))
	m.x.href(href)
	return m.x
}

func (m *multistatus) done() {
	m.x.close(dav("response"))
	m.flush(flushAt)
}

// status answers for one resource with nothing but a status and, where cond has
// a name, a precondition.
func (m *multistatus) status(href string, code int, cond xml.Name) {
	x := m.open(href)
	x.element(dav("status"), statusLine(code))
	if cond.Local != "" {
		x.open(dav("error"))
		x.empty(cond)
		x.close(dav("error"))
	}
	m.done()
}

// syncToken ends a sync-collection answer (RFC 6578 §6.4).
func (m *multistatus) syncToken(token string) {
	m.begin()
	m.x.element(dav("sync-token"), token)
}

// propstat writes names as empty elements under one status; nothing for none.
func propstat(x *xmlWriter, names []xml.Name, code int, cond xml.Name) {
	if len(names) == 0 {
		return
	}
	x.open(dav("propstat"))
	x.open(dav("prop"))
	for _, n := range names {
		x.empty(n)
	}
	x.close(dav("prop"))
	x.element(dav("status"), statusLine(code))
	if cond.Local != "" {
		x.open(dav("error"))
		x.empty(cond)
		x.close(dav("error"))
	}
	x.close(dav("propstat"))
}
