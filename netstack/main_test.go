package netstack

import (
	"os"
	"testing"

	"pic/internal/nettest"
)

func TestMain(m *testing.M) {
	if conf := os.Getenv(childConf); conf != "" {
		serveUntilKilled(conf)
	}
	if path := os.Getenv(childRouting); path != "" {
		forwardUntilKilled(path)
	}
	os.Exit(nettest.Main(m))
}
