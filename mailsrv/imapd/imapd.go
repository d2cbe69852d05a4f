// Package imapd speaks IMAP to one connection (RFC 3501), as a server of accounts
// in a [store.Store], with what its capabilities say and nothing else.
//
// # Promises
//
// A command that was refused is never carried out in part, and what is in a
// literal is never taken for a command: the rest of a refused command is read
// over, literals and all, or the connection is closed. A line has 64 KiB at most,
// to which sets of numbers and literals do not count; they have bounds of their
// own. EXAMINE is read-only.
//
// A connection is one goroutine. While it waits for a command, or in IDLE, it has
// no buffers, and whoever has news for it wakes it by its read deadline. It holds
// no lock while it writes, so a client that is slow holds up nobody.
//
// A session has its own view of the mailbox that it has selected: the UIDs its
// client knows of. Updates are the difference between that and the mailbox, so
// nothing queues up for a client that does not ask.
//
// Searches by flags, dates, sizes and numbers, and FETCH of the same, look at rows
// in memory; those by the fields of the envelope, and ENVELOPE and BODYSTRUCTURE,
// at what was kept with the message. Only the rest reads messages.
//
// # Extensions
//
// IMAP4rev2 (RFC 9051); CONDSTORE and QRESYNC (RFC 7162); ACL, CATENATE, CONTEXT,
// NOTIFY and URLAUTH are not there. SORT (RFC 5256, RFC 5957) gives a list and no
// ESEARCH. The identity of a thread (RFC 8474) is that of the message that the
// first of its references names. QUOTA (RFC 9208) is of the whole account, and
// there if the Options say how much that is. In COMPRESS (RFC 4978) there is only
// a window for what the client says while it is waited for.
package imapd

import (
	"context"
	"io"
	"log/slog"
	"net"
	"net/netip"
	"time"

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
	// Receive reads a message to its end and makes it ready to be stored. done
	// lets go of what was kept of it meanwhile.
	Receive func(ctx context.Context, r io.Reader) (m store.New, done func(), err error)
	// Trouble is told of errors of the store. It may be nil.
	Trouble func(err error)

	// Quota is how much an account may have, 0 for no bound. It may be nil.
	Quota func(a *store.Account) (bytes int64, messages int)

	// Mechanisms are ways to log in besides PLAIN, such as SCRAM-SHA-256, and
	// Begin begins one of them. There need not be any.
	Mechanisms []string
	Begin      func(mechanism string, from netip.Addr) (Exchange, error)
}

// An Exchange is a login by a mechanism of SASL (RFC 4422).
type Exchange interface {
	// Next takes what the client says, nil at first if it says nothing. It
	// returns what the client is asked next, or in the end the account, with
	// what is left to be said. Errors are as those of [Options.Login].
	Next(ctx context.Context, response []byte) (challenge []byte, a *store.Account, err error)
}

// Serve speaks with the client until either has enough, or ctx ends. conn is
// encrypted and its handshake is done. Serve closes it.
func Serve(ctx context.Context, nc net.Conn, from netip.Addr, o *Options) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	defer nc.Close()
	defer context.AfterFunc(ctx, func() { nc.Close() })()
	s := &session{conn: &conn{Conn: nc, begun: time.Now()}, ctx: ctx, o: o, from: from}
	s.p.src = s
	defer s.forget()
	s.serve()
	s.flush()
	s.release()
}
