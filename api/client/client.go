// Package client calls a cell's REST API: over the socket of the cell on the
// same machine, or over HTTP with a token.
//
// Errors are *[Error] where the cell answered with a problem, and wrap
// [ErrUnreachable] where it did not answer. A Client may be used by several
// goroutines. It never retries a request; only [Client.Follow] reconnects.
package client

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"mime"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"pic/api/wire"
)

// ErrUnreachable reports that no cell answered.
var ErrUnreachable = errors.New("the cell does not answer")

// maxAnswer bounds what is read of one answer.
const maxAnswer = 64 << 20

// An Error is a problem that the cell answered with.
type Error wire.Error

func (e *Error) Error() string {
	if len(e.Errors) > 1 {
		var b strings.Builder
		for i, f := range e.Errors {
			if i > 0 {
				b.WriteByte('\n')
			}
			b.WriteString(f.Path + ": " + f.Message)
		}
		return b.String()
	}
	if e.Detail != "" {
		return e.Detail
	}
	return e.Title
}

// A Client calls one cell. Use [Socket] or [Remote].
type Client struct {
	base  string
	token string
	http  *http.Client
	where string // for messages
}

// Socket returns a client of the cell whose socket is at path. The cell takes
// its caller for the administrator if it is root or runs as the same user.
func Socket(path string) *Client {
	dial := func(ctx context.Context, _, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, "unix", path)
	}
	return &Client{base: "http://cell", http: &http.Client{Transport: &http.Transport{DialContext: dial}}, where: path}
}

// Remote returns a client of the cell at base, such as http://127.0.0.1:3000,
// that shows an API token.
func Remote(base, token string) *Client {
	return &Client{
		base: strings.TrimSuffix(base, "/"), token: token, where: base,
		// A token must not follow a redirect to somebody else.
		http: &http.Client{CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }},
	}
}

// An Edit says how to make a change.
type Edit struct {
	DryRun bool  // only say what it would do
	Base   int64 // the revision that it was made for; 0: whatever is current
}

func (e Edit) apply(r *http.Request) {
	if e.DryRun {
		q := r.URL.Query()
		q.Set("dry-run", "1")
		r.URL.RawQuery = q.Encode()
	}
	if e.Base != 0 {
		r.Header.Set("If-Match", `"`+strconv.FormatInt(e.Base, 10)+`"`)
	}
}

// do sends one request and returns the answer, which is a success.
func (c *Client) do(ctx context.Context, method, path string, in any, edits ...Edit) (*http.Response, error) {
	var body io.Reader
	if in != nil {
		data, err := json.Marshal(in)
		if err != nil {
			return nil, fmt.Errorf("encoding the request: %w", err)
		}
		body = bytes.NewReader(data)
	}
	r, err := http.NewRequestWithContext(ctx, method, c.base+path, body)
	if err != nil {
		return nil, err
	}
	if in != nil {
		r.Header.Set("Content-Type", "application/json")
	}
	if c.token != "" {
		r.Header.Set("Authorization", "Bearer "+c.token)
	}
	for _, e := range edits {
		e.apply(r)
	}
	return c.send(r)
}

func (c *Client) send(r *http.Request) (*http.Response, error) {
	resp, err := c.http.Do(r)
	if err != nil {
		if ctx := r.Context().Err(); ctx != nil {
			return nil, ctx
		}
		var u *url.Error
		if errors.As(err, &u) {
			err = u.Err // without the made-up host of the socket
		}
		return nil, fmt.Errorf("%w at %s: %w", ErrUnreachable, c.where, err)
	}
	if resp.StatusCode < 300 {
		return resp, nil
	}
	defer resp.Body.Close()
	e := &Error{Status: resp.StatusCode, Title: http.StatusText(resp.StatusCode)}
	body, _ := io.ReadAll(io.LimitReader(resp.Body, 1<<20))
	if kind, _, _ := mime.ParseMediaType(resp.Header.Get("Content-Type")); kind == "application/problem+json" {
		_ = json.Unmarshal(body, e) // what does not parse leaves the status
	}
	if e.Status == 0 {
		e.Status = resp.StatusCode
	}
	return nil, e
}

// call sends one request and returns the JSON of its answer.
func call[T any](ctx context.Context, c *Client, method, path string, in any, edits ...Edit) (out T, err error) {
	err = c.call(ctx, method, path, in, &out, edits)
	return out, err
}

// call sends one request and decodes the JSON of its answer into out.
func (c *Client) call(ctx context.Context, method, path string, in, out any, edits []Edit) error {
	resp, err := c.do(ctx, method, path, in, edits...)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	if resp.StatusCode == http.StatusNoContent {
		return nil
	}
	if err := json.NewDecoder(io.LimitReader(resp.Body, maxAnswer)).Decode(out); err != nil {
		return fmt.Errorf("reading the answer to %s %s: %w", method, path, err)
	}
	return nil
}

// text fetches something that is not JSON.
func (c *Client) text(ctx context.Context, path string) ([]byte, error) {
	resp, err := c.do(ctx, http.MethodGet, path, nil)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	return io.ReadAll(io.LimitReader(resp.Body, maxAnswer))
}

// none is the answer to a request that has none.
type none struct{}

// at makes a path of parts that may hold anything.
func at(prefix string, parts ...string) string {
	for i, p := range parts {
		parts[i] = url.PathEscape(p)
	}
	return prefix + strings.Join(parts, "/")
}

func query(path string, values map[string]string) string {
	q := url.Values{}
	for k, v := range values {
		if v != "" {
			q.Set(k, v)
		}
	}
	if len(q) == 0 {
		return path
	}
	return path + "?" + q.Encode()
}

func seconds(d time.Duration) int { return int(d / time.Second) }
