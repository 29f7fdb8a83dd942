package events

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"net/http"
	"slices"
	"strconv"
	"sync"
	"time"

	"github.com/google/uuid"

	"github.com/aditmesh/adit/coordinator/seal"
	"github.com/aditmesh/adit/coordinator/store"
	"github.com/aditmesh/adit/pkg/sdk"
)

const (
	// leaseEvery is how often a coordinator says that it delivers, and looks for
	// webhooks that nobody delivers to; of new ones it is told. lease is how long
	// nobody else takes over after it said so: an attempt, and two renewals that
	// did not come.
	leaseEvery = 5 * time.Second
	lease      = 30 * time.Second

	// attemptTimeout bounds one attempt.
	attemptTimeout = 10 * time.Second

	// maxTries is after how many attempts a delivery is dead. With the waits
	// below that is some 8 minutes, for which those behind it wait, too.
	maxTries = 10

	// The wait after an attempt that failed doubles from firstWait to longestWait.
	firstWait   = time.Second
	longestWait = 5 * time.Minute

	// refusedWait is the wait after an attempt that the guard did not allow.
	refusedWait = 10 * time.Second

	// batch is how many events are made deliveries of at once, and so how many
	// wait in a queue at most, besides what people have delivered again.
	batch = 100

	// Deliveries that are over are kept for a week, and the newest of each webhook.
	keepDeliveries    = 7 * 24 * time.Hour
	maxKeptDeliveries = 10_000

	// maxAnswer bounds what is read of an answer, for the connection's next use.
	maxAnswer = 64 << 10
)

// Deliveries is where webhooks and what they get are kept.
type Deliveries interface {
	LeaseWebhooks(ctx context.Context, by uuid.UUID, lease time.Duration) ([]store.Webhook, error)
	NextDelivery(ctx context.Context, webhookID, by uuid.UUID, limit int, payload func(store.Event) ([]byte, error)) (store.Delivery, error)
	DeliveryTried(ctx context.Context, id int64, status string, answer int, problem string, wait time.Duration) error
	PruneDeliveries(ctx context.Context, before time.Time, keep int) (int64, error)
	NewestEvent(ctx context.Context) (int64, error)
}

// DelivererConfig configures a Deliverer.
type DelivererConfig struct {
	Store Deliveries
	Bus   *Bus
	// Keys open what deliveries are signed with.
	Keys *seal.Keys
	// AllowPrivate lets webhooks go to addresses that are not the internet's.
	AllowPrivate bool
	// Guard makes a call to a webhook's host, or returns an error without making
	// it: a circuit breaker. Nil makes each call.
	Guard func(host string, call func() error) error
	// FirstWait is the wait after the first attempt that failed. Zero means 1 s.
	FirstWait time.Duration
	Version   string
	Logger    *slog.Logger // nil discards
}

// Deliverer brings events to webhooks: to each in order, at least once, one at a
// time. What fails is tried again later, and put aside at last. Of several
// coordinators one delivers to a webhook.
type Deliverer struct {
	cfg  DelivererConfig
	self uuid.UUID // of this process, for leases
	http *http.Client
	log  *slog.Logger
}

// NewDeliverer returns a deliverer.
func NewDeliverer(cfg DelivererConfig) *Deliverer {
	if cfg.Guard == nil {
		cfg.Guard = func(_ string, call func() error) error { return call() }
	}
	if cfg.FirstWait == 0 {
		cfg.FirstWait = firstWait
	}
	if cfg.Logger == nil {
		cfg.Logger = slog.New(slog.DiscardHandler)
	}
	return &Deliverer{cfg: cfg, self: uuid.New(), http: newClient(cfg.AllowPrivate), log: cfg.Logger}
}

