package h2

import (
	"encoding/binary"
	"fmt"
)

// Preface is what a client sends first (RFC 9113 §3.4).
const Preface = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"

const (
	headLen  = 9
	maxFrame = 16 << 10
	window   = 1<<16 - 1 // of streams and connections, where nobody says otherwise
	maxID    = 1<<31 - 1
)

// Types of frames (RFC 9113 §6).
const (
	typeData = iota
	typeHeaders
	typePriority
	typeReset
	typeSettings
	typePush
	typePing
	typeGoAway
	typeWindow
	typeContinuation
)

const (
	flagEndStream  = 1
	flagAck        = 1
	flagEndHeaders = 4
	flagPadded     = 8
	flagPriority   = 32
)

// Settings (RFC 9113 §6.5.2).
const (
	setTable      = 1
	setPush       = 2
	setStreams    = 3
	setWindow     = 4
	setFrame      = 5
	setHeaderList = 6
)

// A code is why a stream or connection ends (RFC 9113 §7).
type code uint32

const (
	codeNone code = iota
	codeProtocol
	codeInternal
	codeFlow
	codeSettings
	codeClosed
	codeSize
	codeRefused
	codeCancel
	codeCompression
	codeConnect
	codeCalm
)

func (c code) String() string {
	names := [...]string{
		"no error", "protocol error", "internal error", "flow control error", "settings timeout", "stream closed",
		"frame size error", "refused stream", "cancel", "compression error", "connect error", "enhance your calm",
	}
	if int(c) < len(names) {
		return names[c]
	}
	return fmt.Sprintf("code %d", uint32(c))
}

// An abort ends the connection.
type abort struct {
	code code
	why  string
}

func (a *abort) Error() string { return a.code.String() + ": " + a.why }

func bad(c code, why string) error { return &abort{c, why} }

// A frame is one as it came; its payload is part of the buffer.
type frame struct {
	typ, flags byte
	id         uint32
	payload    []byte
}

// cut takes the first frame off b. ok is false while it has not come whole.
func cut(b []byte) (f frame, rest []byte, ok bool, err error) {
	if len(b) < headLen {
		return f, b, false, nil
	}
	n := int(b[0])<<16 | int(b[1])<<8 | int(b[2])
	f.typ, f.flags, f.id = b[3], b[4], binary.BigEndian.Uint32(b[5:])&maxID
	if n > maxFrame {
		return f, b, false, bad(codeSize, "a frame is too long")
	}
	if len(b) < headLen+n {
		return f, b, false, nil
	}
	f.payload = b[headLen : headLen+n : headLen+n]
	return f, b[headLen+n:], true, nil
}

// unpad removes the padding from the payload of f, and what tells its length.
func (f *frame) unpad() error {
	if f.flags&flagPadded == 0 {
		return nil
	}
	if len(f.payload) == 0 {
		return bad(codeSize, "no length of padding")
	}
	n := int(f.payload[0])
	if n >= len(f.payload) {
		return bad(codeProtocol, "more padding than there is")
	}
	f.payload = f.payload[1 : len(f.payload)-n]
	return nil
}

func appendHead(b []byte, n int, typ, flags byte, id uint32) []byte {
	return append(b, byte(n>>16), byte(n>>8), byte(n), typ, flags, byte(id>>24), byte(id>>16), byte(id>>8), byte(id))
}

func appendWindow(b []byte, id, n uint32) []byte {
	return binary.BigEndian.AppendUint32(appendHead(b, 4, typeWindow, 0, id), n)
}

func appendReset(b []byte, id uint32, c code) []byte {
	return binary.BigEndian.AppendUint32(appendHead(b, 4, typeReset, 0, id), uint32(c))
}

func appendGoAway(b []byte, last uint32, c code) []byte {
	b = binary.BigEndian.AppendUint32(appendHead(b, 8, typeGoAway, 0, 0), last)
	return binary.BigEndian.AppendUint32(b, uint32(c))
}

// appendSettings appends what this server says of itself.
func appendSettings(b []byte) []byte {
	b = appendHead(b, 12, typeSettings, 0, 0)
	b = append(b, 0, setStreams, 0, 0, 0, maxStreams)
	return append(b, 0, setHeaderList, 0, 0, byte(maxList>>8), byte(maxList&0xff))
}
