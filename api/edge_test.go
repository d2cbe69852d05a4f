package api

import (
	"testing"

	"pic/api/wire"
)

func TestTheSelfTestOfATrialNamesWhatIsMissing(t *testing.T) {
	h := newHousehold(t)
	var steps []wire.ReachStep
	h.as("ann").do("GET", "/api/wireguard/check", nil).want(t, 200, &steps)
	if len(steps) == 0 || steps[0].Name != "endpoint" || steps[0].Outcome == "ok" || steps[0].Fix == "" {
		t.Errorf("%+v", steps)
	}
}

func TestWakingNeedsADeviceThatIsKnown(t *testing.T) {
	h := newHousehold(t)
	h.as("ann").do("POST", "/api/wake", wire.Wake{Name: "nobody"}).problem(t, 404)
	h.as("ann").do("POST", "/api/wake", wire.Wake{MAC: "02:00"}).problem(t, 422)
	h.as("ann").do("POST", "/api/wake", wire.Wake{MAC: "02:00:5e:10:20:30"}).problem(t, 409) // a trial
}
