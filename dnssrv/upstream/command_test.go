package upstream

import (
	"os/exec"
	"syscall"
)

// command prepares a program that ends with the test.
func command(path string, args ...string) *exec.Cmd {
	c := exec.Command(path, args...)
	c.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	return c
}
