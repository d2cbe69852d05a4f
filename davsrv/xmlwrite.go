package davsrv

import (
	"bytes"
	"encoding/xml"
	"strings"
	"sync"
	"unicode/utf8"
)

// buffers are the pieces that answers are built in; one per running answer.
var buffers = sync.Pool{New: func() any { return new(bytes.Buffer) }}

// An xmlWriter appends XML to a buffer. Names in the protocols' namespaces get
// the prefix that the root declares; others declare their own on the spot.
type xmlWriter struct {
	buf *bytes.Buffer
}

func newXMLWriter() *xmlWriter {
	b := buffers.Get().(*bytes.Buffer)
	b.Reset()
	return &xmlWriter{b}
}

// free gives the buffer back. It must not be used afterwards.
func (x *xmlWriter) free() {
	if x.buf.Cap() <= 1<<20 {
		buffers.Put(x.buf)
	}
	x.buf = nil
}

func (x *xmlWriter) start() {
	x.buf.WriteString(xml.Header)
}

// openRoot opens an element that declares every known namespace.
func (x *xmlWriter) openRoot(name xml.Name) {
	x.buf.WriteByte('<')
	x.name(name)
	for _, s := range []string{nsDAV, nsCal, nsCard, nsServer, nsApple} {
		x.buf.WriteString(` xmlns:` + prefixOf(s) + `="` + s + `"`)
	}
	x.buf.WriteByte('>')
}

// name writes the tag name and tells whether its namespace is declared.
func (x *xmlWriter) name(n xml.Name) bool {
	p := prefixOf(n.Space)
	if p != "" {
		x.buf.WriteString(p)
		x.buf.WriteByte(':')
	}
	x.buf.WriteString(n.Local)
	return p != ""
}

func (x *xmlWriter) tag(n xml.Name) {
	x.buf.WriteByte('<')
	if !x.name(n) {
		x.buf.WriteString(` xmlns="`)
		x.text(n.Space)
		x.buf.WriteByte('"')
	}
}

func (x *xmlWriter) open(n xml.Name) {
	x.tag(n)
	x.buf.WriteByte('>')
}

func (x *xmlWriter) close(n xml.Name) {
	x.buf.WriteString("</")
	x.name(n)
	x.buf.WriteByte('>')
}

func (x *xmlWriter) empty(n xml.Name) {
	x.tag(n)
	x.buf.WriteString("/>")
}

// emptyWith writes an element that has attributes, as name and value, and nothing
// else.
func (x *xmlWriter) emptyWith(n xml.Name, attrs ...string) {
	x.tag(n)
	for i := 0; i+1 < len(attrs); i += 2 {
		x.buf.WriteString(" " + attrs[i] + `="`)
		attrText(x.buf, attrs[i+1])
		x.buf.WriteByte('"')
	}
	x.buf.WriteString("/>")
}

func (x *xmlWriter) element(n xml.Name, text string) {
	x.open(n)
	x.text(text)
	x.close(n)
}

// href writes a DAV:href of an already percent-encoded path.
func (x *xmlWriter) href(path string) { x.element(dav("href"), path) }

// text writes character data that an XML parser hands on unchanged: carriage
// returns are kept as references. What XML 1.0 cannot carry becomes U+FFFD.
func (x *xmlWriter) text(s string) {
	escapeTo(x.buf, s)
}

func escapeTo(b *bytes.Buffer, s string) {
	last := 0
	for i := 0; i < len(s); {
		var esc string
		size := 1
		switch c := s[i]; {
		case c == '&':
			esc = "&amp;"
		case c == '<':
			esc = "&lt;"
		case c == '>':
			esc = "&gt;"
		case c == '"':
			esc = "&#34;"
		case c == '\r':
			esc = "&#13;"
		case c == '\n' || c == '\t' || c >= ' ' && c < utf8.RuneSelf:
			i++
			continue
		case c < ' ':
			esc = "\ufffd"
		default:
			var r rune
			r, size = utf8.DecodeRuneInString(s[i:])
			if r != utf8.RuneError && r != 0xfffe && r != 0xffff || r == utf8.RuneError && size == 3 {
				i += size
				continue
			}
			esc = "\ufffd"
		}
		b.WriteString(s[last:i])
		b.WriteString(esc)
		i += size
		last = i
	}
	b.WriteString(s[last:])
}

// standalone writes a tree back as XML that means the same anywhere.
func (x *xmlWriter) standalone(n *node) { x.node(n, "\x00") }

// node writes a tree within an element of the default namespace space.
func (x *xmlWriter) node(n *node, space string) {
	if n.name.Local == "" {
		x.text(n.text)
		return
	}
	x.buf.WriteByte('<')
	x.buf.WriteString(n.name.Local)
	if n.name.Space != space {
		x.buf.WriteString(` xmlns="`)
		x.text(n.name.Space)
		x.buf.WriteByte('"')
	}
	x.attrs(n.attrs)
	if len(n.kids) == 0 {
		x.buf.WriteString("/>")
		return
	}
	x.buf.WriteByte('>')
	for _, k := range n.kids {
		x.node(k, n.name.Space)
	}
	x.buf.WriteString("</" + n.name.Local + ">")
}

func (x *xmlWriter) attrs(attrs []xml.Attr) {
	for i, a := range attrs {
		switch a.Name.Space {
		case "":
			x.buf.WriteString(" " + a.Name.Local)
		case nsXML:
			x.buf.WriteString(" xml:" + a.Name.Local)
		default:
			p := "n" + strings.Repeat("n", i) // unlike any other of this element
			x.buf.WriteString(" xmlns:" + p + `="`)
			x.text(a.Name.Space)
			x.buf.WriteString(`" ` + p + ":" + a.Name.Local)
		}
		x.buf.WriteString(`="`)
		attrText(x.buf, a.Value)
		x.buf.WriteByte('"')
	}
}

// attrText is text in an attribute, where line ends and tabs need references.
func attrText(b *bytes.Buffer, s string) {
	for {
		i := strings.IndexAny(s, "\n\t")
		if i < 0 {
			escapeTo(b, s)
			return
		}
		escapeTo(b, s[:i])
		if s[i] == '\n' {
			b.WriteString("&#10;")
		} else {
			b.WriteString("&#9;")
		}
		s = s[i+1:]
	}
}
