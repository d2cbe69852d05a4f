package davsrv

import (
	"encoding/xml"
	"errors"
	"fmt"
	"net/http"
	"strconv"
)

// A refusal is an error that the client is told: an HTTP status, a sentence,
// and where the protocol names one a precondition (RFC 4918 §16).
type refusal struct {
	status int
	cond   xml.Name // none where Local is empty
	href   string   // inside the precondition, for no-uid-conflict and locks
	text   string
}

func (e *refusal) Error() string {
	if e.cond.Local != "" {
		return fmt.Sprintf("%d %s: %s", e.status, e.cond.Local, e.text)
	}
	return fmt.Sprintf("%d: %s", e.status, e.text)
}

// HTTP returns the status of the refusal and its sentence, for others who answer
// by HTTP.
func (e *refusal) HTTP() (status int, text string) { return e.status, e.text }

func refuse(status int, text string) error {
	return &refusal{status: status, text: text}
}

func violates(status int, cond xml.Name, text string) error {
	return &refusal{status: status, cond: cond, text: text}
}

// asRefusal turns any error into what the client may know of it. Errors that
// are not refusals are the server's own trouble and stay private.
func asRefusal(err error) (*refusal, bool) {
	if r, ok := errors.AsType[*refusal](err); ok {
		return r, true
	}
	return &refusal{status: http.StatusInternalServerError, text: "The cell could not do this; its log says why."}, false
}

// write answers with the refusal. Preconditions go out as a DAV:error, the rest
// as plain text.
func (e *refusal) write(w http.ResponseWriter) {
	h := w.Header()
	h.Del("Content-Length")
	if e.cond.Local == "" {
		h.Set("Content-Type", "text/plain; charset=utf-8")
		h.Set("X-Content-Type-Options", "nosniff")
		w.WriteHeader(e.status)
		fmt.Fprintln(w, e.text)
		return
	}
	x := newXMLWriter()
	defer x.free()
	x.start()
	x.openRoot(dav("error"))
	if e.href == "" {
		x.empty(e.cond)
	} else {
		x.open(e.cond)
		x.href(e.href)
		x.close(e.cond)
	}
	x.element(xml.Name{Space: nsPIC, Local: "message"}, e.text)
	x.close(dav("error"))
	h.Set("Content-Type", `application/xml; charset="utf-8"`)
	h.Set("Content-Length", strconv.Itoa(x.buf.Len()))
	w.WriteHeader(e.status)
	x.buf.WriteTo(w)
}

// statusLine is the content of a DAV:status element.
func statusLine(code int) string {
	text := http.StatusText(code)
	if text == "" {
		text = "Status"
	}
	return "HTTP/1.1 " + strconv.Itoa(code) + " " + text
}
