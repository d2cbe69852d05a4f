package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"pic/core/config"
)

const (
	domain   = "oak.home.arpa"
	user     = "alice"
	password = "correct horse battery"
)

// A cell is a data folder that has been set up, and its process once it runs.
type cell struct {
	lab  *lab
	data string
	host *host // nil: the first namespace
	proc *process
}

// setUp makes a cell. Further arguments go to `pic setup`.
func (l *lab) setUp(ctx context.Context, h *host, args ...string) (*cell, error) {
	c := &cell{lab: l, data: filepath.Join(l.dir, "cell"), host: h}
	secret := filepath.Join(l.dir, "secret")
	if err := os.WriteFile(secret, []byte(password+"\n"), 0o600); err != nil {
		return nil, err
	}
	all := append([]string{
		"setup", "--data", c.data, "--name", "oak", "--domain", domain, "--admin", user, "--password-file", secret,
	}, args...)
	_, err := command(ctx, "", l.pic, all...)
	return c, err
}

// trial is a cell in trial mode that runs, with settings by their paths.
func (l *lab) trial(ctx context.Context, settings map[string]any) (*cell, error) {
	c, err := l.setUp(ctx, nil, "--trial")
	if err != nil {
		return nil, err
	}
	return c, c.serve(ctx, settings)
}

// serve starts the cell, waits until all its services are up, and sets settings.
func (c *cell) serve(ctx context.Context, settings map[string]any) (err error) {
	if c.proc, err = c.lab.start(c.host, c.lab.pic, "serve", "--data", c.data); err != nil {
		return err
	}
	err = c.proc.wait(ctx, func() bool { return c.host.do(healthy) == nil })
	if err != nil {
		return err
	}
	for _, path := range slices.Sorted(maps.Keys(settings)) {
		value, err := json.Marshal(settings[path])
		if err != nil {
			return err
		}
		if _, err := c.pic(ctx, string(value), "set", path, "-"); err != nil {
			return err
		}
	}
	return nil
}

// pic runs a command of the cell.
func (c *cell) pic(ctx context.Context, input string, args ...string) (string, error) {
	return command(ctx, input, c.lab.pic, append([]string{"--data", c.data}, args...)...)
}

// get asks the cell's API and decodes the answer.
func (c *cell) get(ctx context.Context, path string, into any) error {
	api := http.Client{Timeout: 5 * time.Second, Transport: &http.Transport{
		DisableKeepAlives: true,
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			return new(net.Dialer).DialContext(ctx, "unix", filepath.Join(c.data, "run/api.sock"))
		},
	}}
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://localhost"+path, nil)
	if err != nil {
		return err
	}
	res, err := api.Do(req)
	if err != nil {
		return err
	}
	defer res.Body.Close()
	if res.StatusCode != http.StatusOK {
		return fmt.Errorf("%s: %s", path, res.Status)
	}
	return json.NewDecoder(res.Body).Decode(into)
}

// healthy asks the cell on this host whether its services are up. It opens its
// socket on the calling thread, so that it may be asked on another host.
func healthy() error {
	conn, err := net.DialTimeout("tcp", "127.0.0.1:3000", time.Second)
	if err != nil {
		return err
	}
	defer conn.Close()
	if err := conn.SetDeadline(time.Now().Add(time.Second)); err != nil {
		return err
	}
	status := 0
	fmt.Fprint(conn, "GET /health HTTP/1.0\r\nHost: localhost\r\n\r\n")
	if _, err := fmt.Fscanf(conn, "HTTP/1.0 %d", &status); err != nil {
		return err
	}
	if status != http.StatusOK {
		return errors.New("not ready")
	}
	return nil
}

// trialPorts are those that a trial cell without settings listens on.
func trialPorts() (tcp, udp []uint16) {
	d := config.Resolve(&config.Document{Cell: config.Cell{Name: "oak", Mode: config.Trial}}, config.Env{})
	tcp = []uint16{
		d.DNS.Port, d.Mail.SMTPPort, d.Mail.SubmissionPort, d.Mail.SubmissionsPort, d.Mail.IMAPPort, d.DAV.CalDAVPort,
		d.DAV.WebDAVPort, d.Proxy.HTTPPort, d.Proxy.HTTPSPort, d.Web.UIPort, d.Web.APIPort, d.Web.MailPort, d.Web.FilesPort,
	}
	return tcp, []uint16{d.DNS.Port, d.NTP.Port, d.WireGuard.Port}
}

// listening reports whether sockets of this namespace listen on all these ports.
func listening(tcp, udp []uint16) bool {
	return bound("tcp", "0A", tcp) && bound("udp", "07", udp)
}

// bound looks in the kernel's list for sockets in a state.
func bound(proto, state string, ports []uint16) bool {
	var open []string
	for _, file := range []string{"/proc/thread-self/net/" + proto, "/proc/thread-self/net/" + proto + "6"} {
		b, err := os.ReadFile(file)
		if err != nil {
			continue
		}
		for line := range strings.Lines(string(b)) {
			if f := strings.Fields(line); len(f) > 3 && f[3] == state {
				open = append(open, f[1])
			}
		}
	}
	for _, p := range ports {
		if !slices.ContainsFunc(open, func(s string) bool { return strings.HasSuffix(s, fmt.Sprintf(":%04X", p)) }) {
			return false
		}
	}
	return true
}
