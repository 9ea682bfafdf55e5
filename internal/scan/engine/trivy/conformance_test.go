package trivy_test

import (
	"testing"

	"assay.dev/assay/internal/scan/engine/enginetest"
	"assay.dev/assay/internal/scan/engine/trivy"
)

func TestConformance(t *testing.T) {
	t.Parallel()
	enginetest.Run(t, trivy.New(), enginetest.Samples(t, ".")...)
}
