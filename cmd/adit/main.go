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
	ctx, stop := untilSignal()
	// The first signal asks for an end in order; a second one does not wait for it.
	context.AfterFunc(ctx, stop)
	code := run(ctx, streams{in: os.Stdin, out: os.Stdout, err: os.Stderr}, arguments(os.Args))
	stop()
	os.Exit(code)
}

// untilSignal returns a context that ends with the first signal that asks for an end. A
// hang-up does, but under nohup.
func untilSignal() (context.Context, context.CancelFunc) {
	ends := []os.Signal{os.Interrupt, syscall.SIGTERM}
	if signal.Ignored(syscall.SIGHUP) {
		// Programs that are started here would ignore it, too, such as those of an
		// agent's sessions, which have to hear of a client that has gone. One that is
		// caught they do not.
		signal.Notify(make(chan os.Signal, 1), syscall.SIGHUP)
	} else {
		ends = append(ends, syscall.SIGHUP)
	}
	return signal.NotifyContext(context.Background(), ends...)
}
