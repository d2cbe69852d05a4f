package transfer

import (
	"context"
	"encoding/binary"
	"errors"
	"net"
	"time"

	"github.com/miekg/dns"
)

// patience is how long the other side may take to answer a NOTIFY.
const patience = 3 * time.Second

// Notify tells the server, an address and port, that the zone has a new version
// (RFC 1996), and returns once it has said that it knows. soa is the version's,
// or empty. It asks once: who cares asks again.
func Notify(ctx context.Context, server, zone, soa string, key *Key) error {
	m := new(dns.Msg).SetNotify(zone)
	b, err := m.Pack()
	if err != nil {
		return err
	}
	if soa != "" {
		b = append(b, soa...)
		binary.BigEndian.PutUint16(b[6:], 1)
	}
	var session *Session
	if key != nil {
		session, b = key.Request(b, time.Now())
	}
	conn, err := new(net.Dialer).DialContext(ctx, "udp", server)
	if err != nil {
		return err
	}
	defer conn.Close()
	stop := context.AfterFunc(ctx, func() { conn.Close() })
	defer stop()
	conn.SetDeadline(time.Now().Add(patience))
	if _, err := conn.Write(b); err != nil {
		return err
	}
	buf := make([]byte, 4096)
	for {
		n, err := conn.Read(buf)
		if err != nil {
			return errors.New("it does not answer")
		}
		in := buf[:n]
		// Only an answer to this one counts; whatever else comes is somebody's guess.
		if n < headerLen || binary.BigEndian.Uint16(in) != m.Id || in[2]&0xf8 != 0x80|dns.OpcodeNotify<<3 {
			continue
		}
		if session != nil {
			if _, err := session.Check(in, time.Now()); err != nil && !errors.Is(err, errUnsigned) {
				return err
			} else if err != nil && in[3]&15 == 0 {
				return err
			}
		}
		if rcode := int(in[3] & 15); rcode != 0 {
			return &RefusedError{rcode}
		}
		return nil
	}
}
