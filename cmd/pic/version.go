package main

import (
	"context"
	"flag"
	"fmt"
	"runtime"
	"runtime/debug"

	"pic/cell"
)

var versionCommand = command{
	name: "version", short: "Print the version of this program",
	run: func(p *program, _ *flag.FlagSet) action {
		return func(_ context.Context, args []string) error {
			if _, err := arguments(args, nil); err != nil {
				return err
			}
			rev := built()
			if p.json {
				return p.printJSON(map[string]string{
					"version": version, "commit": rev, "go": runtime.Version(), "platform": runtime.GOOS + "/" + runtime.GOARCH,
				})
			}
			fmt.Fprintf(p.out, "pic %s", version)
			if rev != "" {
				fmt.Fprintf(p.out, " (%s)", rev)
			}
			fmt.Fprintf(p.out, " %s %s/%s\n", runtime.Version(), runtime.GOOS, runtime.GOARCH)
			return nil
		}
	},
}

// built is the commit that this program was built from, where that is known.
func built() string {
	if commit != "" {
		return commit
	}
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return ""
	}
	for _, s := range info.Settings {
		if s.Key == "vcs.revision" {
			return s.Value[:min(12, len(s.Value))]
		}
	}
	return ""
}

var openapiCommand = command{
	name: "openapi", short: "Print the OpenAPI description of the REST API",
	run: func(p *program, _ *flag.FlagSet) action {
		return func(_ context.Context, args []string) error {
			if _, err := arguments(args, nil); err != nil {
				return err
			}
			spec, err := cell.OpenAPI()
			if err != nil {
				return err
			}
			_, err = p.out.Write(spec)
			return err
		}
	},
}
