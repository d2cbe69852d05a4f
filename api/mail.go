package api

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"pic/api/wire"
	"pic/core/config"
	"pic/mailsrv"
	"pic/mailsrv/queue"
)

func (a *API) mailRoutes() {
	route(a, SignedIn, "GET /api/email/queue", "Mail that waits to be sent to other places; for the role user: their own", a.mailQueue)
	route(a, SignedIn, "POST /api/email/queue/{id}/{action}", "Retry a queued message now, or hold it", a.moveMail)
	route(a, SignedIn, "DELETE /api/email/queue/{id}", "Drop a queued message; its sender is not told", a.dropMail)
	route(a, Viewers, "GET /api/email/domains", "What DNS says of the mail domains, and what it should", a.mailDomains)
	route(a, Admins, "POST /api/email/domains/{domain}/keys", "Make new keys that sign mail of a domain (DKIM)", a.newMailKeys)
	route(a, Admins, "DELETE /api/email/domains/{domain}/keys/{selector}", "Remove a key that signs mail", a.removeMailKey)
	route(a, Admins, "PUT /api/email/smarthost", "Send mail through a provider's server", a.setSmarthost)
	route(a, Admins, "DELETE /api/email/smarthost", "Bring mail to other places without a provider", a.removeSmarthost)
}

func (a *API) mailQueue(ctx context.Context, _ *struct{}) (*body[[]wire.QueuedMail], error) {
	out := []wire.QueuedMail{}
	q := a.Mail.Outbound()
	if q == nil {
		return &body[[]wire.QueuedMail]{out}, nil
	}
	for _, m := range q.List() {
		if mayMail(ctx, &m) {
			out = append(out, queued(&m))
		}
	}
	return &body[[]wire.QueuedMail]{out}, nil
}

func mayMail(ctx context.Context, m *queue.Message) bool {
	c := callerOf(ctx)
	return c.viewer() || m.User != "" && m.User == c.Name
}

func queued(m *queue.Message) wire.QueuedMail {
	out := wire.QueuedMail{
		ID: m.ID, From: m.From, User: m.User, Subject: m.Subject, Created: m.Created, Bytes: m.Size, Held: m.Held, Recipients: []wire.QueuedRecipient{},
	}
	for _, r := range m.Recipients {
		w := wire.QueuedRecipient{Address: r.Addr, State: "waiting", Attempts: r.Attempts, Host: r.Host, Why: r.Why, Next: r.Next}
		switch {
		case r.Done:
			w.State, w.Next = "sent", time.Time{}
		case r.Failed:
			w.State, w.Next = "failed", time.Time{}
		}
		out.Recipients = append(out.Recipients, w)
	}
	return out
}

// ownMail finds a message that the caller may handle: their own, or for
// administrators any.
func (a *API) ownMail(ctx context.Context, id string) (*queue.Queue, error) {
	q := a.Mail.Outbound()
	if q == nil {
		return nil, missing("queued message " + id)
	}
	c := callerOf(ctx)
	for _, m := range q.List() {
		if m.ID == id && (c.admin() || m.User != "" && m.User == c.Name) {
			return q, nil
		}
	}
	return nil, missing("queued message " + id)
}

type moveMailInput struct {
	ID     string `path:"id" maxLength:"64"`
	Action string `path:"action" enum:"retry,hold"`
}

func (a *API) moveMail(ctx context.Context, in *moveMailInput) (*struct{}, error) {
	q, err := a.ownMail(ctx, in.ID)
	if err != nil {
		return nil, err
	}
	if in.Action == "hold" {
		err = q.Hold(in.ID)
	} else {
		err = q.Retry(in.ID)
	}
	return nil, gone(err, in.ID)
}

// gone says it if a message left the queue meanwhile.
func gone(err error, id string) error {
	if errors.Is(err, queue.ErrNone) {
		return missing("queued message " + id)
	}
	return err
}

type dropMailInput struct {
	ID string `path:"id" maxLength:"64"`
}

func (a *API) dropMail(ctx context.Context, in *dropMailInput) (*struct{}, error) {
	q, err := a.ownMail(ctx, in.ID)
	if err != nil {
		return nil, err
	}
	return nil, gone(q.Drop(in.ID), in.ID)
}

