package e2e

import (
	"testing"

	"github.com/actorlog/actorlog/e2e/process"
)

func TestMain(m *testing.M) { process.Main(m) }
