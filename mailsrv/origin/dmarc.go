package origin

import (
	"context"
	"errors"
	"strconv"
	"strings"

	"golang.org/x/net/idna"
	"golang.org/x/net/publicsuffix"

	"pic/mailsrv/lookup"
	"pic/mailsrv/message"
)

// A Disposition is what a domain wants to be done with a message that only
// claims to be from it.
type Disposition string

const (
	Deliver    Disposition = "none"
	Quarantine Disposition = "quarantine"
	Reject     Disposition = "reject"
)

// DMARC is whether the domain in From stands behind a message (RFC 7489).
type DMARC struct {
	Verdict     Verdict
	Why         string // for people, if it is not Pass
	Domain      string // in From, in lower case, as ASCII
	Record      Record // of Domain or the organization's domain
	Wish        Disposition
	AlignedSPF  bool
	AlignedDKIM bool
}

// A Record is what a domain has published about DMARC (RFC 7489 §6.3).
type Record struct {
	Domain     string      // that has it, "" if there is none
	Policy     Disposition // p
	Sub        Disposition // sp: of domains below
	None       Disposition // np: of domains below that do not exist (RFC 9091)
	StrictDKIM bool        // adkim=s
	StrictSPF  bool        // aspf=s
	Percent    int         // pct: to how many messages that applies
	Reports    []string    // rua, URIs
	Interval   int         // ri, seconds
}

var errNoRecord = errors.New("no record of DMARC")

// ParseRecord reads a record of DMARC. A text that is none is an error.
func ParseRecord(s string) (Record, error) {
	// The version comes first and is exact; what it does not know, it ignores.
	v, _, _ := strings.Cut(s, ";")
	name, value, _ := strings.Cut(v, "=")
	if strings.Trim(name, " \t") != "v" || strings.Trim(value, " \t") != "DMARC1" {
		return Record{}, errNoRecord
	}
	r := Record{Percent: 100, Interval: 86400}
	t := map[string]string{}
	for part := range strings.SplitSeq(s, ";") {
		name, value, ok := strings.Cut(part, "=")
		name = strings.ToLower(strings.Trim(name, " \t\r\n"))
		if _, twice := t[name]; ok && !twice {
			t[name] = strings.Trim(value, " \t\r\n")
		}
	}
	for u := range strings.SplitSeq(t["rua"], ",") {
		if u = strings.TrimSpace(u); u != "" && len(r.Reports) < 10 {
			r.Reports = append(r.Reports, u)
		}
	}
	var ok bool
	if r.Policy, ok = disposition(t["p"], Deliver); !ok {
		if len(r.Reports) == 0 {
			return Record{}, errNoRecord
		}
		r.Policy = Deliver // RFC 7489 §6.6.3, 6
	}
	r.Sub, _ = disposition(t["sp"], r.Policy)
	r.None, _ = disposition(t["np"], r.Sub)
	r.StrictDKIM, r.StrictSPF = strings.EqualFold(t["adkim"], "s"), strings.EqualFold(t["aspf"], "s")
	if n, err := strconv.Atoi(t["pct"]); err == nil && 0 <= n && n <= 100 {
		r.Percent = n
	}
	if strings.EqualFold(t["t"], "y") { // the name that the successor of pct has
		r.Percent = 0
	}
	if n, err := strconv.Atoi(t["ri"]); err == nil && n > 0 {
		r.Interval = n
	}
	return r, nil
}

// disposition reads one; ok says whether s is one.
func disposition(s string, otherwise Disposition) (d Disposition, ok bool) {
	switch d := Disposition(strings.ToLower(s)); d {
	case Deliver, Quarantine, Reject:
		return d, true
	}
	return otherwise, false
}

// Organization is the domain below a public suffix that a domain belongs to.
func Organization(domain string) string {
	if org, err := publicsuffix.EffectiveTLDPlusOne(domain); err == nil {
		return org
	}
	return domain
}

