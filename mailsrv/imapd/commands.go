package imapd

import (
	"encoding/base64"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/emersion/go-imap/v2"
)

const maxLogins = 3 // that fail, in a connection

// find returns the command of that name, without run if there is none.
func find(verb string) command {
	switch verb {
	case "CAPABILITY":
		return command{in: always, run: (*session).capability}
	case "NOOP":
		return command{in: always, run: (*session).noop}
	case "LOGOUT":
		return command{in: always, run: (*session).logout}
	case "ID":
		return command{in: always, run: (*session).id}
	case "LOGIN":
		return command{in: before, run: (*session).login}
	case "AUTHENTICATE":
		return command{in: before, run: (*session).authenticate}
	case "COMPRESS":
		return command{in: after, run: (*session).compress}
	case "ENABLE":
		return command{in: after, run: (*session).enable}
	case "NAMESPACE":
		return command{in: after, run: (*session).namespace}
	case "SELECT":
		return command{in: after, run: func(s *session, _ bool) error { return s.open(false) }}
	case "EXAMINE":
		return command{in: after, run: func(s *session, _ bool) error { return s.open(true) }}
	case "CREATE":
		return command{in: after, run: (*session).create}
	case "DELETE":
		return command{in: after, run: (*session).remove}
	case "RENAME":
		return command{in: after, run: (*session).rename}
	case "SUBSCRIBE":
		return command{in: after, run: func(s *session, _ bool) error { return s.subscribe(true) }}
	case "UNSUBSCRIBE":
		return command{in: after, run: func(s *session, _ bool) error { return s.subscribe(false) }}
	case "LIST":
		return command{in: after, run: (*session).list}
	case "LSUB":
		return command{in: after, run: (*session).lsub}
	case "STATUS":
		return command{in: after, run: (*session).statusOf}
	case "APPEND":
		return command{in: after, run: (*session).append}
	case "REPLACE":
		return command{in: selected, uid: true, run: (*session).replace}
	case "SORT":
		return command{in: selected, uid: true, nums: true, run: (*session).sort}
	case "THREAD":
		return command{in: selected, uid: true, nums: true, run: (*session).thread}
	case "GETMETADATA":
		return command{in: after, run: (*session).getMetadata}
	case "SETMETADATA":
		return command{in: after, run: (*session).setMetadata}
	case "UNAUTHENTICATE":
		return command{in: after, run: (*session).unauthenticate}
	case "IDLE":
		return command{in: after, run: (*session).idle}
	case "CHECK":
		return command{in: selected, run: (*session).noop}
	case "UNSELECT":
		return command{in: selected, run: (*session).leave}
	case "CLOSE":
		return command{in: selected, run: (*session).close}
	case "EXPUNGE":
		return command{in: selected, uid: true, run: (*session).expunge}
	case "FETCH":
		return command{in: selected, uid: true, nums: true, run: (*session).fetch}
	case "STORE":
		return command{in: selected, uid: true, nums: true, run: (*session).store}
	case "SEARCH":
		return command{in: selected, uid: true, nums: true, run: (*session).search}
	case "COPY":
		return command{in: selected, uid: true, run: (*session).copy}
	case "MOVE":
		return command{in: selected, uid: true, run: (*session).move}
	}
	return command{}
}

// findQuota returns the commands that there are only with quotas.
func findQuota(verb string) command {
	switch verb {
	case "GETQUOTA":
		return command{in: after, run: (*session).getQuota}
	case "GETQUOTAROOT":
		return command{in: after, run: (*session).getQuotaRoot}
	}
	return command{}
}

// Capabilities before and after the login. What is not here is not there.
var (
	capsAlways = []imap.Cap{imap.CapIMAP4rev1, imap.CapIMAP4rev2, imap.CapLiteralPlus, imap.CapSASLIR, imap.CapID, imap.CapEnable}
	capsAfter  = []imap.Cap{
		imap.CapNamespace, imap.CapUIDPlus, imap.CapESearch, imap.CapListExtended, imap.CapListStatus, imap.CapMove, imap.CapStatusSize,
		imap.CapSpecialUse, imap.CapCreateSpecialUse, imap.CapChildren, imap.CapIdle, imap.CapUnselect, "COMPRESS=DEFLATE",
		imap.CapSearchRes, imap.CapBinary, imap.CapCondStore, imap.CapQResync, imap.CapUTF8Accept, imap.CapSort, imap.CapSortDisplay,
		"THREAD=ORDEREDSUBJECT", "THREAD=REFERENCES", imap.CapWithin, imap.CapUnauthenticate, imap.CapMultiAppend, imap.CapSaveDate,
		imap.CapObjectID, imap.CapPreview, imap.CapReplace, imap.CapMetadata,
	}
)

func (s *session) caps() string {
	var sb strings.Builder
	for i, c := range capsAlways {
		if i > 0 {
			sb.WriteByte(' ')
		}
		sb.WriteString(string(c))
	}
	if s.acct == nil {
		for _, m := range append([]string{"PLAIN"}, s.o.Mechanisms...) {
			sb.WriteString(" AUTH=" + m)
		}
		return sb.String()
	}
	for _, c := range capsAfter {
		sb.WriteString(" " + string(c))
	}
	if s.o.Quota != nil {
		sb.WriteString(" QUOTA QUOTA=RES-STORAGE QUOTA=RES-MESSAGE")
	}
	fmt.Fprintf(&sb, " APPENDLIMIT=%d", s.limit())
	return sb.String()
}

