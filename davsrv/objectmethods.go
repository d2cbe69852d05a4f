package davsrv

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strconv"
	"strings"
)

// objectName is the name of the object that the request's path names.
func (q *request) objectName(t target) (string, error) {
	if len(t.rest) != 2 || t.slash {
		return "", refuse(http.StatusMethodNotAllowed, "Objects live directly in a calendar or an address book.")
	}
	return t.rest[1], nil
}

// getObject answers GET and HEAD of an event or a contact with the bytes that
// were put.
func (q *request) getObject() error {
	r, err := q.lookup(q.at)
	if err != nil {
		return err
	}
	if !r.is(kindObject) {
		return q.notAllowed()
	}
	h, st := q.w.Header(), r.state()
	h.Set("ETag", st.etag)
	h.Set("Last-Modified", st.modified.UTC().Format(http.TimeFormat))
	h.Set("Cache-Control", "private, no-cache")
	if err := checkConditions(http.Header{"If-Match": q.r.Header.Values("If-Match")}, st); err != nil {
		return err
	}
	if notModified(q.r.Header, st) {
		q.w.WriteHeader(http.StatusNotModified)
		return nil
	}
	h.Set("Content-Type", r.contentType())
	h.Set("Content-Length", strconv.Itoa(len(r.object.raw)))
	protect(h)
	q.w.WriteHeader(http.StatusOK)
	if q.r.Method != http.MethodHead {
		_, err = q.w.Write(r.object.raw)
	}
	return err
}

// protect keeps browsers from running what users stored.
func protect(h http.Header) {
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("Content-Security-Policy", "sandbox; default-src 'none'")
}

// readObjectBody reads an object of at most maxObject bytes.
func (q *request) readObjectBody(s shelf) ([]byte, error) {
	large := cal("max-resource-size")
	if s == shelfContacts {
		large = card("max-resource-size")
	}
	tooLarge := violates(http.StatusRequestEntityTooLarge, large, fmt.Sprintf("An object may have %d bytes at most.", maxObject))
	h := q.r.Header
	if e := h.Get("Content-Encoding"); e != "" && e != "identity" {
		return nil, refuse(http.StatusUnsupportedMediaType, "The body must not be compressed.")
	}
	if h.Get("Content-Range") != "" {
		return nil, refuse(http.StatusBadRequest, "An object cannot be put in parts.")
	}
	if t := strings.ToLower(h.Get("Content-Type")); strings.Contains(t, "json") || strings.Contains(t, "+xml") {
		supported := cal("supported-calendar-data")
		if s == shelfContacts {
			supported = card("supported-address-data")
		}
		return nil, violates(http.StatusForbidden, supported, "Objects are stored as text/calendar and text/vcard only.")
	}
	if q.r.ContentLength > maxObject {
		return nil, tooLarge
	}
	b, err := io.ReadAll(io.LimitReader(q.body(), maxObject+1))
	if err != nil {
		return nil, bodyTrouble(err)
	}
	if len(b) > maxObject {
		return nil, tooLarge
	}
	return b, nil
}

// bodyTrouble is an error of reading what the client sends.
func bodyTrouble(err error) error {
	var maxed *http.MaxBytesError
	if errors.As(err, &maxed) {
		return refuse(http.StatusRequestEntityTooLarge, "The body is too large.")
	}
	return refuse(http.StatusBadRequest, "The body ended early.")
}

// putObject stores an event or a contact (RFC 4791 §5.3.2, RFC 6352 §6.3.2).
func (q *request) putObject() error {
	name, err := q.objectName(q.at)
	if err != nil {
		return err
	}
	c, err := q.collectionAt(q.at)
	if errors.Is(err, errNoCollection) {
		return refuse(http.StatusConflict, "There is no such collection; make it first.")
	}
	if err != nil {
		return err
	}
	raw, err := q.readObjectBody(c.Shelf)
	if err != nil {
		return err
	}
	var d *draft
	if c.Shelf == shelfCalendar {
		d, err = readEvent(raw, c.Comps, q.s.expand)
	} else {
		d, err = readContact(raw)
	}
	if err != nil {
		return err
	}
	o, created, err := q.s.store.put(q.r.Context(), c, name, d, q.objectConditions)
	if err != nil {
		return err
	}
	h := q.w.Header()
	h.Set("ETag", o.sum.String())
	h.Set("Last-Modified", o.modified.UTC().Format(http.TimeFormat))
	q.w.WriteHeader(statusFor(created))
	return nil
}

