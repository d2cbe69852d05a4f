package main

import (
	"cmp"
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"time"

	"pic/api/client"
	"pic/api/wire"
)

var dnsCommand = command{name: "dns", words: []command{
	dnsStatusCommand, dnsLookupCommand, dnsLogCommand, dnsTopCommand, dnsFlushCommand,
	judgeCommand("block", "Block a name and all below it", (*client.Client).BlockName),
	judgeCommand("allow", "Let a name and all below it through, whatever lists say", (*client.Client).AllowName),
	dnsPauseCommand, dnsListCommand, dnsZoneCommand, dnsKeyCommand,
}}

// shown prints v as JSON, or as a table.
func (p *program) shown(v any, head string, rows [][]string) error {
	if p.json {
		return p.printJSON(v)
	}
	p.table(head, rows)
	return nil
}

var dnsStatusCommand = command{
	name: "status", short: "Show the resolver, its upstreams and its filter",
	run: func(p *program, _ *flag.FlagSet) action {
		return p.remote(func(ctx context.Context, cell *client.Client, _ []string) error {
			d, err := cell.DNS(ctx)
			switch {
			case err != nil:
				return err
			case p.json:
				return p.printJSON(d)
			case !d.Enabled:
				fmt.Fprintln(p.out, "DNS is off")
				return nil
			}
			p.printFilter(d)
			var rows [][]string
			for _, u := range d.Upstreams {
				state := "ok"
				if !u.OK {
					state = plain(cmp.Or(u.Error, "does not answer"), "")
				}
				rows = append(rows, []string{u.Address, u.For, took(u.LatencyMs), fmt.Sprint(u.Asked), fmt.Sprint(u.Failed), state})
			}
			if r := d.Recursion; r != nil {
				fmt.Fprintf(p.out, "names are found out from the root on: %d zones and %d servers known, %d messages sent\n", r.Delegations, r.Servers, r.Sent)
				if r.Silent {
					fmt.Fprintln(p.out, "no name server answers at the moment")
				}
				if len(rows) == 0 {
					return nil
				}
			}
			fmt.Fprintln(p.out)
			p.table("UPSTREAM FOR LATENCY ASKED FAILED STATE", rows)
			return nil
		})
	},
}

// printFilter says what is in force.
func (p *program) printFilter(d wire.DNS) {
	fmt.Fprintf(p.out, "answers for %s\n", strings.Join(append([]string{d.Zone}, d.Zones...), ", "))
	fmt.Fprintf(p.out, "%d answers kept, %s\n", d.CacheEntries, size(uint64(max(d.CacheBytes, 0))))
	switch {
	case !d.Filtering:
		fmt.Fprintln(p.out, "nothing is filtered")
	case time.Now().Before(d.PausedUntil):
		fmt.Fprintf(p.out, "nothing is filtered until %s\n", d.PausedUntil.Local().Format("Jan 2 15:04:05"))
	default:
		fmt.Fprintf(p.out, "%d rules of lists are in force\n", d.BlockedNames)
	}
	for _, g := range slices.Sorted(maps.Keys(d.PausedGroups)) {
		fmt.Fprintf(p.out, "nothing is filtered for %s until %s\n", g, d.PausedGroups[g].Local().Format("Jan 2 15:04:05"))
	}
	var counts []string
	for _, k := range []string{"local", "cached", "forwarded", "stale", "blocked", "rewritten", "refused", "limited", "dropped"} {
		if n := d.Stats[k]; n > 0 {
			counts = append(counts, fmt.Sprintf("%s %d", k, n))
		}
	}
	if len(counts) > 0 {
		fmt.Fprintf(p.out, "since the start: %s\n", strings.Join(counts, ", "))
	}
}

// took writes milliseconds; 0 is not known.
func took(ms float64) string {
	if ms <= 0 {
		return ""
	}
	return strconv.FormatFloat(ms, 'f', -1, 64) + " ms"
}

var dnsLookupCommand = command{
	name: "lookup", args: "NAME [TYPE]", short: "Show what a device would be told, and why",
	more: "TYPE is A if left out, and PTR for an address. The exit code is 1 where the name cannot be resolved.",
	run: func(p *program, fs *flag.FlagSet) action {
		from := fs.String("client", "", "the `address` of the device; default: the cell itself")
		return p.remote(func(ctx context.Context, cell *client.Client, args []string) error {
			typ := "A"
			if _, err := netip.ParseAddr(args[0]); err == nil {
				typ = "PTR"
			}
			a, err := cell.LookUp(ctx, args[0], cmp.Or(args[1], typ), *from)
			if err != nil {
				return err
			}
			if p.json {
				err = p.printJSON(a)
			} else {
				p.printAnswer(a)
			}
			if err == nil && a.Rcode != "NOERROR" {
				return errSaid
			}
			return err
		}, "NAME", "[TYPE]")
	},
}

