package igd

import (
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"net/url"
	"strings"
	"testing"
)

const page = `<?xml version="1.0" encoding="ISO-8859-1"?><root xmlns="urn:schemas-upnp-org:device-1-0"><specVersion><major>1</major><minor>0</minor></specVersion>
<device><deviceType>urn:schemas-upnp-org:device:InternetGatewayDevice:1</deviceType><friendlyName>B` + "\xfc" + `ro</friendlyName><deviceList><device><serviceList><service>
<serviceType>urn:schemas-upnp-org:service:WANPPPConnection:1</serviceType><controlURL>/ppp</controlURL></service><service>
<serviceType>urn:schemas-upnp-org:service:WANIPConnection:1</serviceType><serviceId>urn:upnp-org:serviceId:WANIPConn1</serviceId>
<controlURL>%s</controlURL><eventSubURL>/e</eventSubURL><SCPDURL>/s</SCPDURL></service></serviceList></device></deviceList></device></root>`

var here = netip.MustParseAddr("127.0.0.1")

// A router is a server at 127.0.0.1, and what it answers.
func router(t *testing.T, h http.HandlerFunc) *url.URL {
	t.Helper()
	srv := httptest.NewServer(h)
	t.Cleanup(srv.Close)
	u, err := url.Parse(srv.URL + "/d.xml")
	if err != nil {
		t.Fatal(err)
	}
	return u
}

// A description leads to the gateway only, whatever it says.
func TestDescriptionLeadsNowhereElse(t *testing.T) {
	var control string
	place := router(t, func(w http.ResponseWriter, _ *http.Request) { fmt.Fprintf(w, page, control) })
	for to, want := range map[string]bool{
		"/control": true, "http://" + place.Host + "/control": true, "http://127.0.0.2:80/control": false, "http://localhost/control": false,
		"https://127.0.0.1/control": false, "//127.0.0.2/control": false, "http://x@127.0.0.1/control": false, "file:///etc/passwd": false,
	} {
		control = to
		if got := connectionAt(t.Context(), place, here) != nil; got != want {
			t.Errorf("control at %s is spoken to: %v", to, got)
		}
	}
}

// What a gateway answers is bounded, and leads to nobody else.
func TestGatewayCannotMisuseTheCell(t *testing.T) {
	var met bool
	other := router(t, func(http.ResponseWriter, *http.Request) { met = true })
	other.Host = strings.Replace(other.Host, "127.0.0.1", "localhost", 1)
	for name, h := range map[string]http.HandlerFunc{
		"without end": func(w http.ResponseWriter, r *http.Request) {
			for r.Context().Err() == nil {
				if _, err := w.Write(make([]byte, 4096)); err != nil {
					return
				}
			}
		},
		"long headers": func(w http.ResponseWriter, _ *http.Request) { w.Header().Set("X", strings.Repeat("x", 1<<20)) },
		"a redirect":   func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, other.String(), http.StatusFound) },
	} {
		c := &connection{http: caller(here), control: router(t, h), kind: kinds[1]}
		if b, _, err := c.fetch(t.Context(), http.MethodGet, c.control, nil, ""); err == nil {
			t.Errorf("%s: %d bytes are read", name, len(b))
		}
		if _, err := c.call(t.Context(), "GetExternalIPAddress", nil); err == nil {
			t.Errorf("%s: an action has an answer", name)
		}
	}
	c := &connection{http: caller(here)}
	if _, _, err := c.fetch(t.Context(), http.MethodGet, other, nil, ""); !errors.Is(err, errElsewhere) {
		t.Errorf("another host: %v", err)
	}
	if met {
		t.Error("another host was asked")
	}
	for _, gateway := range []string{"9.9.9.9", "2001:db8::1", "127.0.0.1"} {
		if _, err := openUPnP(t.Context(), Way{Gateway: netip.MustParseAddr(gateway), Local: here}, Wish{}); err == nil || !strings.Contains(err.Error(), "own network") {
			t.Errorf("%s is asked: %v", gateway, err)
		}
	}
}

