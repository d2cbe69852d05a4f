package proxy

import (
	_ "embed"
	"fmt"
	"html"
	"io"
	"net/http"
	"strconv"
	"strings"

	"pic/core/config"
)

// page has its values as {{.Name}}, all of them as text between tags. They are put
// in without html/template: whatever uses that makes the linker keep every method
// of every type, which are megabytes.
//
//go:embed page.html
var page string

// forbidden says why somebody may not enter.
var forbidden = map[config.Access]string{
	config.AccessLAN: "This page is for devices in the household's network or VPN.",
	config.AccessVPN: "This page is for devices in the household's VPN. Switch WireGuard on and try again.",
}

// fail answers with an error page, in the form that the client reads.
func fail(w http.ResponseWriter, r *http.Request, status int, why string) {
	h := w.Header()
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("Content-Security-Policy", "default-src 'none'; style-src 'unsafe-inline'; frame-ancestors 'none'; base-uri 'none'; form-action 'none'")
	h.Set("Referrer-Policy", "no-referrer")
	h.Set("Cache-Control", "no-store")
	title := http.StatusText(status)
	if !strings.Contains(r.Header.Get("Accept"), "text/html") {
		h.Set("Content-Type", "text/plain; charset=utf-8")
		w.WriteHeader(status)
		fmt.Fprintf(w, "%d %s\n%s\n", status, title, why)
		return
	}
	h.Set("Content-Type", "text/html; charset=utf-8")
	w.WriteHeader(status)
	fill := strings.NewReplacer(
		"{{.Status}}", strconv.Itoa(status), "{{.Title}}", html.EscapeString(title), "{{.Why}}", html.EscapeString(why),
	)
	_, _ = io.WriteString(w, fill.Replace(page)) // the client may be gone; nothing to do about it
}
