//go:build race

package message

import "time"

// limit is longer under the race detector.
const limit = 10 * time.Second
