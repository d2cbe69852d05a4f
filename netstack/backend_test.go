package netstack

import (
	"slices"
	"testing"
	"time"

	"pic/core/service"
	"pic/internal/nettest"
	"pic/netstack/wgdev"
)

func hasProblem(s *Server, code string) bool {
	return slices.ContainsFunc(s.Problems(), func(p service.Problem) bool { return p.Code == code && p.Fix != "" })
}

func TestMissingKernelBackendFallsBackAndSaysSo(t *testing.T) {
	if wgdev.CanKernel() == nil {
		nettest.Skip(t, "this kernel has WireGuard")
	}
	w := newTown(t)
	w.doc.WireGuard.Backend = "kernel"
	s, stop := w.serve(t)
	defer stop()
	if !hasProblem(s, codeNoKernel) {
		t.Errorf("no problem: %v", s.Problems())
	}
	w.join(t)
	w.pings(t, "10.77.0.1")
	w.doc.WireGuard.Backend = ""
	apply(t, s, w.config())
	if hasProblem(s, codeNoKernel) {
		t.Error("the problem stays")
	}
}

func TestChangesByTheToolAreToldAndUndone(t *testing.T) {
	w := newTown(t)
	s, stop := w.serve(t)
	defer stop()
	nettest.WaitFor(t, 30*time.Second, func() bool {
		w.self.Run(t, "wg", "set", "pic0", "fwmark", "7") // an address of the host that comes up late undoes it
		return hasProblem(s, codeTouched)
	})
	apply(t, s, w.config())
	nettest.WaitFor(t, 20*time.Second, func() bool { return !hasProblem(s, codeTouched) })
	if got := w.self.Run(t, "wg", "show", "pic0", "fwmark"); got != "off\n" && got != "off" {
		t.Errorf("fwmark is %q", got)
	}
}
