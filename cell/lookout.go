package cell

import (
	"context"
	"time"

	"pic/core/config"
)

const (
	settle = 2 * time.Second // a new address comes with a route and resolvers, not at one moment
	glance = time.Minute     // resolvers change without telling anybody
)

// A lookout sees to it that the cell follows its host: another address in the
// LAN, another resolver.
type lookout struct {
	look  func() config.Env
	renew func(context.Context, config.Env)
	moved chan struct{}
}

func newLookout(look func() config.Env, renew func(context.Context, config.Env)) *lookout {
	return &lookout{look, renew, make(chan struct{}, 1)}
}

// poke says that the host's addresses changed. It does not block.
func (l *lookout) poke() {
	select {
	case l.moved <- struct{}{}:
	default:
	}
}

// run looks until ctx ends. known is what was seen last.
func (l *lookout) run(ctx context.Context, known config.Env) {
	tick := time.NewTicker(glance)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		case <-l.moved:
			select {
			case <-ctx.Done():
				return
			case <-time.After(settle):
			}
		}
		env := l.look()
		// A host that has lost its uplink has no default route to find the LAN by,
		// and is where it was.
		if env.LAN == (config.Interface{}) {
			env.LAN = known.LAN
		}
		if len(env.Resolvers) == 0 {
			env.Resolvers = known.Resolvers
		}
		known = env
		l.renew(ctx, env)
	}
}
