package h2

import (
	"bytes"
	"encoding/binary"
	"io"
	"net"
	"slices"
	"sync"
	"testing"
	"time"

	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"
)

// A script is a connection whose client sends in, in pieces, and takes all.
type script struct {
	net.Conn
	in   []byte
	size int

	mu  sync.Mutex
	out []byte
}

func (s *script) Read(b []byte) (int, error) {
	if len(s.in) == 0 {
		return 0, io.EOF
	}
	n := copy(b, s.in[:min(s.size, len(s.in))])
	s.in = s.in[n:]
	return n, nil
}

func (s *script) Write(b []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.out = append(s.out, b...)
	return len(b), nil
}

func (s *script) Close() error                     { return nil }
func (s *script) LocalAddr() net.Addr              { return &net.TCPAddr{} }
func (s *script) RemoteAddr() net.Addr             { return &net.TCPAddr{} }
func (s *script) SetReadDeadline(time.Time) error  { return nil }
func (s *script) SetWriteDeadline(time.Time) error { return nil }

// request is a request on a stream as a client sends it.
func request(id uint32, method, path, body string) []byte {
	var b, block bytes.Buffer
	e := hpack.NewEncoder(&block)
	for _, f := range [][2]string{{":method", method}, {":scheme", "https"}, {":authority", "oak"}, {":path", path}, {"x-a", "b"}} {
		_ = e.WriteField(hpack.HeaderField{Name: f[0], Value: f[1]})
	}
	f := http2.NewFramer(&b, nil)
	_ = f.WriteHeaders(http2.HeadersFrameParam{StreamID: id, BlockFragment: block.Bytes(), EndHeaders: true, EndStream: body == ""})
	if body != "" {
		_ = f.WriteData(id, true, []byte(body))
	}
	return b.Bytes()
}

// Whatever a client sends, and in whatever pieces, the server says only what another
// reader of frames understands, answers no stream twice and none that was not
// opened, sends no more than it may, and comes to an end.
func FuzzConn(f *testing.F) {
	f.Add(request(1, "GET", "/echo?YWJj", ""), 100)
	f.Add(slices.Concat(request(1, "POST", "/echo", "abc"), request(3, "PUT", "/rest", "d"), request(5, "GET", "/page", "")), 7)
	f.Add(slices.Concat(request(1, "POST", "/echo/later", "abc"), []byte("\x00\x00\x04\x03\x00\x00\x00\x00\x01\x00\x00\x00\x08"), request(3, "GET", "/echo/large", "")), 9)
	f.Add([]byte("\x00\x00\x06\x04\x00\x00\x00\x00\x00\x00\x04\x00\x00\x00\x05\x00\x00\x04\x08\x00\x00\x00\x00\x00\x00\x00\x00\x05"), 3)
	f.Fuzz(func(t *testing.T, in []byte, size int) {
		if size < 1 || len(in) > 1<<17 {
			return
		}
		s := new(served)
		conn := &script{in: append([]byte(Preface), in...), size: size}
		c := New(s.options(conn), Start{})
		c.Serve()
		s.opened.Wait()
		opened := map[uint32]bool{}
		for b := in; ; {
			f, rest, ok, err := cut(b)
			if !ok || err != nil {
				break
			}
			if f.typ == typeHeaders {
				opened[f.id] = true
			}
			b = rest
		}
		sent := map[uint32]int{}
		heads, ended := map[uint32]bool{}, map[uint32]bool{}
		total := 0
		r := http2.NewFramer(nil, bytes.NewReader(conn.out))
		r.ReadMetaHeaders = hpack.NewDecoder(4096, nil)
		for {
			f, err := r.ReadFrame()
			if err == io.EOF {
				break
			}
			if err != nil {
				t.Fatalf("% x: %v", conn.out, err)
			}
			id := f.Header().StreamID
			switch f := f.(type) {
			case *http2.MetaHeadersFrame:
				if heads[id] || !opened[id] || f.PseudoValue("status") == "" {
					t.Fatalf("stream %d: %v", id, f)
				}
				heads[id] = true
			case *http2.DataFrame:
				if !heads[id] || ended[id] {
					t.Fatalf("stream %d: data %v", id, f)
				}
				sent[id] += len(f.Data())
				total += len(f.Data())
				ended[id] = f.StreamEnded()
			case *http2.SettingsFrame, *http2.PingFrame, *http2.GoAwayFrame, *http2.WindowUpdateFrame, *http2.RSTStreamFrame:
			default:
				t.Fatal(f)
			}
		}
		grown := 0 // windows, by all that the client ever said
		for b := in; len(b) >= 4; b = b[1:] {
			if n := int(binary.BigEndian.Uint32(b) & maxID); n > grown {
				grown = n
			}
		}
		for id, n := range sent {
			if n > window && grown <= window-n {
				t.Errorf("stream %d: %d bytes", id, n)
			}
		}
		if c.bodies < 0 || c.working != 0 || c.rest < 0 || len(c.blocked) > len(c.streams) || c.given < 0 {
			t.Errorf("bodies %d, working %d, rest %d, blocked %d, given %d", c.bodies, c.working, c.rest, len(c.blocked), c.given)
		}
	})
}

