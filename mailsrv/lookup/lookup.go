// Package lookup asks DNS what mail needs to know: which hosts take mail for a
// domain, what a domain has published about its mail, and whose name an address
// has.
//
// The questions go to a [Resolver], which the cell's own DNS is. An answer says
// whether it is secure, that is whether DNSSEC proves it, since DANE (RFC 7672)
// counts on that. "There is nothing" and "nobody could say" are kept apart, for
// mail must not be refused for good because a server was down.
//
// It keeps nothing; the resolver has a cache.
package lookup

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"strings"

	"github.com/miekg/dns"

	"pic/internal/order"
)

// ErrTemporary says that nobody could say now.
var ErrTemporary = errors.New("the DNS gives no answer now")

// An Answer is what DNS says to a question.
type Answer struct {
	Records []dns.RR // of the type asked for, aliases followed
	Exists  bool     // there is such a name, though maybe without such records
	Secure  bool     // DNSSEC proves it (RFC 4035 §4.3)
}

// A Resolver answers questions, from any goroutine. An error means that nobody
// could say; it wraps [ErrTemporary].
type Resolver interface {
	Lookup(ctx context.Context, name string, qtype uint16) (Answer, error)
}

// TXT returns the texts of a name, each with its strings joined.
func TXT(ctx context.Context, r Resolver, name string) (texts []string, exists bool, err error) {
	a, err := ask(ctx, r, name, dns.TypeTXT)
	if err != nil {
		return nil, false, err
	}
	for _, rr := range a.Records {
		if t, ok := rr.(*dns.TXT); ok {
			texts = append(texts, unescape(strings.Join(t.Txt, "")))
		}
	}
	return texts, a.Exists, nil
}

// Addresses returns the addresses of a host; secure if all of them are.
func Addresses(ctx context.Context, r Resolver, host string) (addrs []netip.Addr, secure bool, err error) {
	secure = true
	for _, qtype := range []uint16{dns.TypeA, dns.TypeAAAA} {
		a, err := ask(ctx, r, host, qtype)
		if err != nil {
			return nil, false, err
		}
		secure = secure && a.Secure
		for _, rr := range a.Records {
			var ip net.IP
			switch rr := rr.(type) {
			case *dns.A:
				ip = rr.A
			case *dns.AAAA:
				ip = rr.AAAA
			}
			if addr, ok := netip.AddrFromSlice(ip); ok {
				addrs = append(addrs, addr.Unmap())
			}
		}
	}
	return addrs, secure, nil
}

// An MX is a host that takes mail for a domain.
type MX struct {
	Preference uint16 // the lower the better
	Host       string // without the final dot; "" says that the domain takes no mail (RFC 7505)
}

// MXs returns the hosts that take mail for a domain, best first. None does not
// mean that the domain takes no mail: its own address may (RFC 5321 §5.1).
func MXs(ctx context.Context, r Resolver, domain string) (hosts []MX, exists, secure bool, err error) {
	a, err := ask(ctx, r, domain, dns.TypeMX)
	if err != nil {
		return nil, false, false, err
	}
	for _, rr := range a.Records {
		if m, ok := rr.(*dns.MX); ok {
			hosts = append(hosts, MX{m.Preference, strings.ToLower(strings.TrimSuffix(m.Mx, "."))})
		}
	}
	order.Stable(hosts, func(a, b MX) int { return int(a.Preference) - int(b.Preference) })
	return hosts, a.Exists, a.Secure, nil
}

// Names returns the names that an address has by its PTR records, without final
// dots.
func Names(ctx context.Context, r Resolver, addr netip.Addr) ([]string, error) {
	name, err := dns.ReverseAddr(addr.Unmap().WithZone("").String())
	if err != nil {
		return nil, fmt.Errorf("the name of %s: %w", addr, err)
	}
	a, err := ask(ctx, r, name, dns.TypePTR)
	if err != nil {
		return nil, err
	}
	var out []string
	for _, rr := range a.Records {
		if p, ok := rr.(*dns.PTR); ok {
			out = append(out, strings.TrimSuffix(p.Ptr, "."))
		}
	}
	return out, nil
}

// ask sends only what can be a name. What cannot does not exist.
func ask(ctx context.Context, r Resolver, name string, qtype uint16) (Answer, error) {
	if _, ok := dns.IsDomainName(name); !ok || strings.ContainsAny(name, " \t\r\n\\") || name == "" {
		return Answer{}, nil
	}
	a, err := r.Lookup(ctx, dns.Fqdn(name), qtype)
	if err != nil && !errors.Is(err, ErrTemporary) {
		err = fmt.Errorf("%w: %w", ErrTemporary, err)
	}
	return a, err
}

// unescape takes back what the library does to bytes of a text: \" \\ and \DDD.
func unescape(s string) string {
	if !strings.Contains(s, `\`) {
		return s
	}
	b := make([]byte, 0, len(s))
	for i := 0; i < len(s); i++ {
		c := s[i]
		if c == '\\' && i+1 < len(s) {
			i++
			c = s[i]
			if i+2 < len(s) && digit(s[i]) && digit(s[i+1]) && digit(s[i+2]) {
				c = (s[i]-'0')*100 + (s[i+1]-'0')*10 + s[i+2] - '0'
				i += 2
			}
		}
		b = append(b, c)
	}
	return string(b)
}

func digit(c byte) bool { return '0' <= c && c <= '9' }
