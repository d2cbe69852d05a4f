//go:build !race

package message

import "time"

// limit is how long a scan of some 20 MB may take.
const limit = time.Second
