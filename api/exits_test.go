package api

import (
	"strings"
	"testing"

	"pic/api/wire"
	"pic/netstack"
)

func providerConf() string {
	private, _ := netstack.NewKey()
	_, public := netstack.NewKey()
	return "[Interface]\nPrivateKey = " + private + "\nAddress = 10.2.0.2/32\n[Peer]\nPublicKey = " + public +
		"\nEndpoint = vpn.example.org:51820\nAllowedIPs = 0.0.0.0/0\n"
}

func TestAnExitIsAddedChangedUsedAndRemoved(t *testing.T) {
	h := newHousehold(t)
	alice := h.as("alice")
	secrets := func() int {
		list, err := h.deps.Vault.List()
		must(t, err)
		return len(list)
	}
	before := secrets()
	alice.do("POST", "/api/exits?dry-run=1", wire.NewExit{Name: "oslo", Conf: providerConf()}).want(t, 200, nil)
	alice.do("POST", "/api/exits", wire.NewExit{Name: "no label", Conf: providerConf()}).problem(t, 422)
	h.as("vera").do("POST", "/api/exits", wire.NewExit{Name: "oslo", Conf: providerConf()}).problem(t, 403)
	if n := secrets(); n != before {
		t.Errorf("%d secrets, %d before what made no exit", n, before)
	}
	alice.do("POST", "/api/exits", wire.NewExit{Name: "oslo", Conf: providerConf()}).want(t, 200, nil)
	if n := secrets(); n != before+1 {
		t.Errorf("%d secrets, %d before", n, before)
	}
	alice.do("PUT", "/api/exits/oslo", `{"dns":["9.9.9.9"],"disabled":true}`).want(t, 200, nil)
	alice.do("PUT", "/api/exits/oslo", `{"disabled":false}`).want(t, 200, nil)
	if e := h.deps.Store.Current().Network.Exits[0]; e.Disabled || len(e.DNS) != 1 || e.DNS[0].String() != "9.9.9.9" {
		t.Errorf("the document says %+v", e)
	}
	alice.do("PUT", "/api/exits/elm", `{"disabled":true}`).problem(t, 404)
	h.as("vera").do("PUT", "/api/exits/oslo", `{"disabled":true}`).problem(t, 403)

	alice.do("POST", "/api/peers", `{"name":"phone"}`).want(t, 200, nil)
	alice.do("PUT", "/api/peers/phone", `{"exit":"oslo","fallback":true}`).want(t, 200, nil)
	var list []wire.Exit
	alice.do("GET", "/api/exits", nil).want(t, 200, &list)
	if len(list) != 1 || strings.Join(list[0].Peers, " ") != "phone" || strings.Join(list[0].Fallback, " ") != "phone" || list[0].State != "off" {
		t.Errorf("exits: %+v", list)
	}
	if p := alice.do("DELETE", "/api/exits/oslo", nil).problem(t, 422); !strings.Contains(p.Detail, "phone uses it") {
		t.Errorf("in use: %v", p)
	}
	alice.do("PUT", "/api/peers/phone", `{"exit":"none"}`).want(t, 200, nil)
	alice.do("DELETE", "/api/exits/oslo", nil).want(t, 200, nil)
}
