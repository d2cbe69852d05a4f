package davsrv

import (
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
)

// Limits of the XML that clients send. A body is refused at the first token
// that breaks one of them, before anything recursive could see it.
const (
	maxXMLBody     = 1 << 20 // bytes
	maxXMLMultiget = 8 << 20 // bytes; a REPORT may list thousands of hrefs
	maxXMLDepth    = 64
	maxXMLTokens   = 100_000
	maxXMLAttrs    = 64  // of one element
	maxXMLBindings = 256 // namespace prefixes in scope
)

// A node is an element, or character data where name.Local is empty. Names are
// resolved; namespace declarations are not among attrs.
type node struct {
	name  xml.Name
	attrs []xml.Attr
	kids  []*node
	text  string
}

// elements are the children that are not text.
func (n *node) elements(yield func(*node) bool) {
	if n == nil {
		return
	}
	for _, k := range n.kids {
		if k.name.Local != "" && !yield(k) {
			return
		}
	}
}

// child returns the first element of that name, or nil.
func (n *node) child(name xml.Name) *node {
	for k := range n.elements {
		if k.name == name {
			return k
		}
	}
	return nil
}

// attr returns the attribute without namespace, or "".
func (n *node) attr(local string) string {
	for _, a := range n.attrs {
		if a.Name.Space == "" && a.Name.Local == local {
			return a.Value
		}
	}
	return ""
}

// content is the text directly within n, trimmed.
func (n *node) content() string {
	return strings.TrimSpace(n.rawContent())
}

func (n *node) rawContent() string {
	if n == nil {
		return ""
	}
	if len(n.kids) == 1 {
		return n.kids[0].text
	}
	var b strings.Builder
	for _, k := range n.kids {
		b.WriteString(k.text)
	}
	return b.String()
}

var errNoXML = errors.New("no XML in the body")

type binding struct{ prefix, space string }

// xmlReader builds the tree of a document from raw tokens: it resolves
// namespaces itself, because encoding/xml accepts prefixes that nobody declared.
type xmlReader struct {
	dec    *xml.Decoder
	stack  []*node
	raw    []xml.Name // names as written, to match end tags
	bound  []binding
	marks  []int // length of bound when each open element began
	tokens int
	root   *node
}

// readXML reads one XML document of at most limit bytes. It returns errNoXML
// for a body without any, and a refusal for one that is malformed, too large,
// too deep, or carries a DOCTYPE.
func readXML(r io.Reader, limit int64) (*node, error) {
	lr := &io.LimitedReader{R: r, N: limit + 1}
	x := &xmlReader{dec: xml.NewDecoder(lr)}
	for {
		tok, err := x.dec.RawToken()
		if lr.N <= 0 {
			return nil, refuse(http.StatusRequestEntityTooLarge, fmt.Sprintf("The XML body is larger than %d bytes.", limit))
		}
		if err == io.EOF {
			return x.end()
		}
		if err != nil {
			var syn *xml.SyntaxError
			if errors.As(err, &syn) {
				return nil, badXML(syn.Msg)
			}
			if isNetwork(err) {
				return nil, err
			}
			return nil, badXML(err.Error())
		}
		if x.tokens++; x.tokens > maxXMLTokens {
			return nil, refuse(http.StatusRequestEntityTooLarge, "The XML body has too many elements.")
		}
		if err := x.token(tok); err != nil {
			return nil, err
		}
	}
}

// isNetwork tells trouble with reading from trouble with what was read.
func isNetwork(err error) bool {
	var maxed *http.MaxBytesError
	var timeout interface{ Timeout() bool }
	return errors.Is(err, io.ErrUnexpectedEOF) || errors.As(err, &maxed) || errors.As(err, &timeout)
}

func badXML(why string) error {
	return refuse(http.StatusBadRequest, "The XML body cannot be read: "+why)
}

func (x *xmlReader) end() (*node, error) {
	if len(x.stack) > 0 {
		return nil, badXML("it ends inside <" + x.stack[len(x.stack)-1].name.Local + ">")
	}
	if x.root == nil {
		return nil, errNoXML
	}
	return x.root, nil
}

