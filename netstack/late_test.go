package netstack

import (
	"log/slog"
	"net"
	"net/netip"
	"strings"
	"testing"
	"time"

	"pic/internal/nettest"
)

// What a service sends late over UDP does not open the way again that was shut.
func TestRevokedUDPServiceStaysShut(t *testing.T) {
	w := newTown(t)
	s, _ := w.serve(t)
	w.join(t)
	c, err := net.ListenUDP("udp4", net.UDPAddrFromAddrPort(netip.MustParseAddrPort("10.77.0.1:443")))
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	c.SetReadDeadline(time.Now().Add(20 * time.Second))
	talk := w.client.Start(t, nettest.Tool(t, "python3"), "-c", `
import socket, time
s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
s.connect(("10.77.0.1", 443))
s.settimeout(0.05)
for i in range(400):
    try:
        s.send(b"tick %d" % i)
        print("heard", s.recv(100).decode(), flush=True)
    except OSError:
        pass
    time.sleep(0.05)
`)
	buf := make([]byte, 100)
	hear := func() netip.AddrPort {
		t.Helper()
		_, from, err := c.ReadFromUDPAddrPort(buf)
		if err != nil {
			t.Fatal(err)
		}
		return from
	}
	peer := hear()
	if _, err := c.WriteToUDPAddrPort([]byte("welcome"), peer); err != nil {
		t.Fatal(err)
	}
	nettest.WaitFor(t, 5*time.Second, func() bool { return strings.Contains(talk.Output(), "welcome") })

	w.doc.Peers[0].Services = []string{"mail"}
	apply(t, s, w.config())
	time.Sleep(100 * time.Millisecond) // what was on its way
	for c.SetReadDeadline(time.Now().Add(100*time.Millisecond)) == nil {
		if _, _, err := c.ReadFromUDPAddrPort(buf); err != nil {
			break
		}
	}
	for range 5 {
		_, _ = c.WriteToUDPAddrPort([]byte("late"), peer) // the kernel may say that it was refused
		c.SetReadDeadline(time.Now().Add(200 * time.Millisecond))
		if n, _, err := c.ReadFromUDPAddrPort(buf); err == nil {
			t.Fatalf("the service heard %q after its right was gone", buf[:n])
		}
	}
	if strings.Contains(talk.Output(), "late") {
		t.Error("the device heard the service after its right was gone")
	}
}

// A cell that was killed leaves its table; the next run takes it away, even if it
// filters nothing itself.
func TestTableOfAKilledRunGoes(t *testing.T) {
	w := newTown(t)
	w.self.Run(t, "nft", "add table inet pic; add chain inet pic input { type filter hook input priority 0; policy accept; }; add table inet other")
	t.Cleanup(func() { w.self.Try("nft", "delete", "table", "inet", "other") })
	off := false
	w.doc.WireGuard.Enabled = &off
	s := New(slog.New(slog.DiscardHandler), w.secret)
	apply(t, s, w.config())
	if out := w.self.Run(t, "nft", "list", "tables"); strings.Contains(out, "pic") || !strings.Contains(out, "other") {
		t.Errorf("tables:\n%s", out)
	}
}
