package message

import (
	"bytes"
	"encoding/base64"
	"io"
	"iter"
	"mime"
	"mime/quotedprintable"
	"strings"
	"unicode/utf8"
)

// Fields yields the fields of a header, name and unfolded value, in their order.
func Fields(header []byte) iter.Seq2[string, string] {
	return func(yield func(string, string) bool) {
		for f := range RawFields(header) {
			name, value, ok := bytes.Cut(f, []byte(":"))
			if ok && !yield(string(bytes.TrimRight(name, " \t")), unfold(value)) {
				return
			}
		}
	}
}

func unfold(v []byte) string {
	v = bytes.ReplaceAll(v, []byte("\r\n"), nil)
	return clean(bytes.ReplaceAll(v, []byte("\n"), nil))
}

// RawFields yields the fields of a header as they stand there, each with all
// its lines and line ends, up to the empty line at the end.
func RawFields(header []byte) iter.Seq[[]byte] {
	return func(yield func([]byte) bool) {
		for len(header) > 0 && header[0] != '\n' && !bytes.HasPrefix(header, []byte("\r\n")) {
			end := 0
			for {
				n := bytes.IndexByte(header[end:], '\n')
				if n < 0 {
					end = len(header)
					break
				}
				end += n + 1
				if end == len(header) || header[end] != ' ' && header[end] != '\t' {
					break
				}
			}
			if !yield(header[:end]) {
				return
			}
			header = header[end:]
		}
	}
}

// DecodeWords decodes the encoded words of a value (RFC 2047) in UTF-8, US-ASCII
// and ISO 8859-1. Others stay as they are.
func DecodeWords(s string) string {
	if !strings.Contains(s, "=?") {
		return s
	}
	d := mime.WordDecoder{}
	out, err := d.DecodeHeader(s)
	if err != nil {
		return s
	}
	return out
}

// Text returns a reader of the text of a part, without its transfer encoding
// and in UTF-8 where its character set is UTF-8, US-ASCII or ISO 8859-1. r is
// the whole message.
func (p *Part) Text(r io.ReaderAt) io.Reader {
	t, _ := p.Decoded(r)
	switch strings.ToLower(p.Param("charset")) {
	case "iso-8859-1", "latin1", "windows-1252", "iso-8859-15":
		t = &latin1{r: t}
	}
	return t
}

// Decoded returns a reader of a part without its transfer encoding; ok is false,
// and it is as it stands there, if that is not known. r is the whole message.
func (p *Part) Decoded(r io.ReaderAt) (t io.Reader, ok bool) {
	t = io.NewSectionReader(r, p.Body, p.End-p.Body)
	switch strings.ToLower(p.Encoding) {
	case "base64":
		return base64.NewDecoder(base64.StdEncoding, &onlyBase64{r: t}), true
	case "quoted-printable":
		return quotedprintable.NewReader(t), true
	case "", "7bit", "8bit", "binary":
		return t, true
	}
	return t, false
}

// onlyBase64 leaves out what is not base64, as RFC 2045 §6.8 has it.
type onlyBase64 struct{ r io.Reader }

func (o *onlyBase64) Read(b []byte) (int, error) {
	for {
		n, err := o.r.Read(b)
		keep := b[:0]
		for _, c := range b[:n] {
			switch {
			case 'a' <= c && c <= 'z', 'A' <= c && c <= 'Z', '0' <= c && c <= '9', c == '+', c == '/', c == '=':
				keep = append(keep, c)
			}
		}
		if len(keep) > 0 || err != nil {
			return len(keep), err
		}
	}
}

// latin1 turns ISO 8859-1 into UTF-8.
type latin1 struct {
	r   io.Reader
	buf []byte
}

func (l *latin1) Read(b []byte) (int, error) {
	if len(l.buf) == 0 {
		var raw [512]byte
		n, err := l.r.Read(raw[:])
		if n == 0 {
			return 0, err
		}
		for _, c := range raw[:n] {
			l.buf = utf8.AppendRune(l.buf, rune(c))
		}
	}
	n := copy(b, l.buf)
	l.buf = append(l.buf[:0], l.buf[n:]...)
	return n, nil
}
