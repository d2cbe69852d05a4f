package store

import (
	"fmt"
	"hash/crc32"
	"io"
)

// A Body is a message that is to be stored: some bytes and then, if it is not
// nil, the rest. It may be read by several goroutines at once.
type Body struct {
	Head []byte
	Rest *io.SectionReader
}

// Size is the length in bytes.
func (b *Body) Size() int64 {
	n := int64(len(b.Head))
	if b.Rest != nil {
		n += b.Rest.Size()
	}
	return n
}

// WriteTo writes all of it.
func (b *Body) WriteTo(w io.Writer) (int64, error) {
	n, err := w.Write(b.Head)
	if err != nil || b.Rest == nil {
		return int64(n), err
	}
	m, err := io.Copy(onlyWriter{w}, io.NewSectionReader(b.Rest, 0, b.Rest.Size()))
	return int64(n) + m, err
}

// Reader returns a new reader of all of it.
func (b *Body) Reader() io.Reader {
	head := io.NewSectionReader(bytesAt(b.Head), 0, int64(len(b.Head)))
	if b.Rest == nil {
		return head
	}
	return io.MultiReader(head, io.NewSectionReader(b.Rest, 0, b.Rest.Size()))
}

type onlyWriter struct{ io.Writer }

type bytesAt []byte

func (b bytesAt) ReadAt(p []byte, off int64) (int, error) {
	if off >= int64(len(b)) {
		return 0, io.EOF
	}
	n := copy(p, b[off:])
	if n < len(p) {
		return n, io.EOF
	}
	return n, nil
}

// A Content is a stored message, open for reading. It must be closed before
// the account is released.
type Content struct {
	*io.SectionReader
	Aux []byte // what was stored with it

	acct  *Account
	file  *openFile
	start int64 // of aux in the file
}

// Open opens the content of a message. It may have been expunged since.
func (a *Account) Open(m Message) (*Content, error) {
	a.mu.RLock()
	var s segment
	for i := len(a.segs) - 1; i >= 0; i-- {
		if a.segs[i].num == m.seg {
			s = a.segs[i]
			break
		}
	}
	a.mu.RUnlock()
	if s.num == 0 {
		return nil, fmt.Errorf("%w: segment %d is missing", ErrDamaged, m.seg)
	}
	o, err := a.files.get(s.path)
	if err != nil {
		return nil, err
	}
	c, err := readContent(o, s, m)
	if err != nil {
		a.files.put(o)
		return nil, err
	}
	c.acct = a
	return c, nil
}

func readContent(o *openFile, s segment, m Message) (*Content, error) {
	b := make([]byte, 1024)
	n, err := o.f.ReadAt(b, int64(m.off))
	if err != nil && err != io.EOF {
		return nil, err
	}
	b = b[:n]
	h, err := parseHead(b, s.salt)
	if err != nil || h.body != m.Size {
		return nil, fmt.Errorf("%w: %s at byte %d has no message of %d bytes", ErrDamaged, s.path, m.off, m.Size)
	}
	start := int64(m.off) + headLen + int64(h.meta)
	c := &Content{file: o, start: start, SectionReader: io.NewSectionReader(o.f, start+int64(h.aux), int64(h.body))}
	if end := headLen + int64(h.meta) + int64(h.aux); end <= int64(n) {
		c.Aux = b[headLen+int64(h.meta) : end]
		return c, nil
	}
	c.Aux = make([]byte, h.aux)
	if _, err := o.f.ReadAt(c.Aux, start); err != nil {
		return nil, err
	}
	return c, nil
}

// Close ends the use of the content.
func (c *Content) Close() { c.acct.files.put(c.file) }

// Verify reads all of it and compares the checksum.
func (c *Content) Verify() error {
	sum := crc32.New(table)
	n := int64(len(c.Aux)) + c.Size()
	all := io.NewSectionReader(c.file.f, c.start, n+trailLen)
	if _, err := io.CopyN(sum, all, n); err != nil {
		return err
	}
	var trail [trailLen]byte
	if _, err := io.ReadFull(all, trail[:]); err != nil {
		return err
	}
	if le.Uint32(trail[:]) != sum.Sum32() {
		return fmt.Errorf("%w: %s at byte %d: wrong checksum", ErrDamaged, c.file.f.Name(), c.start)
	}
	return nil
}
