package wapiti_test

import (
	"testing"

	"assay.dev/assay/internal/scan/engine/enginetest"
	"assay.dev/assay/internal/scan/engine/wapiti"
)

func TestTheEngineConforms(t *testing.T) {
	enginetest.Run(t, wapiti.New(), enginetest.Samples(t, ".")...)
}