// The decoder understands what another one does, and nothing else.
func FuzzDecoder(f *testing.F) {
	var block bytes.Buffer
	e := hpack.NewEncoder(&block)
	for range 3 {
		for _, h := range []hpack.HeaderField{{Name: ":method", Value: "GET"}, {Name: "x-name", Value: "some value"}, {Name: "x-secret", Value: "1", Sensitive: true}} {
			_ = e.WriteField(h)
		}
	}
	f.Add(block.Bytes(), block.Bytes(), uint8(1))
	f.Add([]byte("\x3f\xe1\x1f\x40\x01a\x01b\xbe"), []byte("\x20\xbe"), uint8(3))
	f.Add([]byte("\x40\x81\x1f\x01b\xbe\x7e\x01c\xbe\xbf"), []byte("\xc0\x00\x01x\x01y"), uint8(40))
	f.Fuzz(func(t *testing.T, one, two []byte, times uint8) {
		d := newDecoder()
		var want, got []string
		oracle := hpack.NewDecoder(tableSize, func(f hpack.HeaderField) { want = append(want, f.Name, f.Value) })
		for i := range int(times) + 2 {
			b := one
			if i%3 == 2 {
				b = two
			}
			want, got = want[:0], got[:0]
			_, err := oracle.Write(b)
			if e := oracle.Close(); err == nil {
				err = e
			}
			var mine error
			for d.begin(); ; {
				name, value, rest, more, err := d.field(b)
				if mine = err; err != nil || !more {
					break
				}
				b = rest
				got = append(got, string(name), string(value))
			}
			if d.size > tableSize || len(d.text) > textLen || d.last-d.first > ring {
				t.Fatalf("%d bytes, %d of text, %d entries", d.size, len(d.text), d.last-d.first)
			}
			if mine != nil { // it may be stricter: numbers beyond all meaning, many changes of the size
				return
			}
			if err != nil {
				t.Fatalf("taken, though %v: %q", err, got)
			}
			if !slices.Equal(want, got) {
				t.Fatalf("got %q, want %q", got, want)
			}
		}
	})
}

