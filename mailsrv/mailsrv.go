// Package mailsrv is the mail of the house: it takes mail for its people, keeps
// it, and lets them read it.
//
// # Promises
//
// A message is answered with 250 once it is safe on disk for every recipient,
// and not before. What cannot be kept is refused with a temporary error, and
// nothing of it is left. Strangers cannot send through the cell to other places;
// the people of the house can, from addresses of their own, signed by the keys
// of their domain. Passwords are taken over TLS only.
//
// Changes of people, domains, aliases and ports are in force at once and leave
// other sockets and sessions alone. The sessions of somebody who was switched
// off or removed are closed; their mail is kept.
//
// # Parts
//
//   - [pic/mailsrv/store] keeps mailboxes and messages.
//   - [pic/mailsrv/message] reads the structure of messages.
//   - [pic/mailsrv/origin] finds out who mail from outside is from, by what
//     [pic/mailsrv/lookup] asks of DNS.
//   - [pic/mailsrv/queue] brings mail to other places.
//   - [pic/mailsrv/smtpd] and [pic/mailsrv/imapd] speak SMTP and IMAP to one
//     connection. Others can take their place over the same store.
//   - This package has the sockets, decides who may do what, and delivers.
//
// SMTP (RFC 5321) on port 25 is for everybody. Submission (RFC 6409), on 587
// with STARTTLS and on 465 with TLS (RFC 8314), and IMAP with TLS are for
// insiders only, by [config.Document.Insiders].
//
// # Not built yet
//
// Spam; Sieve and vacation replies; quotas; full text search; ManageSieve; shared mailboxes.
package mailsrv

import (
	"fmt"
	"net/netip"
	"slices"

	"pic/core/config"
	"pic/internal/listen"
)

// Config is what the server needs to know. [From] derives it.
type Config struct {
	Host        string // what the server calls itself
	SMTP        []listen.Socket
	Submission  []listen.Socket
	Submissions []listen.Socket
	IMAPS       []listen.Socket
	Domains     []string
	Users       []string // whose mail is taken
	Disabled    []string // who have mail that rests
	Aliases     []config.Alias
	Postmaster  string // the user who gets what is for postmaster, abuse and hostmaster
	MaxSize     int64  // bytes of a message
	Insiders    []netip.Prefix
	Links       []Linked
	Smarthost   *config.Smarthost
	DKIM        []config.DKIM
}

// A Linked is another cell that mail goes to through the tunnel.
type Linked struct {
	Domain  string
	Subnets []netip.Prefix
}

// From picks the server's Config out of a resolved document.
func From(d *config.Document) Config {
	m := d.Mail
	if !config.On(m.Enabled) {
		return Config{}
	}
	sockets := func(port, standard uint16) []listen.Socket {
		return listen.For("tcp", m.Listen, port, d.Tunnel(), standard)
	}
	c := Config{
		Host:        "mail." + d.Cell.Domain,
		SMTP:        sockets(m.SMTPPort, 25),
		Submission:  sockets(m.SubmissionPort, 587),
		Submissions: sockets(m.SubmissionsPort, 465),
		IMAPS:       sockets(m.IMAPPort, 993),
		Domains:     slices.Clone(m.Domains),
		Aliases:     slices.Clone(m.Aliases),
		MaxSize:     m.MaxSize,
		Insiders:    d.Insiders(),
		Smarthost:   m.Smarthost,
		DKIM:        slices.Clone(m.DKIM),
	}
	for _, l := range d.Links {
		if !l.Disabled {
			c.Links = append(c.Links, Linked{l.Domain, l.Subnets})
		}
	}
	for _, u := range d.Users {
		if u.Disabled {
			c.Disabled = append(c.Disabled, u.Name)
			continue
		}
		c.Users = append(c.Users, u.Name)
		if u.Role == config.Admin && c.Postmaster == "" {
			c.Postmaster = u.Name
		}
	}
	return c
}

// enabled reports whether there is anything to serve.
func (c Config) enabled() bool {
	return len(c.SMTP)+len(c.Submission)+len(c.Submissions)+len(c.IMAPS) > 0
}

// A protocol is what is spoken on a socket.
type protocol int

const (
	smtpIn protocol = iota
	submission
	submissions
	imaps
)

// implicit reports whether the protocol begins with a TLS handshake.
func (p protocol) implicit() bool { return p == submissions || p == imaps }

// sockets returns what is spoken where. An error says that two protocols want
// the same place.
func (c Config) sockets() (want []listen.Socket, spoken map[listen.Socket]protocol, err error) {
	spoken = map[listen.Socket]protocol{}
	for p, list := range [][]listen.Socket{smtpIn: c.SMTP, submission: c.Submission, submissions: c.Submissions, imaps: c.IMAPS} {
		for _, s := range list {
			other, there := spoken[s]
			switch {
			case !there:
				want = append(want, s)
				spoken[s] = protocol(p)
			case other != protocol(p):
				err = fmt.Errorf("two mail services want %s; give one of them another port", s)
			}
		}
	}
	return want, spoken, err
}
