//go:build race

package h2

// forgetful: under the race detector a sync.Pool drops some of what it is given,
// such as the buffers of hpack.
const forgetful = true
