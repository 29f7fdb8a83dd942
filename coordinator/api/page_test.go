package api

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/aditmesh/adit/coordinator/store"
	provisionerv1 "github.com/aditmesh/adit/pkg/proto/provisionerv1"
	"github.com/aditmesh/adit/pkg/sdk"
)

// pageOf asks for one page by hand.
func pageOf[T any](t *testing.T, d *deployment, c *sdk.Client, path string, query url.Values) (sdk.List[T], *http.Response, string) {
	t.Helper()
	resp, body := d.send(t, http.MethodGet, path+"?"+query.Encode(), "Bearer "+c.Token(), nil)
	var l sdk.List[T]
	if resp.StatusCode == http.StatusOK {
		if err := json.Unmarshal([]byte(body), &l); err != nil {
			t.Fatal(err)
		}
	}
	return l, resp, body
}

// Whatever comes and goes meanwhile, what was there all the time is listed, once.
func TestPagesAreStableWhileItemsComeAndGo(t *testing.T) {
	d := deploy(t)
	alice := d.add(t, "alice", store.RoleMember)
	for i := range 10 {
		makeWorkspace(t, alice, fmt.Sprintf("w%02d", i*10))
	}
	var got []string
	for w, err := range alice.EachWorkspace(t.Context(), "me", sdk.ListOptions{PageSize: 3}) {
		if err != nil {
			t.Fatal(err)
		}
		got = append(got, w.Name)
		if len(got) == 3 { // the page has ended with w20
			for _, name := range []string{"w20", "w00"} { // also what the cursor names
				if err := alice.DeleteWorkspace(t.Context(), "me", name); err != nil {
					t.Fatal(err)
				}
			}
			makeWorkspace(t, alice, "w01") // before it: not seen
			makeWorkspace(t, alice, "w21") // behind it
		}
	}
	want := []string{"w00", "w10", "w20", "w21", "w30", "w40", "w50", "w60", "w70", "w80", "w90"}
	if !slices.Equal(got, want) {
		t.Errorf("%v, want %v", got, want)
	}
}

func TestEverybodysWorkspacesArePagedByOwnerAndName(t *testing.T) {
	d := deploy(t)
	root := d.add(t, "root", store.RoleOwner)
	var want []string
	for _, owner := range []string{"alice", "bob", "carol"} {
		c := d.add(t, owner, store.RoleMember)
		for _, name := range []string{"a", "b"} {
			makeWorkspace(t, c, name)
			want = append(want, owner+"/"+name)
		}
	}
	for size := 1; size <= 7; size++ {
		var got []string
		for w, err := range root.EachWorkspace(t.Context(), "all", sdk.ListOptions{PageSize: size}) {
			if err != nil {
				t.Fatal(err)
			}
			got = append(got, w.Owner+"/"+w.Name)
		}
		if !slices.Equal(got, want) {
			t.Errorf("pages of %d: %v, want %v", size, got, want)
		}
	}
}