func (p *program) printAnswer(a wire.DNSAnswer) {
	for _, r := range a.Answers {
		fmt.Fprintf(p.out, "%s %d %s %s\n", plain(r.Name, ""), r.TTL, r.Type, plain(r.Value, ""))
	}
	notes := []string{a.Rcode}
	if len(a.Answers) == 0 && a.Rcode == "NOERROR" {
		notes = []string{"no such record"}
	}
	if a.Verdict != "" {
		notes = append(notes, a.Verdict+by(a.List, a.Rule))
	}
	notes = append(notes, "from "+a.Source)
	if a.Secure {
		notes = append(notes, "checked by DNSSEC")
	}
	if a.Reason != "" && a.List+a.Rule == "" { // else it says the same again
		notes = append(notes, plain(a.Reason, ""))
	}
	notes = append(notes, cmp.Or(took(a.DurationMs), "0 ms"))
	fmt.Fprintln(p.err, strings.Join(notes, ", "))
}

// by says which rule decided.
func by(list, rule string) string {
	var s string
	if list != "" {
		s = " by " + plain(list, "")
	}
	if rule != "" {
		s += " (" + plain(rule, "") + ")"
	}
	return s
}

var dnsLogCommand = command{
	name: "log", short: "Show what was asked, and what became of it",
	run: func(p *program, fs *flag.FlagSet) action {
		follow := fs.Bool("f", false, "go on until interrupted")
		var q client.DNSQuery
		fs.IntVar(&q.Limit, "n", 50, "the last so `many` queries")
		fs.StringVar(&q.Client, "client", "", "of this `address`, network or device")
		fs.StringVar(&q.Name, "name", "", "with this `text` in the name")
		fs.StringVar(&q.Type, "type", "", "of this record `type`, such as AAAA")
		verdict := fs.String("verdict", "", "only `these`: answered, blocked, rewritten, allowed, refused, failed, limited; several with commas")
		since := fs.Duration("since", 0, "of the last `time`, such as 2h")
		return p.remote(func(ctx context.Context, cell *client.Client, _ []string) error {
			if q.Limit < 0 || *since < 0 {
				return usage("-n and --since cannot be negative")
			}
			if *verdict != "" {
				q.Verdicts = strings.Split(*verdict, ",")
			}
			if *since > 0 {
				q.Since = time.Now().Add(-*since)
			}
			lines, err := p.dnsLog(ctx, cell, q)
			if err != nil {
				return err
			}
			slices.Reverse(lines)
			for _, l := range lines {
				p.printQuery(l)
			}
			if !*follow {
				return nil
			}
			return p.tailDNS(ctx, cell, q)
		})
	},
}

// dnsLog collects the last q.Limit lines, page by page.
func (p *program) dnsLog(ctx context.Context, cell *client.Client, q client.DNSQuery) ([]wire.DNSQuery, error) {
	var lines []wire.DNSQuery
	for most := q.Limit; len(lines) < most; {
		q.Limit = min(most-len(lines), 1000)
		page, err := cell.DNSLog(ctx, q)
		if err != nil {
			return nil, err
		}
		lines = append(lines, page.Queries...)
		if q.Before = page.Next; q.Before == "" {
			break
		}
	}
	return lines, nil
}

// tailDNS prints the queries that match as they come.
func (p *program) tailDNS(ctx context.Context, cell *client.Client, q client.DNSQuery) error {
	err := cell.Follow(ctx, "", []string{"dns"}, func(m client.Message) error {
		var l wire.DNSQuery
		if err := json.Unmarshal(m.Data, &l); err != nil {
			return fmt.Errorf("reading a query: %w", err)
		}
		if isOf(l, q.Client) &&
			strings.Contains(strings.ToLower(l.Name), strings.ToLower(q.Name)) &&
			(q.Type == "" || strings.EqualFold(l.Type, q.Type)) && (len(q.Verdicts) == 0 || slices.Contains(q.Verdicts, l.Verdict)) {
			p.printQuery(l)
		}
		return nil
	})
	if ctx.Err() != nil {
		return nil // interrupted, as it should end
	}
	return err
}

// isOf reports whether a query is of a client: an address, a network, the name of
// a device, or "" for anybody.
func isOf(l wire.DNSQuery, client string) bool {
	if client == "" || l.Client == client || strings.EqualFold(l.Device, client) {
		return true
	}
	network, err := netip.ParsePrefix(client)
	if err != nil {
		return false
	}
	from, err := netip.ParseAddr(l.Client)
	return err == nil && network.Contains(from)
}

