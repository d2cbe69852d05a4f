package wgdev

import (
	"encoding/binary"
	"math/bits"
)

// sum adds b to a ones' complement sum (RFC 1071), in the byte order of the
// wire. b begins at an even place of what is summed.
func sum(b []byte, to uint64) uint64 {
	// The sum does not care about the order of bytes as long as both ends agree,
	// and 64 bits at a time carry around like 16. Two chains keep the adder busy.
	acc := bits.ReverseBytes64(to)
	var c uint64
	for len(b) >= 64 {
		w := b[:64]
		acc, c = bits.Add64(acc, binary.LittleEndian.Uint64(w), 0)
		acc, c = bits.Add64(acc, binary.LittleEndian.Uint64(w[8:]), c)
		acc, c = bits.Add64(acc, binary.LittleEndian.Uint64(w[16:]), c)
		acc, c = bits.Add64(acc, binary.LittleEndian.Uint64(w[24:]), c)
		acc, c = bits.Add64(acc, binary.LittleEndian.Uint64(w[32:]), c)
		acc, c = bits.Add64(acc, binary.LittleEndian.Uint64(w[40:]), c)
		acc, c = bits.Add64(acc, binary.LittleEndian.Uint64(w[48:]), c)
		acc, c = bits.Add64(acc, binary.LittleEndian.Uint64(w[56:]), c)
		acc, c = bits.Add64(acc, c, 0)
		acc += c
		b = b[64:]
	}
	for len(b) >= 8 {
		acc, c = bits.Add64(acc, binary.LittleEndian.Uint64(b), 0)
		acc += c
		b = b[8:]
	}
	if len(b) > 0 {
		var tail [8]byte
		copy(tail[:], b)
		acc, c = bits.Add64(acc, binary.LittleEndian.Uint64(tail[:]), 0)
		acc += c
	}
	return bits.ReverseBytes64(acc)
}

// fold brings a sum down to 16 bits.
func fold(s uint64) uint16 {
	s = s>>32 + s&0xffffffff
	s = s>>32 + s&0xffffffff
	s = s>>16 + s&0xffff
	s = s>>16 + s&0xffff
	return uint16(s)
}

// pseudo is the sum of the pseudo-header of TCP and UDP; addrs are source and
// destination, n the length of header and payload.
func pseudo(addrs []byte, proto byte, n int) uint64 {
	return sum(addrs, uint64(proto)+uint64(n))
}
