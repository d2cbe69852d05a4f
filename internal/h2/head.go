package h2

import (
	"bytes"
	"context"
	"io"
	"net/http"
	"net/textproto"
	"net/url"
	"time"
)

const (
	maxList   = 16 << 10 // of the fields of a request, as RFC 9113 §6.5.2 counts them
	maxBody   = 16 << 10
	maxFields = 256
)

// A span is a part of stream.text.
type span struct{ from, to int }

// A stream is a request, and what is left of its answer. It is used again and
// again.
type stream struct {
	id     uint32
	text   []byte    // names and values, one after the other
	fields []textual // where they are
	body   []byte
	length int64 // of the body, as declared; -1: not

	method, scheme, path, authority, host span
	kind, accept                          span
	has                                   has
	plain                                 bool // nothing in it needs an http.Handler to understand it
	big                                   bool // the list was too long, and is not whole

	begun  time.Time // when the head had come
	ended  bool      // by the client
	taken  bool      // the request was handed on
	short  bool      // before its body had come whole
	done   bool      // it is no longer among the open ones
	busy   bool      // a goroutine works on it
	cancel func()    // ends that work; may be nil
	window int64     // what the client takes
	rest   []byte    // of the answer
}

// A textual is a field: where its name ends and its value.
type textual struct{ from, value, to int }

// has tells which fields came that may come once only.
type has uint16

const (
	hasMethod has = 1 << iota
	hasScheme
	hasPath
	hasAuthority
	hasHost
	hasLength
	hasKind
	hasAccept
	regular // a field that is no pseudo-header
)

func (s *stream) at(p span) []byte { return s.text[p.from:p.to:p.to] }

// clear makes s a new stream.
func (s *stream) clear(id uint32, window int64) {
	text, fields, body := s.text[:0], s.fields[:0], s.body[:0]
	*s = stream{id: id, text: text, fields: fields, body: body, length: -1, plain: true, window: window}
}

// take takes in a field. It is false where the request is malformed (RFC 9113
// §8.1.1).
func (s *stream) take(name, value []byte) bool {
	if len(name) == 0 {
		return false
	}
	if len(s.fields) >= maxFields || len(s.text)+overhead*(len(s.fields)+1)+len(name)+len(value) > maxList {
		s.big = true
		return true
	}
	from := len(s.text)
	s.text = append(s.text, name...)
	v := span{len(s.text), len(s.text) + len(value)}
	s.text = append(s.text, value...)
	s.fields = append(s.fields, textual{from, v.from, v.to})
	if name[0] == ':' {
		return s.pseudo(name, v)
	}
	s.has |= regular
	if !validName(name) || !validValue(value) {
		return false
	}
	switch string(name) {
	case "connection", "proxy-connection", "keep-alive", "transfer-encoding", "upgrade":
		return false // RFC 9113 §8.2.2
	case "te":
		return string(value) == "trailers"
	case "host":
		if s.has&hasHost != 0 {
			return false
		}
		s.has, s.host = s.has|hasHost, v
	case "content-length":
		n, ok := number(value)
		if !ok || s.has&hasLength != 0 && n != s.length {
			return false
		}
		s.has, s.length = s.has|hasLength, n
	case "content-type":
		s.plain = s.plain && s.has&hasKind == 0
		s.has, s.kind = s.has|hasKind, v
	case "accept":
		s.plain = s.plain && s.has&hasAccept == 0
		s.has, s.accept = s.has|hasAccept, v
	}
	return true
}

func (s *stream) pseudo(name []byte, v span) bool {
	var flag has
	var to *span
	switch string(name) {
	case ":method":
		flag, to = hasMethod, &s.method
	case ":scheme":
		flag, to = hasScheme, &s.scheme
	case ":path":
		flag, to = hasPath, &s.path
	case ":authority":
		flag, to = hasAuthority, &s.authority
	default:
		return false
	}
	if s.has&(flag|regular) != 0 || !validValue(s.at(v)) {
		return false
	}
	s.has, *to = s.has|flag, v
	return true
}

