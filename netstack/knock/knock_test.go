package knock

import (
	"bytes"
	"net"
	"net/netip"
	"os"
	"testing"

	"pic/internal/ether"
	"pic/internal/nettest"
)

func TestMain(m *testing.M) { os.Exit(nettest.Main(m)) }

func TestWhatDoesNotComeInIsNotHeard(t *testing.T) {
	nettest.NeedTUN(t)
	self := nettest.New(t).Self()
	self.Run(t, "ip", "tuntap", "add", "pix1", "mode", "tun")
	self.Run(t, "ip", "address", "add", "10.2.0.2/32", "dev", "pix1")
	self.Run(t, "ip", "link", "set", "pix1", "up")
	d := Door{"pix1", netip.MustParseAddr("10.2.0.2"), netip.MustParseAddrPort("203.0.113.9:51820")}
	if port, err := At(t.Context(), d); port != 0 {
		t.Errorf("heard at %d, %v", port, err)
	}
	d.By = "none"
	if _, err := At(t.Context(), d); err == nil {
		t.Error("an interface that is not there is knocked by")
	}
}

// Whatever comes in, it is the knock only with the whole secret.
func FuzzRead(f *testing.F) {
	secret := bytes.Repeat([]byte{7}, length)
	frame := ether.Datagram(make(net.HardwareAddr, 6), make(net.HardwareAddr, 6), netip.MustParseAddrPort("10.2.0.2:4000"), netip.MustParseAddrPort("203.0.113.9:51820"), secret)
	f.Add(frame[14:])
	f.Add(frame[15:])
	if port, ok := read(frame[14:], secret); !ok || port != 51820 {
		f.Fatalf("the knock is not known: %d", port)
	}
	f.Fuzz(func(t *testing.T, p []byte) {
		if _, ok := read(p, secret); ok && !bytes.Contains(p, secret) {
			t.Error("it is taken for the knock")
		}
	})
}
