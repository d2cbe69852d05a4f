package queue

import (
	"bufio"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"strconv"
	"strings"
	"sync"
	"time"

	"pic/mailsrv/lookup"
)

// A stsPolicy is what a domain has published about who may take its mail
// (RFC 8461 §3.2).
type stsPolicy struct {
	id      string
	enforce bool
	hosts   []string
	until   time.Time
}

const (
	stsSize  = 64 << 10
	stsTime  = 30 * time.Second
	stsPause = 10 * time.Minute // after a policy could not be fetched
	stsKept  = 1000
	stsMax   = 31557600 * time.Second
)

// allows reports whether a host is among those of the policy.
func (p *stsPolicy) allows(host string) bool {
	for _, h := range p.hosts {
		if h == host {
			return true
		}
		if below, ok := strings.CutPrefix(h, "*."); ok {
			if _, rest, _ := strings.Cut(host, "."); rest == below {
				return true
			}
		}
	}
	return false
}

var errPolicy = errors.New("not a policy of MTA-STS")

// parsePolicy reads a policy.
func parsePolicy(r io.Reader, now time.Time) (*stsPolicy, error) {
	p := &stsPolicy{}
	var version, mode string
	sc := bufio.NewScanner(io.LimitReader(r, stsSize))
	for sc.Scan() {
		name, value, ok := strings.Cut(sc.Text(), ":")
		value = strings.Trim(value, " \t\r")
		if !ok {
			continue
		}
		switch strings.Trim(name, " \t") {
		case "version":
			version = value
		case "mode":
			mode = value
		case "mx":
			if len(p.hosts) < 100 {
				p.hosts = append(p.hosts, strings.ToLower(strings.TrimSuffix(value, ".")))
			}
		case "max_age":
			n, err := strconv.ParseInt(value, 10, 64)
			if err != nil || n < 0 {
				return nil, errPolicy
			}
			p.until = now.Add(min(time.Duration(min(n, 1<<31))*time.Second, stsMax))
		}
	}
	if err := sc.Err(); err != nil {
		return nil, fmt.Errorf("%w: %w", errPolicy, err)
	}
	p.enforce = mode == "enforce"
	if version != "STSv1" || mode != "enforce" && mode != "testing" && mode != "none" || p.until.IsZero() || len(p.hosts) == 0 && mode != "none" {
		return nil, errPolicy
	}
	return p, nil
}

// A stsCache remembers policies, also those that cannot be fetched anew: that is
// the point of them. It is in memory only, so that the first message after a
// start trusts whoever answers.
type stsCache struct {
	o      Options
	client *http.Client

	mu   sync.Mutex
	have map[string]*stsPolicy
	fail map[string]time.Time
}

func newSTSCache(o Options) *stsCache {
	c := &stsCache{o: o, have: map[string]*stsPolicy{}, fail: map[string]time.Time{}}
	c.client = &http.Client{
		Timeout:       stsTime,
		CheckRedirect: func(*http.Request, []*http.Request) error { return errors.New("redirected, which is not allowed") },
		Transport: &http.Transport{
			DialContext: c.dial, TLSClientConfig: &tls.Config{RootCAs: o.Roots, MinVersion: tls.VersionTLS12},
			DisableKeepAlives: true, MaxResponseHeaderBytes: stsSize, TLSHandshakeTimeout: stsTime,
		},
	}
	return c
}

// dial connects to a host by the cell's own DNS, if it is of the internet.
func (c *stsCache) dial(ctx context.Context, network, addr string) (net.Conn, error) {
	host, port, err := net.SplitHostPort(addr)
	if err != nil {
		return nil, err
	}
	addrs, _, err := lookup.Addresses(ctx, c.o.DNS, host)
	if err != nil {
		return nil, err
	}
	err = errNowhere
	for _, a := range addrs {
		if !c.o.Reach(a) {
			continue
		}
		var conn net.Conn
		n, perr := strconv.ParseUint(port, 10, 16)
		if perr != nil {
			return nil, perr
		}
		if conn, err = c.o.Dial(ctx, network, netip.AddrPortFrom(a, uint16(n)).String()); err == nil {
			return conn, nil
		}
	}
	return nil, err
}

// policy is that of a domain, nil if there is none that is known.
func (c *stsCache) policy(ctx context.Context, domain string) *stsPolicy {
	now := c.o.Now()
	c.mu.Lock()
	have, failed := c.have[domain], c.fail[domain]
	c.mu.Unlock()
	if have != nil && !now.Before(have.until) {
		have = nil
	}
	texts, _, err := lookup.TXT(ctx, c.o.DNS, "_mta-sts."+domain)
	id := policyID(texts)
	if err != nil || id == "" || have != nil && have.id == id || now.Sub(failed) < stsPause {
		return have
	}
	p, err := c.fetch(ctx, domain, now)
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(c.have)+len(c.fail) > stsKept {
		clear(c.fail)
		for d, p := range c.have {
			if len(c.have) > stsKept/2 || !now.Before(p.until) {
				delete(c.have, d)
			}
		}
	}
	if err != nil {
		c.o.Log.Warn("policy of MTA-STS not fetched", "name", domain, "err", err)
		c.fail[domain] = now
		return have
	}
	p.id = id
	c.have[domain] = p
	delete(c.fail, domain)
	return p
}

// policyID is the id in a domain's record (RFC 8461 §3.1), "" if it has none.
func policyID(texts []string) string {
	found := ""
	for _, t := range texts {
		if !strings.HasPrefix(t, "v=STSv1;") {
			continue
		}
		if found != "" {
			return "" // several are none
		}
		for part := range strings.SplitSeq(t, ";") {
			if name, value, _ := strings.Cut(strings.TrimSpace(part), "="); name == "id" {
				found = value
			}
		}
	}
	return found[:min(len(found), 32)]
}

func (c *stsCache) fetch(ctx context.Context, domain string, now time.Time) (*stsPolicy, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "https://mta-sts."+domain+"/.well-known/mta-sts.txt", nil)
	if err != nil {
		return nil, err
	}
	resp, err := c.client.Do(req)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("the server answers %s", resp.Status)
	}
	return parsePolicy(resp.Body, now)
}
