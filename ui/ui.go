// Package ui serves the cell's web UI, which is embedded in the binary.
//
// [Handler] answers with the page for every path that names a page, under a
// Content-Security-Policy (CSP Level 3) that lets in nothing but the cell's own
// files and, by a nonce made for each answer, the one style element that React
// Aria adds. Files with a hash in their name are cached for good.
//
// The page is built from src/ by `make ui`; a binary built without it says so.
// The package knows no API: that is mounted beside it on the same port.
package ui

import (
	"bytes"
	"compress/gzip"
	"crypto/rand"
	"crypto/sha256"
	"embed"
	"encoding/base64"
	"io"
	"io/fs"
	"mime"
	"net/http"
	"path"
	"strconv"
	"strings"
)

//go:embed all:dist
var dist embed.FS

// Handler serves the UI. It is safe for concurrent use.
func Handler() http.Handler {
	files, err := fs.Sub(dist, "dist")
	if err != nil {
		panic(err) // the folder's name is fixed above
	}
	return newSite(files)
}

const (
	noncePlaceholder = "__CSP_NONCE__"
	nonceBytes       = 18
)

const unbuilt = `<!doctype html><html lang="en"><meta charset="utf-8"><title>Personal Internet Cell</title>
<h1>The web UI is not in this binary</h1>
<p>Run <code>make ui build</code> (it needs Node 20 with npm 11) and start the cell again.
The command line and the API work without it: <code>pic help</code>.</p></html>
`

// A site is the built UI, held in memory.
type site struct {
	index  []byte           // nil when the UI was not built
	assets map[string]asset // by URL path
}

type asset struct {
	body      []byte // gzipped where zipped says so
	zipped    bool
	mediaType string
	etag      string
	immutable bool // its name changes with its content
}

func newSite(files fs.FS) *site {
	s := &site{assets: map[string]asset{}}
	// The walk is over memory and cannot fail; a broken build shows in the tests.
	fs.WalkDir(files, ".", func(name string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() || strings.HasPrefix(d.Name(), ".") {
			return err
		}
		body, err := fs.ReadFile(files, name)
		if err != nil {
			return err
		}
		if name == "index.html" {
			s.index = body
			return nil
		}
		plain, zipped := strings.CutSuffix(name, ".gz")
		sum := sha256.Sum256(body)
		s.assets["/"+plain] = asset{
			body: body, zipped: zipped,
			mediaType: mediaType(plain),
			etag:      strconv.Quote(base64.RawURLEncoding.EncodeToString(sum[:12])),
			immutable: strings.HasPrefix(name, "assets/"),
		}
		return nil
	})
	return s
}

// mediaType does not ask the host's mime tables, which differ.
func mediaType(name string) string {
	switch path.Ext(name) {
	case ".js":
		return "text/javascript; charset=utf-8"
	case ".css":
		return "text/css; charset=utf-8"
	case ".svg":
		return "image/svg+xml"
	case ".woff2":
		return "font/woff2"
	case ".txt":
		return "text/plain; charset=utf-8"
	}
	if t := mime.TypeByExtension(path.Ext(name)); t != "" {
		return t
	}
	return "application/octet-stream"
}

func (s *site) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if r.Method != http.MethodGet && r.Method != http.MethodHead {
		w.Header().Set("Allow", "GET, HEAD")
		http.Error(w, "This address can only be read.", http.StatusMethodNotAllowed)
		return
	}
	if a, ok := s.assets[r.URL.Path]; ok {
		a.serve(w, r)
		return
	}
	if !isPage(r.URL.Path) {
		setHeaders(w.Header(), "")
		http.Error(w, "There is no such file.", http.StatusNotFound)
		return
	}
	s.servePage(w, r)
}

// isPage reports whether a path may be one of the UI's pages, which the browser
// tells apart: a path below none of the cell's own, without a file's suffix.
func isPage(p string) bool {
	return !strings.HasPrefix(p, "/assets/") && !strings.HasPrefix(p, "/api/") && path.Ext(p) == ""
}

