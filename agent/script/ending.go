package script

import (
	"context"
	"errors"
	"fmt"
	"os/exec"
	"strings"

	"github.com/aditmesh/adit/pkg/sdk"
)

// ending is how a run ended.
type ending struct {
	state, level, text string
	code               *int // nil if there is none
}

// endingOf reads how a run ended. limited is done when its own time is up, ctx
// when everybody's is.
func endingOf(err error, ctx, limited context.Context, seconds int) ending {
	var exit *exec.ExitError
	switch {
	case err == nil:
		return ending{sdk.ScriptsSucceeded, "info", "exit code 0", new(int)}
	case ctx.Err() != nil:
		return ending{state: sdk.ScriptsFailed, level: "error", text: "cut short"}
	case limited.Err() != nil:
		return ending{state: sdk.ScriptsTimeout, level: "error", text: fmt.Sprintf("ended: it took longer than %d s,", seconds)}
	}
	// "exit status 3" is what Go calls it.
	e := ending{state: sdk.ScriptsFailed, level: "error", text: strings.Replace(err.Error(), "exit status", "exit code", 1)}
	if errors.As(err, &exit) && exit.Exited() {
		code := exit.ExitCode()
		e.code = &code
	}
	return e
}
