package client

import (
	"context"
	"encoding/json"
	"net/http"
	"strconv"
	"time"

	"pic/api/wire"
	"pic/core/service"
)

// Status returns the state of the whole cell.
func (c *Client) Status(ctx context.Context) (wire.Health, error) {
	return call[wire.Health](ctx, c, http.MethodGet, "/api/status", nil)
}

// Restart ends a service and starts it anew.
func (c *Client) Restart(ctx context.Context, name string) (service.Status, error) {
	return call[service.Status](ctx, c, http.MethodPost, at("/api/services/", name)+"/restart", nil)
}

// Get returns the value at a path of the document, all of it where path is
// empty; with all defaults filled in where resolved says so.
func (c *Client) Get(ctx context.Context, path string, resolved bool) (json.RawMessage, error) {
	q := map[string]string{"path": path}
	if resolved {
		q["resolved"] = "1"
	}
	v, err := call[wire.Value](ctx, c, http.MethodGet, query("/api/config/value", q), nil)
	return v.Value, err
}

// Set sets one value of the document.
func (c *Client) Set(ctx context.Context, p wire.Put, e Edit) (wire.Outcome, error) {
	return call[wire.Outcome](ctx, c, http.MethodPut, "/api/config/value", p, e)
}

// Delete returns a value of the document to its default, or removes an entry.
func (c *Client) Delete(ctx context.Context, path, reason string, confirm time.Duration, e Edit) (wire.Outcome, error) {
	q := map[string]string{"path": path, "reason": reason}
	if confirm > 0 {
		q["confirmSeconds"] = strconv.Itoa(seconds(confirm))
	}
	return call[wire.Outcome](ctx, c, http.MethodDelete, query("/api/config/value", q), nil, e)
}

// History returns the last n revisions, newest first.
func (c *Client) History(ctx context.Context, n int) ([]wire.Revision, error) {
	return call[[]wire.Revision](ctx, c, http.MethodGet, query("/api/config/history", map[string]string{"limit": strconv.Itoa(n)}), nil)
}

// Diff tells what differs between two revisions; to 0 is the present one.
func (c *Client) Diff(ctx context.Context, from, to int64) (wire.Diff, error) {
	q := map[string]string{"from": strconv.FormatInt(from, 10)}
	if to != 0 {
		q["to"] = strconv.FormatInt(to, 10)
	}
	return call[wire.Diff](ctx, c, http.MethodGet, query("/api/config/diff", q), nil)
}

// Rollback brings back the document of an old revision.
func (c *Client) Rollback(ctx context.Context, revision int64, e Edit) (wire.Outcome, error) {
	return call[wire.Outcome](ctx, c, http.MethodPost, "/api/config/rollback", wire.Rollback{Revision: revision}, e)
}

// Confirm makes the pending change final.
func (c *Client) Confirm(ctx context.Context) (wire.Outcome, error) {
	return call[wire.Outcome](ctx, c, http.MethodPost, "/api/config/confirm", nil)
}

// Revert undoes the pending change now.
func (c *Client) Revert(ctx context.Context) (wire.Outcome, error) {
	return call[wire.Outcome](ctx, c, http.MethodPost, "/api/config/revert", nil)
}