func (a *API) mailDomains(ctx context.Context, _ *struct{}) (*body[[]wire.MailDomain], error) {
	ctx, cancel := context.WithTimeout(ctx, 20*time.Second)
	defer cancel()
	out := []wire.MailDomain{}
	for _, d := range a.Mail.Domains(ctx) {
		w := wire.MailDomain{Domain: d.Domain, Local: d.Local, Records: []wire.MailRecord{}}
		for _, r := range d.Records {
			state := "wrong"
			switch {
			case r.Unsure:
				state = "unknown"
			case r.Good:
				state = "good"
			case len(r.Found) == 0:
				state = "missing"
			}
			w.Records = append(w.Records, wire.MailRecord{
				Kind: r.Kind, Name: r.Name, Type: r.Type, Want: r.Want, Found: list(r.Found), State: state, Why: r.Why,
			})
		}
		out = append(out, w)
	}
	return &body[[]wire.MailDomain]{out}, nil
}

const (
	mailKeyKind   = "dkim"
	smarthostKind = "smarthost"
)

type mailKeysInput struct {
	Changing
	Domain string `path:"domain" maxLength:"253" doc:"A mail domain of the cell"`
}

// newMailKeys adds keys; those of before stay published, and stop signing.
func (a *API) newMailKeys(ctx context.Context, in *mailKeysInput) (*outcome, error) {
	if !slices.Contains(a.Store.Resolved().Mail.Domains, in.Domain) {
		return nil, missing("mail domain " + in.Domain)
	}
	keys, err := mailsrv.NewKeys(in.Domain, time.Now())
	if err != nil {
		return nil, err
	}
	var add []config.DKIM
	for _, k := range keys {
		id := config.Secret("not-kept-yet")
		if !in.DryRun {
			if id, err = a.Vault.Put(ctx, mailKeyKind, k.Private); err != nil {
				return nil, fmt.Errorf("keeping the key: %w", err)
			}
		}
		add = append(add, config.DKIM{Domain: in.Domain, Selector: k.Selector, Record: k.Record, Key: id})
	}
	return a.edited(ctx, edit{Changing: in.Changing, reason: "keys for mail of " + in.Domain, do: func(d *config.Document) error {
		d.Mail.DKIM = append(d.Mail.DKIM, add...)
		return nil
	}})
}

type removeMailKeyInput struct {
	Changing
	Domain   string `path:"domain" maxLength:"253" doc:"A mail domain"`
	Selector string `path:"selector" maxLength:"253" doc:"The key's selector"`
}

func (a *API) removeMailKey(ctx context.Context, in *removeMailKeyInput) (*outcome, error) {
	return a.edited(ctx, edit{Changing: in.Changing, reason: "remove a key for mail of " + in.Domain, do: func(d *config.Document) error {
		with := len(d.Mail.DKIM)
		d.Mail.DKIM = slices.DeleteFunc(d.Mail.DKIM, func(k config.DKIM) bool { return k.Domain == in.Domain && k.Selector == in.Selector })
		if len(d.Mail.DKIM) == with {
			return missing("key " + in.Selector + " of " + in.Domain)
		}
		return nil
	}})
}

type setSmarthostInput struct {
	Changing
	Body wire.NewSmarthost
}

func (a *API) setSmarthost(ctx context.Context, in *setSmarthostInput) (*outcome, error) {
	b := in.Body
	h := config.Smarthost{Host: b.Host, Port: b.Port, User: b.User}
	if b.Password != "" {
		h.Password = "not-kept-yet"
		if !in.DryRun {
			id, err := a.Vault.Put(ctx, smarthostKind, []byte(b.Password))
			if err != nil {
				return nil, fmt.Errorf("keeping the password: %w", err)
			}
			h.Password = id
		}
	}
	return a.edited(ctx, edit{Changing: in.Changing, reason: "mail goes through " + b.Host, do: func(d *config.Document) error {
		with := h
		if was := d.Mail.Smarthost; was != nil && with.Password == "" && with.User != "" && was.User == with.User && was.Host == with.Host {
			with.Password = was.Password
		}
		d.Mail.Smarthost = &with
		return nil
	}})
}

func (a *API) removeSmarthost(ctx context.Context, in *struct{ Changing }) (*outcome, error) {
	return a.edited(ctx, edit{Changing: in.Changing, reason: "mail goes without a provider", do: func(d *config.Document) error {
		if d.Mail.Smarthost == nil {
			return missing("smarthost")
		}
		d.Mail.Smarthost = nil
		return nil
	}})
}
