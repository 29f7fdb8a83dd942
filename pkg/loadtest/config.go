package loadtest

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/aditmesh/adit/pkg/sdk"
)

// Prefix begins the name of every workspace that a load test makes.
const Prefix = "loadtest-"

// Config is what all tests need.
type Config struct {
	// Client is at the coordinator under test, with a token of an owner's.
	Client *sdk.Client
	// Concurrency is how many requests make and delete workspaces at once. Zero
	// means 16, as many as a coordinator has connections to its database.
	Concurrency int
	// Progress hears how far a stage has come, often; nil ignores it. It is
	// called by one goroutine at a time.
	Progress func(stage string, done, total int)
	// Version is what simulated nodes say they are.
	Version string
}

const defaultConcurrency = 16

// progressEvery is how often a stage under way is told of.
const progressEvery = 200 * time.Millisecond

// ErrNotAllowed is a token of somebody who may not load the deployment.
var ErrNotAllowed = errors.New("only owners of the deployment may test what it bears")

// Allowed returns ErrNotAllowed unless the client's user is an owner.
func Allowed(ctx context.Context, c *sdk.Client) error {
	me, err := c.Me(ctx)
	if err != nil {
		return fmt.Errorf("load test: %w", err)
	}
	if me.Role != "owner" {
		return fmt.Errorf("%w; %s is %s", ErrNotAllowed, me.Username, me.Role)
	}
	return nil
}

func (c Config) concurrency() int {
	if c.Concurrency > 0 {
		return c.Concurrency
	}
	return defaultConcurrency
}

// follow tells of a stage's progress until stop is called, which tells of it
// once more.
func (c Config) follow(stage string, total int, done func() int) (stop func()) {
	if c.Progress == nil {
		return func() {}
	}
	end, ended := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(ended)
		tick := time.NewTicker(progressEvery)
		defer tick.Stop()
		for {
			c.Progress(stage, done(), total)
			select {
			case <-tick.C:
			case <-end:
				c.Progress(stage, done(), total)
				return
			}
		}
	}()
	return func() {
		close(end)
		<-ended
	}
}
