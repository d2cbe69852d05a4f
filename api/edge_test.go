package api

import (
	"testing"

	"pic/api/wire"
)

func TestTheSelfTestNamesWhatIsMissing(t *testing.T) {
	h := newHousehold(t)
	var steps []wire.ReachStep
	h.as("alice").do("GET", "/api/wireguard/check", nil).want(t, 200, &steps)
	if len(steps) != 4 || steps[1].Outcome != "bad" || steps[1].Fix == "" || steps[3].Outcome != "unknown" {
		t.Errorf("%+v", steps)
	}
}

func TestWakingNeedsADeviceThatIsKnown(t *testing.T) {
	h := newHousehold(t)
	h.as("alice").do("POST", "/api/wake", `{"name":"nobody"}`).problem(t, 404)
	h.as("alice").do("POST", "/api/wake", `{"mac":"02:00"}`).problem(t, 422)
	h.as("alice").do("POST", "/api/wake", `{"mac":"02:00:5e:10:20:30"}`).problem(t, 409) // a trial
}
