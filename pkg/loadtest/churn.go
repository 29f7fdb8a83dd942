package loadtest

import (
	"context"
	"fmt"
	"maps"
	"math/rand/v2"
	"sync"
	"time"

	meshv1 "github.com/aditmesh/adit/pkg/proto/meshv1"
)

// ChurnConfig is a test with nodes that come, go and move.
type ChurnConfig struct {
	Config
	// Agents and Clients are how many of each, Watch how many agents each client
	// wants.
	Agents, Clients, Watch int
	// Rate is how many nodes a second do something: eight of ten get other
	// endpoints, one leaves and one breaks, and is back a second later.
	Rate float64
	// Duration is how long.
	Duration time.Duration
}

const (
	// awayFor is how long a node that left stays away.
	awayFor = time.Second

	// arriveWithin is how long the last updates may take to arrive before they
	// count as missed.
	arriveWithin = 5 * time.Second

	// lookEvery is how often it is looked whether they have.
	lookEvery = 20 * time.Millisecond
)

// What can happen to a node, and its peers hear of.
const (
	moved    = "moved"    // other endpoints
	returned = "returned" // back on a stream
	left     = "left"     // said bye
	broke    = "broke"    // its connection ended
)

// ChurnResult is what came of it.
type ChurnResult struct {
	Agents         int     `json:"agents"`
	Clients        int     `json:"clients"`
	ConnectSeconds float64 `json:"connect_seconds"`
	Seconds        float64 `json:"seconds"`
	Events         int     `json:"events"`
	// Updates say how long after a node's event each of its peers knew, by what
	// happened; Update is for all that happens.
	Updates map[string]Spread `json:"updates"`
	Update  Spread            `json:"update"`
	// Arrived counts them. Overtaken are endpoints that a peer never heard of
	// because newer ones came first, and Missed peers that did not know a node's
	// last endpoints in the end: of those there must be none.
	Arrived   int            `json:"arrived"`
	Overtaken int            `json:"overtaken"`
	Missed    int            `json:"missed"`
	Errors    map[string]int `json:"errors"`
}

// Churn connects agents and clients, and lets them come, go and move.
func Churn(ctx context.Context, c ChurnConfig) (r ChurnResult, err error) {
	r.Agents, r.Clients = c.Agents, c.Clients
	list, _, err := c.make(ctx, c.Agents)
	defer func() {
		if cleaned := c.remove(ctx, names(list)); err == nil {
			err = cleaned
		}
	}()
	if err != nil {
		return r, err
	}
	ch := newChurn(c, list)
	ctx, cancel := context.WithCancel(ctx)
	var running sync.WaitGroup
	defer running.Wait()
	defer cancel()
	began := time.Now()
	for _, w := range ch.walkers {
		running.Go(func() { w.live(ctx) })
	}
	err = ch.await(ctx, "connecting agents and clients", defaultSettle, ch.ready)
	r.ConnectSeconds = time.Since(began).Seconds()
	if err == nil {
		began = time.Now()
		r.Events = ch.happen(ctx)
		r.Seconds = time.Since(began).Seconds()
		err = ch.await(ctx, "waiting for the last to return", defaultSettle, ch.ready)
	}
	if err == nil {
		// What has not arrived by then is counted.
		_ = ch.await(ctx, "waiting for the last updates", arriveWithin, func() int { return len(ch.walkers) - ch.missed() })
		r.Missed = ch.missed()
	}
	ch.report(&r)
	return r, err
}

// churn is all nodes and what they know of each other.
type churn struct {
	cfg     ChurnConfig
	walkers []*walker
	errs    tally

	mu        sync.Mutex // guards what follows, and in walkers and views
	times     map[string][]time.Duration
	overtaken int
}

// walker is a node that comes, goes and moves.
type walker struct {
	c     *churn
	index int
	id    string   // of agents
	want  []string // of clients: agents' ids
	node  *node

	// Guarded by churn.mu.
	session *session // nil while away
	stop    func()   // ends its being there
	leaving bool     // until it is back
	events  []event  // the endpoints it had
	gone    event    // how it left last
	views   map[string]*view
}

