package sublist3r

import (
	"testing"

	"assay.dev/assay/internal/scan/engine/enginetest"
)

func TestConformance(t *testing.T) {
	enginetest.Run(t, New(), enginetest.Samples(t, ".")...)
}