func TestWorkspacesAreFiltered(t *testing.T) {
	d := deploy(t)
	root, alice, bob := d.add(t, "root", store.RoleOwner), d.add(t, "alice", store.RoleMember), d.add(t, "bob", store.RoleMember)
	p := d.provision(t)
	push(t, root, p, &provisionerv1.Template{})
	if _, err := alice.CreateWorkspace(t.Context(), sdk.CreateWorkspace{Name: "built", Template: "process"}); err != nil {
		t.Fatal(err)
	}
	makeWorkspace(t, alice, "dev")
	makeWorkspace(t, alice, "devel")
	makeWorkspace(t, bob, "dev")
	names := func(c *sdk.Client, owner, q string) []string {
		t.Helper()
		var got []string
		for w, err := range c.EachWorkspace(t.Context(), owner, sdk.ListOptions{Query: q, PageSize: 1}) {
			if err != nil {
				t.Fatalf("%s: %v", q, err)
			}
			got = append(got, w.Owner+"/"+w.Name)
		}
		return got
	}
	for _, c := range []struct {
		client   *sdk.Client
		owner, q string
		want     []string
	}{
		{alice, "me", "owner:me", []string{"alice/built", "alice/dev", "alice/devel"}},
		{alice, "me", "dev", []string{"alice/dev", "alice/devel"}},
		{alice, "me", "name:VEL", []string{"alice/devel"}},
		{alice, "me", "template:process", []string{"alice/built"}},
		{alice, "me", "template:none", nil},
		{alice, "me", "status:running", []string{"alice/dev", "alice/devel"}},
		{alice, "me", "status:running name:vel", []string{"alice/devel"}},
		{alice, "me", "external:false", []string{"alice/built"}},
		{alice, "me", `"name:' or true --"`, nil},
		{alice, "me", "name:%", nil},
		{root, "all", "dev", []string{"alice/dev", "alice/devel", "bob/dev"}},
		{root, "all", "owner:bob", []string{"bob/dev"}},
		{root, "me", "owner:ALICE dev", []string{"alice/dev", "alice/devel"}},
		{root, "me", "", nil},
	} {
		if got := names(c.client, c.owner, c.q); !slices.Equal(got, c.want) {
			t.Errorf("%s %q: %v, want %v", c.owner, c.q, got, c.want)
		}
	}
	for _, err := range bob.EachWorkspace(t.Context(), "me", sdk.ListOptions{Query: "owner:alice"}) {
		if status(err) != http.StatusForbidden {
			t.Errorf("bob asks for alice's: %v, want 403", err)
		}
	}
}

func TestNumberedListsArePagedAndFiltered(t *testing.T) {
	d := deploy(t)
	root := d.add(t, "root", store.RoleOwner)
	p := d.provision(t)
	for range 5 {
		push(t, root, p, &provisionerv1.Template{})
	}
	if _, err := root.CreateWorkspace(t.Context(), sdk.CreateWorkspace{Name: "dev", Template: "process"}); err != nil {
		t.Fatal(err)
	}
	for i, move := range []string{"", sdk.TransitionStop, sdk.TransitionStart} {
		if move != "" {
			if _, err := root.CreateBuild(t.Context(), "me", "dev", sdk.NewBuild{Transition: move}); err != nil {
				t.Fatal(err)
			}
		}
		r := &provisionerv1.Result{}
		if i == 1 {
			r = &provisionerv1.Result{Status: provisionerv1.Result_FAILED, Error: "no"}
		}
		j := p.job()
		p.finish(j, r)
	}
	var versions, builds, failed []int
	for v, err := range root.EachTemplateVersion(t.Context(), "process", sdk.ListOptions{PageSize: 2, Query: "status:succeeded"}) {
		if err != nil {
			t.Fatal(err)
		}
		versions = append(versions, v.Number)
	}
	for b, err := range root.EachBuild(t.Context(), "me", "dev", sdk.ListOptions{PageSize: 2}) {
		if err != nil {
			t.Fatal(err)
		}
		builds = append(builds, b.Number)
	}
	for b, err := range root.EachBuild(t.Context(), "me", "dev", sdk.ListOptions{Query: "status:failed transition:stop"}) {
		if err != nil {
			t.Fatal(err)
		}
		failed = append(failed, b.Number)
	}
	if !slices.Equal(versions, []int{5, 4, 3, 2, 1}) || !slices.Equal(builds, []int{3, 2, 1}) || !slices.Equal(failed, []int{2}) {
		t.Errorf("versions %v, builds %v, failed %v", versions, builds, failed)
	}
}

