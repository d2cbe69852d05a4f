// Package imapd speaks IMAP to one connection (RFC 3501 with UIDPLUS, MOVE, IDLE,
// ESEARCH, NAMESPACE, LIST-EXTENDED, LIST-STATUS, SPECIAL-USE, STATUS=SIZE,
// LITERAL+ and APPENDLIMIT), as a server of accounts in a [store.Store].
//
// It leaves the commands to imapserver of go-imap and stands below it as a
// [gate], because the library can lose its place after a command that it refuses
// while a literal is under way, and would then carry out the literal. The gate
// follows where commands begin and end, and closes the connection where the
// library's answers show that it sees that differently. It also lets "done" end
// IDLE in any case, and gives strangers two minutes to log in.
//
// A session has its own view of the mailbox that it has selected: the UIDs its
// client knows of. Updates are the difference between that and the mailbox, so
// nothing queues up for a client that is slow. EXAMINE is read-only here; the
// library only announces it.
//
// There is no CONDSTORE, QRESYNC, SORT, THREAD, BINARY, SEARCHRES or IMAP4rev2.
package imapd

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/netip"
	"time"

	"github.com/emersion/go-imap/v2"
	"github.com/emersion/go-imap/v2/imapserver"

	"pic/mailsrv/store"
)

// Options are what a connection needs to know. The functions may be called from
// any goroutine.
type Options struct {
	Log     *slog.Logger
	MaxSize int64 // bytes of a message

	// Login checks a password and opens the account, which the connection
	// releases. Its error is told to the client; one that has a method
	// Temporary() bool may say that it is not about the password.
	Login func(ctx context.Context, login, secret string, from netip.Addr) (*store.Account, error)
	// Append stores a message that r is read to the end for.
	Append func(ctx context.Context, a *store.Account, box uint32, flags []string, date time.Time, r io.Reader) (store.Appended, error)
}

var caps = imap.CapSet{
	imap.CapIMAP4rev1: {}, imap.CapNamespace: {}, imap.CapUIDPlus: {}, imap.CapESearch: {}, imap.CapListExtended: {},
	imap.CapListStatus: {}, imap.CapMove: {}, imap.CapStatusSize: {}, imap.CapSpecialUse: {}, imap.CapCreateSpecialUse: {},
	imap.CapLiteralPlus: {}, imap.CapChildren: {},
}

// Serve speaks with the client until either has enough, or ctx ends. conn is
// encrypted and its handshake is done. Serve closes it.
func Serve(ctx context.Context, conn net.Conn, from netip.Addr, o *Options) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	g := newGate(conn, o)
	defer g.Close()
	defer context.AfterFunc(ctx, func() { conn.Close() })()
	srv := imapserver.New(&imapserver.Options{
		NewSession: func(*imapserver.Conn) (imapserver.Session, *imapserver.GreetingData, error) {
			return &session{ctx: ctx, o: o, gate: g, from: from, over: make(chan struct{})}, nil, nil
		},
		Caps:         caps,
		Logger:       logger{o.Log},
		InsecureAuth: true, // no tls.Conn is in its sight
	})
	if err := srv.Serve(&single{conn: g}); err != nil {
		o.Log.Error("IMAP connection not served", "err", err)
		return
	}
	<-g.done
}

// A single is a listener with one connection.
type single struct{ conn net.Conn }

func (s *single) Accept() (net.Conn, error) {
	c := s.conn
	if s.conn = nil; c == nil {
		return nil, net.ErrClosed
	}
	return c, nil
}

func (s *single) Close() error   { return nil }
func (s *single) Addr() net.Addr { return nil }

// A logger takes what imapserver has to say, which is mostly that clients went
// away.
type logger struct{ log *slog.Logger }

func (l logger) Printf(format string, v ...any) {
	l.log.Debug("IMAP connection", "err", fmt.Sprintf(format, v...))
}
