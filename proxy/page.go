package proxy

import (
	_ "embed"
	"fmt"
	"html/template"
	"net/http"
	"strings"

	"pic/core/config"
)

//go:embed page.html
var pageHTML string

var page = template.Must(template.New("page").Parse(pageHTML))

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
	_ = page.Execute(w, struct {
		Status     int
		Title, Why string
	}{status, title, why}) // the client may be gone; nothing to do about it
}
