package upstream

import (
	"errors"
	"net"
	"testing"
	"time"

	"github.com/miekg/dns"

	"pic/internal/nettest"
)

// Resolvers that share room have no more connections than that, and give it back
// once they have been idle.
func TestConnectionsShareTheirRoom(t *testing.T) {
	answer := func(c net.Conn) {
		for {
			m, _, err := frame(c)
			if err != nil {
				return
			}
			c.Write(framed(new(dns.Msg).SetReply(m)))
		}
	}
	room := make(chan struct{}, 1)
	var all [2]*Resolver
	for i := range all {
		l := listenTCP(t)
		streams(t, l, answer)
		a, err := Parse("tcp://" + l.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		all[i] = New(a, Options{Idle: 100 * time.Millisecond, Room: room})
		t.Cleanup(all[i].Close)
	}
	q := Question{Name: "\x01a\x00", Type: dns.TypeA, Iterative: true, Bare: true}
	b, err := all[0].Ask(t.Context(), q)
	if err != nil {
		t.Fatal(err)
	}
	if b[2]&1 != 0 {
		t.Error("recursion was desired")
	}
	if _, err := all[1].Ask(t.Context(), q); !errors.Is(err, ErrBusy) {
		t.Errorf("there is no room, and it says %v", err)
	}
	nettest.WaitFor(t, 5*time.Second, func() bool {
		_, err := all[1].Ask(t.Context(), q)
		return err == nil
	})
}
