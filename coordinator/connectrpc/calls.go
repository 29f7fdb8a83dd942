package connectrpc

import (
	"context"
	"net/http"
	"net/url"
	"strconv"

	"connectrpc.com/connect"

	aditv1 "github.com/aditmesh/adit/pkg/proto/aditv1"
	"github.com/aditmesh/adit/pkg/sdk"
)

// workspace is the path of a workspace, and of what follows it. The first element
// takes a query.
func workspace(n *aditv1.WorkspaceName, query string, rest ...string) []string {
	owner := n.GetOwner()
	if owner == "" {
		owner = "me"
	}
	return append([]string{"workspaces" + query, owner, n.GetName()}, rest...)
}

func build(n *aditv1.BuildName, rest ...string) []string {
	return workspace(n.GetWorkspace(), "", append([]string{"builds", strconv.Itoa(int(n.GetNumber()))}, rest...)...)
}

// page is the query of a list, with more names and values.
func page(q, cursor string, limit int32, more ...string) string {
	v := url.Values{}
	if q != "" {
		v.Set("q", q)
	}
	if cursor != "" {
		v.Set("cursor", cursor)
	}
	if limit != 0 {
		v.Set("limit", strconv.Itoa(int(limit)))
	}
	for i := 0; i+1 < len(more); i += 2 {
		if more[i+1] != "" {
			v.Set(more[i], more[i+1])
		}
	}
	return "?" + v.Encode()
}

func (s service) ListWorkspaces(ctx context.Context, r *connect.Request[aditv1.ListWorkspacesRequest]) (*connect.Response[aditv1.ListWorkspacesResponse], error) {
	query := page(r.Msg.GetQ(), r.Msg.GetCursor(), r.Msg.GetLimit(), "owner", r.Msg.GetOwner())
	return answer[aditv1.ListWorkspacesResponse](ctx, s, r, http.MethodGet, nil, "workspaces"+query)
}

func (s service) GetWorkspace(ctx context.Context, r *connect.Request[aditv1.WorkspaceName]) (*connect.Response[aditv1.Workspace], error) {
	return answer[aditv1.Workspace](ctx, s, r, http.MethodGet, nil, workspace(r.Msg, "")...)
}

func (s service) CreateWorkspace(ctx context.Context, r *connect.Request[aditv1.CreateWorkspaceRequest]) (*connect.Response[aditv1.CreatedWorkspace], error) {
	return answer[aditv1.CreatedWorkspace](ctx, s, r, http.MethodPost, sdk.CreateWorkspace{
		Name: r.Msg.GetName(), External: r.Msg.GetExternal(), Template: r.Msg.GetTemplate(),
		Version: int(r.Msg.GetVersion()), Parameters: r.Msg.GetParameters(), Organization: r.Msg.GetOrganization(),
	}, "workspaces")
}

func (s service) RenameWorkspace(ctx context.Context, r *connect.Request[aditv1.RenameWorkspaceRequest]) (*connect.Response[aditv1.Workspace], error) {
	return answer[aditv1.Workspace](ctx, s, r, http.MethodPatch, sdk.Rename{Name: r.Msg.GetName()}, workspace(r.Msg.GetWorkspace(), "")...)
}

func (s service) DeleteWorkspace(ctx context.Context, r *connect.Request[aditv1.WorkspaceName]) (*connect.Response[aditv1.DeleteWorkspaceResponse], error) {
	return answer[aditv1.DeleteWorkspaceResponse](ctx, s, r, http.MethodDelete, nil, workspace(r.Msg, "")...)
}

func (s service) ListBuilds(ctx context.Context, r *connect.Request[aditv1.ListBuildsRequest]) (*connect.Response[aditv1.ListBuildsResponse], error) {
	query := page(r.Msg.GetQ(), r.Msg.GetCursor(), r.Msg.GetLimit())
	return answer[aditv1.ListBuildsResponse](ctx, s, r, http.MethodGet, nil, workspace(r.Msg.GetWorkspace(), query, "builds")...)
}

func (s service) GetBuild(ctx context.Context, r *connect.Request[aditv1.BuildName]) (*connect.Response[aditv1.Build], error) {
	return answer[aditv1.Build](ctx, s, r, http.MethodGet, nil, build(r.Msg)...)
}

func (s service) CreateBuild(ctx context.Context, r *connect.Request[aditv1.CreateBuildRequest]) (*connect.Response[aditv1.Build], error) {
	return answer[aditv1.Build](ctx, s, r, http.MethodPost, sdk.NewBuild{
		Transition: r.Msg.GetTransition(), Version: int(r.Msg.GetVersion()), Parameters: r.Msg.GetParameters(), Reason: r.Msg.GetReason(),
	}, workspace(r.Msg.GetWorkspace(), "", "builds")...)
}

func (s service) CancelBuild(ctx context.Context, r *connect.Request[aditv1.CancelBuildRequest]) (*connect.Response[aditv1.CancelBuildResponse], error) {
	return answer[aditv1.CancelBuildResponse](ctx, s, r, http.MethodPost, sdk.Cancel{Force: r.Msg.GetForce()}, build(r.Msg.GetBuild(), "cancel")...)
}

func (s service) ListTemplates(ctx context.Context, r *connect.Request[aditv1.ListTemplatesRequest]) (*connect.Response[aditv1.ListTemplatesResponse], error) {
	return answer[aditv1.ListTemplatesResponse](ctx, s, r, http.MethodGet, nil, "templates"+page(r.Msg.GetQ(), r.Msg.GetCursor(), r.Msg.GetLimit()))
}

func (s service) GetTemplate(ctx context.Context, r *connect.Request[aditv1.TemplateName]) (*connect.Response[aditv1.Template], error) {
	return answer[aditv1.Template](ctx, s, r, http.MethodGet, nil, "templates"+page("", "", 0, "organization", r.Msg.GetOrganization()), r.Msg.GetName())
}
