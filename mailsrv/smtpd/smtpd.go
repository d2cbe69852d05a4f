// Package smtpd speaks SMTP to one connection (RFC 5321), as a server for mail
// from outside or for submission by the people of the house (RFC 6409).
//
// It leaves the commands to go-smtp and stands below it as a [gate], because
// what ends a line and a message must not be a matter of opinion: only CRLF ends
// a line, only CRLF.CRLF a message. A message with a bare CR, a bare LF or a NUL
// is read to its end and refused with 550 5.5.2, so it cannot carry another one
// past anybody (SMTP smuggling). What a client sends between STARTTLS and the
// handshake is thrown away (RFC 3207 §4.2).
//
// Who may send what to whom, and what becomes of a message, is for [Options] to
// say. There is no CHUNKING, SMTPUTF8 or DSN.
package smtpd

import (
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/netip"
	"time"

	"github.com/emersion/go-smtp"
)

// A Role is what a connection is for.
type Role int

const (
	// Incoming takes mail for people of the house from anybody.
	Incoming Role = iota
	// Submission takes mail from people of the house, who must say who they are.
	Submission
)

// Options are what a connection needs to know. The functions may be called from
// any goroutine; errors that are [smtp.SMTPError] are told to the client as they
// are.
type Options struct {
	Log        *slog.Logger
	Role       Role
	Host       string // our name
	MaxSize    int64  // bytes of a message
	Recipients int    // at most so many in a message
	// TLS is for STARTTLS. It is not offered where the connection has TLS.
	TLS *tls.Config

	Auth      func(ctx context.Context, login, secret string, from netip.Addr) (user string, err error)
	Sender    func(user, from string) error
	Recipient func(user, to string) error
	// Deliver returns once the message is safe for all recipients, or for none
	// that the client must not try again. It reads r to its end.
	Deliver func(ctx context.Context, e *Envelope, r io.Reader) error
}

// An Envelope is what is known of a message besides its text.
type Envelope struct {
	User   string // who submitted it, "" for mail from outside
	From   string // "" for the null sender
	To     []string
	Helo   string
	Remote netip.Addr
	ESMTP  bool
	TLS    bool
}

// With names how the message came (RFC 3848).
func (e *Envelope) With() string {
	if !e.ESMTP {
		return "SMTP"
	}
	s := "ESMTP"
	if e.TLS {
		s += "S"
	}
	if e.User != "" {
		s += "A"
	}
	return s
}

const handshakeTime = 30 * time.Second

// Serve speaks with the client until either has enough, or ctx ends. A conn that
// is a [tls.Conn] has done its handshake. Serve closes it.
func Serve(ctx context.Context, conn net.Conn, o *Options) {
	raw := conn
	defer raw.Close()
	defer context.AfterFunc(ctx, func() { raw.Close() })()
	_, secure := conn.(*tls.Conn)
	greeted := false
	for {
		g := newGate(conn, o, secure, greeted)
		serve(ctx, g, o)
		if !g.upgrade {
			return
		}
		t := tls.Server(conn, o.TLS)
		hctx, cancel := context.WithTimeout(ctx, handshakeTime)
		conn.SetDeadline(time.Now().Add(handshakeTime))
		err := t.HandshakeContext(hctx)
		cancel()
		if err != nil {
			o.Log.Debug("handshake failed", "addr", conn.RemoteAddr(), "err", err)
			return
		}
		conn.SetDeadline(time.Time{})
		conn, secure, greeted = t, true, true
		defer t.Close()
	}
}

// serve runs go-smtp over g until it closes it. A server per connection lets
// every connection keep the settings that it began with.
func serve(ctx context.Context, g *gate, o *Options) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	srv := smtp.NewServer(smtp.BackendFunc(func(c *smtp.Conn) (smtp.Session, error) {
		return &session{ctx: ctx, o: o, gate: g, conn: c}, nil
	}))
	srv.ErrorLog = logger{o.Log}
	srv.Domain = o.Host
	srv.MaxMessageBytes = o.MaxSize
	srv.MaxRecipients = o.Recipients
	srv.MaxLineLength = 0 // the gate sees to it
	srv.WriteTimeout = writeTime
	srv.AllowInsecureAuth = g.secure // no tls.Conn is in its sight
	if !g.secure {
		srv.TLSConfig = o.TLS
	}
	srv.Serve(&single{conn: g})
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

// A logger takes what go-smtp has to say. All of it is about bad clients, but
// for panics.
type logger struct{ log *slog.Logger }

func (l logger) Printf(format string, v ...any) {
	l.log.Warn("SMTP connection failed", "err", fmt.Sprintf(format, v...))
}

func (l logger) Println(v ...any) { l.log.Warn("SMTP connection failed", "err", fmt.Sprint(v...)) }
