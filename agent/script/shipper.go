package script

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"strings"
	"sync"
	"time"

	"github.com/aditmesh/adit/pkg/sdk"
)

const (
	// maxQueue bounds lines that wait for a coordinator that is away, and
	// maxQueueBytes their text; the oldest give way.
	maxQueue      = 8192
	maxQueueBytes = 4 << 20

	// maxBatch is how many lines a request carries.
	maxBatch = 256

	// shipEvery gathers lines into requests.
	shipEvery = 200 * time.Millisecond

	// retryEvery is how soon a request that failed is sent again.
	retryEvery = time.Second
)

// shipper sends lines and states to the coordinator, in the order they came.
type shipper struct {
	to  Coordinator
	log *slog.Logger
	// wake tells the sender that there is something to send.
	wake    chan struct{}
	closing chan struct{}
	cancel  context.CancelFunc // gives up
	wg      sync.WaitGroup

	mu      sync.Mutex // guards what follows
	seq     int64
	queue   []sdk.LogLine
	queued  int // bytes of text in queue
	dropped int
	state   *sdk.ScriptsReport // to report; nil if reported
}

func newShipper(to Coordinator, last int64, log *slog.Logger) *shipper {
	return &shipper{to: to, log: log, seq: last, wake: make(chan struct{}, 1), closing: make(chan struct{})}
}

func (s *shipper) start() {
	ctx, cancel := context.WithCancel(context.Background())
	s.cancel = cancel
	s.wg.Go(func() { s.run(ctx) })
}

// stop sends what is left, but no longer than wait.
func (s *shipper) stop(wait time.Duration) {
	giveUp := time.AfterFunc(wait, s.cancel)
	defer giveUp.Stop()
	close(s.closing)
	s.wg.Wait()
	s.cancel()
}

// say queues a line.
func (s *shipper) say(script, level, text string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for len(s.queue) > 0 && (len(s.queue) == maxQueue || s.queued+len(text) > maxQueueBytes) {
		s.queued -= len(s.queue[0].Text)
		s.queue = s.queue[1:]
		s.dropped++
	}
	text = strings.ToValidUTF8(text, "\uFFFD")
	s.queued += len(text)
	s.seq++
	s.queue = append(s.queue, sdk.LogLine{Seq: s.seq, At: time.Now(), Stage: script, Level: level, Text: text})
	s.nudge()
}

// report queues how scripts are doing, which goes after the lines that came before
// it. A later one takes its place.
func (s *shipper) report(r sdk.ScriptsReport) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.state = &r
	s.nudge()
}

// nudge wakes the sender. s.mu is held.
func (s *shipper) nudge() {
	select {
	case s.wake <- struct{}{}:
	default:
	}
}

func (s *shipper) run(ctx context.Context) {
	for closing := false; ; {
		for s.send(ctx) {
		}
		if closing || ctx.Err() != nil {
			return
		}
		select {
		case <-s.closing:
			closing = true
		case <-s.wake:
		}
		select { // more may come with it
		case <-s.closing:
			closing = true
		case <-time.After(shipEvery):
		}
	}
}

// send sends one batch, or else the state, and reports whether there may be
// more. It tries until it is done or ctx ends.
func (s *shipper) send(ctx context.Context) bool {
	s.mu.Lock()
	batch := append([]sdk.LogLine(nil), s.queue[:min(len(s.queue), maxBatch)]...)
	s.queue = s.queue[len(batch):]
	state := s.state
	if len(batch) == 0 {
		s.state = nil
	}
	for _, l := range batch {
		s.queued -= len(l.Text)
	}
	if s.dropped > 0 && len(batch) > 0 {
		batch[0].Text = fmt.Sprintf("(%d lines before this one were lost while the coordinator was away) %s", s.dropped, batch[0].Text)
		batch[0].Text = batch[0].Text[:min(len(batch[0].Text), maxLine)]
		s.dropped = 0
	}
	s.mu.Unlock()
	switch {
	case len(batch) > 0:
		return s.try(ctx, "lines of scripts", func() error { return s.to.SendAgentLines(ctx, batch) })
	case state != nil:
		return s.try(ctx, "state of the scripts", func() error { return s.to.ReportScripts(ctx, *state) })
	}
	return false
}

// try calls f until it succeeds or is refused for good; false if ctx ended
// first.
func (s *shipper) try(ctx context.Context, what string, f func() error) bool {
	for {
		err := f()
		var refused *sdk.Error
		switch {
		case err == nil:
			return true
		case ctx.Err() != nil:
			return false
		case errors.As(err, &refused) && refused.Status < http.StatusInternalServerError && refused.Status != http.StatusTooManyRequests:
			s.log.Warn("the coordinator does not take what was sent", "what", what, "err", err)
			return true
		}
		s.log.Debug("not sent yet", "what", what, "err", err)
		select {
		case <-ctx.Done():
			return false
		case <-time.After(retryEvery):
		}
	}
}
