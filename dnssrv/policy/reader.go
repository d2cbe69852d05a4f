package policy

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"strings"
)

// Stats tells what became of the lines of a list.
type Stats struct {
	Rules   int      `json:"rules"`   // taken; the names of one line of a hosts file count singly
	Foreign int      `json:"foreign"` // rules for browsers, about parts of pages
	Skipped int      `json:"skipped"` // rules that could not be followed
	Samples []string `json:"samples"` // some of those, and why not
	Leading int      `json:"leading"` // of Rules: those that send names to other names or addresses
}

const (
	maxLine    = 4096
	maxSamples = 5
)

// A sink takes the rules of a list.
type sink interface {
	// simple takes a rule that a form says whole; it is false for what is no name.
	simple(name []byte, f form) (bool, error)
	// full takes any other.
	full(p *parsed) error
}

// A reader takes one list apart.
type reader struct {
	sink
	st   Stats
	zone *zoneReader // once the list turns out to be a response policy zone
	line int
}

var errWords = errors.New("it is no rule of a form that the cell knows")

// read takes in a whole list. Lines that are not understood are counted and left
// out. The error is about reading, or of the sink's simple.
func read(in io.Reader, s sink) (Stats, error) {
	r := reader{sink: s}
	buf := bufio.NewReaderSize(in, maxLine)
	for {
		line, err := buf.ReadSlice('\n')
		r.line++
		if errors.Is(err, bufio.ErrBufferFull) {
			for errors.Is(err, bufio.ErrBufferFull) {
				_, err = buf.ReadSlice('\n')
			}
			r.skip(nil, errors.New("the line is longer than 4096 octets"))
			line = nil
		}
		if err != nil && err != io.EOF {
			return r.st, fmt.Errorf("reading a list: %w", err)
		}
		if e := r.take(line); e != nil {
			return r.st, e
		}
		if err == io.EOF {
			return r.st, nil
		}
	}
}

// full is that of the sink.
func (r *reader) full(p *parsed) error {
	err := r.sink.full(p)
	if err == nil && !p.bad && p.leads() {
		r.st.Leading++
	}
	return err
}

func (r *reader) skip(line []byte, why error) {
	r.st.Skipped++
	if len(r.st.Samples) < maxSamples {
		text := strings.ToValidUTF8(clip(string(line), 80), "?")
		r.st.Samples = append(r.st.Samples, fmt.Sprintf("line %d: %s: %v", r.line, text, why))
	}
}

// take takes one line in.
func (r *reader) take(raw []byte) error {
	line := bytes.TrimSpace(bytes.TrimPrefix(raw, []byte("\ufeff")))
	if len(line) == 0 {
		return nil
	}
	switch {
	case r.zone != nil:
		return r.zone.take(r, raw)
	case line[0] == '|': // as most lines of most lists
		return r.adblock(line)
	case startsZone(line):
		r.zone = &zoneReader{}
		return r.zone.take(r, raw)
	}
	switch line[0] {
	case '!', '[', ';':
		return nil
	case '#':
		if len(line) > 2 && line[1] == '#' && line[2] != '#' && line[2] != ' ' {
			r.st.Foreign++ // ##.banner
		}
		return nil
	case '@', '/':
		return r.adblock(line)
	}
	if bytes.ContainsAny(line, " \t") {
		return r.fields(line)
	}
	if line[0] == '.' || bytes.ContainsAny(line, "$^*|#/") {
		return r.adblock(line)
	}
	return r.name(line, formName)
}

// foreign reports whether a line is about the elements of pages.
func foreign(line []byte) bool {
	for _, s := range [...]string{"##", "#@#", "#?#", "#$#", "#%#", "#@?#", "#@$#", "#$?#", "#@%#", "$$", "$@$"} {
		if bytes.Contains(line, []byte(s)) {
			return true
		}
	}
	return false
}

// name takes a line that is a name. Words without a dot are none: they come of
// pages that are no lists.
func (r *reader) name(name []byte, f form) error {
	if bytes.IndexByte(name, '.') <= 0 {
		r.skip(name, errWords)
		return nil
	}
	ok, err := r.simple(name, f)
	if err != nil {
		return err
	}
	if !ok {
		if wire, good := wireOf(string(name)); good {
			ok, err = r.simple([]byte(textOf(wire)), f)
		}
	}
	switch {
	case err != nil:
		return err
	case ok:
		r.st.Rules++
	default:
		r.skip(name, errName)
	}
	return nil
}