func statusFor(created bool) int {
	if created {
		return http.StatusCreated
	}
	return http.StatusNoContent
}

// objectConditions checks the request's conditions within the transaction.
func (q *request) objectConditions(o *object) error {
	if o == nil {
		return checkConditions(q.r.Header, resourceState{})
	}
	return checkConditions(q.r.Header, resourceState{true, o.sum.String(), o.modified})
}

// deleteObject answers DELETE of an object, a calendar or an address book.
func (q *request) deleteObject() error {
	if _, ok := shelfIn(q.at.tree); !ok || q.at.owner == "" {
		return q.notAllowed()
	}
	if len(q.at.rest) == 0 {
		return refuse(http.StatusForbidden, "The home of all calendars or address books cannot be deleted.")
	}
	c, err := q.collectionAt(q.at)
	if err != nil {
		return err
	}
	if len(q.at.rest) == 1 {
		if d, err := q.depth(depthInfinity); err != nil || d != depthInfinity {
			return orElse(err, refuse(http.StatusBadRequest, "A collection is deleted with all that is in it."))
		}
		err = q.s.store.remove(q.r.Context(), c, func(*collection) error { return q.unconditional() })
	} else {
		err = q.s.store.delete(q.r.Context(), c.id, q.at.rest[1], q.objectConditions)
	}
	if err != nil {
		return err
	}
	q.w.WriteHeader(http.StatusNoContent)
	return nil
}

func (q *request) copyObject() error { return q.transferObject(copies) }
func (q *request) moveObject() error { return q.transferObject(moves) }

// transferObject answers COPY and MOVE of one object into a collection of the
// same kind.
func (q *request) transferObject(what verb) error {
	if _, ok := shelfIn(q.at.tree); !ok || q.at.owner == "" {
		return q.notAllowed()
	}
	to, err := destination(q.r)
	if err != nil {
		return err
	}
	if to.owner != q.user || to.tree != q.at.tree {
		return refuse(http.StatusForbidden, "An object can only go to another collection of the same kind and owner.")
	}
	overwrite, err := q.overwrite()
	if err != nil {
		return err
	}
	t := transfer{verb: what}
	if t.fromName, err = q.objectName(q.at); err != nil {
		return refuse(http.StatusForbidden, "Whole calendars and address books cannot be copied or moved.")
	}
	if t.toName, err = q.objectName(to); err != nil {
		return err
	}
	if t.from, err = q.collectionAt(q.at); err != nil {
		return err
	}
	if t.to, err = q.collectionAt(to); errors.Is(err, errNoCollection) {
		return refuse(http.StatusConflict, "The destination's collection does not exist.")
	} else if err != nil {
		return err
	}
	if t.from.id == t.to.id && t.fromName == t.toName {
		return refuse(http.StatusForbidden, "Source and destination are the same.")
	}
	t.check = func(src, dst *object) error {
		if dst != nil && overwrite == keep {
			return errPrecondition
		}
		if t.to.Shelf == shelfCalendar && !slices.Contains(t.to.Comps, src.comp) {
			return violates(http.StatusForbidden, cal("supported-calendar-component"), "The destination does not take "+src.comp+" components.")
		}
		return q.objectConditions(src)
	}
	created, err := q.s.store.transfer(q.r.Context(), t)
	if err != nil {
		return err
	}
	q.w.WriteHeader(statusFor(created))
	return nil
}

// An overwriting says what happens to what is at the destination.
type overwriting int

const (
	replace overwriting = iota
	keep
)

// overwrite reads the Overwrite header (RFC 4918 §10.6).
func (q *request) overwrite() (overwriting, error) {
	switch strings.TrimSpace(q.r.Header.Get("Overwrite")) {
	case "", "T", "t":
		return replace, nil
	case "F", "f":
		return keep, nil
	}
	return keep, refuse(http.StatusBadRequest, "The Overwrite header must be T or F.")
}
