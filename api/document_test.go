package api

import (
	"errors"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"testing"

	"pic/api/wire"
)

func TestAValueIsSetAndRead(t *testing.T) {
	h := newHousehold(t)
	alice := h.as("alice")
	var out wire.Outcome
	got := alice.do("PUT", "/api/config/value", `{"path":"dns.upstreams","value":["192.0.2.1:53"],"reason":"faster"}`)
	got.want(t, 200, &out)
	if out.Revision != 2 || len(out.Diff) != 1 || out.Diff[0].Path != "dns.upstreams" || got.Header.Get("ETag") != `"2"` {
		t.Errorf("outcome %s, ETag %s", got.body, got.Header.Get("ETag"))
	}
	var v wire.Value
	alice.do("GET", "/api/config/value?path=dns.upstreams", nil).want(t, 200, &v)
	if string(v.Value) != `["192.0.2.1:53"]` {
		t.Errorf("value %s", v.Value)
	}
	alice.do("DELETE", "/api/config/value?path=dns.upstreams&reason=slower", nil).want(t, 200, &out)
	var revs []wire.Revision
	alice.do("GET", "/api/config/history", nil).want(t, 200, &revs)
	if len(revs) != 3 || revs[0].Reason != "slower" || revs[0].Actor != "alice" || revs[1].Reason != "faster" {
		t.Errorf("history %+v", revs)
	}
	var d wire.Diff
	alice.do("GET", "/api/config/diff?from=1&to=2", nil).want(t, 200, &d)
	if len(d.Diff) != 1 {
		t.Errorf("diff %+v", d)
	}
	alice.do("POST", "/api/config/rollback", `{"revision":2}`).want(t, 200, &out)
	if out.Revision != 4 || h.deps.Store.Current().DNS.Upstreams[0] != "192.0.2.1:53" {
		t.Errorf("rollback led to %+v", out)
	}
	alice.do("POST", "/api/config/rollback", `{"revision":77}`).problem(t, 404)
}

func TestDefaultsAreShownWhereAskedFor(t *testing.T) {
	h := newHousehold(t)
	vera := h.as("vera")
	var v wire.Value
	vera.do("GET", "/api/config/value?path=dns.port", nil).want(t, 200, &v)
	if string(v.Value) != "null" {
		t.Errorf("the document says %s", v.Value)
	}
	vera.do("GET", "/api/config/value?path=dns.port&resolved=1", nil).want(t, 200, &v)
	if string(v.Value) != "10053" {
		t.Errorf("the default is %s", v.Value)
	}
	e := vera.do("GET", "/api/config/value?path=dns.prot", nil).problem(t, 422)
	if len(e.Errors) != 1 || e.Errors[0].Path != "dns.prot" {
		t.Errorf("errors %+v", e.Errors)
	}
}

func TestADryRunChangesNothing(t *testing.T) {
	h := newHousehold(t)
	alice := h.as("alice")
	for _, r := range []reply{
		alice.do("PUT", "/api/config/value?dry-run=1", `{"path":"dns.port","value":5353}`),
		alice.do("POST", "/api/tx?dry-run=true", `{"edits":[{"path":"dns.port","value":5353}]}`),
		alice.do("POST", "/api/users?dry-run=1", `{"name":"dora","password":"`+password+`"}`),
		alice.do("DELETE", "/api/users/bob?dry-run=1", nil),
		alice.do("POST", "/api/peers?dry-run=1", `{"name":"laptop"}`),
	} {
		var out wire.Outcome
		r.want(t, 200, &out)
		if !out.DryRun || len(out.Diff) == 0 || out.Revision != 1 {
			t.Errorf("%s: %s", r.Request.URL, r.body)
		}
	}
	e := alice.do("PUT", "/api/config/value?dry-run=1", `{"path":"dns.port","value":0.5}`).problem(t, 422)
	if e.Code != "invalid" {
		t.Errorf("a dry run of nonsense: %+v", e)
	}
	if rev := h.deps.Store.Current().Revision; rev != 1 {
		t.Errorf("the document changed: revision %d", rev)
	}
	if secrets, err := h.deps.Vault.List(); err != nil || len(secrets) != 0 {
		t.Errorf("secrets were left in the vault: %v, %v", secrets, err)
	}
}

