package imapd

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/netip"
	"regexp"
	"strings"
	"testing"
	"time"

	"pic/mailsrv/store"
)

func TestLiteralsAreSeen(t *testing.T) {
	for line, want := range map[string]struct {
		size        int64
		nonSync, ok bool
	}{
		"a NOOP\r\n":                           {0, false, false},
		"a LOGIN {3}\r\n":                      {3, false, true},
		"a LOGIN {3+}\n":                       {3, true, true},
		"a LOGIN {3+} \r\n":                    {3, true, true},
		"a APPEND x ~{10}\r\n":                 {10, false, true},
		"a X {}\r\n":                           {0, false, false},
		"a X {+}\r\n":                          {0, true, false},
		"a X {-3}\r\n":                         {-3, false, false},
		"a X {3} x\r\n":                        {0, false, false},
		"a X \"{3}\"\r\n":                      {0, false, false},
		"a X 3}\r\n":                           {0, false, false},
		"a X {99999999999999999999999999}\r\n": {1<<63 - 1, false, true},
	} {
		size, nonSync, ok := literal([]byte(line))
		if ok != want.ok || ok && (size != want.size || nonSync != want.nonSync) {
			t.Errorf("%q: %d %v %v", line, size, nonSync, ok)
		}
	}
}

func TestMatch(t *testing.T) {
	for _, tt := range []struct {
		name, pattern string
		want          bool
	}{
		{"INBOX", "inbox", true},
		{"INBOX", "*", true},
		{"INBOX", "%", true},
		{"INBOX", "in*", false},
		{"a/b", "%", false},
		{"a/b", "*", true},
		{"a/b", "a/%", true},
		{"a/b", "%/%", true},
		{"a/b/c", "%/%", false},
		{"a/b/c", "a*c", true},
		{"a", "a%", true},
		{"a", "a*", true},
		{"a", "", false},
		{"", "*", true},
		{"abc", "a%c", true},
		{"abc", "a%d", false},
		{"INBOX/x", "inbox/%", true},
		{strings.Repeat("a", 500), strings.Repeat("*a", 200) + "b", false},
	} {
		if got := match(tt.name, tt.pattern); got != tt.want {
			t.Errorf("match(%.20q, %.20q) = %v", tt.name, tt.pattern, got)
		}
	}
}

// commands splits what a client says into commands as RFC 9051 has it: lines,
// where one that ends in {n} or {n+} goes on with n bytes and another line.
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
			n, _, ok := literal([]byte(line + "\n"))
			if !ok {
				break
			}
			n = min(n, int64(len(s)))
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
			Append: func(ctx context.Context, a *store.Account, box uint32, flags []string, date time.Time, r io.Reader) (store.Appended, error) {
				b, err := io.ReadAll(r)
				if err != nil {
					return store.Appended{}, err
				}
				return a.Append(ctx, box, store.New{Flags: flags, Date: date, Body: &store.Body{Head: b}})
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