func aligned(a, b string, strict bool) bool {
	return a != "" && (a == b || !strict && Organization(a) == Organization(b))
}

// dmarc decides, given the rest of the result.
func (k *Check) dmarc(ctx context.Context, r *Result) DMARC {
	d := DMARC{Wish: Deliver}
	domain, err := k.author()
	if err != nil {
		d.Verdict, d.Why = judged(err)
		return d
	}
	d.Domain = domain
	rec, exists, err := FindRecord(ctx, k.Resolver, domain)
	switch {
	case errors.Is(err, errNoRecord):
		d.Verdict, d.Why = None, domain+" has published no wishes"
		return d
	case err != nil:
		d.Verdict, d.Why = TempError, "the record cannot be looked up now"
		return d
	}
	d.Record = rec
	unsure := r.SPF.Verdict == TempError && aligned(r.SPF.Domain, domain, rec.StrictSPF)
	d.AlignedSPF = r.SPF.Verdict == Pass && aligned(r.SPF.Domain, domain, rec.StrictSPF)
	for _, s := range r.Signatures {
		if s.Testing || !aligned(s.Domain, domain, rec.StrictDKIM) {
			continue
		}
		d.AlignedDKIM = d.AlignedDKIM || s.Verdict == Pass
		unsure = unsure || s.Verdict == TempError
	}
	switch {
	case d.AlignedSPF || d.AlignedDKIM:
		d.Verdict = Pass
	case unsure:
		d.Verdict, d.Why = TempError, "not all can be looked up now"
	default:
		d.Verdict, d.Why = Fail, "neither SPF nor a signature stands for "+domain
		switch d.Wish = rec.Policy; {
		case rec.Domain != domain && !exists:
			d.Wish = rec.None
		case rec.Domain != domain:
			d.Wish = rec.Sub
		}
	}
	return d
}

// author is the domain in From. A message has one (RFC 7489 §6.6.1).
func (k *Check) author() (string, error) {
	from := k.header.all("from")
	if len(from) != 1 {
		return "", permanent("the message has %d fields From", len(from))
	}
	domain := ""
	for _, a := range message.Addresses(string(from[0].value())) {
		d, err := idna.Lookup.ToASCII(domainOf(a.String()))
		if err != nil || !hostName(d) {
			return "", permanent("the domain in From is none")
		}
		if domain != "" && d != domain {
			return "", permanent("From has authors of several domains")
		}
		domain = d
	}
	if domain == "" {
		return "", permanent("From has no address")
	}
	return domain, nil
}

// FindRecord returns the record that is for a domain, its own or that of its
// organization, and whether the domain exists. Without a record the error says
// so; other errors wrap [lookup.ErrTemporary].
func FindRecord(ctx context.Context, r lookup.Resolver, domain string) (rec Record, exists bool, err error) {
	rec, err = recordAt(ctx, r, domain)
	if !errors.Is(err, errNoRecord) {
		return rec, true, err
	}
	org := Organization(domain)
	if org == domain {
		return Record{}, false, errNoRecord
	}
	if rec, err = recordAt(ctx, r, org); err != nil {
		return Record{}, false, err
	}
	if rec.None == rec.Sub {
		return rec, true, nil // it makes no difference
	}
	if _, exists, err = lookup.TXT(ctx, r, domain); err != nil {
		return Record{}, false, err
	}
	return rec, exists, nil
}

func recordAt(ctx context.Context, r lookup.Resolver, domain string) (Record, error) {
	texts, _, err := lookup.TXT(ctx, r, "_dmarc."+domain)
	if err != nil {
		return Record{}, err
	}
	var found []Record
	for _, t := range texts {
		if rec, err := ParseRecord(t); err == nil {
			rec.Domain = domain
			found = append(found, rec)
		}
	}
	if len(found) != 1 {
		return Record{}, errNoRecord // several count as none
	}
	return found[0], nil
}
