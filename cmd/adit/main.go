// Command adit is every role of the mesh in one binary: coordinator, relay,
// agent, and the command line of the people who use them.
package main

import (
	"context"
	"fmt"
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
	code := run(ctx, streams{in: os.Stdin, out: os.Stdout, err: os.Stderr}, arguments(os.Args))
	stop()
	os.Exit(code)
}

// untilSignal returns a context that ends with the first signal that asks for an end. A
// hang-up does, but under nohup. By then nobody waits for signals any more: a second one
// ends the process at once. stop is to be called when it is not needed any more.
func untilSignal() (ctx context.Context, stop func()) {
	ends := []os.Signal{os.Interrupt, syscall.SIGTERM}
	if signal.Ignored(syscall.SIGHUP) {
		// Programs that are started here would ignore it, too, such as those of an
		// agent's sessions, which have to hear of a client that has gone. One that is
		// caught they do not.
		signal.Notify(make(chan os.Signal, 1), syscall.SIGHUP)
	} else {
		ends = append(ends, syscall.SIGHUP)
	}
	came := make(chan os.Signal, 1)
	signal.Notify(came, ends...)
	ctx, cancel := context.WithCancelCause(context.Background())
	done := make(chan struct{})
	go func() {
		defer close(done)
		select {
		case s := <-came:
			signal.Stop(came)
			cancel(fmt.Errorf("%w: %v signal received", context.Canceled, s))
		case <-ctx.Done():
			signal.Stop(came)
		}
	}()
	return ctx, func() {
		cancel(nil)
		<-done
	}
}
