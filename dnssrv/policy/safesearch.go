package policy

import "strings"

// googles are what stands after www.google. in the names of Google's search.
const googles = `com ad ae com.af com.ag al am co.ao com.ar as at com.au az ba com.bd be bf bg com.bh bi bj com.bn
com.bo com.br bs bt co.bw by com.bz ca cd cf cg ch ci co.ck cl cm cn com.co co.cr com.cu cv com.cy cz de dj dk dm
com.do dz com.ec ee com.eg es com.et fi com.fj fm fr ga ge gg com.gh com.gi gl gm gr com.gt gy com.hk hn hr ht hu
co.id ie co.il im co.in iq is it je com.jm jo co.jp co.ke com.kh ki kg co.kr com.kw kz la com.lb li lk co.ls lt lu
lv com.ly co.ma md me mg mk ml com.mm mn ms com.mt mu mv mw com.mx com.my co.mz com.na com.ng com.ni ne nl no com.np
nr nu co.nz com.om com.pa com.pe com.pg com.ph com.pk pl pn com.pr ps pt com.py com.qa ro ru rw com.sa com.sb sc se
com.sg sh si sk com.sl sn so sm sr st com.sv td tg co.th com.tj tl tm tn to com.tr tt com.tw co.tz com.ua co.ug co.uk
com.uy co.uz com.vc co.ve vg co.vi com.vn vu ws rs co.za co.zm co.zw cat`

// safeNames are the other names that lead to the strict version of a search,
// and that version, as those who run them tell.
var safeNames = map[string]string{
	"bing.com":                 "strict.bing.com",
	"www.bing.com":             "strict.bing.com",
	"edgeservices.bing.com":    "strict.bing.com",
	"duckduckgo.com":           "safe.duckduckgo.com",
	"www.duckduckgo.com":       "safe.duckduckgo.com",
	"start.duckduckgo.com":     "safe.duckduckgo.com",
	"duck.com":                 "safe.duckduckgo.com",
	"www.duck.com":             "safe.duckduckgo.com",
	"www.youtube.com":          "restrict.youtube.com",
	"m.youtube.com":            "restrict.youtube.com",
	"youtubei.googleapis.com":  "restrict.youtube.com",
	"youtube.googleapis.com":   "restrict.youtube.com",
	"www.youtube-nocookie.com": "restrict.youtube.com",
	"yandex.com":               "familysearch.yandex.ru",
	"www.yandex.com":           "familysearch.yandex.ru",
	"yandex.ru":                "familysearch.yandex.ru",
	"www.yandex.ru":            "familysearch.yandex.ru",
	"ya.ru":                    "familysearch.yandex.ru",
	"www.ya.ru":                "familysearch.yandex.ru",
	"yandex.by":                "familysearch.yandex.ru",
	"www.yandex.by":            "familysearch.yandex.ru",
	"yandex.kz":                "familysearch.yandex.ru",
	"www.yandex.kz":            "familysearch.yandex.ru",
	"yandex.uz":                "familysearch.yandex.ru",
	"www.yandex.uz":            "familysearch.yandex.ru",
	"yandex.com.tr":            "familysearch.yandex.ru",
	"www.yandex.com.tr":        "familysearch.yandex.ru",
	"ecosia.org":               "strict-safe-search.ecosia.org",
	"www.ecosia.org":           "strict-safe-search.ecosia.org",
	"pixabay.com":              "safesearch.pixabay.com",
	"www.pixabay.com":          "safesearch.pixabay.com",
}

// newSafeSearch returns where names lead when one searches safely, both in wire
// form.
func newSafeSearch() map[string]string {
	out := map[string]string{}
	put := func(from, to string) {
		f, ok := wireOf(from)
		t, ok2 := wireOf(to)
		if ok && ok2 {
			out[f] = t
		}
	}
	for _, s := range strings.Fields(googles) {
		put("google."+s, "forcesafesearch.google.com")
		put("www.google."+s, "forcesafesearch.google.com")
	}
	for from, to := range safeNames {
		put(from, to)
	}
	return out
}
