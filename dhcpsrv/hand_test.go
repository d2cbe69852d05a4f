package dhcpsrv

import (
	"bytes"
	"context"
	"net"
	"net/netip"
	"syscall"
	"testing"
	"time"

	"github.com/insomniacslk/dhcp/dhcpv4"
	"github.com/mdlayher/packet"
	"golang.org/x/sys/unix"

	"pic/internal/ether"
	"pic/internal/nettest"
)

// A device is a client made by hand, for what real ones do not do.
type byHand struct {
	conn *net.UDPConn
	raw  *packet.Conn
	mac  net.HardwareAddr
}

func newByHand(t *testing.T, h *nettest.Host) *byHand {
	t.Helper()
	d := &byHand{}
	err := h.Do(func() error {
		card, err := net.InterfaceByName("eth0")
		if err != nil {
			return err
		}
		d.mac = card.HardwareAddr
		if d.raw, err = packet.Listen(card, packet.Raw, unix.ETH_P_IP, nil); err != nil {
			return err
		}
		lc := net.ListenConfig{Control: func(_, _ string, rc syscall.RawConn) error {
			return rc.Control(func(fd uintptr) {
				unix.SetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_BROADCAST, 1)
				unix.BindToDevice(int(fd), "eth0")
			})
		}}
		pc, err := lc.ListenPacket(context.Background(), "udp4", ":68")
		if err == nil {
			d.conn = pc.(*net.UDPConn)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { d.conn.Close(); d.raw.Close() })
	return d
}

func (d *byHand) send(t *testing.T, b []byte) {
	t.Helper()
	if _, err := d.conn.WriteToUDPAddrPort(b, netip.MustParseAddrPort("255.255.255.255:67")); err != nil {
		t.Fatal(err)
	}
}

// answer returns the next frame that holds a message for the transaction.
func (d *byHand) answer(t *testing.T, xid dhcpv4.TransactionID) (frame []byte, m *dhcpv4.DHCPv4) {
	t.Helper()
	d.raw.SetReadDeadline(time.Now().Add(20 * time.Second))
	buf := make([]byte, 2000)
	for {
		n, _, err := d.raw.ReadFrom(buf)
		if err != nil {
			t.Fatal(err)
		}
		if n < 42 || buf[23] != unix.IPPROTO_UDP {
			continue
		}
		if m, err := dhcpv4.FromBytes(buf[42:n]); err == nil && m.TransactionID == xid && m.OpCode == dhcpv4.OpcodeBootReply {
			return buf[:n], m
		}
	}
}

// RFC 2131 §4.1: to the hardware address, unless the client asks for all.
func TestAnswersGoToTheHardwareAddress(t *testing.T) {
	_, h := home(t, "hand")
	start(t, lan, t.TempDir())
	d := newByHand(t, h["hand"])
	for name, tt := range map[string]struct {
		flag func(*dhcpv4.DHCPv4)
		to   net.HardwareAddr
		ip   string
		cut  bool
	}{
		"unicast":        {(*dhcpv4.DHCPv4).SetUnicast, d.mac, "", false},
		"broadcast":      {(*dhcpv4.DHCPv4).SetBroadcast, ether.Everyone(), "255.255.255.255", false},
		"without an end": {(*dhcpv4.DHCPv4).SetUnicast, d.mac, "", true},
	} {
		m, err := dhcpv4.NewDiscovery(d.mac)
		if err != nil {
			t.Fatal(err)
		}
		tt.flag(m)
		b := m.ToBytes()
		if tt.cut {
			b = bytes.TrimRight(b, "\x00")
			b = b[:len(b)-1]
		}
		d.send(t, b)
		f, r := d.answer(t, m.TransactionID)
		ip := netip.AddrFrom4([4]byte(f[30:34])).String()
		if tt.ip == "" {
			tt.ip = r.YourIPAddr.String()
		}
		if !bytes.Equal(f[:6], tt.to) || ip != tt.ip || r.MessageType() != dhcpv4.MessageTypeOffer {
			t.Errorf("%s: %s to %x, %s", name, r.MessageType(), f[:6], ip)
		}
	}
}

// Strangers without number must not keep who has a lease from renewing, nor cost
// memory.
func TestFloodOfStrangersDoesNotStopRenewals(t *testing.T) {
	_, h := home(t, "busy", "hand")
	s, _ := start(t, lan, t.TempDir())
	a := udhcpc(t, h["busy"])
	d := newByHand(t, h["hand"])
	stop, flooded := make(chan struct{}), make(chan int)
	go func() {
		n := 0
		for ; ; n++ {
			select {
			case <-stop:
				flooded <- n
				return
			default:
			}
			mac := net.HardwareAddr{2, 1, byte(n >> 24), byte(n >> 16), byte(n >> 8), byte(n)}
			if m, err := dhcpv4.NewDiscovery(mac); err == nil {
				d.conn.WriteToUDPAddrPort(m.ToBytes(), netip.MustParseAddrPort("255.255.255.255:67"))
			}
			if n%20 == 19 {
				time.Sleep(10 * time.Millisecond)
			}
		}
	}()
	for range 3 {
		if again := udhcpc(t, h["busy"]); again != a {
			t.Errorf("had %s and got %s", a, again)
		}
	}
	close(stop)
	n := <-flooded
	s.mu.Lock()
	offers, bound := len(s.pool.offers), len(s.pool.byAddr)
	s.mu.Unlock()
	if n < 200 || offers > s.pool.size()+2 || bound > 1 {
		t.Errorf("%d strangers left %d offers and %d bindings", n, offers, bound)
	}
}
