package mailsrv

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"math/rand/v2"
	"time"

	"github.com/emersion/go-smtp"

	"pic/mailsrv/message"
	"pic/mailsrv/origin"
	"pic/mailsrv/smtpd"
)

// examineTime is how long DNS may take to say who a message is from.
const examineTime = 20 * time.Second

// A finding is who a message from outside is from, and what becomes of it.
type finding struct {
	*origin.Result

	err    error  // it is refused
	use    string // the special use of the mailbox that it goes to, "" for INBOX
	field  string // Authentication-Results
	header string // the message's own header without fields that pretend to be ours
	cut    int64  // bytes of the message that header stands for
}

// examine finds out who a message is from.
func (s *Server) examine(ctx context.Context, p *policy, e *smtpd.Envelope, sp *spool) (*finding, error) {
	head, err := sp.header()
	if err != nil {
		return nil, err
	}
	if i := bytes.Index(head, []byte("\r\n\r\n")); i >= 0 {
		head = head[:i+4]
	}
	if bytes.HasPrefix(head, []byte("\r\n")) {
		head = head[:2]
	}
	k := &origin.Check{Resolver: s.dns, Now: time.Now()}
	w := k.Begin(head)
	all := sp.section()
	if _, err := io.Copy(w, io.NewSectionReader(all, int64(len(head)), sp.size-int64(len(head)))); err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(ctx, examineTime)
	defer cancel()
	f := &finding{Result: k.End(ctx, origin.Sender{Addr: e.Remote, Helo: e.Helo, From: e.From})}
	f.field = f.Field(p.conf.Host)
	f.header, f.cut = genuine(head, p.conf.Host)
	f.judge(p)
	return f, nil
}

// genuine is a header without fields that pretend to be ours, and how many bytes
// of head it stands for: none if there is nothing to take out.
func genuine(head []byte, host string) (string, int64) {
	var out []byte
	found, end := false, 0
	for raw := range message.RawFields(head) {
		end += len(raw)
		if origin.Forged(raw, host) {
			found = true
			continue
		}
		out = append(out, raw...)
	}
	if !found {
		return "", 0
	}
	return string(out), int64(end)
}

// judge decides by what the domain in From wants.
func (f *finding) judge(p *policy) {
	wish := f.DMARC.Wish
	if f.DMARC.Verdict == origin.Fail && rand.IntN(100) >= f.DMARC.Record.Percent { // RFC 7489 §6.6.4
		switch wish {
		case origin.Reject:
			wish = origin.Quarantine
		default:
			wish = origin.Deliver
		}
	}
	// Nobody but us can say what comes from our own domains, and whoever sends
	// from them has a password. It may be a list that sends back our own words.
	if f.DMARC.Verdict != origin.Pass && p.domains[f.DMARC.Domain] && wish == origin.Deliver {
		wish = origin.Quarantine
	}
	switch wish {
	case origin.Reject:
		f.err = refusal(550, smtp.EnhancedCode{5, 7, 1}, fmt.Sprintf(
			"%s wants mail refused that neither SPF nor DKIM shows to be from there (DMARC)", printable(f.DMARC.Domain, 255)))
	case origin.Quarantine:
		f.use = `\Junk`
	}
}

// dkim sums up the signatures for the log.
func (f *finding) dkim() origin.Verdict {
	v := origin.None
	for _, s := range f.Signatures {
		if v != origin.Pass {
			v = s.Verdict
		}
	}
	return v
}
