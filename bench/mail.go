package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/smtp"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

// mail compares mail servers.
func mail() contest {
	return contest{
		name: "smtp", title: "SMTP: durable delivery, beside Postfix with Dovecot", packages: []string{"postfix", "dovecot-lmtpd"},
		what: `Messages of 4 KiB from a stranger to one mailbox, over kept connections without TLS. A turn ends when the server counts
all of them in the mailbox: the cell says 250 only when a message is there; Postfix says it when the message is in its
queue and hands it to Dovecot over LMTP, so its queue is waited for. Processor time and memory are those of all processes
of both. How long a message takes depends on the disk.`,
		run: mailRun,
	}
}

func mailRun(ctx context.Context, l *lab) (string, error) {
	m := &match{unit: "message", cpu: time.Millisecond, works: []string{"1 session", "10 sessions"}}
	err := m.enter("pic", func() (*rival, error) {
		c, err := l.trial(ctx, nil)
		if err != nil {
			return nil, err
		}
		p := &postbox{at: "127.0.0.1:10025", arrived: func() (int64, error) { return c.messages(ctx) }}
		return &rival{procs: []*process{c.proc}, jobs: []job{p.post(1), p.post(10)}}, nil
	})
	if err != nil {
		return "", err
	}
	err = m.enter("postfix+dovecot", func() (*rival, error) { return l.postfix(ctx) })
	if err != nil {
		return "", err
	}
	return m.play(ctx, l)
}

// messages asks the cell how many the user has.
func (c *cell) messages(ctx context.Context) (int64, error) {
	var state struct {
		Mailboxes []struct {
			User     string `json:"user"`
			Messages int64  `json:"messages"`
		} `json:"mailboxes"`
	}
	if err := c.get(ctx, "/api/email", &state); err != nil {
		return 0, err
	}
	var n int64
	for _, b := range state.Mailboxes {
		if b.User == user {
			n += b.Messages
		}
	}
	return n, nil
}

// A postbox is where messages are left.
type postbox struct {
	at      string
	sent    atomic.Int64
	arrived func() (int64, error) // counts the messages in the mailbox
}

// letter is a message of 4 KiB.
func letter() []byte {
	var b strings.Builder
	fmt.Fprintf(&b, "From: Bob <bob@example.com>\r\nTo: %s@%s\r\nSubject: A letter\r\nDate: Mon, 05 Jan 2026 09:00:00 +0000\r\n"+
		"Message-ID: <letter@example.com>\r\n\r\n", user, domain)
	for b.Len() < 4096 {
		b.WriteString("What is measured here is how soon a letter is safe in its box.\r\n")
	}
	return []byte(b.String())
}

// post sends over so many sessions until the turn is over.
func (p *postbox) post(sessions int) job {
	return func(ctx context.Context, m *meter) error {
		text := letter()
		clients := make([]*smtp.Client, sessions)
		for i := range clients {
			conn, err := net.DialTimeout("tcp", p.at, 5*time.Second)
			if err != nil {
				return err
			}
			defer conn.Close()
			if err := conn.SetDeadline(time.Now().Add(m.span + 20*time.Second)); err != nil {
				return err
			}
			if clients[i], err = smtp.NewClient(conn, "mail."+domain); err != nil {
				return err
			}
			if err := clients[i].Hello("client.example.com"); err != nil {
				return err
			}
		}
		var wg sync.WaitGroup
		var n atomic.Int64
		errs := make([]error, sessions)
		m.begin()
		for i, c := range clients {
			wg.Go(func() {
				for !m.over() && ctx.Err() == nil && errs[i] == nil {
					if errs[i] = drop(c, text); errs[i] == nil {
						n.Add(1)
					}
				}
			})
		}
		wg.Wait()
		err := errors.Join(append(errs, p.settle(ctx, p.sent.Add(n.Load())))...)
		m.end(float64(n.Load()))
		return err
	}
}

// settle waits until all that was sent has arrived.
func (p *postbox) settle(ctx context.Context, total int64) error {
	for end := time.Now().Add(20 * time.Second); ; {
		n, err := p.arrived()
		if err != nil || n == total {
			return err
		}
		if n > total || time.Now().After(end) {
			return fmt.Errorf("%d messages arrived of %d", n, total)
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(5 * time.Millisecond):
		}
	}
}

// drop sends one message and returns when it is acknowledged.
func drop(c *smtp.Client, text []byte) error {
	if err := c.Mail("bob@example.com"); err != nil {
		return err
	}
	if err := c.Rcpt(user + "@" + domain); err != nil {
		return err
	}
	w, err := c.Data()
	if err != nil {
		return err
	}
	if _, err := w.Write(text); err != nil {
		return err
	}
	return w.Close()
}
