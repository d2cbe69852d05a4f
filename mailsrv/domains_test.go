package mailsrv

import (
	"fmt"
	"strings"
	"testing"

	"pic/core/config"
	"pic/mailsrv/lookup/lookuptest"
)

func TestWhatDNSSaysOfMailDomains(t *testing.T) {
	conf := testConfig()
	conf.Host = "mail.oak.example.org"
	conf.Domains = []string{"oak.home.arpa", "good.example.org", "bad.example.org", "none.example.org", "down.example.org"}
	conf.DKIM = []config.DKIM{
		{Domain: "good.example.org", Selector: "k", Record: "v=DKIM1; p=AAAA"},
		{Domain: "bad.example.org", Selector: "k", Record: "v=DKIM1; p=AAAA"},
	}
	z := lookuptest.Zone(
		`oak.home.arpa. 60 IN MX 10 mail.oak.example.org.`,
		`good.example.org. 60 IN MX 10 mail.oak.example.org.`, `good.example.org. 60 IN TXT "v=spf1 mx -all"`,
		`k._domainkey.good.example.org. 60 IN TXT "v=DKIM1;" "p=AA AA"`, `_dmarc.good.example.org. 60 IN TXT "v=DMARC1; p=none"`,
		`bad.example.org. 60 IN MX 10 other.example.org.`, `bad.example.org. 60 IN TXT "v=spf1 mx"`, `bad.example.org. 60 IN TXT "v=spf1 a"`,
		`k._domainkey.bad.example.org. 60 IN TXT "v=DKIM1; p=BBBB"`, `_dmarc.bad.example.org. 60 IN TXT "v=DMARC1"`,
	)
	z["down.example.org."], z["_dmarc.down.example.org."] = nil, nil
	want := map[string]string{
		"oak.home.arpa": "local MX+", "good.example.org": "MX+ SPF+ DKIM+ DMARC+", "bad.example.org": "MX! SPF! DKIM! DMARC!",
		"none.example.org": "MX- SPF- DMARC-", "down.example.org": "MX? SPF? DMARC?",
	}
	x := startWith(t, conf, t.TempDir(), Options{DNS: z})
	for _, d := range x.Domains(t.Context()) {
		var got []string
		if d.Local {
			got = append(got, "local")
		}
		for _, r := range d.Records {
			mark := "!"
			switch {
			case r.Unsure:
				mark = "?"
			case r.Good:
				mark = "+"
			case len(r.Found) == 0:
				mark = "-"
			}
			got = append(got, fmt.Sprint(r.Kind, mark))
		}
		if s := strings.Join(got, " "); s != want[d.Domain] {
			t.Errorf("%s: %s, want %s", d.Domain, s, want[d.Domain])
		}
	}
}
