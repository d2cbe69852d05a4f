package davsrv

import (
	"encoding/xml"
	"errors"
	"io"
	"net/http"
	"runtime"
	"strings"
	"testing"
	"time"
)

func TestXMLIsRefusedBeforeItCanHurt(t *testing.T) {
	for name, tt := range map[string]struct {
		body   string
		status int // 0: accepted
	}{
		"plain":                 {`<?xml version="1.0" encoding="utf-8"?><a xmlns="x"><b/></a>`, 0},
		"comment and PI":        {`<!-- c --><?php x?><a xmlns="x"/>`, 0},
		"byte order mark":       {"\ufeff" + `<a xmlns="x"/>`, 0},
		"depth at the limit":    {nested(maxXMLDepth), 0},
		"one deeper":            {nested(maxXMLDepth + 1), 400},
		"doctype":               {`<!DOCTYPE a [<!ENTITY e "x">]><a/>`, 400},
		"unknown entity":        {`<a>&e;</a>`, 400},
		"undeclared prefix":     {`<D:a/>`, 400},
		"undeclared in attr":    {`<a x:y="1"/>`, 400},
		"prefix undone":         {`<a xmlns:D=""/>`, 400},
		"xmlns rebound":         {`<a xmlns:xmlns="x"/>`, 400},
		"xml for an element":    {`<xml:a/>`, 400},
		"xml as default":        {`<a xmlns="` + nsXML + `"/>`, 400},
		"stray colon":           {`<:a/>`, 400},
		"xml rebound":           {`<a xmlns:xml="x"/>`, 400},
		"prefix out of scope":   {`<r><a xmlns:D="DAV:"/><D:b/></r>`, 400},
		"wrong end tag":         {`<a><b></a></b>`, 400},
		"same name, two places": {`<r xmlns:p="x" xmlns:q="x"><p:a></q:a></r>`, 400},
		"cut off":               {`<a><b>`, 400},
		"two roots":             {`<a/><b/>`, 400},
		"text after the root":   {`<a/>text`, 400},
		"not UTF-8":             {`<?xml version="1.0" encoding="latin1"?><a/>`, 400},
		"many attributes":       {`<a ` + attributes(maxXMLAttrs+1) + `/>`, 400},
		"many prefixes":         {strings.Repeat("<a "+prefixes(60)+">", 5), 400},
		"many tokens":           {"<a>" + strings.Repeat("<b/>", maxXMLTokens/2) + "</a>", 413},
		"too long":              {"<a>" + strings.Repeat("x", maxXMLBody) + "</a>", 413},
	} {
		t.Run(name, func(t *testing.T) {
			n, err := readXML(strings.NewReader(tt.body), maxXMLBody)
			var ref *refusal
			switch {
			case tt.status == 0 && (err != nil || n == nil):
				t.Fatalf("refused: %v", err)
			case tt.status != 0 && (!errors.As(err, &ref) || ref.status != tt.status):
				t.Fatalf("got %v, want a refusal with %d", err, tt.status)
			}
		})
	}
	if _, err := readXML(strings.NewReader("  \n"), 100); !errors.Is(err, errNoXML) {
		t.Errorf("an empty body is %v, want errNoXML", err)
	}
}

func nested(n int) string { return strings.Repeat("<a>", n) + strings.Repeat("</a>", n) }

func attributes(n int) string {
	var b strings.Builder
	for i := range n {
		b.WriteString("a" + strings.Repeat("b", i) + `="" `)
	}
	return b.String()
}

func prefixes(n int) string { return strings.ReplaceAll(attributes(n), "ab", "xmlns:ab") }

// repeated is a reader of the same text over and over.
type repeated struct {
	text string
	left int
}

func (r *repeated) Read(p []byte) (int, error) {
	if r.left == 0 {
		return 0, io.EOF
	}
	n := 0
	for r.left > 0 && n+len(r.text) <= len(p) {
		n += copy(p[n:], r.text)
		r.left--
	}
	return n, nil
}