// event is what happened to a node, and when.
type event struct {
	what string
	at   time.Time
}

// view is what a walker knows of a peer.
type view struct {
	since time.Time // when it first heard of it in this session
	of    *walker   // nil until it has heard of endpoints
	seen  int       // which endpoints it knows: those of the peer's so-manieth event
}

func newChurn(c ChurnConfig, list []made) *churn {
	ch := &churn{cfg: c, times: make(map[string][]time.Duration)}
	hc := newHTTPClient()
	add := func(token string) *walker {
		w := &walker{c: ch, index: len(ch.walkers), node: newNode(c.Config, token, hc)}
		w.node.welcomed, w.node.down, w.node.ended = w.welcomed, w.down, w.ended
		ch.walkers = append(ch.walkers, w)
		return w
	}
	for _, m := range list {
		add(m.token).id = m.agentID
	}
	for range c.Clients {
		w := add(c.Client.Token())
		for _, i := range rand.Perm(len(list))[:c.Watch] {
			w.want = append(w.want, list[i].agentID)
		}
	}
	return ch
}

// live keeps a walker coming back until ctx is done.
func (w *walker) live(ctx context.Context) {
	for ctx.Err() == nil {
		here, stop := context.WithCancel(ctx)
		w.c.mu.Lock()
		w.stop = stop
		w.c.mu.Unlock()
		w.node.run(here)
		stop()
		w.c.mu.Lock()
		w.session = nil
		w.c.mu.Unlock()
		select {
		case <-ctx.Done():
		case <-time.After(awayFor):
		}
	}
}

func (w *walker) welcomed(s *session) {
	w.c.mu.Lock()
	w.session, w.leaving, w.views = s, false, make(map[string]*view)
	w.c.mu.Unlock()
	for _, id := range w.want {
		s.send(&meshv1.Up{Msg: &meshv1.Up_Want{Want: &meshv1.Want{Peer: id}}})
	}
	if len(w.want) == 0 {
		w.move(returned)
	}
}

// move gives the walker endpoints that it never had, and tells the coordinator.
func (w *walker) move(what string) {
	w.c.mu.Lock()
	s := w.session
	if s == nil {
		w.c.mu.Unlock()
		return
	}
	w.events = append(w.events, event{what, time.Now()})
	endpoint := stamp{w.index, len(w.events)}.String()
	w.c.mu.Unlock()
	s.self(endpoint)
}

func (w *walker) ended(err error) {
	w.c.mu.Lock()
	defer w.c.mu.Unlock()
	w.session = nil
	if w.leaving {
		w.stop()
		return
	}
	w.c.errs.add(err)
}

// down notes what a walker hears of a peer, and how long that took.
func (w *walker) down(down *meshv1.Down) {
	peer, now := down.GetPeer(), time.Now()
	if peer == nil {
		return
	}
	w.c.mu.Lock()
	v := w.views[peer.GetId()]
	if v == nil {
		v = &view{since: now}
		w.views[peer.GetId()] = v
	}
	all := len(w.want) > 0 && len(w.views) == len(w.want) && v.of == nil && v.since == now
	if at, ok := readStamp(peer.GetEndpoints()); ok && at.walker < len(w.c.walkers) {
		w.c.saw(v, at, now)
	}
	if v.of != nil && peer.GetState() != meshv1.Peer_HERE {
		w.c.sawGone(v, now)
	}
	w.c.mu.Unlock()
	if all { // linked to everybody it wants
		w.move(returned)
	}
}

// saw notes that endpoints arrived. mu is held.
func (c *churn) saw(v *view, at stamp, now time.Time) {
	if v.of != nil && v.of.index == at.walker && at.n <= v.seen {
		return
	}
	if v.of != nil && v.of.index == at.walker {
		c.overtaken += at.n - v.seen - 1
	}
	v.of, v.seen = c.walkers[at.walker], at.n
	if at.n > len(v.of.events) {
		return
	}
	if e := v.of.events[at.n-1]; e.at.After(v.since) {
		c.times[e.what] = append(c.times[e.what], now.Sub(e.at))
	}
}