func TestCursorsAreOfOneListAndQuery(t *testing.T) {
	d := deploy(t)
	alice := d.add(t, "alice", store.RoleMember)
	for i := range 3 {
		makeWorkspace(t, alice, fmt.Sprint("dev", i))
		if _, err := alice.CreateToken(t.Context(), sdk.CreateToken{Name: "ci"}); err != nil {
			t.Fatal(err)
		}
	}
	const path = "/api/v1/workspaces"
	first, _, _ := pageOf[sdk.Workspace](t, d, alice, path, url.Values{"limit": {"2"}})
	if len(first.Items) != 2 || first.NextCursor == "" {
		t.Fatalf("%+v, want two and a cursor", first)
	}
	last, _, _ := pageOf[sdk.Workspace](t, d, alice, path, url.Values{"cursor": {first.NextCursor}})
	if len(last.Items) != 1 || last.NextCursor != "" {
		t.Errorf("%+v, want the last and no cursor", last)
	}
	for what, c := range map[string]struct {
		path  string
		query url.Values
		code  string
	}{
		"garbage":          {path, url.Values{"cursor": {"%%%"}}, "bad-cursor"},
		"no JSON":          {path, url.Values{"cursor": {"YWJj"}}, "bad-cursor"},
		"zero bytes":       {path, url.Values{"cursor": {cursor("workspaces", "me\x00", "a", "\x00")}}, "bad-cursor"},
		"another query":    {path, url.Values{"cursor": {first.NextCursor}, "q": {"name:dev"}}, "bad-cursor"},
		"another list":     {"/api/v1/tokens", url.Values{"cursor": {first.NextCursor}}, "bad-cursor"},
		"too long":         {path, url.Values{"cursor": {strings.Repeat("x", 2000)}}, "invalid"},
		"no limit":         {path, url.Values{"limit": {"0"}}, "invalid"},
		"too large limit":  {path, url.Values{"limit": {"501"}}, "invalid"},
		"an unknown key":   {path, url.Values{"q": {"color:red"}}, "bad-query"},
		"an unknown state": {path, url.Values{"q": {"status:asleep"}}, "bad-query"},
	} {
		_, resp, body := pageOf[sdk.Workspace](t, d, alice, c.path, c.query)
		if p := readProblem(t, resp, body); p.Status != 422 || p.Code != c.code {
			t.Errorf("%s: %d %s, want 422 %s", what, p.Status, p.Code, c.code)
		}
	}
}

// Whoever stops early asks for no more, and an error ends a list.
func TestIteratorsAskForWhatIsWanted(t *testing.T) {
	d := deploy(t)
	alice := d.add(t, "alice", store.RoleMember)
	for i := range 4 {
		makeWorkspace(t, alice, fmt.Sprint("dev", i))
	}
	n := 0
	for _, err := range alice.EachWorkspace(t.Context(), "me", sdk.ListOptions{PageSize: 2}) {
		if err != nil {
			t.Fatal(err)
		}
		if n++; n == 2 {
			d.store.Close() // another request would fail
			break
		}
	}
	n = 0
	for _, err := range alice.EachWorkspace(t.Context(), "me", sdk.ListOptions{}) {
		if n++; status(err) != http.StatusServiceUnavailable {
			t.Errorf("%v, want 503", err)
		}
	}
	if n != 1 {
		t.Errorf("%d items, want the one error", n)
	}
	var p *sdk.Error
	if _, err := alice.Workspaces(t.Context(), "me"); !errors.As(err, &p) || p.Code != "unavailable" {
		t.Errorf("%v", err)
	}
}

