package mailsrv

import (
	"net/netip"
	"slices"
	"strings"
	"time"

	"github.com/emersion/go-smtp"

	"pic/core/config"
	"pic/internal/listen"
	"pic/mailsrv/origin"
)

// A policy is a Config made ready for questions. It does not change.
type policy struct {
	conf    Config
	since   time.Time
	spoken  map[listen.Socket]protocol
	domains map[string]bool
	users   map[string]bool         // true: enabled
	aliases map[string][]string     // to enabled users
	keys    map[string][]origin.Key // that sign, by domain
}

func newPolicy(c Config) *policy {
	p := &policy{conf: c, since: time.Now(), domains: map[string]bool{}, users: map[string]bool{}, aliases: map[string][]string{}}
	_, p.spoken, _ = c.sockets() // Check has looked at the error
	for _, d := range c.Domains {
		p.domains[strings.ToLower(d)] = true
	}
	for _, u := range c.Disabled {
		p.users[u] = false
	}
	for _, u := range c.Users {
		p.users[u] = true
	}
	for _, a := range c.Aliases {
		var to []string
		for _, u := range a.To {
			if p.users[u] && !slices.Contains(to, u) {
				to = append(to, u)
			}
		}
		p.aliases[strings.ToLower(a.Name)] = to
	}
	return p
}

func refusal(code int, enhanced smtp.EnhancedCode, text string) *smtp.SMTPError {
	return &smtp.SMTPError{Code: code, EnhancedCode: enhanced, Message: text}
}

var (
	errRelay    = refusal(550, smtp.EnhancedCode{5, 7, 1}, "Relaying denied: that domain is not ours")
	errNowhere  = refusal(550, smtp.EnhancedCode{5, 1, 3}, "That is not an address that mail can be sent to")
	errUnknown  = refusal(550, smtp.EnhancedCode{5, 1, 1}, "Nobody here has that address")
	errResting  = refusal(550, smtp.EnhancedCode{5, 2, 1}, "That mailbox is switched off")
	errOutsider = refusal(550, smtp.EnhancedCode{5, 7, 1}, "This service is for people of the house")
)

// insider reports whether an address may use what is not for the public.
func (p *policy) insider(a netip.Addr) bool {
	a = a.Unmap().WithZone("")
	return slices.ContainsFunc(p.conf.Insiders, func(n netip.Prefix) bool { return n.Contains(a) })
}

// split cuts an address at its last @ and makes it comparable.
func split(addr string) (local, domain string, ok bool) {
	i := strings.LastIndexByte(addr, '@')
	if i < 1 || len(addr) > 320 {
		return "", "", false
	}
	return strings.ToLower(addr[:i]), strings.TrimSuffix(strings.ToLower(addr[i+1:]), "."), true
}

// elsewhere reports whether addr is of somebody who is not of the house.
func (p *policy) elsewhere(addr string) bool {
	_, domain, ok := split(addr)
	return ok && !p.domains[domain] && domain != strings.ToLower(p.conf.Host)
}

// recipients returns the users whom mail to addr is for, given who sends it, ""
// for anybody. Nobody and no error means that it goes elsewhere.
func (p *policy) recipients(sender, addr string) ([]string, error) {
	local, domain, ok := split(addr)
	ours := p.domains[domain] || domain == strings.ToLower(p.conf.Host) && standardName(local)
	switch {
	case !ok:
		return nil, errUnknown
	case sender != "" && p.elsewhere(addr):
		if !sendable(addr, domain) {
			return nil, errNowhere
		}
		return nil, nil
	case !ours:
		return nil, errRelay
	}
	to, known := p.lookup(local)
	if !known {
		if base, _, plus := strings.Cut(local, "+"); plus {
			to, known = p.lookup(base)
		}
	}
	switch {
	case known && len(to) > 0:
		return to, nil
	case standardName(local) && p.conf.Postmaster != "":
		return []string{p.conf.Postmaster}, nil // RFC 2142, RFC 5321 §4.5.1
	case known:
		return nil, errResting
	}
	return nil, errUnknown
}

// sendable reports whether mail to an address elsewhere can be sent: no relaying
// by signs in its local part, which others may read as a way (RFC 5321 appendix
// C), and a domain with a dot.
func sendable(addr, domain string) bool {
	local := addr[:strings.LastIndexByte(addr, '@')]
	if strings.ContainsAny(local, "%!@:\"\\ ") || len(local) > 64 || strings.ContainsFunc(addr, func(r rune) bool { return r <= ' ' || r > '~' }) {
		return false
	}
	return config.Hostname(domain) && strings.Contains(domain, ".")
}

func standardName(local string) bool {
	return local == "postmaster" || local == "abuse" || local == "hostmaster"
}

// lookup returns the enabled users behind a local part, and whether it is known.
func (p *policy) lookup(local string) (to []string, known bool) {
	if to, ok := p.aliases[local]; ok {
		return to, true
	}
	enabled, ok := p.users[local]
	if enabled {
		to = []string{local}
	}
	return to, ok
}

// own reports whether addr is an address of the user: their name, with or
// without an addition, or an alias or standard name that leads to them.
func (p *policy) own(user, addr string) bool {
	local, domain, ok := split(addr)
	if !ok || !p.domains[domain] {
		return false
	}
	base, _, _ := strings.Cut(local, "+")
	return base == user || user == p.conf.Postmaster && standardName(base) || slices.Contains(p.aliases[local], user) || slices.Contains(p.aliases[base], user)
}

// sender reports why a user, or "" for anybody, may not send from addr.
func (p *policy) sender(user, addr string) error {
	if user == "" || addr == "" || p.own(user, addr) {
		return nil
	}
	return refusal(553, smtp.EnhancedCode{5, 7, 1}, "That is not an address of yours; one is "+p.address(user))
}

// address is the main address of a user.
func (p *policy) address(user string) string {
	if len(p.conf.Domains) == 0 {
		return user
	}
	return user + "@" + p.conf.Domains[0]
}
