package router

import (
	"fmt"
	"path/filepath"

	"pic/core/service"
	"pic/netstack/shape"
)

// shape keeps the line's queues in place; what stands in the way is a problem.
// The caller holds mu.
func (s *Server) shape() *service.Problem {
	if _, err := linkNamed(s.conf.WAN.Name); err != nil {
		return nil // told already; it is shaped once it is there
	}
	err := s.shaper.Set(s.conf.Shaping)
	if err == nil {
		return nil
	}
	return &service.Problem{
		Code: codeShape, Severity: service.Warning, Title: "The line is not shaped", Text: err.Error(),
		Fix: "Everything works, but a big download may slow down everybody. The text says what stands in the way.",
	}
}

// Cleanup takes away whatever a router that was killed left on the host, and puts
// back what was there. dir is the router's folder. It must not run beside a
// router.
func Cleanup(dir string) error {
	if err := newKernel(filepath.Join(dir, madeFile)).apply(plan{}); err != nil {
		return fmt.Errorf("putting the network back: %w", err)
	}
	return shape.Cleanup()
}
