// Package queue brings mail to other places.
//
// # Promises
//
// What [Queue.Add] has taken is on stable storage, and stays until each of its
// recipients has it, or its sender has been told that one has not. A kill or a
// power cut at any moment costs at most a second copy of what was under way.
//
// Mail goes to the hosts that the recipient's domain names (RFC 5321 §5), best
// first; or to a route for the domain, such as a linked cell; or all of it through
// a smarthost. What cannot be sent now is tried again, after 5 minutes at first
// and then more and more seldom, for five days; the sender hears of it after
// four hours and at the end, as RFC 3464 says. Two connections to one domain at
// most, ten in all.
//
// Connections are encrypted wherever the other side can. Where its domain says
// that it must be, by DANE (RFC 7672) or MTA-STS (RFC 8461), and where the sender
// wanted it (RFC 8689), mail waits rather than going in clear or to somebody else.
// Strangers cannot have us connect to addresses that are not of the internet.
//
// # Layout
//
// Each message is two files in the folder: ID.eml is the text as it goes out,
// ID.json says who still needs it. A message is there if ID.json is.
//
// # Not done
//
// Reports on TLS (RFC 8460), connections kept for the next message, LMTP.
// go-smtp speaks the protocol; what is said to whom is ours.
package queue

import (
	"cmp"
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"time"

	"pic/internal/order"
	"pic/mailsrv/lookup"
)

// ErrNone says that there is no such message.
var ErrNone = errors.New("no such message in the queue")

const (
	maxMessages   = 10_000
	perDomain     = 2
	connections   = 10
	firstPause    = 5 * time.Minute
	longestPause  = 4 * time.Hour
	warnAfter     = 4 * time.Hour
	giveUpAfter   = 5 * 24 * time.Hour
	maxRecipients = 1000
)

// Options tie a queue to what it needs of others.
type Options struct {
	Log *slog.Logger
	Dir string // made where it is missing
	DNS lookup.Resolver
	// Dial opens connections; nil: the host's own way.
	Dial func(ctx context.Context, network, addr string) (net.Conn, error)
	// Bounce delivers a message of ours to somebody of the house.
	Bounce func(ctx context.Context, to string, msg []byte) error
	// Reach says which addresses a stranger's domain may lead us to; nil: those of
	// the internet.
	Reach func(netip.Addr) bool
	Roots *x509.CertPool // for MTA-STS and smarthosts; nil: the host's
	// Port is where mail is taken; 0: 25.
	Port uint16
	Now  func() time.Time // nil: time.Now
}

// Routes say where mail goes that does not go where DNS says.
type Routes struct {
	Host      string           // our name, for EHLO and reports
	Domains   map[string]Route // in lower case
	Smarthost *Smarthost       // for all that is not in Domains; nil: none
}

// A Route is where the mail for one domain goes, a linked cell for one.
type Route struct {
	Host   string         // whose addresses DNS knows
	Within []netip.Prefix // where these may be
}

// A Smarthost takes mail for everybody, from those who have an account there.
type Smarthost struct {
	Host     string
	Port     uint16
	Implicit bool // TLS from the first byte, as on 465; otherwise STARTTLS is required
	User     string
	Password string
}

// A Message is one in the queue.
type Message struct {
	ID         string      `json:"id"`
	From       string      `json:"from"` // "" for <>
	User       string      `json:"user,omitempty"`
	Subject    string      `json:"subject,omitempty"`
	Created    time.Time   `json:"created"`
	Size       int64       `json:"size"`
	Recipients []Recipient `json:"recipients"`
	RequireTLS bool        `json:"requireTLS,omitempty"`
	UTF8       bool        `json:"utf8,omitempty"`
	EightBit   bool        `json:"eightBit,omitempty"`
	Held       bool        `json:"held,omitempty"` // until somebody lets it go on
	Warned     bool        `json:"warned,omitempty"`

	told time.Time // when its sender was to be told and could not be
}

