package api

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"unicode/utf8"

	"github.com/danielgtaylor/huma/v2"

	"github.com/aditmesh/adit/coordinator/auth"
	"github.com/aditmesh/adit/coordinator/mesh"
	"github.com/aditmesh/adit/coordinator/secret"
	"github.com/aditmesh/adit/coordinator/store"
	"github.com/aditmesh/adit/coordinator/workspaces"
	"github.com/aditmesh/adit/pkg/foreign"
	"github.com/aditmesh/adit/pkg/sdk"
)

// agentName is what the one agent of an external workspace is called.
const agentName = "main"

// self stands for the caller's own user name in paths.
const self = "me"

func (a *API) registerWorkspaces(h huma.API) {
	huma.Register(h, huma.Operation{
		OperationID: "list-workspaces", Method: http.MethodGet, Path: "/api/v1/workspaces", Summary: "List workspaces", Security: signedIn(),
	}, a.listWorkspaces)
	huma.Register(h, huma.Operation{
		OperationID: "create-workspace", Method: http.MethodPost, Path: "/api/v1/workspaces", Summary: "Make a workspace",
		Security: signedIn(), DefaultStatus: http.StatusCreated, MaxBodyBytes: maxBody, Middlewares: huma.Middlewares{withOrigin},
	}, a.createWorkspace)
	huma.Register(h, huma.Operation{
		OperationID: "get-workspace", Method: http.MethodGet, Path: "/api/v1/workspaces/{owner}/{name}", Summary: "Show a workspace", Security: signedIn(),
	}, a.getWorkspace)
	huma.Register(h, huma.Operation{
		OperationID: "list-connections", Method: http.MethodGet, Path: "/api/v1/workspaces/{owner}/{name}/connections",
		Summary: "List who is linked to a workspace's agents, and by which path", Security: signedIn(),
	}, a.listConnections)
	huma.Register(h, huma.Operation{
		OperationID: "delete-workspace", Method: http.MethodDelete, Path: "/api/v1/workspaces/{owner}/{name}",
		Summary: "Delete an external workspace and end its agents' access", Security: signedIn(), DefaultStatus: http.StatusNoContent,
	}, a.deleteWorkspace)
}

// WorkspaceList says which workspaces are wanted.
type WorkspaceList struct {
	Owner string `query:"owner" enum:"me,all" default:"me" doc:"Whose; all is for the deployment's owners"`
	Query
}

func (a *API) listWorkspaces(ctx context.Context, in *WorkspaceList) (*body[sdk.List[sdk.Workspace]], error) {
	q, err := workspaceQuery(in.Q)
	if err != nil {
		return nil, err
	}
	const list = "workspaces"
	filter := in.Owner + "\x00" + in.Q
	after, err := in.after(list, filter, 2)
	if err != nil {
		return nil, err
	}
	if after != nil {
		q.AfterOwner, q.AfterName = after[0], after[1]
	}
	q.Max = in.Limit + 1
	if q.Owner == self || q.Owner == "" && in.Owner == self {
		q.Owner, q.OwnerID = "", caller(ctx).UserID
	} else if err := a.allowAny(ctx, auth.List, auth.Workspace); err != nil {
		return nil, err
	}
	found, err := a.Store.Workspaces(ctx, q)
	if err != nil {
		return nil, a.problem(err)
	}
	found, next := cut(found, in.Page, func(last store.Workspace) string { return cursor(list, filter, last.OwnerName, last.Name) })
	items, err := a.describe(ctx, found...)
	if err != nil {
		return nil, a.problem(err)
	}
	return listBody(items, next), nil
}

// workspaceQuery is what a query says of workspaces.
func workspaceQuery(text string) (store.WorkspaceQuery, error) {
	terms, err := parseFilter(text, "name", "owner", "status", "template", "external")
	if err == nil {
		err = oneOf(terms, "status", "pending", "starting", "running", "stopping", "stopped", "deleting", "failed")
	}
	if err == nil {
		err = oneOf(terms, "external", "true", "false")
	}
	q := store.WorkspaceQuery{
		Owner: terms["owner"], Name: terms["name"], Template: terms["template"], Phase: store.Phase(terms["status"]),
	}
	if v, ok := terms["external"]; ok {
		external := v == "true"
		q.External = &external
	}
	return q, err
}

