package mailsrv

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"

	"pic/core/config"
	"pic/core/users"
	"pic/internal/listen"
	"pic/mailsrv/imapd"
	"pic/mailsrv/lookup"
	"pic/mailsrv/queue"
	"pic/mailsrv/smtpd"
	"pic/mailsrv/store"
)

const (
	handshakeTime = 20 * time.Second
	maxRecipients = 100
)

// An AuthFunc checks the password of somebody who connects from an address, and
// returns the name of the user. Its error is told to the client.
type AuthFunc func(ctx context.Context, login, secret string, from netip.Addr) (user string, err error)

// A CertFunc has the certificate for a handshake.
type CertFunc func(*tls.ClientHelloInfo) (*tls.Certificate, error)

// A Server is the mail of the house. Use [New].
type Server struct {
	log  *slog.Logger
	set  *listen.Set
	dir  string
	auth AuthFunc
	dns  lookup.Resolver
	tls  *tls.Config

	secret  func(config.Secret) ([]byte, error)
	sending queue.Options

	policy   atomic.Pointer[policy]
	smtp     *limiter
	imap     *limiter
	sessions sessions
	spooled  atomic.Int64 // memory of messages under way
	received atomic.Int64 // messages since the start
	full     atomic.Int64 // when the disk was last full, Unix nanoseconds

	apply sync.Mutex // held for the whole of Apply and of the end of Run
	mu    sync.Mutex
	life  *life // nil while nothing is served
}

// A life is what exists from the first Apply until the end of Run.
type life struct {
	ctx    context.Context
	cancel context.CancelFunc
	store  *store.Store
	queue  *queue.Queue
	wg     sync.WaitGroup // listeners, connections, deliveries
}

// Options tie a server to what it needs of others.
type Options struct {
	Log  *slog.Logger
	Pool *listen.Pool
	Dir  string // where mail is kept
	Auth AuthFunc
	Cert CertFunc
	DNS  lookup.Resolver // nil: who mail from outside is from is not examined
	// Secret has the passwords and keys that a document names.
	Secret func(config.Secret) ([]byte, error)
	// Queue has what is special about sending; Log, Dir, DNS and Bounce are set by
	// the server.
	Queue queue.Options
}

// New returns a server that serves nothing until the first Apply.
func New(o Options) *Server {
	s := &Server{
		log: o.Log, set: o.Pool.Set(), dir: o.Dir, auth: o.Auth, dns: o.DNS, secret: o.Secret, sending: o.Queue,
		tls:  &tls.Config{GetCertificate: o.Cert, MinVersion: tls.VersionTLS12},
		smtp: newLimiter(maxSMTP, maxSMTPSource), imap: newLimiter(maxIMAP, maxIMAPSource),
	}
	s.policy.Store(newPolicy(Config{}))
	return s
}

// Check reports what is wrong with c beyond what its document cannot have wrong.
func (s *Server) Check(_ context.Context, c Config) error {
	_, _, err := c.sockets()
	return err
}

// Apply makes the server follow c.
func (s *Server) Apply(ctx context.Context, c Config) error {
	s.apply.Lock()
	defer s.apply.Unlock()
	want, _, err := c.sockets()
	if err != nil {
		return err
	}
	l, fresh := s.life, false
	if l == nil && c.enabled() {
		st, err := store.Open(s.dir, s.log)
		if err != nil {
			return err
		}
		q, err := s.openQueue()
		if err != nil {
			return errors.Join(err, st.Close())
		}
		l, fresh = &life{store: st, queue: q}, true
		l.ctx, l.cancel = context.WithCancel(context.WithoutCancel(ctx))
	}
	swap, err := s.set.Open(ctx, want)
	if err != nil {
		if fresh {
			l.cancel()
			err = errors.Join(err, l.store.Close())
		}
		return err
	}
	p := newPolicy(c)
	p.keys = s.keys(c)
	s.policy.Store(p)
	s.mu.Lock()
	s.life = l
	s.mu.Unlock()
	if l != nil {
		l.queue.SetRoutes(s.routes(c))
	}
	if fresh {
		l.wg.Go(func() { l.queue.Run(l.ctx) })
	}
	for _, b := range swap.Added() {
		s.log.Info("serving", "listen", b.LocalAddr())
		l.wg.Go(func() { s.listen(l, b) })
	}
	swap.Commit()
	if c.enabled() {
		s.sessions.end(func(user string) bool { return p.users[user] })
	} else {
		s.sessions.endAll()
	}
	return nil
}

// Run serves until ctx is done.
func (s *Server) Run(ctx context.Context) error {
	<-ctx.Done()
	s.apply.Lock()
	defer s.apply.Unlock()
	s.mu.Lock()
	l := s.life
	s.life = nil
	s.mu.Unlock()
	s.set.Close()
	s.policy.Store(newPolicy(Config{}))
	if l == nil {
		return nil
	}
	l.cancel()
	l.wg.Wait()
	return l.store.Close()
}

// enter begins a use of the store, which ends with Done of its wg. It is nil
// while mail is switched off.
func (s *Server) enter() *life {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.life == nil || !s.policy.Load().conf.enabled() {
		return nil
	}
	s.life.wg.Add(1)
	return s.life
}

