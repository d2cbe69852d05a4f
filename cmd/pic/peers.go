package main

import (
	"context"
	"flag"
	"fmt"
	"net/netip"
	"strings"

	"rsc.io/qr"

	"pic/api/client"
	"pic/api/wire"
)

var peerCommand = command{name: "peer", words: []command{
	{
		name: "ls", short: "List the devices of the VPN",
		run: func(p *program, _ *flag.FlagSet) action {
			return p.remote(func(ctx context.Context, cell *client.Client, _ []string) error {
				all, err := cell.Peers(ctx)
				switch {
				case err != nil:
					return err
				case p.json:
					return p.printJSON(all)
				}
				var rows [][]string
				for _, x := range all {
					seen := ago(x.LastHandshake)
					if x.Disabled {
						seen = "disabled"
					}
					rows = append(rows, []string{x.Name, x.Owner, x.Address.String(), x.Endpoint, seen, size(x.RxBytes), size(x.TxBytes)})
				}
				p.table("NAME OWNER ADDRESS ENDPOINT SEEN RECEIVED SENT", rows)
				return nil
			})
		},
	},
	{
		name: "add", args: "NAME", short: "Add a device and print its WireGuard configuration",
		more: "Standard output is the .conf alone: pic peer add phone --endpoint vpn.example.org:51820 > phone.conf",
		run: func(p *program, fs *flag.FlagSet) action {
			var e editing
			e.dry(fs)
			n := wire.NewPeer{}
			fs.StringVar(&n.Endpoint, "endpoint", "", "`host:port` that the device dials; default: wireguard.endpoint")
			fs.StringVar(&n.Owner, "owner", "", "the `user` whose device it is")
			fs.StringVar(&n.PublicKey, "public-key", "", "its public `key`, where the device made its own")
			address := fs.String("address", "", "its `address`; default: the next free one")
			fs.BoolVar(&n.Split, "split", false, "route only the cell's networks into the tunnel")
			internet := fs.Bool("internet", true, "may reach the internet through the cell")
			lan := fs.Bool("lan", true, "may reach the LAN")
			return p.remote(func(ctx context.Context, cell *client.Client, args []string) error {
				n.Name = args[0]
				if *address != "" {
					a, err := netip.ParseAddr(*address)
					if err != nil {
						return usage("--address: %v", err)
					}
					n.Address = a
				}
				if !*internet {
					n.Internet = internet
				}
				if !*lan {
					n.LAN = lan
				}
				out, err := cell.AddPeer(ctx, n, e.Edit)
				switch {
				case err != nil:
					return err
				case p.json:
					return p.printJSON(out)
				case e.DryRun:
					return p.changed(out.Outcome)
				}
				fmt.Fprint(p.out, out.Config)
				if out.Note != "" {
					fmt.Fprintln(p.err, "pic:", out.Note)
				}
				return nil
			}, "NAME")
		},
	},
	{
		name: "rm", args: "NAME", short: "Remove a device; it is shut out at once",
		run: func(p *program, fs *flag.FlagSet) action {
			var e editing
			e.dry(fs)
			return p.remote(func(ctx context.Context, cell *client.Client, args []string) error {
				out, err := cell.RemovePeer(ctx, args[0], e.Edit)
				if err != nil {
					return err
				}
				return p.changed(out)
			}, "NAME")
		},
	},
	{
		name: "config", args: "NAME", short: "Print the WireGuard configuration of a device",
		run: func(p *program, fs *flag.FlagSet) action {
			endpoint := fs.String("endpoint", "", "`host:port` that the device dials; default: wireguard.endpoint")
			return p.remote(func(ctx context.Context, cell *client.Client, args []string) error {
				conf, err := cell.PeerConfig(ctx, args[0], *endpoint)
				switch {
				case err != nil:
					return err
				case p.json:
					return p.printJSON(map[string]string{"config": string(conf)})
				}
				_, err = p.out.Write(conf)
				return err
			}, "NAME")
		},
	},
	{
		name: "qr", args: "NAME", short: "Draw the configuration as a QR code for the phone's camera",
		run: func(p *program, fs *flag.FlagSet) action {
			endpoint := fs.String("endpoint", "", "`host:port` that the device dials; default: wireguard.endpoint")
			return p.remote(func(ctx context.Context, cell *client.Client, args []string) error {
				conf, err := cell.PeerConfig(ctx, args[0], *endpoint)
				switch {
				case err != nil:
					return err
				case p.json: // what the code says; the drawing is for eyes
					return p.printJSON(map[string]string{"config": string(conf)})
				}
				code, err := qr.Encode(string(conf), qr.L)
				if err != nil {
					return fmt.Errorf("drawing the QR code: %w", err)
				}
				_, err = fmt.Fprint(p.out, blocks(code))
				return err
			}, "NAME")
		},
	},
}}

// blocks draws a QR code with half blocks, light on dark or dark on light by
// colours of its own, so that it reads on every terminal.
func blocks(code *qr.Code) string {
	const quiet = 2
	var b strings.Builder
	for y := -quiet; y < code.Size+quiet; y += 2 {
		b.WriteString("\x1b[30;107m") // black on white
		for x := -quiet; x < code.Size+quiet; x++ {
			switch up, down := code.Black(x, y), code.Black(x, y+1); {
			case up && down:
				b.WriteString("█")
			case up:
				b.WriteString("▀")
			case down:
				b.WriteString("▄")
			default:
				b.WriteByte(' ')
			}
		}
		b.WriteString("\x1b[0m\n")
	}
	return b.String()
}

// size is a number of bytes for people.
func size(n uint64) string {
	const units = "kMGTPE"
	if n < 1024 {
		return fmt.Sprintf("%d B", n)
	}
	v, i := float64(n)/1024, 0
	for v >= 1024 && i < len(units)-1 {
		v /= 1024
		i++
	}
	return fmt.Sprintf("%.1f %ciB", v, units[i])
}