func (a *API) createWorkspace(ctx context.Context, in *body[sdk.CreateWorkspace]) (*body[sdk.CreatedWorkspace], error) {
	if in.Body.External == (in.Body.Template != "") {
		return nil, huma.Error422UnprocessableEntity("a workspace is made from a template, or is external: set one of the two")
	}
	who := caller(ctx)
	if !in.Body.External {
		return a.createFromTemplate(ctx, in.Body)
	}
	o, err := a.organization(ctx, in.Body.Organization)
	if err != nil {
		return nil, err
	}
	if err := a.allow(ctx, auth.Create, newWorkspace(who.UserID, o.ID)); err != nil {
		return nil, err
	}
	text, hash := secret.New()
	w, err := a.Store.CreateWorkspace(ctx, store.NewWorkspace{
		OwnerID: who.UserID, OwnerName: who.Username, Name: in.Body.Name, External: true, OrganizationID: o.ID, Organization: o.Name,
		AgentName: agentName, AgentTokenHash: hash,
	})
	if err != nil {
		return nil, a.problem(err)
	}
	made, err := a.describe(ctx, w)
	if err != nil {
		return nil, a.problem(err)
	}
	token := auth.AgentToken(w.Agents[0].ID, text)
	return &body[sdk.CreatedWorkspace]{sdk.CreatedWorkspace{
		Workspace: made[0], AgentToken: token,
		AgentCommand: fmt.Sprintf("adit agent --url %s --token %s", a.accessURL(ctx), token),
	}}, nil
}

func (a *API) createFromTemplate(ctx context.Context, req sdk.CreateWorkspace) (*body[sdk.CreatedWorkspace], error) {
	if err := checkTexts(req.Parameters); err != nil {
		return nil, err
	}
	t, err := a.theTemplate(ctx, req.Template, req.Organization)
	if errors.Is(err, store.ErrNotFound) {
		return nil, noSuchTemplate(req.Template)
	}
	if err != nil {
		return nil, a.problem(err)
	}
	if err := a.allow(ctx, auth.Use, templateObject(t)); err != nil {
		return nil, err
	}
	if err := a.allow(ctx, auth.Create, newWorkspace(caller(ctx).UserID, t.OrganizationID)); err != nil {
		return nil, err
	}
	c := workspaces.Create{OwnerID: caller(ctx).UserID, Name: req.Name, TemplateID: t.ID, Parameters: req.Parameters, InitiatorID: caller(ctx).UserID}
	if req.Version > 0 {
		if c.VersionID, err = a.versionID(ctx, t.ID, req.Version); err != nil {
			return nil, err
		}
	}
	w, _, err := a.Workspaces.CreateWorkspace(ctx, c)
	if err != nil {
		return nil, a.problem(err)
	}
	made, err := a.describe(ctx, w)
	if err != nil {
		return nil, a.problem(err)
	}
	return &body[sdk.CreatedWorkspace]{sdk.CreatedWorkspace{Workspace: made[0]}}, nil
}

func noSuchTemplate(name string) error {
	return huma.Error422UnprocessableEntity("there is no template " + foreign.Printable(name))
}

// find returns a workspace that the caller may do something with. One that they
// may not read does not exist.
func (a *API) find(ctx context.Context, action auth.Action, owner, name string) (store.Workspace, error) {
	if !isText(owner) || !isText(name) {
		return store.Workspace{}, a.problem(store.ErrNotFound)
	}
	if owner == self {
		owner = caller(ctx).Username
	}
	w, err := a.Store.WorkspaceByName(ctx, owner, name)
	if err != nil {
		return w, a.problem(err)
	}
	on, err := a.workspaceFor(ctx, w)
	if err != nil {
		return w, err
	}
	return w, a.allow(ctx, action, on)
}

