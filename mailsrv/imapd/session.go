package imapd

import (
	"context"
	"errors"
	"io"
	"net"
	"net/netip"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/emersion/go-imap/v2"

	"pic/mailsrv/store"
)

// A session is one client.
type session struct {
	*conn
	p    parser
	ctx  context.Context
	o    *Options
	from netip.Addr

	acct   *store.Account // nil before the login
	view   *view          // of the selected mailbox, or nil
	failed int            // logins
	over   bool           // the connection ends after the answer at hand

	utf8      bool // strings and names are UTF-8
	rev2      bool // IMAP4rev2 was enabled
	condstore bool // modification sequences are told
	qresync   bool // UIDs are told of what is expunged

	// Of the command at hand:
	tag  string
	code string // goes with its OK
	then func() // is done after it

	flagText map[store.Flags]string // lists of flags as they are written
}

// ask has the client send its literal.
func (s *session) ask() error {
	s.str("+ Ready for literal data\r\n")
	return s.flush()
}

// A state is how far a session has come.
type state int

const (
	always state = iota
	before       // the login
	after        // the login
	selected
)

// A command is one that clients know.
type command struct {
	in   state
	uid  bool // it can follow UID
	nums bool // it is about numbers, which must not change meanwhile (RFC 9051 §7.5.1)
	run  func(s *session, uid bool) error
}

func (s *session) at(st state) bool {
	switch st {
	case before:
		return s.acct == nil
	case after:
		return s.acct != nil
	case selected:
		return s.view != nil
	}
	return true
}

// serve is the life of the session.
func (s *session) serve() {
	s.status("OK", "CAPABILITY "+s.caps(), "Ready")
	for !s.over && s.await() && s.command() {
	}
	if s.failed >= maxLogins {
		s.status("BYE", "", "Too many failed logins")
	}
}

// await waits for the next command.
func (s *session) await() bool {
	for len(s.p.buf) == 0 {
		b, err := s.park()
		if err == errWoken {
			continue
		}
		if err != nil {
			s.end(err)
			return false
		}
		s.p.buf = b
	}
	return true
}

// end says goodbye for a reason that is not the client's going.
func (s *session) end(err error) {
	switch {
	case errors.Is(err, errTooLong), errors.Is(err, errLiteral):
		s.status("BYE", "", err.Error())
	case errors.Is(err, os.ErrDeadlineExceeded):
		s.status("BYE", "", "You were silent for too long")
	case errors.Is(err, io.EOF), errors.Is(err, net.ErrClosed):
	default:
		s.o.Log.Debug("IMAP connection broken", "addr", s.from, "err", err)
	}
}

// command takes one and carries it out. It reports whether there can be another.
func (s *session) command() bool {
	p := &s.p
	p.begin()
	s.code, s.then, s.flagText = "", nil, nil
	s.tag = p.word("tag", func(c byte) bool { return atomChar(c) && c != '+' || c == ']' })
	p.sp()
	verb := p.verb()
	uid := verb == "UID"
	if uid {
		p.sp()
		verb = p.verb()
	}
	c := find(verb)
	if c.run == nil && s.o.Quota != nil {
		c = findQuota(verb)
	}
	err := p.err
	switch {
	case err != nil:
	case c.run == nil || uid && !c.uid:
		err = bad("There is no such command")
	case !s.at(c.in):
		err = bad("That command is not possible now")
	default:
		err = c.run(s, uid)
	}
	if err == nil {
		err = p.err
	}
	if p.io == nil && !p.ended {
		if err == nil {
			err = bad("Syntax error")
		}
		if e := p.drain(s.o.MaxSize + maxStrings); e != nil {
			p.io = e
		}
	}
	told, refused := errors.AsType[*imap.Error](fail(err))
	if p.io != nil {
		if refused && s.tag != "" && p.io == errTooLong { // the client is to know why
			s.str(s.tag + " ")
			s.result(told.Type, string(told.Code), told.Text)
		}
		s.end(p.io)
		return false
	}
	if (!refused || told.Type != "BAD") && s.view != nil {
		s.view.update(s, uid || !c.nums)
	}
	if s.tag == "" {
		s.str("* ")
	} else {
		s.str(s.tag)
		s.str(" ")
	}
	if refused {
		if told.Code == imap.ResponseCodeUnavailable && s.o.Trouble != nil {
			s.o.Trouble(err)
		}
		s.result(told.Type, string(told.Code), told.Text)
	} else {
		if uid {
			verb = "UID " + verb
		}
		s.result("OK", s.code, verb+" completed")
		if s.then != nil {
			s.then()
		}
	}
	return s.conn.err == nil
}

// forget ends what the session has of an account.
func (s *session) forget() {
	s.unselect()
	if s.acct != nil {
		s.acct.Release()
		s.acct = nil
	}
}

func (s *session) unselect() { s.view = nil }

// no is a refusal.
func no(code imap.ResponseCode, text string) error {
	return &imap.Error{Type: imap.StatusResponseTypeNo, Code: code, Text: text}
}

var errReadOnly = no("READ-ONLY", "The mailbox was opened with EXAMINE")

// fail turns the errors of the store into answers.
func fail(err error) error {
	var told *imap.Error
	switch {
	case err == nil:
		return nil
	case errors.As(err, &told):
		return told
	case errors.Is(err, store.ErrNoMailbox):
		return no(imap.ResponseCodeNonExistent, "No such mailbox")
	case errors.Is(err, store.ErrMailboxExists):
		return no(imap.ResponseCodeAlreadyExists, err.Error())
	case errors.Is(err, store.ErrName):
		return no(imap.ResponseCodeCannot, err.Error())
	case errors.Is(err, store.ErrLimit):
		return no(imap.ResponseCodeLimit, err.Error())
	case errors.Is(err, store.ErrDamaged):
		return no(imap.ResponseCodeCorruption, "Stored mail is damaged")
	case errors.Is(err, store.ErrFailed), errors.Is(err, store.ErrClosed):
		return no(imap.ResponseCodeUnavailable, "Mail cannot be changed now; the administrator must look at the disk")
	}
	return no(imap.ResponseCodeUnavailable, "Not done for a reason of the server: "+plain(err))
}

// plain is the innermost error, which names no files.
func plain(err error) string {
	for {
		in := errors.Unwrap(err)
		if in == nil {
			return err.Error()
		}
		err = in
	}
}

func tryCreate(err error) error {
	if errors.Is(err, store.ErrNoMailbox) {
		return no(imap.ResponseCodeTryCreate, "No such mailbox")
	}
	return fail(err)
}

func equalFold(f imap.Flag, s string) bool { return strings.EqualFold(string(f), s) }

// flagNames turns flags of a command into names for the store.
func flagNames(flags []imap.Flag) ([]string, error) {
	var out []string
	for _, f := range flags {
		switch {
		case equalFold(f, `\Recent`): // nobody may set it, and nobody minds
		case f[0] == '\\' && !slices.ContainsFunc(systemFlags, func(s imap.Flag) bool { return equalFold(s, string(f)) }):
			return nil, no(imap.ResponseCodeCannot, "No such flag: "+string(f))
		default:
			out = append(out, string(f))
		}
	}
	return out, nil
}

var systemFlags = []imap.Flag{imap.FlagSeen, imap.FlagAnswered, imap.FlagFlagged, imap.FlagDeleted, imap.FlagDraft}

// date is the internal date of a message.
func date(m store.Message) time.Time { return time.Unix(m.Date, 0).UTC() }