// What the encoder writes is read by another decoder, whatever the client's table.
func TestAnswersAreReadByOthers(t *testing.T) {
	for name, sizes := range map[string][]uint32{"as by default": nil, "none": {0}, "small": {100, 8192}, "large": {1 << 20}} {
		var e encoder
		d := hpack.NewDecoder(tableSize, nil)
		for i := range 300 {
			if i == 2 {
				for _, n := range sizes {
					e.limit(n)
					d.SetAllowedMaxDynamicTableSize(n)
				}
			}
			r := Reply{Type: "application/dns-message", Cache: "private, max-age=", Age: int64(i) * 1000, Body: make([]byte, i)}
			alt := [...]string{"", `h3=":443"; ma=86400`, `h3=":8443"; ma=86400`}[i%7%3]
			if i%5 == 4 {
				r.Type, r.Age, r.Cache = string(bytes.Repeat([]byte("t"), i)), 0, "no-store"
			}
			b := e.append(nil, 1, &r, alt, time.Unix(int64(i/10), 0))
			all, err := d.DecodeFull(b[headLen:])
			if err != nil {
				t.Fatalf("%s: %d: %v", name, i, err)
			}
			got := map[string]string{}
			for _, f := range all {
				got[f.Name] += f.Value
			}
			if got[":status"] != "200" || got["content-type"] != r.Type || got["alt-svc"] != alt || len(got["date"]) != 29 {
				t.Fatalf("%s: %d: %v", name, i, all)
			}
		}
	}
}

// A hit must not make memory, by GET or by POST, whether the client keeps its
// headers in the table or not.
func TestAnAnswerAtHandMakesNoMemory(t *testing.T) {
	s := new(served)
	conn := &script{}
	c := New(s.options(conn), Start{Told: true})
	c.session = new(fixed)
	c.window, c.now = 1<<60, time.Unix(1, 0)
	var b, block bytes.Buffer
	e := hpack.NewEncoder(&block)
	f := http2.NewFramer(&b, nil)
	id := uint32(1)
	for i := range 64 { // what follows each other in the table goes round and round
		block.Reset()
		for _, h := range [][2]string{
			{":method", "POST"},
			{":scheme", "https"},
			{":authority", "oak.home.arpa"},
			{":path", "/echo?dns=" + string(bytes.Repeat([]byte{byte('a' + i%26)}, 60+i))},
			{"accept", "application/dns-message"},
			{"content-type", "application/dns-message"},
			{"content-length", "40"},
		} {
			_ = e.WriteField(hpack.HeaderField{Name: h[0], Value: h[1]})
		}
		_ = f.WriteHeaders(http2.HeadersFrameParam{StreamID: id, BlockFragment: block.Bytes(), EndHeaders: true})
		_ = f.WriteData(id, true, make([]byte, 40))
		id += 2
	}
	run := func() {
		c.last = 0
		c.in = b.Bytes()
		if err := c.batch(); err != nil {
			t.Fatal(err)
		}
		conn.out = conn.out[:0]
	}
	run()
	if n := testing.AllocsPerRun(50, run); n != 0 && !forgetful {
		t.Errorf("%v allocations for %d answers", n, id/2)
	}
}

// A connection that was busy lets its buffers go when it is at rest, and keeps what
// it has begun to read.
func TestARestingConnectionIsSmall(t *testing.T) {
	s := new(served)
	conn := &script{}
	c := New(s.options(conn), Start{Told: true})
	c.session, c.window, c.now = new(fixed), 1<<60, time.Now()
	c.asked, c.heard = c.now, c.now
	c.in = bytes.Repeat(request(1, "POST", "/echo", "abc"), 1)
	for id := uint32(3); id < 800; id += 2 {
		c.in = append(c.in, request(id, "POST", "/echo", "abc")...)
	}
	c.buf = c.in
	c.in = append(c.in, 0, 0, 8)
	if err := c.batch(); err != nil {
		t.Fatal(err)
	}
	for _, later := range []time.Duration{calmTime - 1, calmTime} {
		c.now = c.heard.Add(later)
		if err := c.deadline(); err != nil {
			t.Fatal(err)
		}
		big := max(cap(c.buf), cap(c.out), cap(c.spare)) > bufSize
		if big != (later < calmTime) || !bytes.Equal(c.in, []byte{0, 0, 8}) {
			t.Errorf("after %v: %d, %d, %d bytes; % x", later, cap(c.buf), cap(c.out), cap(c.spare), c.in)
		}
	}
}

