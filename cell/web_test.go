package cell

import (
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"testing"

	"pic/core/config"
	"pic/internal/listen"
)

// freePorts returns ports of loopback that nobody has.
func freePorts(t *testing.T, n int) []uint16 {
	t.Helper()
	var out []uint16
	for range n {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		defer l.Close() // taken until all are known, so that they differ
		out = append(out, netip.MustParseAddrPort(l.Addr().String()).Port())
	}
	return out
}

// fetch returns the page at a port of loopback, or where it leads.
func fetch(t *testing.T, port uint16) string {
	t.Helper()
	c := http.Client{
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		Transport:     &http.Transport{DisableKeepAlives: true},
	}
	r, err := c.Get(fmt.Sprintf("http://127.0.0.1:%d/", port))
	if err != nil {
		t.Fatal(err)
	}
	defer r.Body.Close()
	b, err := io.ReadAll(r.Body)
	if err != nil {
		t.Fatal(err)
	}
	if to := r.Header.Get("Location"); to != "" {
		return to
	}
	return string(b)
}

// A socket that stays while the document gives it, or the port that it leads to,
// another purpose answers as the document says now.
func TestPortsServeWhatTheDocumentSaysNow(t *testing.T) {
	w := newWeb(slog.New(slog.DiscardHandler), listen.NewPool(nil))
	say := func(text string) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { io.WriteString(w, text) })
	}
	w.show(say("front"), say("rest"))
	defer w.set.Close()
	p := freePorts(t, 5)
	apply := func(ui, api, mail, files uint16) {
		t.Helper()
		d := &config.Document{Cell: config.Cell{Name: "oak", Mode: config.Trial}}
		d.WireGuard.Enabled = new(bool)
		d.Web = config.Web{UIPort: ui, APIPort: api, MailPort: mail, FilesPort: files}
		if err := w.Apply(t.Context(), webFrom(config.Resolve(d, config.Env{}))); err != nil {
			t.Fatal(err)
		}
	}
	want := func(port uint16, page string) {
		t.Helper()
		if got := fetch(t, port); got != page {
			t.Errorf("port %d answers %q, want %q", port, got, page)
		}
	}
	apply(p[0], p[1], p[2], p[3])
	want(p[0], "front")
	want(p[1], "rest")
	want(p[2], fmt.Sprintf("http://127.0.0.1:%d/email", p[0]))

	apply(p[4], p[1], p[2], p[3])
	want(p[2], fmt.Sprintf("http://127.0.0.1:%d/email", p[4]))

	apply(p[2], p[3], p[4], p[1])
	want(p[2], "front")
	want(p[3], "rest")
	want(p[4], fmt.Sprintf("http://127.0.0.1:%d/email", p[2]))
}