func (m *Message) open() bool {
	return slices.ContainsFunc(m.Recipients, func(r Recipient) bool { return r.open() })
}

// A Recipient is one who still needs the message, or had it.
type Recipient struct {
	Addr     string    `json:"addr"`
	Done     bool      `json:"done,omitempty"`
	Failed   bool      `json:"failed,omitempty"`
	Told     bool      `json:"told,omitempty"` // its sender knows
	Attempts int       `json:"attempts,omitempty"`
	Next     time.Time `json:"next"`
	Host     string    `json:"host,omitempty"` // that spoke last
	TLS      string    `json:"tls,omitempty"`  // how it was encrypted
	Why      string    `json:"why,omitempty"`  // what it said
	Status   string    `json:"status,omitempty"`
}

func (r *Recipient) open() bool { return !r.Done && !r.Failed }

func (r *Recipient) domain() string {
	return strings.ToLower(strings.TrimSuffix(r.Addr[strings.LastIndexByte(r.Addr, '@')+1:], "."))
}

// A Queue sends messages. Use [Open]; its methods may be called from any
// goroutine.
type Queue struct {
	o    Options
	disk disk
	sts  *stsCache
	wake chan struct{}

	telling sync.Mutex // taken before mu

	mu     sync.Mutex
	routes Routes
	all    map[string]*Message
	busy   map[string]int  // connections, by domain
	out    map[flight]bool // under way
	wg     sync.WaitGroup
}

// A flight is a message on its way to a domain.
type flight struct{ id, domain string }

// Open reads the queue from its folder. Nothing is sent until Run.
func Open(o Options) (*Queue, error) {
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Reach == nil {
		o.Reach = public
	}
	if o.Dial == nil {
		o.Dial = new(net.Dialer).DialContext
	}
	o.Port = cmp.Or(o.Port, 25)
	q := &Queue{
		o: o, disk: disk{o.Dir}, sts: newSTSCache(o), wake: make(chan struct{}, 1),
		busy: map[string]int{}, out: map[flight]bool{},
	}
	var err error
	if q.all, err = q.disk.load(o.Log); err != nil {
		return nil, fmt.Errorf("opening the mail queue: %w", err)
	}
	return q, nil
}

// SetRoutes changes where mail goes. What is under way is not disturbed; what
// waits is tried at once if smarthost or routes changed for it.
func (q *Queue) SetRoutes(r Routes) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.routes = r
	q.rouse()
}

func (q *Queue) rouse() {
	select {
	case q.wake <- struct{}{}:
	default:
	}
}

// ErrFull says that the queue takes no more now.
var ErrFull = errors.New("the mail queue is full")

// Add takes a message, whose ID must be unique and of letters and digits. It
// returns once the message is safe. commit, if not nil, is called then, and
// may still refuse: then the message is gone again.
func (q *Queue) Add(m Message, text io.Reader, commit func() error) error {
	if !goodID(m.ID) || len(m.Recipients) == 0 || len(m.Recipients) > maxRecipients {
		return fmt.Errorf("queueing mail: %q is not a possible message", m.ID)
	}
	q.mu.Lock()
	full := len(q.all) >= maxMessages
	q.mu.Unlock()
	if full {
		return ErrFull
	}
	m.Created = q.o.Now().UTC()
	for i := range m.Recipients {
		m.Recipients[i].Next = m.Created
	}
	n, err := q.disk.put(&m, text)
	if err != nil {
		return fmt.Errorf("queueing mail: %w", err)
	}
	m.Size = n
	if commit != nil {
		if err := commit(); err != nil {
			q.disk.remove(m.ID)
			return err
		}
	}
	q.mu.Lock()
	defer q.mu.Unlock()
	q.all[m.ID] = &m
	q.rouse()
	return nil
}