// whole reports whether what a request must have has come.
func (s *stream) whole() bool {
	if s.has&(hasMethod|hasScheme|hasPath) != hasMethod|hasScheme|hasPath {
		return false
	}
	if path := s.at(s.path); len(path) == 0 || path[0] != '/' && string(path) != "*" || !token(s.at(s.method)) {
		return false
	}
	if scheme := string(s.at(s.scheme)); scheme != "https" && scheme != "http" {
		return false
	}
	if s.has&hasAuthority == 0 {
		s.authority = s.host
	} else if s.has&hasHost != 0 && !bytes.EqualFold(s.at(s.host), s.at(s.authority)) {
		return false // two readers could take it for requests to different hosts
	}
	return true
}

// request fills r from s. It is false where r would not say all that an
// [http.Handler] must know.
func (s *stream) request(r *Request) bool {
	path := s.at(s.path)
	*r = Request{Method: s.at(s.method), Authority: s.at(s.authority), Path: path, Body: s.body}
	if i := bytes.IndexByte(path, '?'); i >= 0 {
		r.Path, r.Query = path[:i], path[i+1:]
	}
	if s.has&hasKind != 0 {
		r.ContentType = s.at(s.kind)
	}
	if s.has&hasAccept != 0 {
		r.Accept = s.at(s.accept)
	}
	for _, c := range r.Path {
		if c <= ' ' || c >= 0x7f || c == '%' || c == '#' {
			return false
		}
	}
	return s.plain && !s.big && string(s.at(s.scheme)) == "https"
}

// full returns s as net/http has requests. Its context is ctx.
func (s *stream) full(ctx context.Context) (*http.Request, error) {
	r := &http.Request{
		Method: string(s.at(s.method)), Host: string(s.at(s.authority)), RequestURI: string(s.at(s.path)),
		Proto: "HTTP/2.0", ProtoMajor: 2, Header: http.Header{}, ContentLength: s.length,
	}
	var err error
	if r.RequestURI == "*" {
		r.URL = &url.URL{Path: "*"}
	} else if r.URL, err = url.ParseRequestURI(r.RequestURI); err != nil {
		return nil, err
	}
	for _, f := range s.fields {
		if s.text[f.from] == ':' {
			continue
		}
		name := textproto.CanonicalMIMEHeaderKey(string(s.text[f.from:f.value]))
		value := string(s.text[f.value:f.to])
		if name == "Cookie" && len(r.Header[name]) == 1 { // RFC 9113 §8.2.3
			r.Header[name][0] += "; " + value
			continue
		}
		if name != "Host" {
			r.Header[name] = append(r.Header[name], value)
		}
	}
	r.Body = http.NoBody
	if !s.short && s.length < 0 {
		r.ContentLength = int64(len(s.body))
	}
	if len(s.body) > 0 || s.short {
		r.Body = &given{bytes.NewReader(bytes.Clone(s.body)), !s.short}
	}
	return r.WithContext(ctx), nil
}

// given is a body as far as it came.
type given struct {
	*bytes.Reader
	whole bool
}

func (g *given) Read(b []byte) (int, error) {
	n, err := g.Reader.Read(b)
	if err == io.EOF && !g.whole {
		err = io.ErrUnexpectedEOF
	}
	return n, err
}

func (g *given) Close() error { return nil }

// number reads a length.
func number(b []byte) (n int64, ok bool) {
	if len(b) == 0 || len(b) > 15 {
		return 0, false
	}
	for _, c := range b {
		if c < '0' || c > '9' {
			return 0, false
		}
		n = 10*n + int64(c-'0')
	}
	return n, true
}

// validName reports whether b may be the name of a field: a token without
// capitals.
func validName(b []byte) bool {
	for _, c := range b {
		if 'A' <= c && c <= 'Z' {
			return false
		}
	}
	return token(b)
}

// token is that of RFC 9110 §5.6.2.
func token(b []byte) bool {
	for _, c := range b {
		switch {
		case 'a' <= c && c <= 'z', c == '-', '0' <= c && c <= '9', 'A' <= c && c <= 'Z':
		case bytes.IndexByte([]byte("!#$%&'*+.^_`|~"), c) >= 0:
		default:
			return false
		}
	}
	return len(b) > 0
}

// validValue is RFC 9113 §8.2.1, and what net/http demands.
func validValue(b []byte) bool {
	for _, c := range b {
		if c < ' ' && c != '\t' || c == 0x7f {
			return false
		}
	}
	return len(b) == 0 || !blank(b[0]) && !blank(b[len(b)-1])
}

func blank(c byte) bool { return c == ' ' || c == '\t' }
