package mailsrv

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/emersion/go-smtp"

	"pic/mailsrv/message"
	"pic/mailsrv/smtpd"
	"pic/mailsrv/store"
)

const (
	maxHops = 50        // Received fields (RFC 5321 §6.3)
	maxAux  = 256 << 10 // of a structure kept with its message
)

var (
	errOff   = errors.New("mail is switched off")
	errLoop  = refusal(554, smtp.EnhancedCode{5, 4, 6}, "The message has come through too many servers: a loop")
	errFull  = refusal(452, smtp.EnhancedCode{4, 3, 1}, "The disk is full; try again later")
	errDisk  = refusal(452, smtp.EnhancedCode{4, 3, 0}, "The disk fails; try again later")
	errBusy  = refusal(452, smtp.EnhancedCode{4, 3, 1}, "Too much mail waits to be sent; try again later")
	errMoved = refusal(450, smtp.EnhancedCode{4, 2, 1}, "A recipient was changed meanwhile; try again")
)

// accept takes a message from a client and returns once it is safe for all of
// its recipients.
func (s *Server) accept(ctx context.Context, l *life, e *smtpd.Envelope, r io.Reader) error {
	p := s.policy.Load()
	sp, err := readSpool(r, &s.spooled, l.store.Temp)
	if err != nil {
		return s.diskError(err)
	}
	defer sp.close()
	id := strings.ToLower(rand.Text()[:16])
	head := trace(p, e, id, time.Now())
	more := ""
	if e.User != "" {
		if more, err = submitted(p, e, sp, id); err != nil {
			return err
		}
		head += more
	}
	users := map[string]bool{}
	var others []string
	for _, to := range e.To {
		list, err := p.recipients(e.User, to)
		if err != nil {
			return errMoved // it was all right when RCPT was said
		}
		if len(list) == 0 {
			others = append(others, to)
		}
		for _, u := range list {
			users[u] = true
		}
	}
	rest, use := sp.section(), ""
	attrs := []any{"id", id, "from", e.From, "user", e.User, "addr", e.Remote, "recipients", len(users)}
	if s.dns != nil && e.User == "" && !p.insider(e.Remote) {
		f, err := s.examine(ctx, p, e, sp)
		if err != nil {
			return err
		}
		use = f.use
		attrs = append(attrs, "spf", f.SPF.Verdict, "dkim", f.dkim(), "dmarc", f.DMARC.Verdict)
		if f.err != nil {
			s.log.Info("message refused", append(attrs, "err", f.err)...)
			return f.err
		}
		head = f.field + head + f.header
		rest = io.NewSectionReader(rest, f.cut, sp.size-f.cut)
	}
	body := &store.Body{Head: []byte(returnPath(e.From) + head), Rest: rest}
	local := func() error { return s.deliver(ctx, l, users, use, body) }
	if len(others) > 0 {
		err = s.sendOn(l, p, e, sp, id, more, others, local)
	} else {
		err = local()
	}
	if err != nil {
		return s.diskError(err)
	}
	s.received.Add(1)
	s.log.Info("message received", append(attrs, "bytes", body.Size())...)
	return nil
}

// deliver puts a message into each user's mailbox of a special use, or into INBOX
// if there is none. If that fails for one, it is an error, though others may have
// got it.
func (s *Server) deliver(ctx context.Context, l *life, users map[string]bool, use string, body *store.Body) error {
	m, err := message.Scan(body.Reader())
	if err != nil {
		return err
	}
	if m.Received > maxHops {
		return errLoop
	}
	aux := structure(m)
	// All accounts are opened first, so that one that cannot be opened keeps
	// the others from getting the message twice.
	var accounts []*store.Account
	defer func() {
		for _, a := range accounts {
			a.Release()
		}
	}()
	for u := range users {
		a, err := l.store.Account(u)
		if err != nil {
			return err
		}
		accounts = append(accounts, a)
		if err := a.Failed(); err != nil {
			return err
		}
	}
	var wg sync.WaitGroup
	errs := make([]error, len(accounts))
	for i, a := range accounts {
		put := func() {
			in, ok := a.WithUse(use)
			var err error
			if !ok {
				in, err = a.Mailbox(store.Inbox)
			}
			if err == nil {
				_, err = a.Append(ctx, in.ID, store.New{Body: body, Aux: aux})
			}
			errs[i] = err
		}
		if len(accounts) == 1 {
			put()
		} else {
			wg.Go(put)
		}
	}
	wg.Wait()
	return errors.Join(errs...)
}

func structure(m *message.Message) []byte {
	if b := m.Append(nil); len(b) <= maxAux {
		return b
	}
	return nil // it is scanned again when it is asked for
}

