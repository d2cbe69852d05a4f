package queue

import (
	"bufio"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"net/textproto"
	"strconv"
	"strings"
	"time"

	"github.com/emersion/go-sasl"
	"github.com/emersion/go-smtp"
)

const (
	dialTime    = 30 * time.Second
	commandTime = 5 * time.Minute  // RFC 5321 §4.5.3.2
	finalTime   = 10 * time.Minute // after the message
	quitTime    = 5 * time.Second
	maxReplies  = 2 << 20          // bytes of all that a host says in a session
	flightTime  = 30 * time.Minute // of all hops together
)

// A parcel is a message with those of its recipients who are at one domain.
type parcel struct {
	Message

	domain string
	to     []string
	// results has what became of each, in the order of to; nil: it was taken.
	results []error
	host    string
	tls     string
}

// deliver tries the hops, one after the other. The error is about all
// recipients; results are about each where it is nil.
func (q *Queue) deliver(ctx context.Context, p *parcel) error {
	ctx, cancel := context.WithTimeout(ctx, flightTime)
	defer cancel()
	it, err := q.way(ctx, p.domain)
	if err != nil {
		return err
	}
	err = later("4.4.1", "no host takes mail for %s now", p.domain)
	for i := range it.hops {
		h := &it.hops[i]
		p.host = h.name
		must, policyErr := q.demands(ctx, p, it, h)
		if policyErr != nil {
			err = policyErr
			continue
		}
		for _, a := range h.addrs {
			if err = q.speak(ctx, p, h, a, must); err == nil {
				return nil
			}
			var o *outcome
			if errors.As(err, &o) && o.final && !o.door {
				return err
			}
			q.o.Log.Info("mail host did not take a message", "id", p.ID, "host", h.name, "addr", a, "err", err)
		}
	}
	return err
}

// speak hands the parcel to the host at an address. Without must, a host whose
// TLS does not work is spoken with in clear.
func (q *Queue) speak(ctx context.Context, p *parcel, h *hop, a netip.Addr, must *demand) error {
	err := q.session(ctx, p, h, a, must)
	if errors.Is(err, errHandshake) && must == nil {
		clear := &demand{clear: true}
		err = q.session(ctx, p, h, a, clear)
	}
	if err == nil {
		return nil
	}
	if _, ok := errors.AsType[*outcome](err); ok {
		return err
	}
	return told(err, h.name)
}

var errHandshake = errors.New("the TLS handshake failed")

// session is one connection.
func (q *Queue) session(ctx context.Context, p *parcel, h *hop, a netip.Addr, must *demand) error {
	dctx, cancel := context.WithTimeout(ctx, dialTime)
	conn, err := q.o.Dial(dctx, "tcp", net.JoinHostPort(a.String(), strconv.Itoa(int(h.port))))
	cancel()
	if err != nil {
		return later("4.4.1", "%s cannot be reached: %v", h.name, err)
	}
	defer conn.Close()
	defer context.AfterFunc(ctx, func() { conn.Close() })()
	p.tls = ""
	if h.smart != nil && h.smart.Implicit {
		t := tls.Client(conn, must.config(h.name))
		hctx, cancel := context.WithTimeout(ctx, dialTime)
		err := t.HandshakeContext(hctx)
		cancel()
		if err != nil {
			return later("4.7.5", "%s: %v: %v", h.name, errHandshake, err)
		}
		conn, p.tls = t, tls.VersionName(t.ConnectionState().Version)
	}
	c, err := q.hello(conn, p, h, must)
	if err != nil {
		return err
	}
	if h.smart != nil && h.smart.User != "" {
		if err := login(c, h.smart); err != nil {
			return err
		}
	}
	if err := q.transact(c, p); err != nil {
		return err
	}
	c.CommandTimeout = quitTime
	_ = c.Quit() // it has the message: whatever it says now
	return nil
}