// A body of four million nested elements, 12 MB, ends a process that reads it
// recursively. It costs us nothing.
func TestNestedBombIsRefusedAtOnce(t *testing.T) {
	c := start(t)
	c.want(http.StatusCreated, "PUT", "/dav/files/alice/f", "x")
	for method, head := range map[string]string{
		"PROPFIND":   `<?xml version="1.0"?><D:propfind xmlns:D="DAV:"><D:prop>`,
		"PROPPATCH":  `<?xml version="1.0"?><D:propertyupdate xmlns:D="DAV:"><D:set><D:prop>`,
		"LOCK":       `<?xml version="1.0"?><D:lockinfo xmlns:D="DAV:"><D:lockscope><D:exclusive/></D:lockscope><D:locktype><D:write/></D:locktype><D:owner>`,
		"REPORT":     `<?xml version="1.0"?><C:calendar-query xmlns:C="urn:ietf:params:xml:ns:caldav"><C:filter>`,
		"MKCALENDAR": `<?xml version="1.0"?><C:mkcalendar xmlns:C="urn:ietf:params:xml:ns:caldav">`,
	} {
		t.Run(method, func(t *testing.T) {
			path := "/dav/files/alice/f"
			if method == "REPORT" || method == "MKCALENDAR" {
				path = "/dav/calendars/alice/new/"
			}
			var before, after runtime.MemStats
			runtime.ReadMemStats(&before)
			began := time.Now()
			req, err := http.NewRequest(method, c.url+path, io.MultiReader(strings.NewReader(head), &repeated{"<a>", 4_000_000}))
			if err != nil {
				t.Fatal(err)
			}
			req.SetBasicAuth("alice", "pw")
			resp, err := http.DefaultClient.Do(req)
			took := time.Since(began)
			if err == nil { // otherwise the connection was closed while the bomb was being sent
				resp.Body.Close()
				if resp.StatusCode < 400 || resp.StatusCode >= 500 {
					t.Errorf("status %d", resp.StatusCode)
				}
			}
			runtime.ReadMemStats(&after)
			if took > 10*time.Second {
				t.Errorf("took %v", took)
			}
			if grown := after.TotalAlloc - before.TotalAlloc; grown > 20<<20 {
				t.Errorf("allocated %d MiB", grown>>20)
			}
			c.want(http.StatusOK, "GET", "/dav/files/alice/f", "")
		})
	}
}

// Who is not known is answered before the body is read.
func TestStrangersBodiesAreNotRead(t *testing.T) {
	c := start(t)
	body := &repeated{"<a>", 1 << 30}
	a := c.doAs("", "PROPFIND", "/dav/files/alice/", body, "Expect", "100-continue")
	if a.status != http.StatusUnauthorized || !strings.HasPrefix(a.header.Get("WWW-Authenticate"), "Basic realm=") {
		t.Errorf("status %d, %q", a.status, a.header.Get("WWW-Authenticate"))
	}
}

// What is written back reads as the same tree.
func FuzzXML(f *testing.F) {
	for _, s := range []string{
		`<a xmlns="DAV:"><b xmlns="" c="d">t&#13;&lt;</b></a>`, `<p:a xmlns:p="u" p:x="1" xml:lang="de"> <p:b/> </p:a>`,
		nested(70), `<a xmlns:D=""/>`, `<!DOCTYPE a><a/>`, "<a>\u0001</a>", `<a b="&#10;&#9;'&quot;"/>`,
	} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		n, err := readXML(strings.NewReader(string(b)), 1<<16)
		if err != nil {
			if n != nil {
				t.Fatal("a tree and an error")
			}
			return
		}
		if d := deep(n); d > maxXMLDepth {
			t.Fatalf("depth %d", d)
		}
		x := newXMLWriter()
		defer x.free()
		x.standalone(n)
		again, err := readXML(strings.NewReader(x.buf.String()), 1<<20)
		if err != nil {
			t.Fatalf("%q is written as %q: %v", b, x.buf, err)
		}
		if a, b := flat(n), flat(again); a != b {
			t.Fatalf("written as %q:\n%s\n%s", x.buf, a, b)
		}
	})
}

func deep(n *node) int {
	d := 0
	for k := range n.elements {
		d = max(d, deep(k))
	}
	return d + 1
}

// flat writes a tree down for comparison, neighbouring texts joined.
func flat(n *node) string {
	if n.name.Local == "" {
		return n.text
	}
	s := "{" + n.name.Space + "}" + n.name.Local
	for _, a := range n.attrs {
		s += " {" + a.Name.Space + "}" + a.Name.Local + "=" + a.Value
	}
	s += "("
	for _, k := range n.kids {
		s += flat(k)
	}
	return s + ")"
}

func TestTextSurvivesXML(t *testing.T) {
	for name, tt := range map[string]struct{ in, want string }{
		"markup":           {`a<b>&"c"`, `a<b>&"c"`},
		"line ends":        {"a\r\nb\nc\rd", "a\r\nb\nc\rd"},
		"control":          {"a\x00b\x1fc", "a\ufffdb\ufffdc"},
		"broken UTF-8":     {"a\xffb\xc3", "a\ufffdb\ufffd"},
		"non-character":    {"a\uffffb\ufffe", "a\ufffdb\ufffd"},
		"replacement char": {"a\ufffdb", "a\ufffdb"},
		"emoji":            {"\U0001f600", "\U0001f600"},
	} {
		t.Run(name, func(t *testing.T) {
			x := newXMLWriter()
			defer x.free()
			x.element(dav("a"), tt.in)
			doc := `<r xmlns:D="DAV:">` + x.buf.String() + `</r>`
			var got struct {
				A string `xml:"DAV: a"`
			}
			if err := xml.Unmarshal([]byte(doc), &got); err != nil || got.A != tt.want {
				t.Errorf("%q came back as %q, %v", tt.in, got.A, err)
			}
		})
	}
}
