package cell

import (
	"context"
	"slices"
	"time"

	"pic/api"
	"pic/core/config"
	"pic/core/vault"
)

const (
	collectEvery = 6 * time.Hour
	// collectAfter is how old a secret is before it may be taken for forgotten: it
	// is kept before the change that refers to it is made.
	collectAfter = 24 * time.Hour
)

// collect removes the keys and passwords of peers, exits and public names that no
// revision refers to which can still be gone back to. A revision goes first, and
// its secrets later, so that a kill in between leaves too much and never too
// little.
func collect(v *vault.Vault, named func() (map[config.Secret]bool, error), now time.Time) (gone int, err error) {
	// Listed before the document is looked at: what comes meanwhile is not in it.
	all, err := v.List()
	if err != nil {
		return 0, err
	}
	needed, err := named()
	if err != nil {
		return 0, err
	}
	for _, e := range all {
		if needed[e.ID] || !slices.Contains(api.SecretKinds, e.Kind) || now.Sub(e.Created) < collectAfter {
			continue
		}
		if err := v.Delete(e.ID); err != nil {
			return gone, err
		}
		gone++
	}
	return gone, nil
}

// collector collects now and then until ctx ends.
func (c *Cell) collector(ctx context.Context, s *config.Store) {
	for {
		gone, err := collect(c.vault, s.Named, time.Now())
		switch {
		case err != nil:
			c.log.Warn("secrets that nobody needs stay in the vault", "err", err)
		case gone > 0:
			c.log.Info("secrets that nobody needs are gone", "count", gone)
		}
		select {
		case <-ctx.Done():
			return
		case <-time.After(collectEvery):
		}
	}
}
