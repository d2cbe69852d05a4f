package dnssrv

import (
	"errors"
	"io"
	"net/netip"
	"slices"
	"testing"
	"time"

	"pic/internal/nettest"
)

// A change closes what it is about and nothing else.
func TestEncryptedConnectionsOutliveChanges(t *testing.T) {
	s := guarded(t, lab())
	conf := s.table.Load().conf
	dot := s.dot(t, "127.0.0.1", "")
	doq, err := s.quicFrom(t, "127.0.0.1")
	if err != nil {
		t.Fatal(err)
	}
	lives := func() error {
		if err := nas(dot); err != nil {
			return err
		}
		str, err := doq.OpenStreamSync(t.Context())
		if err != nil {
			return err
		}
		str.SetDeadline(time.Now().Add(20 * time.Second))
		str.Write(many(t, 1, func(int) string { return "nas.oak.home.arpa." }))
		str.Close()
		_, err = io.ReadAll(str)
		return err
	}
	if err := lives(); err != nil {
		t.Fatal(err)
	}
	moved := conf
	moved.Sockets = slices.Clone(conf.Sockets)
	port := nettest.FreePort(t)
	for i := range moved.Sockets {
		moved.Sockets[i].Addr = netip.AddrPortFrom(loopback4, port)
	}
	if err := s.Apply(t.Context(), moved); err != nil {
		t.Fatal(err)
	}
	if err := lives(); err != nil {
		t.Errorf("a change of dns.port ended an encrypted connection: %v", err)
	}
	swapped := moved
	swapped.Sockets, swapped.TLS = moved.TLS, moved.Sockets
	if err := s.Apply(t.Context(), swapped); err == nil {
		t.Error("plain and encrypted ports were swapped in one step")
	}
	off := moved
	off.TLS = nil
	if err := s.Apply(t.Context(), off); err != nil {
		t.Fatal(err)
	}
	if err := nas(dot); err == nil {
		t.Error("DNS over TLS goes on though it is off")
	}
	select {
	case <-doq.Context().Done():
	case <-time.After(idleQUIC / 2): // it is told, and need not find out
		t.Error("DNS over QUIC goes on though it is off")
	}
	if err := s.Apply(t.Context(), moved); err != nil {
		t.Fatalf("a socket was not given back: %v", err)
	}
	if err := errors.Join(nas(s.dot(t, "127.0.0.1", "")), s.quicNAS(t, "127.0.0.1")); err != nil {
		t.Errorf("on again: %v", err)
	}
}
