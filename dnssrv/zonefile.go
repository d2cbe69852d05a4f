package dnssrv

import (
	"errors"
	"fmt"
	"io"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/miekg/dns"

	"pic/core/config"
)

const (
	// maxZoneFile bounds a zone file, in bytes.
	maxZoneFile = 4 << 20
	// maxImported bounds its records; it is what a zone of the document can have.
	maxImported = 10000
	// maxGenerate bounds a $GENERATE line, whose length counts as many times as it
	// is repeated, in bytes.
	maxGenerate = 512
	// maxImport bounds the time that a zone file may take.
	maxImport = 10 * time.Second
)

// ours are the types that a server makes itself: of zones that it signs.
var ours = []uint16{
	dns.TypeRRSIG, dns.TypeNSEC, dns.TypeDNSKEY, dns.TypeNSEC3, dns.TypeNSEC3PARAM, dns.TypeCDS, dns.TypeCDNSKEY,
	dns.TypeSIG, dns.TypeKEY, dns.TypeNXT,
}

// Export writes a zone as a master file (RFC 1035 §5), in the order of its
// names. It has what the LAN gets but for leases, which come and go, and
// signatures.
func (s *Server) Export(zone string) (string, error) {
	n, err := parseName(zone)
	m := s.outside()
	z := m.zones[n]
	if err != nil || z == nil {
		return "", fmt.Errorf("there is no zone %q here", zone)
	}
	if z.absent {
		return "", fmt.Errorf("%s is not here yet, or not any more: its primaries do not tell it; see pic dns zone ls", undot(z.apex.String()))
	}
	m.do, m.snap = false, nil
	var b strings.Builder
	fmt.Fprintf(&b, "$ORIGIN %s\n$TTL %d\n", z.apex, defaultTTL)
	for _, rr := range z.dump(m) {
		h := rr.Header()
		if slices.Contains(ours, h.Rrtype) {
			continue
		}
		owner, err := parseName(h.Name)
		if err != nil {
			continue // cannot be: it is in a zone
		}
		fmt.Fprintf(&b, "%s\t%d\tIN\t%s\t%s\n", relative(owner, z.apex), h.Ttl, typeName(h.Rrtype), content(rr))
	}
	return b.String(), nil
}

// relative writes n, which is within zone, as the document does.
func relative(n, zone name) string {
	if n == zone {
		return "@"
	}
	return undot((n[:len(n)-len(zone)] + root).String())
}

// content writes the data of a record in presentation format.
func content(rr dns.RR) string {
	if plain, ok := rr.(*dns.RFC3597); ok { // whose header the library writes in another way
		return fmt.Sprintf(`\# %d %s`, len(plain.Rdata)/2, plain.Rdata)
	}
	return strings.TrimPrefix(rr.String(), rr.Header().String())
}

// Import reads a master file and returns its records as the document has them,
// to be put into a zone of that name. Notes say what was left out, or changed,
// and why. The error names the line, and is for the user.
func (s *Server) Import(text, zone string) (records []config.Record, notes []string, err error) {
	apex, err := parseName(zone)
	if err != nil || apex == root || strings.ContainsFunc(zone, odd) {
		return nil, nil, fmt.Errorf("%q is not the name of a zone", zone)
	}
	if len(text) > maxZoneFile {
		return nil, nil, fmt.Errorf("the zone file is larger than %d bytes", maxZoneFile)
	}
	if err := checkGenerate(text); err != nil {
		return nil, nil, err
	}
	in := newImporter(apex)
	if err := in.read(text); err != nil {
		return nil, nil, err
	}
	return in.records, in.notes(), nil
}

// An importer reads one master file.
type importer struct {
	apex    name
	check   builder // compiles what is read, so that it can be saved
	zone    *zone
	seen    map[string]bool
	records []config.Record
	left    []left
}

// A left is something that was left out or changed, and how often.
type left struct {
	what  string
	count int
	line  int // the first
}

func newImporter(apex name) *importer {
	in := &importer{apex: apex, seen: map[string]bool{}}
	in.check.table = &table{zones: map[name]*zone{}}
	in.check.domain = apex
	in.zone = in.check.add(apex)
	return in
}

func (in *importer) read(text string) error {
	lines := &lineReader{rest: text}
	zp := dns.NewZoneParser(lines, in.apex.String(), "")
	zp.SetDefaultTTL(defaultTTL)
	start := time.Now()
	for n := 0; ; n++ {
		rr, ok := zp.Next()
		if !ok {
			return spoken(zp.Err())
		}
		// What is generated counts too, and what is left out.
		if n == maxImported {
			return fmt.Errorf("line %d: the zone file has more than %d records", lines.line, maxImported)
		}
		if time.Since(start) > maxImport {
			return fmt.Errorf("line %d: the zone file takes too long to read", lines.line)
		}
		if err := in.take(rr, lines.line); err != nil {
			return err
		}
	}
}