func (x *xmlReader) token(tok xml.Token) error {
	switch t := tok.(type) {
	case xml.StartElement:
		return x.startElement(t)
	case xml.EndElement:
		return x.endElement(t)
	case xml.CharData:
		if len(x.stack) == 0 {
			if len(strings.TrimSpace(strings.TrimPrefix(string(t), "\ufeff"))) > 0 {
				return badXML("text outside of the root element")
			}
			return nil
		}
		top := x.stack[len(x.stack)-1]
		top.kids = append(top.kids, &node{text: string(t)})
	case xml.Directive:
		return badXML("a DOCTYPE is not accepted")
	}
	return nil // comments and processing instructions mean nothing here
}

func (x *xmlReader) startElement(t xml.StartElement) error {
	if x.root != nil && len(x.stack) == 0 {
		return badXML("a second root element")
	}
	if len(x.stack) >= maxXMLDepth {
		return badXML(fmt.Sprintf("it is nested deeper than %d elements", maxXMLDepth))
	}
	if len(t.Attr) > maxXMLAttrs {
		return badXML(fmt.Sprintf("an element has more than %d attributes", maxXMLAttrs))
	}
	x.marks = append(x.marks, len(x.bound))
	for _, a := range t.Attr {
		switch {
		case a.Name.Space == "" && a.Name.Local == "xmlns":
			if a.Value == nsXML || a.Value == "http://www.w3.org/2000/xmlns/" {
				return badXML("a reserved namespace is declared")
			}
			x.bound = append(x.bound, binding{"", a.Value})
		case a.Name.Space == "xmlns":
			if a.Value == "" || a.Name.Local == "xmlns" || a.Value == "http://www.w3.org/2000/xmlns/" || (a.Name.Local == "xml") != (a.Value == nsXML) {
				return badXML("the namespace prefix " + a.Name.Local + " is declared wrongly")
			}
			x.bound = append(x.bound, binding{a.Name.Local, a.Value})
		}
	}
	if len(x.bound) > maxXMLBindings {
		return badXML("too many namespace prefixes")
	}
	n := &node{}
	var err error
	if n.name, err = x.resolve(t.Name, true); err != nil {
		return err
	}
	for _, a := range t.Attr {
		if a.Name.Space == "xmlns" || a.Name.Space == "" && a.Name.Local == "xmlns" {
			continue
		}
		name, err := x.resolve(a.Name, false)
		if err != nil {
			return err
		}
		n.attrs = append(n.attrs, xml.Attr{Name: name, Value: a.Value})
	}
	if len(x.stack) == 0 {
		x.root = n
	} else {
		top := x.stack[len(x.stack)-1]
		top.kids = append(top.kids, n)
	}
	x.stack = append(x.stack, n)
	x.raw = append(x.raw, t.Name)
	return nil
}

func (x *xmlReader) endElement(t xml.EndElement) error {
	top := len(x.stack) - 1
	if top < 0 || x.raw[top] != t.Name {
		return badXML("</" + t.Name.Local + "> closes nothing")
	}
	x.bound = x.bound[:x.marks[top]]
	x.stack, x.raw, x.marks = x.stack[:top], x.raw[:top], x.marks[:top]
	return nil
}

// resolve replaces the prefix of a name by its namespace. The default namespace
// holds for elements, not for attributes.
func (x *xmlReader) resolve(n xml.Name, element bool) (xml.Name, error) {
	if n.Local == "" || strings.Contains(n.Local, ":") {
		return n, badXML("a name is empty or has a stray colon")
	}
	if n.Space == "" && !element {
		return n, nil
	}
	if n.Space == "xml" && element {
		return n, badXML("the prefix xml is not for elements")
	}
	if n.Space == "xml" {
		return xml.Name{Space: nsXML, Local: n.Local}, nil
	}
	for i := len(x.bound) - 1; i >= 0; i-- {
		if x.bound[i].prefix == n.Space {
			return xml.Name{Space: x.bound[i].space, Local: n.Local}, nil
		}
	}
	if n.Space != "" {
		return n, badXML("the namespace prefix " + n.Space + " is not declared")
	}
	return n, nil
}
