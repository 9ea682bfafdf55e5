package sentinel

import (
	"testing"

	"assay.dev/assay/internal/scan/engine/enginetest"
)

func TestSentinelKeepsThePortsContract(t *testing.T) {
	enginetest.Run(t, New(), enginetest.Samples(t, ".")...)
}
