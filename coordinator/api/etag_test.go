package api

import (
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/aditmesh/adit/coordinator/store"
	provisionerv1 "github.com/aditmesh/adit/pkg/proto/provisionerv1"
	"github.com/aditmesh/adit/pkg/sdk"
)

func TestReadersAreToldWhenThereIsNothingNew(t *testing.T) {
	d := deploy(t)
	alice := d.add(t, "alice", store.RoleMember)
	made := makeWorkspace(t, alice, "dev")
	get := func(path, known string) *http.Response {
		t.Helper()
		req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, d.url.String()+path, nil)
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set("Authorization", "Bearer "+alice.Token())
		req.Header.Set("If-None-Match", known)
		resp, err := http.DefaultClient.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		resp.Body.Close()
		return resp
	}
	for _, path := range []string{"/api/v1/workspaces/me/dev", "/api/v1/workspaces", "/api/v1/users/me", "/api/v1/buildinfo"} {
		first := get(path, "")
		tag := first.Header.Get("ETag")
		if first.StatusCode != 200 || !strings.HasPrefix(tag, `"`) {
			t.Errorf("%s: %d, tag %q", path, first.StatusCode, tag)
		}
		for _, known := range []string{tag, `"other", ` + tag, "W/" + tag, "*"} {
			if resp := get(path, known); resp.StatusCode != http.StatusNotModified || resp.Header.Get("ETag") != tag {
				t.Errorf("%s known as %s: %d, tag %q", path, known, resp.StatusCode, resp.Header.Get("ETag"))
			}
		}
		if resp := get(path, `"other"`); resp.StatusCode != 200 {
			t.Errorf("%s known otherwise: %d", path, resp.StatusCode)
		}
	}
	// What the agent does is new to a reader, and no change by somebody else.
	var tag string
	if _, err := alice.Workspace(sdk.WithTag(t.Context(), &tag), "me", "dev"); err != nil {
		t.Fatal(err)
	}
	if err := d.client(made.AgentToken).ReportScripts(t.Context(), sdk.ScriptsReport{State: sdk.ScriptsFailed}); err != nil {
		t.Fatal(err)
	}
	if resp := get("/api/v1/workspaces/me/dev", tag); resp.StatusCode != 200 {
		t.Errorf("after its scripts failed: %d, want what is new", resp.StatusCode)
	}
	if _, err := alice.RenameWorkspace(sdk.WithIfMatch(t.Context(), tag), "me", "dev", "devel"); err != nil {
		t.Errorf("renamed after its scripts failed: %v", err)
	}
}

func TestOfManyWhoUpdateWhatTheySawOneWins(t *testing.T) {
	d := deploy(t)
	alice := d.add(t, "alice", store.RoleMember)
	makeWorkspace(t, alice, "dev")
	var tag string
	if _, err := alice.Workspace(sdk.WithTag(t.Context(), &tag), "me", "dev"); err != nil {
		t.Fatal(err)
	}
	const n = 6
	errs := make([]error, n)
	var wg sync.WaitGroup
	for i := range n {
		wg.Go(func() {
			_, errs[i] = alice.RenameWorkspace(sdk.WithIfMatch(t.Context(), tag), "me", "dev", fmt.Sprint("dev", i))
		})
	}
	wg.Wait()
	won := 0
	for i, err := range errs {
		switch {
		case err == nil:
			won++
		case !errors.Is(err, sdk.ErrChanged) && !errors.Is(err, sdk.ErrNotFound): // or looked after the winner had renamed it
			t.Errorf("%d: %v, want ErrChanged", i, err)
		}
	}
	if list, err := alice.Workspaces(t.Context(), "me"); err != nil || won != 1 || len(list) != 1 {
		t.Errorf("%d won; %+v, %v", won, list, err)
	}
}

func TestUpdatesOfWhatHasChangedAreRefused(t *testing.T) {
	d := deploy(t)
	root := d.add(t, "root", store.RoleOwner)
	p := d.provision(t)
	push(t, root, p, &provisionerv1.Template{})
	push(t, root, p, &provisionerv1.Template{})
	var template, workspace string
	if _, err := root.Template(sdk.WithTag(t.Context(), &template), "process"); err != nil {
		t.Fatal(err)
	}
	if err := root.ActivateVersion(sdk.WithIfMatch(t.Context(), template), "process", 1); err != nil {
		t.Errorf("as it was seen: %v", err)
	}
	if err := root.ActivateVersion(sdk.WithIfMatch(t.Context(), template), "process", 2); !errors.Is(err, sdk.ErrChanged) {
		t.Errorf("changed since: %v, want ErrChanged", err)
	}
	if _, err := root.CreateWorkspace(t.Context(), sdk.CreateWorkspace{Name: "dev", Template: "process"}); err != nil {
		t.Fatal(err)
	}
	if _, err := root.Workspace(sdk.WithTag(t.Context(), &workspace), "me", "dev"); err != nil {
		t.Fatal(err)
	}
	p.finish(p.job(), &provisionerv1.Result{}) // it runs now
	for _, tag := range []string{workspace, `"1"`, `"x.y"`, "garbage", `W/` + workspace} {
		_, err := root.CreateBuild(sdk.WithIfMatch(t.Context(), tag), "me", "dev", sdk.NewBuild{Transition: sdk.TransitionStop})
		if !errors.Is(err, sdk.ErrChanged) || code(err) != "changed-meanwhile" {
			t.Errorf("stopped by who saw %s: %v, want ErrChanged", tag, err)
		}
	}
	if _, err := root.CreateBuild(sdk.WithIfMatch(t.Context(), "*"), "me", "dev", sdk.NewBuild{Transition: sdk.TransitionStop}); err != nil {
		t.Errorf("whatever it is like: %v", err)
	}
}

// A header never allows more than the versions that are written in it.
func FuzzIfMatch(f *testing.F) {
	for _, s := range []string{`"7.ab"`, `"7.ab", "8.cd"`, "*", "", `W/"7.ab"`, `"-1.x"`, `,,`, `"99999999999999999999.x"`} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, header string) {
		got := IfMatch{header}.versions()
		if got == nil {
			if strings.Trim(header, ", \t\n\v\f\r\u0085\u00a0") != "" && !slices.Contains(splitTags(header), "*") {
				t.Fatalf("%q allows all", header)
			}
			return
		}
		for _, v := range got {
			if !strings.Contains(header, fmt.Sprint(v)) && !strings.Contains(header, "0") && !strings.Contains(header, "+") {
				t.Fatalf("%q allows %d", header, v)
			}
		}
	})
}
