package main

import (
	"context"
	"flag"
	"fmt"
	"strconv"
	"strings"
)

var explainCommand = command{
	name: "explain", args: "A [to] B [tcp/443]", short: "Say whether A reaches B, and why: devices, names, addresses, or cell",
	more: "pic explain laptop to www.example.org tcp/443",
	run: func(p *program, _ *flag.FlagSet) action {
		return func(ctx context.Context, args []string) error {
			from, to, protocol, port, err := question(args)
			if err != nil {
				return err
			}
			cell, err := p.cell()
			if err != nil {
				return err
			}
			out, err := cell.Explain(ctx, from, to, protocol, port)
			switch {
			case err != nil:
				return err
			case p.json:
				return p.printJSON(out)
			}
			for _, s := range out.Steps {
				mark := "yes"
				if !s.OK {
					mark = "no"
				}
				fmt.Fprintf(p.out, "%-3s  %-8s  %s\n", mark, s.What, s.Text)
			}
			verdict := "ALLOWED"
			if !out.Allow {
				verdict = "STOPPED"
			}
			fmt.Fprintf(p.out, "%s: %s\n", verdict, out.Text)
			return nil
		}
	},
}

// question reads A to B tcp/443; the word and what follows B may be left out.
func question(args []string) (from, to, protocol string, port uint16, err error) {
	var rest []string
	for _, w := range args {
		if w != "→" && (w != "to" || len(rest) != 1) {
			rest = append(rest, w)
		}
	}
	if len(rest) < 2 || len(rest) > 3 {
		return "", "", "", 0, usage("say who and whom: pic explain A B tcp/443")
	}
	from, to = rest[0], rest[1]
	if len(rest) == 2 {
		return from, to, "", 0, nil
	}
	protocol, number, with := strings.Cut(strings.ToLower(rest[2]), "/")
	if with {
		n, err := strconv.ParseUint(number, 10, 16)
		if err != nil || n == 0 {
			return "", "", "", 0, usage("%q is not such as tcp/443, udp/53 or icmp", rest[2])
		}
		port = uint16(n)
	}
	if protocol != "tcp" && protocol != "udp" && protocol != "icmp" || !with && protocol != "icmp" {
		return "", "", "", 0, usage("%q is not such as tcp/443, udp/53 or icmp", rest[2])
	}
	return from, to, protocol, port, nil
}
