package api

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/aditmesh/adit/coordinator/store"
	"github.com/aditmesh/adit/pkg/sdk"
)

// watchUntil watches and returns the changes up to the one that is enough.
func watchUntil(t *testing.T, c *sdk.Client, w sdk.Watching, ready func(), enough func(sdk.Change) bool) []sdk.Change {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	var got []sdk.Change
	err := c.Watch(ctx, w, func() error { ready(); return nil }, func(ch sdk.Change) error {
		got = append(got, ch)
		if enough(ch) {
			return sdk.ErrEnough
		}
		return nil
	})
	if err != nil {
		t.Fatalf("watching ended with %v after %+v", err, got)
	}
	return got
}

func external(t *testing.T, c *sdk.Client, name string) sdk.CreatedWorkspace {
	t.Helper()
	w, err := c.CreateWorkspace(t.Context(), sdk.CreateWorkspace{Name: name, External: true})
	if err != nil {
		t.Fatal(err)
	}
	return w
}

func (d *deployment) connected(t *testing.T, w sdk.CreatedWorkspace) {
	t.Helper()
	err := d.store.RecordLiveness(t.Context(), []store.AgentLiveness{{AgentID: uuid.MustParse(w.Agents[0].ID), State: store.AgentConnected, At: time.Now()}})
	if err != nil {
		t.Fatal(err)
	}
}

func TestAWatchTellsWhatBecomesOfWorkspaces(t *testing.T) {
	d := deploy(t)
	alice, eve := d.add(t, "alice", store.RoleMember), d.add(t, "eve", store.RoleMember)
	got := watchUntil(t, alice, sdk.Watching{Topic: sdk.WatchWorkspaces}, func() {
		external(t, eve, "hers") // nobody else's to know
		w := external(t, alice, "dev")
		d.connected(t, w)
		if err := alice.DeleteWorkspace(t.Context(), "me", "dev"); err != nil {
			t.Error(err)
		}
	}, func(c sdk.Change) bool { return c.Kind == "workspace" && c.Action == "deleted" })
	var told []string
	for i, c := range got {
		told = append(told, c.Kind+" "+c.Action)
		if i > 0 && c.Version <= got[i-1].Version {
			t.Errorf("version %d after %d", c.Version, got[i-1].Version)
		}
		if c.Data["name"] != "dev" && c.Data["name"] != "main" {
			t.Errorf("%s of %v", told[i], c.Data)
		}
	}
	if want := []string{"workspace created", "agent created", "agent changed", "workspace deleted"}; !slices.Equal(told, want) {
		t.Errorf("told %v, want %v", told, want)
	}
	if got[2].Data["state"] != "connected" {
		t.Errorf("the agent is %v", got[2].Data)
	}
}

func TestAWatchOfAgentsComesWithTheWorkspaceAsItIs(t *testing.T) {
	d := deploy(t)
	root, alice := d.add(t, "root", store.RoleOwner), d.add(t, "alice", store.RoleMember)
	w := external(t, alice, "dev")
	other := external(t, alice, "other")
	for name, c := range map[string]struct {
		client *sdk.Client
		w      sdk.Watching
	}{
		"one's own":   {alice, sdk.Watching{Topic: sdk.WatchAgents, WorkspaceID: w.ID}},
		"everybody's": {root, sdk.Watching{Topic: sdk.WatchAgents, Owner: "all", WorkspaceID: w.ID}},
	} {
		state := store.AgentTimeout
		got := watchUntil(t, c.client, c.w, func() {
			for _, w := range []sdk.CreatedWorkspace{other, w} {
				for _, s := range []store.AgentState{store.AgentConnected, state} {
					err := d.store.RecordLiveness(t.Context(), []store.AgentLiveness{{AgentID: uuid.MustParse(w.Agents[0].ID), State: s, At: time.Now()}})
					if err != nil {
						t.Error(err)
					}
				}
			}
		}, func(c sdk.Change) bool { return c.Data["state"] == string(state) })
		if len(got) != 2 || got[1].Workspace == nil || got[1].Workspace.Agents[0].State != string(state) || got[1].WorkspaceID != w.ID {
			t.Errorf("%s: %+v", name, got)
		}
	}
	if err := alice.Watch(t.Context(), sdk.Watching{Topic: sdk.WatchAgents, Owner: "all"}, nil, nil); status(err) != http.StatusForbidden {
		t.Errorf("a member watches everybody's: %v, want 403", err)
	}
}

// flaky is the way to a server whose connections break at random.
func flaky(t *testing.T, to *url.URL, r *rand.Rand) *url.URL {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var mu sync.Mutex // guards r
	var conns sync.WaitGroup
	conns.Go(func() {
		for {
			in, err := l.Accept()
			if err != nil {
				return
			}
			mu.Lock()
			limit := 600 + r.Int64N(4000)
			mu.Unlock()
			conns.Go(func() {
				defer in.Close()
				out, err := net.Dial("tcp", to.Host)
				if err != nil {
					return
				}
				defer out.Close()
				var up sync.WaitGroup
				up.Go(func() { _, _ = io.Copy(out, in); out.Close() })
				_, _ = io.CopyN(in, out, limit)
				in.Close()
				up.Wait()
			})
		}
	})
	t.Cleanup(func() { l.Close(); conns.Wait() })
	return &url.URL{Scheme: "http", Host: l.Addr().String()}
}