// Run delivers until ctx is done.
func (d *Deliverer) Run(ctx context.Context) {
	var hooks sync.WaitGroup
	defer func() {
		hooks.Wait()
		d.http.CloseIdleConnections()
		// Else the next coordinator has to wait until the lease is over, as it
		// does after a crash.
		_, _ = d.cfg.Store.LeaseWebhooks(context.WithoutCancel(ctx), d.self, 0)
	}()
	running := make(map[uuid.UUID]context.CancelFunc)
	came := make(chan struct{}, 1)
	hooks.Go(func() { d.follow(ctx, came) })
	tick := time.NewTicker(leaseEvery)
	defer tick.Stop()
	prune := time.NewTicker(pruneEvery)
	defer prune.Stop()
	for {
		list, err := d.cfg.Store.LeaseWebhooks(ctx, d.self, lease)
		if err != nil && ctx.Err() == nil {
			d.log.Debug("webhooks cannot be looked for now", "err", err)
		}
		if err == nil {
			leased := make(map[uuid.UUID]bool, len(list))
			for _, w := range list {
				leased[w.ID] = true
				if running[w.ID] == nil {
					one, stop := context.WithCancel(ctx)
					running[w.ID] = stop
					hooks.Go(func() { d.serve(one, w) })
				}
			}
			for id, stop := range running {
				if !leased[id] { // deleted, or another's by now
					stop()
					delete(running, id)
				}
			}
		}
		select {
		case <-ctx.Done():
			for _, stop := range running {
				stop()
			}
			return
		case <-tick.C:
		case <-came:
		case <-prune.C:
			if _, err := d.cfg.Store.PruneDeliveries(ctx, time.Now().Add(-keepDeliveries), maxKeptDeliveries); err != nil {
				d.log.Warn("old deliveries cannot be pruned now", "err", err)
			}
		}
	}
}

// follow says when webhooks came or went, until ctx is done.
func (d *Deliverer) follow(ctx context.Context, came chan<- struct{}) {
	seen := int64(-1)
	for ctx.Err() == nil {
		list, err := d.next(ctx, &seen)
		if err != nil {
			pause(ctx, refusedWait)
			continue
		}
		// None is that it only begins: what came until now is not told.
		if list == nil || slices.ContainsFunc(list, func(e store.Event) bool { return e.Kind == store.EventWebhook }) {
			select {
			case came <- struct{}{}:
			default:
			}
		}
	}
}

// next returns the events after the last that was seen, and notes that they were.
// Below zero none was, and it begins with those that are still to come.
func (d *Deliverer) next(ctx context.Context, seen *int64) ([]store.Event, error) {
	if *seen < 0 {
		newest, err := d.cfg.Store.NewestEvent(ctx)
		if err != nil {
			return nil, err
		}
		*seen = newest
		return nil, nil
	}
	list, err := d.cfg.Bus.Next(ctx, *seen)
	if errors.Is(err, store.ErrGone) {
		*seen = -1
	}
	if err == nil {
		*seen = list[len(list)-1].Version
	}
	return list, err
}

// serve delivers to one webhook until ctx is done.
func (d *Deliverer) serve(ctx context.Context, w store.Webhook) {
	secret, err := openSecret(d.cfg.Keys, w)
	if err != nil {
		d.log.Error("nothing is delivered to a webhook until the server is started with the key", "webhook", w.Name, "err", err)
		<-ctx.Done()
		return
	}
	seen := int64(-1)
	for ctx.Err() == nil {
		if seen < 0 { // before it is looked what there is to deliver
			if _, err := d.next(ctx, &seen); err != nil {
				pause(ctx, refusedWait)
				continue
			}
		}
		next, err := d.cfg.Store.NextDelivery(ctx, w.ID, d.self, batch, payload)
		switch {
		case errors.Is(err, store.ErrNotFound):
			d.await(ctx, &seen)
		case err != nil:
			if ctx.Err() == nil {
				d.log.Warn("deliveries to a webhook have to wait", "webhook", w.Name, "err", err)
			}
			pause(ctx, refusedWait)
		default:
			pause(ctx, time.Until(next.NextAt))
			if ctx.Err() == nil {
				d.deliver(ctx, w, secret, next)
			}
		}
	}
}

// await waits for events after the last that was seen, or for a while.
func (d *Deliverer) await(ctx context.Context, seen *int64) {
	ctx, cancel := context.WithTimeout(ctx, leaseEvery)
	defer cancel()
	if _, err := d.next(ctx, seen); err != nil && !errors.Is(err, store.ErrGone) {
		<-ctx.Done()
	}
}

