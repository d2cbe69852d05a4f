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
	os.Exit(nettest.Main(m))
}
