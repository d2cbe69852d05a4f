package journal

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
)

// A file is a header, then frames. The header is the 8 bytes of signature and 8
// random ones, the salt. A frame is what one sync made durable:
//
//	magic   4 bytes
//	length  4 bytes, little endian, of the body
//	crc     4 bytes, little endian, CRC-32C of salt, length and body
//	body    records, each with its length as a uvarint before it
//
// Since a frame is written only after the one before it was synced, a damaged
// frame with no whole one behind it is a write that power loss cut short, of
// which nothing was acknowledged; with a whole one behind it, it is damage. The
// salt keeps those who have a say in what records hold from making bytes that
// look like a whole frame.
const (
	signature = "picjrnl1"
	headSize  = len(signature) + len(salt{})
	magic     = "\xf1PJ\x0a"
	frameHead = 12
	maxBody   = 8 << 20
)

type salt [8]byte

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

func (s salt) checksum(length, body []byte) uint32 {
	sum := crc32.Checksum(s[:], castagnoli)
	sum = crc32.Update(sum, castagnoli, length)
	return crc32.Update(sum, castagnoli, body)
}

// A frame is built record by record.
type frame struct{ buf []byte }

func (f *frame) reset() { f.buf = append(f.buf[:0], make([]byte, frameHead)...) }

func (f *frame) empty() bool { return len(f.buf) <= frameHead }

// fits reports whether a record still finds room.
func (f *frame) fits(rec []byte) bool {
	return len(f.buf)-frameHead+binary.MaxVarintLen32+len(rec) <= maxBody
}

func (f *frame) add(rec []byte) {
	f.buf = binary.AppendUvarint(f.buf, uint64(len(rec)))
	f.buf = append(f.buf, rec...)
}

// bytes returns the finished frame.
func (f *frame) bytes(s salt) []byte {
	copy(f.buf, magic)
	binary.LittleEndian.PutUint32(f.buf[4:], uint32(len(f.buf)-frameHead))
	binary.LittleEndian.PutUint32(f.buf[8:], s.checksum(f.buf[4:8], f.buf[frameHead:]))
	return f.buf
}

// errBadFrame says that there is no whole frame at an offset.
var errBadFrame = errors.New("no whole frame")

// readFrame reads the body of the frame at r's position, into buf if that is
// large enough. Any damage is errBadFrame; the end of the file is io.EOF.
func readFrame(r io.Reader, s salt, buf []byte) ([]byte, error) {
	var head [frameHead]byte
	if n, err := io.ReadFull(r, head[:]); err != nil {
		if n == 0 && err == io.EOF {
			return nil, io.EOF
		}
		return nil, short(err)
	}
	n := binary.LittleEndian.Uint32(head[4:])
	if string(head[:4]) != magic || n == 0 || n > maxBody {
		return nil, errBadFrame
	}
	body, err := readBody(r, int(n), buf)
	if err != nil {
		return nil, err
	}
	if s.checksum(head[4:8], body) != binary.LittleEndian.Uint32(head[8:]) {
		return nil, errBadFrame
	}
	return body, nil
}

// readBody reads n bytes and does not trust n: memory grows with what is there.
func readBody(r io.Reader, n int, buf []byte) ([]byte, error) {
	if n <= cap(buf) {
		buf = buf[:n]
		_, err := io.ReadFull(r, buf)
		return buf, short(err)
	}
	b := bytes.NewBuffer(buf[:0])
	if m, err := io.CopyN(b, r, int64(n)); m < int64(n) {
		return nil, short(err)
	}
	return b.Bytes(), nil
}

func short(err error) error {
	if err == io.EOF || err == io.ErrUnexpectedEOF {
		return errBadFrame
	}
	return err
}

// records calls fn with each record of a body.
func records(body []byte, fn func([]byte) error) error {
	for len(body) > 0 {
		n, k := binary.Uvarint(body)
		if k <= 0 || n > uint64(len(body)-k) {
			return errors.New("the records of the frame do not add up")
		}
		rec := body[k : k+int(n)]
		body = body[k+int(n):]
		if err := fn(rec[:len(rec):len(rec)]); err != nil {
			return err
		}
	}
	return nil
}

// replay reads all frames and returns the salt and the offset behind the last
// whole frame. A torn end is no error; damage before it is a [*DamageError].
func replay(f io.ReaderAt, size int64, fn func([]byte) error) (s salt, end int64, err error) {
	r := bufio.NewReaderSize(io.NewSectionReader(f, 0, size), 64<<10)
	var head [headSize]byte
	if _, err := io.ReadFull(r, head[:]); err != nil && short(err) != errBadFrame {
		return s, 0, err
	}
	if size < int64(headSize) || string(head[:len(signature)]) != signature {
		return s, 0, &DamageError{}
	}
	copy(s[:], head[len(signature):])
	end = int64(headSize)
	var body []byte
	for {
		body, err = readFrame(r, s, body)
		switch {
		case err == io.EOF:
			return s, end, nil
		case err == errBadFrame:
			next, err := wholeFrame(f, s, end+1, size)
			if err != nil {
				return s, 0, err
			}
			if next > 0 {
				return s, 0, &DamageError{Offset: end, Next: next}
			}
			return s, end, nil
		case err != nil:
			return s, 0, err
		}
		if err := records(body, fn); err != nil {
			return s, 0, fmt.Errorf("at offset %d: %w", end, err)
		}
		end += frameHead + int64(len(body))
	}
}

// wholeFrame looks for a whole frame at or behind from and returns its offset, 0
// if there is none.
func wholeFrame(f io.ReaderAt, s salt, from, size int64) (int64, error) {
	buf := make([]byte, 256<<10)
	for from+frameHead < size {
		n, err := f.ReadAt(buf[:min(int64(len(buf)), size-from)], from)
		if err != nil && err != io.EOF {
			return 0, err
		}
		for at := 0; ; at++ {
			i := bytes.Index(buf[at:n], []byte(magic))
			if i < 0 {
				break
			}
			at += i
			off := from + int64(at)
			_, err := readFrame(io.NewSectionReader(f, off, size-off), s, nil)
			if err == nil {
				return off, nil
			}
			if err != errBadFrame {
				return 0, err
			}
		}
		if n < len(buf) {
			break
		}
		from += int64(n - len(magic) + 1) // a magic may straddle two chunks
	}
	return 0, nil
}
