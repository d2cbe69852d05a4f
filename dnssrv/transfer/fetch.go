package transfer

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"time"

	"github.com/miekg/dns"
)

const (
	// silence is how long the other side may take for its next message.
	silence = 10 * time.Second
	// maxSteps is how many differences are followed; more of them cost more than
	// the whole zone, for each takes as long as the zone is large.
	maxSteps = 1000
)

var (
	errDelta   = errors.New("the differences do not fit the version that they are of")
	errEnd     = errors.New("the transfer ends within the zone")
	errNoSOA   = errors.New("the transfer does not begin with a SOA record")
	errTooMany = errors.New("the zone is larger than is taken")
)

// A RefusedError is a server's answer that it does not transfer the zone.
type RefusedError struct{ Rcode int }

func (e *RefusedError) Error() string {
	name := dns.RcodeToString[e.Rcode]
	if e.Rcode == dns.RcodeRefused || e.Rcode == dns.RcodeNotAuth {
		return "the server answers " + name + "; see whether it serves the zone and lets this cell transfer it, and whether both know the same key"
	}
	return "the server answers " + name
}

// A Client fetches zones. Its zero fields mean a plain connection and bounds of
// 100 000 records, 64 MiB and five minutes.
type Client struct {
	Dial    func(ctx context.Context, network, address string) (net.Conn, error)
	Records int
	Bytes   int
	Time    time.Duration
}

// A Request says which zone to fetch from whom.
type Request struct {
	Server string // address and port
	Zone   string
	Key    *Key     // nil: without signatures
	Have   *Content // nil: nothing; else what differences may be of
}

// Fetch returns the newest version of a zone: Have itself where that is it. The
// zone is checked: nothing outside of it is in it, and one SOA.
func (c *Client) Fetch(ctx context.Context, r Request) (*Content, error) {
	limit := c.Time
	if limit == 0 {
		limit = 5 * time.Minute
	}
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	if r.Have != nil {
		got, err := c.ask(ctx, r, dns.TypeIXFR)
		var refused *RefusedError
		if err == nil || !errors.As(err, &refused) && !errors.Is(err, errDelta) && !errors.Is(err, errEnd) && !errors.Is(err, io.EOF) {
			return got, err
		}
		// It may not know IXFR, or not that version.
	}
	return c.ask(ctx, r, dns.TypeAXFR)
}

// ask makes one connection and reads one transfer.
func (c *Client) ask(ctx context.Context, r Request, typ uint16) (*Content, error) {
	dial := c.Dial
	if dial == nil {
		dial = new(net.Dialer).DialContext
	}
	dctx, cancel := context.WithTimeout(ctx, silence)
	conn, err := dial(dctx, "tcp", r.Server)
	cancel()
	if err != nil {
		return nil, err
	}
	defer conn.Close()
	stop := context.AfterFunc(ctx, func() { conn.Close() })
	defer stop()
	m := new(dns.Msg).SetQuestion(r.Zone, typ)
	m.RecursionDesired = false
	b, err := m.Pack()
	if err != nil {
		return nil, err
	}
	if typ == dns.TypeIXFR {
		b = append(b, r.Have.SOA...)
		binary.BigEndian.PutUint16(b[8:], 1)
	}
	in := &incoming{client: c, conn: conn, id: m.Id, request: r, incremental: typ == dns.TypeIXFR}
	if in.zone, err = zoneWire(r.Zone); err != nil {
		return nil, err
	}
	if r.Key != nil {
		in.session, b = r.Key.Request(b, time.Now())
	}
	conn.SetDeadline(time.Now().Add(silence))
	if _, err := conn.Write(append(binary.BigEndian.AppendUint16(nil, uint16(len(b))), b...)); err != nil {
		return nil, err
	}
	got, err := in.read()
	if ctx.Err() != nil {
		return nil, fmt.Errorf("it took too long: %w", ctx.Err())
	}
	return got, err
}

func zoneWire(zone string) (string, error) {
	b := appendName(nil, dns.CanonicalName(zone))
	if len(b) == 0 {
		return "", fmt.Errorf("%q is not a zone", zone)
	}
	return string(b), nil
}

// An incoming is a transfer that is being read.
type incoming struct {
	client      *Client
	conn        net.Conn
	id          uint16
	request     Request
	zone        string // in wire format
	session     *Session
	incremental bool

	count, bytes int
	state        func(string) (bool, error) // takes the next record; true: that was the last
	newest       string                     // SOA
	whole        []string
	at           *Content // what the differences so far made of what we had
	steps        int      // how many those are
	step         Delta
}

func (in *incoming) read() (*Content, error) {
	in.state = in.first
	buf := make([]byte, maxMessage)
	for {
		b, err := in.message(buf)
		if err != nil {
			return nil, err
		}
		records, err := in.answers(b)
		if err != nil {
			return nil, err
		}
		for i, r := range records {
			done, err := in.state(r)
			if err != nil {
				return nil, err
			}
			if done && i < len(records)-1 {
				return nil, errEnd
			}
			if done {
				return in.result()
			}
		}
		if in.incremental && in.count == 1 {
			// A SOA alone: that is the newest version, and may not be ours yet where the
			// server has no more than that to say about it.
			if Newer(serialOf(in.newest), in.request.Have.Serial()) {
				continue // a careful server puts each record into a message of its own
			}
			return in.request.Have, in.session.Done()
		}
	}
}

