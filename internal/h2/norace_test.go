//go:build !race

package h2

// forgetful: what a sync.Pool is given, it mostly keeps.
const forgetful = false
