package coordinator

import (
	"context"
	"errors"
	"net/http"
	"strings"
	"testing"

	"connectrpc.com/connect"
	"github.com/google/uuid"

	aditv1 "github.com/aditmesh/adit/pkg/proto/aditv1"
	"github.com/aditmesh/adit/pkg/proto/aditv1/aditv1connect"
	"github.com/aditmesh/adit/pkg/sdk"
)

// bearing makes calls with a token.
func bearing(token string) connect.ClientOption {
	return connect.WithInterceptors(connect.UnaryInterceptorFunc(func(next connect.UnaryFunc) connect.UnaryFunc {
		return func(ctx context.Context, r connect.AnyRequest) (connect.AnyResponse, error) {
			if token != "" {
				r.Header().Set("Authorization", "Bearer "+token)
			}
			return next(ctx, r)
		}
	}))
}

// unencrypted is a client that speaks HTTP/2 without TLS, as gRPC does.
func unencrypted(t *testing.T) *http.Client {
	t.Helper()
	h2 := &http.Transport{Protocols: new(http.Protocols)}
	h2.Protocols.SetUnencryptedHTTP2(true)
	t.Cleanup(h2.CloseIdleConnections)
	return &http.Client{Transport: h2}
}

// One port speaks them all, and a workspace's life is the same in each.
func TestAWorkspacesLifeOverConnectAndGRPC(t *testing.T) {
	d := deploy(t, nil)
	for name, c := range map[string]struct {
		client *http.Client
		opts   []connect.ClientOption
	}{
		"connect":             {http.DefaultClient, nil},
		"connect-json":        {http.DefaultClient, []connect.ClientOption{connect.WithProtoJSON()}},
		"connect-over-http-2": {unencrypted(t), nil},
		"grpc":                {unencrypted(t), []connect.ClientOption{connect.WithGRPC()}},
		"grpc-web":            {http.DefaultClient, []connect.ClientOption{connect.WithGRPCWeb()}},
	} {
		t.Run(name, func(t *testing.T) {
			ws := aditv1connect.NewWorkspacesClient(c.client, d.url.String(), append(c.opts, bearing(d.alice.Token()))...)
			ask := connect.NewRequest(&aditv1.CreateWorkspaceRequest{Name: name, External: true})
			ask.Header().Set("Idempotency-Key", uuid.NewString())
			made, err := ws.CreateWorkspace(t.Context(), ask)
			if err != nil {
				t.Fatal(err)
			}
			again, err := ws.CreateWorkspace(t.Context(), ask)
			if err != nil || made.Msg.GetAgentToken() == "" || again.Msg.GetAgentToken() != made.Msg.GetAgentToken() || again.Header().Get("Idempotency-Replayed") != "true" {
				t.Errorf("asked again: %v, %v", again, err)
			}
			got, err := ws.GetWorkspace(t.Context(), connect.NewRequest(&aditv1.WorkspaceName{Name: name}))
			if err != nil {
				t.Fatal(err)
			}
			want, err := d.alice.Workspace(t.Context(), "me", name)
			if err != nil {
				t.Fatal(err)
			}
			if w := got.Msg; w.GetId() != want.ID || w.GetPhase() != "running" || w.GetOwner() != "alice" || len(w.GetAgents()) != 1 ||
				w.GetAgents()[0].GetAddress() != want.Agents[0].Address.String() || w.GetCreatedAt() == "" || len(w.GetConditions()) != len(want.Conditions) {
				t.Errorf("%v, want what the HTTP API has: %+v", w, want)
			}
			list, err := ws.ListWorkspaces(t.Context(), connect.NewRequest(&aditv1.ListWorkspacesRequest{Q: "status:running name:" + name, Limit: 1}))
			if err != nil || len(list.Msg.GetItems()) != 1 || list.Msg.GetItems()[0].GetName() == "" {
				t.Errorf("list: %v, %v", list, err)
			}
			rename := connect.NewRequest(&aditv1.RenameWorkspaceRequest{Workspace: &aditv1.WorkspaceName{Owner: "me", Name: name}, Name: "x-" + name})
			rename.Header().Set("If-Match", got.Header().Get("Etag"))
			if _, err := ws.RenameWorkspace(t.Context(), rename); err != nil {
				t.Errorf("rename: %v", err)
			}
			rename.Msg.Workspace.Name = "x-" + name
			if _, err := ws.RenameWorkspace(t.Context(), rename); connect.CodeOf(err) != connect.CodeFailedPrecondition {
				t.Errorf("renamed as it was before: %v, want failed precondition", err)
			}
			if _, err := ws.DeleteWorkspace(t.Context(), connect.NewRequest(&aditv1.WorkspaceName{Name: "x-" + name})); err != nil {
				t.Errorf("delete: %v", err)
			}
			if _, err := ws.GetWorkspace(t.Context(), connect.NewRequest(&aditv1.WorkspaceName{Name: "x-" + name})); connect.CodeOf(err) != connect.CodeNotFound {
				t.Errorf("deleted: %v, want not found", err)
			}
		})
	}
}