// Every list is the same, in the same order, whatever the size of its pages: nothing
// is read to be cut off, and nothing falls between two pages.
func TestListsAreTheSameInPagesOfAnySize(t *testing.T) {
	d := deploy(t)
	ctx := t.Context()
	root := d.add(t, "root", store.RoleOwner)
	names := []string{"anna", "b-c", "bc", "carol", "dave"}
	for _, n := range names {
		c := d.add(t, n, store.RoleMember)
		makeWorkspace(t, c, "dev")
		if err := errors.Join(c.ShareWithUser(ctx, "me", "dev", "root", sdk.ShareConnect), c.OfferWorkspace(ctx, "me", "dev", "root")); err != nil {
			t.Fatal(err)
		}
	}
	for _, o := range []string{"research", "zoo"} {
		if _, err := root.CreateOrganization(ctx, o); err != nil {
			t.Fatal(err)
		}
	}
	makeWorkspace(t, root, "mine")
	for i, n := range names {
		o := []string{"default", "research", "zoo"}[i%3]
		errs := []error{
			second(root.CreateGroup(ctx, sdk.CreateGroup{Name: n, Organization: o})), root.SetMember(ctx, "zoo", n, "member"),
			second(root.CreateToken(ctx, sdk.CreateToken{Name: n})), root.SetQuota(ctx, sdk.Quota{User: n, Budget: i}),
			root.SetQuota(ctx, sdk.Quota{Group: n, Organization: o, Budget: i}), second(root.CreateProvisionerKey(ctx, sdk.CreateProvisionerKey{Name: n, Organization: o})),
			second(root.PushTemplate(ctx, o+"/"+n, sdk.PushVersion{Archive: packed(t, "x")})), root.ShareWithUser(ctx, "me", "mine", n, sdk.ShareApps),
			second(root.CreateWebhook(ctx, sdk.CreateWebhook{Name: n, URL: "https://hooks.example.com"})),
			second(root.CreateGroup(ctx, sdk.CreateGroup{Name: "all-" + n})), root.ShareWithGroup(ctx, "me", "mine", "all-"+n, sdk.ShareApps),
			root.AddToGroup(ctx, "default", "all-anna", n),
		}
		if err := errors.Join(errs...); err != nil {
			t.Fatal(err)
		}
	}
	for path, want := range map[string]int{
		"users": 6, "tokens": 6, "organizations": 3, "organizations/zoo/members": 6, "groups": 10, "organizations/default/groups/all-anna/members": 5,
		"templates": 5, "provisioner-keys": 5, "webhooks": 5, "quotas": 10, "offers": 5, "shared-workspaces": 5, "workspaces/me/mine/shares": 10, "audit": 50,
	} {
		whole, resp, body := pageOf[json.RawMessage](t, d, root, "/api/v1/"+path, url.Values{"limit": {"500"}})
		if resp.StatusCode != http.StatusOK || len(whole.Items) < want || path != "audit" && len(whole.Items) != want || whole.NextCursor != "" {
			t.Errorf("%s: %d, %d items, cursor %q, want %d and none: %.200s", path, resp.StatusCode, len(whole.Items), whole.NextCursor, want, body)
			continue
		}
		for _, size := range []int{1, 2, 3, want - 1} {
			if path == "audit" && size < 3 {
				continue // there are hundreds
			}
			var got []json.RawMessage
			for q := (url.Values{"limit": {fmt.Sprint(size)}}); ; {
				p, resp, body := pageOf[json.RawMessage](t, d, root, "/api/v1/"+path, q)
				if resp.StatusCode != http.StatusOK || len(p.Items) > size {
					t.Fatalf("%s by %d: %d, %d items: %.200s", path, size, resp.StatusCode, len(p.Items), body)
				}
				got = append(got, p.Items...)
				if p.NextCursor == "" {
					break
				}
				q.Set("cursor", p.NextCursor)
			}
			if !slices.EqualFunc(got, whole.Items, func(a, b json.RawMessage) bool { return string(a) == string(b) }) {
				t.Errorf("%s by %d: %d items, want the same %d in the same order\n%s\n%s", path, size, len(got), len(whole.Items), got, whole.Items)
			}
		}
		forged := cursor(path, "", "a", "b", "c", "d")
		if _, resp, body := pageOf[json.RawMessage](t, d, root, "/api/v1/"+path, url.Values{"cursor": {forged}}); resp.StatusCode != http.StatusUnprocessableEntity {
			t.Errorf("%s from a place that it does not have: %d %.200s, want 422", path, resp.StatusCode, body)
		}
	}
	// A place in a list by time is a time and an id.
	for _, keys := range [][]string{{"yesterday", "x"}, {store.TimeKey(time.Now()), "x"}} {
		if _, resp, body := pageOf[json.RawMessage](t, d, root, "/api/v1/offers", url.Values{"cursor": {cursor("offers", "", keys...)}}); resp.StatusCode != http.StatusUnprocessableEntity {
			t.Errorf("offers from %v: %d %.200s, want 422", keys, resp.StatusCode, body)
		}
	}
}
