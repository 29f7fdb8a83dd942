package sdk

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"
)

// Topics that can be watched.
const (
	WatchWorkspaces = "workspaces"
	WatchBuilds     = "builds"
	WatchAgents     = "agents"
	WatchMesh       = "mesh"
)

// OwnerReach is one's own workspaces and those that others share with one. Watching
// them also tells of shares, and of what one is a member of.
const OwnerReach = "reach"

// Kinds of changes that more is known of.
const (
	KindMembership = "membership"
	KindAgent      = "agent"
	KindPorts      = "ports"
	KindApps       = "apps"
)

// Names of the events of a watch.
const (
	EventReady  = "ready"
	EventChange = "change"
	EventGone   = "gone"
)

// Ready says from which version on changes follow: what is read after it came
// is at least as new. Gone is the same of what cannot follow any more.
type Ready struct {
	Version int64 `json:"version"`
}

// Change is one change, as a watch or a webhook tells it.
type Change struct {
	// Version grows from change to change; watching resumes after it.
	Version int64          `json:"version"`
	At      time.Time      `json:"at"`
	Kind    string         `json:"kind" doc:"What changed: workspace, build, agent, node and so on"`
	Action  string         `json:"action" enum:"created,changed,deleted"`
	ID      string         `json:"id"`
	Data    map[string]any `json:"data" doc:"A few facts of it, as of the change"`
	// WorkspaceID is of what belongs to a workspace.
	WorkspaceID string `json:"workspace_id,omitempty"`
	// Workspace is as it is when the change is told, hence as new or newer; it
	// is missing once it is gone, and in webhooks.
	Workspace *Workspace `json:"workspace,omitempty"`
}

// Watching says what is watched.
type Watching struct {
	// Topic is one of WatchWorkspaces and so on.
	Topic string
	// Owner is "me", OwnerReach or, for owners of the deployment, "all". Empty is "me".
	Owner string
	// WorkspaceID leaves only what belongs to one workspace. Empty is all.
	WorkspaceID string
	// After is the last version that is known. Zero is now.
	After int64
}

// watchSilence is how long a watch may be silent: two signs of life that did
// not come, and some.
const watchSilence = 40 * time.Second

// ErrEnough ends a watch when one of its functions returns it.
var ErrEnough = errors.New("enough was seen")

// Watch calls each with every change, once and in their order, until each fails,
// ctx is done or the coordinator refuses; ErrEnough is no failure. When the
// connection breaks, or the coordinator restarts, it goes on where it was.
//
// It calls ready, unless that is nil, when it has begun and then has the caller
// read what there is: changes from then on follow. It does so again in the rare
// case that it was away for so long that changes are missing.
func (c *Client) Watch(ctx context.Context, w Watching, ready func() error, each func(Change) error) error {
	at := int64(-1)
	if w.After > 0 {
		at = w.After
	}
	for failures := 0; ; {
		before := at
		err := c.watchOnce(ctx, w, &at, ready, each)
		var refused *Error
		var mine showError
		switch {
		case errors.As(err, &mine) && errors.Is(mine.error, ErrEnough):
			return nil
		case errors.As(err, &mine):
			return mine.error
		case errors.As(err, &refused) && refused.Status == http.StatusGone:
			at = -1
		case errors.As(err, &refused) && refused.Status < http.StatusInternalServerError && refused.Status != http.StatusTooManyRequests, ctx.Err() != nil:
			return err
		}
		if at != before {
			failures = 0
		}
		if failures++; failures > maxFollowFailures {
			return err
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(rand.N(followRetry)): // not all at once, after a restart
		}
	}
}

// watchOnce watches on one connection, and keeps in at the version that it has
// seen; -1 is none.
func (c *Client) watchOnce(ctx context.Context, w Watching, at *int64, ready func() error, each func(Change) error) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	silent := time.AfterFunc(watchSilence, cancel)
	defer silent.Stop()
	q := url.Values{}
	if w.Owner != "" {
		q.Set("owner", w.Owner)
	}
	if w.WorkspaceID != "" {
		q.Set("workspace", w.WorkspaceID)
	}
	resuming := *at >= 0
	if resuming {
		q.Set("after", strconv.FormatInt(*at, 10))
	}
	resp, err := c.endless(ctx, "watch/"+w.Topic+"?"+q.Encode())
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	for s := newEventScanner(resp.Body); ; {
		e, err := s.next(func() { silent.Reset(watchSilence) })
		switch {
		case err != nil:
			return err
		case e.name == EventGone:
			return &Error{Status: http.StatusGone, Detail: "changes are missing"}
		case e.name == EventReady && !resuming && ready != nil:
			*at = e.id
			silent.Stop() // whatever the caller does, it may take its time
			if err := ready(); err != nil {
				return showError{err}
			}
		case e.name == EventChange && e.id > *at:
			var change Change
			if err := json.Unmarshal(e.data, &change); err != nil {
				return fmt.Errorf("a change from %s: %w", c.base.Redacted(), err)
			}
			silent.Stop()
			if err := each(change); err != nil {
				return showError{err}
			}
		}
		*at = max(*at, e.id)
		silent.Reset(watchSilence)
	}
}

// serverEvent is a server-sent event; one without a name is a sign of life.
type serverEvent struct {
	name string
	id   int64
	data []byte
}

type eventScanner struct {
	lines *bufio.Scanner
	id    int64 // the last that was said
}

// maxEvent bounds a line: a workspace with its build's resources.
const maxEvent = 8 << 20

func newEventScanner(r io.Reader) *eventScanner {
	s := &eventScanner{lines: bufio.NewScanner(r), id: -1}
	s.lines.Buffer(nil, maxEvent)
	return s
}

// next returns the next event, and calls alive whenever anything comes.
func (s *eventScanner) next(alive func()) (serverEvent, error) {
	var e serverEvent
	for s.lines.Scan() {
		alive()
		if len(s.lines.Bytes()) == 0 {
			e.id = s.id
			return e, nil
		}
		field, value, _ := strings.Cut(s.lines.Text(), ":")
		value = strings.TrimPrefix(value, " ")
		switch field {
		case "event":
			e.name = value
		case "data":
			e.data = append(e.data, value...)
		case "id":
			id, err := strconv.ParseInt(value, 10, 64)
			if err != nil {
				return e, fmt.Errorf("%w: event id %.20q", ErrCutOff, value)
			}
			s.id = id
		}
	}
	if err := s.lines.Err(); err != nil {
		return e, fmt.Errorf("%w: %w", ErrCutOff, err)
	}
	return e, ErrCutOff
}