func (p *program) printQuery(q wire.DNSQuery) {
	if p.json {
		line, _ := json.Marshal(q) // strings and numbers only
		fmt.Fprintln(p.out, string(line))
		return
	}
	who := cmp.Or(q.Device, q.Client, "-")
	line := fmt.Sprintf("%s %s %s %s %s%s", q.Time.Local().Format("2006-01-02 15:04:05"), plain(who, " "), plain(q.Name, " "), q.Type,
		q.Verdict, by(q.List, q.Rule))
	switch {
	case q.Verdict == "blocked":
	case q.Answer != "":
		line += " " + plain(q.Answer, "")
	case q.Rcode != "NOERROR":
		line += " " + q.Rcode
		if q.Reason != "" {
			line += " (" + plain(q.Reason, "") + ")"
		}
	}
	fmt.Fprintln(p.out, line)
}

var dnsTopCommand = command{
	name: "top", short: "Show who asked most, and for what",
	run: func(p *program, fs *flag.FlagSet) action {
		hours := fs.Int("hours", 24, "of the last so `many`, at most 168")
		n := fs.Int("n", 10, "so `many` of each")
		return p.remote(func(ctx context.Context, cell *client.Client, _ []string) error {
			s, err := cell.DNSStats(ctx, *hours)
			switch {
			case err != nil:
				return err
			case p.json:
				return p.printJSON(s)
			}
			share := 0.0
			if s.Queries > 0 {
				share = 100 * float64(s.Blocked) / float64(s.Queries)
			}
			fmt.Fprintf(p.out, "%d queries since %s, %d blocked (%.1f %%)\n", s.Queries, s.Since.Local().Format("2006-01-02 15:04"), s.Blocked, share)
			for _, t := range []struct {
				head string
				all  []wire.DNSCount
			}{{"CLIENT", s.Clients}, {"NAME", s.Names}, {"BLOCKED", s.Refused}, {"LIST", s.Lists}, {"UPSTREAM", s.Upstreams}} {
				if len(t.all) == 0 {
					continue
				}
				var rows [][]string
				for _, c := range t.all[:min(max(*n, 0), len(t.all))] {
					key := plain(c.Key, "")
					if c.Device != "" {
						key += " (" + plain(c.Device, "") + ")"
					}
					rows = append(rows, []string{fmt.Sprint(c.Count), key})
				}
				fmt.Fprintln(p.out)
				p.table("COUNT "+t.head, rows)
			}
			return nil
		})
	},
}

var dnsFlushCommand = command{
	name: "flush", short: "Forget all answers of upstream resolvers",
	run: func(p *program, _ *flag.FlagSet) action {
		return p.remote(func(ctx context.Context, cell *client.Client, _ []string) error {
			if err := cell.FlushDNS(ctx); err != nil {
				return err
			}
			return p.done("the answers of upstream resolvers are forgotten")
		})
	},
}

func judgeCommand(name, short string, do func(*client.Client, context.Context, wire.DNSJudgement, client.Edit) (wire.Outcome, error)) command {
	return command{
		name: name, args: "NAME", short: short,
		run: func(p *program, fs *flag.FlagSet) action {
			var e editing
			e.dry(fs)
			group := fs.String("group", "", "for this `group` only; default: for everybody")
			return p.remote(func(ctx context.Context, cell *client.Client, args []string) error {
				out, err := do(cell, ctx, wire.DNSJudgement{Name: args[0], Group: *group}, e.Edit)
				if err != nil {
					return err
				}
				return p.changed(out)
			}, "NAME")
		},
	}
}

var dnsPauseCommand = command{
	name: "pause", args: "MINUTES", short: "Filter nothing for some minutes; 0 ends a pause",
	run: func(p *program, fs *flag.FlagSet) action {
		group := fs.String("group", "", "for this `group` only; default: for everybody")
		return p.remote(func(ctx context.Context, cell *client.Client, args []string) error {
			minutes, err := strconv.Atoi(args[0])
			if err != nil {
				return usage("MINUTES is a number, such as 10")
			}
			d, err := cell.PauseFilter(ctx, wire.DNSPause{Minutes: minutes, Group: *group})
			switch {
			case err != nil:
				return err
			case p.json:
				return p.printJSON(d)
			case minutes == 0:
				fmt.Fprintln(p.out, "the filter goes on")
			default:
				fmt.Fprintf(p.out, "the filter pauses for %d minutes\n", minutes)
			}
			return nil
		}, "MINUTES")
	},
}
