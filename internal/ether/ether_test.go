package ether

import (
	"bytes"
	"encoding/binary"
	"net"
	"net/netip"
	"testing"
)

var (
	mac  = net.HardwareAddr{2, 0, 0, 0, 0, 1}
	here = netip.MustParseAddrPort("192.0.2.1:67")
	dest = netip.MustParseAddrPort("192.0.2.9:68")
)

func TestDatagramsComeBack(t *testing.T) {
	for _, payload := range [][]byte{nil, {1}, bytes.Repeat([]byte{7}, 300)} {
		f := Datagram(mac, Everyone(), here, dest, payload)
		f = append(f, 0, 0, 0) // what Ethernet pads
		src, dst, got, ok := Payload(f)
		if !ok || src != here || dst != dest || !bytes.Equal(got, payload) {
			t.Errorf("%v to %v: %x, %v", src, dst, got, ok)
		}
	}
}

func TestDatagramHasRightChecksums(t *testing.T) {
	f := Datagram(mac, Everyone(), here, dest, []byte("odd"))
	if got := sum(0, f[14:34]); got != 0xffff {
		t.Errorf("IP header sums to %04x", got)
	}
	udp := f[34:]
	pseudo := uint32(17) + uint32(len(udp)) + uint32(sum(0, f[26:34]))
	if got := sum(pseudo, udp); got != 0xffff {
		t.Errorf("UDP sums to %04x", got)
	}
	if n := binary.BigEndian.Uint16(f[16:]); int(n) != len(f)-14 {
		t.Errorf("IP length is %d of %d", n, len(f)-14)
	}
}

func TestOtherFramesAreRefused(t *testing.T) {
	whole := Datagram(mac, Everyone(), here, dest, []byte("hello"))
	for name, change := range map[string]func([]byte) []byte{
		"short":    func(b []byte) []byte { return b[:len(b)-1] },
		"fragment": func(b []byte) []byte { b[ethLen+6] = 0x20; return b },
		"TCP":      func(b []byte) []byte { b[ethLen+9] = 6; return b },
		"IPv6":     func(b []byte) []byte { b[12], b[13] = 0x86, 0xdd; return b },
		"long UDP": func(b []byte) []byte { b[ethLen+ipLen+4] = 1; return b },
	} {
		if _, _, _, ok := Payload(change(bytes.Clone(whole))); ok {
			t.Errorf("%s: taken", name)
		}
	}
}

func TestARP(t *testing.T) {
	if _, _, ok := ARPSender(ARPProbe(mac, here.Addr())); ok {
		t.Error("a probe claims an address")
	}
	a, who, ok := ARPSender(ARPAnnouncement(mac, here.Addr()))
	if !ok || a != here.Addr() || !bytes.Equal(who[:], mac) {
		t.Errorf("%s, %x, %v", a, who, ok)
	}
}

func FuzzPayload(f *testing.F) {
	f.Add(Datagram(mac, Everyone(), here, dest, []byte("hello")))
	f.Fuzz(func(t *testing.T, b []byte) {
		src, dst, p, ok := Payload(b)
		if !ok {
			return
		}
		// What is read can be written, and is then read the same.
		s, d, q, ok := Payload(Datagram(mac, mac, src, dst, p))
		if !ok || s != src || d != dst || !bytes.Equal(p, q) {
			t.Errorf("%v %v %x became %v %v %x", src, dst, p, s, d, q)
		}
	})
}
