package dnssrv

import (
	"net"
	"testing"
	"time"

	"github.com/miekg/dns"

	"pic/internal/datagram"
)

// Who computes answers queries that wait, though nobody reads the socket.
func TestWhoComputesSeesToQueries(t *testing.T) {
	s := start(t, conf(lab()), nil)
	pc, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer pc.Close()
	c := &crew{s: s, run: t.Context(), conn: datagram.Wrap(pc), help: make(chan struct{}, 1)}
	c.idle = make(chan *clerk, maxIdleClerks)
	defer c.office.close()
	s.relief.join(c)
	client, err := dns.Dial("udp", pc.LocalAddr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	ask := func() {
		t.Helper()
		if err := client.WriteMsg(new(dns.Msg).SetQuestion("nas.oak.home.arpa.", dns.TypeA)); err != nil {
			t.Fatal(err)
		}
	}
	told := func(patience time.Duration) error {
		_ = client.SetReadDeadline(time.Now().Add(patience))
		_, err := client.ReadMsg()
		return err
	}
	look := func() {
		s.relief.last.Store(-int64(time.Hour))
		s.relief.look()
	}
	ask()
	look()
	if told(20*time.Millisecond) == nil {
		t.Error("a socket that nobody used lately is looked at")
	}
	s.relief.note(c, time.Now())
	s.relief.last.Store(int64(time.Hour))
	s.relief.look()
	if told(20*time.Millisecond) == nil {
		t.Error("it is looked at sooner than every so often")
	}
	look()
	if err := told(5 * time.Second); err != nil {
		t.Errorf("nobody answers: %v", err)
	}
	for range 3 {
		ask()
		look()
		if err := told(5 * time.Second); err != nil {
			t.Errorf("nobody answers again: %v", err)
		}
	}
	s.relief.leave(c)
	ask()
	look()
	c.spare.serve(c)
	if told(20*time.Millisecond) == nil {
		t.Error("a socket that was left is looked at")
	}
	for _, other := range *s.relief.crews.Load() {
		if other == c {
			t.Error("it is still there")
		}
	}
}
