// Package h2 answers small requests over HTTP/2 at little cost.
//
// net/http spends some 60 µs on a request over HTTP/2, most of it on goroutines
// that hand frames to each other, and on memory. A question to a name server is
// worth a twentieth of that. So a connection whose first request is such a
// question ([Begin] finds out) is served here: one goroutine reads, answers what
// is at hand in place, and writes the answers to all that it has read in one
// piece. What takes longer has a goroutine of its own.
//
// What it promises:
//
//   - HTTP/2 by RFC 9113 for a server, header compression by RFC 7541. Requests
//     have a body of 16 KiB at most. No server push, no CONNECT, no trailers in
//     answers; priorities are ignored.
//   - What a [Session] does not answer is answered by an [http.Handler] that gets
//     the whole request, as if it came by net/http, except that its answer goes out
//     when it is complete. It is meant for errors, and cut off at 1 MiB.
//   - A request that does not belong here ([Elsewhere]) ends the connection by
//     REFUSED_STREAM and GOAWAY: clients repeat it over another connection (RFC
//     9113 §8.7), which [Begin] then leaves to net/http.
//   - A request that is no good is refused by RST_STREAM, a connection that is no
//     good by GOAWAY with the reason, and closed.
//   - Memory and work of a connection are bounded: frames of 16 KiB, header blocks of
//     32 KiB in sixteen frames, lists of 16 KiB, 200 requests under way, those
//     that the client has given up included, 512 KiB of their fields, 64 KiB of
//     bodies, and 256 KiB of answers that the client does not take. Frames that make
//     work and ask for nothing (resets, pings, settings, empty frames) are paid for
//     by requests that are answered.
//   - A request must have come after ten seconds, a client that takes nothing in for
//     two minutes or asks for nothing as long is left. [Conn.Shutdown] lets what is
//     under way end.
//   - The client can crash nothing: goroutines that serve recover.
//
// A connection at rest takes some ten kilobytes; an answer at hand makes no memory.
package h2

import (
	"net/http"
	"net/netip"
)

// A Request is a whole request. It is good until [Session.Ask] returns.
type Request struct {
	Method      []byte
	Authority   []byte // host, perhaps with a port
	Path        []byte // as it came, without the query
	Query       []byte
	ContentType []byte // nil: not given
	Accept      []byte // nil: not given
	Body        []byte
}

// A Reply is an answer of status 200.
type Reply struct {
	Type  string // of the content
	Cache string // Cache-Control, or empty
	Age   int64  // seconds that the client may keep it, written behind Cache; less than 1: not written
	Body  []byte
	// Else answers instead, where it is not nil, as a handler of net/http does.
	Else func(http.ResponseWriter, *http.Request)
}

// A Session answers the requests of one connection.
type Session interface {
	// Ask answers r at once, or by what later returns. The reply is good until the
	// next Ask. Where ok is false it does neither, and has done nothing. It is
	// called by one goroutine at a time and must not block.
	Ask(r *Request) (now Reply, later func() Reply, ok bool)
	// Close is called once, after the last Ask.
	Close()
}

// A Handler has a session for each connection.
type Handler interface {
	// Open begins a session with the client at from, which came to the address to.
	Open(from, to netip.Addr) Session
}

// A Quick handler of net/http has a way to answer small requests without it. It
// says by its path whether a request is one.
type Quick interface {
	http.Handler
	Sessions() Handler
	// Wants reports whether the handler answers requests for the path.
	Wants(path []byte) bool
}

// A Way is how a request is answered.
type Way int

const (
	Elsewhere Way = iota // over another connection
	Whole                // by the http.Handler
	Direct               // by the session
)

// A Gate decides how requests are answered.
type Gate interface {
	// Way is asked about each request, by one goroutine at a time. more is the value
	// of a header Alt-Svc for a direct answer, or empty.
	Way(authority, path []byte) (way Way, more string)
	// Enter and Leave enclose what a session answers later. Where Enter is false,
	// the http.Handler answers instead.
	Enter() bool
	Leave()
}
