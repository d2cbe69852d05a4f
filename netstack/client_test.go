package netstack

import (
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"pic/core/config"
	"pic/internal/nettest"
	"pic/netstack/handout"
)

// A town is a cell on the host of the test with a LAN and the internet, and a
// real WireGuard client out there.
type town struct {
	lab                  *nettest.Lab
	self                 *nettest.Host
	client, lan, network *nettest.Host
	keys                 map[string]string // private keys by secret
	doc                  *config.Document
	sites                map[string]*site
}

func newTown(t *testing.T) *town {
	t.Helper()
	nettest.NeedTUN(t)
	for _, tool := range []string{"wireguard-go", "wg", "wg-quick", "ip", "ping", "curl", "nft"} {
		nettest.Tool(t, tool)
	}
	lab := nettest.New(t)
	w := &town{
		lab: lab, self: lab.Self(), client: lab.Host("client"), lan: lab.Host("lan"), network: lab.Host("internet"),
		sites: map[string]*site{},
	}
	lab.Link(w.self, "wan0", "198.51.100.1/24", w.network, "eth0", "198.51.100.2/24")
	w.self.Addr("wan0", "2001:db8:9::1/64")
	w.network.Addr("eth0", "2001:db8:9::2/64")
	lab.Link(w.self, "lan0", "192.168.1.10/24", w.lan, "eth0", "192.168.1.20/24")
	w.lan.Route("default", "192.168.1.10")
	lab.Link(w.self, "road0", "203.0.113.1/24", w.client, "eth0", "203.0.113.2/24")

	cellKey, cellPub := NewKey()
	key, pub := NewKey()
	psk := NewPreshared()
	w.keys = map[string]string{"wg": cellKey, "laptop": key, "psk": psk}
	w.doc = &config.Document{
		Cell: config.Cell{Name: "oak"},
		Network: config.Network{
			LAN: config.Interface{Name: "lan0", Address: netip.MustParsePrefix("192.168.1.10/24")},
			WAN: config.WAN{Name: "wan0"},
		},
		WireGuard: config.WireGuard{
			Key: "wg", PublicKey: cellPub, Endpoint: "203.0.113.1",
			Subnet: netip.MustParsePrefix("10.77.0.0/24"), Subnet6: netip.MustParsePrefix("fd77::/64"),
		},
		Peers: []config.Peer{{Name: "laptop", PublicKey: pub, Preshared: "psk", Address: netip.MustParseAddr("10.77.0.2")}},
	}
	w.sites["internet"] = serveSite(t, w.network, "198.51.100.2:80", "[2001:db8:9::2]:80")
	w.sites["lan"] = serveSite(t, w.lan, "192.168.1.20:80")
	return w
}

func (w *town) secret(id config.Secret) ([]byte, error) {
	return vault{config.Secret(id): w.keys[string(id)]}.open(id)
}

func (w *town) config() Config { return From(config.Resolve(w.doc, config.Env{})) }

// allow sets the client's rights in the document.
func (w *town) allow(internet, lan bool) {
	w.doc.Peers[0].Internet, w.doc.Peers[0].LAN = &internet, &lan
}

// join sets up Debian's wireguard-go on the client from the .conf that the cell
// gives out.
func (w *town) join(t *testing.T) {
	t.Helper()
	given, err := handout.Of(config.Resolve(w.doc, config.Env{}), "laptop", "")
	if err != nil {
		t.Fatal(err)
	}
	conf, err := given.Text(handout.Keys{Private: w.keys["laptop"], Preshared: w.keys["psk"]})
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(t.TempDir(), "wg0.conf")
	if err := os.WriteFile(file, []byte(conf), 0o600); err != nil {
		t.Fatal(err)
	}
	stripped := filepath.Join(filepath.Dir(file), "stripped.conf")
	if err := os.WriteFile(stripped, []byte(w.client.Run(t, "wg-quick", "strip", file)), 0o600); err != nil {
		t.Fatal(err)
	}
	// Hosts share /run: an earlier client may have left its socket there.
	if err := os.Remove("/run/wireguard/wg0.sock"); err != nil && !errors.Is(err, os.ErrNotExist) {
		t.Fatal(err)
	}
	w.client.Start(t, "wireguard-go", "-f", "wg0")
	nettest.WaitFor(t, 5*time.Second, func() bool {
		// Not by wg, which deletes a socket that is bound and does not listen yet.
		c, err := net.Dial("unix", "/run/wireguard/wg0.sock")
		if err == nil {
			c.Close()
		}
		return err == nil
	})
	w.client.Run(t, "wg", "setconf", "wg0", stripped)
	w.client.Run(t, "ip", "link", "set", "wg0", "mtu", "1420", "up")
	w.client.Addr("wg0", "10.77.0.2/32")
	w.client.Addr("wg0", "fd77::2/128")
	w.client.Run(t, "ip", "route", "add", "default", "dev", "wg0")
	w.client.Run(t, "ip", "-6", "route", "add", "default", "dev", "wg0")
}

// A site is a web server that remembers who came last.
type site struct {
	mu   sync.Mutex
	from string
}

func serveSite(t *testing.T, h *nettest.Host, at ...string) *site {
	t.Helper()
	s := &site{}
	for _, a := range at {
		var ln net.Listener
		err := h.Do(func() (err error) {
			ln, err = net.Listen("tcp", a)
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
		srv := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			host, _, _ := net.SplitHostPort(r.RemoteAddr)
			s.mu.Lock()
			s.from = host
			s.mu.Unlock()
			if r.URL.Path == "/slow" { // a line now and then, for as long as asked
				for r.Context().Err() == nil {
					fmt.Fprintln(w, "tick")
					w.(http.Flusher).Flush()
					select {
					case <-r.Context().Done():
					case <-time.After(20 * time.Millisecond):
					}
				}
			}
			fmt.Fprintln(w, "hello", host)
		})}
		go srv.Serve(ln)
		t.Cleanup(func() { srv.Close() })
	}
	return s
}

// fetch gets a page with curl from the client and returns what curl says.
func (w *town) fetch(url string) (string, error) {
	return w.client.Try("curl", "-sS", "-m", "3", url)
}

func (w *town) pings(t *testing.T, to string) {
	t.Helper()
	for range 3 {
		if out, err := w.client.Try("ping", "-c1", "-W3", to); err != nil {
			t.Errorf("ping %s: %v\n%s", to, err, out)
		}
	}
}