// Run sends until ctx is done, and returns when nothing is under way any more.
func (q *Queue) Run(ctx context.Context) {
	defer q.wg.Wait()
	for {
		pause := q.start(ctx)
		t := time.NewTimer(pause)
		select {
		case <-ctx.Done():
			t.Stop()
			return
		case <-q.wake:
		case <-t.C:
		}
		t.Stop()
	}
}

// start begins what is due, and says when to look again.
func (q *Queue) start(ctx context.Context) time.Duration {
	q.mu.Lock()
	defer q.mu.Unlock()
	now := q.o.Now()
	pause := firstPause
	total := 0
	for _, n := range q.busy {
		total += n
	}
	for _, m := range q.sorted() {
		if m.Held {
			continue
		}
		if !m.open() && now.Sub(m.told) >= firstPause { // only its sender does not know yet
			m.told = now
			id := m.ID // m changes under mu
			q.wg.Go(func() { q.tell(ctx, id, now) })
			continue
		}
		for i := range m.Recipients {
			r := &m.Recipients[i]
			if !r.open() {
				continue
			}
			f := flight{m.ID, r.domain()}
			// What lies further off was written while the clock was wrong.
			if wait := r.Next.Sub(now); wait > 0 && wait <= longestPause {
				pause = min(pause, wait)
				continue
			}
			if q.out[f] || q.busy[f.domain] >= perDomain || total >= connections || ctx.Err() != nil {
				continue // the end of another one rouses us
			}
			q.out[f] = true
			q.busy[f.domain]++
			total++
			q.wg.Go(func() { q.fly(ctx, f) })
		}
	}
	return max(pause, time.Second)
}

// sorted is the messages, the oldest first.
func (q *Queue) sorted() []*Message {
	out := make([]*Message, 0, len(q.all))
	for _, m := range q.all {
		out = append(out, m)
	}
	order.By(out, func(a, b *Message) int { return cmp.Or(a.Created.Compare(b.Created), strings.Compare(a.ID, b.ID)) })
	return out
}

// List returns the messages, the oldest first.
func (q *Queue) List() []Message {
	q.mu.Lock()
	defer q.mu.Unlock()
	var out []Message
	for _, m := range q.sorted() {
		c := *m
		c.Recipients = slices.Clone(m.Recipients)
		out = append(out, c)
	}
	return out
}

// change changes a message that is in the queue, also on disk, or not at all.
func (q *Queue) change(id string, f func(*Message)) error { return q.alter(id, f, false) }

// record writes down what has happened. It is kept in mind if the disk is full,
// or what was sent would be sent again and again; the next change saves it.
func (q *Queue) record(id string, f func(*Message)) error { return q.alter(id, f, true) }

func (q *Queue) alter(id string, f func(*Message), happened bool) error {
	q.mu.Lock()
	defer q.mu.Unlock()
	m := q.all[id]
	if m == nil {
		return ErrNone
	}
	c := *m
	c.Recipients = slices.Clone(m.Recipients)
	f(&c)
	err := q.disk.save(&c)
	if err != nil {
		err = fmt.Errorf("saving the mail queue: %w", err)
	}
	if err == nil || happened {
		*m = c
		q.rouse()
	}
	return err
}

// Retry has a message tried at once, and lets it go on if it is held.
func (q *Queue) Retry(id string) error {
	return q.change(id, func(m *Message) {
		m.Held = false
		for i := range m.Recipients {
			m.Recipients[i].Next = q.o.Now().UTC()
		}
	})
}

// Hold keeps a message from being sent until Retry. What is under way goes on.
func (q *Queue) Hold(id string) error {
	return q.change(id, func(m *Message) { m.Held = true })
}

// Drop removes a message. Its sender is not told.
func (q *Queue) Drop(id string) error {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.all[id] == nil {
		return ErrNone
	}
	if err := q.disk.remove(id); err != nil {
		return fmt.Errorf("dropping mail: %w", err)
	}
	delete(q.all, id)
	return nil
}