func (s *site) servePage(w http.ResponseWriter, r *http.Request) {
	raw := make([]byte, nonceBytes)
	rand.Read(raw) // never fails
	nonce := base64.StdEncoding.EncodeToString(raw)
	body := []byte(unbuilt)
	if s.index != nil {
		body = bytes.ReplaceAll(s.index, []byte(noncePlaceholder), []byte(nonce))
	}
	h := w.Header()
	setHeaders(h, nonce)
	h.Set("Content-Type", "text/html; charset=utf-8")
	h.Set("Cache-Control", "no-cache")
	h.Set("Content-Length", strconv.Itoa(len(body)))
	if r.Method == http.MethodGet {
		w.Write(body)
	}
}

func (a asset) serve(w http.ResponseWriter, r *http.Request) {
	h := w.Header()
	setHeaders(h, "")
	h.Set("Content-Type", a.mediaType)
	h.Set("ETag", a.etag)
	h.Set("Cache-Control", "no-cache")
	if a.immutable {
		h.Set("Cache-Control", "public, max-age=31536000, immutable")
	}
	if a.zipped {
		h.Set("Vary", "Accept-Encoding")
	}
	if matches(r.Header.Get("If-None-Match"), a.etag) {
		w.WriteHeader(http.StatusNotModified)
		return
	}
	if a.zipped && !acceptsGzip(r.Header.Get("Accept-Encoding")) {
		a.inflate(w, r)
		return
	}
	if a.zipped {
		h.Set("Content-Encoding", "gzip")
	}
	h.Set("Content-Length", strconv.Itoa(len(a.body)))
	if r.Method == http.MethodGet {
		w.Write(a.body)
	}
}

// inflate is for the rare client that takes no gzip.
func (a asset) inflate(w http.ResponseWriter, r *http.Request) {
	if r.Method == http.MethodHead {
		return
	}
	z, err := gzip.NewReader(bytes.NewReader(a.body))
	if err != nil {
		http.Error(w, "This file is damaged; build the binary again.", http.StatusInternalServerError)
		return
	}
	io.Copy(w, z) // an error is the client's: it went away
}

// setHeaders lets a page do what the UI needs and nothing more.
func setHeaders(h http.Header, nonce string) {
	style := "'self'"
	if nonce != "" {
		style += " 'nonce-" + nonce + "'"
	}
	h.Set("Content-Security-Policy", "default-src 'none'; script-src 'self'; style-src "+style+
		"; img-src 'self' data: blob:; font-src 'self'; connect-src 'self'; frame-src 'self'"+
		"; form-action 'self'; base-uri 'none'; frame-ancestors 'none'")
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("Referrer-Policy", "same-origin")
	h.Set("Cross-Origin-Opener-Policy", "same-origin")
	h.Set("Cross-Origin-Resource-Policy", "same-origin")
	h.Set("Permissions-Policy", "camera=(), geolocation=(), microphone=(), payment=(), usb=()")
}

// matches compares weakly, as If-None-Match wants (RFC 9110 §13.1.2).
func matches(header, etag string) bool {
	for tag := range strings.SplitSeq(header, ",") {
		tag = strings.TrimPrefix(strings.TrimSpace(tag), "W/")
		if tag == "*" || tag == etag {
			return true
		}
	}
	return false
}

// acceptsGzip reads Accept-Encoding (RFC 9110 §12.5.3).
func acceptsGzip(header string) bool {
	others := false
	for item := range strings.SplitSeq(header, ",") {
		coding, params, _ := strings.Cut(item, ";")
		q, hasQ := strings.CutPrefix(strings.ReplaceAll(params, " ", ""), "q=")
		weight, err := strconv.ParseFloat(q, 64)
		wanted := !hasQ || err == nil && weight > 0
		switch strings.ToLower(strings.TrimSpace(coding)) {
		case "gzip", "x-gzip":
			return wanted
		case "*":
			others = wanted
		}
	}
	return others
}
