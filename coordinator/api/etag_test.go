package api

import (
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strconv"
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

// An update answers with the tag that the next one takes.
func TestUpdatesFollowOneAnotherByTheirTags(t *testing.T) {
	d := deploy(t)
	root := d.add(t, "root", store.RoleOwner)
	makeWorkspace(t, root, "dev0")
	if _, err := root.CreateOrganization(t.Context(), "lab0"); err != nil {
		t.Fatal(err)
	}
	d.add(t, "bob", store.RoleMember)
	fixed := func(path string) func(int) string { return func(int) string { return path } }
	numbered := func(path string) func(int) string { return func(i int) string { return path + strconv.Itoa(i) } }
	for name, c := range map[string]struct {
		path func(int) string
		body string
	}{
		"workspace":    {numbered("/api/v1/workspaces/me/dev"), `{"name":"dev%d"}`},
		"organization": {numbered("/api/v1/organizations/lab"), `{"name":"lab%d"}`},
		"user":         {fixed("/api/v1/users/bob"), `{"email":"bob%d@example.com"}`},
	} {
		resp, _ := d.send(t, "GET", c.path(0), "Bearer "+root.Token(), nil)
		first := resp.Header.Get("ETag")
		tag := first
		for i := range 3 {
			resp := d.ifMatch(t, root, "PATCH", c.path(i), fmt.Sprintf(c.body, i+1), tag)
			if tag = resp.Header.Get("ETag"); resp.StatusCode != http.StatusOK || !strings.HasPrefix(tag, `"`) {
				t.Errorf("%s, update %d: %d, tag %s", name, i, resp.StatusCode, tag)
			}
		}
		if resp := d.ifMatch(t, root, "PATCH", c.path(3), fmt.Sprintf(c.body, 4), first); resp.StatusCode != http.StatusPreconditionFailed {
			t.Errorf("%s, with the first tag: %d, want 412", name, resp.StatusCode)
		}
	}
}

// ifMatch asks for something that is to be done only if a tag still stands.
func (d *deployment) ifMatch(t *testing.T, c *sdk.Client, method, path, body, seen string) *http.Response {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), method, d.url.String()+path, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer "+c.Token())
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("If-Match", seen)
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
	return resp
}

// Whoever says "only if it is as I saw it" is not to lose it because that was not looked at.
func TestWhatCannotLookAtIfMatchIsNotDone(t *testing.T) {
	d := deploy(t)
	alice := d.add(t, "alice", store.RoleMember)
	makeWorkspace(t, alice, "dev")
	const path = "/api/v1/workspaces/me/dev"
	if resp := d.ifMatch(t, alice, "DELETE", path, "", `"99.abc"`); resp.StatusCode != http.StatusPreconditionFailed {
		t.Errorf("deleted with the tag of something else: %d, want 412", resp.StatusCode)
	}
	if _, err := alice.Workspace(t.Context(), "me", "dev"); err != nil {
		t.Errorf("it is gone: %v", err)
	}
	if resp := d.ifMatch(t, alice, "DELETE", path, "", "*"); resp.StatusCode != http.StatusNoContent {
		t.Errorf("whatever it is like: %d, want 204", resp.StatusCode)
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
