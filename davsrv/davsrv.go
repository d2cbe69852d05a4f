// Package davsrv keeps calendars, contacts and files for the cell's users and
// speaks CalDAV, CardDAV and WebDAV with their programs.
//
// # What it promises
//
//   - Objects (events, tasks, contacts) are answered with the bytes that were
//     put; the ETag is of those bytes. One change of an object is one
//     transaction: bytes, index, UID and change log cannot disagree.
//   - A file is seen whole or not at all: written aside, synced, renamed, and
//     the folder synced before the answer. COPY and MOVE over something never
//     remove it before the new is in place.
//   - What was acknowledged is there after kill -9. Conditions (If-Match,
//     If-None-Match, If) are checked in the step that makes the change, so that
//     of many who race exactly one wins.
//   - Nothing of a body is read before the user is known. XML is bounded in
//     bytes, depth, tokens and namespaces, and DOCTYPE is refused, before
//     anything recursive sees it. Recurrence rules are run within bounds; what
//     cannot be evaluated in time is found by every query about time.
//   - Files are reached through os.Root only: neither dots, encoded slashes nor
//     links lead out of a user's folder. Links, pipes and devices are not shown.
//   - Answers are streamed; no slow client holds a transaction open.
//
// # Protocols
//
// WebDAV classes 1, 2, 3 with dead properties and locks, shared and exclusive
// (RFC 4918), for files; extended MKCOL (RFC 5689); principals as far as clients
// look them up (RFC 3744 §4, §5.1, §5.4; RFC 5397); CalDAV calendar-access with
// MKCALENDAR, calendar-query, calendar-multiget (RFC 4791 §5 to §7.9); CardDAV
// with addressbook-query and addressbook-multiget (RFC 6352); sync-collection
// (RFC 6578); discovery by /.well-known/ (RFC 6764 §5); Prefer: return=minimal
// (RFC 8144); X-OC-Mtime.
//
// Places are /dav/principals/U/, /dav/calendars/U/C/, /dav/contacts/U/B/ and
// /dav/files/U/…; a user reaches their own only.
//
// # What it does not do
//
// Scheduling (RFC 6638), free-busy-query, expand and partial retrieval of
// calendar data (the whole object is sent), sharing and ACL, conversion between
// vCard versions, LOCK on calendars, quotas, trash and versions of files,
// upload in parts. COPY and MOVE are for objects and files, not for whole
// calendars. Other mounts within a user's folder cannot be written to.
//
// # go-webdav
//
// The engine is our own, because the library's handlers cannot be extended to
// locks, PROPPATCH, MKCALENDAR or sync-collection, and one nested PROPFIND body
// ends the process in them. The library gives the model: caldav.CompFilter and
// carddav.AddressBookQuery for queries, caldav.ValidateCalendarObject, webdav's
// ConditionalMatch, go-ical's and go-vcard's trees, rrule-go's rules. Its
// clients, and its handlers as an oracle, are the counterpart in the tests.
//
// # State
//
// Key layout: see the key constants in rows.go. Rows of collections carry the
// collection's number, so that its address can be used again without mixing up
// sync tokens.
package davsrv

import (
	"context"
	"crypto/rand"
	"encoding/xml"
	"log/slog"
	"net/http"
	"net/netip"
	"os"
	"sync"
	"sync/atomic"

	"pic/core/config"
	"pic/core/state"
	"pic/internal/listen"
)

// Config is what the server needs to know. [From] derives it.
type Config struct {
	Enabled  bool            // whether the handler serves anybody
	Sockets  []listen.Socket // the server's own
	Insiders []netip.Prefix  // who may use those sockets
	Domain   string          // of the users' mail addresses
	Users    []User
}

// A User is somebody who may have calendars, contacts and files.
type User struct {
	Name    string
	Display string
}

// From picks the server's Config out of the resolved document.
func From(d *config.Document) Config {
	if !config.On(d.DAV.Enabled) {
		return Config{}
	}
	c := Config{Enabled: true, Insiders: d.Insiders(), Domain: d.Cell.Domain}
	if len(d.Mail.Domains) > 0 {
		c.Domain = d.Mail.Domains[0]
	}
	for _, port := range []uint16{d.DAV.CalDAVPort, d.DAV.WebDAVPort} {
		c.Sockets = append(c.Sockets, listen.For("tcp", d.DAV.Listen, port, nil, port)...)
	}
	for _, u := range d.Users {
		if !u.Disabled {
			c.Users = append(c.Users, User{u.Name, u.Display})
		}
	}
	return c
}

// An Auth tells who a login and secret belong to. Errors that wrap
// [users.ErrDenied] or [users.ErrThrottled] are shown to the client, others are
// logged.
type Auth func(ctx context.Context, login, secret string, from netip.Addr) (user string, err error)

// A Server serves calendars, contacts and files. Use [New]. Its methods are safe
// for concurrent use.
type Server struct {
	log       *slog.Logger
	filesDir  string
	auth      Auth
	boot      string // marks what this process puts into staging folders
	store     *store
	locks     *locks
	expand    *expander
	live      map[xml.Name]liveProp
	liveNames []xml.Name
	homes     sync.Map // user -> *home

	base    atomic.Pointer[os.Root] // the folder of all users' files; nil before Apply
	who     atomic.Pointer[directory]
	sockets *listen.Set
	http    *http.Server

	mu      sync.Mutex // held by Apply and Run
	serving sync.WaitGroup
}

// A directory is what the document says about who is served.
type directory struct {
	enabled  bool
	insiders []netip.Prefix
	domain   string
	display  map[string]string
}

// New returns a server that serves nothing until the first Apply. Objects are
// kept in space, files below filesDir, a folder for each user.
func New(log *slog.Logger, pool *listen.Pool, space *state.Space, filesDir string, auth Auth) *Server {
	s := &Server{
		log: log, filesDir: filesDir, auth: auth, boot: rand.Text()[:8],
		store:   &store{space},
		locks:   &locks{space: space, byUser: make(map[string][]*lock)},
		expand:  newExpander(),
		live:    liveProps(),
		sockets: pool.Set(),
	}
	s.liveNames = sortedNames(s.live)
	s.who.Store(&directory{})
	return s
}

// displayName is how a user is called.
func (s *Server) displayName(user string) string {
	if d := s.who.Load().display[user]; d != "" {
		return d
	}
	return user
}

// address is a user's mail address, empty while no domain is known.
func (s *Server) address(user string) string {
	if d := s.who.Load().domain; d != "" {
		return user + "@" + d
	}
	return ""
}
