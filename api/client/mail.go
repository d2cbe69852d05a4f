package client

import (
	"context"
	"net/http"

	"pic/api/wire"
)

// MailQueue returns mail that waits to be sent to other places.
func (c *Client) MailQueue(ctx context.Context) ([]wire.QueuedMail, error) {
	return call[[]wire.QueuedMail](ctx, c, http.MethodGet, "/api/email/queue", nil)
}

// MoveMail retries or holds a queued message: action is retry or hold.
func (c *Client) MoveMail(ctx context.Context, id, action string) error {
	_, err := call[none](ctx, c, http.MethodPost, at("/api/email/queue/", id)+"/"+action, nil)
	return err
}

// DropMail removes a queued message.
func (c *Client) DropMail(ctx context.Context, id string) error {
	_, err := call[none](ctx, c, http.MethodDelete, at("/api/email/queue/", id), nil)
	return err
}

// MailDomains returns what DNS says of the mail domains.
func (c *Client) MailDomains(ctx context.Context) ([]wire.MailDomain, error) {
	return call[[]wire.MailDomain](ctx, c, http.MethodGet, "/api/email/domains", nil)
}

// NewMailKeys makes keys that sign mail of a domain.
func (c *Client) NewMailKeys(ctx context.Context, domain string, e Edit) (wire.Outcome, error) {
	return call[wire.Outcome](ctx, c, http.MethodPost, at("/api/email/domains/", domain)+"/keys", nil, e)
}

// RemoveMailKey removes a key that signs mail.
func (c *Client) RemoveMailKey(ctx context.Context, domain, selector string, e Edit) (wire.Outcome, error) {
	return call[wire.Outcome](ctx, c, http.MethodDelete, at("/api/email/domains/", domain)+at("/keys/", selector), nil, e)
}

// SetSmarthost sends mail through a provider's server.
func (c *Client) SetSmarthost(ctx context.Context, s wire.NewSmarthost, e Edit) (wire.Outcome, error) {
	return call[wire.Outcome](ctx, c, http.MethodPut, "/api/email/smarthost", s, e)
}

// RemoveSmarthost has the cell bring mail to other places itself.
func (c *Client) RemoveSmarthost(ctx context.Context, e Edit) (wire.Outcome, error) {
	return call[wire.Outcome](ctx, c, http.MethodDelete, "/api/email/smarthost", nil, e)
}
