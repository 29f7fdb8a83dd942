package api

import (
	"context"
	"encoding/json"
	"errors"
	"maps"
	"net/http"
	"reflect"
	"slices"
	"strconv"
	"time"

	"github.com/danielgtaylor/huma/v2"
	"github.com/google/uuid"

	"github.com/aditmesh/adit/coordinator/auth"
	"github.com/aditmesh/adit/coordinator/store"
	"github.com/aditmesh/adit/pkg/sdk"
)

// watchFor is how long one answer of a watch goes on. Who watches comes back,
// and shows again who they are.
const watchFor = 15 * time.Minute

// topics are what can be watched, and which events each tells of. A workspace
// is shown with its latest build and its agents, so it changes with them.
var topics = []struct {
	name, summary string
	kinds         []string
}{
	{
		sdk.WatchWorkspaces, "Watch workspaces, with their builds, agents, ports and apps",
		[]string{store.EventWorkspace, store.EventBuild, store.EventAgent, store.EventPorts, store.EventApps},
	},
	{sdk.WatchBuilds, "Watch builds", []string{store.EventBuild}},
	{
		sdk.WatchAgents, "Watch agents: whether they are connected, how their scripts and apps are doing, what listens, and what they measure",
		[]string{store.EventAgent, store.EventMetadata, store.EventPorts, store.EventApps},
	},
	{
		sdk.WatchMesh, "Watch the mesh: nodes that join and leave, agents, and by which paths the packets of links travel",
		[]string{store.EventNode, store.EventAgent, store.EventLink},
	},
}

// WatchQuery says what is watched, and from where on.
type WatchQuery struct {
	Owner     string `query:"owner" enum:"me,reach,all" default:"me" doc:"Whose; reach is me and what others share with me, and all is for the deployment's owners"`
	Workspace string `query:"workspace" format:"uuid" doc:"Only what belongs to the workspace of this id"`
	After     int64  `query:"after" minimum:"-1" default:"-1" doc:"The last version that is known; what follows it is sent. -1 is now"`
	// LastEventID is what browsers say when they come back.
	LastEventID string `header:"Last-Event-ID" pattern:"^[0-9]{1,18}$" doc:"As after, and before it"`
}

func (a *API) registerWatches(h huma.API) {
	change := h.OpenAPI().Components.Schemas.Schema(reflect.TypeFor[sdk.Change](), true, "Change")
	for _, t := range topics {
		huma.Register(h, huma.Operation{
			OperationID: "watch-" + t.name, Method: http.MethodGet, Path: "/api/v1/watch/" + t.name, Summary: t.summary, Security: signedIn(),
			Description: "Server-sent events, see docs/api.md: first ready with the version from which on changes follow, then each change, " +
				"whose id is its version. 410 if what followed the version is kept no longer.",
			Metadata: map[string]any{endless: true},
			Responses: map[string]*huma.Response{"200": {
				Description: "Events; the data of each change is this",
				Content:     map[string]*huma.MediaType{"text/event-stream": {Schema: change}},
			}},
		}, func(ctx context.Context, q *WatchQuery) (*huma.StreamResponse, error) {
			return a.watch(ctx, *q, t.kinds)
		})
	}
}

// watch answers with what happens from now on, or has since a version.
func (a *API) watch(ctx context.Context, q WatchQuery, kinds []string) (*huma.StreamResponse, error) {
	if q.Owner == "all" {
		if err := a.allowAny(ctx, auth.List, auth.Workspace); err != nil {
			return nil, err
		}
	}
	after, err := a.watchFrom(ctx, q)
	if err != nil {
		return nil, err
	}
	shared, err := a.watchesShared(ctx, q)
	if err != nil {
		return nil, err
	}
	who := caller(ctx)
	return a.stream("text/event-stream", true, func(ctx context.Context, w *eventWriter) error {
		ctx, cancel := context.WithTimeout(ctx, watchFor)
		defer cancel()
		if err := w.event(sdk.EventReady, after, sdk.Ready{Version: after}); err != nil {
			return err
		}
		for {
			list, err := a.Events.Next(ctx, after)
			if errors.Is(err, store.ErrGone) {
				return w.event(sdk.EventGone, after, sdk.Ready{Version: after})
			}
			if ctx.Err() != nil {
				return nil
			}
			if err != nil {
				return err
			}
			after = list[len(list)-1].Version
			over := slices.ContainsFunc(list, func(e store.Event) bool { return concerns(who, e) || q.Owner != ownerReach && shared.closedBy(e) })
			changes, err := a.changes(ctx, q, kinds, who.UserID, shared, list)
			if err != nil {
				return err
			}
			for _, c := range changes {
				if err := w.event(sdk.EventChange, c.Version, c); err != nil {
					return err
				}
			}
			w.seen(after)
			if over {
				return nil // they may not be who they were
			}
		}
	}), nil
}

