package origin

import (
	"bytes"
	"crypto"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"fmt"
	"io"
	"strconv"
	"strings"
	"time"
)

// A Key signs for a domain. Its public half is what [Key.Record] says, as TXT
// record at Name.
type Key struct {
	Domain   string
	Selector string
	Signer   crypto.Signer // *rsa.PrivateKey or ed25519.PrivateKey
}

// Name is where the public half is published, without a final dot.
func (k Key) Name() string { return k.Selector + "._domainkey." + k.Domain }

// Record is what is published (RFC 6376 §3.6.1, RFC 8463 §4).
func (k Key) Record() (string, error) {
	switch pub := k.Signer.Public().(type) {
	case *rsa.PublicKey:
		b, err := x509.MarshalPKIXPublicKey(pub)
		if err != nil {
			return "", fmt.Errorf("the record of %s: %w", k.Name(), err)
		}
		return "v=DKIM1; k=rsa; p=" + base64.StdEncoding.EncodeToString(b), nil
	case ed25519.PublicKey:
		return "v=DKIM1; k=ed25519; p=" + base64.StdEncoding.EncodeToString(pub), nil
	}
	return "", fmt.Errorf("the record of %s: keys of type %T cannot sign mail", k.Name(), k.Signer)
}

func (k Key) algorithm() string {
	if _, ok := k.Signer.Public().(ed25519.PublicKey); ok {
		return "ed25519-sha256"
	}
	return "rsa-sha256"
}

func (k Key) sign(sum []byte) ([]byte, error) {
	if _, ok := k.Signer.Public().(ed25519.PublicKey); ok {
		return k.Signer.Sign(rand.Reader, sum, crypto.Hash(0)) // over the sum, RFC 8463 §3
	}
	return k.Signer.Sign(rand.Reader, sum, crypto.SHA256)
}

// covered are the fields that we sign if they are there. Those in oversigned
// once more, so that nobody can add another (RFC 6376 §5.4.2, §8.15).
var (
	covered = []string{
		"from", "to", "cc", "subject", "date", "message-id", "reply-to", "sender", "in-reply-to", "references",
		"mime-version", "content-type", "content-transfer-encoding", "list-id", "list-unsubscribe", "list-unsubscribe-post",
		"resent-from", "resent-to", "resent-date", "resent-message-id",
	}
	oversigned = map[string]bool{"from": true, "to": true, "cc": true, "subject": true, "date": true, "reply-to": true, "message-id": true}
)

func (h *header) toSign() []string {
	var out []string
	for _, name := range covered {
		n := min(len(h.byName[name]), 8)
		if oversigned[name] {
			n++
		}
		for range n {
			out = append(out, name)
		}
	}
	return out
}

// Sign returns a DKIM-Signature field for each key, to be put before the header.
// Lines of header and body end in CRLF.
func Sign(raw []byte, body io.Reader, keys []Key, now time.Time) ([]byte, error) {
	sum, err := hashBody(body)
	if err != nil {
		return nil, fmt.Errorf("signing a message: %w", err)
	}
	h := newHeader(raw)
	var out []byte
	for _, k := range keys {
		f := fmt.Sprintf("DKIM-Signature: v=1; a=%s; c=relaxed/relaxed; d=%s; s=%s; t=%d;\r\n\th=%s;\r\n\tbh=%s;\r\n\tb=",
			k.algorithm(), k.Domain, k.Selector, now.Unix(), folded(h.toSign()), base64.StdEncoding.EncodeToString(sum))
		b := h.chosen(nil, h.toSign(), relaxed)
		if out, err = k.finish(out, b, f); err != nil {
			return nil, err
		}
	}
	return out, nil
}

func hashBody(body io.Reader) ([]byte, error) {
	h := &bodyHash{canon: relaxed, limit: -1, sum: sha256.New()}
	if _, err := io.CopyBuffer(struct{ io.Writer }{h}, body, make([]byte, 32<<10)); err != nil {
		return nil, err
	}
	return h.end(), nil
}

// finish appends a field that ends in b=, with its signature over before and
// itself.
func (k Key) finish(out, before []byte, f string) ([]byte, error) {
	name, _, _ := strings.Cut(f, ":")
	own := relaxed.header(nil, field{strings.ToLower(name), []byte(f + "\r\n")})
	sum := sha256.Sum256(append(before, bytes.TrimSuffix(own, []byte("\r\n"))...))
	sig, err := k.sign(sum[:])
	if err != nil {
		return nil, fmt.Errorf("signing for %s: %w", k.Domain, err)
	}
	out = append(out, f...)
	for s := base64.StdEncoding.EncodeToString(sig); s != ""; {
		n := min(len(s), 72)
		out = append(out, s[:n]...)
		if s = s[n:]; s != "" {
			out = append(out, "\r\n\t"...)
		}
	}
	return append(out, "\r\n"...), nil
}

// folded joins names in lines of bearable length.
func folded(names []string) string {
	var sb strings.Builder
	line := 0
	for i, n := range names {
		if i > 0 {
			sb.WriteByte(':')
			if line += len(n) + 1; line > 70 {
				sb.WriteString("\r\n\t ")
				line = len(n)
			}
		}
		sb.WriteString(n)
	}
	return sb.String()
}

// Seal returns the three fields that add us to a message's chain before it goes
// on to somebody else (RFC 8617 §5.1), to be put before the header; nothing if
// the chain cannot go on. r is what we found when it came, host the name in our
// results. Header and body are as they go out; chain fields are as they came.
func Seal(raw []byte, body io.Reader, r *Result, host string, k Key, now time.Time) ([]byte, error) {
	h := newHeader(raw)
	c := newChain(h, now)
	n := len(c.sets) + 1
	if c.err != nil || r.ARC.Verdict != None && r.ARC.Verdict != Pass || n > maxInstances {
		return nil, nil
	}
	sum, err := hashBody(body)
	if err != nil {
		return nil, fmt.Errorf("sealing a message: %w", err)
	}
	i := strconv.Itoa(n)
	results := "ARC-Authentication-Results: i=" + i + "; " + host + ";" + r.results() + "\r\n"
	names := h.toSign()
	msg, err := k.finish(nil, h.chosen(nil, names, relaxed),
		fmt.Sprintf("ARC-Message-Signature: i=%s; a=%s; c=relaxed/relaxed; d=%s; s=%s; t=%d;\r\n\th=%s;\r\n\tbh=%s;\r\n\tb=",
			i, k.algorithm(), k.Domain, k.Selector, now.Unix(), folded(names), base64.StdEncoding.EncodeToString(sum)))
	if err != nil {
		return nil, err
	}
	verdict := "pass"
	if n == 1 {
		verdict = "none"
	}
	var before []byte
	for _, s := range c.sets {
		for _, f := range []field{s.results, s.message, s.seal} {
			before = relaxed.header(before, f)
		}
	}
	before = relaxed.header(before, field{"arc-authentication-results", []byte(results)})
	before = relaxed.header(before, field{"arc-message-signature", msg})
	seal, err := k.finish(nil, before, fmt.Sprintf("ARC-Seal: i=%s; a=%s; cv=%s; d=%s; s=%s; t=%d;\r\n\tb=",
		i, k.algorithm(), verdict, k.Domain, k.Selector, now.Unix()))
	if err != nil {
		return nil, err
	}
	return append(append(seal, msg...), results...), nil
}
