package api

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"pic/api/wire"
	"pic/core/config"
	"pic/dnssrv"
)

func (a *API) filterRoutes() {
	route(a, Viewers, "GET /api/dns/lists", "The block and allow lists and how they are doing", a.dnsLists)
	route(a, Admins, "POST /api/dns/lists/{name}/refresh", "Look at a list now", a.dnsRefresh)
	route(a, Admins, "POST /api/dns/block", "Block a name and all below it", a.dnsBlock)
	route(a, Admins, "POST /api/dns/allow", "Let a name and all below it through", a.dnsAllow)
	route(a, Admins, "POST /api/dns/pause", "Filter nothing for a while", a.dnsPause)
	route(a, Viewers, "GET /api/dns/services", "What can be blocked as a whole", a.dnsServices)
}

func (a *API) dnsLists(context.Context, *struct{}) (*body[[]wire.DNSList], error) {
	out := []wire.DNSList{}
	for _, l := range a.DNS.Lists() {
		out = append(out, wire.DNSList{
			Name: l.Name, URL: l.URL, Allow: l.Allow, Disabled: l.Disabled, Rules: l.Rules, Foreign: l.Foreign,
			Skipped: l.Skipped, Samples: l.Samples, Bytes: l.Bytes, Updated: l.Updated, Next: l.Next, Error: l.Error,
		})
	}
	return &body[[]wire.DNSList]{out}, nil
}

type listPath struct {
	Name string `path:"name" maxLength:"64"`
}

func (a *API) dnsRefresh(ctx context.Context, in *listPath) (*body[wire.DNSList], error) {
	is := func(l wire.DNSList) bool { return l.Name == in.Name }
	all, err := a.dnsLists(ctx, nil)
	if err != nil || !slices.ContainsFunc(all.Body, is) {
		return nil, missing(fmt.Sprintf("list %q", in.Name))
	}
	ctx, cancel := context.WithTimeout(ctx, requestTime)
	defer cancel()
	// What goes wrong is told with the list.
	if err := a.DNS.RefreshList(ctx, in.Name); err != nil && ctx.Err() != nil {
		return nil, fail(503, "busy", "the list is still being fetched; look again in a while")
	}
	if all, err = a.dnsLists(ctx, nil); err != nil {
		return nil, err
	}
	i := slices.IndexFunc(all.Body, is)
	if i < 0 {
		return nil, missing(fmt.Sprintf("list %q", in.Name))
	}
	return &body[wire.DNSList]{all.Body[i]}, nil
}

type judgeInput struct {
	Changing
	Body wire.DNSJudgement
}

func (a *API) dnsBlock(ctx context.Context, in *judgeInput) (*outcome, error) {
	return a.judge(ctx, in, "||", "@@||", "block ")
}

func (a *API) dnsAllow(ctx context.Context, in *judgeInput) (*outcome, error) {
	return a.judge(ctx, in, "@@||", "||", "allow ")
}

// judge adds a rule about a name, and takes the one that said the opposite away.
func (a *API) judge(ctx context.Context, in *judgeInput, mark, opposite, verb string) (*outcome, error) {
	name := strings.ToLower(strings.TrimSuffix(dnssrv.ASCII(strings.TrimSpace(in.Body.Name)), "."))
	if !config.Hostname(name) && !config.Label(name) && !looseName(name) {
		return nil, wrong("name", "is not a name, such as ads.example.com")
	}
	return a.edited(ctx, edit{
		Changing: in.Changing,
		reason:   verb + name,
		do: func(d *config.Document) error {
			if zone := a.ownZone(d, name); zone != "" && verb == "block " {
				return wrong("name", "the cell answers for "+zone+" itself, and blocks nothing of it")
			}
			rules := &d.DNS.Filter.Rules
			if in.Body.Group != "" {
				i := slices.IndexFunc(d.DNS.Filter.Groups, func(g config.Group) bool { return g.Name == in.Body.Group })
				if i < 0 {
					return missing(fmt.Sprintf("group %q", in.Body.Group))
				}
				rules = &d.DNS.Filter.Groups[i].Rules
			}
			*rules = slices.DeleteFunc(*rules, func(r string) bool {
				return r == opposite+name+"^" || r == opposite+name+"^"+important || opposite == "||" && r == name
			})
			rule := mark + name + "^"
			if outweighed(*rules, name, mark, opposite) {
				rule += important
			}
			if !slices.Contains(*rules, rule) {
				*rules = append(*rules, rule)
			}
			return nil
		},
	})
}

// ownZone returns the zone of the cell that name is in, "" where there is none.
func (a *API) ownZone(d *config.Document, name string) string {
	in := func(zone string) bool { return name == zone || strings.HasSuffix(name, "."+zone) }
	if slices.ContainsFunc(d.DNS.Forwards, func(f config.Forward) bool { return in(strings.TrimSuffix(f.Name, ".")) }) {
		return "" // others are asked about it
	}
	for _, z := range a.DNS.Zones() {
		if in(z.Name) {
			return z.Name
		}
	}
	return ""
}

// important makes a rule win over those that have it not.
const important = "$important"

// outweighed reports whether a rule about a domain above name says the opposite
// and would win. Of equal strength, an exception does.
func outweighed(rules []string, name, mark, opposite string) bool {
	for _, up, more := strings.Cut(name, "."); more; _, up, more = strings.Cut(up, ".") {
		if slices.Contains(rules, opposite+up+"^"+important) || mark == "||" && slices.Contains(rules, opposite+up+"^") {
			return true
		}
	}
	return false
}

// looseName reports whether devices may ask for s although no host may be called
// so: with underscores.
func looseName(s string) bool {
	return len(s) <= 253 && s != "" && !strings.HasPrefix(s, ".") && !strings.Contains(s, "..") &&
		!strings.ContainsFunc(s, func(c rune) bool {
			return c != '.' && c != '-' && c != '_' && (c < '0' || c > '9') && (c < 'a' || c > 'z')
		})
}

func (a *API) dnsPause(ctx context.Context, in *body[wire.DNSPause]) (*body[wire.DNS], error) {
	if err := a.DNS.Pause(time.Duration(in.Body.Minutes)*time.Minute, in.Body.Group); err != nil {
		return nil, wrong("group", err.Error())
	}
	whom := "everybody"
	if in.Body.Group != "" {
		whom = "the group " + in.Body.Group
	}
	text := fmt.Sprintf("the filter pauses for %s for %d minutes", whom, in.Body.Minutes)
	if in.Body.Minutes == 0 {
		text = "the filter goes on for " + whom
	}
	a.tell(ctx, "dns.paused", "", text)
	return a.dns(ctx, nil)
}

func (a *API) dnsServices(context.Context, *struct{}) (*body[[]wire.DNSService], error) {
	out := []wire.DNSService{}
	for _, s := range a.DNS.BlockServices() {
		out = append(out, wire.DNSService{ID: s.ID, Name: s.Name, Kind: s.Kind})
	}
	return &body[[]wire.DNSService]{out}, nil
}
