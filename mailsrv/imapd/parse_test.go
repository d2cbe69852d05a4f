package imapd

import (
	"bytes"
	"errors"
	"io"
	"strings"
	"testing"
)

// text is a source that has everything at once, or a byte at a time.
type text struct {
	b     []byte
	step  int
	asked int
}

func (t *text) fill() ([]byte, error) {
	if len(t.b) == 0 {
		return nil, io.EOF
	}
	n := min(t.step, len(t.b))
	b := t.b[:n]
	t.b = t.b[n:]
	return b, nil
}

func (t *text) ask() error {
	t.asked++
	return nil
}

// over returns a parser of s.
func over(s string) *parser { return &parser{src: &text{b: []byte(s), step: len(s) + 1}} }

// left is what a parser has not taken.
func (p *parser) left() string { return string(p.buf) + string(p.src.(*text).b) }

func TestAnnouncements(t *testing.T) {
	for line, want := range map[string]struct {
		n        int64
		sync, ok bool
		err      error
	}{
		"a NOOP\r\n":                   {0, false, false, nil},
		"a LOGIN {3}\r\n":              {3, true, true, nil},
		"a LOGIN {3+}\n":               {3, false, true, nil},
		"a LOGIN {3+}    \r\n":         {3, false, true, nil},
		"a APPEND x ~{10}\r\n":         {10, true, true, nil},
		"a X {0+}\r\n":                 {0, false, true, nil},
		"a X {}\r\n":                   {0, false, false, nil},
		"a X {+}\r\n":                  {0, false, false, nil},
		"a X {-3}\r\n":                 {0, false, false, nil},
		"a X {1 3+}\r\n":               {0, false, false, nil},
		"a X {3} x\r\n":                {0, false, false, nil},
		"a X \"{3}\"\r\n":              {0, false, false, nil},
		"}\r\n":                        {0, false, false, nil},
		"a X {9999999999999999999}\n":  {0, false, false, errLiteral},
		"a X {" + zeros(90) + "19+}\n": {0, false, false, errLiteral}, // nobody means well with that
	} {
		p := over(line)
		for p.have() && p.buf[0] != '\n' {
			p.take1()
		}
		n, sync, ok, err := announcement(p.mem[:p.kept])
		if ok != want.ok || err != want.err || ok && (n != want.n || sync != want.sync) {
			t.Errorf("%q: %d %v %v %v", line, n, sync, ok, err)
		}
	}
}

func zeros(n int) string { return strings.Repeat("0", n) }

func TestSetsGoThere(t *testing.T) {
	for in, want := range map[string]string{
		"1":                 "1",
		"1:3,5,*":           "1:3,5,*",
		"3:1":               "3:1",
		"*:4":               "*:4",
		"$":                 "$",
		"4294967295":        "4294967295",
		"007":               "7",
		"4294967296":        "",
		"0":                 "",
		"1,":                "",
		":":                 "",
		"99999999999999999": "",
	} {
		p := over(in + "\r\n")
		set := p.set()
		if err := p.end(); (err == nil) != (want != "") {
			t.Errorf("%q: %v", in, err)
		} else if got := string(set.append(nil)); err == nil && got != want {
			t.Errorf("%q became %q", in, got)
		}
	}
}

// A client may name any messages of a large mailbox.
func TestLongSets(t *testing.T) {
	var nums []uint32
	for i := range uint32(50000) {
		nums = append(nums, 100000+2*i)
	}
	text := string(setOf(nums).append(nil))
	p := over(text + " x\r\n")
	if got := p.set(); len(got.spans) != 50000 || p.err != nil || p.left() != " x\r\n" {
		t.Errorf("%d ranges of %d bytes: %v", len(got.spans), len(text), p.err)
	}
	p = over(strings.Repeat("1,", maxRanges+1) + "1\r\n")
	if p.set(); p.err == nil {
		t.Error("a set has no bound")
	}
	p = over(strings.Repeat("a", maxLine+1))
	if p.atom(); !errors.Is(p.io, errTooLong) {
		t.Error("a line has no bound")
	}
}

