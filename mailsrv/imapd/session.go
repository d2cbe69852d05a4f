package imapd

import (
	"context"
	"errors"
	"net/netip"
	"slices"
	"sync"
	"time"

	"github.com/emersion/go-imap/v2"
	"github.com/emersion/go-imap/v2/imapserver"
	"github.com/emersion/go-sasl"

	"pic/mailsrv/store"
)

const maxLogins = 3 // that fail, in a connection

// A session is one client. The library calls its methods one at a time, but for
// Idle, which may still be running when it should not be any more.
type session struct {
	ctx  context.Context
	o    *Options
	gate *gate
	from netip.Addr

	over  chan struct{} // closed by Close
	idles sync.WaitGroup

	mu     sync.Mutex
	acct   *store.Account
	view   *view // of the selected mailbox, or nil
	failed int   // logins
}

var (
	_ imapserver.SessionNamespace   = (*session)(nil)
	_ imapserver.SessionMove        = (*session)(nil)
	_ imapserver.SessionSASL        = (*session)(nil)
	_ imapserver.SessionAppendLimit = (*session)(nil)
)

func (s *session) Close() error {
	s.mu.Lock()
	close(s.over) // from here on no Idle begins
	s.mu.Unlock()
	s.idles.Wait()
	s.mu.Lock()
	defer s.mu.Unlock()
	s.unselect()
	if s.acct != nil {
		s.acct.Release()
		s.acct = nil
	}
	s.gate.Close()
	return nil
}

func (s *session) AuthenticateMechanisms() []string { return []string{sasl.Plain} }

func (s *session) Authenticate(mech string) (sasl.Server, error) {
	if mech != sasl.Plain {
		return nil, no("", "Only PLAIN is offered")
	}
	return strict{sasl.NewPlainServer(func(identity, login, secret string) error {
		if identity != "" && identity != login {
			return no(imap.ResponseCodeAuthorizationFailed, "You cannot act for somebody else")
		}
		return s.Login(login, secret)
	})}, nil
}

// strict turns the plain errors of a mechanism into answers.
type strict struct{ sasl.Server }

func (x strict) Next(response []byte) ([]byte, bool, error) {
	challenge, done, err := x.Server.Next(response)
	var told *imap.Error
	if err != nil && !errors.As(err, &told) {
		err = &imap.Error{Type: imap.StatusResponseTypeBad, Text: "Malformed response"}
	}
	return challenge, done, err
}

func (s *session) Login(login, secret string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	a, err := s.o.Login(s.ctx, login, secret, s.from)
	if err != nil {
		if s.failed++; s.failed >= maxLogins {
			s.gate.last.Store(true)
		}
		if t, ok := errors.AsType[interface {
			error
			Temporary() bool
		}](err); ok && t.Temporary() {
			return no(imap.ResponseCodeUnavailable, err.Error())
		}
		return no(imap.ResponseCodeAuthenticationFailed, err.Error())
	}
	s.acct = a
	s.gate.authenticated.Store(true)
	return nil
}

func (s *session) AppendLimit() uint32 { return uint32(min(s.o.MaxSize, 1<<32-1)) }

func (s *session) Namespace() (*imap.NamespaceData, error) {
	return &imap.NamespaceData{Personal: []imap.NamespaceDescriptor{{Delim: '/'}}}, nil
}

func (s *session) Select(name string, opts *imap.SelectOptions) (*imap.SelectData, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	m, err := s.acct.Mailbox(name)
	if err != nil {
		return nil, fail(err)
	}
	v, m, err := newView(s.acct, m.ID, opts.ReadOnly)
	if err != nil {
		return nil, fail(err)
	}
	s.view = v
	flags := v.flags()
	data := &imap.SelectData{
		Flags: flags, NumMessages: uint32(len(v.uids)), UIDNext: imap.UID(m.UIDNext), UIDValidity: m.UIDValidity,
	}
	if !opts.ReadOnly {
		data.PermanentFlags = flags
		if _, room := s.acct.Keywords(); room {
			data.PermanentFlags = append(slices.Clip(flags), imap.FlagWildcard)
		}
	}
	if m.Unseen > 0 {
		v.each(v.all(), func(seq uint32, row store.Message) bool {
			if row.Flags&store.Seen == 0 {
				data.FirstUnseenSeqNum = seq
			}
			return data.FirstUnseenSeqNum == 0
		})
	}
	return data, nil
}

func (s *session) Unselect() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.unselect()
	return nil
}

func (s *session) unselect() {
	if s.view != nil {
		s.view.stop()
		s.view = nil
	}
}

func (s *session) Create(name string, opts *imap.CreateOptions) error {
	use := ""
	switch len(opts.SpecialUse) {
	case 0:
	case 1:
		use = string(opts.SpecialUse[0])
		if !slices.Contains([]string{`\Archive`, `\Drafts`, `\Junk`, `\Sent`, `\Trash`}, use) {
			return no("USEATTR", "That special use is not possible here")
		}
	default:
		return no("USEATTR", "A mailbox has one special use at most")
	}
	return fail(s.acct.Create(s.ctx, name, use))
}

func (s *session) Delete(name string) error { return fail(s.acct.Delete(s.ctx, name)) }

func (s *session) Rename(from, to string, _ *imap.RenameOptions) error {
	return fail(s.acct.Rename(s.ctx, from, to))
}

func (s *session) Subscribe(name string) error   { return fail(s.acct.Subscribe(s.ctx, name)) }
func (s *session) Unsubscribe(name string) error { return fail(s.acct.Unsubscribe(s.ctx, name)) }

func (s *session) Append(name string, r imap.LiteralReader, opts *imap.AppendOptions) (*imap.AppendData, error) {
	m, err := s.acct.Mailbox(name)
	if err != nil {
		return nil, tryCreate(err)
	}
	flags, err := flagNames(opts.Flags)
	if err != nil {
		return nil, err
	}
	out, err := s.o.Append(s.ctx, s.acct, m.ID, flags, opts.Time, r)
	if err != nil {
		return nil, fail(err)
	}
	return &imap.AppendData{UID: imap.UID(out.UID), UIDValidity: out.UIDValidity}, nil
}

func (s *session) Poll(w *imapserver.UpdateWriter, allowExpunge bool) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.view == nil {
		return nil
	}
	return s.view.update(w, allowExpunge)
}

func (s *session) Idle(w *imapserver.UpdateWriter, stop <-chan struct{}) error {
	s.mu.Lock()
	select {
	case <-s.over:
		s.mu.Unlock()
		return nil
	default:
	}
	s.idles.Add(1)
	defer s.idles.Done()
	var wake <-chan struct{}
	if s.view != nil {
		wake = s.view.wake
	}
	s.mu.Unlock()
	for {
		select {
		case <-stop:
			return nil
		case <-s.over:
			return nil
		case <-wake:
		}
		if err := s.tell(w, stop); err != nil {
			return err
		}
	}
}

// tell writes updates unless IDLE is over.
func (s *session) tell(w *imapserver.UpdateWriter, stop <-chan struct{}) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	select {
	case <-stop:
		return nil
	case <-s.over:
		return nil
	default:
	}
	if s.view == nil {
		return nil
	}
	return s.view.update(w, true)
}

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

func toFlags(names []string) []imap.Flag {
	out := make([]imap.Flag, len(names))
	for i, n := range names {
		out[i] = imap.Flag(n)
	}
	return out
}

// date is the internal date of a message.
func date(m store.Message) time.Time { return time.Unix(m.Date, 0).UTC() }