// result returns what was read, once its end has come.
func (in *incoming) result() (*Content, error) {
	if err := in.session.Done(); err != nil {
		return nil, err
	}
	if in.at != nil {
		return in.at, nil
	}
	return NewContent(in.newest, in.whole), nil
}

// message reads one message and checks its header and signature.
func (in *incoming) message(buf []byte) ([]byte, error) {
	in.conn.SetReadDeadline(time.Now().Add(silence))
	if _, err := io.ReadFull(in.conn, buf[:2]); err != nil {
		return nil, fmt.Errorf("reading: %w", err)
	}
	b := buf[:binary.BigEndian.Uint16(buf)]
	if _, err := io.ReadFull(in.conn, b); err != nil {
		return nil, fmt.Errorf("reading: %w", err)
	}
	if len(b) < headerLen || binary.BigEndian.Uint16(b) != in.id || b[2]&0xf8 != 0x80 {
		return nil, errFormat
	}
	var err error
	rcode := int(b[3] & 15)
	if in.session != nil {
		b, err = in.session.Check(b, time.Now())
	}
	if rcode != 0 && (err == nil || errors.Is(err, errUnsigned)) {
		return nil, &RefusedError{rcode}
	}
	return b, err
}

// answers returns the records of a message's answer section.
func (in *incoming) answers(b []byte) ([]string, error) {
	off := headerLen
	for range binary.BigEndian.Uint16(b[4:]) {
		if off = skipName(b, off); off < 0 || off+4 > len(b) {
			return nil, errFormat
		}
		off += 4
	}
	n := int(binary.BigEndian.Uint16(b[6:]))
	if n == 0 {
		return nil, errNoSOA
	}
	out := make([]string, 0, min(n, 1024))
	for range n {
		rr, next, err := dns.UnpackRR(b, off)
		if err != nil {
			return nil, errRecord
		}
		off = next
		w, err := in.take(rr)
		if err != nil {
			return nil, err
		}
		if w != "" {
			out = append(out, w)
		}
	}
	return out, nil
}

// take counts a record and returns it as it is kept; it is empty where the
// record must not be in the zone and does no harm.
func (in *incoming) take(rr dns.RR) (string, error) {
	h := rr.Header()
	if h.Class != dns.ClassINET || meta(h.Rrtype) {
		return "", fmt.Errorf("a zone cannot have a record of type %s, class %s", dns.Type(h.Rrtype), dns.Class(h.Class))
	}
	w, err := Wire(rr)
	if err != nil || len(w) > maxMessage-1024 {
		return "", errRecord
	}
	in.count++
	in.bytes += len(w)
	maxRecords, maxBytes := in.client.Records, in.client.Bytes
	if maxRecords == 0 {
		maxRecords = 100_000
	}
	if maxBytes == 0 {
		maxBytes = 64 << 20
	}
	if in.count > maxRecords || in.bytes > maxBytes {
		return "", errTooMany
	}
	owner := w[:ownerEnd(w)]
	rest, ok := strings.CutSuffix(owner, in.zone)
	if !ok || !labels(rest) {
		in.count-- // a record of another zone (RFC 5936 §3.4) is as if it were not there
		return "", nil
	}
	if h.Rrtype == dns.TypeSOA && rest != "" {
		return "", errors.New("there is a SOA record below the zone's own")
	}
	return w, nil
}

// meta reports types that are in messages only.
func meta(t uint16) bool { return t == dns.TypeNone || t == dns.TypeOPT || t >= 128 && t < 256 }

func (in *incoming) first(r string) (bool, error) {
	if typeOf(r) != dns.TypeSOA {
		return false, errNoSOA
	}
	in.newest = r
	in.state = in.second
	return false, nil
}

// second tells the whole zone from differences.
func (in *incoming) second(r string) (bool, error) {
	if typeOf(r) == dns.TypeSOA && in.incremental && serialOf(r) == in.request.Have.Serial() && serialOf(r) != serialOf(in.newest) {
		in.at, in.step = in.request.Have, Delta{From: r}
		in.state = in.removed
		return false, nil
	}
	in.state = in.all
	return in.all(r)
}

func (in *incoming) all(r string) (bool, error) {
	if typeOf(r) == dns.TypeSOA {
		if serialOf(r) != serialOf(in.newest) {
			return false, errors.New("there are two different SOA records in the zone")
		}
		return true, nil
	}
	in.whole = append(in.whole, r)
	return false, nil
}

func (in *incoming) removed(r string) (bool, error) {
	if typeOf(r) == dns.TypeSOA {
		in.step.To = r
		in.state = in.added
		return false, nil
	}
	in.step.Removed = append(in.step.Removed, r)
	return false, nil
}

func (in *incoming) added(r string) (bool, error) {
	if typeOf(r) != dns.TypeSOA {
		in.step.Added = append(in.step.Added, r)
		return false, nil
	}
	if in.steps++; in.steps > maxSteps {
		return false, errDelta
	}
	var err error
	if in.at, err = in.at.Apply(in.step); err != nil {
		return false, err
	}
	if in.at.Serial() == serialOf(in.newest) && serialOf(r) == serialOf(in.newest) {
		return true, nil
	}
	in.step = Delta{From: r}
	in.state = in.removed
	return false, nil
}
