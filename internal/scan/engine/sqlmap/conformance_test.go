package sqlmap_test

import (
	"testing"

	"assay.dev/assay/internal/scan/engine/enginetest"
	"assay.dev/assay/internal/scan/engine/sqlmap"
)

func TestTheEngineConforms(t *testing.T) {
	enginetest.Run(t, sqlmap.New(), enginetest.Samples(t, ".")...)
}
