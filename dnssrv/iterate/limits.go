package iterate

import (
	"context"
	"sync/atomic"
	"time"
)

// The limits of what one question of a client may cost, so that no zone can have
// the resolver work for it against others (NXNSAttack, CAMP, TsuNAME,
// NRDelegation).
const (
	maxMessages  = 64 // sent for a question, all that follows from it included
	maxReferrals = 30 // followed for one name
	maxAliases   = 11 // CNAMEs and DNAMEs in a row
	maxTargets   = 16 // name servers of a delegation that are looked at
	maxMissing   = 5  // name servers of a delegation that turn out not to exist
	maxAddrs     = 8  // addresses of a name server, for each of both families
	maxDepth     = 6  // name servers whose addresses depend on each other
	maxTries     = 10 // messages to the servers of a zone for one question
	maxRounds    = 3  // messages to one of them
	maxMinimised = 10 // questions with less than the whole name (RFC 9156 §2.3)
	oneByOne     = 4  // of them that add one label each
)

const (
	maxCuts    = 8192            // delegations that are remembered
	maxNames   = 8192            // name servers whose addresses are
	maxServers = 4096            // servers of which is known how they have been doing
	maxStreams = 256             // connections over TCP
	idle       = 2 * time.Second // that one is kept without questions
	maxLife    = 24 * time.Hour  // of delegations and addresses
	minLife    = 5 * time.Second // of the same, so that a TTL of 0 is of use for one question
	minFailure = 5 * time.Second // that it is known that something fails (RFC 9520 §3.2);
	maxFailure = 5 * time.Minute // twice as long each time it is found again
	maxStep    = 5 * time.Minute // that it is known what came of asking for a part of a name
	// maxUnreached is that for what fails because nobody was reached.
	maxUnreached = 30 * time.Second

	lameLife   = 10 * time.Minute // that a server is known not to know a zone
	retryPrime = 5 * time.Second  // between tries to learn the servers of the root
)

// budget is what a question of a client may still cost.
type budget struct{ left atomic.Int32 }

type budgetKey struct{}

// Budget returns ctx with what one question of a client may cost, unless it has
// that already. Whatever is asked with the context it returns, or with one made
// of it, is paid from the same.
func Budget(ctx context.Context) context.Context {
	if _, ok := ctx.Value(budgetKey{}).(*budget); ok {
		return ctx
	}
	b := new(budget)
	b.left.Store(maxMessages)
	return context.WithValue(ctx, budgetKey{}, b)
}

// Spent reports whether a question with ctx may cost nothing any more. Without a
// [Budget] it may.
func Spent(ctx context.Context) bool {
	b, ok := ctx.Value(budgetKey{}).(*budget)
	return ok && b.spent()
}

// spend takes one message from the budget. It is false where nothing is left.
func (b *budget) spend() bool { return b.left.Add(-1) >= 0 }

func (b *budget) spent() bool { return b.left.Load() <= 0 }