// workspaceFor is a workspace as an object of the caller's actions, with what
// sharing lets them do.
func (a *API) workspaceFor(ctx context.Context, w store.Workspace) (auth.Object, error) {
	on := workspaceObject(w)
	if who := caller(ctx); who.UserID != w.OwnerID {
		level, err := a.Store.GrantOf(ctx, who.UserID, w.ID)
		if err != nil {
			return on, a.problem(err)
		}
		on.Grant = auth.Grant(level)
	}
	return on, nil
}

// isText reports whether Postgres can compare s with a name. A path may hold
// any bytes.
func isText(s string) bool { return utf8.ValidString(s) && !strings.ContainsRune(s, 0) }

// WorkspacePath names a workspace.
type WorkspacePath struct {
	Owner string `path:"owner" maxLength:"64"`
	Name  string `path:"name" maxLength:"64"`
}

func (a *API) getWorkspace(ctx context.Context, in *WorkspacePath) (*tagged[sdk.Workspace], error) {
	w, err := a.find(ctx, auth.Read, in.Owner, in.Name)
	if err != nil {
		return nil, err
	}
	on, err := a.workspaceFor(ctx, w)
	if err != nil {
		return nil, err
	}
	described, err := a.describe(ctx, w)
	if err == nil {
		err = a.addDetails(ctx, &described[0], w)
	}
	if err != nil {
		return nil, a.problem(err)
	}
	described[0].Shared = string(on.Grant)
	return &tagged[sdk.Workspace]{version(w.Version), described[0]}, nil
}

func (a *API) listConnections(ctx context.Context, in *struct {
	WorkspacePath
	Page
}) (*body[sdk.List[sdk.Connection]], error) {
	w, err := a.find(ctx, auth.Read, in.Owner, in.Name)
	if err != nil {
		return nil, err
	}
	items := []sdk.Connection{}
	for _, agent := range w.Agents {
		for _, c := range a.Mesh.Connections(agent.ID) {
			items = append(items, sdk.Connection{
				Agent: agent.Name, Client: c.ClientName, ClientNodeID: c.Client.String(), ClientConnected: c.ClientHere,
				ByClient: viewJSON(c.ByClient), ByAgent: viewJSON(c.ByAgent),
			})
		}
	}
	return slice(items, "connections", w.ID.String(), in.Page, func(c sdk.Connection) string { return c.Agent + "/" + c.ClientNodeID })
}

func viewJSON(v *mesh.View) *sdk.PathView {
	if v == nil {
		return nil
	}
	view := &sdk.PathView{Path: v.Path, Region: v.Region, RTTMs: float64(v.RTT.Microseconds()) / 1000, MTU: int(v.MTU), RxBytes: v.Rx, TxBytes: v.Tx, At: v.At}
	if v.Code != "" {
		view.Verdict = &sdk.Verdict{Code: v.Code, Evidence: v.Evidence, Fix: v.Fix}
	}
	return view
}

func (a *API) deleteWorkspace(ctx context.Context, in *WorkspacePath) (*struct{}, error) {
	w, err := a.find(ctx, auth.Delete, in.Owner, in.Name)
	if err != nil {
		return nil, err
	}
	if !w.External {
		return nil, huma.Error409Conflict("workspace " + w.Name + " is made from a template, which has to take down what it made: ask for a build with transition delete")
	}
	if err := a.Store.DeleteWorkspace(ctx, w.ID); err != nil {
		return nil, a.problem(err)
	}
	for _, agent := range w.Agents {
		a.Mesh.AgentDeleted(agent.ID)
	}
	return nil, nil
}

type originKey struct{}

// withOrigin notes by which name the coordinator was reached.
func withOrigin(ctx huma.Context, next func(huma.Context)) {
	scheme := "http"
	if ctx.TLS() != nil {
		scheme = "https"
	}
	next(huma.WithValue(ctx, originKey{}, &url.URL{Scheme: scheme, Host: ctx.Host()}))
}

func (a *API) accessURL(ctx context.Context) *url.URL {
	if a.AccessURL != nil {
		return a.AccessURL
	}
	u, _ := ctx.Value(originKey{}).(*url.URL)
	return u
}
