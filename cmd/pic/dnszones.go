package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"strings"

	"pic/api/client"
	"pic/api/wire"
	"pic/core/config"
)

var dnsListCommand = command{name: "list", words: []command{
	{
		name: "ls", short: "List the block and allow lists and how they are doing",
		run: func(p *program, _ *flag.FlagSet) action {
			return p.remote(func(ctx context.Context, cell *client.Client, _ []string) error {
				all, err := cell.DNSLists(ctx)
				if err != nil {
					return err
				}
				var rows [][]string
				for _, l := range all {
					rows = append(rows, listRow(l))
				}
				return p.shown(all, "NAME RULES SKIPPED UPDATED STATE ADDRESS", rows)
			})
		},
	},
	{
		name: "add", args: "NAME ADDRESS", short: "Add a list, or give one another address",
		more: "ADDRESS starts with https:// or http://, or is the path of a file on the cell. Lists of names, hosts files, adblock lists\n" +
			"and response policy zones are understood.",
		run: func(p *program, fs *flag.FlagSet) action {
			var e editing
			e.dry(fs)
			allow := fs.Bool("allow", false, "its names are let through, not blocked")
			return p.remote(func(ctx context.Context, cell *client.Client, args []string) error {
				out, err := cell.AddDNSList(ctx, config.List{Name: args[0], URL: args[1], Allow: *allow}, e.Edit)
				if err != nil {
					return err
				}
				return p.changed(out)
			}, "NAME", "ADDRESS")
		},
	},
	{
		name: "rm", args: "NAME", short: "Remove a list",
		run: func(p *program, fs *flag.FlagSet) action {
			var e editing
			e.dry(fs)
			return p.remote(func(ctx context.Context, cell *client.Client, args []string) error {
				out, err := cell.RemoveDNSList(ctx, args[0], e.Edit)
				if err != nil {
					return err
				}
				return p.changed(out)
			}, "NAME")
		},
	},
	{
		name: "refresh", args: "NAME", short: "Look at a list now",
		more: "The exit code is 1 where that fails; the former content then stays in force.",
		run: func(p *program, _ *flag.FlagSet) action {
			return p.remote(func(ctx context.Context, cell *client.Client, args []string) error {
				l, err := cell.RefreshDNSList(ctx, args[0])
				if err != nil {
					return err
				}
				if err := p.shown(l, "NAME RULES SKIPPED UPDATED STATE ADDRESS", [][]string{listRow(l)}); err != nil {
					return err
				}
				if l.Error != "" {
					return errSaid
				}
				return nil
			}, "NAME")
		},
	},
	{
		name: "services", short: "List what can be blocked as a whole, by dns.filter.services",
		run: func(p *program, _ *flag.FlagSet) action {
			return p.remote(func(ctx context.Context, cell *client.Client, _ []string) error {
				all, err := cell.DNSServices(ctx)
				if err != nil {
					return err
				}
				var rows [][]string
				for _, s := range all {
					rows = append(rows, []string{s.ID, s.Name, s.Kind})
				}
				return p.shown(all, "ID NAME KIND", rows)
			})
		},
	},
}}

func listRow(l wire.DNSList) []string {
	state := "ok"
	switch {
	case l.Disabled:
		state = "disabled"
	case l.Error != "":
		state = plain(l.Error, "")
	case l.Updated.IsZero():
		state = "not fetched yet"
	case l.Allow:
		state = "ok, allows"
	}
	return []string{plain(l.Name, ""), fmt.Sprint(l.Rules), fmt.Sprint(l.Skipped), ago(l.Updated), state, plain(l.URL, "")}
}

