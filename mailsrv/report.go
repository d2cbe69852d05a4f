package mailsrv

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"pic/core/service"
	"pic/internal/order"
	"pic/mailsrv/store"
)

// fullTime is how long a full disk is remembered.
const fullTime = 10 * time.Minute

// An AccountStatus is the totals of somebody's mail.
type AccountStatus struct {
	User     string
	Messages int
	Unseen   int
	Bytes    int64 // of the messages
	Disk     int64 // of all bodies on disk, those of deleted messages too
	// Suspended is mail of somebody who was switched off or removed.
	Suspended bool
}

// A MailboxStatus is one mailbox of somebody.
type MailboxStatus struct {
	Name       string
	Use        string // special use, such as \Sent, or empty
	Messages   int
	Unseen     int
	Bytes      int64
	Subscribed bool
}

// Accounts returns the totals of everybody who has mail or could have, sorted by
// name. It reads accounts that have not been open since the start, which takes a
// moment for large ones.
func (s *Server) Accounts() ([]AccountStatus, error) {
	l := s.enter()
	if l == nil {
		return nil, nil
	}
	defer l.wg.Done()
	p := s.policy.Load()
	names, err := l.store.Users()
	if err != nil {
		return nil, err
	}
	names = append(names, p.conf.Users...)
	slices.Sort(names)
	var out []AccountStatus
	for _, u := range slices.Compact(names) {
		sum, err := l.store.Summary(u)
		if err != nil {
			return nil, err
		}
		out = append(out, AccountStatus{User: u, Messages: sum.Messages, Unseen: sum.Unseen, Bytes: sum.Bytes, Disk: sum.Stored, Suspended: !p.users[u]})
	}
	return out, nil
}

// Mailboxes returns the mailboxes of a user, INBOX first.
func (s *Server) Mailboxes(user string) ([]MailboxStatus, error) {
	l := s.enter()
	if l == nil {
		return nil, errOff
	}
	defer l.wg.Done()
	if _, known := s.policy.Load().users[user]; !known {
		return nil, fmt.Errorf("there is no user %q", user)
	}
	a, err := l.store.Account(user)
	if err != nil {
		return nil, err
	}
	defer a.Release()
	var out []MailboxStatus
	for _, m := range a.Mailboxes() {
		out = append(out, MailboxStatus{m.Name, m.Use, m.Messages, m.Unseen, m.Bytes, m.Subscribed})
	}
	return out, nil
}

// Sockets lists what is listened on.
func (s *Server) Sockets() []string { return s.set.Sockets() }

// Facts tells about the present state.
func (s *Server) Facts() []service.Fact {
	return []service.Fact{
		{Name: "messages received", Value: strconv.FormatInt(s.received.Load(), 10)},
		{Name: "mail programs connected", Value: strconv.Itoa(s.imap.count())},
		{Name: "senders connected", Value: strconv.Itoa(s.smtp.count())},
	}
}

// Problems lists what is wrong.
func (s *Server) Problems() []service.Problem {
	l := s.enter()
	if l == nil {
		return nil
	}
	defer l.wg.Done()
	var out []service.Problem
	l.store.Each(func(a *store.Account) {
		if err := a.Failed(); err != nil {
			out = append(out, service.Problem{
				Code: "mail/disk-failed", Severity: service.Failure, Since: a.FailedSince(),
				Title: "The mail of " + a.User + " can no longer be saved",
				Text:  err.Error(),
				Fix:   "Check the disk, then restart the mail service. Senders keep what was refused and try again.",
			})
		}
		if d := a.Damage(); len(d.Places) > 0 {
			out = append(out, service.Problem{
				Code: "mail/damaged", Severity: service.Warning, Since: a.Opened,
				Title: "Some stored mail of " + a.User + " cannot be read",
				Text:  fmt.Sprintf("Unreadable: %s. Lost: at least %d changes.", strings.Join(d.Places[:min(len(d.Places), 5)], ", "), d.Frames),
				Fix:   "Check the disk. A backup from before has what was lost.",
			})
		}
	})
	if at := time.Unix(0, s.full.Load()); time.Since(at) < fullTime {
		out = append(out, service.Problem{
			Code: "mail/disk-full", Severity: service.Failure, Since: at,
			Title: "Mail was refused because the disk is full",
			Fix:   "Free some space. Senders keep what was refused and try again.",
		})
	}
	if p := s.policy.Load(); p.conf.Postmaster == "" {
		out = append(out, service.Problem{
			Code: "mail/no-postmaster", Severity: service.Warning, Since: p.since,
			Title: "Nobody gets mail for postmaster",
			Fix:   "Give an enabled user the role admin.",
		})
	}
	order.Stable(out, func(a, b service.Problem) int { return strings.Compare(string(a.Severity), string(b.Severity)) })
	return out
}
