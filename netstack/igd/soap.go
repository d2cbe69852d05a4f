package igd

import (
	"bytes"
	"context"
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"strconv"
	"strings"
)

// Errors of the AddPortMapping action that have a way out.
const (
	upnpConflict  = 718 // the port is another's
	upnpPermanent = 725 // only mappings without end
)

// kinds are the services of a router that map ports, the best first.
var kinds = []string{
	"urn:schemas-upnp-org:service:WANIPConnection:2",
	"urn:schemas-upnp-org:service:WANIPConnection:1",
	"urn:schemas-upnp-org:service:WANPPPConnection:1",
}

// What a router may send us: descriptions are some KB.
const (
	mostAnswer = 64 << 10
	mostHeader = 8 << 10
)

// A connection is the service of a router that maps ports (IGD:1 and IGD:2, with
// SOAP 1.1 as the UPnP Device Architecture has it, §3).
type connection struct {
	http    *http.Client
	control *url.URL
	kind    string
}

var errElsewhere = errors.New("it is not the gateway")

// caller returns a client that reaches the gateway and nobody else, whatever URLs
// and redirects say, within soapTime.
func caller(gateway netip.Addr) *http.Client {
	d := net.Dialer{Timeout: soapTime}
	return &http.Client{
		Timeout:       soapTime,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		Transport: &http.Transport{
			DisableKeepAlives: true, DisableCompression: true, MaxResponseHeaderBytes: mostHeader,
			DialContext: func(ctx context.Context, _, address string) (net.Conn, error) {
				if a, err := netip.ParseAddrPort(address); err != nil || a.Addr() != gateway {
					return nil, errElsewhere
				}
				return d.DialContext(ctx, "tcp", address)
			},
		},
	}
}

// fetch asks for something of at most mostAnswer bytes, and returns it with its
// status.
func (c *connection) fetch(ctx context.Context, method string, at *url.URL, body []byte, action string) ([]byte, int, error) {
	ctx, cancel := context.WithTimeout(ctx, soapTime)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, method, at.String(), bytes.NewReader(body))
	if err != nil {
		return nil, 0, err
	}
	if action != "" {
		req.Header.Set("Content-Type", `text/xml; charset="utf-8"`)
		req.Header["SOAPACTION"] = []string{`"` + c.kind + "#" + action + `"`} // some know no other case
	}
	resp, err := c.http.Do(req)
	if err != nil {
		return nil, 0, err
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(io.LimitReader(resp.Body, mostAnswer+1))
	switch {
	case err != nil:
		return nil, 0, err
	case len(b) > mostAnswer:
		return nil, 0, fmt.Errorf("its answer is longer than %d KB", mostAnswer>>10)
	case method == http.MethodGet && resp.StatusCode != http.StatusOK:
		return nil, 0, fmt.Errorf("it answers %d", resp.StatusCode)
	}
	return b, resp.StatusCode, nil
}

// A upnpError is a router's refusal.
type upnpError struct {
	code int
	text string
}

func (e *upnpError) Error() string { return fmt.Sprintf("error %d %s", e.code, e.text) }

// upnpCode is the code in a refusal; 0 without one.
func upnpCode(err error) int {
	if e, ok := errors.AsType[*upnpError](err); ok {
		return e.code
	}
	return 0
}

// call performs an action and returns its answer.
func (c *connection) call(ctx context.Context, action string, args [][2]string) (answer, error) {
	var b bytes.Buffer
	b.WriteString(xml.Header + `<s:Envelope xmlns:s="http://schemas.xmlsoap.org/soap/envelope/" s:encodingStyle="http://schemas.xmlsoap.org/soap/encoding/"><s:Body>`)
	fmt.Fprintf(&b, `<u:%s xmlns:u="%s">`, action, c.kind)
	for _, a := range args {
		fmt.Fprintf(&b, "<%s>", a[0])
		_ = xml.EscapeText(&b, []byte(a[1])) // a buffer takes all
		fmt.Fprintf(&b, "</%s>", a[0])
	}
	fmt.Fprintf(&b, "</u:%s></s:Body></s:Envelope>", action)
	got, status, err := c.fetch(ctx, http.MethodPost, c.control, b.Bytes(), action)
	if err != nil {
		return answer{}, err
	}
	return readAnswer(got, status)
}

// external asks for the router's address in the internet; not valid without a line.
func (c *connection) external(ctx context.Context) (netip.Addr, error) {
	got, err := c.call(ctx, "GetExternalIPAddress", nil)
	if err != nil {
		return netip.Addr{}, err
	}
	a, _ := netip.ParseAddr(strings.TrimSpace(got.Address)) // empty without a line
	return a.Unmap().WithZone(""), nil
}

// An answer is what is read of the body of an answer.
type answer struct {
	Fault *struct {
		Code string `xml:"detail>UPnPError>errorCode"`
		Text string `xml:"detail>UPnPError>errorDescription"`
	} `xml:"Fault"`
	Address string `xml:"GetExternalIPAddressResponse>NewExternalIPAddress"`
}

// readAnswer reads the answer to an action.
func readAnswer(b []byte, status int) (answer, error) {
	var e struct {
		Body *answer `xml:"Body"`
	}
	err := decode(b, &e)
	switch {
	case err == nil && e.Body != nil && e.Body.Fault != nil:
		code, _ := strconv.Atoi(strings.TrimSpace(e.Body.Fault.Code))
		return answer{}, &upnpError{code, plain(e.Body.Fault.Text)}
	case status != http.StatusOK:
		return answer{}, fmt.Errorf("it answers %d", status)
	case err != nil || e.Body == nil:
		return answer{}, errors.New("its answer is not one of SOAP")
	}
	return *e.Body, nil
}

type device struct {
	Services []struct {
		Kind    string `xml:"serviceType"`
		Control string `xml:"controlURL"`
	} `xml:"serviceList>service"`
	Devices []device `xml:"deviceList>device"`
}

// readDescription finds the best service of a device's description, which was got
// from a place, and where it is controlled.
func readDescription(b []byte, place *url.URL) (control *url.URL, kind string, ok bool) {
	var root struct {
		Base   string `xml:"URLBase"`
		Device device `xml:"device"`
	}
	if decode(b, &root) != nil {
		return nil, "", false
	}
	base := place
	if text := strings.TrimSpace(root.Base); text != "" {
		var err error
		if base, err = url.Parse(text); err != nil {
			return nil, "", false
		}
	}
	all := []device{root.Device}
	best := len(kinds)
	for len(all) > 0 {
		d := all[0]
		all = append(all[1:], d.Devices...)
		for _, s := range d.Services {
			for i, k := range kinds[:best] {
				if strings.TrimSpace(s.Kind) != k {
					continue
				}
				if u, err := base.Parse(strings.TrimSpace(s.Control)); err == nil {
					control, kind, best = u, k, i
				}
				break
			}
		}
	}
	return control, kind, control != nil
}

// decode reads XML of which only ASCII matters; routers write the rest in whatever
// encoding they have.
func decode(b []byte, into any) error {
	clean := bytes.Clone(b)
	for i, c := range clean {
		if c >= 0x80 {
			clean[i] = '?'
		}
	}
	d := xml.NewDecoder(bytes.NewReader(clean))
	d.CharsetReader = func(_ string, r io.Reader) (io.Reader, error) { return r, nil }
	return d.Decode(into)
}

// plain makes a router's words fit for a page.
func plain(s string) string {
	s = strings.Map(func(r rune) rune {
		if r < ' ' || r > '~' {
			return -1
		}
		return r
	}, s)
	return s[:min(len(s), 100)]
}
