// Package metadata runs the commands by which a template has people see how a
// workspace is: its load, the version of a tool, the branch that is checked out.
//
// [Run] runs each at its interval until its context ends, and gives every value
// to a function. A command never runs beside itself, few run beside each other,
// and what one prints too much, takes too long, or leaves behind, is cut off.
package metadata

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os/exec"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/aditmesh/adit/agent/family"
	"github.com/aditmesh/adit/pkg/sdk"
)

const (
	// maxAtOnce bounds commands that run beside each other: they are for people
	// to look at and must not be what the workspace is busy with.
	maxAtOnce = 4

	// maxValue bounds a value. The coordinator takes no more.
	maxValue = 4 << 10

	// maxTimeout bounds a run that may take as long as its interval, which may
	// be a day.
	maxTimeout = time.Minute

	// closeWait is how long output may be held open once the command has ended.
	closeWait = 500 * time.Millisecond
)

// Config configures [Run].
type Config struct {
	Items []sdk.Measure
	// Shell runs them in Dir with Env.
	Shell string
	Dir   string
	Env   []string
	// Start starts them; nil starts them as they are.
	Start family.Starter
	// Report takes each value, or why there is none. It is called concurrently.
	Report func(key, value, err string)
}

// Run runs the commands until ctx ends, and what they started with it.
func Run(ctx context.Context, cfg Config) {
	var wg sync.WaitGroup
	defer wg.Wait()
	slots := make(chan struct{}, maxAtOnce)
	for _, item := range cfg.Items {
		wg.Go(func() { repeat(ctx, cfg, item, slots) })
	}
}

// repeat runs one item at its interval. When a run took longer, the next one
// follows at once, and those that were missed are not caught up on.
func repeat(ctx context.Context, cfg Config, item sdk.Measure, slots chan struct{}) {
	interval := max(time.Duration(item.IntervalSeconds)*time.Second, time.Second)
	for {
		select {
		case <-ctx.Done():
			return
		case slots <- struct{}{}:
		}
		next := time.After(interval)
		value, err := measure(ctx, cfg, item, interval)
		<-slots
		if ctx.Err() != nil {
			return // it was cut short
		}
		text := ""
		if err != nil {
			text = err.Error()
		}
		cfg.Report(item.Key, value, text)
		select {
		case <-ctx.Done():
			return
		case <-next:
		}
	}
}

// measure runs an item once and returns what it printed.
func measure(ctx context.Context, cfg Config, item sdk.Measure, interval time.Duration) (string, error) {
	limit := time.Duration(item.TimeoutSeconds) * time.Second
	if limit <= 0 {
		limit = min(interval, maxTimeout)
	}
	limited, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	cmd := exec.Command(cfg.Shell, "-c", item.Script)
	cmd.Dir, cmd.Env = cfg.Dir, cfg.Env
	var out, errs clipped
	cmd.Stdout, cmd.Stderr = &out, &errs
	cmd.WaitDelay = closeWait
	family.Apart(cmd) // to end with all that it started
	all, err := family.Start(cmd, cfg.Start)
	if err != nil {
		return "", err
	}
	defer all.Close()
	end := func() { _ = all.Signal(syscall.SIGKILL) } // it fails if nothing is left
	stop := context.AfterFunc(limited, end)
	err = cmd.Wait()
	stop()
	end()
	var exit *exec.ExitError
	switch {
	case err == nil, errors.Is(err, exec.ErrWaitDelay): // it ended; something in its background did not
		return out.text(), nil
	case limited.Err() != nil:
		return out.text(), fmt.Errorf("it took longer than %v", limit)
	case errors.As(err, &exit):
		return out.text(), fmt.Errorf("%s %s", strings.Replace(exit.Error(), "exit status", "exit code", 1), errs.lastLine())
	default:
		return "", err
	}
}

// clipped keeps the beginning of what is written to it.
type clipped struct{ b bytes.Buffer }

func (c *clipped) Write(p []byte) (int, error) {
	c.b.Write(p[:min(len(p), maxValue-c.b.Len())])
	return len(p), nil
}

func (c *clipped) text() string {
	return strings.TrimSpace(strings.ToValidUTF8(c.b.String(), "?"))
}

func (c *clipped) lastLine() string {
	text := c.text()
	return text[strings.LastIndexByte(text, '\n')+1:]
}
