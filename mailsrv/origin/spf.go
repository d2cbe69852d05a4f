package origin

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"strings"

	"blitiri.com.ar/go/spf"

	"pic/mailsrv/lookup"
)

// SPF is whether a host may use a domain in MAIL FROM.
type SPF struct {
	Verdict Verdict
	Why     string // for people, where it is not Pass
	Domain  string // that was asked, in lower case
	Helo    bool   // it was that of HELO, since MAIL FROM was empty
}

func checkSPF(ctx context.Context, r lookup.Resolver, s Sender) SPF {
	from := s.From
	out := SPF{Helo: from == ""}
	if out.Helo {
		from = "postmaster@" + s.Helo
	}
	out.Domain = domainOf(from)
	if !hostName(out.Domain) || !strings.Contains(out.Domain, ".") {
		out.Verdict, out.Why = None, "there is no domain to ask" // an address literal, for one (RFC 7208 §4.3)
		return out
	}
	addr := s.Addr.Unmap().WithZone("")
	result, err := spf.CheckHostWithSender(net.IP(addr.AsSlice()), s.Helo, from,
		spf.WithContext(ctx), spf.WithResolver(spfResolver{r}))
	out.Verdict = Verdict(result)
	switch {
	case out.Verdict == Pass:
	case err != nil && result != spf.Fail && result != spf.SoftFail && result != spf.Neutral:
		out.Why = err.Error()
	default:
		out.Why = addr.String() + " is not among those that " + out.Domain + " sends from"
	}
	return out
}

// domainOf is the domain of an address, in lower case.
func domainOf(addr string) string {
	return strings.ToLower(strings.TrimSuffix(addr[strings.LastIndexByte(addr, '@')+1:], "."))
}

// A spfResolver asks a lookup.Resolver in the words of the library.
type spfResolver struct{ r lookup.Resolver }

// dnsError tells the library the two things that it wants to know.
func dnsError(name string, err error) error {
	return &net.DNSError{Err: err.Error(), Name: name, IsNotFound: errors.Is(err, errNothing), IsTemporary: errors.Is(err, lookup.ErrTemporary)}
}

var errNothing = errors.New("nothing is there")

func (s spfResolver) LookupTXT(ctx context.Context, name string) ([]string, error) {
	texts, _, err := lookup.TXT(ctx, s.r, name)
	return told(name, texts, err)
}

func told[T any](name string, got []T, err error) ([]T, error) {
	if err == nil && len(got) == 0 {
		err = errNothing
	}
	if err != nil {
		return nil, dnsError(name, err)
	}
	return got, nil
}

func (s spfResolver) LookupMX(ctx context.Context, name string) ([]*net.MX, error) {
	hosts, _, _, err := lookup.MXs(ctx, s.r, name)
	var out []*net.MX
	for _, h := range hosts {
		out = append(out, &net.MX{Host: h.Host + ".", Pref: h.Preference})
	}
	return told(name, out, err)
}

func (s spfResolver) LookupIPAddr(ctx context.Context, host string) ([]net.IPAddr, error) {
	addrs, _, err := lookup.Addresses(ctx, s.r, host)
	var out []net.IPAddr
	for _, a := range addrs {
		out = append(out, net.IPAddr{IP: a.AsSlice()})
	}
	return told(host, out, err)
}

func (s spfResolver) LookupAddr(ctx context.Context, addr string) ([]string, error) {
	a, err := netip.ParseAddr(addr)
	if err != nil {
		return nil, dnsError(addr, err)
	}
	names, err := lookup.Names(ctx, s.r, a)
	return told(addr, names, err)
}