// deliver makes an attempt and notes what came of it.
func (d *Deliverer) deliver(ctx context.Context, w store.Webhook, secret string, del store.Delivery) {
	req, err := d.request(ctx, w, secret, del)
	if err != nil {
		d.tried(ctx, w, del, store.DeliveryDead, 0, err)
		return
	}
	made, answer := false, 0
	err = d.cfg.Guard(req.URL.Host, func() (err error) {
		made = true
		answer, err = d.post(req)
		return err
	})
	switch {
	case ctx.Err() != nil:
		return // whoever delivers next tries again
	case !made:
		pause(ctx, refusedWait)
	case err == nil:
		d.tried(ctx, w, del, store.DeliveryDelivered, answer, nil)
	case del.Attempts+1 >= maxTries:
		d.log.Warn("a delivery to a webhook is given up", "webhook", w.Name, "delivery", del.ID, "event", del.Event, "attempts", del.Attempts+1, "err", err)
		d.tried(ctx, w, del, store.DeliveryDead, answer, err)
	default:
		d.tried(ctx, w, del, store.DeliveryPending, answer, err)
	}
}

// tried notes what came of an attempt. If it cannot be noted, it is made again.
func (d *Deliverer) tried(ctx context.Context, w store.Webhook, del store.Delivery, status string, answer int, problem error) {
	text := ""
	if problem != nil {
		text = problem.Error()[:min(len(problem.Error()), 500)]
	}
	wait := backOff(d.cfg.FirstWait, del.Attempts)
	if err := d.cfg.Store.DeliveryTried(ctx, del.ID, status, answer, text, wait); err != nil && ctx.Err() == nil {
		d.log.Warn("what came of a delivery cannot be noted, so it is made again", "webhook", w.Name, "delivery", del.ID, "err", err)
		pause(ctx, refusedWait)
	}
}

// backOff is the wait after an attempt that failed: half of it and up to another
// half, so that many do not come back at once.
func backOff(first time.Duration, attempts int) time.Duration {
	d := first
	for range attempts {
		if d *= 2; d >= longestWait {
			d = longestWait
			break
		}
	}
	return d/2 + rand.N(d/2+1)
}

func (d *Deliverer) request(ctx context.Context, w store.Webhook, secret string, del store.Delivery) (*http.Request, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, w.URL, bytes.NewReader(del.Payload))
	if err != nil {
		return nil, fmt.Errorf("webhook %s: %w", w.Name, err)
	}
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("User-Agent", "adit/"+d.cfg.Version)
	req.Header.Set(sdk.EventHeader, del.Event)
	req.Header.Set(sdk.DeliveryHeader, strconv.FormatInt(del.ID, 10))
	req.Header.Set(sdk.SignatureHeader, sdk.SignWebhook(secret, time.Now(), del.Payload))
	return req, nil
}

// post sends a request and returns the status of the answer, with an error
// unless that says that it was taken.
func (d *Deliverer) post(req *http.Request) (int, error) {
	resp, err := d.http.Do(req)
	if err != nil {
		return 0, err
	}
	defer resp.Body.Close()
	// Whatever it says, or fails to, its status is the answer.
	_, _ = io.CopyN(io.Discard, resp.Body, maxAnswer)
	switch {
	case resp.StatusCode/100 == 2:
		return resp.StatusCode, nil
	case resp.StatusCode/100 == 3:
		return resp.StatusCode, fmt.Errorf("it answered %s; redirects are not followed", resp.Status)
	default:
		return resp.StatusCode, fmt.Errorf("it answered %s", resp.Status)
	}
}

// payload is what is posted of an event.
func payload(e store.Event) ([]byte, error) {
	c := sdk.Change{Version: e.Version, At: e.At, Kind: e.Kind, Action: e.Action, ID: e.SubjectID.String()}
	if e.WorkspaceID != uuid.Nil {
		c.WorkspaceID = e.WorkspaceID.String()
	}
	if err := json.Unmarshal(e.Data, &c.Data); err != nil {
		return nil, fmt.Errorf("event %d: %w", e.Version, err)
	}
	return json.Marshal(c)
}

// pause waits for a time, or until ctx is done.
func pause(ctx context.Context, d time.Duration) {
	if d <= 0 {
		return
	}
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
	case <-t.C:
	}
}
