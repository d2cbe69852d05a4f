package smtpd

import (
	"bufio"
	"bytes"
	"errors"
	"io"
	"net"
	"strings"
	"testing"
	"testing/iotest"
	"time"
)

// A script is a connection whose client says something and then is gone.
type script struct {
	net.Conn
	in  io.Reader
	out bytes.Buffer
}

func (s *script) Read(b []byte) (int, error)       { return s.in.Read(b) }
func (s *script) Write(b []byte) (int, error)      { return s.out.Write(b) }
func (s *script) SetReadDeadline(time.Time) error  { return nil }
func (s *script) SetWriteDeadline(time.Time) error { return nil }

// messageOf passes a message through a gate and returns what go-smtp gets, what
// is left for the next command, and whether there was something to replace.
func messageOf(in io.Reader) (out, rest string, dirty bool, err error) {
	c := &script{in: in}
	g := newGate(c, &Options{MaxSize: 1 << 20, Role: Incoming}, false, false)
	g.Write([]byte("354 go\r\n"))
	var sb strings.Builder
	buf := make([]byte, 7)
	for g.mode == message {
		n, err := g.Read(buf)
		sb.Write(buf[:n])
		if err != nil {
			return sb.String(), "", g.dirty, err
		}
	}
	left, _ := io.ReadAll(g.br)
	return sb.String(), string(left), g.dirty, nil
}

// The gate sees the end of a message where CRLF.CRLF is, and nowhere else; what
// it hands on has no other CR or LF and is as long as what came.
func FuzzMessageEnd(f *testing.F) {
	for _, s := range []string{
		".\r\n", "hi\r\n.\r\nNOOP\r\n", "hi\r\r\n.\r\nQUIT", "hi\n.\nx\r\n.\r\n", "a\r.\rb\r\n.\r\n", "..\r\n.\r\n", ".\r.\r\n.\r\n", "\r\n.\r\r\n.\r\n",
	} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		out, rest, dirty, err := messageOf(strings.NewReader(s))
		if out2, rest2, dirty2, err2 := messageOf(iotest.OneByteReader(strings.NewReader(s))); out2 != out || rest2 != rest || dirty2 != dirty || err2 != err {
			t.Fatalf("byte by byte %q %q %v %v, at once %q %q %v %v", out2, rest2, dirty2, err2, out, rest, dirty, err)
		}
		if n := strings.Count(out, "\r\n"); n != strings.Count(out, "\r") || n != strings.Count(out, "\n") {
			t.Fatalf("%q became %q", s, out)
		}
		if dirty != strings.Contains(out, "\x00") {
			t.Fatalf("%q became %q, dirty %v", s, out, dirty)
		}
		end := strings.Index("\r\n"+out, "\r\n.\r\n")
		if err != nil {
			if err != io.EOF || end >= 0 {
				t.Fatalf("%q: %v", s, err)
			}
			return
		}
		if end != len(out)-3 {
			t.Fatalf("%q ends at %d of %q", s, end, out)
		}
		if len(out)+len(rest) != len(s) || !strings.HasSuffix(s, rest) {
			t.Fatalf("%q became %q and %q", s, out, rest)
		}
		if !dirty && out != s[:len(out)] {
			t.Fatalf("%q became %q", s, out)
		}
	})
}

// What go-smtp gets of commands is whole lines with CRLF, and nothing that it
// could misread.
func FuzzCommands(f *testing.F) {
	f.Add("EHLO x\r\nMAIL FROM:<a@b>\r\nSTARTTLSx\r\nBDAT 5\r\n")
	f.Add("NOOP\nNOOP\r\nRCPT TO:<Postmaster>\r\nAUTH PLAIN AAAA\r\n")
	f.Fuzz(func(t *testing.T, s string) {
		c := &script{in: strings.NewReader(s)}
		g := newGate(c, &Options{MaxSize: 1 << 20, Role: Incoming, Host: "h"}, false, false)
		br := bufio.NewReader(g)
		for {
			line, err := br.ReadString('\n')
			if err != nil {
				if line != "" {
					t.Fatalf("half a line: %q", line)
				}
				if !errors.Is(err, io.EOF) {
					t.Fatal(err)
				}
				break
			}
			text, ok := strings.CutSuffix(line, "\r\n")
			up := strings.ToUpper(text)
			if !ok || strings.ContainsAny(text, "\r\n\x00") || len(line) > maxLine+10 || strings.HasPrefix(up, "STARTTLS") ||
				strings.HasPrefix(up, "BDAT ") || strings.HasPrefix(up, "AUTH ") {
				t.Fatalf("handed on %q", line)
			}
		}
		for line := range strings.Lines(c.out.String()) {
			if len(line) < 6 || !strings.HasSuffix(line, "\r\n") || line[0] < '2' || line[0] > '5' {
				t.Fatalf("said %q", line)
			}
		}
	})
}
