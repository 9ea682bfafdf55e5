package nuclei_test

import (
	"testing"

	"assay.dev/assay/internal/scan/engine/enginetest"
	"assay.dev/assay/internal/scan/engine/nuclei"
)

func TestConformance(t *testing.T) {
	t.Parallel()
	enginetest.Run(t, nuclei.New(), enginetest.Samples(t, ".")...)
}
