// Command adit is every role of the mesh in one binary: coordinator, relay,
// agent, and the command line of the people who use them.
package main

import (
	"context"
	"os"
	"os/signal"
	"syscall"

	// Authorities to trust where the system names none: in containers with nothing
	// but this binary.
	_ "golang.org/x/crypto/x509roots/fallback"
)

// version is set by the linker.
var version = "dev"

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM, syscall.SIGHUP)
	// The first signal asks for an end in order; a second one does not wait for it.
	context.AfterFunc(ctx, stop)
	code := run(ctx, streams{in: os.Stdin, out: os.Stdout, err: os.Stderr}, arguments(os.Args))
	stop()
	os.Exit(code)
}
