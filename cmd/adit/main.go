// Command adit is every role of the mesh in one binary: coordinator, relay,
// agent, and the command line of the people who use them.
package main

import (
	"context"
	"os"
	"os/signal"
	"syscall"

	"github.com/aditmesh/adit/provisioner/tfprovider"
)

// version is set by the linker.
var version = "dev"

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM, syscall.SIGHUP)
	// The first signal asks for an end in order; a second one does not wait for it.
	context.AfterFunc(ctx, stop)
	args := os.Args[1:]
	if tfprovider.IsProvider(os.Args[0]) {
		args = []string{tfprovider.Command}
	}
	code := run(ctx, streams{in: os.Stdin, out: os.Stdout, err: os.Stderr}, args)
	stop()
	os.Exit(code)
}
