package api

import (
	"context"
	"net/http"
	"strings"

	"pic/api/wire"
	"pic/ca"
)

// CA is the certificate authority.
type CA interface {
	Root() (ca.Root, bool)
	RootPEM() []byte
	Certificates() []ca.CertInfo
	Issue(ctx context.Context, names []string) (chain, key []byte, err error)
}

func (a *API) vaultRoutes() {
	route(a, Viewers, "GET /api/vault", "The certificate authority, its certificates, and the names of the secrets", a.vault)
	route(a, Anyone, "GET /api/vault/root.pem", "The root certificate, for devices to trust", a.root, answers("application/x-pem-file", "The certificate"))
	route(a, Admins, "POST /api/vault/certificates", "Issue a certificate; the key is shown this once", a.issue)
}

func (a *API) vault(context.Context, *struct{}) (*body[wire.Vault], error) {
	out := wire.Vault{Certificates: []wire.Certificate{}, Secrets: []wire.Secret{}}
	if r, ok := a.CA.Root(); ok {
		out.Root = &wire.Root{
			Subject: r.Subject, Domain: r.Domain, SHA256: r.SHA256,
			NotBefore: r.NotBefore, NotAfter: r.NotAfter, PEM: string(a.CA.RootPEM()),
		}
	}
	for _, c := range a.CA.Certificates() {
		out.Certificates = append(out.Certificates, wire.Certificate{
			Names: list(c.Names), Addresses: list(c.Addresses), Serial: c.Serial,
			NotBefore: c.NotBefore, NotAfter: c.NotAfter, Issuer: c.Issuer, Serving: c.Serving,
		})
	}
	secrets, err := a.Vault.List()
	if err != nil {
		return nil, err
	}
	for _, e := range secrets {
		out.Secrets = append(out.Secrets, wire.Secret{ID: e.ID, Kind: e.Kind, Created: e.Created})
	}
	return &body[wire.Vault]{out}, nil
}

func (a *API) root(context.Context, *struct{}) (*text, error) {
	pem := a.CA.RootPEM()
	if pem == nil {
		return nil, missing("root certificate yet; see the problems of the service ca")
	}
	return &text{http.StatusOK, "application/x-pem-file", pem}, nil
}

func (a *API) issue(ctx context.Context, in *body[wire.NewCertificate]) (*made[wire.IssuedCertificate], error) {
	chain, key, err := a.CA.Issue(ctx, in.Body.Names)
	if err != nil {
		return nil, wrong("names", err.Error())
	}
	a.tell(ctx, "certificate.issued", in.Body.Names[0], "a certificate for "+strings.Join(in.Body.Names, ", ")+" was issued")
	return &made[wire.IssuedCertificate]{http.StatusCreated, wire.IssuedCertificate{Chain: string(chain), Key: string(key)}}, nil
}