// sawGone notes that a peer is known to be away. mu is held.
func (c *churn) sawGone(v *view, now time.Time) {
	if e := v.of.gone; v.of.leaving && e.at.After(v.since) {
		c.times[e.what] = append(c.times[e.what], now.Sub(e.at))
	}
}

// happen lets things happen until the time is over, and returns how many did.
func (c *churn) happen(ctx context.Context) (events int) {
	began := time.Now()
	c.mu.Lock()
	clear(c.times) // of when all came at once
	c.overtaken = 0
	c.mu.Unlock()
	stop := c.cfg.follow("coming, going and moving", int(c.cfg.Duration.Seconds()), func() int { return int(time.Since(began).Seconds()) })
	defer stop()
	tick := time.NewTicker(time.Duration(float64(time.Second) / c.cfg.Rate))
	defer tick.Stop()
	for time.Since(began) < c.cfg.Duration {
		select {
		case <-ctx.Done():
			return events
		case <-tick.C:
		}
		w := c.walkers[rand.IntN(len(c.walkers))]
		switch n := rand.IntN(10); {
		case n == 0:
			w.leave(left)
		case n == 1:
			w.leave(broke)
		default:
			w.move(moved)
		}
		events++
	}
	return events
}

// leave ends a walker's session in one of two ways.
func (w *walker) leave(how string) {
	w.c.mu.Lock()
	s, stop := w.session, w.stop
	if s == nil || w.leaving {
		w.c.mu.Unlock()
		return
	}
	w.leaving, w.gone = true, event{how, time.Now()}
	w.c.mu.Unlock()
	if how == left {
		s.bye() // and the coordinator ends the session
		return
	}
	stop()
}

// ready counts those who are there, and linked to all they want.
func (c *churn) ready() (n int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, w := range c.walkers {
		if w.session != nil && !w.leaving && len(w.views) >= len(w.want) {
			n++
		}
	}
	return n
}

// missed counts the pairs of which one does not know the other's last endpoints.
func (c *churn) missed() (n int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	agents := make(map[string]*walker)
	for _, w := range c.walkers {
		if w.id != "" {
			agents[w.id] = w
		}
	}
	for _, client := range c.walkers[c.cfg.Agents:] {
		if client.session == nil {
			continue
		}
		for _, id := range client.want {
			agent := agents[id]
			n += lacks(client.views[id], agent)
			n += lacks(agent.views[client.session.id], client)
		}
	}
	return n
}

func lacks(v *view, of *walker) int {
	if v != nil && v.seen == len(of.events) {
		return 0
	}
	return 1
}

// await waits until all walkers count.
func (c *churn) await(ctx context.Context, stage string, within time.Duration, count func() int) error {
	stop := c.cfg.follow(stage, len(c.walkers), count)
	defer stop()
	tick := time.NewTicker(lookEvery)
	defer tick.Stop()
	for deadline := time.Now().Add(within); count() < len(c.walkers); {
		select {
		case <-ctx.Done():
			return fmt.Errorf("load test: %w", ctx.Err())
		case now := <-tick.C:
			if now.After(deadline) {
				return fmt.Errorf("load test: %s: %d of %d after %v", stage, count(), len(c.walkers), within)
			}
		}
	}
	return nil
}

func (c *churn) report(r *ChurnResult) {
	c.mu.Lock()
	defer c.mu.Unlock()
	r.Updates, r.Errors, r.Overtaken = make(map[string]Spread), c.errs.counts(), c.overtaken
	var all []time.Duration
	for what, times := range maps.All(c.times) {
		all = append(all, times...)
		r.Updates[what] = spreadOf(times)
	}
	r.Update, r.Arrived = spreadOf(all), len(all)
}
