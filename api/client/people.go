package client

import (
	"context"
	"net/http"

	"pic/api/wire"
)

// Users returns the people of the household.
func (c *Client) Users(ctx context.Context) ([]wire.User, error) {
	return call[[]wire.User](ctx, c, http.MethodGet, "/api/users", nil)
}

// AddUser adds a person.
func (c *Client) AddUser(ctx context.Context, u wire.NewUser, e Edit) (wire.UserOutcome, error) {
	return call[wire.UserOutcome](ctx, c, http.MethodPost, "/api/users", u, e)
}

// EditUser changes a person.
func (c *Client) EditUser(ctx context.Context, name string, u wire.UserEdit, e Edit) (wire.UserOutcome, error) {
	return call[wire.UserOutcome](ctx, c, http.MethodPut, at("/api/users/", name), u, e)
}

// RemoveUser removes a person and their devices.
func (c *Client) RemoveUser(ctx context.Context, name string, e Edit) (wire.Outcome, error) {
	return call[wire.Outcome](ctx, c, http.MethodDelete, at("/api/users/", name), nil, e)
}

// SetPassword sets the password of a person.
func (c *Client) SetPassword(ctx context.Context, name string, p wire.NewPassword) error {
	_, err := call[none](ctx, c, http.MethodPut, at("/api/users/", name)+"/password", p)
	return err
}

// Tokens lists the API tokens, of everybody where the caller may know.
func (c *Client) Tokens(ctx context.Context) ([]wire.Token, error) {
	return call[[]wire.Token](ctx, c, http.MethodGet, "/api/tokens", nil)
}

// CreateToken makes an API token; its secret is told this once.
func (c *Client) CreateToken(ctx context.Context, t wire.NewToken) (wire.Issued, error) {
	return call[wire.Issued](ctx, c, http.MethodPost, "/api/tokens", t)
}

// DeleteToken makes an API token worthless.
func (c *Client) DeleteToken(ctx context.Context, id string) error {
	_, err := call[none](ctx, c, http.MethodDelete, at("/api/tokens/", id), nil)
	return err
}