// listen takes connections from a socket until it is closed.
func (s *Server) listen(l *life, b listen.Bound) {
	for {
		conn, err := b.Listener.Accept()
		if errors.Is(err, net.ErrClosed) {
			return
		}
		if err != nil { // out of descriptors, say
			s.log.Warn("connection not accepted", "listen", b.Addr, "err", err)
			select {
			case <-l.ctx.Done():
				return
			case <-time.After(100 * time.Millisecond):
			}
			continue
		}
		p := s.policy.Load()
		l.wg.Go(func() { s.serve(l, p, p.spoken[b.Socket], conn) })
	}
}

// serve speaks with one client, if it may be here.
func (s *Server) serve(l *life, p *policy, proto protocol, conn net.Conn) {
	defer conn.Close()
	defer func() {
		if v := recover(); v != nil {
			s.log.Error("panic serving a connection", "addr", conn.RemoteAddr(), "err", v)
		}
	}()
	if t, ok := conn.(*net.TCPConn); ok { // or IDLE waits for the dead
		t.SetKeepAliveConfig(net.KeepAliveConfig{Enable: true, Idle: 2 * time.Minute, Interval: 30 * time.Second, Count: 4})
	}
	from := smtpd.Remote(conn)
	if proto != smtpIn && !p.insider(from) {
		s.turnAway(proto, conn, "554 5.7.1 "+errOutsider.Message)
		return
	}
	lim := s.smtp
	if proto == imaps {
		lim = s.imap
	}
	if !lim.enter(from) {
		s.log.Debug("too many connections", "addr", from)
		s.turnAway(proto, conn, "421 4.7.0 Too many connections")
		return
	}
	defer lim.leave(from)
	ctx, cancel := context.WithCancel(l.ctx)
	defer cancel()
	who := s.sessions.add(cancel)
	defer s.sessions.remove(who)
	if proto.implicit() {
		t := tls.Server(conn, s.tls)
		hctx, done := context.WithTimeout(ctx, handshakeTime)
		err := t.HandshakeContext(hctx)
		done()
		if err != nil {
			s.log.Debug("handshake failed", "addr", from, "err", err)
			return
		}
		conn = t
	}
	if proto == imaps {
		imapd.Serve(ctx, conn, from, s.imapOptions(l, who))
		return
	}
	smtpd.Serve(ctx, conn, s.smtpOptions(l, p, proto, who))
}

// turnAway says why, where that can be said without a handshake.
func (s *Server) turnAway(proto protocol, conn net.Conn, reply string) {
	if !proto.implicit() {
		conn.SetWriteDeadline(time.Now().Add(time.Second))
		io.WriteString(conn, reply+"\r\n")
	}
}

func (s *Server) smtpOptions(l *life, p *policy, proto protocol, who *session) *smtpd.Options {
	role := smtpd.Submission
	if proto == smtpIn {
		role = smtpd.Incoming
	}
	return &smtpd.Options{
		Log: s.log, Role: role, Host: p.conf.Host, MaxSize: p.conf.MaxSize, Recipients: maxRecipients, TLS: s.tls,
		Auth: func(ctx context.Context, login, secret string, from netip.Addr) (string, error) {
			return s.login(ctx, who, login, secret, from)
		},
		Sender: func(user, from string) error { return s.policy.Load().sender(user, from) },
		Recipient: func(user, to string) error {
			_, err := s.policy.Load().recipients(user, to)
			return err
		},
		Deliver: func(ctx context.Context, e *smtpd.Envelope, r io.Reader) error { return s.accept(ctx, l, e, r) },
	}
}

func (s *Server) imapOptions(l *life, who *session) *imapd.Options {
	return &imapd.Options{
		Log: s.log, MaxSize: s.policy.Load().conf.MaxSize,
		Login: func(ctx context.Context, login, secret string, from netip.Addr) (*store.Account, error) {
			user, err := s.login(ctx, who, login, secret, from)
			if err != nil {
				return nil, err
			}
			a, err := l.store.Account(user)
			if err != nil {
				s.log.Error("mail account not opened", "user", user, "err", err)
				return nil, &laterError{"Your mail cannot be opened now; the administrator must look at the log"}
			}
			return a, nil
		},
		Receive: func(ctx context.Context, r io.Reader) (store.New, func(), error) { return s.receive(l, r) },
		Trouble: func(err error) { s.diskError(err) },
	}
}

// A laterError is a refusal that is not about the password.
type laterError struct{ text string }

func (e *laterError) Error() string   { return e.text }
func (e *laterError) Temporary() bool { return true }

// login checks a password and ties the connection to the user.
func (s *Server) login(ctx context.Context, who *session, login, secret string, from netip.Addr) (string, error) {
	user, err := s.auth(ctx, login, secret, from)
	switch {
	case errors.Is(err, users.ErrThrottled):
		return "", &laterError{err.Error()}
	case err != nil && !errors.Is(err, users.ErrDenied):
		s.log.Warn("login not checked", "addr", from, "err", err)
		return "", &laterError{"The password could not be checked; try again later"}
	case err != nil:
		s.log.Info("login refused", "login", login, "addr", from)
		return "", err
	}
	// From here on Apply ends the session if the user goes; before, the check
	// that follows does.
	s.sessions.is(who, user)
	if !s.policy.Load().users[user] {
		return "", fmt.Errorf("%w: the account is switched off", users.ErrDenied)
	}
	return user, nil
}
