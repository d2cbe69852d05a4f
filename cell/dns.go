package cell

import (
	"crypto/tls"

	"pic/dnssrv"
	"pic/internal/memory"
)

// dnsOptions ties the name server to what it needs of the others.
func (c *Cell) dnsOptions(cert func(*tls.ClientHelloInfo) (*tls.Certificate, error), near *neighbours) dnssrv.Options {
	return dnssrv.Options{
		Log: c.unit("dns"), Pool: c.pool, Names: c.names.Snapshot, Dir: c.dir.at("dns"),
		Secret: c.vault.Get, Seal: c.vault.Seal, Unseal: c.vault.Unseal,
		Certificate: cert, MAC: near.mac, Dial: c.net.Dial, DialExit: c.net.DialExit, ExitUp: c.net.ExitUp, Memory: memory.Limit() / 24,
	}
}
