package wire

import (
	"net/netip"
	"time"

	"pic/core/config"
)

// Vault is the certificate authority and the names of the secrets.
type Vault struct {
	Root         *Root         `json:"root,omitempty" doc:"Absent until there is one"`
	Certificates []Certificate `json:"certificates" doc:"Issued and not expired; first those that the cell serves with"`
	Secrets      []Secret      `json:"secrets" doc:"What the vault keeps, never the secrets themselves"`
}

// A Root is the certificate that devices have to trust.
type Root struct {
	Subject   string    `json:"subject"`
	Domain    string    `json:"domain"`
	SHA256    string    `json:"sha256" doc:"Fingerprint, as AB:CD:…"`
	NotBefore time.Time `json:"notBefore"`
	NotAfter  time.Time `json:"notAfter"`
	PEM       string    `json:"pem"`
}

// A Certificate is one that the cell issued.
type Certificate struct {
	Names     []string     `json:"names"`
	Addresses []netip.Addr `json:"addresses"`
	Serial    string       `json:"serial" doc:"Hexadecimal"`
	NotBefore time.Time    `json:"notBefore"`
	NotAfter  time.Time    `json:"notAfter"`
	Issuer    string       `json:"issuer"`
	Serving   bool         `json:"serving" doc:"The cell itself answers with it"`
}

// NewCertificate asks for a certificate.
type NewCertificate struct {
	Names []string `json:"names" minItems:"1" maxItems:"50" doc:"Host names within the cell's domain"`
}

// IssuedCertificate is a certificate with its key, of which the cell keeps no copy.
type IssuedCertificate struct {
	Chain string `json:"chain" doc:"Certificates in PEM, the leaf first"`
	Key   string `json:"key" doc:"Private key in PEM"`
}

// A Secret is an entry of the vault.
type Secret struct {
	ID      config.Secret `json:"id"`
	Kind    string        `json:"kind"`
	Created time.Time     `json:"created"`
}