func TestConnectRefusesWhatTheAPIRefuses(t *testing.T) {
	d := deploy(t, nil)
	w := d.workspace(t, "dev")
	ask := func(token string, req *aditv1.WorkspaceName) error {
		_, err := aditv1connect.NewWorkspacesClient(http.DefaultClient, d.url.String(), bearing(token)).GetWorkspace(t.Context(), connect.NewRequest(req))
		return err
	}
	dev := &aditv1.WorkspaceName{Owner: "alice", Name: "dev"}
	for name, c := range map[string]struct {
		err  error
		code connect.Code
		adit string
	}{
		"nobody":              {ask("", dev), connect.CodeUnauthenticated, "unauthenticated"},
		"garbage":             {ask("xyzzy", dev), connect.CodeUnauthenticated, "unauthenticated"},
		"an agent":            {ask(w.AgentToken, dev), connect.CodeUnauthenticated, "unauthenticated"},
		"a stranger":          {ask(d.token(t, "eve"), dev), connect.CodeNotFound, "not-found"},
		"a name that is none": {ask(d.alice.Token(), &aditv1.WorkspaceName{Name: ".."}), connect.CodeNotFound, ""},
		"no name":             {ask(d.alice.Token(), &aditv1.WorkspaceName{}), connect.CodeNotFound, ""},
		"a path for a name":   {ask(d.alice.Token(), &aditv1.WorkspaceName{Name: "dev/builds"}), connect.CodeNotFound, "not-found"},
		"a query for a name":  {ask(d.alice.Token(), &aditv1.WorkspaceName{Name: "dev?x=y#z"}), connect.CodeNotFound, "not-found"},
		"a very long name":    {ask(d.alice.Token(), &aditv1.WorkspaceName{Name: strings.Repeat("x", 1<<20)}), connect.CodeResourceExhausted, ""},
	} {
		var e *connect.Error
		if !errors.As(c.err, &e) || e.Code() != c.code || e.Meta().Get("adit-code") != c.adit {
			t.Errorf("%s: %v, want %v %s", name, c.err, c.code, c.adit)
		}
	}
	ws := aditv1connect.NewWorkspacesClient(http.DefaultClient, d.url.String(), bearing(d.alice.Token()))
	if _, err := ws.CreateWorkspace(t.Context(), connect.NewRequest(&aditv1.CreateWorkspaceRequest{Name: "dev", External: true})); connect.CodeOf(err) != connect.CodeAlreadyExists {
		t.Errorf("a second dev: %v, want already exists", err)
	}
	if _, err := ws.ListWorkspaces(t.Context(), connect.NewRequest(&aditv1.ListWorkspacesRequest{Q: "color:red"})); connect.CodeOf(err) != connect.CodeInvalidArgument || !strings.Contains(err.Error(), "name, owner") {
		t.Errorf("an unknown key: %v, want invalid argument that says which there are", err)
	}
	if _, err := ws.CreateBuild(t.Context(), connect.NewRequest(&aditv1.CreateBuildRequest{Workspace: dev, Transition: sdk.TransitionStop})); connect.CodeOf(err) != connect.CodeInvalidArgument {
		t.Errorf("a build of an external one: %v, want invalid argument", err)
	}
}
