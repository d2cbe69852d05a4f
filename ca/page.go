package ca

import (
	_ "embed"
	"encoding/pem"
	"html"
	"io"
	"net/http"
	"strings"
)

// page has its values as {{.Name}}, all of them as text between tags. They are put
// in without html/template: whatever uses that makes the linker keep every method
// of every type, which are megabytes.
//
//go:embed page.html
var page string

// Handler serves the root certificate to devices that do not trust it yet, at
// /root.pem and, in DER, at /root.crt, and a page about it at /. There is
// nothing secret in it, so it may be served over plain HTTP.
func (s *Server) Handler() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /root.pem", func(w http.ResponseWriter, _ *http.Request) {
		s.file(w, "application/x-pem-file", "root.pem", s.RootPEM())
	})
	mux.HandleFunc("GET /root.crt", func(w http.ResponseWriter, _ *http.Request) {
		var der []byte
		if b, _ := pem.Decode(s.RootPEM()); b != nil {
			der = b.Bytes
		}
		s.file(w, "application/x-x509-ca-cert", "root.crt", der)
	})
	mux.HandleFunc("GET /{$}", func(w http.ResponseWriter, _ *http.Request) {
		r, ok := s.Root()
		if !ok {
			http.Error(w, "There is no root certificate yet.", http.StatusServiceUnavailable)
			return
		}
		head(w, "text/html; charset=utf-8")
		fill := strings.NewReplacer(
			"{{.Domain}}", html.EscapeString(r.Domain),
			"{{.SHA256}}", html.EscapeString(r.SHA256),
			"{{.NotAfter}}", r.NotAfter.Format("2 January 2006"),
		)
		if _, err := io.WriteString(w, fill.Replace(page)); err != nil {
			s.log.Debug("page not sent", "err", err)
		}
	})
	return mux
}

func (s *Server) file(w http.ResponseWriter, kind, name string, body []byte) {
	if body == nil {
		http.Error(w, "There is no root certificate yet.", http.StatusServiceUnavailable)
		return
	}
	head(w, kind)
	w.Header().Set("Content-Disposition", `attachment; filename="`+name+`"`)
	if _, err := w.Write(body); err != nil {
		s.log.Debug("root not sent", "err", err)
	}
}

func head(w http.ResponseWriter, kind string) {
	h := w.Header()
	h.Set("Content-Type", kind)
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("Content-Security-Policy", "default-src 'none'; style-src 'unsafe-inline'; frame-ancestors 'none'")
	h.Set("Cache-Control", "no-cache")
}