// hello greets and turns on TLS where it can.
func (q *Queue) hello(conn net.Conn, p *parcel, h *hop, must *demand) (*smtp.Client, error) {
	q.mu.Lock()
	name := q.routes.Host
	q.mu.Unlock()
	// The client of the library begins TLS with a greeting of its own choice, so
	// what comes before TLS is said here, and again inside (RFC 3207 §4.2).
	offered, err := begin(conn, name)
	switch {
	case err != nil:
		return nil, atDoor(err, h.name)
	case p.tls != "" || must.inClear():
	case !offered && must != nil:
		return nil, later("4.7.10", "%s offers no encryption, which %s", h.name, must.whose)
	case offered:
		t, err := startTLS(conn, must.config(h.name))
		if err != nil && must == nil {
			return nil, errHandshake
		}
		if err != nil {
			return nil, later("4.7.5", "%s cannot show that it is the right host, which %s: %v", h.name, must.whose, err)
		}
		conn, p.tls = t, tls.VersionName(t.ConnectionState().Version)
		if must != nil {
			p.tls += " " + must.name
		}
	}
	c := smtp.NewClient(&greeted{Conn: conn, greeting: []byte("220 hello\r\n")})
	c.CommandTimeout, c.SubmissionTimeout = commandTime, finalTime
	if err := c.Hello(name); err != nil {
		return nil, atDoor(err, h.name)
	}
	return c, nil
}

// atDoor is what a host says before it knows what it is about. It speaks for
// itself and not for its domain: another one may take the mail.
func atDoor(err error, host string) error {
	err = told(err, host)
	if o, ok := errors.AsType[*outcome](err); ok {
		o.door = true
	}
	return err
}

// A greeted is a connection on which the greeting was heard, to be told again.
// It ends a session in which the host talks without end.
type greeted struct {
	net.Conn

	greeting []byte
	heard    int
}

var errTalks = errors.New("it says too much")

func (g *greeted) Read(b []byte) (int, error) {
	if len(g.greeting) > 0 {
		n := copy(b, g.greeting)
		g.greeting = g.greeting[n:]
		return n, nil
	}
	if g.heard >= maxReplies {
		return 0, errTalks
	}
	n, err := g.Conn.Read(b)
	g.heard += n
	return n, err
}

// begin hears the greeting, says EHLO, and reports whether TLS is offered.
func begin(conn net.Conn, name string) (offersTLS bool, err error) {
	conn.SetDeadline(time.Now().Add(commandTime))
	defer conn.SetDeadline(time.Time{})
	if _, _, err := say(conn, "", 220); err != nil {
		return false, err
	}
	code, text, err := say(conn, "EHLO "+name, 250)
	if code >= 500 { // a host that knows HELO only has no TLS either
		return false, nil
	}
	for l := range strings.SplitSeq(text, "\n") {
		offersTLS = offersTLS || strings.EqualFold(strings.TrimSpace(l), "STARTTLS")
	}
	return offersTLS, err
}

// say sends a line, if it is not empty, and reads the reply to it and nothing
// that comes with it: what is said in clear must not be taken for what is said
// in TLS.
func say(conn net.Conn, line string, want int) (int, string, error) {
	if line != "" {
		if _, err := io.WriteString(conn, line+"\r\n"); err != nil {
			return 0, "", err
		}
	}
	br := bufio.NewReader(io.LimitReader(conn, 64<<10))
	code, text, err := textproto.NewReader(br).ReadResponse(want)
	if e, ok := errors.AsType[*textproto.Error](err); ok {
		return code, text, &smtp.SMTPError{Code: e.Code, EnhancedCode: smtp.NoEnhancedCode, Message: e.Msg}
	}
	if err == nil && br.Buffered() > 0 {
		err = errors.New("it says more than it was asked")
	}
	return code, text, err
}

func startTLS(conn net.Conn, c *tls.Config) (*tls.Conn, error) {
	conn.SetDeadline(time.Now().Add(dialTime))
	defer conn.SetDeadline(time.Time{})
	if _, _, err := say(conn, "STARTTLS", 220); err != nil {
		return nil, err
	}
	t := tls.Client(conn, c)
	return t, t.Handshake()
}

