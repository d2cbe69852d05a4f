// Package ether writes and reads the few Ethernet frames that are needed on a
// link where a device has no IP address yet: UDP over IPv4 (RFC 791, RFC 768)
// and ARP (RFC 826, RFC 5227).
//
// It is pure; sockets are the callers'. Checksums of what comes in are not
// verified: on virtual links the kernel leaves them unfinished.
package ether

import (
	"encoding/binary"
	"net"
	"net/netip"

	"golang.org/x/sys/unix"
)

// Everyone is the broadcast address.
func Everyone() net.HardwareAddr { return net.HardwareAddr{0xff, 0xff, 0xff, 0xff, 0xff, 0xff} }

const (
	ethLen = 14
	ipLen  = 20
	udpLen = 8
)

// Datagram builds a frame with a UDP datagram over IPv4.
func Datagram(from, to net.HardwareAddr, src, dst netip.AddrPort, payload []byte) []byte {
	f := make([]byte, ethLen+ipLen+udpLen+len(payload))
	be := binary.BigEndian
	copy(f, to)
	copy(f[6:], from)
	be.PutUint16(f[12:], unix.ETH_P_IP)

	h := f[ethLen:]
	h[0] = 4<<4 | ipLen/4
	be.PutUint16(h[2:], uint16(ipLen+udpLen+len(payload)))
	h[8], h[9] = 64, unix.IPPROTO_UDP
	s, d := src.Addr().As4(), dst.Addr().As4()
	copy(h[12:], s[:])
	copy(h[16:], d[:])
	be.PutUint16(h[10:], ^sum(0, h[:ipLen]))

	u := h[ipLen:]
	be.PutUint16(u, src.Port())
	be.PutUint16(u[2:], dst.Port())
	be.PutUint16(u[4:], uint16(udpLen+len(payload)))
	copy(u[udpLen:], payload)
	pseudo := uint32(unix.IPPROTO_UDP) + uint32(udpLen+len(payload))
	check := ^sum(pseudo+uint32(sum(0, h[12:20])), u)
	if check == 0 {
		check = 0xffff // 0 would mean: no checksum
	}
	be.PutUint16(u[6:], check)
	return f
}

// Payload reads a frame with a whole UDP datagram over IPv4. The payload is a
// part of f. What is anything else is not ok.
func Payload(f []byte) (src, dst netip.AddrPort, payload []byte, ok bool) {
	be := binary.BigEndian
	if len(f) < ethLen+ipLen+udpLen || be.Uint16(f[12:]) != unix.ETH_P_IP {
		return src, dst, nil, false
	}
	h := f[ethLen:]
	head, total := int(h[0]&15)*4, int(be.Uint16(h[2:]))
	if h[0]>>4 != 4 || head < ipLen || total < head+udpLen || total > len(h) || h[9] != unix.IPPROTO_UDP ||
		be.Uint16(h[6:])&0x3fff != 0 { // a fragment
		return src, dst, nil, false
	}
	u := h[head:total]
	n := int(be.Uint16(u[4:]))
	if n < udpLen || n > len(u) {
		return src, dst, nil, false
	}
	src = netip.AddrPortFrom(netip.AddrFrom4([4]byte(h[12:16])), be.Uint16(u))
	dst = netip.AddrPortFrom(netip.AddrFrom4([4]byte(h[16:20])), be.Uint16(u[2:]))
	return src, dst, u[udpLen:n], true
}

// sum is the one's complement sum of RFC 1071.
func sum(acc uint32, b []byte) uint16 {
	for ; len(b) >= 2; b = b[2:] {
		acc += uint32(binary.BigEndian.Uint16(b))
	}
	if len(b) == 1 {
		acc += uint32(b[0]) << 8
	}
	for acc > 0xffff {
		acc = acc>>16 + acc&0xffff
	}
	return uint16(acc)
}

// ARPProbe asks who has an address, without a claim to any (RFC 5227 §2.1.1).
func ARPProbe(from net.HardwareAddr, target netip.Addr) []byte {
	return arp(from, netip.IPv4Unspecified(), target)
}

// ARPAnnouncement tells everybody that from has an address now (RFC 5227 §2.3).
func ARPAnnouncement(from net.HardwareAddr, a netip.Addr) []byte { return arp(from, a, a) }

func arp(from net.HardwareAddr, sender, target netip.Addr) []byte {
	f := make([]byte, 60) // the least that Ethernet carries
	be := binary.BigEndian
	copy(f, Everyone())
	copy(f[6:], from)
	be.PutUint16(f[12:], unix.ETH_P_ARP)
	be.PutUint16(f[14:], 1) // Ethernet
	be.PutUint16(f[16:], unix.ETH_P_IP)
	f[18], f[19] = 6, 4
	be.PutUint16(f[20:], 1) // request
	copy(f[22:], from)
	s, t := sender.As4(), target.As4()
	copy(f[28:], s[:])
	copy(f[38:], t[:])
	return f
}

// ARPSender is who sent an ARP frame, and the IPv4 address that they have.
func ARPSender(f []byte) (netip.Addr, [6]byte, bool) {
	be := binary.BigEndian
	if len(f) < 42 || be.Uint16(f[12:]) != unix.ETH_P_ARP || be.Uint16(f[16:]) != unix.ETH_P_IP || f[18] != 6 || f[19] != 4 {
		return netip.Addr{}, [6]byte{}, false
	}
	a := netip.AddrFrom4([4]byte(f[28:32]))
	return a, [6]byte(f[22:28]), !a.IsUnspecified()
}