// Whatever breaks on the way: every change once, in order, and none missing.
func TestWatchesResumeWithoutLoss(t *testing.T) {
	d := deploy(t)
	alice := d.add(t, "alice", store.RoleMember)
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	c := sdk.New(flaky(t, d.url, rand.New(rand.NewPCG(seed, 0))), alice.Token())
	const n = 16
	start, err := d.store.NewestEvent(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	var writers sync.WaitGroup
	writers.Go(func() {
		var both sync.WaitGroup
		for i := range 2 {
			both.Go(func() {
				for j := range n / 2 {
					external(t, alice, fmt.Sprintf("w%d-%d", i, j))
				}
			})
		}
		both.Wait()
		external(t, alice, "last")
	})
	got := watchUntil(t, c, sdk.Watching{Topic: sdk.WatchWorkspaces, After: start}, func() {}, func(c sdk.Change) bool {
		return c.Kind == "agent" && c.Workspace != nil && c.Workspace.Name == "last"
	})
	writers.Wait()
	var versions, want []int64
	for _, c := range got {
		versions = append(versions, c.Version)
	}
	all, err := d.store.EventsAfter(t.Context(), start, 10*n)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range all {
		want = append(want, e.Version)
	}
	if !slices.Equal(versions, want) {
		t.Errorf("told %v\nof %v", versions, want)
	}
}

// open opens a watch by hand.
func (d *deployment) open(t *testing.T, c *sdk.Client, path string, header http.Header) *http.Response {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, d.url.String()+path, nil)
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer "+c.Token())
	for k, v := range header {
		req.Header[k] = v
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { resp.Body.Close() })
	return resp
}

func TestWatchesSpeakServerSentEvents(t *testing.T) {
	d := deploy(t)
	alice := d.add(t, "alice", store.RoleMember)
	start, err := d.store.NewestEvent(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	external(t, alice, "dev")
	// A browser says in the header where it was, and means that.
	resp := d.open(t, alice, "/api/v1/watch/workspaces?after=0", http.Header{"Last-Event-ID": {fmt.Sprint(start)}})
	if got := resp.Header.Get("Content-Type"); got != "text/event-stream" {
		t.Errorf("content type %q", got)
	}
	var lines []string
	for s := bufio.NewScanner(resp.Body); len(lines) < 8 && s.Scan(); {
		line, _, _ := strings.Cut(s.Text(), `,"at"`)
		lines = append(lines, line)
	}
	want := []string{
		"event: ready", fmt.Sprintf("id: %d", start), fmt.Sprintf(`data: {"version":%d}`, start), "",
		"event: change", fmt.Sprintf("id: %d", start+1), fmt.Sprintf(`data: {"version":%d`, start+1), "",
	}
	if !slices.Equal(lines, want) {
		t.Errorf("got  %q\nwant %q", lines, want)
	}
}

func TestAWatchFromWhatIsKeptNoLongerIs410(t *testing.T) {
	d := deploy(t)
	alice := d.add(t, "alice", store.RoleMember)
	external(t, alice, "dev")
	if _, err := d.store.PruneEvents(t.Context(), time.Now().Add(time.Hour)); err != nil {
		t.Fatal(err)
	}
	for name, after := range map[string]int{"pruned": 1, "of a database that was there before": 1_000_000} {
		resp := d.open(t, alice, fmt.Sprintf("/api/v1/watch/workspaces?after=%d", after), nil)
		if resp.StatusCode != http.StatusGone {
			t.Errorf("%s: %d, want 410", name, resp.StatusCode)
		}
	}
	// The client starts afresh and says so.
	began := 0
	watchUntil(t, alice, sdk.Watching{Topic: sdk.WatchWorkspaces, After: 1}, func() {
		began++
		external(t, alice, "next")
	}, func(sdk.Change) bool { return true })
	if began != 1 {
		t.Errorf("began %d times", began)
	}
}

func TestAWatchEndsWithItsTokenAndWithTheServer(t *testing.T) {
	d := deploy(t)
	alice := d.add(t, "alice", store.RoleMember)
	ended := func(resp *http.Response) chan error {
		c := make(chan error, 1)
		go func() { _, err := io.Copy(io.Discard, resp.Body); c <- err }()
		return c
	}
	created, err := alice.CreateToken(t.Context(), sdk.CreateToken{Name: "watcher"})
	if err != nil {
		t.Fatal(err)
	}
	stays := ended(d.open(t, alice, "/api/v1/watch/mesh", nil))
	goes := ended(d.open(t, d.client(created.Text), "/api/v1/watch/mesh", nil))
	if err := alice.RevokeToken(t.Context(), created.ID); err != nil {
		t.Fatal(err)
	}
	select {
	case <-goes:
	case err := <-stays:
		t.Fatalf("ended with another's token: %v", err)
	case <-time.After(patience):
		t.Error("goes on after its token was revoked")
	}
	close(d.closing)
	select {
	case err := <-stays:
		if err != nil && !errors.Is(err, io.ErrUnexpectedEOF) {
			t.Error(err)
		}
	case <-time.After(patience):
		t.Error("goes on when the server has closed")
	}
}