func TestNamesInUTF7(t *testing.T) {
	for utf, coded := range map[string]string{
		"plain":          "plain",
		"a&b":            "a&-b",
		"Entwürfe":       "Entw&APw-rfe",
		"~peter/mail/台北": "~peter/mail/&U,BTFw-",
		"😀":              "&2D3eAA-",
		"":               "",
	} {
		if got := utf7.encode(utf); got != coded {
			t.Errorf("%q became %q, not %q", utf, got, coded)
		}
		if got, err := utf7.decode(coded); got != utf || err != nil {
			t.Errorf("%q became %q %v, not %q", coded, got, err, utf)
		}
	}
	for _, wrong := range []string{"&", "&AGE-", "&U,BTF-", "&2D0-", "\x80", "&AAAA", "a\tb", "&=-"} {
		if got, err := utf7.decode(wrong); err == nil {
			t.Errorf("%q became %q", wrong, got)
		}
	}
}

func FuzzUTF7(f *testing.F) {
	f.Add("Entw&APw-rfe")
	f.Add("&2D3eAA-&-")
	f.Fuzz(func(t *testing.T, s string) {
		name, err := utf7.decode(s)
		if err != nil {
			return
		}
		again, err := utf7.decode(utf7.encode(name))
		if err != nil || again != name {
			t.Errorf("%q became %q, then %q %v", s, name, again, err)
		}
	})
}

// parsers are all ways to take a command apart.
var parsers = map[byte]func(p *parser) string{
	'n': func(p *parser) string { p.mailbox(); return "" },
	's': func(p *parser) string { return string(p.set().append(nil)) },
	'f': func(p *parser) string { p.order(); return "" },
	'k': func(p *parser) string { r := reading{p: p}; r.all(); return "" },
	'l': func(p *parser) string { p.flags(); return "" },
	'd': func(p *parser) string { p.dateTime(); return "" },
	'i': func(p *parser) string { p.items(); return "" },
}

// Whatever a client says, a command ends where it ends, however it comes in
// pieces; what follows is left alone; and what was read can be written again.
func FuzzParser(f *testing.F) {
	f.Add([]byte("nINBOX"), 1)
	f.Add([]byte("n{5+}\r\nINBOX"), 3)
	f.Add([]byte("s1:3,5,*"), 100)
	f.Add([]byte("f(UID BODY.PEEK[1.2.HEADER.FIELDS (a \"b\")]<3.4> ENVELOPE)"), 2)
	f.Add([]byte("kOR NOT (SEEN 1:5) SUBJECT {3+}\r\nabc SINCE 1-Feb-2024"), 7)
	f.Add([]byte("l(\\Seen $x)"), 7)
	f.Add([]byte("d\" 1-Feb-2024 13:30:00 +0100\""), 7)
	f.Add([]byte("i(MESSAGES UIDNEXT)"), 7)
	f.Fuzz(func(t *testing.T, b []byte, step int) {
		if len(b) == 0 || parsers[b[0]] == nil || step < 1 {
			return
		}
		const next = "\r\nz CREATE untouched\r\n"
		parse := func(b []byte, step int) (*parser, string, error) {
			p := &parser{src: &text{b: append(bytes.Clone(b[1:]), next...), step: step}}
			p.begin()
			out := parsers[b[0]](p)
			return p, out, p.end()
		}
		p, out, err := parse(b, step)
		if err != nil {
			if e := p.drain(1 << 20); e == nil && len(p.left()) > len(b)+len(next) {
				t.Fatal("there is more than there was")
			}
			return
		}
		if left := p.left(); !strings.HasSuffix(next, left) && !strings.HasSuffix(string(b)+next, left) {
			t.Fatalf("%q leaves %q", b, left)
		}
		if !bytes.ContainsRune(b, '\n') && p.left() != next[2:] {
			t.Fatalf("%q, a single line, leaves %q", b, p.left())
		}
		q, again, err2 := parse(b, 1<<20)
		if err2 != nil || again != out || q.left() != p.left() {
			t.Fatalf("in pieces %q, at once %q %v", out, again, err2)
		}
		if out != "" {
			if _, again, err := parse(append(b[:1:1], out...), 1<<20); err != nil || again != out {
				t.Fatalf("%q was read as %q, which is read as %q %v", b, out, again, err)
			}
		}
	})
}
