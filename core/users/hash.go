package users

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"strings"
	"sync/atomic"
	"time"

	"golang.org/x/crypto/argon2"
	"golang.org/x/text/unicode/norm"
)

// params are the costs of argon2id.
type params struct {
	memory  uint32 // KiB
	time    uint32
	threads uint8
}

// standard follows the advice of OWASP for small memory: boards have 512 MB.
var standard = params{memory: 19 << 10, time: 2, threads: 1}

const (
	saltLen = 16
	sumLen  = 32
	// maxMemory and maxTime bound what a stored hash can make us spend.
	maxMemory  = 64 << 10
	maxTime    = 10
	maxThreads = 4
)

// A hasher computes argon2id, a few at a time.
type hasher struct {
	params  params
	slots   chan struct{}
	waiting atomic.Int32
}

const (
	slots   = 2  // at the same time; each takes 19 MiB
	maxWait = 64 // who wait for a slot
)

func newHasher() *hasher { return &hasher{params: standard, slots: make(chan struct{}, slots)} }

// compute runs argon2id once it is its turn.
func (h *hasher) compute(ctx context.Context, secret string, salt []byte, p params) ([]byte, error) {
	if h.waiting.Add(1) > maxWait {
		h.waiting.Add(-1)
		return nil, &throttledError{2 * time.Second, "the cell is busy with other sign-ins"}
	}
	select {
	case h.slots <- struct{}{}:
		h.waiting.Add(-1)
		defer func() { <-h.slots }()
	case <-ctx.Done():
		h.waiting.Add(-1)
		return nil, ctx.Err()
	}
	return argon2.IDKey([]byte(normal(secret)), salt, p.time, p.memory, p.threads, sumLen), nil
}

// normal makes keyboards agree that write ü as one character or as two.
func normal(secret string) string { return norm.NFC.String(secret) }

// hash returns the encoded hash of a password.
func (h *hasher) hash(ctx context.Context, secret string) (string, error) {
	salt := make([]byte, saltLen)
	_, _ = rand.Read(salt) // never fails
	sum, err := h.compute(ctx, secret, salt, h.params)
	if err != nil {
		return "", err
	}
	return encode(h.params, salt, sum), nil
}

// verify reports whether secret is the one of an encoded hash, and whether the
// hash was made with other costs than today's. Without a hash, of somebody who
// does not exist or has no password, it takes as long and is false.
func (h *hasher) verify(ctx context.Context, secret, encoded string) (ok, stale bool, err error) {
	p, salt, sum, err := decode(encoded)
	if err != nil {
		p, salt, sum = h.params, make([]byte, saltLen), nil
	}
	got, err := h.compute(ctx, secret, salt, p)
	if err != nil {
		return false, false, err
	}
	return subtle.ConstantTimeCompare(got, sum) == 1, p != h.params, nil
}

var b64 = base64.RawStdEncoding

// encode writes a hash in the usual form: $argon2id$v=19$m=19456,t=2,p=1$…$…
func encode(p params, salt, sum []byte) string {
	return fmt.Sprintf("$argon2id$v=%d$m=%d,t=%d,p=%d$%s$%s", argon2.Version,
		p.memory, p.time, p.threads, b64.EncodeToString(salt), b64.EncodeToString(sum))
}

var errHash = errors.New("not a hash of a password")

func decode(s string) (p params, salt, sum []byte, err error) {
	f := strings.Split(s, "$")
	if len(f) != 6 || f[0] != "" || f[1] != "argon2id" || f[2] != fmt.Sprintf("v=%d", argon2.Version) {
		return p, nil, nil, errHash
	}
	if _, err := fmt.Sscanf(f[3], "m=%d,t=%d,p=%d", &p.memory, &p.time, &p.threads); err != nil {
		return p, nil, nil, errHash
	}
	if salt, err = b64.DecodeString(f[4]); err != nil {
		return p, nil, nil, errHash
	}
	if sum, err = b64.DecodeString(f[5]); err != nil {
		return p, nil, nil, errHash
	}
	if p.memory == 0 || p.memory > maxMemory || p.time == 0 || p.time > maxTime ||
		p.threads == 0 || p.threads > maxThreads || len(salt) < 8 || len(salt) > 64 || len(sum) != sumLen {
		return p, nil, nil, errHash
	}
	return p, salt, sum, nil
}

// digest is how a long random secret is kept: nobody can guess it from this.
func digest(secret string) string {
	sum := sha256.Sum256([]byte(secret))
	return hex.EncodeToString(sum[:])
}
