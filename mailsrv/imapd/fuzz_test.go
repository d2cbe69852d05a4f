package imapd

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/netip"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"pic/mailsrv/store"
)

var announced = regexp.MustCompile(`\{([0-9]+)\+\} *\r?$`)

// commands splits what a client says into commands as RFC 7888 has it: lines,
// where one that ends in {n+} goes on with n bytes and another line.
func commands(s string) []string {
	var out []string
	for s != "" {
		cmd := ""
		for {
			line, rest, ok := strings.Cut(s, "\n")
			if !ok {
				return append(out, cmd+s)
			}
			cmd += line + "\n"
			s = rest
			g := announced.FindStringSubmatch(line)
			if g == nil {
				break
			}
			n, err := strconv.Atoi(g[1])
			if err != nil {
				n = len(s)
			}
			n = min(n, len(s))
			cmd += s[:n]
			s = s[n:]
		}
		out = append(out, cmd)
	}
	return out
}

var creates = regexp.MustCompile(`(?is)^\S+ +CREATE .*injected`)

// Whatever a client says, nothing in a literal is carried out as a command, and
// the connection ends when the client goes.
func FuzzConnection(f *testing.F) {
	const inject = "c CREATE injected\r\n"
	for _, s := range []string{
		"a NOSUCH {19+}\r\n" + inject, "a CREATE {8+}\r\ninjected\r\n", "a SELECT (x {19+}\r\n" + inject, "a SELECT INBOX\r\nb IDLE\r\ndone\r\n" + inject,
		"a APPEND INBOX (\\Seen) {19+}\r\n" + inject + "\r\nb FETCH 1:* (BODY[] ENVELOPE)\r\n", "a SEARCH OR NOT (SUBJECT {19+}\r\n" + inject + ") ALL\r\n",
		"a CREATE \"x{19+}\r\n" + inject, "a AUTHENTICATE PLAIN\r\nx{19+}\r\n" + inject,
	} {
		f.Add(s)
	}
	st, err := store.Open(f.TempDir(), slog.New(slog.DiscardHandler))
	if err != nil {
		f.Fatal(err)
	}
	f.Cleanup(func() { st.Close() })
	f.Fuzz(func(t *testing.T, s string) {
		o := &Options{
			Log: slog.New(slog.DiscardHandler), MaxSize: 10000,
			Login: func(context.Context, string, string, netip.Addr) (*store.Account, error) { return st.Account("kim") },
			Receive: func(_ context.Context, r io.Reader) (store.New, func(), error) {
				b, err := io.ReadAll(r)
				return store.New{Body: &store.Body{Head: b}}, func() {}, err
			},
		}
		ours, theirs := net.Pipe()
		done := make(chan struct{})
		go func() {
			defer close(done)
			Serve(t.Context(), ours, netip.Addr{}, o)
		}()
		go func() {
			theirs.SetDeadline(time.Now().Add(10 * time.Second))
			io.WriteString(theirs, "l LOGIN x y\r\n"+s)
			theirs.Close()
		}()
		io.Copy(io.Discard, theirs)
		theirs.Close()
		select {
		case <-done:
		case <-time.After(20 * time.Second):
			t.Fatal("the connection does not end")
		}
		a, err := st.Account("kim")
		if err != nil {
			t.Fatal(err)
		}
		defer a.Release()
		if _, err := a.Mailbox("injected"); errors.Is(err, store.ErrNoMailbox) {
			return
		}
		asked := false
		for _, c := range commands(s) {
			asked = asked || creates.MatchString(c)
		}
		if !asked {
			t.Errorf("%q was carried out", s)
		}
		if err := a.Delete(t.Context(), "injected"); err != nil {
			t.Fatal(err)
		}
	})
}
