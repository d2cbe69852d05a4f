package smtpd

import (
	"context"
	"errors"
	"io"
	"net"
	"net/netip"

	"github.com/emersion/go-sasl"
	"github.com/emersion/go-smtp"
)

const (
	maxLogins  = 3  // that fail, in a connection
	maxUnknown = 20 // recipients that are refused, in a connection
)

var (
	errDirty = &smtp.SMTPError{
		Code: 550, EnhancedCode: smtp.EnhancedCode{5, 5, 2},
		Message: "The message has a CR, LF or NUL on its own; lines end in CR and LF",
	}
	errLoginFirst = &smtp.SMTPError{
		Code: 530, EnhancedCode: smtp.EnhancedCode{5, 7, 0},
		Message: "Login required: only people of this house may send here",
	}
	errNoTLS = &smtp.SMTPError{
		Code: 530, EnhancedCode: smtp.EnhancedCode{5, 7, 0},
		Message: "Use STARTTLS first",
	}
	errTwice = &smtp.SMTPError{
		Code: 503, EnhancedCode: smtp.EnhancedCode{5, 5, 1},
		Message: "MAIL was said already; RSET begins anew",
	}
	errTooMany = &smtp.SMTPError{
		Code: 421, EnhancedCode: smtp.EnhancedCode{4, 7, 0},
		Message: "Too many refusals on this connection",
	}
)

// A session is the mail transactions of one connection.
type session struct {
	ctx  context.Context
	o    *Options
	gate *gate
	conn *smtp.Conn

	user    string
	failed  int // logins
	unknown int // recipients
	begun   bool
	from    string
	to      []string
}

func (s *session) remote() netip.Addr { return Remote(s.gate.Conn) }

// Remote returns the address of the other side.
func Remote(c net.Conn) netip.Addr {
	ap, err := netip.ParseAddrPort(c.RemoteAddr().String())
	if err != nil {
		return netip.Addr{}
	}
	return ap.Addr().Unmap().WithZone("")
}

func (s *session) Reset() { s.begun, s.from, s.to = false, "", nil }

func (s *session) Logout() error { return nil }

func (s *session) Mail(from string, _ *smtp.MailOptions) error {
	if s.begun {
		return errTwice
	}
	if s.o.Role == Submission && s.user == "" {
		if !s.gate.secure {
			return errNoTLS
		}
		return errLoginFirst
	}
	if err := s.o.Sender(s.user, from); err != nil {
		return err
	}
	s.begun, s.from = true, from
	return nil
}

func (s *session) Rcpt(to string, _ *smtp.RcptOptions) error {
	if err := s.o.Recipient(s.user, to); err != nil {
		if s.unknown++; s.unknown > maxUnknown {
			s.gate.last = true
			return errTooMany
		}
		return err
	}
	s.to = append(s.to, to)
	return nil
}

func (s *session) Data(r io.Reader) error {
	e := &Envelope{
		User: s.user, From: s.from, To: s.to, Helo: s.conn.Hostname(), Remote: s.remote(),
		ESMTP: s.gate.esmtp, TLS: s.gate.secure,
	}
	in := &cleanReader{r: r, g: s.gate}
	err := s.o.Deliver(s.ctx, e, in)
	switch told, ok := errors.AsType[*smtp.SMTPError](err); {
	case err == nil:
		s.gate.commands, s.gate.errors = 0, 0
		return nil
	case ok:
		return told // go-smtp does not look into wrapped errors
	case in.broken || s.ctx.Err() != nil:
		s.gate.last = true
		return &smtp.SMTPError{Code: 421, EnhancedCode: smtp.EnhancedCode{4, 4, 2}, Message: "The connection broke or is too slow"}
	}
	s.o.Log.Error("message not delivered", "err", err)
	return &smtp.SMTPError{Code: 451, EnhancedCode: smtp.EnhancedCode{4, 3, 0}, Message: "Not delivered for a reason of our own; try again later"}
}

// A cleanReader fails at the end of a message that the gate had to clean.
type cleanReader struct {
	r      io.Reader
	g      *gate
	broken bool // the client did not finish
}

func (c *cleanReader) Read(b []byte) (int, error) {
	n, err := c.r.Read(b)
	switch {
	case err == nil:
	case err == io.EOF && c.g.dirty:
		err = errDirty
	case err != io.EOF && err != smtp.ErrDataTooLarge:
		c.broken = true
	}
	return n, err
}

func (s *session) AuthMechanisms() []string {
	if s.o.Role != Submission || !s.gate.secure {
		return nil
	}
	return []string{sasl.Plain, sasl.Login}
}

func (s *session) Auth(mech string) (sasl.Server, error) {
	if s.o.Role != Submission || !s.gate.secure {
		return nil, smtp.ErrAuthUnsupported
	}
	switch mech {
	case sasl.Plain:
		return sasl.NewPlainServer(func(identity, login, secret string) error {
			if identity != "" && identity != login {
				return s.refused(errors.New("you cannot act for somebody else"))
			}
			return s.login(login, secret)
		}), nil
	case sasl.Login:
		return &loginServer{login: s.login}, nil
	}
	return nil, smtp.ErrAuthUnknownMechanism
}

func (s *session) login(login, secret string) error {
	user, err := s.o.Auth(s.ctx, login, secret, s.remote())
	if err != nil {
		return s.refused(err)
	}
	s.user = user
	return nil
}

// refused counts a failed login and says so.
func (s *session) refused(err error) error {
	if s.failed++; s.failed >= maxLogins {
		s.gate.last = true
	}
	if later, ok := errors.AsType[interface {
		error
		Temporary() bool
	}](err); ok && later.Temporary() {
		return &smtp.SMTPError{Code: 454, EnhancedCode: smtp.EnhancedCode{4, 7, 0}, Message: err.Error()}
	}
	return &smtp.SMTPError{Code: 535, EnhancedCode: smtp.EnhancedCode{5, 7, 8}, Message: err.Error()}
}

// A loginServer is the mechanism LOGIN, which some clients still need; the
// library has its client only.
type loginServer struct {
	login func(login, secret string) error
	step  int
	name  string
}

func (l *loginServer) Next(response []byte) ([]byte, bool, error) {
	l.step++
	switch {
	case l.step == 1 && response == nil:
		return []byte("Username:"), false, nil
	case l.step == 1, l.step == 2 && l.name == "":
		l.name, l.step = string(response), 2
		return []byte("Password:"), false, nil
	case l.step == 3:
		return nil, true, l.login(l.name, string(response))
	}
	return nil, false, sasl.ErrUnexpectedClientResponse
}
