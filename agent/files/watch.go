package files

import (
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"time"

	"github.com/fsnotify/fsnotify"
)

const (
	// maxWatches bounds those of a workspace: the system has only so many, and its
	// user's own programs need some.
	maxWatches = 64

	// gatherFor gathers changes, so that a file that is written a line at a time is
	// told of a few times a second, and maxGathered bounds them.
	gatherFor   = 100 * time.Millisecond
	maxGathered = 1000

	// beatEvery is how often a watch says that it goes on.
	beatEvery = 30 * time.Second
)

// Event is a change in a directory that is watched. One without a name and a kind
// says that the watch goes on.
type Event struct {
	Name string `json:"name,omitempty"`
	// Kind is "created", "changed", "removed" or "overflow": there were more changes
	// than are told of, look again.
	Kind string `json:"kind,omitempty"`
}

// watch tells what changes in a directory, not below it, until the client goes.
func (s *Server) watch(w http.ResponseWriter, r *http.Request, name string) error {
	info, err := os.Stat(name)
	if err != nil {
		return err
	}
	if !info.IsDir() {
		return badRequest{fmt.Errorf("%s is no directory; watch the one that it is in", name)}
	}
	select {
	case s.watches <- struct{}{}:
		defer func() { <-s.watches }()
	default:
		http.Error(w, fmt.Sprintf("%d directories are watched already; end one of them", maxWatches), http.StatusTooManyRequests)
		return nil
	}
	watcher, err := fsnotify.NewBufferedWatcher(maxGathered)
	if err != nil {
		return err
	}
	defer watcher.Close()
	if err := watcher.Add(name); err != nil {
		return err
	}
	out := &lineWriter{w: w, control: http.NewResponseController(w)}
	w.Header().Set("Content-Type", "application/x-ndjson")
	if err := out.write(Event{}); err != nil { // the watch is on
		return nil
	}
	beat := time.NewTicker(beatEvery)
	defer beat.Stop()
	g := &gathered{kinds: make(map[string]string)}
	var due <-chan time.Time
	for {
		select {
		case <-r.Context().Done():
			return nil
		case <-s.ctx.Done():
			return nil
		case e, ok := <-watcher.Events:
			if !ok {
				return nil
			}
			if g.add(name, e) && due == nil {
				due = time.After(gatherFor)
			}
		case _, ok := <-watcher.Errors: // its queue overflowed
			if !ok {
				return nil
			}
			g.overflow = true
			if due == nil {
				due = time.After(gatherFor)
			}
		case <-due:
			due = nil
			if err := out.write(g.take()...); err != nil {
				return nil
			}
			if _, err := os.Stat(name); err != nil { // nothing more will come
				return nil
			}
		case <-beat.C:
			if err := out.write(Event{}); err != nil {
				return nil
			}
		}
	}
}

// gathered are changes that wait to be told, one a name, in the order they began.
type gathered struct {
	names    []string
	kinds    map[string]string
	overflow bool
}

// add takes a change, and reports whether there is something to tell.
func (g *gathered) add(dir string, e fsnotify.Event) bool {
	kind := ""
	switch {
	case e.Has(fsnotify.Create):
		kind = "created"
	case e.Has(fsnotify.Remove), e.Has(fsnotify.Rename):
		kind = "removed"
	case e.Has(fsnotify.Write), e.Has(fsnotify.Chmod):
		kind = "changed"
	default:
		return false
	}
	name := filepath.Base(e.Name)
	if e.Name == dir {
		name = "."
	}
	before, known := g.kinds[name]
	switch {
	case known && before == "created" && kind == "changed":
		return true // it is new, all of it
	case !known && len(g.names) == maxGathered:
		g.overflow = true
		return true
	case !known:
		g.names = append(g.names, name)
	}
	g.kinds[name] = kind
	return true
}

func (g *gathered) take() (events []Event) {
	for _, n := range g.names {
		events = append(events, Event{Name: n, Kind: g.kinds[n]})
	}
	if g.overflow {
		events = append(events, Event{Kind: "overflow"})
	}
	g.names, g.overflow = nil, false
	clear(g.kinds)
	return events
}

// lineWriter writes JSON objects, one a line, at once.
type lineWriter struct {
	w       http.ResponseWriter
	control *http.ResponseController
}

func (l *lineWriter) write(events ...Event) error {
	enc := json.NewEncoder(l.w)
	for _, e := range events {
		if err := enc.Encode(e); err != nil {
			return err
		}
	}
	return l.control.Flush()
}
