package igd

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"net/url"
	"testing"
)

// A description leads to the gateway only, whatever it says.
func TestDescriptionLeadsNowhereElse(t *testing.T) {
	const page = `<?xml version="1.0"?><root xmlns="urn:schemas-upnp-org:device-1-0"><specVersion><major>1</major><minor>0</minor></specVersion>
<device><deviceType>urn:schemas-upnp-org:device:WANConnectionDevice:1</deviceType><serviceList><service>
<serviceType>urn:schemas-upnp-org:service:WANIPConnection:1</serviceType><serviceId>urn:upnp-org:serviceId:WANIPConn1</serviceId>
<controlURL>%s</controlURL><eventSubURL>/e</eventSubURL><SCPDURL>/s</SCPDURL></service></serviceList></device></root>`
	var control string
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { fmt.Fprintf(w, page, control) }))
	defer srv.Close()
	loc, err := url.Parse(srv.URL + "/d.xml")
	if err != nil {
		t.Fatal(err)
	}
	for to, want := range map[string]bool{"/control": true, srv.URL + "/control": true, "http://127.0.0.2:80/control": false, "http://localhost/control": false} {
		control = to
		if got := connectionAt(t.Context(), loc, netip.MustParseAddr("127.0.0.1")) != nil; got != want {
			t.Errorf("control at %s is spoken to: %v", to, got)
		}
	}
}
