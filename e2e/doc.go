// Package e2e starts whole cells, as a user would, and asks them with clients
// that this project did not write. It has tests only.
//
// Every test runs in network namespaces of its own (internal/nettest), so that a
// cell has its real ports and touches nothing of the machine.
package e2e