// take keeps one record, or leaves it out.
func (in *importer) take(rr dns.RR, line int) error {
	h := rr.Header()
	n, err := parseName(h.Name)
	if err != nil {
		return fmt.Errorf("line %d: %s is not a domain name", line, h.Name)
	}
	switch {
	case !n.below(in.apex):
		in.leave(line, "outside of "+undot(in.apex.String())+" and left out")
		return nil
	case h.Class != dns.ClassINET:
		in.leave(line, "not of class IN and left out")
		return nil
	case h.Rrtype == dns.TypeSOA:
		in.leave(line, "SOA and left out: the cell makes its own")
		return nil
	case h.Rrtype == dns.TypeNS && n == in.apex:
		in.leave(line, "NS of the zone itself and left out: the cell is its name server now")
		return nil
	case slices.Contains(ours, h.Rrtype):
		in.leave(line, "of DNSSEC and left out: the cell signs by itself")
		return nil
	}
	r := config.Record{Name: relative(n, in.apex), Type: typeName(h.Rrtype), TTL: h.Ttl, Value: content(rr)}
	if kinds[r.Type] == 0 {
		var plain dns.RFC3597
		if err := plain.ToRFC3597(rr); err != nil {
			return fmt.Errorf("line %d: %s records cannot be kept", line, r.Type)
		}
		r.Type, r.Value = "TYPE"+strconv.Itoa(int(h.Rrtype)), content(&plain)
	}
	switch {
	case r.TTL > maxTTL:
		r.TTL = maxTTL
		in.leave(line, "to be remembered for longer than a week, and now for a week")
	case r.TTL == 0:
		r.TTL = 1
		in.leave(line, "not to be remembered, and now for one second")
	case r.TTL == defaultTTL:
		r.TTL = 0 // that of the document
	}
	key := strings.ToLower(r.Name) + " " + r.Type + " " + r.Value
	if in.seen[key] {
		in.leave(line, "there twice")
		return nil
	}
	in.check.record(in.zone, r, "")
	if len(in.check.errs) > 0 {
		problem := in.check.errs[0].Error()
		if f := config.FieldErrors(in.check.errs[0]); len(f) > 0 {
			problem = f[0].Problem
		}
		return fmt.Errorf("line %d: %s", line, problem)
	}
	in.seen[key] = true
	in.records = append(in.records, r)
	return nil
}

func (in *importer) leave(line int, what string) {
	for i := range in.left {
		if in.left[i].what == what {
			in.left[i].count++
			return
		}
	}
	in.left = append(in.left, left{what, 1, line})
}

func (in *importer) notes() []string {
	var out []string
	for _, l := range in.left {
		verb := "record is"
		if l.count > 1 {
			verb = "records are"
		}
		out = append(out, fmt.Sprintf("%d %s %s (first in line %d)", l.count, verb, l.what, l.line))
	}
	return out
}

// A lineReader gives the parser one byte after the other, so that it is known
// which line a record ends in.
type lineReader struct {
	rest string
	line int // of the last byte, from 1 on
	next bool
}

func (l *lineReader) ReadByte() (byte, error) {
	if l.rest == "" {
		return 0, io.EOF
	}
	if l.next || l.line == 0 {
		l.line++
	}
	c := l.rest[0]
	l.rest, l.next = l.rest[1:], c == '\n'
	return c, nil
}

// Read makes it a Reader; the parser uses ReadByte.
func (l *lineReader) Read(b []byte) (int, error) {
	for i := range b {
		c, err := l.ReadByte()
		if err != nil {
			return i, err
		}
		b[i] = c
	}
	return len(b), nil
}

var (
	generateLine = regexp.MustCompile(`(?im)^\$GENERATE[ \t]`)
	parseProblem = regexp.MustCompile(`(?s)^dns: (.*): ("(?:.*)") at line: (\d+):\d+$`)
)

// checkGenerate refuses lines that would take long to repeat.
func checkGenerate(text string) error {
	for _, at := range generateLine.FindAllStringIndex(text, -1) {
		line, _, _ := strings.Cut(text[at[0]:], "\n")
		if len(line) > maxGenerate {
			return fmt.Errorf("line %d: a $GENERATE line may have %d characters at most", 1+strings.Count(text[:at[0]], "\n"), maxGenerate)
		}
	}
	return nil
}

// spoken puts the parser's error into words for the user.
func spoken(err error) error {
	if err == nil {
		return nil
	}
	f := parseProblem.FindStringSubmatch(err.Error())
	if f == nil {
		return errors.New("not a zone file: " + strings.TrimPrefix(err.Error(), "dns: "))
	}
	problem, near, line := f[1], f[2], f[3]
	if strings.Contains(problem, "$INCLUDE") {
		return fmt.Errorf("line %s: $INCLUDE is not possible here; put the content of that file in its place", line)
	}
	if len(near) > 64 {
		near = near[:60] + `…"`
	}
	return fmt.Errorf("line %s, near %s: %s", line, near, problem)
}