func TestRefusalsAreRead(t *testing.T) {
	const fault = `<s:Envelope xmlns:s="http://schemas.xmlsoap.org/soap/envelope/"><s:Body><s:Fault><faultcode>s:Client</faultcode><faultstring>UPnPError</faultstring>
<detail><UPnPError xmlns="urn:schemas-upnp-org:control-1-0"><errorCode>725</errorCode><errorDescription>OnlyPermanent` + "\x1b" + `LeasesSupported</errorDescription></UPnPError></detail></s:Fault></s:Body></s:Envelope>`
	for name, tt := range map[string]struct {
		body   string
		status int
		code   int
		ok     bool
	}{
		"a refusal":          {strings.ReplaceAll(fault, "\x1b", ""), 500, 725, false},
		"one that is no XML": {fault, 500, 0, false},
		"no SOAP":            {"<html/>", 200, 0, false},
		"an error":           {"", 503, 0, false},
		"success":            {`<Envelope><Body><GetExternalIPAddressResponse><NewExternalIPAddress> 9.0.0.7 </NewExternalIPAddress></GetExternalIPAddressResponse></Body></Envelope>`, 200, 0, true},
	} {
		got, err := readAnswer([]byte(tt.body), tt.status)
		if (err == nil) != tt.ok || upnpCode(err) != tt.code || tt.ok && strings.TrimSpace(got.Address) != "9.0.0.7" {
			t.Errorf("%s: %+v, %v", name, got, err)
		}
	}
}

// Only the gateway is heard, and only about itself.
func TestSearchHearsTheGatewayAlone(t *testing.T) {
	say := func(location string) string {
		return "HTTP/1.1 200 OK\r\nST: x\r\nLOCATION: " + location + "\r\n\r\n"
	}
	c, err := net.ListenUDP("udp4", net.UDPAddrFromAddrPort(netip.AddrPortFrom(here, 0)))
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	stranger, err := net.ListenUDP("udp4", net.UDPAddrFromAddrPort(netip.MustParseAddrPort("127.0.0.2:0")))
	if err != nil {
		t.Fatal(err)
	}
	defer stranger.Close()
	go func() {
		buf := make([]byte, 2048)
		_, from, err := c.ReadFromUDPAddrPort(buf)
		if err != nil {
			return
		}
		stranger.WriteToUDPAddrPort([]byte(say("http://127.0.0.1:1/stranger")), from)
		for _, p := range []string{"http://127.0.0.2:1/x", "http://localhost:1/x", "https://127.0.0.1:1/x", "http://127.0.0.1:1/a", "http://127.0.0.1:1/a", "http://127.0.0.1:1/b"} {
			c.WriteToUDPAddrPort([]byte(say(p)), from)
		}
	}()
	got, err := search(t.Context(), Way{Gateway: here, Local: here}, c.LocalAddr().(*net.UDPAddr).AddrPort())
	if err != nil || fmt.Sprint(got) != "[http://127.0.0.1:1/a http://127.0.0.1:1/b]" {
		t.Errorf("%v, %v", got, err)
	}
}

// Whatever a router says, what is read of it is at most what was sent, and a place
// is the gateway's.
func FuzzUPnP(f *testing.F) {
	f.Add([]byte(fmt.Sprintf(page, "/c")))
	f.Add([]byte("HTTP/1.1 200 OK\r\nLOCATION: http://127.0.0.1:5000/d.xml\r\n\r\n"))
	f.Add([]byte(`<e><Body><Fault><detail><UPnPError><errorCode>725</errorCode></UPnPError></detail></Fault></Body></e>`))
	place, _ := url.Parse("http://127.0.0.1:5000/d.xml")
	f.Fuzz(func(t *testing.T, b []byte) {
		if p := placeIn(b, here); p != nil && (p.Hostname() != "127.0.0.1" || p.Scheme != "http") {
			t.Errorf("a place at %s", p)
		}
		if u, kind, ok := readDescription(b, place); ok != (u != nil) || ok && kind == "" {
			t.Errorf("%v, %q, %v", u, kind, ok)
		}
		a, err := readAnswer(b, http.StatusOK)
		if err != nil && a != (answer{}) || len(a.Address) > len(b) {
			t.Errorf("%+v, %v", a, err)
		}
		var e *upnpError
		if errors.As(err, &e) && len(e.text) > 100 {
			t.Errorf("a text of %d bytes", len(e.text))
		}
	})
}