// A header block in pieces is over with its last one: the connection may then rest
// like any other.
func TestAHeaderBlockInPiecesEnds(t *testing.T) {
	s := new(served)
	c := New(s.options(&script{}), Start{Told: true})
	c.session, c.window, c.now = new(fixed), 1<<60, time.Now()
	c.asked = c.now
	whole, _, _, err := cut(request(1, "GET", "/echo", ""))
	if err != nil {
		t.Fatal(err)
	}
	half := len(whole.payload) / 2
	c.in = append(appendHead(nil, half, typeHeaders, flagEndStream, 1), whole.payload[:half]...)
	if err := c.batch(); err != nil || c.since.IsZero() {
		t.Fatalf("%v; since %v", err, c.since)
	}
	c.in = append(appendHead(nil, len(whole.payload)-half, typeContinuation, flagEndHeaders, 1), whole.payload[half:]...)
	if err := c.batch(); err != nil || len(c.streams) != 0 {
		t.Fatalf("%v; %d requests under way", err, len(c.streams))
	}
	c.now = c.now.Add(partTime + time.Second)
	if err := c.deadline(); err != nil {
		t.Error(err)
	}
}

// Requests that are not whole take no more memory than the connection may,
// however little the client sends for each: a field is a byte once it is in the
// table.
func TestFieldsOfRequestsAreBounded(t *testing.T) {
	s := new(served)
	c := New(s.options(&script{}), Start{Told: true})
	c.session, c.window, c.now = new(fixed), 1<<60, time.Now()
	var b, block bytes.Buffer
	e, f := hpack.NewEncoder(&block), http2.NewFramer(&b, nil)
	for id := uint32(1); id < 2*maxStreams; id += 2 {
		block.Reset()
		for _, h := range [][2]string{{":method", "POST"}, {":scheme", "https"}, {":authority", "oak"}, {":path", "/echo"}} {
			_ = e.WriteField(hpack.HeaderField{Name: h[0], Value: h[1]})
		}
		for range 4 {
			_ = e.WriteField(hpack.HeaderField{Name: "x-a", Value: string(bytes.Repeat([]byte("a"), 3500))})
		}
		_ = f.WriteHeaders(http2.HeadersFrameParam{StreamID: id, BlockFragment: block.Bytes(), EndHeaders: true})
	}
	c.in = b.Bytes()
	if err := c.batch(); err != nil {
		t.Fatal(err)
	}
	sum := 0
	for _, s := range c.streams {
		sum += len(s.text)
	}
	if sum > maxText || sum < maxText/2 || sum != c.text {
		t.Errorf("%d bytes in %d requests, counted as %d", sum, len(c.streams), c.text)
	}
	for _, s := range c.streams {
		c.reset(s, codeCancel)
	}
	if c.text != 0 {
		t.Errorf("%d bytes are left", c.text)
	}
}

// fixed answers all alike.
type fixed struct{ body [60]byte }

func (f *fixed) Close() {}
func (f *fixed) Ask(*Request) (Reply, func() Reply, bool) {
	return Reply{Type: "application/dns-message", Cache: "private, max-age=", Age: 300, Body: f.body[:]}, nil, true
}

func BenchmarkAnswer(b *testing.B) {
	s := new(served)
	conn := &script{}
	c := New(s.options(conn), Start{Told: true})
	c.session, c.window, c.now = new(fixed), 1<<60, time.Unix(1, 0)
	in := request(1, "POST", "/echo", "0123456789012345678901234567890123456789")
	b.ReportAllocs()
	for b.Loop() {
		c.last, c.in = 0, in
		if err := c.batch(); err != nil {
			b.Fatal(err)
		}
		conn.out = conn.out[:0]
	}
}
