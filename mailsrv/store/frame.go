package store

import (
	"encoding/binary"
	"errors"
	"hash/crc32"
)

const (
	headLen  = 36 // of a frame
	trailLen = 4
	maxMeta  = 16 << 20 // operations of one frame

	version = 1
)

var (
	marker = [4]byte{0xE7, 'P', 'M', 'F'}
	table  = crc32.MakeTable(crc32.Castagnoli)
	le     = binary.LittleEndian

	errNoFrame = errors.New("not a frame")
)

// A head is the fixed part of a frame.
type head struct {
	batch   uint16
	seq     uint64
	meta    uint32
	aux     uint32
	body    uint32
	metaCRC uint32
}

// size is the length of the whole frame.
func (h head) size() int64 {
	return headLen + int64(h.meta) + int64(h.aux) + int64(h.body) + trailLen
}

// first is the number of the first frame of the batch. All before it were safe
// on disk when this frame was written.
func (h head) first() uint64 { return h.seq - uint64(h.batch) }

func (h head) append(b []byte, salt uint64) []byte {
	at := len(b)
	b = append(b, marker[:]...)
	b = append(b, version, 0)
	b = le.AppendUint16(b, h.batch)
	b = le.AppendUint64(b, h.seq)
	b = le.AppendUint32(b, h.meta)
	b = le.AppendUint32(b, h.aux)
	b = le.AppendUint32(b, h.body)
	b = le.AppendUint32(b, h.metaCRC)
	return le.AppendUint32(b, headCRC(b[at:at+32], salt))
}

func headCRC(b []byte, salt uint64) uint32 {
	var s [8]byte
	le.PutUint64(s[:], salt)
	return crc32.Update(crc32.Checksum(b, table), table, s[:])
}

// parseHead reads the head of a frame of the segment with that salt.
func parseHead(b []byte, salt uint64) (head, error) {
	if len(b) < headLen || [4]byte(b) != marker || b[4] != version || b[5] != 0 ||
		le.Uint32(b[32:]) != headCRC(b[:32], salt) {
		return head{}, errNoFrame
	}
	h := head{
		batch:   le.Uint16(b[6:]),
		seq:     le.Uint64(b[8:]),
		meta:    le.Uint32(b[16:]),
		aux:     le.Uint32(b[20:]),
		body:    le.Uint32(b[24:]),
		metaCRC: le.Uint32(b[28:]),
	}
	if h.meta > maxMeta || h.seq == 0 || h.seq < uint64(h.batch)+1 {
		return head{}, errNoFrame
	}
	return h, nil
}
