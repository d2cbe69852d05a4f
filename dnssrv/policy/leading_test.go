package policy

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/miekg/dns"
)

// A list sends names to other names and addresses only where the document lets
// it; what blocks counts all the same, and the status says what is left out.
func TestAListLeadsElsewhereOnlyWhereItMay(t *testing.T) {
	path := filepath.Join(t.TempDir(), "list")
	text := `192.0.2.7 bank.test
0.0.0.0 ads.test
:: ads6.test
||shop.test^$dnsrewrite=192.0.2.9
||mail.test^$dnsrewrite=evil.test
||gone.test^$dnsrewrite=NXDOMAIN
||null.test^$dnsrewrite=0.0.0.0
||self.test^$dnsrewrite=::1
||none.test^$dnsrewrite=NOERROR
||twice.test^
||twice.test^$dnsrewrite=192.0.2.9
`
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	conf := lists(path)
	e := engine(t, t.TempDir(), conf)
	if err := e.Refresh(t.Context(), ""); err != nil {
		t.Fatal(err)
	}
	said := func() string {
		var out []string
		for _, n := range []string{"bank", "ads", "ads6", "shop", "mail", "gone", "null", "self", "none", "twice"} {
			d := e.Current().View(client1, "").Decide(wire(t, n+".test"), dns.TypeA)
			out = append(out, n+" "+[...]string{"-", "allow", "block", "rewrite"}[d.Action])
		}
		return strings.Join(out, ", ")
	}
	const kept = "ads block, ads6 block, "
	if got, want := said(), "bank -, "+kept+"shop -, mail -, gone rewrite, null rewrite, self rewrite, none rewrite, twice block"; got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
	st := e.Status()[0]
	if st.Rules != 7 || st.Skipped != 4 || len(st.Samples) != 1 || !strings.HasPrefix(st.Samples[0], "4 rules send names to other") {
		t.Errorf("%+v", st)
	}
	// The switch needs no list to be read again.
	conf.Filter.Lists[0].Rewrite = true
	if err := e.Apply(conf); err != nil {
		t.Fatal(err)
	}
	if got, want := said(), "bank rewrite, "+kept+"shop rewrite, mail rewrite, gone rewrite, null rewrite, self rewrite, none rewrite, twice rewrite"; got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
	if st := e.Status()[0]; st.Rules != 11 || st.Skipped != 0 || len(st.Samples) != 0 {
		t.Errorf("%+v", st)
	}
}
