package validate

import (
	"context"
	"errors"
	"runtime"
	"sync"
	"time"

	"github.com/miekg/dns"
)

// The limits of what one answer may cost, so that no zone can keep the resolver
// busy (CVE-2023-50387, CVE-2023-50868). All are for one call of Validate and
// what it needs, retries included.
const (
	maxTries    = 8   // signature checks for one set of records
	maxChecks   = 64  // signature checks in all
	maxYield    = 8   // signature checks, or hashes, in a row
	maxHashes   = 128 // NSEC3 hashes; names have up to 127 labels
	maxFetches  = 64  // DS and DNSKEY records asked for
	maxMatches  = 4   // DS records that name a key and do not fit it
	maxKeys     = 32  // of a zone
	maxSameTag  = 2   // keys of a zone with the same tag and algorithm
	maxEvidence = 16  // sets of NSEC, NSEC3 and SOA records that are looked at
	maxSets     = 24  // sets in an answer to ANY
	maxAliases  = 11  // CNAMEs in a row
	maxSigners  = 2   // signers of one set that are looked into

	maxIterations = 50 // of NSEC3 (RFC 9276 §3.2)
	maxSalt       = 64 // bytes
)

const (
	// Signatures count a tenth of their life longer, at both ends, within these
	// bounds: clocks differ.
	minSkew = time.Hour
	maxSkew = 24 * time.Hour

	maxLife    = 24 * time.Hour   // that keys and delegations are kept
	bogusLife  = 60 * time.Second // that keys are known to be bad
	brokenLife = 5 * time.Second  // that an upstream is known to have failed (RFC 9520 §3.2)
)

// A fault is why something is not secure.
type fault struct {
	code  uint16
	text  string
	brief bool
}

var errWork = &fault{code: dns.ExtendedErrorCodeDNSBogus, text: "checking it takes too much work"}

// A job is the judging of one answer, with what it has cost so far.
type job struct {
	v   *Validator
	ctx context.Context
	now time.Time

	checks, hashes, fetches int

	cuts   map[name]cut // seen by this job, however short they live
	hashed map[string]string
	asked  map[ask]*pending
	wg     sync.WaitGroup
}

// check reports whether sig is k's signature over data.
func (j *job) check(k *key, data, sig []byte) (bool, *fault) {
	if j.checks >= maxChecks {
		return false, errWork
	}
	j.checks++
	j.v.checks.Add(1)
	if j.checks%maxYield == 0 {
		runtime.Gosched()
	}
	j.v.relieve()
	if f := j.enter(); f != nil {
		return false, f
	}
	defer j.leave()
	ok := false
	j.v.desk.do(func() { ok = k.verify(data, sig) })
	return ok, nil
}

// enter waits for a place to compute at.
func (j *job) enter() *fault {
	select {
	case j.v.desk.places <- struct{}{}:
		return nil
	case <-j.ctx.Done():
		return j.late()
	}
}

func (j *job) leave() { <-j.v.desk.places }

func (j *job) late() *fault {
	return &fault{dns.ExtendedErrorCodeDNSSECIndeterminate, "there was no time to check signatures", true}
}

type ask struct {
	name name
	typ  uint16
}

type pending struct {
	done chan struct{}
	msg  *dns.Msg
	err  error
}

// want begins to ask for records that will most likely be needed.
func (j *job) want(n name, typ uint16) *pending {
	a := ask{n, typ}
	if p := j.asked[a]; p != nil || j.fetches >= maxFetches {
		return p
	}
	j.fetches++
	j.v.fetches.Add(1)
	p := &pending{done: make(chan struct{}), err: errBroken}
	j.asked[a] = p
	j.wg.Go(func() {
		defer close(p.done)
		defer func() { _ = recover() }() // a message that breaks the decoder is no answer
		p.msg, p.err = j.v.fetch(j.ctx, n.String(), typ)
	})
	return p
}

// get asks for records, or waits for those that are on their way.
func (j *job) get(n name, typ uint16, code uint16) (*dns.Msg, *fault) {
	p := j.want(n, typ)
	if p == nil {
		return nil, errWork
	}
	select {
	case <-p.done:
	case <-j.ctx.Done():
		return nil, j.late()
	}
	what := dns.Type(typ).String() + " of " + n.String()
	switch {
	case errors.Is(p.err, ErrSpent):
		return nil, errWork
	case p.err != nil:
		return nil, &fault{code, what + ": " + p.err.Error(), true}
	case p.msg == nil || p.msg.Rcode != dns.RcodeSuccess && p.msg.Rcode != dns.RcodeNameError:
		return nil, &fault{code, what + ": the upstream resolver fails", true}
	}
	j.v.relieve()
	return p.msg, nil
}
