package mailsrv

import (
	"context"
	"net/netip"
	"slices"
	"strings"

	"pic/mailsrv/lookup"
	"pic/mailsrv/origin"
)

// A Record is one that a mail domain should publish, and what DNS says of it.
type Record struct {
	Kind  string // MX, SPF, DKIM, DMARC
	Name  string
	Type  string // of record
	Want  string // what to publish
	Found []string
	// Good says that what is found does what it should. Unsure says that DNS gave
	// no answer.
	Good, Unsure bool
	Why          string // what goes wrong without it
}

// A DomainReport is how a domain of the cell stands with others.
type DomainReport struct {
	Domain  string
	Local   bool // such as home.arpa: nobody outside can send to it
	Records []Record
}

// Domains examines what DNS says of the cell's mail domains.
func (s *Server) Domains(ctx context.Context) []DomainReport {
	p := s.policy.Load()
	dns := s.dns
	if dns == nil {
		dns = noDNS{}
	}
	var out []DomainReport
	for _, d := range p.conf.Domains {
		out = append(out, p.examineDomain(ctx, dns, d))
	}
	return out
}

var localDomains = []string{"home.arpa", "local", "internal", "test", "lan", "localhost", "invalid", "example"}

func local(domain string) bool {
	return slices.ContainsFunc(localDomains, func(l string) bool { return domain == l || strings.HasSuffix(domain, "."+l) })
}

func (p *policy) examineDomain(ctx context.Context, r lookup.Resolver, domain string) DomainReport {
	out := DomainReport{Domain: domain, Local: local(domain)}
	out.Records = append(out.Records, p.checkMX(ctx, r, domain))
	if !out.Local {
		out.Records = append(out.Records, p.checkSPF(ctx, r, domain))
	}
	for _, k := range p.conf.DKIM {
		if k.Domain == domain {
			out.Records = append(out.Records, checkText(ctx, r, Record{
				Kind: "DKIM", Name: k.Selector + "._domainkey." + domain, Type: "TXT", Want: k.Record,
				Why: "others cannot check the signature of your mail, and may take it for junk",
			}, func(text string) bool { return pressed(text) == pressed(k.Record) }))
		}
	}
	if out.Local {
		return out // linked cells know who it is by the tunnel
	}
	out.Records = append(out.Records, checkText(ctx, r, Record{
		Kind: "DMARC", Name: "_dmarc." + domain, Type: "TXT", Want: "v=DMARC1; p=quarantine",
		Why: "others cannot tell forgeries from your mail",
	}, func(text string) bool {
		_, err := origin.ParseRecord(text)
		return err == nil
	}))
	return out
}

func pressed(s string) string { return strings.Join(strings.Fields(s), "") }

func (p *policy) checkMX(ctx context.Context, r lookup.Resolver, domain string) Record {
	rec := Record{Kind: "MX", Name: domain, Type: "MX", Want: "10 " + p.conf.Host, Why: "nobody outside finds where mail for you goes"}
	hosts, _, _, err := lookup.MXs(ctx, r, domain)
	if err != nil {
		rec.Unsure = true
		return rec
	}
	for _, h := range hosts {
		rec.Found = append(rec.Found, h.Host)
	}
	if rec.Good = slices.Contains(rec.Found, strings.ToLower(p.conf.Host)); rec.Good || len(hosts) == 0 {
		return rec
	}
	// Another name will do if it leads here, too.
	ours, _, err := lookup.Addresses(ctx, r, p.conf.Host)
	if err != nil {
		rec.Unsure = true
		return rec
	}
	theirs, _, err := lookup.Addresses(ctx, r, hosts[0].Host)
	rec.Unsure = err != nil
	rec.Good = slices.ContainsFunc(theirs, func(a netip.Addr) bool { return slices.Contains(ours, a) })
	return rec
}

// checkSPF wants the smarthost to be allowed, or else the domain's own hosts.
func (p *policy) checkSPF(ctx context.Context, r lookup.Resolver, domain string) Record {
	rec := Record{
		Kind: "SPF", Name: domain, Type: "TXT", Want: "v=spf1 mx ~all",
		Why: "others cannot tell that your mail comes from where it should",
	}
	if h := p.conf.Smarthost; h != nil {
		rec.Want = "v=spf1 include:" + origin.Organization(h.Host) + " mx ~all"
	}
	return checkText(ctx, r, rec, func(text string) bool {
		first, rest, _ := strings.Cut(text, " ")
		return strings.EqualFold(first, "v=spf1") && rest != ""
	})
}

// checkText looks for a text that does.
func checkText(ctx context.Context, r lookup.Resolver, rec Record, good func(string) bool) Record {
	texts, _, err := lookup.TXT(ctx, r, rec.Name)
	if err != nil {
		rec.Unsure = true
		return rec
	}
	mark, _, _ := strings.Cut(rec.Want, ";")
	mark, _, _ = strings.Cut(mark, " ")
	for _, t := range texts {
		if rec.Kind == "DKIM" || strings.HasPrefix(strings.ToLower(t), strings.ToLower(mark)) {
			rec.Found = append(rec.Found, t)
			rec.Good = rec.Good || good(t)
		}
	}
	if len(rec.Found) > 1 {
		rec.Good = false // several count as none
	}
	return rec
}
