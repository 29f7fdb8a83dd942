package api

import (
	"errors"
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/aditmesh/adit/coordinator/store"
	provisionerv1 "github.com/aditmesh/adit/pkg/proto/provisionerv1"
	"github.com/aditmesh/adit/pkg/sdk"
)

// research makes an organization that root owns, with people in it by role.
func (d *deployment) research(t *testing.T, root *sdk.Client, people map[string]string) {
	t.Helper()
	if _, err := root.CreateOrganization(t.Context(), "research"); err != nil {
		t.Fatal(err)
	}
	for name, role := range people {
		if err := root.SetMember(t.Context(), "research", name, role); err != nil {
			t.Fatal(err)
		}
	}
}

// Each organization has templates of its own. Whoever sees several of a name says
// which; whoever sees one need not know that there are others.
func TestATemplatesNameIsItsOrganizations(t *testing.T) {
	d := deploy(t)
	ctx := t.Context()
	root, alice, bob := d.add(t, "root", store.RoleOwner), d.add(t, "alice", store.RoleMember), d.add(t, "bob", store.RoleMember)
	d.research(t, root, map[string]string{"alice": "template-admin"})
	p := d.provision(t)
	push(t, root, p, &provisionerv1.Template{})
	theirs, err := alice.PushTemplate(ctx, "process", sdk.PushVersion{Archive: packed(t, "y"), Organization: "research"})
	if err != nil || theirs.Number != 1 {
		t.Fatalf("the first version of another template: %+v, %v", theirs, err)
	}
	p.finish(p.job(), &provisionerv1.Result{Template: &provisionerv1.Template{}})
	if _, err := alice.PushTemplate(ctx, "research/process", sdk.PushVersion{Archive: packed(t, "z")}); err != nil {
		t.Fatal(err)
	}
	p.finish(p.job(), &provisionerv1.Result{Template: &provisionerv1.Template{}})

	list, err := alice.Templates(ctx)
	if err != nil || len(list) != 2 || list[0].Organization != "default" || list[1].Organization != "research" || list[1].ActiveNumber != 2 {
		t.Errorf("alice sees %+v, %v", list, err)
	}
	if got, err := alice.Template(ctx, "research/process"); err != nil || got.ID != list[1].ID {
		t.Errorf("named in full: %+v, %v", got, err)
	}
	if vs, err := alice.TemplateVersions(ctx, "default/process"); err != nil || len(vs) != 1 {
		t.Errorf("versions: %+v, %v", vs, err)
	}
	_, err = alice.Template(ctx, "process")
	if code(err) != "ambiguous-name" || !strings.Contains(err.Error(), "default/process or research/process") {
		t.Errorf("named in short: %v, want which there are", err)
	}
	if got, err := bob.Template(ctx, "process"); err != nil || got.Organization != "default" {
		t.Errorf("bob, who sees one: %+v, %v", got, err)
	}
	for what, err := range map[string]error{
		"shown": second(bob.Template(ctx, "research/process")), "of no organization": second(alice.Template(ctx, "none/process")),
		"deleted": bob.DeleteTemplate(ctx, "research/process"), "pushed": second(bob.PushTemplate(ctx, "research/process", sdk.PushVersion{Archive: packed(t, "x")})),
	} {
		if !errors.Is(err, sdk.ErrNotFound) {
			t.Errorf("%s by who may not see it: %v, want ErrNotFound", what, err)
		}
	}
	// An admin of one organization is none of another.
	if err := alice.DeleteTemplate(ctx, "default/process"); status(err) != http.StatusForbidden {
		t.Errorf("alice deletes the default organization's: %v, want 403", err)
	}

	for req, want := range map[sdk.WorkspaceName]string{{Owner: "research/process", Name: "a"}: "research", {Owner: "default/process", Name: "b"}: "default"} {
		w, err := alice.CreateWorkspace(ctx, sdk.CreateWorkspace{Name: req.Name, Template: req.Owner})
		if err != nil || w.Organization != want || w.Template != "process" {
			t.Errorf("made from %s: %+v, %v", req.Owner, w.Workspace, err)
		}
	}
	if _, err := alice.CreateWorkspace(ctx, sdk.CreateWorkspace{Name: "c", Template: "process"}); code(err) != "ambiguous-name" {
		t.Errorf("made from which: %v", err)
	}
	if w, err := alice.CreateWorkspace(ctx, sdk.CreateWorkspace{Name: "c", Template: "process", Organization: "research"}); err != nil || w.Organization != "research" {
		t.Errorf("made in research: %+v, %v", w.Workspace, err)
	}
	for q, want := range map[string]int{"template:process": 3, "template:research/process": 2, "template:default/process": 1} {
		n := 0
		for _, err := range alice.EachWorkspace(ctx, "me", sdk.ListOptions{Query: q}) {
			if err != nil {
				t.Fatal(err)
			}
			n++
		}
		if n != want {
			t.Errorf("%s: %d workspaces, want %d", q, n, want)
		}
	}
}

