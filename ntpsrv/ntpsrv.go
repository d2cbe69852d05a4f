// Package ntpsrv tells the time to the household.
//
// It answers NTP clients of versions 1 to 4 (RFC 5905, server mode only) from
// the host's clock, whose state the kernel tells (adjtimex, read only). When it
// is given sources it asks them, with beevik/ntp, how far that clock is off, and
// shows it; a clock that is right by its sources is served one stratum below the
// best of them. Without sources, or with a clock that is far off, it answers as
// stratum 10 with leap indicator 0 and a root dispersion that grows, so that the
// household agrees on one time even when it cannot be the right one.
//
// It never sets or slews the clock: that is the host's job for now. It does not
// speak NTS, symmetric keys, interleaved mode, broadcast, or the draft of
// version 5, and never answers modes 6 and 7.
//
// A reply is never longer than its query and never answers a reply, so that it
// amplifies nothing. Only clients of the allowed prefixes get one, each at most
// [Rate] a second; who asks more often is told so (RFC 5905 §7.4), now and then.
package ntpsrv

import (
	"net/netip"

	"pic/core/config"
	"pic/internal/listen"
)

// port is the standard port of NTP, and that inside the tunnel.
const port = 123

// Config is what the server needs to know. [From] derives it.
type Config struct {
	Sockets []listen.Socket // none: do not serve
	Allow   []netip.Prefix  // who may ask
	Sources []string        // host or host:port, asked for the time
}

// From picks the server's Config out of the resolved document.
func From(d *config.Document) Config {
	if !config.On(d.NTP.Enabled) {
		return Config{}
	}
	return Config{
		Sockets: listen.For("udp", d.NTP.Listen, d.NTP.Port, d.Tunnel(), port),
		Allow:   d.Insiders(),
		Sources: d.NTP.Sources,
	}
}
