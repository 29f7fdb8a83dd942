package provisioner

import (
	"context"
	"fmt"
	"sync"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	provisionerv1 "github.com/aditmesh/adit/pkg/proto/provisionerv1"
)

const (
	// A call that failed is made again after a pause that doubles. The longest
	// is well within a lease.
	callRetryMin = 100 * time.Millisecond
	callRetryMax = 3 * time.Second

	// callTimeout bounds one try: a large state over a slow line.
	callTimeout = 2 * time.Minute
)

// link is the way to the coordinator for jobs, which outlive its connections.
type link struct {
	mu      sync.Mutex // guards the following
	client  provisionerv1.ProvisionerClient
	changed chan struct{} // closed when client changes
	leaving chan struct{} // closed by bye
	left    bool
}

func newLink() *link {
	return &link{changed: make(chan struct{}), leaving: make(chan struct{})}
}

// set makes client the way, nil while there is none.
func (l *link) set(client provisionerv1.ProvisionerClient) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.client = client
	close(l.changed)
	l.changed = make(chan struct{})
}

// bye makes this session and later ones ask for no more jobs.
func (l *link) bye() {
	l.mu.Lock()
	defer l.mu.Unlock()
	if !l.left {
		l.left = true
		close(l.leaving)
	}
}

func (l *link) get() (provisionerv1.ProvisionerClient, <-chan struct{}) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.client, l.changed
}

// call makes a call, over each connection that comes along until it is answered
// or ctx is done.
func (l *link) call(ctx context.Context, name string, f func(context.Context, provisionerv1.ProvisionerClient) error) error {
	pause := callRetryMin
	for {
		client, changed := l.get()
		var retry <-chan time.Time
		if client != nil {
			try, cancel := context.WithTimeout(ctx, callTimeout)
			err := f(try, client)
			cancel()
			if err == nil {
				return nil
			}
			if ctx.Err() == nil && !passes(err) {
				return fmt.Errorf("provisioner: %s: %w", name, err)
			}
			retry = time.After(pause)
			pause = min(2*pause, callRetryMax)
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("provisioner: %s: %w", name, context.Cause(ctx))
		case <-changed:
		case <-retry:
		}
	}
}

// passes reports whether an error may be gone with the next try: the connection
// broke, or the coordinator is not itself.
func passes(err error) bool {
	switch status.Code(err) {
	case codes.Unavailable, codes.DeadlineExceeded, codes.Canceled, codes.Internal, codes.Unknown, codes.ResourceExhausted:
		return true
	}
	return false
}
