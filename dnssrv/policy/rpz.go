package policy

import (
	"bytes"
	"errors"
	"fmt"
	"net/netip"
	"strings"
)

// A zoneReader reads a response policy zone: the records of its QNAME triggers,
// one a line, as such zones are written. It is not a reader of any zone file.
type zoneReader struct {
	origin string // of the zone, in lower case with the last dot; empty: not known yet
	owner  string // of the record before
	depth  int    // of parentheses that are open
}

var (
	errTrigger = errors.New("only triggers on the name asked for are supported")
	errRecord  = errors.New("only CNAME, A and AAAA records are supported in a policy zone")
	errOutside = errors.New("the name is not within the zone")
)

// startsZone reports whether a line is one that only zone files have.
func startsZone(line []byte) bool {
	if bytes.HasPrefix(line, []byte("$TTL")) || bytes.HasPrefix(line, []byte("$ORIGIN")) {
		return true
	}
	if !bytes.Contains(line, []byte("SOA")) && !bytes.Contains(line, []byte("soa")) {
		return false
	}
	n := 0
	for f := range bytes.FieldsSeq(line) {
		if n > 0 && n < 4 && (string(f) == "SOA" || string(f) == "soa") {
			return line[0] != '#' && line[0] != '!' && line[0] != ';'
		}
		if n++; n == 4 {
			break
		}
	}
	return false
}

// take takes one line of a zone file.
func (z *zoneReader) take(r *reader, raw []byte) error {
	if i := bytes.IndexByte(raw, ';'); i >= 0 {
		raw = raw[:i]
	}
	inside := z.depth > 0
	z.depth = max(0, z.depth+bytes.Count(raw, []byte("("))-bytes.Count(raw, []byte(")")))
	var f [16][]byte
	fields := f[:0]
	for part := range bytes.FieldsSeq(raw) {
		if len(fields) == cap(f[:]) {
			break
		}
		fields = append(fields, part)
	}
	if inside || len(fields) == 0 {
		return nil
	}
	switch {
	case string(fields[0]) == "$ORIGIN":
		if len(fields) > 1 {
			z.origin = strings.ToLower(string(fields[1]))
		}
		return nil
	case fields[0][0] == '$':
		if !bytes.EqualFold(fields[0], []byte("$TTL")) {
			r.skip(raw, errWords)
		}
		return nil
	}
	if raw[0] == ' ' || raw[0] == '\t' { // the owner is that of the record before
		fields = append([][]byte{[]byte(z.owner)}, fields...)
		if z.owner == "" {
			r.skip(raw, errWords)
			return nil
		}
	} else {
		z.owner = string(fields[0])
	}
	return z.record(r, raw, fields)
}

// record takes a record: owner, TTL and class where given, type, data.
func (z *zoneReader) record(r *reader, line []byte, fields [][]byte) error {
	owner, rest := fields[0], fields[1:]
	for len(rest) > 0 && (bytes.EqualFold(rest[0], []byte("IN")) || len(bytes.Trim(rest[0], "0123456789")) == 0) {
		rest = rest[1:]
	}
	if len(rest) < 2 {
		r.skip(line, errWords)
		return nil
	}
	typ := strings.ToUpper(string(rest[0]))
	switch typ {
	case "SOA":
		if z.origin == "" && owner[len(owner)-1] == '.' {
			z.origin = strings.ToLower(string(owner))
		}
		return nil
	case "NS", "RRSIG", "DNSKEY", "NSEC", "NSEC3", "NSEC3PARAM", "TYPE65534":
		return nil // the zone's own
	}
	name, below, err := z.trigger(owner)
	switch {
	case err != nil:
	case typ == "CNAME":
		return z.alias(r, line, name, below, string(rest[1]))
	case typ == "A" || typ == "AAAA":
		var a netip.Addr
		if a, err = netip.ParseAddr(string(rest[1])); err == nil && a.Is4() == (typ == "A") {
			return z.data(r, line, name, below, typ+" "+a.String(), rewrite{addrs: []netip.Addr{a}})
		}
		err = errName
	case string(owner) == "@":
		return nil // what the zone says of itself
	case isType(typ):
		err = errRecord
	default:
		err = errWords
	}
	r.skip(line, err)
	return nil
}

func isType(s string) bool {
	switch s {
	case "TXT", "MX", "SRV", "PTR", "DNAME", "HTTPS", "SVCB", "CAA", "NAPTR":
		return true
	}
	return false
}

// trigger returns the name that a record is about.
func (z *zoneReader) trigger(owner []byte) (name []byte, below bool, err error) {
	if owner[len(owner)-1] == '.' {
		low := strings.ToLower(string(owner))
		rest, ok := strings.CutSuffix(low, "."+strings.TrimPrefix(z.origin, "."))
		if z.origin == "" || !ok {
			return nil, false, errOutside
		}
		owner = []byte(rest)
	}
	name, below = bytes.CutPrefix(owner, []byte("*."))
	last := name[bytes.LastIndexByte(name, '.')+1:]
	if bytes.HasPrefix(bytes.ToLower(last), []byte("rpz-")) {
		return nil, false, errTrigger
	}
	return name, below, nil
}

// alias takes a CNAME, most of which stand for something else.
func (z *zoneReader) alias(r *reader, line, name []byte, below bool, target string) error {
	f, g := formRPZ, formRPZBelow
	switch low := strings.ToLower(target); {
	case low == "." || low == "*." || low == "rpz-drop.":
	case low == "rpz-passthru." || low == strings.ToLower(string(name))+".":
		f, g = formPass, formPassBelow
	case strings.HasPrefix(low, "rpz-") || strings.HasPrefix(low, "*."):
		r.skip(line, fmt.Errorf("the action %s is not supported", clip(low, 40)))
		return nil
	default:
		if !strings.HasSuffix(low, ".") {
			r.skip(line, errors.New("the target is relative to the zone"))
			return nil
		}
		wire, ok := wireOf(low)
		if !ok {
			r.skip(line, errName)
			return nil
		}
		return z.data(r, line, name, below, "CNAME "+textOf(wire)+".", rewrite{target: wire})
	}
	if below {
		f = g
	}
	ok, err := r.simple(name, f)
	switch {
	case err != nil:
		return err
	case ok:
		r.st.Rules++
	default:
		r.skip(line, errName)
	}
	return nil
}

// data takes what a name leads to, which is what says in words.
func (z *zoneReader) data(r *reader, line, name []byte, below bool, what string, to rewrite) error {
	wire, ok := wireOf(string(name))
	if !ok {
		r.skip(line, errName)
		return nil
	}
	star := ""
	if below {
		star = "*."
	}
	p := parsed{rule: rule{
		text: star + textOf(wire) + " " + what, strength: rewrites,
		name: wire, self: !below, below: below, to: to, zone: true,
	}}
	if err := r.full(&p); err != nil {
		r.skip(line, err)
		return nil
	}
	r.st.Rules++
	return nil
}
