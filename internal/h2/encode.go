package h2

import (
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"
)

// An encoder writes the heads of answers. In the client's table it keeps only what
// all direct answers have in common: their type, and a header Alt-Svc.
type encoder struct {
	off    bool // the client has little room
	resize bool // and has yet to be told that none of it is used
	kept   int
	kind   string // kept first
	alt    string // and second
	date   [29]byte
	second int64
}

// limit notes what room the client has.
func (e *encoder) limit(n uint32) {
	if n < tableSize && !e.off {
		e.off, e.resize = true, true
	}
}

// begin begins an answer to a stream and returns where it does.
func (e *encoder) begin(b []byte, id uint32) (out []byte, at int) {
	at = len(b)
	b = appendHead(b, 0, typeHeaders, flagEndHeaders, id)
	if e.resize {
		e.resize, e.kept = false, 0
		b = append(b, 0x20)
	}
	return b, at
}

// end ends the head that began at at.
func (e *encoder) end(b []byte, at int) []byte {
	n := len(b) - at - headLen
	b[at], b[at+1], b[at+2] = byte(n>>16), byte(n>>8), byte(n)
	return b
}

// append appends the head of the answer r.
func (e *encoder) append(b []byte, id uint32, r *Reply, alt string, now time.Time) []byte {
	b, at := e.begin(b, id)
	b = append(b, 0x80|at200)
	// Once kept, type and Alt-Svc are at the beginning of the table, the last one
	// first.
	switch {
	case e.kept > 0 && r.Type == e.kind:
		b = append(b, byte(0x80|len(static)-1+e.kept))
	case e.kept == 0 && !e.off:
		e.kept, e.kind = 1, r.Type
		b = appendText(append(b, 0x40|atContentType), r.Type)
	default:
		b = appendText(appendName(b, atContentType), r.Type)
	}
	switch {
	case alt == "":
	case e.kept == 2 && alt == e.alt:
		b = append(b, byte(0x80|len(static)))
	case e.kept == 1:
		e.kept, e.alt = 2, alt
		b = appendText(appendText(append(b, 0x40), "alt-svc"), alt)
	default:
		b = appendText(appendText(append(b, 0), "alt-svc"), alt)
	}
	b = appendNumber(appendName(b, atContentLength), "", int64(len(r.Body)))
	if r.Age > 0 {
		b = appendNumber(appendName(b, atCacheControl), r.Cache, r.Age)
	} else if r.Cache != "" {
		b = appendText(appendName(b, atCacheControl), r.Cache)
	}
	b = e.dated(b, now)
	return e.end(b, at)
}

func (e *encoder) dated(b []byte, now time.Time) []byte {
	if s := now.Unix(); s != e.second {
		e.second = s
		now.UTC().AppendFormat(e.date[:0], http.TimeFormat)
	}
	b = append(appendName(b, atDate), byte(len(e.date)))
	return append(b, e.date[:]...)
}

// appendAll appends the head of what a handler has written.
func (e *encoder) appendAll(b []byte, id uint32, w *response, now time.Time) []byte {
	b, at := e.begin(b, id)
	b = appendText(appendName(b, at200), strconv.Itoa(w.status))
	names := make([]string, 0, len(w.header))
	for name := range w.header {
		names = append(names, name)
	}
	slices.Sort(names)
	for _, name := range names {
		for _, v := range w.header[name] {
			b = appendText(appendText(append(b, 0), strings.ToLower(name)), v)
		}
	}
	b = e.dated(b, now)
	return e.end(b, at)
}

// appendName begins a field whose name is in the static table, and which is not
// to be kept.
func appendName(b []byte, i int) []byte {
	if i < 15 {
		return append(b, byte(i))
	}
	return append(b, 15, byte(i-15))
}

func appendText(b []byte, s string) []byte {
	return append(appendLen(b, len(s)), s...)
}

// appendNumber appends a text that ends with a number.
func appendNumber(b []byte, s string, n int64) []byte {
	var room [20]byte
	digits := strconv.AppendInt(room[:0], n, 10)
	return append(append(appendLen(b, len(s)+len(digits)), s...), digits...)
}

// appendLen appends the length of a text (RFC 7541 §5.1).
func appendLen(b []byte, n int) []byte {
	if n < 127 {
		return append(b, byte(n))
	}
	b = append(b, 127)
	for n -= 127; n >= 128; n >>= 7 {
		b = append(b, byte(n)|0x80)
	}
	return append(b, byte(n))
}

// maxAnswer is what a handler may write.
const maxAnswer = 1 << 20

// maxHeads is the room for the fields of its answer; more would need CONTINUATION.
const maxHeads = maxFrame - 256

// A response gathers what a handler writes.
type response struct {
	status int
	head   bool // no body is wanted
	sealed bool // the header can no longer change
	live   http.Header
	header http.Header // as it was when it was sealed
	size   int
	body   []byte
}

func newResponse(head bool) *response { return &response{head: head, live: http.Header{}} }

func (w *response) Header() http.Header { return w.live }

func (w *response) WriteHeader(status int) {
	if w.sealed || status < 200 {
		return
	}
	w.status, w.sealed, w.header = status, true, w.live.Clone()
}

func (w *response) Write(b []byte) (int, error) {
	w.WriteHeader(http.StatusOK)
	if w.status == http.StatusNoContent || w.status == http.StatusNotModified {
		return 0, http.ErrBodyNotAllowed
	}
	w.size += len(b)
	if len(w.body)+len(b) > maxAnswer {
		panic(http.ErrAbortHandler)
	}
	w.body = append(w.body, b...)
	return len(b), nil
}

// Flush is there for handlers that look for it. Nothing is sent yet.
func (w *response) Flush() { w.WriteHeader(http.StatusOK) }

// finish adds what net/http would.
func (w *response) finish() {
	w.WriteHeader(http.StatusOK)
	for _, hop := range []string{"Connection", "Proxy-Connection", "Transfer-Encoding", "Upgrade", "Keep-Alive", "Date"} {
		delete(w.header, hop)
	}
	n := 0
	for name, values := range w.header {
		for i, v := range values {
			values[i] = strings.NewReplacer("\r", " ", "\n", " ").Replace(v)
			n += len(name) + len(v) + 8
		}
		if strings.HasPrefix(name, http.TrailerPrefix) || !token([]byte(name)) {
			delete(w.header, name)
		}
	}
	if n > maxHeads {
		panic(http.ErrAbortHandler)
	}
	if w.status == http.StatusNoContent || w.status == http.StatusNotModified {
		return
	}
	if _, ok := w.header["Content-Type"]; !ok && len(w.body) > 0 {
		w.header.Set("Content-Type", http.DetectContentType(w.body))
	}
	if _, ok := w.header["Content-Length"]; !ok && (!w.head || w.size > 0) {
		w.header.Set("Content-Length", strconv.Itoa(w.size))
	}
}
