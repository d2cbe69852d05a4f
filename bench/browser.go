package main

import (
	"bufio"
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"sync"
	"sync/atomic"
	"time"
)

const browsers = 16 // connections that are kept open

// A browser is one kept connection.
type browser struct {
	conn net.Conn
	in   *bufio.Reader
	req  *http.Request
	buf  []byte
}

// dialBrowser connects. Whose certificate it is does not matter to the load.
func dialBrowser(ctx context.Context, at string) (*browser, error) {
	req, err := http.NewRequest(http.MethodGet, "https://"+webHost+"/", nil)
	if err != nil {
		return nil, err
	}
	d := tls.Dialer{Config: &tls.Config{ServerName: webHost, InsecureSkipVerify: true, MinVersion: tls.VersionTLS13}}
	c, err := d.DialContext(ctx, "tcp", at)
	if err != nil {
		return nil, err
	}
	return &browser{conn: c, in: bufio.NewReader(c), req: req, buf: make([]byte, 8192)}, nil
}

const webRequest = "GET / HTTP/1.1\r\nHost: " + webHost + "\r\nUser-Agent: bench\r\nAccept: */*\r\n\r\n"

// get asks once and checks the answer.
func (b *browser) get(want []byte) error {
	if err := b.conn.SetDeadline(time.Now().Add(5 * time.Second)); err != nil {
		return err
	}
	if _, err := io.WriteString(b.conn, webRequest); err != nil {
		return err
	}
	res, err := http.ReadResponse(b.in, b.req)
	if err != nil {
		return err
	}
	defer res.Body.Close()
	n, err := io.ReadFull(res.Body, b.buf)
	if !errors.Is(err, io.ErrUnexpectedEOF) {
		return fmt.Errorf("status %d, reading %d bytes: %w", res.StatusCode, n, err)
	}
	if res.StatusCode != http.StatusOK || !bytes.Equal(b.buf[:n], want) {
		return fmt.Errorf("status %d, %d bytes", res.StatusCode, n)
	}
	return nil
}

// browse asks over kept connections until the turn is over.
func browse(ctx context.Context, m *meter, at string, want []byte) error {
	bs := make([]*browser, browsers)
	for i := range bs {
		b, err := dialBrowser(ctx, at)
		if err != nil {
			return err
		}
		defer b.conn.Close()
		bs[i] = b
	}
	var wg sync.WaitGroup
	var done atomic.Int64
	errs := make([]error, len(bs))
	m.begin()
	for i, b := range bs {
		wg.Go(func() {
			for !m.over() && ctx.Err() == nil && errs[i] == nil {
				if errs[i] = b.get(want); errs[i] == nil {
					done.Add(1)
				}
			}
		})
	}
	wg.Wait()
	m.end(float64(done.Load()))
	return errors.Join(append(errs, ctx.Err())...)
}
