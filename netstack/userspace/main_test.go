package userspace

import (
	"os"
	"testing"

	"pic/internal/nettest"
)

func TestMain(m *testing.M) { os.Exit(nettest.Main(m)) }
