package api

import (
	"strings"
	"testing"

	"pic/core/config"
)

func (h *household) dynamic() []config.DynamicName { return h.deps.Store.Current().Network.Dynamic }

func TestThePasswordOfAPublicNameGoesIntoTheVault(t *testing.T) {
	h := newHousehold(t)
	alice := h.as("alice")
	const at = "/api/network/dynamic/oak.dyn.example"
	kept := func() int {
		list, err := h.deps.Vault.List()
		if err != nil {
			t.Fatal(err)
		}
		n := 0
		for _, e := range list {
			if e.Kind == dynamicKind {
				n++
			}
		}
		return n
	}
	alice.do("PUT", at+"?dry-run=1", `{"server":"https://dyn.example/nic/update","user":"oak","password":"hush hush"}`).want(t, 200, nil)
	if kept() != 0 || len(h.dynamic()) != 0 {
		t.Errorf("a dry run left %d secrets and %+v", kept(), h.dynamic())
	}
	alice.do("PUT", at, `{"server":"https://dyn.example/nic/update","user":"oak","password":"hush hush"}`).want(t, 200, nil)
	list := h.dynamic()
	if len(list) != 1 || list[0].Name != "oak.dyn.example" || list[0].User != "oak" {
		t.Fatalf("the document says %+v", list)
	}
	secret, err := h.deps.Vault.Get(list[0].Password)
	if err != nil || string(secret) != "hush hush" {
		t.Errorf("the vault says %q, %v", secret, err)
	}
	if strings.Contains(string(list[0].Password), "hush") {
		t.Error("the document holds the password itself")
	}

	// Without a password, that of before stays; with another it is another.
	alice.do("PUT", at, `{"server":"https://dyn.example/nic/update","user":"elm","disabled":true}`).want(t, 200, nil)
	now := h.dynamic()
	if len(now) != 1 || now[0].User != "elm" || !now[0].Disabled || now[0].Password != list[0].Password {
		t.Errorf("after a change without a password: %+v", now)
	}
	alice.do("PUT", at, `{"server":"https://dyn.example/nic/update","password":"louder"}`).want(t, 200, nil)
	if secret, err := h.deps.Vault.Get(h.dynamic()[0].Password); err != nil || string(secret) != "louder" {
		t.Errorf("the vault says %q, %v", secret, err)
	}

	// What is refused leaves no secret behind.
	before := kept()
	alice.do("PUT", at, `{"server":"not an address","password":"x"}`).problem(t, 422)
	alice.do("PUT", at, `{"protocol":"rfc2136","server":"ns.example","password":"no base64"}`).problem(t, 422)
	h.as("vera").do("PUT", at, `{"server":"https://dyn.example/","password":"x"}`).problem(t, 403)
	if kept() != before {
		t.Errorf("%d secrets, %d before what was refused", kept(), before)
	}
	alice.do("DELETE", at, nil).want(t, 200, nil)
	alice.do("DELETE", at, nil).problem(t, 404)
	if len(h.dynamic()) != 0 {
		t.Errorf("still there: %+v", h.dynamic())
	}
}
