package mailsrv

import (
	"bytes"
	"fmt"
	"io"
	"os"
	"sync/atomic"

	"pic/mailsrv/message"
)

const (
	spoolMemory = 256 << 10 // of one message; what is longer goes to a file
	spoolTotal  = 32 << 20  // of all messages under way
)

// A spool holds a message while it comes in: in memory while it is small and
// there is enough for all, in a file without a name otherwise.
type spool struct {
	total *atomic.Int64 // memory that all spools have
	mem   []byte
	file  *os.File
	size  int64
}

// A spoolError is trouble with the file, not with the client.
type spoolError struct{ err error }

func (e *spoolError) Error() string { return "spooling: " + e.err.Error() }
func (e *spoolError) Unwrap() error { return e.err }

// readSpool reads r to its end. The caller must close the spool.
func readSpool(r io.Reader, total *atomic.Int64, temp func() (*os.File, error)) (*spool, error) {
	s := &spool{total: total}
	if err := s.read(r, temp); err != nil {
		s.close()
		return nil, err
	}
	return s, nil
}

func (s *spool) read(r io.Reader, temp func() (*os.File, error)) error {
	for {
		if len(s.mem) == cap(s.mem) && !s.grow() {
			return s.overflow(r, temp)
		}
		n, err := r.Read(s.mem[len(s.mem):cap(s.mem)])
		s.mem = s.mem[:len(s.mem)+n]
		s.size += int64(n)
		if err == io.EOF {
			return nil
		}
		if err != nil {
			return err
		}
	}
}

// grow gets more memory, if there may be more.
func (s *spool) grow() bool {
	old := cap(s.mem)
	want := min(max(2*old, 8<<10), spoolMemory)
	if want == old {
		return false
	}
	if s.total.Add(int64(want-old)) > spoolTotal {
		s.total.Add(int64(old - want))
		return false
	}
	s.mem = append(make([]byte, 0, want), s.mem...)
	return true
}

// overflow puts what there is and what comes into a file.
func (s *spool) overflow(r io.Reader, temp func() (*os.File, error)) error {
	f, err := temp()
	if err != nil {
		return &spoolError{err}
	}
	s.file = f
	if _, err := f.Write(s.mem); err != nil {
		return &spoolError{err}
	}
	s.free()
	n, err := io.Copy(fileWriter{f}, struct{ io.Reader }{r})
	s.size += n
	return err
}

// A fileWriter marks the errors of a file.
type fileWriter struct{ f *os.File }

func (w fileWriter) Write(b []byte) (int, error) {
	n, err := w.f.Write(b)
	if err != nil {
		err = &spoolError{err}
	}
	return n, err
}

func (s *spool) free() {
	s.total.Add(-int64(cap(s.mem)))
	s.mem = nil
}

func (s *spool) close() {
	s.free()
	if s.file != nil {
		s.file.Close()
		s.file = nil
	}
}

// section is all of the message.
func (s *spool) section() *io.SectionReader {
	if s.file != nil {
		return io.NewSectionReader(s.file, 0, s.size)
	}
	return io.NewSectionReader(bytes.NewReader(s.mem), 0, s.size)
}

// header is what the message begins with: its header if that is not too long,
// and perhaps some of its body.
func (s *spool) header() ([]byte, error) {
	b := make([]byte, min(s.size, message.MaxHeader))
	if _, err := s.section().ReadAt(b, 0); err != nil && err != io.EOF {
		return nil, fmt.Errorf("reading the header: %w", err)
	}
	return b, nil
}
