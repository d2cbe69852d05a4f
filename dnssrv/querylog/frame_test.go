package querylog

import (
	"bytes"
	"net/netip"
	"os"
	"reflect"
	"testing"
	"time"
)

func someFrame(first uint64, names ...string) []byte {
	var b builder
	b.reset(first, 1_700_000_000_000, false)
	for i, n := range names {
		b.add(&Entry{
			Time: 1_700_000_000_000_000 + 1000*int64(i) - 1000, Client: netip.MustParseAddr("192.168.1.1"), Device: "tv",
			Told: &Told{Name: n, Type: uint16(i), Verdict: Blocked, List: "ads"}, Took: time.Duration(i) * time.Millisecond,
		})
	}
	return b.frame(nil)
}

// What is half written or damaged is never taken for a record, and keeps no
// whole frame from being read.
func TestDamageStaysWhereItIs(t *testing.T) {
	dir := t.TempDir()
	one, two, three := someFrame(10, "one.test"), someFrame(11, "two.test"), someFrame(12, "three.test")
	whole := bytes.Join([][]byte{[]byte(signature), one, two, three}, nil)
	now := time.Now()
	path := dir + "/" + segmentName(10, now)
	find := func(b []byte) []string {
		if err := os.WriteFile(path, b, 0o600); err != nil {
			t.Fatal(err)
		}
		l := open(t, dir, Config{Enabled: true, Keep: 100 * 366 * 24 * time.Hour, MaxSize: 1 << 30})
		defer l.Close()
		got := names(search(t, l, Query{Since: time.Unix(1, 0)}))
		if len(got) > 0 && l.disk.next <= 9+uint64(len(got)) {
			t.Fatalf("the next id is %d after %q", l.disk.next, got)
		}
		return got
	}
	for cut := range len(whole) {
		want := 0
		for _, n := range []int{len(signature) + len(one), len(signature) + len(one) + len(two)} {
			if cut >= n {
				want++
			}
		}
		if got := find(whole[:cut]); len(got) != want {
			t.Errorf("of %d bytes: %q, want %d", cut, got, want)
		}
	}
	// Within a segment that is not the last, what comes after damage is found.
	for at := len(signature) + len(one) + 4; at < len(signature)+len(one)+len(two); at++ {
		bad := bytes.Clone(whole)
		bad[at] ^= 1
		var got []string
		for d := range frames(bad) {
			got = append(got, d.told[0].Name)
		}
		if !reflect.DeepEqual(got, []string{"one.test", "three.test"}) {
			t.Errorf("byte %d: %q", at, got)
		}
	}
}

func FuzzDecode(f *testing.F) {
	f.Add(someFrame(1)[frameHead:])
	f.Add(someFrame(7, "a.test", "b.test", "a.test")[frameHead:])
	f.Fuzz(func(t *testing.T, body []byte) {
		d, err := decode(body)
		if err != nil {
			return
		}
		if len(d.told) > len(body) || len(d.clients) > len(body) || d.n > len(body) {
			t.Fatalf("%d answers, %d clients, %d records of %d bytes", len(d.told), len(d.clients), d.n, len(body))
		}
		rows := func(d *decoded) (out []Record) {
			r := d.records
			for i := range d.n {
				out = append(out, d.whole(d.first+uint64(i), d.record(&r)))
			}
			return out
		}
		// What was read can be written, and is then the same.
		var b builder
		b.reset(d.first, d.time, false)
		in := rows(&d)
		for _, r := range in {
			if r.Client.IsValid() && (!r.Client.IsSingleIP() || r.Client.Addr().Is4In6()) || len(r.Name) > maxString {
				return // of an anonymous log, or not of ours
			}
			for _, s := range []string{r.List, r.Rule, r.Reason, r.Upstream, r.Answer, r.Device} {
				if len(s) > maxString {
					return
				}
			}
			b.add(&Entry{Time: r.Time.UnixMicro(), Client: r.Client.Addr(), Device: r.Device, Told: &r.Told, Took: r.Took, Proto: r.Proto})
		}
		again, err := decode(b.frame(nil)[frameHead:])
		if err != nil {
			t.Fatal(err)
		}
		if out := rows(&again); !reflect.DeepEqual(in, out) {
			t.Fatalf("read %+v, wrote and read %+v", in, out)
		}
	})
}