// watchFrom returns the version that a watch starts after.
func (a *API) watchFrom(ctx context.Context, q WatchQuery) (int64, error) {
	newest, err := a.Store.NewestEvent(ctx)
	if err != nil {
		return 0, a.problem(err)
	}
	after := q.After
	if q.LastEventID != "" {
		if after, err = strconv.ParseInt(q.LastEventID, 10, 64); err != nil {
			return 0, huma.Error422UnprocessableEntity("Last-Event-ID is no version")
		}
	}
	if after < 0 {
		return newest, nil
	}
	_, err = a.Store.EventsAfter(ctx, after, 1)
	if errors.Is(err, store.ErrGone) || after > newest { // or the database is an older one than it was
		return 0, huma.Error410Gone("what followed this version is kept no longer; read what there is, and watch from now on")
	}
	if err != nil {
		return 0, a.problem(err)
	}
	return after, nil
}

// changes makes of events what a user gets to know of them, in their order.
// Those of workspaces come with the workspace as it is now. What is shared with the
// user is kept up to date.
func (a *API) changes(ctx context.Context, q WatchQuery, kinds []string, me uuid.UUID, shared sharedWith, list []store.Event) ([]sdk.Change, error) {
	all := q.Owner == "all"
	before := shared
	if q.Owner == ownerReach {
		before = maps.Clone(shared)
		if err := a.reload(ctx, me, shared, list); err != nil {
			return nil, err
		}
	}
	var wanted []store.Event
	ids := make(map[uuid.UUID]bool)
	for _, e := range list {
		if q.Owner != ownerReach && shared.closedBy(e) {
			delete(shared, e.WorkspaceID)
		}
		_, is := shared[e.WorkspaceID]
		_, was := before[e.WorkspaceID]
		switch {
		case q.Workspace != "" && e.WorkspaceID.String() != q.Workspace:
			continue
		case q.Owner == ownerReach && changesReach(e, me, is || was): // whatever is watched
		case !slices.Contains(kinds, e.Kind), !all && e.OwnerID != me && !is && !was:
			continue
		case e.Kind == store.EventLink && !all && e.OwnerID != me:
			continue // who else is linked is the owner's to know
		}
		wanted = append(wanted, e)
		if e.WorkspaceID != uuid.Nil && e.Action != store.Deleted {
			ids[e.WorkspaceID] = true
		}
	}
	there, err := a.workspacesNow(ctx, ids)
	if err != nil {
		return nil, err
	}
	out := make([]sdk.Change, 0, len(wanted))
	for _, e := range wanted {
		c := sdk.Change{Version: e.Version, At: e.At, Kind: e.Kind, Action: e.Action, ID: e.SubjectID.String()}
		if err := json.Unmarshal(e.Data, &c.Data); err != nil {
			return nil, err
		}
		if e.WorkspaceID != uuid.Nil {
			c.WorkspaceID = e.WorkspaceID.String()
		}
		// What was theirs then may be somebody else's now.
		level, is := shared[e.WorkspaceID]
		if w, ok := there[e.WorkspaceID]; ok && (all || is || w.owner == me) {
			w.Shared = level
			c.Workspace = &w.Workspace
		}
		out = append(out, c)
	}
	return out, nil
}

type workspaceNow struct {
	sdk.Workspace
	owner uuid.UUID
}

// workspacesNow describes those of some workspaces that are there.
func (a *API) workspacesNow(ctx context.Context, ids map[uuid.UUID]bool) (map[uuid.UUID]workspaceNow, error) {
	if len(ids) == 0 {
		return nil, nil
	}
	wanted := make([]uuid.UUID, 0, len(ids))
	for id := range ids {
		wanted = append(wanted, id)
	}
	list, err := a.Store.WorkspacesByIDs(ctx, wanted)
	if err != nil {
		return nil, err
	}
	described, err := a.describe(ctx, list...)
	if err != nil {
		return nil, err
	}
	there := make(map[uuid.UUID]workspaceNow, len(list))
	for i, w := range list {
		there[w.ID] = workspaceNow{described[i], w.OwnerID}
	}
	return there, nil
}

// concerns reports whether an event changes what a caller is or may do.
func concerns(who auth.Identity, e store.Event) bool {
	return e.Kind == store.EventToken && e.SubjectID == who.TokenID ||
		(e.Kind == store.EventUser || e.Kind == store.EventMembership) && e.SubjectID == who.UserID
}
