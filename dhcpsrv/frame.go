package dhcpsrv

import (
	"encoding/binary"
	"net"
	"net/netip"

	"golang.org/x/sys/unix"
)

// datagram builds an Ethernet frame with an IPv4 (RFC 791) UDP (RFC 768) datagram.
func datagram(from, to net.HardwareAddr, src, dst netip.Addr, sport, dport uint16, payload []byte) []byte {
	const eth, ip, udp = 14, 20, 8
	f := make([]byte, eth+ip+udp+len(payload))
	be := binary.BigEndian
	copy(f, to)
	copy(f[6:], from)
	be.PutUint16(f[12:], unix.ETH_P_IP)

	h := f[eth:]
	h[0] = 4<<4 | ip/4
	be.PutUint16(h[2:], uint16(ip+udp+len(payload)))
	h[8], h[9] = 64, unix.IPPROTO_UDP
	s, d := src.As4(), dst.As4()
	copy(h[12:], s[:])
	copy(h[16:], d[:])
	be.PutUint16(h[10:], ^sum(0, h[:ip]))

	u := h[ip:]
	be.PutUint16(u, sport)
	be.PutUint16(u[2:], dport)
	be.PutUint16(u[4:], uint16(udp+len(payload)))
	copy(u[udp:], payload)
	pseudo := uint32(unix.IPPROTO_UDP) + uint32(udp+len(payload))
	check := ^sum(pseudo+uint32(sum(0, h[12:20])), u)
	if check == 0 {
		check = 0xffff // 0 would mean: no checksum
	}
	be.PutUint16(u[6:], check)
	return f
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