// adblock takes a rule of adblock syntax.
func (r *reader) adblock(line []byte) error {
	// By far the most are ||name^, so that no memory is spent on them.
	rest, exception := bytes.CutPrefix(line, []byte("@@"))
	f := formBlock
	if exception {
		f = formAllow
	}
	if name, ok := bytes.CutPrefix(rest, []byte("||")); ok {
		if name, ok := bytes.CutSuffix(name, []byte("^")); ok {
			done, err := r.simple(name, f)
			if done || err != nil {
				r.st.Rules++
				return err
			}
		}
	}
	if name, ok := bytes.CutPrefix(bytes.TrimPrefix(line, []byte("*")), []byte(".")); ok && !bytes.ContainsAny(name, "*^$|/#@") {
		return r.name(name, formStar) // some lists write it without the asterisk
	}
	if foreign(line) && !isPattern(string(line)) {
		r.st.Foreign++
		return nil
	}
	p, err := parseAdblock(string(line))
	if err == nil && p.form != 0 && !p.bad {
		_, err := r.simple([]byte(textOf(p.name)), p.form)
		r.st.Rules++
		return err
	}
	if err == nil {
		err = r.full(&p)
	}
	switch {
	case errors.Is(err, errBrowser):
		r.st.Foreign++
	case err != nil:
		r.skip(line, err)
	default:
		r.st.Rules++
	}
	return nil
}

// fields takes a line of several words: of a hosts file, else of a zone.
func (r *reader) fields(line []byte) error {
	text := line
	for _, comment := range []string{" #", "\t#"} {
		if i := bytes.Index(text, []byte(comment)); i >= 0 {
			text = text[:i]
		}
	}
	var f [16][]byte
	fields := f[:0]
	for part := range bytes.FieldsSeq(text) {
		fields = append(fields, part)
	}
	a, err := hostsAddr(fields[0])
	switch {
	case err == nil:
	case foreign(text):
		r.st.Foreign++
		return nil
	case len(fields) == 1:
		return r.take(bytes.TrimSpace(text))
	default:
		z := zoneReader{}
		return z.record(r, line, fields)
	}
	for _, name := range fields[1:] {
		if name, _, _ = bytes.Cut(name, []byte("#")); len(name) == 0 {
			break
		}
		if err := r.host(line, a, name); err != nil {
			return err
		}
	}
	return nil
}

func hostsAddr(b []byte) (netip.Addr, error) {
	if c := b[0]; c != ':' && (c < '0' || c > '9') && (c < 'a' || c > 'f') && (c < 'A' || c > 'F') {
		return netip.Addr{}, errName
	}
	switch string(b) {
	case "0.0.0.0":
		return netip.IPv4Unspecified(), nil
	case "127.0.0.1":
		return netip.AddrFrom4([4]byte{127, 0, 0, 1}), nil
	}
	a, err := netip.ParseAddr(string(b))
	return a.WithZone("").Unmap(), err
}

// host takes one name of a line of a hosts file. An address that leads nowhere
// blocks it; any other is where it leads.
func (r *reader) host(line []byte, a netip.Addr, name []byte) error {
	if bytes.IndexByte(name, '.') < 0 || string(name) == "localhost.localdomain" {
		return nil // localhost and its like, which every hosts file has
	}
	if _, err := netip.ParseAddr(string(name)); err == nil {
		return nil // "0.0.0.0 0.0.0.0", which many have too
	}
	if a.IsUnspecified() || a.IsLoopback() {
		return r.name(name, formHosts)
	}
	wire, ok := wireOf(string(name))
	if !ok {
		r.skip(line, errName)
		return nil
	}
	p := parsed{rule: rule{
		text: a.String() + " " + string(name), strength: rewrites, name: wire, self: true,
		to: rewrite{addrs: []netip.Addr{a}},
	}}
	if err := r.full(&p); err != nil {
		r.skip(line, err)
		return nil
	}
	r.st.Rules++
	return nil
}
