package main

import (
	"fmt"
	"math"
	"os"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"golang.org/x/sys/unix"
)

// width is that of a line of the page.
const width = 119

// A spread is the middle and the ends of some figures.
type spread struct{ low, mid, high float64 }

// spreadOf takes the median of an even number as the mean of the middle two.
func spreadOf(v []float64) spread {
	if len(v) == 0 {
		return spread{math.NaN(), math.NaN(), math.NaN()}
	}
	s := slices.Sorted(slices.Values(v))
	n := len(s)
	return spread{s[0], (s[(n-1)/2] + s[n/2]) / 2, s[n-1]}
}

func (s spread) String() string {
	if math.IsNaN(s.mid) || math.IsInf(s.mid, 0) {
		return "–"
	}
	return fmt.Sprintf("**%s** (%s–%s)", figure(s.mid), figure(s.low), figure(s.high))
}

// of applies f to each.
func of(turns []turn, f func(turn) float64) []float64 {
	out := make([]float64, len(turns))
	for i, t := range turns {
		out[i] = f(t)
	}
	return out
}

// ratios divides what the cell did by what the peer did in the same round.
func ratios(cell, peer []turn, f func(turn) float64) spread {
	var out []float64
	for i := range min(len(cell), len(peer)) {
		out = append(out, f(cell[i])/f(peer[i]))
	}
	return spreadOf(out)
}

// table shows each work and server in a row.
func (m *match) table(turns [][][]turn) string {
	var b strings.Builder
	fmt.Fprintf(&b, "| work | server | %ss/s | CPU %s/%s | cell : it, %ss/s (more is better) | cell : it, CPU (less is better) |\n",
		m.unit, unitName(m.cpu), m.unit, m.unit)
	b.WriteString("|---|---|--:|--:|--:|--:|\n")
	for w, work := range m.works {
		for i, r := range m.rivals {
			rate, cost := spreadOf(of(turns[w][i], turn.rate)), spreadOf(of(turns[w][i], turn.cost))
			more, less := "", ""
			if i > 0 {
				more, less = ratios(turns[w][0], turns[w][i], turn.rate).String(), ratios(turns[w][0], turns[w][i], turn.cost).String()
			}
			fmt.Fprintf(&b, "| %s | %s | %s | %s | %s | %s |\n", work, r.name, figure(rate.mid), figure(cost.mid/m.cpu.Seconds()), more, less)
		}
	}
	return b.String()
}

// rooms shows the memory of each server.
func (m *match) rooms(mem []room) string {
	var b strings.Builder
	b.WriteString("| memory | peak MiB | share MiB | cell : it, peak | cell : it, share |\n|---|--:|--:|--:|--:|\n")
	for i, r := range m.rivals {
		peak, share := "", ""
		if i > 0 {
			peak, share = fmt.Sprintf("**%s**", figure(mem[0].peak/mem[i].peak)), fmt.Sprintf("**%s**", figure(mem[0].share/mem[i].share))
		}
		fmt.Fprintf(&b, "| %s | %.1f | %.1f | %s | %s |\n", r.name, mem[i].peak/(1<<20), mem[i].share/(1<<20), peak, share)
	}
	return b.String()
}

func (m *match) missing() string {
	if len(m.absent) == 0 {
		return ""
	}
	return "\n" + wrap("Did not take part: "+strings.Join(m.absent, "; ")+".") + "\n"
}

// figure writes about three digits of a number.
func figure(v float64) string {
	switch {
	case math.IsNaN(v) || math.IsInf(v, 0):
		return "–"
	case v >= 100:
		return fmt.Sprintf("%.0f", v)
	case v >= 10:
		return fmt.Sprintf("%.1f", v)
	case v >= 0.1:
		return fmt.Sprintf("%.2f", v)
	}
	return fmt.Sprintf("%.3f", v)
}

func unitName(d time.Duration) string {
	return strings.TrimLeft(d.String(), "0123456789")
}

// oneLine makes a line of an error or an output, and keeps its end if it is long.
func oneLine(v any) string {
	s := strings.Join(strings.Fields(fmt.Sprint(v)), " ")
	if most := 300; len(s) > most {
		s = "…" + strings.ToValidUTF8(s[len(s)-most:], "")
	}
	return s
}

// wrap fills a paragraph anew.
func wrap(text string) string {
	var b strings.Builder
	n := 0
	for _, word := range strings.Fields(text) {
		size := utf8.RuneCountInString(word)
		switch {
		case n == 0:
		case n+1+size > width:
			b.WriteByte('\n')
			n = 0
		default:
			b.WriteByte(' ')
			n++
		}
		b.WriteString(word)
		n += size
	}
	return b.String()
}

// kernel names the running kernel and the machine.
func kernel() string {
	var u unix.Utsname
	if unix.Uname(&u) != nil {
		return "unknown"
	}
	return unix.ByteSliceToString(u.Release[:]) + " " + unix.ByteSliceToString(u.Machine[:])
}

// processor names the processor, where the kernel tells it.
func processor() string {
	b, _ := os.ReadFile("/proc/cpuinfo")
	for line := range strings.Lines(string(b)) {
		if k, v, ok := strings.Cut(line, ":"); ok && strings.TrimSpace(k) == "model name" {
			return strings.TrimSpace(v)
		}
	}
	return "unnamed"
}
