package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"strconv"

	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"
)

// A dot is a connection of DNS over TLS. Slots are ids.
type dot struct {
	conn net.Conn
	in   *bufio.Reader
	out  []byte
}

func dotTo(ctx context.Context, at netip.AddrPort) func() (murmur, error) {
	return func() (murmur, error) {
		c, err := handshake(ctx, at, "dot")
		if err != nil {
			return nil, err
		}
		return &dot{conn: c, in: bufio.NewReaderSize(c, 64<<10)}, nil
	}
}

func (d *dot) close() { d.conn.Close() }

func (d *dot) ask(slots []int, questions [][]byte) error {
	d.out = d.out[:0]
	for i, q := range questions {
		binary.BigEndian.PutUint16(q, uint16(slots[i]))
		d.out = binary.BigEndian.AppendUint16(d.out, uint16(len(q)))
		d.out = append(d.out, q...)
	}
	_, err := d.conn.Write(d.out)
	return err
}

func (d *dot) answers(take func(int, []byte) error) error {
	for {
		size, err := d.in.Peek(2)
		if err != nil {
			return err
		}
		n := int(binary.BigEndian.Uint16(size))
		b, err := d.in.Peek(2 + n)
		if err != nil {
			return err
		}
		if n < 12 {
			return errors.New("too short an answer")
		}
		if err := take(int(binary.BigEndian.Uint16(b[2:])), b[2:]); err != nil {
			return err
		}
		if _, err := d.in.Discard(2 + n); err != nil {
			return err
		}
		if d.in.Buffered() < 2 {
			return nil
		}
		size, err = d.in.Peek(2)
		if err != nil || d.in.Buffered() < 2+int(binary.BigEndian.Uint16(size)) {
			return err
		}
	}
}

// A doh is a connection of DNS over HTTPS with HTTP/2, which does no more than
// it must, so that the server has the cores.
type doh struct {
	conn   net.Conn
	in     *bufio.Reader
	frames *http2.Framer
	out    bytes.Buffer
	heads  *hpack.Decoder
	head   []byte // of every request, but for its length
	stream uint32
	under  map[uint32]*request
	bad    error
	taken  uint32 // bytes that the server may send anew
}

// A request is one question under way.
type request struct {
	slot int
	body []byte
}

func dohTo(ctx context.Context, at netip.AddrPort) func() (murmur, error) {
	return func() (murmur, error) {
		c, err := handshake(ctx, at, "h2")
		if err != nil {
			return nil, err
		}
		d := &doh{conn: c, in: bufio.NewReaderSize(c, 64<<10), stream: 1, under: map[uint32]*request{}}
		d.frames = http2.NewFramer(&d.out, d.in)
		d.frames.SetReuseFrames()
		d.heads = hpack.NewDecoder(4096, func(f hpack.HeaderField) {
			if f.Name == ":status" && f.Value != "200" {
				d.bad = fmt.Errorf("status %s", f.Value)
			}
		})
		d.out.WriteString(http2.ClientPreface)
		if err := errors.Join(
			d.frames.WriteSettings(http2.Setting{ID: http2.SettingInitialWindowSize, Val: 1 << 20}),
			d.frames.WriteWindowUpdate(0, 1<<20),
		); err != nil {
			return nil, err
		}
		return d, nil
	}
}

func (d *doh) close() { d.conn.Close() }

func (d *doh) headFor(n int) []byte {
	var b bytes.Buffer
	e := hpack.NewEncoder(&b)
	e.SetMaxDynamicTableSize(0)
	for _, f := range [][2]string{
		{":method", "POST"},
		{":scheme", "https"},
		{":authority", "127.0.0.1"},
		{":path", "/dns-query"},
		{"accept", "application/dns-message"},
		{"content-type", "application/dns-message"},
		{"content-length", strconv.Itoa(n)},
	} {
		_ = e.WriteField(hpack.HeaderField{Name: f[0], Value: f[1]}) // to memory
	}
	return b.Bytes()
}

func (d *doh) ask(slots []int, questions [][]byte) error {
	for i, q := range questions {
		if d.head == nil {
			d.head = d.headFor(len(q)) // all are of one length
		}
		binary.BigEndian.PutUint16(q, 0)
		d.under[d.stream] = &request{slot: slots[i]}
		err := errors.Join(
			d.frames.WriteHeaders(http2.HeadersFrameParam{StreamID: d.stream, BlockFragment: d.head, EndHeaders: true}),
			d.frames.WriteData(d.stream, true, q),
		)
		if err != nil {
			return err
		}
		d.stream += 2
	}
	return d.flush()
}

func (d *doh) flush() error {
	if d.out.Len() == 0 {
		return nil
	}
	_, err := d.conn.Write(d.out.Bytes())
	d.out.Reset()
	return err
}

func (d *doh) answers(take func(int, []byte) error) error {
	for got := 0; got == 0 || d.in.Buffered() >= 9; {
		f, err := d.frames.ReadFrame()
		if err != nil {
			return err
		}
		n, err := d.frame(f, take)
		if err != nil {
			return err
		}
		got += n
	}
	return d.flush()
}

// frame takes in one frame and returns how many answers it ended.
func (d *doh) frame(f http2.Frame, take func(int, []byte) error) (int, error) {
	switch f := f.(type) {
	case *http2.SettingsFrame:
		if !f.IsAck() {
			return 0, d.frames.WriteSettingsAck()
		}
	case *http2.PingFrame:
		if !f.IsAck() {
			return 0, d.frames.WritePing(true, f.Data)
		}
	case *http2.HeadersFrame:
		if _, err := d.heads.Write(f.HeaderBlockFragment()); err != nil {
			return 0, err
		}
		if !f.HeadersEnded() || f.StreamEnded() || d.bad != nil {
			return 0, errors.Join(d.bad, errors.New("not the head of an answer"))
		}
	case *http2.DataFrame:
		r := d.under[f.StreamID]
		if r == nil {
			return 0, errors.New("data of no stream")
		}
		r.body = append(r.body, f.Data()...)
		if d.taken += uint32(f.Length); d.taken > 1<<19 {
			if err := d.frames.WriteWindowUpdate(0, d.taken); err != nil {
				return 0, err
			}
			d.taken = 0
		}
		if !f.StreamEnded() {
			return 0, nil
		}
		delete(d.under, f.StreamID)
		return 1, take(r.slot, r.body)
	case *http2.GoAwayFrame:
		return 0, fmt.Errorf("the server ends the connection: %v", f.ErrCode)
	case *http2.RSTStreamFrame:
		return 0, fmt.Errorf("the server ends a stream: %v", f.ErrCode)
	}
	return 0, nil
}