// limit is the size that a message can have.
func (s *session) limit() int64 { return min(s.o.MaxSize, 1<<32-1) }

func (s *session) capability(bool) error {
	if err := s.p.end(); err != nil {
		return err
	}
	s.str("* CAPABILITY ")
	s.str(s.caps())
	s.str("\r\n")
	return nil
}

func (s *session) noop(bool) error { return s.p.end() }

func (s *session) logout(bool) error {
	if err := s.p.end(); err != nil {
		return err
	}
	s.status("BYE", "", "Goodbye")
	s.unselect()
	s.over = true
	return nil
}

// id tells what this is (RFC 2971). What the client is does not matter.
func (s *session) id(bool) error {
	p := &s.p
	p.sp()
	if p.is('(') {
		n := 0
		p.list(func() {
			if n++; n > 30 {
				p.fail("More than 30 fields")
			}
			p.string()
			p.sp()
			p.nstring()
		})
	} else {
		p.nstring()
	}
	if err := p.end(); err != nil {
		return err
	}
	s.str("* ID (\"name\" \"Personal Internet Cell\")\r\n")
	return nil
}

// unauthenticate makes another login possible (RFC 8437).
func (s *session) unauthenticate(bool) error {
	if err := s.p.end(); err != nil {
		return err
	}
	s.forget()
	s.begun, s.authed = time.Now(), false
	s.utf8, s.rev2, s.condstore, s.qresync, s.p.utf8 = false, false, false, false, false
	return nil
}

func (s *session) login(bool) error {
	p := &s.p
	p.sp()
	user := p.astring()
	p.sp()
	secret := p.astring()
	if err := p.end(); err != nil {
		return err
	}
	return s.enter(user, secret)
}

func (s *session) enter(user, secret string) error {
	a, err := s.o.Login(s.ctx, user, secret, s.from)
	if err != nil {
		return s.denied(err)
	}
	s.acct, s.authed = a, true
	s.code = "CAPABILITY " + s.caps()
	return nil
}

// denied is the answer to a login that failed.
func (s *session) denied(err error) error {
	s.failed++
	s.over = s.failed >= maxLogins
	if t, ok := errors.AsType[interface {
		error
		Temporary() bool
	}](err); ok && t.Temporary() {
		return no(imap.ResponseCodeUnavailable, err.Error())
	}
	return no(imap.ResponseCodeAuthenticationFailed, err.Error())
}

// authenticate is a login by SASL (RFC 9051 §6.2.2).
func (s *session) authenticate(bool) error {
	p := &s.p
	p.sp()
	mech := p.verb()
	var response []byte
	if p.take(' ') {
		if !p.take('=') {
			response = s.base64(p.word("response", isBase64))
		} else {
			response = []byte{}
		}
	}
	if err := p.end(); err != nil {
		return err
	}
	if mech != "PLAIN" && !slices.Contains(s.o.Mechanisms, mech) {
		return no("", "That mechanism is not offered")
	}
	if mech == "PLAIN" {
		if response == nil {
			var err error
			if response, err = s.challenge(nil); err != nil {
				return err
			}
		}
		return s.plain(response)
	}
	x, err := s.o.Begin(mech, s.from)
	if err != nil {
		return s.denied(err)
	}
	for range 10 {
		challenge, a, err := x.Next(s.ctx, response)
		if err != nil {
			return s.denied(err)
		}
		if a != nil && len(challenge) > 0 { // what the client checks the server by
			if _, err = s.challenge(challenge); err != nil {
				a.Release()
				return err
			}
		}
		if a != nil {
			s.acct, s.authed = a, true
			s.code = "CAPABILITY " + s.caps()
			return nil
		}
		if response, err = s.challenge(challenge); err != nil {
			return err
		}
	}
	return bad("The exchange does not end")
}

func isBase64(c byte) bool {
	return 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9' || c == '+' || c == '/' || c == '='
}

func (s *session) base64(text string) []byte {
	b, err := base64.StdEncoding.DecodeString(text)
	if err != nil {
		s.p.fail("That is not base64")
	}
	return b
}

// challenge asks the client something, and returns the answer.
func (s *session) challenge(q []byte) ([]byte, error) {
	s.str("+ ")
	s.str(base64.StdEncoding.EncodeToString(q))
	s.str("\r\n")
	p := &s.p
	p.ended = false
	if p.take('*') {
		if err := p.end(); err != nil {
			return nil, err
		}
		return nil, bad("Given up, as you wish")
	}
	var out []byte
	if p.more() {
		out = s.base64(p.word("response", isBase64))
	}
	return out, p.end()
}

// plain is the mechanism of RFC 4616.
func (s *session) plain(response []byte) error {
	f := strings.Split(string(response), "\x00")
	if len(f) != 3 || f[1] == "" {
		return bad("Malformed response")
	}
	if f[0] != "" && f[0] != f[1] {
		return no(imap.ResponseCodeAuthorizationFailed, "You cannot act for somebody else")
	}
	return s.enter(f[1], f[2])
}
