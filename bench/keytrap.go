package main

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// crowds are how many questions of an attack are under way, one after the other.
var crowds = []int{1, 4, 16}

// keytrap tells what zones that are costly to check do to others.
func keytrap() contest {
	return contest{
		name: "dns-keytrap", title: "DNS: hits while costly zones are attacked with",
		what: `A client asks a thousand questions a second for names of the cell's own, on time whether it was answered or not, while
another keeps *1*, 4 or 16 questions under way for new names in a zone that its owner made costly to check by DNSSEC:
*keys*, a zone for each question with 32 keys of one tag and 32 signatures (CVE-2023-50387); *signatures*, 32 wrong ones of
ECDSA P-384, for which two keys have the tag; *hashes*, names of 110 labels that 16 NSEC3 records with 50 iterations and a
salt of 64 bytes deny (CVE-2023-50868). *Fair* is a zone with one good signature, which shows what load alone does. The
client has four turns: *idle*, with nobody else; *attacked*; *apart*, while the attacker asks the upstream itself what the
cell asked it in the attack, at the same rate and not by the cell, which shows what they do to whoever shares a machine with
them; and *honest*, while it asks the cell for new names of the fair zone at that rate. The attacker and the upstream run
only where nobody else wants to (SCHED_IDLE), for they would have machines of their own. When an answer arrived is what the
kernel says. *CPU* is the processor time of the cell for one question of the attacker. There is no peer.`,
		run: keytrapRun,
	}
}

// A trap is a zone to attack with.
type trap struct {
	name string
	ask  func(i int) string
	code byte // that the cell answers with
}

var traps = []trap{
	{"fair", func(i int) string { return fmt.Sprintf("n%08d.fair.", i) }, 0},
	{"keys", func(i int) string { return fmt.Sprintf("www.z%08d.keys.", i) }, 2},
	{"signatures", func(i int) string { return fmt.Sprintf("n%08d.signatures.", i) }, 2},
	{"hashes", func(i int) string { return fmt.Sprintf("%sn%08d.hashes.", strings.Repeat("a.", 107), i) }, 2},
}

func keytrapRun(ctx context.Context, l *lab) (string, error) {
	h, err := newHostile()
	if err != nil {
		return "", err
	}
	up, err := h.serve(l)
	if err != nil {
		return "", err
	}
	c, err := l.trial(ctx, map[string]any{
		"dns.records": ownRecords(), "dns.upstreams": []string{"tcp://" + up.String()}, "dns.rate": 10_000_000,
		"dns.validate": "on", "dns.anchors": []string{h.anchor()},
	})
	if err != nil {
		return "", err
	}
	s := &siege{lab: l, hostile: h, up: up, cell: c.proc, at: netip.MustParseAddrPort("127.0.0.1:10053")}
	if s.client, err = l.newPaced(s.at); err != nil {
		return "", err
	}
	if err := warm(s.at, questions(ownName)); err != nil {
		return "", err
	}
	// On a machine of their own, attacker and upstream would disturb nobody.
	if err := schedule(unix.SCHED_IDLE); err != nil {
		return "", err
	}
	l.atEnd(func() { _ = schedule(unix.SCHED_NORMAL) }) // for what others start
	var b strings.Builder
	b.WriteString("| zone | under way | questions/s | CPU ms/question | idle µs: p50, p99, p99.9 | apart | honest | attacked | p99, attacked : idle (less is better) | attacked : apart | attacked : honest |\n")
	b.WriteString("|---|--:|--:|--:|--:|--:|--:|--:|--:|--:|--:|\n")
	for _, t := range traps {
		for _, n := range crowds {
			var rounds []assault
			for range l.rounds {
				a, err := s.assault(ctx, t, n)
				if err != nil {
					return "", fmt.Errorf("%s, %d under way: %w", t.name, n, err)
				}
				fmt.Fprintf(os.Stderr, "   %-10s %2d %7.0f/s %7.3f ms; idle %v, apart %v, honest %v, attacked %v (%d)\n", t.name, n,
					a.questions, a.cpu.Seconds()*1e3, a.idle, a.apart, a.honest, a.attacked, a.attacked.n)
				rounds = append(rounds, a)
			}
			b.WriteString(assaultRow(t.name, n, rounds))
		}
	}
	return b.String(), nil
}

// schedule gives all threads of this process a policy.
func schedule(policy uint32) error {
	threads, err := filepath.Glob("/proc/self/task/*")
	if err != nil {
		return err
	}
	for _, t := range threads {
		id, err := strconv.Atoi(filepath.Base(t))
		if err != nil {
			continue
		}
		err = unix.SchedSetAttr(id, &unix.SchedAttr{Size: unix.SizeofSchedAttr, Policy: policy}, 0)
		if err != nil && !errors.Is(err, unix.ESRCH) {
			return err
		}
	}
	return nil
}
