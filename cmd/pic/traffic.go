package main

import (
	"context"
	"flag"

	"pic/api/client"
	"pic/api/wire"
)

var trafficCommand = command{
	name: "traffic", short: "Show how much each device sent and received",
	run: func(p *program, fs *flag.FlagSet) action {
		hours := fs.Int("hours", 24, "how far back to look, in `hours`")
		return p.remote(func(ctx context.Context, cell *client.Client, _ []string) error {
			t, err := cell.Traffic(ctx, *hours)
			switch {
			case err != nil:
				return err
			case p.json:
				return p.printJSON(t)
			case !t.Enabled:
				return p.done("traffic is not counted (network.accounting)")
			}
			var rows [][]string
			for _, d := range t.Devices {
				rows = append(rows, []string{
					d.Kind, whose(d), size(d.Sent), size(d.Received), size(d.SentRate) + "/s", size(d.ReceivedRate) + "/s",
				})
			}
			p.table("KIND WHO SENT RECEIVED UP DOWN", rows)
			return nil
		})
	},
}

// whose is the best name that is known.
func whose(d wire.DeviceTraffic) string {
	switch {
	case d.Name != "":
		return d.Name
	case d.MAC != "":
		return d.MAC
	case d.Address.IsValid():
		return d.Address.String()
	case d.PublicKey != "":
		return d.PublicKey
	}
	return "all"
}
