package app

import "runtime"

// version is set by the linker (Makefile).
var version = "dev"

// Build says what this binary is.
type Build struct {
	Version  string `json:"version"`
	Go       string `json:"go"`
	Platform string `json:"platform"`
}

// Version returns what this binary is.
func Version() Build {
	return Build{Version: version, Go: runtime.Version(), Platform: runtime.GOOS + "/" + runtime.GOARCH}
}
