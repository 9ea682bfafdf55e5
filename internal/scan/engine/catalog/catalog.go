// Package catalog lists the scan engines that this build holds: one line each, in the order in which they are shown.
//
// A new engine is one folder beside this one and one line in All. The package must never decide anything about an
// engine; whether one can run here is asked of the engine itself. There is only this file.
package catalog

import (
	"assay.dev/assay/internal/scan/engine"
	"assay.dev/assay/internal/scan/engine/harvester"
	"assay.dev/assay/internal/scan/engine/nikto"
	"assay.dev/assay/internal/scan/engine/nmap"
	"assay.dev/assay/internal/scan/engine/nuclei"
	"assay.dev/assay/internal/scan/engine/sentinel"
	"assay.dev/assay/internal/scan/engine/sqlmap"
	"assay.dev/assay/internal/scan/engine/sublist3r"
	"assay.dev/assay/internal/scan/engine/trivy"
	"assay.dev/assay/internal/scan/engine/wapiti"
	"assay.dev/assay/internal/scan/engine/zap"
)

// All returns every engine.
func All() []engine.Engine {
	return []engine.Engine{
		sentinel.New(),
		nmap.New(),
		trivy.New(),
		nuclei.New(),
		zap.New(),
		nikto.New(),
		sqlmap.New(),
		wapiti.New(),
		harvester.New(),
		sublist3r.New(),
	}
}

// ByID returns the engine with the id (the API's scanType); ok is false where there is none.
func ByID(id string) (e engine.Engine, ok bool) {
	for _, e := range All() {
		if e.Manifest().ID == id {
			return e, true
		}
	}
	return nil, false
}