func TestEveryWrongFieldIsNamed(t *testing.T) {
	h := newHousehold(t)
	e := h.as("alice").do("POST", "/api/tx", `{"edits":[
		{"path":"dns.records","value":[{"name":"a","type":"NOPE","value":"x"}]},
		{"path":"cell.name","value":"Not A Label"}]}`).problem(t, 422)
	paths := map[string]bool{}
	for _, f := range e.Errors {
		paths[f.Path] = true
	}
	if !paths["cell.name"] || len(paths) < 2 {
		t.Errorf("errors %+v", e.Errors)
	}
	e = h.as("alice").do("POST", "/api/tx", `{"edits":[{"path":"dns.port","value":1,"delete":true}]}`).problem(t, 422)
	if e.Errors[0].Path != "edits[0]" {
		t.Errorf("errors %+v", e.Errors)
	}
}

func TestARefusingServiceIsNamed(t *testing.T) {
	h := newHousehold(t)
	h.units.refuse = errors.New("port 53 is taken by another program")
	e := h.as("alice").do("PUT", "/api/config/value", `{"path":"dns.port","value":53}`).problem(t, 409)
	if e.Code != "refused" || e.Unit != "dns" || !strings.Contains(e.Detail, "port 53") {
		t.Errorf("problem %+v", e)
	}
}

func TestIfMatchDecidesRaces(t *testing.T) {
	h := newHousehold(t)
	alice := h.as("alice")
	const path = "/api/config/value"
	alice.do("PUT", path, `{"path":"dns.port","value":5301}`, "If-Match", `"1"`).want(t, 200, nil)
	for name, tag := range map[string]string{"old": `"1"`, "unquoted": `1`, "another kind": `W/"2"`, "words": `"two"`} {
		e := alice.do("PUT", path, `{"path":"dns.port","value":5302}`, "If-Match", tag).problem(t, http.StatusPreconditionFailed)
		if e.Code != "conflict" {
			t.Errorf("%s: %+v", name, e)
		}
	}
	alice.do("PUT", path, `{"path":"dns.port","value":5303}`, "If-Match", `*`).want(t, 200, nil)

	// Many at once with the same base: one wins.
	var mu sync.Mutex
	var wg sync.WaitGroup
	codes := map[int]int{}
	for i := range 8 {
		wg.Go(func() {
			got := alice.do("PUT", path, fmt.Sprintf(`{"path":"dns.port","value":%d}`, 5400+i), "If-Match", `"3"`)
			mu.Lock()
			defer mu.Unlock()
			codes[got.StatusCode]++
		})
	}
	wg.Wait()
	if codes[200] != 1 || codes[412] != 7 {
		t.Errorf("statuses %v", codes)
	}
	if rev := h.deps.Store.Current().Revision; rev != 4 {
		t.Errorf("revision %d", rev)
	}
}

func TestAnUnconfirmedChangeHoldsOthersOff(t *testing.T) {
	h := newHousehold(t)
	alice := h.as("alice")
	var out wire.Outcome
	alice.do("PUT", "/api/config/value", `{"path":"dns.port","value":5353,"confirmSeconds":600}`).want(t, 200, &out)
	if out.Pending == nil || out.Pending.Revision != 2 {
		t.Fatalf("outcome %+v", out)
	}
	var health wire.Health
	alice.do("GET", "/api/status", nil).want(t, 200, &health)
	if health.Pending == nil {
		t.Error("the status does not tell of it")
	}
	e := alice.do("PUT", "/api/config/value", `{"path":"dns.port","value":5354}`).problem(t, 409)
	if e.Code != "pending" {
		t.Errorf("problem %+v", e)
	}
	alice.do("POST", "/api/config/confirm", nil).want(t, 200, nil)
	if e := alice.do("POST", "/api/config/confirm", nil).problem(t, 409); e.Code != "conflict" {
		t.Errorf("problem %+v", e)
	}
	alice.do("PUT", "/api/config/value", `{"path":"dns.port","value":5354,"confirmSeconds":600}`).want(t, 200, nil)
	alice.do("POST", "/api/config/revert", nil).want(t, 200, &out)
	if len(out.Diff) != 1 || h.deps.Store.Current().DNS.Port != 5353 {
		t.Errorf("revert led to %+v", out)
	}
}