func TestAKeysNameIsItsOrganizations(t *testing.T) {
	d := deploy(t)
	ctx := t.Context()
	root, alice, carol := d.add(t, "root", store.RoleOwner), d.add(t, "alice", store.RoleMember), d.add(t, "carol", store.RoleMember)
	d.research(t, root, map[string]string{"alice": "owner", "carol": "auditor"})
	for _, o := range []string{"default", "research"} {
		if k, err := root.CreateProvisionerKey(ctx, sdk.CreateProvisionerKey{Name: "lab", Organization: o}); err != nil || k.Organization != o {
			t.Fatalf("%+v, %v", k, err)
		}
	}
	if _, err := alice.CreateProvisionerKey(ctx, sdk.CreateProvisionerKey{Name: "lab", Organization: "research"}); !errors.Is(err, sdk.ErrConflict) {
		t.Errorf("the same name there: %v, want ErrConflict", err)
	}
	// Who has a role in the organization sees its keys, and no others.
	for name, c := range map[string]*sdk.Client{"alice": alice, "carol": carol} {
		keys, err := c.ProvisionerKeys(ctx)
		if err != nil || len(keys) != 1 || keys[0].Organization != "research" {
			t.Errorf("%s sees %+v, %v", name, keys, err)
		}
		if list, err := c.Provisioners(ctx); err != nil || len(list) != 0 {
			t.Errorf("%s sees %+v, %v, which are built in or another's", name, list, err)
		}
		if err := c.DeleteProvisionerKey(ctx, "default/lab"); !errors.Is(err, sdk.ErrNotFound) {
			t.Errorf("%s deletes another's key: %v, want ErrNotFound", name, err)
		}
	}
	if err := carol.DeleteProvisionerKey(ctx, "lab"); status(err) != http.StatusForbidden {
		t.Errorf("an auditor deletes a key: %v, want 403", err)
	}
	if err := root.DeleteProvisionerKey(ctx, "lab"); code(err) != "ambiguous-name" {
		t.Errorf("which: %v", err)
	}
	if err := alice.DeleteProvisionerKey(ctx, "lab"); err != nil {
		t.Errorf("the organization's owner deletes its key: %v", err)
	}
	if keys, err := root.ProvisionerKeys(ctx); err != nil || len(keys) != 1 || keys[0].Organization != "default" {
		t.Errorf("left: %+v, %v", keys, err)
	}
}

// A group's quota holds in its organization, whose admins say what it is.
func TestQuotasOfGroupsAreTheirOrganizations(t *testing.T) {
	d := deploy(t)
	ctx := t.Context()
	root, alice, bob := d.add(t, "root", store.RoleOwner), d.add(t, "alice", store.RoleMember), d.add(t, "bob", store.RoleMember)
	d.research(t, root, map[string]string{"alice": "user-admin", "bob": "member"})
	p := d.provision(t)
	for _, o := range []string{"default", "research"} {
		if _, err := root.PushTemplate(ctx, o+"/process", sdk.PushVersion{Archive: packed(t, "x")}); err != nil {
			t.Fatal(err)
		}
		p.finish(p.job(), &provisionerv1.Result{Template: &provisionerv1.Template{}})
		l, err := root.TemplateLimits(ctx, o+"/process")
		if err != nil {
			t.Fatal(err)
		}
		l.Cost = 2
		if _, err := root.SetTemplateLimits(ctx, o+"/process", l); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := alice.CreateGroup(ctx, sdk.CreateGroup{Name: "lab", Organization: "research"}); err != nil {
		t.Fatal(err)
	}
	if err := alice.AddToGroup(ctx, "research", "lab", "bob"); err != nil {
		t.Fatal(err)
	}
	labs := sdk.Quota{Group: "lab", Organization: "research", Budget: 3}
	if err := alice.SetQuota(ctx, labs); err != nil {
		t.Fatal(err)
	}
	if q, err := alice.Quota(ctx, labs); err != nil || q != labs {
		t.Errorf("%+v, %v, want %+v", q, err, labs)
	}
	if list, err := alice.Quotas(ctx); err != nil || !slices.Equal(list, []sdk.Quota{labs}) {
		t.Errorf("alice sees %+v, %v", list, err)
	}
	for what, err := range map[string]error{
		"a person's": alice.SetQuota(ctx, sdk.Quota{User: "bob", Budget: 9}), "one elsewhere": alice.SetQuota(ctx, sdk.Quota{Group: "lab", Budget: 9}),
		"by a member": bob.SetQuota(ctx, labs),
	} {
		if status(err) != http.StatusForbidden {
			t.Errorf("%s: %v, want 403", what, err)
		}
	}
	make := func(name, template string) error {
		return second(bob.CreateWorkspace(ctx, sdk.CreateWorkspace{Name: name, Template: template}))
	}
	for _, name := range []string{"a", "b"} { // elsewhere there is no limit
		if err := make(name, "default/process"); err != nil {
			t.Fatal(err)
		}
	}
	if err := make("c", "research/process"); err != nil {
		t.Errorf("the first there: %v", err)
	}
	if err := make("d", "research/process"); code(err) != "over-quota" {
		t.Errorf("the second there: %v, want over-quota", err)
	}
	if u, err := bob.Usage(ctx, "research"); err != nil || u.Used != 2 || u.Budget == nil || *u.Budget != 3 {
		t.Errorf("usage there: %+v, %v", u, err)
	}
	if u, err := bob.Usage(ctx, ""); err != nil || u.Used != 4 || u.Budget != nil {
		t.Errorf("usage in the default organization: %+v, %v", u, err)
	}
	if err := root.SetQuota(ctx, sdk.Quota{User: "bob", Budget: 6}); err != nil {
		t.Fatal(err)
	}
	if u, err := bob.Usage(ctx, "research"); err != nil || u.Used != 6 || *u.Budget != 6 {
		t.Errorf("with a quota of his own, which is for all of them: %+v, %v", u, err)
	}
}
