package h2

import (
	"bytes"
	"crypto/tls"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"
)

// A peer is a client that says what it likes.
type peer struct {
	*http2.Framer
	t     testing.TB
	conn  net.Conn
	block bytes.Buffer
	enc   *hpack.Encoder
}

func (s *served) dial(t testing.TB) *peer {
	t.Helper()
	c, err := tls.Dial("tcp", s.l.Addr().String(), &tls.Config{RootCAs: s.roots, NextProtos: []string{"h2"}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	c.SetDeadline(time.Now().Add(20 * time.Second))
	return begun(t, c)
}

// begun begins HTTP/2 over c.
func begun(t testing.TB, c net.Conn) *peer {
	p := &peer{Framer: http2.NewFramer(c, c), t: t, conn: c}
	p.ReadMetaHeaders = hpack.NewDecoder(4096, nil)
	p.enc = hpack.NewEncoder(&p.block)
	if _, err := io.WriteString(c, Preface); err != nil {
		t.Fatal(err)
	}
	p.must(p.WriteSettings())
	return p
}

func (p *peer) must(err error) {
	p.t.Helper()
	if err != nil {
		p.t.Fatal(err)
	}
}

// head is a header block with more fields at its end.
func (p *peer) head(method, path string, more ...string) []byte {
	p.block.Reset()
	all := append([]string{":method", method, ":scheme", "https", ":authority", "oak.home.arpa", ":path", path}, more...)
	for i := 0; i < len(all); i += 2 {
		p.must(p.enc.WriteField(hpack.HeaderField{Name: all[i], Value: all[i+1]}))
	}
	return bytes.Clone(p.block.Bytes())
}

// get asks with GET on a stream.
func (p *peer) get(id uint32, path string, more ...string) {
	p.t.Helper()
	p.must(p.WriteHeaders(http2.HeadersFrameParam{StreamID: id, BlockFragment: p.head("GET", path, more...), EndHeaders: true, EndStream: true}))
}

// until reads frames until ok; it is false where the connection ended before.
func (p *peer) until(ok func(http2.Frame) bool) bool {
	for {
		f, err := p.ReadFrame()
		if err != nil {
			return false
		}
		if ok(f) {
			return true
		}
	}
}

// goesAway reads until the server ends the connection and returns why.
func (p *peer) goesAway() (code http2.ErrCode, last uint32) {
	p.t.Helper()
	if !p.until(func(f http2.Frame) bool {
		if g, ok := f.(*http2.GoAwayFrame); ok {
			code, last = g.ErrCode, g.LastStreamID
			return last != maxID
		}
		return false
	}) {
		p.t.Fatal("the connection ends without a word")
	}
	return code, last
}

// answered reads the answer of a stream: its status and body.
func (p *peer) answered(id uint32) (status, body string) {
	p.t.Helper()
	if !p.until(func(f http2.Frame) bool {
		if f.Header().StreamID != id {
			return false
		}
		switch f := f.(type) {
		case *http2.MetaHeadersFrame:
			status = f.PseudoValue("status")
		case *http2.DataFrame:
			body += string(f.Data())
			return f.StreamEnded()
		case *http2.RSTStreamFrame:
			body = f.ErrCode.String()
			return true
		}
		return false
	}) {
		p.t.Fatalf("no answer on stream %d", id)
	}
	return status, body
}

// What a client could wear the server out with ends the connection, and says so.
func TestFloodsEndTheConnection(t *testing.T) {
	for name, flood := range map[string]func(p *peer, i uint32) error{
		"resets": func(p *peer, i uint32) error { // CVE-2023-44487
			return errors.Join(
				p.WriteHeaders(http2.HeadersFrameParam{StreamID: 2*i + 1, BlockFragment: p.head("GET", "/echo/later"), EndHeaders: true, EndStream: true}),
				p.WriteRSTStream(2*i+1, http2.ErrCodeCancel))
		},
		"pings":      func(p *peer, _ uint32) error { return p.WritePing(false, [8]byte{}) },
		"settings":   func(p *peer, _ uint32) error { return p.WriteSettings() },
		"priorities": func(p *peer, i uint32) error { return p.WritePriority(2*i+1, http2.PriorityParam{}) },
		"unknown":    func(p *peer, _ uint32) error { return p.WriteRawFrame(99, 0, 0, nil) },
		"empty data": func(p *peer, i uint32) error {
			if i == 0 {
				return p.WriteHeaders(http2.HeadersFrameParam{StreamID: 1, BlockFragment: p.head("POST", "/echo"), EndHeaders: true})
			}
			return p.WriteData(1, false, nil)
		},
		"continuations": func(p *peer, i uint32) error { // CVE-2024-27316
			if i == 0 {
				return p.WriteHeaders(http2.HeadersFrameParam{StreamID: 1, BlockFragment: p.head("GET", "/echo")})
			}
			return p.WriteContinuation(1, false, nil)
		},
		"malformed": func(p *peer, i uint32) error {
			return p.WriteHeaders(http2.HeadersFrameParam{StreamID: 2*i + 1, BlockFragment: p.head("GET", "/echo", "TE", "x"), EndHeaders: true, EndStream: true})
		},
	} {
		t.Run(name, func(t *testing.T) {
			s := serving(t)
			s.hold = make(chan struct{})
			defer close(s.hold)
			p := s.dial(t)
			go func() { // until the connection ends
				for i := uint32(0); flood(p, i) == nil; i++ {
				}
			}()
			if code, _ := p.goesAway(); code != http2.ErrCodeEnhanceYourCalm {
				t.Errorf("ended by %v", code)
			}
		})
	}
}

// Requests that a client gives up count until their work has ended.
func TestAbandonedRequestsCount(t *testing.T) {
	s := serving(t)
	s.hold = make(chan struct{})
	p := s.dial(t)
	for i := range uint32(maxStreams) {
		p.get(2*i+1, "/echo/later")
		p.must(p.WriteRSTStream(2*i+1, http2.ErrCodeCancel))
	}
	p.get(2*maxStreams+1, "/echo/later")
	if _, body := p.answered(2*maxStreams + 1); body != http2.ErrCodeRefusedStream.String() {
		t.Errorf("one too many: %s", body)
	}
	close(s.hold)
}

// A field list is refused, not kept, when it grows large; the table that it is made
// from still follows.
func TestHeaderBombsAreRefused(t *testing.T) {
	s := serving(t)
	p := s.dial(t)
	bomb := p.head("GET", "/echo?YWJj", "x-bomb", strings.Repeat("x", 4000)) // into the table
	for range 2000 {
		bomb = append(bomb, 0x80|62) // the newest entry
	}
	p.must(p.WriteHeaders(http2.HeadersFrameParam{StreamID: 1, BlockFragment: bomb, EndHeaders: true, EndStream: true}))
	if status, _ := p.answered(1); status != "431" {
		t.Errorf("status %s", status)
	}
	p.get(3, "/echo?YWJj")
	if status, body := p.answered(3); status != "200" || body != "abc" {
		t.Errorf("afterwards: %s %s", status, body)
	}
}

// A client that takes no answers in is held to little of them.
func TestAnswersThatNobodyTakesAreBounded(t *testing.T) {
	s := serving(t)
	p := s.dial(t)
	p.must(p.WriteSettings(http2.Setting{ID: http2.SettingInitialWindowSize, Val: 0}))
	refused := 0
	for i := range uint32(10) {
		p.get(2*i+1, "/echo/large")
	}
	p.must(p.WritePing(false, [8]byte{1}))
	p.until(func(f http2.Frame) bool {
		if r, ok := f.(*http2.RSTStreamFrame); ok && r.ErrCode == http2.ErrCodeEnhanceYourCalm {
			refused++
		}
		g, ok := f.(*http2.PingFrame)
		return ok && g.IsAck()
	})
	if refused != 10 { // each is more than what may wait
		t.Errorf("%d of 10 answers were given up", refused)
	}
	p.get(31, "/echo?YWJj")
	p.must(p.WriteWindowUpdate(31, 1))
	if !p.until(func(f http2.Frame) bool { d, ok := f.(*http2.DataFrame); return ok && string(d.Data()) == "a" }) {
		t.Error("one byte was allowed, and does not come")
	}
	p.must(p.WriteSettings(http2.Setting{ID: http2.SettingInitialWindowSize, Val: 9}))
	if _, body := p.answered(31); body != "bc" {
		t.Errorf("then %q", body)
	}
}

func TestShutdownLetsRequestsEnd(t *testing.T) {
	s := serving(t)
	s.hold = make(chan struct{})
	p := s.dial(t)
	p.get(1, "/echo/later?YWJj")
	p.must(p.WritePing(false, [8]byte{}))
	p.until(func(f http2.Frame) bool { _, ok := f.(*http2.PingFrame); return ok })
	c := <-s.conns
	c.Shutdown()
	if !p.until(func(f http2.Frame) bool { g, ok := f.(*http2.GoAwayFrame); return ok && g.LastStreamID == maxID }) {
		t.Fatal("it is not announced")
	}
	p.get(3, "/echo?ZGVm") // on its way when that was said
	if _, body := p.answered(3); body != "def" {
		t.Errorf("got %q", body)
	}
	close(s.hold)
	if _, body := p.answered(1); body != "abc" {
		t.Errorf("got %q", body)
	}
	if code, last := p.goesAway(); code != http2.ErrCodeNo || last != 3 {
		t.Errorf("%v, %d", code, last)
	}
	if p.until(func(http2.Frame) bool { return false }) {
		t.Error("it goes on")
	}
}

// What this does not serve is asked for again elsewhere; what came before is answered.
func TestOtherRequestsGoElsewhere(t *testing.T) {
	s := serving(t)
	s.hold = make(chan struct{})
	p := s.dial(t)
	p.get(1, "/echo/later?YWJj")
	p.get(3, "/page")
	p.get(5, "/echo?YWJj")
	if code, last := p.goesAway(); code != http2.ErrCodeNo || last != 1 {
		t.Errorf("%v, %d", code, last)
	}
	close(s.hold)
	if _, body := p.answered(1); body != "abc" {
		t.Errorf("got %q", body)
	}
	if p.until(func(f http2.Frame) bool { id := f.Header().StreamID; return id == 3 || id == 5 }) {
		t.Error("something else is answered")
	}
}

// A connection that begins with another request is net/http's, from its first byte.
func TestConnectionsThatBeginOtherwiseAreReplayed(t *testing.T) {
	for name, slow := range map[string]bool{"at once": false, "when it knows the settings": true} {
		t.Run(name, func(t *testing.T) {
			here, there := net.Pipe()
			defer here.Close()
			go func() {
				start, yes, err := Begin(there, func(_, path []byte) bool { return bytes.HasPrefix(path, []byte("/echo")) })
				if yes || err != nil || start.Told != slow {
					t.Errorf("%v, %v, told %v", yes, err, start.Told)
				}
				p := new(http.Protocols)
				p.SetUnencryptedHTTP2(true)
				l := &single{c: make(chan net.Conn, 1)}
				l.c <- addressed{start.Replay(there)}
				h := &http.Server{Protocols: p, Handler: http.HandlerFunc(rest), ErrorLog: slog.NewLogLogger(slog.DiscardHandler, 0)}
				t.Cleanup(func() { h.Close() })
				h.Serve(l)
			}()
			here.SetDeadline(time.Now().Add(20 * time.Second))
			out := &gathered{Conn: here}
			p := begun(t, out)
			if slow {
				out.release()
				f, err := p.ReadFrame()
				if f, ok := f.(*http2.SettingsFrame); err != nil || !ok || f.IsAck() {
					t.Fatal(f, err)
				}
			}
			said := make(chan struct{}) // by one after the other: a Framer is for one
			go func() {
				defer close(said)
				if slow {
					p.WriteSettingsAck()
				}
				p.get(1, "/page")
				out.release()
			}()
			if status, body := p.answered(1); status != "200" || body != "GET /page of oak.home.arpa: 0 0" {
				t.Errorf("%s %q", status, body)
			}
			<-said
			go func() { p.WriteSettingsAck(); p.get(3, "/rest") }()
			if status, _ := p.answered(3); status != "200" {
				t.Error(status)
			}
		})
	}
}

type single struct{ c chan net.Conn }

func (s *single) Accept() (net.Conn, error) {
	c, ok := <-s.c
	if !ok {
		return nil, net.ErrClosed
	}
	return c, nil
}
func (s *single) Close() error   { close(s.c); return nil }
func (s *single) Addr() net.Addr { return &net.TCPAddr{} }

type addressed struct{ net.Conn }

func (addressed) RemoteAddr() net.Addr { return &net.TCPAddr{} }

// gathered writes nothing until it is released, and then at once.
type gathered struct {
	net.Conn
	out  []byte
	free bool
}

func (g *gathered) Write(b []byte) (int, error) {
	if g.free {
		return g.Conn.Write(b)
	}
	g.out = append(g.out, b...)
	return len(b), nil
}

func (g *gathered) release() {
	if !g.free {
		g.free = true
		g.Conn.Write(g.out)
	}
}