// login proves who we are to a smarthost.
func login(c *smtp.Client, s *Smarthost) error {
	var m sasl.Client
	switch {
	case c.SupportsAuth(sasl.Plain):
		m = sasl.NewPlainClient("", s.User, s.Password)
	case c.SupportsAuth(sasl.Login):
		m = sasl.NewLoginClient(s.User, s.Password)
	default:
		return later("4.7.0", "%s offers no way to log in that this cell knows", s.Host)
	}
	if err := c.Auth(m); err != nil {
		// It may be put right: mail waits for that.
		return later("4.7.8", "%s refuses the account %s: %s", s.Host, s.User, reply(err))
	}
	return nil
}

// transact sends the message.
func (q *Queue) transact(c *smtp.Client, p *parcel) error {
	o := &smtp.MailOptions{Size: p.Size}
	if ok, _ := c.Extension("SMTPUTF8"); p.UTF8 {
		if !ok {
			return &outcome{final: true, status: "5.6.7", why: p.host + " takes no addresses with letters beyond ASCII", host: p.host}
		}
		o.UTF8 = true
	}
	if ok, _ := c.Extension("8BITMIME"); ok && p.EightBit {
		o.Body = smtp.Body8BitMIME
	}
	if ok, _ := c.Extension("REQUIRETLS"); p.RequireTLS {
		if !ok {
			return &outcome{final: true, status: "5.7.30", why: p.host + " cannot promise that the message stays encrypted", host: p.host}
		}
		o.RequireTLS = true
	}
	if ok, _ := c.Extension("SIZE"); !ok {
		o.Size = 0
	}
	if err := c.Mail(p.From, o); err != nil {
		return told(err, p.host)
	}
	p.results = make([]error, len(p.to))
	taken := 0
	for i, to := range p.to {
		if err := c.Rcpt(to, nil); err != nil {
			if p.results[i] = told(err, p.host); !isReply(err) {
				return p.results[i]
			}
			continue
		}
		taken++
	}
	if taken == 0 {
		return nil // each has its own answer
	}
	f, err := q.disk.text(p.ID)
	if err != nil {
		return later("4.3.0", "%v", err)
	}
	defer f.Close()
	w, err := c.Data()
	if err == nil {
		if _, err = io.Copy(w, f); err == nil {
			err = w.Close()
		}
	}
	if err != nil {
		err = told(err, p.host)
		for i, r := range p.results {
			if r == nil {
				p.results[i] = err
			}
		}
	}
	return nil
}

func isReply(err error) bool {
	_, ok := errors.AsType[*smtp.SMTPError](err)
	return ok
}

// told turns what a host said, or that it said nothing, into an outcome.
func told(err error, host string) error {
	e, ok := errors.AsType[*smtp.SMTPError](err)
	if !ok {
		return &outcome{status: "4.4.2", why: fmt.Sprintf("the connection to %s broke: %v", host, err), host: host}
	}
	o := &outcome{final: e.Code >= 500 && e.Code < 600, why: host + " said: " + reply(err), host: host, status: "4.0.0"}
	if o.final {
		o.status = "5.0.0"
	}
	if c := e.EnhancedCode; c[0] == e.Code/100 && c != smtp.NoEnhancedCode && c != smtp.EnhancedCodeNotSet {
		o.status = fmt.Sprintf("%d.%d.%d", c[0], c[1], c[2])
	}
	return o
}

// reply is what a host said, in one line.
func reply(err error) string {
	s := err.Error()
	if e, ok := errors.AsType[*smtp.SMTPError](err); ok {
		s = strconv.Itoa(e.Code)
		if c := e.EnhancedCode; c != smtp.NoEnhancedCode && c != smtp.EnhancedCodeNotSet {
			s += fmt.Sprintf(" %d.%d.%d", c[0], c[1], c[2])
		}
		s += " " + e.Message
	}
	s = strings.Map(func(r rune) rune {
		if r < ' ' || r == 0x7F {
			return ' '
		}
		return r
	}, strings.ToValidUTF8(s, "?"))
	return s[:min(len(s), 500)]
}
