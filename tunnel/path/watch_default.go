//go:build !linux

package path

import (
	"net"
	"sync"
	"time"
)

// pollEvery is how often this machine's interfaces are looked at where nobody
// tells of changes.
const pollEvery = time.Second

// networkEvents come at regular times: whether anything happened is for the
// receiver to find out.
type networkEvents struct {
	tick   *time.Ticker
	once   sync.Once
	closed chan struct{}
}

func openNetworkEvents() (*networkEvents, error) {
	return &networkEvents{tick: time.NewTicker(pollEvery), closed: make(chan struct{})}, nil
}

// next waits until it is time to look again. It fails after close.
func (e *networkEvents) next() (routes bool, err error) {
	select {
	case <-e.tick.C:
		return false, nil
	case <-e.closed:
		return false, net.ErrClosed
	}
}

func (e *networkEvents) close() error {
	e.once.Do(func() { e.tick.Stop(); close(e.closed) })
	return nil
}
