package imapd

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/netip"
	"strings"
	"testing"
	"time"

	"pic/mailsrv/store"
)

// open returns a store, and options with which everybody is kim.
func open(t testing.TB) (*store.Store, *Options) {
	t.Helper()
	st, err := store.Open(t.TempDir(), slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { st.Close() })
	return st, &Options{
		Log: slog.New(slog.DiscardHandler), MaxSize: 10000,
		Login: func(context.Context, string, string, netip.Addr) (*store.Account, error) { return st.Account("kim") },
		Receive: func(_ context.Context, r io.Reader) (store.New, func(), error) {
			b, err := io.ReadAll(r)
			return store.New{Body: &store.Body{Head: b}}, func() {}, err
		},
	}
}

// A talk is a connection, line by line.
type talk struct {
	t  testing.TB
	c  net.Conn
	br *bufio.Reader
}

func connect(t testing.TB, o *Options) *talk {
	t.Helper()
	ours, theirs := net.Pipe()
	done := make(chan struct{})
	go func() {
		defer close(done)
		Serve(t.Context(), ours, netip.Addr{}, o)
	}()
	theirs.SetDeadline(time.Now().Add(20 * time.Second))
	t.Cleanup(func() { theirs.Close(); <-done })
	k := &talk{t, theirs, bufio.NewReader(theirs)}
	k.line()
	return k
}

func (k *talk) line() string {
	s, err := k.br.ReadString('\n')
	if err != nil {
		return "closed"
	}
	return strings.TrimRight(s, "\r\n")
}

// says sends a line and checks all lines up to the first that is of the tag a or
// asks something.
func (k *talk) says(line string, want ...string) {
	k.t.Helper()
	if _, err := io.WriteString(k.c, line+"\r\n"); err != nil {
		k.t.Fatal(err)
	}
	for _, w := range want {
		if got := k.line(); !strings.HasPrefix(got, w) {
			k.t.Fatalf("%q: got %q, want %q", line, got, w)
		}
	}
}

// riddle asks for a number, then for the double of it.
type riddle struct {
	st   *store.Store
	last string
}

func (r *riddle) Next(_ context.Context, response []byte) ([]byte, *store.Account, error) {
	switch {
	case response == nil:
		return []byte("number?"), nil, nil
	case r.last == "":
		r.last = string(response)
		return []byte("twice?"), nil, nil
	case string(response) != r.last+r.last:
		return nil, nil, errors.New("wrong")
	}
	a, err := r.st.Account("kim")
	return []byte("well"), a, err
}

func TestMechanisms(t *testing.T) {
	st, o := open(t)
	o.Mechanisms = []string{"X-RIDDLE"}
	o.Begin = func(string, netip.Addr) (Exchange, error) { return &riddle{st: st}, nil }
	k := connect(t, o)
	k.says("a CAPABILITY", "* CAPABILITY IMAP4rev1 IMAP4rev2 LITERAL+ SASL-IR ID ENABLE AUTH=PLAIN AUTH=X-RIDDLE", "a OK ")
	k.says("a AUTHENTICATE X-OTHER", "a NO ")
	k.says("a AUTHENTICATE X-RIDDLE", "+ bnVtYmVyPw==")
	k.says("*", "a BAD ")
	k.says("a AUTHENTICATE X-RIDDLE MQ==", "+ dHdpY2U/")
	k.says("MQ==", "a NO [AUTHENTICATIONFAILED] wrong")
	k.says("a AUTHENTICATE X-RIDDLE", "+ bnVtYmVyPw==")
	k.says("MQ==", "+ dHdpY2U/")
	k.says("MTE=", "+ d2VsbA==")
	k.says("", "a OK [CAPABILITY ")
	k.says("a SELECT INBOX", "* FLAGS ")
}

// Where there is a quota it is told, and holds.
func TestQuota(t *testing.T) {
	_, o := open(t)
	o.Quota = func(*store.Account) (int64, int) { return 4096, 3 }
	k := connect(t, o)
	k.says("a LOGIN kim x", "a OK [CAPABILITY IMAP4rev1")
	k.says("a APPEND INBOX {3000+}\r\n"+strings.Repeat("x", 3000), "a OK ")
	k.says("a APPEND INBOX {3000+}\r\n"+strings.Repeat("x", 3000), "a NO [OVERQUOTA] ")
	k.says("a GETQUOTAROOT INBOX", `* QUOTAROOT INBOX ""`, `* QUOTA "" (STORAGE 3 4 MESSAGE 1 3)`, "a OK ")
	k.says(`a GETQUOTA "x"`, "a NO [NONEXISTENT]")
	k.says("a UNAUTHENTICATE", "a OK ")
	k.says("a LOGIN kim x", "a OK ")
	k.says("a SELECT INBOX", "* FLAGS", "* 1 EXISTS", "* 0 RECENT", "* OK [UNSEEN", "* OK [PERM", "* OK [UIDV", "* OK [UIDN", "* OK [HIGH", "* OK [MAILBOXID (B1)]", "a OK ")
	k.says("a COPY 1 Trash", "a NO [OVERQUOTA] ")
	k.says(fmt.Sprintf("a APPEND INBOX {%d+}\r\n%s", 10, "0123456789"), "* 2 EXISTS", "a OK ")
	_, o = open(t)
	k = connect(t, o)
	k.says("a LOGIN kim x", "a OK ")
	k.says(`a GETQUOTA ""`, "a BAD ")
}

// A client that says all at once gets all the answers, and what it hears in IDLE
// comes at once and whole, whatever else it is saying.
func TestPipelining(t *testing.T) {
	st, o := open(t)
	k := connect(t, o)
	go io.WriteString(k.c, "a LOGIN kim x\r\nb SELECT INBOX\r\nc APPEND INBOX {3+}\r\nabc\r\nd FETCH 1 UID\r\ne IDLE\r\nDO")
	for k.line() != "+ idling" {
	}
	a, err := st.Account("kim")
	if err != nil {
		t.Fatal(err)
	}
	defer a.Release()
	for n := 2; n < 5; n++ {
		if _, err := a.Append(t.Context(), 1, store.New{Body: &store.Body{Head: []byte("x")}}); err != nil {
			t.Fatal(err)
		}
		if got := k.line(); got != fmt.Sprintf("* %d EXISTS", n) {
			t.Error(got)
		}
	}
	k.says("NE\r\nf NOOP", "e OK ", "f OK ")
	k.says("g FETCH 1 BODY[]", "* 1 FETCH (FLAGS (\\Seen) BODY[] {3}", `abc)`, "g OK ")
	k.says("h LOGOUT", "* BYE ", "h OK ", "closed")
}