// diskError turns trouble with the disk into a reply and keeps it in mind.
func (s *Server) diskError(err error) error {
	if told, ok := errors.AsType[*smtp.SMTPError](err); ok {
		return told
	}
	switch {
	case errors.Is(err, syscall.ENOSPC), errors.Is(err, syscall.EDQUOT):
		s.full.Store(time.Now().UnixNano())
		s.log.Warn("message refused", "err", err)
		return errFull
	case errors.Is(err, store.ErrFailed):
		return errDisk
	}
	return err
}

// trace is what is put before a message (RFC 5321 §4.4).
func trace(p *policy, e *smtpd.Envelope, id string, now time.Time) string {
	var sb strings.Builder
	fmt.Fprintf(&sb, "Received: from %s (%s)\r\n\tby %s with %s id %s", word(e.Helo), literal(e.Remote), p.conf.Host, e.With(), id)
	if len(e.To) == 1 {
		fmt.Fprintf(&sb, "\r\n\tfor <%s>", printable(e.To[0], 320))
	}
	fmt.Fprintf(&sb, ";\r\n\t%s\r\n", now.Format(time.RFC1123Z))
	return sb.String()
}

func returnPath(from string) string { return "Return-Path: <" + printable(from, 320) + ">\r\n" }

// literal is an address as in a Received field.
func literal(a netip.Addr) string {
	if a.Is6() {
		return "[IPv6:" + a.String() + "]"
	}
	return "[" + a.String() + "]"
}

// printable is s without what must not be in a header.
func printable(s string, limit int) string {
	return strings.Map(func(r rune) rune {
		if r < ' ' || r > '~' {
			return '?'
		}
		return r
	}, s[:min(len(s), limit)])
}

// word is s as one word that needs no quotes.
func word(s string) string {
	s = strings.Map(func(r rune) rune {
		if r <= ' ' || r > '~' || strings.ContainsRune(`()<>,;"\`, r) {
			return '?'
		}
		return r
	}, s[:min(len(s), 255)])
	if s == "" {
		return "unknown"
	}
	return s
}

// submitted checks a message that somebody of the house sends, and returns the
// fields that it lacks (RFC 6409 §8).
func submitted(p *policy, e *smtpd.Envelope, sp *spool, id string) (string, error) {
	header, err := sp.header()
	if err != nil {
		return "", err
	}
	has := map[string]bool{}
	for name := range message.Fields(header) {
		has[strings.ToLower(name)] = true
	}
	m, err := message.Scan(io.NewSectionReader(sp.section(), 0, int64(len(header))))
	if err != nil {
		return "", err
	}
	from := m.Root.Envelope.From
	if has["resent-from"] {
		from = m.Root.Envelope.ResentFrom
	}
	for _, a := range from {
		if s := a.String(); s != "" && !p.own(e.User, s) {
			return "", refusal(550, smtp.EnhancedCode{5, 7, 1},
				"The field From has "+printable(s, 320)+", which is not an address of yours; one is "+p.address(e.User))
		}
	}
	var more string
	if !has["date"] {
		more += "Date: " + time.Now().Format(time.RFC1123Z) + "\r\n"
	}
	if !has["message-id"] {
		more += "Message-ID: <" + id + "@" + p.conf.Host + ">\r\n"
	}
	return more, nil
}

// Deliver puts a message, with its header and lines that end in CRLF, into the
// INBOX of local people: to are addresses in the cell's domains or names of
// users. from is where answers about the delivery would go, or "". It returns
// once the message is safe for all of them.
func (s *Server) Deliver(ctx context.Context, from string, to []string, msg io.Reader) error {
	l := s.enter()
	if l == nil {
		return errOff
	}
	defer l.wg.Done()
	p := s.policy.Load()
	users := map[string]bool{}
	for _, t := range to {
		if p.users[t] {
			users[t] = true
			continue
		}
		list, err := p.recipients("", t)
		if err != nil {
			return fmt.Errorf("delivering to %s: %w", t, err)
		}
		for _, u := range list {
			users[u] = true
		}
	}
	sp, err := readSpool(io.LimitReader(msg, p.conf.MaxSize+1), &s.spooled, l.store.Temp)
	if err != nil {
		return fmt.Errorf("delivering mail: %w", err)
	}
	defer sp.close()
	if sp.size > p.conf.MaxSize {
		return fmt.Errorf("delivering mail: the message is longer than %d bytes", p.conf.MaxSize)
	}
	return s.deliver(ctx, l, users, "", &store.Body{Head: []byte(returnPath(from)), Rest: sp.section()})
}

// receive takes what an IMAP client brings, to be stored.
func (s *Server) receive(l *life, r io.Reader) (store.New, func(), error) {
	sp, err := readSpool(r, &s.spooled, l.store.Temp)
	if err != nil {
		return store.New{}, nil, err
	}
	body := &store.Body{Rest: sp.section()}
	m, err := message.Scan(body.Reader())
	if err != nil {
		sp.close()
		return store.New{}, nil, err
	}
	return store.New{Body: body, Aux: structure(m)}, func() { sp.close() }, nil
}
