// Command assay is the whole product in one binary: server, worker, scheduler, and the command line that drives them.
// It holds nothing but the exit code; start with package cli.
package main

import (
	"os"

	"assay.dev/assay/internal/cli"
)

func main() {
	os.Exit(cli.Main(os.Args[1:], cli.OS()))
}
