package store

import (
	"fmt"
	"hash/crc32"
	"io"

	"pic/internal/faultfs"
)

// size is about how many bytes the frame will have.
func (t *txn) size() int64 {
	n := int64(headLen + 64 + len(t.aux))
	if t.body != nil {
		n += t.body.Size()
	}
	return n
}

// A logWriter writes the frames of one batch after start.
type logWriter struct {
	f     faultfs.File
	start int64
	out   int64 // bytes written to f that count
	high  int64 // bytes written to f at most
	buf   []byte
	err   error // of f
}

func (w *logWriter) len() int64 { return w.out + int64(len(w.buf)) }
func (w *logWriter) ok() bool   { return w.err == nil }

// cut forgets what came after the first n bytes.
func (w *logWriter) cut(n int64) {
	if n >= w.out {
		w.buf = w.buf[:n-w.out]
		return
	}
	w.out, w.buf = n, w.buf[:0]
}

func (w *logWriter) Write(b []byte) (int, error) {
	w.buf = append(w.buf, b...)
	if len(w.buf) >= writeSize {
		w.flush()
	}
	return len(b), w.err
}

func (w *logWriter) flush() {
	if w.err != nil || len(w.buf) == 0 {
		return
	}
	_, w.err = w.f.WriteAt(w.buf, w.start+w.out)
	w.out += int64(len(w.buf))
	w.high = max(w.high, w.out)
	w.buf = w.buf[:0]
}

// finish writes what is left. Where a frame was cut, nothing of it may follow.
func (w *logWriter) finish() error {
	w.flush()
	if w.err == nil && w.high > w.out {
		w.err = w.f.Truncate(w.start + w.out)
	}
	return w.err
}

// frame appends the frame of t.
func (w *logWriter) frame(t *txn, ops []op, batch uint16, salt uint64) error {
	var meta []byte
	for i := range ops {
		meta = ops[i].append(meta)
	}
	if len(meta) > maxMeta {
		return fmt.Errorf("%w: too many messages at once", ErrLimit)
	}
	h := head{batch: batch, seq: t.seq, meta: uint32(len(meta)), aux: uint32(len(t.aux)), metaCRC: crc32.Checksum(meta, table)}
	if t.body != nil {
		h.body = uint32(t.body.Size())
	}
	w.buf = h.append(w.buf, salt)
	w.buf = append(w.buf, meta...)
	sum := crc32.New(table)
	both := io.MultiWriter(w, sum)
	if _, err := both.Write(t.aux); err != nil {
		return err
	}
	if t.body != nil {
		n, err := t.body.WriteTo(both)
		if err == nil && n != int64(h.body) {
			err = io.ErrUnexpectedEOF
		}
		if err != nil {
			return err
		}
	}
	_, err := w.Write(le.AppendUint32(nil, sum.Sum32()))
	return err
}
