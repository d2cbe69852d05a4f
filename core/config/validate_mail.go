package config

import (
	"net/netip"
	"strings"
)

func (d *Document) validateMail(p *problems) {
	if On(d.Mail.Enabled) && len(d.Mail.Domains) == 0 {
		p.add("mail.domains", "must name at least one domain")
	}
	p.few("mail.domains", len(d.Mail.Domains), 100)
	for _, n := range d.Mail.Domains {
		if !Hostname(n) {
			p.add("mail.domains", "%q is not a domain in lower case", n)
		}
	}
	if d.Mail.MaxSize < 64<<10 || d.Mail.MaxSize > 1<<30 {
		p.add("mail.maxSize", "must be from 65536 to 1073741824 bytes")
	}
	d.validateSending(p)
	p.few("mail.aliases", len(d.Mail.Aliases), 10000)
	names := map[string]bool{}
	for i, a := range d.Mail.Aliases {
		path := at("mail.aliases", i, a.Name)
		if !userName.MatchString(a.Name) {
			p.add(path+".name", "must be the part before the @, in lower case")
		}
		if d.User(a.Name) != nil {
			p.add(path+".name", "%s is a user; an alias needs a name of its own", a.Name)
		}
		unique(p, path+".name", names, a.Name)
		if len(a.To) == 0 {
			p.add(path+".to", "must name at least one user")
		}
		p.few(path+".to", len(a.To), 1000)
		for _, to := range a.To {
			if d.User(to) == nil {
				p.add(path+".to", "there is no user %q", to)
			}
		}
	}
}

// validateSending checks how mail goes to other places.
func (d *Document) validateSending(p *problems) {
	if s := d.Mail.Smarthost; s != nil {
		if _, err := netip.ParseAddr(s.Host); err != nil && !Hostname(s.Host) {
			p.add("mail.smarthost.host", "must be the host name of the provider's server, such as smtp.example.net")
		}
		if s.Port == 25 {
			p.add("mail.smarthost.port", "must be 465 or 587: port 25 is for servers among themselves")
		}
		if (s.User == "") != (s.Password == "") {
			p.add("mail.smarthost.user", "needs a password, and the other way round")
		}
		if len(s.User) > 320 || strings.ContainsAny(s.User, "\x00\r\n") {
			p.add("mail.smarthost.user", "must be one line of at most 320 bytes")
		}
	}
	p.few("mail.dkim", len(d.Mail.DKIM), 200)
	names := map[string]bool{}
	for i, k := range d.Mail.DKIM {
		path := at("mail.dkim", i, k.Selector)
		unique(p, path+".selector", names, k.Selector+"._domainkey."+k.Domain)
		switch {
		case !Hostname(k.Domain):
			p.add(path+".domain", "%q is not a domain in lower case", k.Domain)
		case !Hostname(k.Selector + "." + k.Domain):
			p.add(path+".selector", "must be a label such as k1")
		case !strings.HasPrefix(k.Record, "v=DKIM1;") || len(k.Record) > 1000:
			p.add(path+".record", "must be what is published of the key")
		case k.Key == "":
			p.add(path+".key", "must be the id of the key in the vault; make keys with pic mail dkim")
		}
	}
}