var dnsZoneCommand = command{name: "zone", words: []command{
	{
		name: "ls", short: "List the zones that the cell answers for",
		run: func(p *program, _ *flag.FlagSet) action {
			return p.remote(func(ctx context.Context, cell *client.Client, _ []string) error {
				all, err := cell.Zones(ctx)
				if err != nil {
					return err
				}
				var rows [][]string
				for _, z := range all {
					signed := "no"
					if z.Signed {
						signed = "yes"
					}
					serial := "" // of a copy that never came
					if z.Serial != 0 {
						serial = fmt.Sprint(z.Serial)
					}
					rows = append(rows, []string{z.Name, z.Kind, serial, fmt.Sprint(z.Records), signed, partners(z)})
				}
				return p.shown(all, "ZONE KIND SERIAL RECORDS SIGNED SHARED", rows)
			})
		},
	},
	{
		name: "ds", args: "ZONE", short: "Print the DS records of a signed zone, for its parent",
		run: func(p *program, _ *flag.FlagSet) action {
			return p.remote(func(ctx context.Context, cell *client.Client, args []string) error {
				all, err := cell.Zones(ctx)
				if err != nil {
					return err
				}
				for _, z := range all {
					if !strings.EqualFold(z.Name, strings.TrimSuffix(args[0], ".")) {
						continue
					}
					switch {
					case p.json:
						return p.printJSON(z.DS)
					case !z.Signed:
						return fmt.Errorf("the zone %s is not signed", z.Name)
					}
					for _, ds := range z.DS {
						fmt.Fprintln(p.out, ds)
					}
					return nil
				}
				return fmt.Errorf("the cell has no zone %s; see pic dns zone ls", args[0])
			}, "ZONE")
		},
	},
	{
		name: "export", args: "ZONE", short: "Print a zone as a master file",
		run: func(p *program, _ *flag.FlagSet) action {
			return p.remote(func(ctx context.Context, cell *client.Client, args []string) error {
				file, err := cell.ExportZone(ctx, args[0])
				switch {
				case err != nil:
					return err
				case p.json:
					return p.printJSON(map[string]string{"text": string(file)})
				}
				_, err = p.out.Write(file)
				return err
			}, "ZONE")
		},
	},
	{
		name: "import", args: "ZONE FILE", short: "Put the records of a master file into a zone",
		more: "With - the file is read from standard input. SOA records and signatures are left out: the cell makes its own.",
		run: func(p *program, fs *flag.FlagSet) action {
			var e editing
			e.dry(fs)
			replace := fs.Bool("replace", false, "in place of the records that are there")
			return p.remote(func(ctx context.Context, cell *client.Client, args []string) error {
				file, err := p.zoneFile(args[1])
				if err != nil {
					return err
				}
				out, err := cell.ImportZone(ctx, args[0], wire.DNSImport{Text: string(file), Replace: *replace}, e.Edit)
				switch {
				case err != nil:
					return err
				case p.json:
					return p.printJSON(out)
				}
				for _, n := range out.Notes {
					fmt.Fprintln(p.err, "pic:", plain(n, ""))
				}
				return p.changed(out.Outcome)
			}, "ZONE", "FILE")
		},
	},
	{
		name: "transfer", args: "ZONE", short: "Ask the primaries of a zone, and tell its secondaries, now",
		run: func(p *program, _ *flag.FlagSet) action {
			return p.remote(func(ctx context.Context, cell *client.Client, args []string) error {
				if err := cell.TransferZone(ctx, args[0]); err != nil {
					return err
				}
				return p.done("the other name servers of " + args[0] + " hear of it; see pic dns zone ls")
			}, "ZONE")
		},
	},
	{
		name: "clear", args: "ZONE", short: "Remove what programs put into a zone by updates",
		run: func(p *program, _ *flag.FlagSet) action {
			return p.remote(func(ctx context.Context, cell *client.Client, args []string) error {
				n, err := cell.ClearZone(ctx, args[0])
				if err != nil {
					return err
				}
				return p.done(fmt.Sprintf("%d records of updates are gone from %s", n, args[0]))
			}, "ZONE")
		},
	},
	{
		name: "rollover", args: "ZONE", short: "Begin to exchange the keys that sign a zone",
		run: func(p *program, _ *flag.FlagSet) action {
			return p.remote(func(ctx context.Context, cell *client.Client, args []string) error {
				if err := cell.RollZone(ctx, args[0]); err != nil {
					return err
				}
				return p.done("the keys of " + args[0] + " are being exchanged; see pic dns zone ds " + args[0])
			}, "ZONE")
		},
	},
}}

// zoneFile reads a file of at most a megabyte.
func (p *program) zoneFile(name string) ([]byte, error) {
	if name == "-" {
		return readAll(p.in, 1<<20)
	}
	f, err := os.Open(name)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return readAll(f, 1<<20)
}

// partners says with whom a zone is shared, and whether they follow.
func partners(z wire.DNSZone) string {
	var out []string
	for _, s := range z.Primaries {
		out = append(out, "from "+partner(s))
	}
	for _, s := range z.Secondaries {
		out = append(out, "to "+partner(s))
	}
	return strings.Join(out, ", ")
}

func partner(s wire.DNSPartner) string {
	switch {
	case s.Error != "":
		return s.Address + " (" + plain(s.Error, "") + ")"
	case s.Serial != 0:
		return fmt.Sprintf("%s (has %d)", s.Address, s.Serial)
	}
	return s.Address
}

var dnsKeyCommand = command{name: "key", words: []command{
	{
		name: "add", args: "NAME", short: "Make a TSIG key to share with another name server, and print its secret",
		more: "Standard output is the key as nsupdate and BIND read it. The secret is shown this once.",
		run: func(p *program, fs *flag.FlagSet) action {
			var e editing
			e.dry(fs)
			k := wire.NewDNSKey{}
			fs.StringVar(&k.Algorithm, "algorithm", "", "hmac-sha256, or sha224, sha384, sha512; default: hmac-sha256")
			file := fs.String("secret-file", "", "`file` with the secret in base64, where the other side has one already")
			return p.remote(func(ctx context.Context, cell *client.Client, args []string) error {
				k.Name = args[0]
				if *file != "" {
					b, err := os.ReadFile(*file)
					if err != nil {
						return err
					}
					k.Secret = strings.TrimSpace(string(b))
				}
				out, err := cell.AddDNSKey(ctx, k, e.Edit)
				switch {
				case err != nil:
					return err
				case p.json:
					return p.printJSON(out)
				case out.Key == nil:
					return p.changed(out.Outcome)
				}
				fmt.Fprintf(p.out, "key %q {\n\talgorithm %s;\n\tsecret %q;\n};\n", out.Key.Name, out.Key.Algorithm, out.Key.Secret)
				return nil
			}, "NAME")
		},
	},
	{
		name: "rm", args: "NAME", short: "Remove a TSIG key; whoever signs with it is refused at once",
		run: func(p *program, fs *flag.FlagSet) action {
			var e editing
			e.dry(fs)
			return p.remote(func(ctx context.Context, cell *client.Client, args []string) error {
				out, err := cell.RemoveDNSKey(ctx, args[0], e.Edit)
				if err != nil {
					return err
				}
				return p.changed(out)
			}, "NAME")
		},
	},
}}
