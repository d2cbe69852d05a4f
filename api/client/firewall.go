package client

import (
	"context"
	"net/http"

	"pic/api/wire"
)

// Firewall returns the packet filter as it is in force.
func (c *Client) Firewall(ctx context.Context) (wire.Firewall, error) {
	return call[wire.Firewall](ctx, c, http.MethodGet, "/api/firewall", nil)
}

// Block shuts out an address or a network.
func (c *Client) Block(ctx context.Context, b wire.NewBlock, e Edit) (wire.Outcome, error) {
	return call[wire.Outcome](ctx, c, http.MethodPost, "/api/firewall/block", b, e)
}

// Unblock lifts a block.
func (c *Client) Unblock(ctx context.Context, net string, e Edit) (wire.Outcome, error) {
	return call[wire.Outcome](ctx, c, http.MethodDelete, query("/api/firewall/block", map[string]string{"net": net}), nil, e)
}
