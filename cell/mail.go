package cell

import (
	"context"
	"crypto/tls"
	"fmt"

	"pic/core/users"
	"pic/dnssrv"
	"pic/mailsrv"
	"pic/mailsrv/lookup"
)

// mailOptions ties the mail server to what it needs of the others.
func (c *Cell) mailOptions(cert func(*tls.ClientHelloInfo) (*tls.Certificate, error), dns *dnssrv.Server) mailsrv.Options {
	return mailsrv.Options{
		Log: c.unit("mail"), Pool: c.pool, Dir: c.dir.at("mail"), Auth: c.login(users.Mail), Cert: cert, DNS: mailDNS{dns}, Secret: c.vault.Get,
	}
}

// A mailDNS is the cell's own DNS as mail asks it.
type mailDNS struct{ dns *dnssrv.Server }

func (r mailDNS) Lookup(ctx context.Context, name string, qtype uint16) (lookup.Answer, error) {
	rrs, exists, secure, err := r.dns.Ask(ctx, name, qtype)
	if err != nil {
		return lookup.Answer{}, fmt.Errorf("%w: %w", lookup.ErrTemporary, err)
	}
	return lookup.Answer{Records: rrs, Exists: exists, Secure: secure}, nil
}
