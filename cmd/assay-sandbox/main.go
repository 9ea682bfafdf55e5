//go:build linux

// Command assay-sandbox confines the programs of scan engines. The server starts it; nobody else needs to.
package main

import (
	"os"
	"syscall"

	"assay.dev/assay/internal/infra/runner/cell"
)

func main() { syscall.Exit(cell.Main(os.Args[1:], syscall.Environ())) }
