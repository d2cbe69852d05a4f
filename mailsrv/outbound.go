package mailsrv

import (
	"bytes"
	"context"
	"crypto"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"pic/core/config"
	"pic/mailsrv/lookup"
	"pic/mailsrv/message"
	"pic/mailsrv/origin"
	"pic/mailsrv/queue"
	"pic/mailsrv/smtpd"
)

func (s *Server) openQueue() (*queue.Queue, error) {
	o := s.sending
	o.Log, o.DNS, o.Dir = s.log, s.dns, s.dir+"-queue" // not within: there are people
	if o.DNS == nil {
		o.DNS = noDNS{}
	}
	o.Bounce = func(ctx context.Context, to string, msg []byte) error {
		return s.Deliver(ctx, "", []string{to}, bytes.NewReader(msg))
	}
	return queue.Open(o)
}

// noDNS is there where there is none.
type noDNS struct{}

func (noDNS) Lookup(context.Context, string, uint16) (lookup.Answer, error) {
	return lookup.Answer{}, lookup.ErrTemporary
}

// routes says where mail goes that does not go where DNS says.
func (s *Server) routes(c Config) queue.Routes {
	r := queue.Routes{Host: c.Host, Domains: map[string]queue.Route{}}
	for _, l := range c.Links {
		r.Domains[strings.ToLower(l.Domain)] = queue.Route{Host: "mail." + l.Domain, Within: slices.Clone(l.Subnets)}
	}
	if h := c.Smarthost; h != nil {
		r.Smarthost = &queue.Smarthost{Host: h.Host, Port: h.Port, Implicit: h.Port == 465, User: h.User}
		if h.Password != "" {
			b, err := s.secretOf(h.Password)
			if err != nil {
				s.log.Error("password of the smarthost not read", "host", h.Host, "err", err)
			}
			r.Smarthost.Password = string(b)
		}
	}
	return r
}

var errNoVault = errors.New("there is no vault")

func (s *Server) secretOf(id config.Secret) ([]byte, error) {
	if s.secret == nil {
		return nil, errNoVault
	}
	return s.secret(id)
}

// keys reads the keys that sign: of a domain, the last one of each algorithm.
func (s *Server) keys(c Config) map[string][]origin.Key {
	out := map[string][]origin.Key{}
	for _, k := range slices.Backward(c.DKIM) {
		key, err := s.key(k)
		if err != nil {
			s.log.Error("key for signing mail not read", "name", k.Selector+"._domainkey."+k.Domain, "err", err)
			continue
		}
		same := func(o origin.Key) bool { return fmt.Sprintf("%T", o.Signer) == fmt.Sprintf("%T", key.Signer) }
		if !slices.ContainsFunc(out[k.Domain], same) {
			out[k.Domain] = append(out[k.Domain], key)
		}
	}
	return out
}

func (s *Server) key(k config.DKIM) (origin.Key, error) {
	b, err := s.secretOf(k.Key)
	if err != nil {
		return origin.Key{}, err
	}
	any, err := x509.ParsePKCS8PrivateKey(b)
	if err != nil {
		return origin.Key{}, err
	}
	signer, ok := any.(crypto.Signer)
	if !ok {
		return origin.Key{}, fmt.Errorf("a key of type %T cannot sign mail", any)
	}
	key := origin.Key{Domain: k.Domain, Selector: k.Selector, Signer: signer}
	if rec, err := key.Record(); err != nil || rec != k.Record {
		return origin.Key{}, errors.Join(err, errors.New("it is not the one that is published"))
	}
	return key, nil
}

// sendOn takes what somebody of the house sends to others into the queue. more
// are fields that the message lacked. local is called once it is safe there, and
// may still refuse.
func (s *Server) sendOn(l *life, p *policy, e *smtpd.Envelope, sp *spool, id, more string, to []string, local func() error) error {
	raw, err := sp.header()
	if err != nil {
		return err
	}
	if i := bytes.Index(raw, []byte("\r\n\r\n")); i >= 0 {
		raw = raw[:i+2]
	}
	m := queue.Message{ID: id, From: e.From, User: e.User, EightBit: true}
	domain := ""
	if _, d, ok := split(e.From); ok {
		domain = d
	}
	for name, v := range message.Fields(raw) {
		switch strings.ToLower(name) {
		case "subject":
			m.Subject = printable(message.DecodeWords(v), 200)
		case "from":
			if all := message.Addresses(v); len(all) > 0 {
				if _, d, ok := split(all[0].String()); ok {
					domain = d
				}
			}
		}
	}
	for _, a := range to {
		m.Recipients = append(m.Recipients, queue.Recipient{Addr: a})
	}
	head := append([]byte(more), raw...)
	body := io.NewSectionReader(sp.section(), int64(len(raw)), sp.size-int64(len(raw)))
	var signature []byte
	if keys := p.keys[domain]; len(keys) > 0 {
		text := io.NewSectionReader(body, min(2, body.Size()), max(0, body.Size()-2)) // after the empty line
		if signature, err = origin.Sign(head, text, keys, time.Now()); err != nil {
			return err
		}
	}
	// Where in the house it was written is nobody's business.
	trace := fmt.Sprintf("Received: by %s with %s id %s;\r\n\t%s\r\n", p.conf.Host, e.With(), id, time.Now().Format(time.RFC1123Z))
	out := io.MultiReader(bytes.NewReader(signature), strings.NewReader(trace), bytes.NewReader(head), body)
	err = l.queue.Add(m, out, local)
	if errors.Is(err, queue.ErrFull) {
		return errBusy
	}
	return err
}

// Outbound is what waits to be sent to other places; nil while mail is off.
func (s *Server) Outbound() *queue.Queue {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.life == nil {
		return nil
	}
	return s.life.queue
}
