package h2

// static is the table of RFC 7541 appendix A; its first index is 1.
var static = fields(
	"", "",
	":authority", "",
	":method", "GET",
	":method", "POST",
	":path", "/",
	":path", "/index.html",
	":scheme", "http",
	":scheme", "https",
	":status", "200",
	":status", "204",
	":status", "206",
	":status", "304",
	":status", "400",
	":status", "404",
	":status", "500",
	"accept-charset", "",
	"accept-encoding", "gzip, deflate",
	"accept-language", "",
	"accept-ranges", "",
	"accept", "",
	"access-control-allow-origin", "",
	"age", "",
	"allow", "",
	"authorization", "",
	"cache-control", "",
	"content-disposition", "",
	"content-encoding", "",
	"content-language", "",
	"content-length", "",
	"content-location", "",
	"content-range", "",
	"content-type", "",
	"cookie", "",
	"date", "",
	"etag", "",
	"expect", "",
	"expires", "",
	"from", "",
	"host", "",
	"if-match", "",
	"if-modified-since", "",
	"if-none-match", "",
	"if-range", "",
	"if-unmodified-since", "",
	"last-modified", "",
	"link", "",
	"location", "",
	"max-forwards", "",
	"proxy-authenticate", "",
	"proxy-authorization", "",
	"range", "",
	"referer", "",
	"refresh", "",
	"retry-after", "",
	"server", "",
	"set-cookie", "",
	"strict-transport-security", "",
	"transfer-encoding", "",
	"user-agent", "",
	"vary", "",
	"via", "",
	"www-authenticate", "",
)

// Indexes of the static table that answers begin with.
const (
	at200           = 8
	atCacheControl  = 24
	atContentLength = 28
	atContentType   = 31
	atDate          = 33
)

type field struct{ name, value []byte }

func fields(all ...string) []field {
	out := make([]field, 0, len(all)/2)
	for i := 0; i < len(all); i += 2 {
		out = append(out, field{[]byte(all[i]), []byte(all[i+1])})
	}
	return out
}
