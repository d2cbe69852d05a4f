// Package message reads the structure of mail messages (RFC 5322, RFC 2045,
// RFC 2046) in one pass, in bounded memory, whatever is in them.
//
// [Scan] finds the parts of a message and where they are, the fields that an
// IMAP client asks for (ENVELOPE and BODYSTRUCTURE, RFC 9051 §7.5.2), and copies
// no content. Beyond [MaxDepth], [MaxParts] and [MaxHeader] a message is taken
// as opaque: the parts stay readable as content of what is around them, but are
// not described, and [Message.Partial] says so. The cost is linear in the size.
//
// Lines may end in CRLF or LF. What does not follow the standards is read as
// well as possible and never an error.
//
// [Message.Append] and [Parse] keep a structure beside its message, so that it
// need not be scanned again.
package message

import "strings"

const (
	// MaxDepth is how many multiparts and messages may be within each other.
	MaxDepth = 50
	// MaxParts is how many parts are described.
	MaxParts = 1000
	// MaxHeader is how much of a header is looked at, and how much of all
	// headers of a message together is kept, in bytes.
	MaxHeader = 256 << 10

	maxField     = 8 << 10  // of one field kept
	maxAddresses = 64 << 10 // of one field of addresses kept
	maxBoundary  = 200
	maxParams    = 64
)

// A Message is the structure of one.
type Message struct {
	Root     *Part
	Received int  // how many Received fields it has, so many hops it came
	Partial  bool // there is more than is described here
}

// A Part is a message, or a part of a multipart. Offsets count from the start
// of the message.
type Part struct {
	Start int64 // of its header
	Body  int64 // of its body
	End   int64 // after its body
	Lines int64 // in its body

	Type        string // lower case, as is Subtype
	Subtype     string
	Params      []Param
	ID          string
	Description string
	Encoding    string // of the transfer, such as base64
	MD5         string
	Disposition string // lower case, such as attachment
	DispParams  []Param
	Languages   []string
	Location    string

	Envelope *Envelope // of a message only
	// Parts are those of a multipart, or the one message within a
	// message/rfc822.
	Parts []*Part
}

// A Param is a parameter of Content-Type or Content-Disposition, name in lower
// case, value as it stands there (RFC 2231 encoding and all).
type Param struct{ Name, Value string }

// An Envelope is the fields that clients show in a list. Strings are as they
// stand in the header, unfolded; encoded words are not decoded.
type Envelope struct {
	Date       string
	Subject    string
	From       []Address
	Sender     []Address
	ReplyTo    []Address
	To         []Address
	Cc         []Address
	Bcc        []Address
	InReplyTo  string
	MessageID  string
	References string
	ResentFrom []Address
}

// An Address is one of a list. A group begins with an Address that has only a
// Mailbox, its name, and ends with an empty one (RFC 9051 §7.5.2).
type Address struct{ Name, Mailbox, Host string }

// Multipart reports whether p has parts side by side.
func (p *Part) Multipart() bool { return p.Type == "multipart" && len(p.Parts) > 0 }

// Inner returns the message within a message/rfc822, or nil.
func (p *Part) Inner() *Part {
	if p.Type == "message" && len(p.Parts) == 1 {
		return p.Parts[0]
	}
	return nil
}

// Find returns the part that an IMAP section such as 2.1 means (RFC 9051
// §6.4.5.1), or nil. No path means the message itself.
func (m *Message) Find(path []int) *Part {
	p := m.Root
	whole := true // p is a message and not a part of one
	for _, n := range path {
		if !whole {
			if in := p.Inner(); in != nil {
				p, whole = in, true
			}
		}
		switch {
		case n < 1:
			return nil
		case p.Multipart():
			if n > len(p.Parts) {
				return nil
			}
			p, whole = p.Parts[n-1], false
		case whole && n == 1:
			whole = false // the only part of a message that is no multipart
		default:
			return nil
		}
	}
	return p
}

// Param returns the value of a parameter of the content type, or "".
func (p *Part) Param(name string) string {
	for _, x := range p.Params {
		if x.Name == name {
			return x.Value
		}
	}
	return ""
}

// Each calls f for p and all parts within it.
func (p *Part) Each(f func(*Part)) {
	f(p)
	for _, c := range p.Parts {
		c.Each(f)
	}
}

// String is the address as local@domain, or "" for the marks of groups.
func (a Address) String() string {
	if a.Mailbox == "" || a.Host == "" {
		return ""
	}
	return a.Mailbox + "@" + a.Host
}

// IDs returns the message ids in a field such as References, without their
// angle brackets.
func IDs(s string) []string {
	var out []string
	for {
		_, rest, ok := strings.Cut(s, "<")
		if !ok {
			return out
		}
		id, after, ok := strings.Cut(rest, ">")
		if !ok {
			return out
		}
		if id = strings.TrimSpace(id); id != "" && !strings.ContainsAny(id, "<\r\n") {
			out = append(out, id)
		}
		s = after
	}
}
