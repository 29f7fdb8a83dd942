package api

import (
	"errors"
	"net/http"
	"strings"
	"testing"

	"github.com/aditmesh/adit/coordinator/store"
	"github.com/aditmesh/adit/pkg/policy"
	"github.com/aditmesh/adit/pkg/sdk"
)

const ownOnly = `rules:
  - {from: ["*"], to: [me/*], ports: ["*"]} # and no more
tests:
  - {from: bob, to: alice/dev, deny: ["*"]}
`

func TestThePolicyIsKeptWithItsVersions(t *testing.T) {
	d := deploy(t)
	ctx := t.Context()
	root := d.add(t, "root", store.RoleOwner)
	var tag string
	if p, err := root.Policy(sdk.WithTag(ctx, &tag)); err != nil || p.Version != 0 || p.Text != "" {
		t.Fatalf("before there is one: %+v %v", p, err)
	}
	first, err := root.SetPolicy(sdk.WithIfMatch(ctx, tag), ownOnly)
	if err != nil || first.Version != 1 || first.Text != ownOnly || first.CreatedBy != "root" {
		t.Fatalf("%+v %v", first, err)
	}
	if _, err := root.SetPolicy(sdk.WithIfMatch(ctx, tag), "links: []\n"); !errors.Is(err, sdk.ErrChanged) {
		t.Errorf("on what was there before: %v, want ErrChanged", err)
	}
	if p, err := root.Policy(sdk.WithTag(ctx, &tag)); err != nil || p != first {
		t.Errorf("%+v %v, want %+v", p, err, first)
	}
	if p, err := root.SetPolicy(sdk.WithIfMatch(ctx, tag), "links: []\n"); err != nil || p.Version != 2 {
		t.Errorf("%+v %v", p, err)
	}
	if p, err := root.PolicyAt(ctx, 1); err != nil || p != first {
		t.Errorf("the first: %+v %v", p, err)
	}
	if _, err := root.PolicyAt(ctx, 3); !errors.Is(err, sdk.ErrNotFound) {
		t.Errorf("one that never was: %v", err)
	}
	list, err := root.PolicyVersions(ctx)
	if err != nil || len(list) != 2 || list[0].Version != 2 || list[1].Size != len(ownOnly) {
		t.Errorf("%+v %v", list, err)
	}
	page, err := root.Audit(ctx, sdk.AuditFilter{Action: "policy"})
	if err != nil || len(page.Items) != 2 || page.Items[0].Actor.Name != "root" || page.Items[0].After["version"] != 2.0 {
		t.Errorf("audit: %+v %v", page, err)
	}
}

func TestAWrongPolicyIsRefusedWithItsLines(t *testing.T) {
	d := deploy(t)
	root := d.add(t, "root", store.RoleOwner)
	for text, want := range map[string]string{
		"rules: {}\n": "line 1: rules must be a list",
		strings.Replace(ownOnly, "me/*", "alice/*", 1):  "line 4: the test fails: bob reaches",
		"rules:\n  - {from: [\x00], to: [], ports: []}": "line ",
		strings.Repeat("#", policy.MaxSize+1):           "length",
	} {
		_, err := root.SetPolicy(t.Context(), text)
		if status(err) != http.StatusUnprocessableEntity || !strings.Contains(err.Error(), want) {
			t.Errorf("%.60q: %v, want %s", text, err, want)
		}
	}
	if p, err := root.Policy(t.Context()); err != nil || p.Version != 0 {
		t.Errorf("one of them holds: %+v %v", p, err)
	}
}

func TestThePolicyIsTheDeploymentsOwners(t *testing.T) {
	d := deploy(t)
	for role, want := range map[store.Role]struct{ read, write int }{
		store.RoleOwner:         {http.StatusOK, http.StatusOK},
		store.RoleAuditor:       {http.StatusOK, http.StatusForbidden},
		store.RoleTemplateAdmin: {http.StatusForbidden, http.StatusForbidden},
		store.RoleMember:        {http.StatusForbidden, http.StatusForbidden},
	} {
		c := d.add(t, "u-"+string(role), role)
		_, read := c.Policy(t.Context())
		_, list := c.PolicyVersions(t.Context())
		_, write := c.SetPolicy(t.Context(), ownOnly)
		for what, got := range map[string]struct {
			err  error
			want int
		}{"read": {read, want.read}, "list": {list, want.read}, "write": {write, want.write}} {
			if s := status(got.err); got.err == nil && got.want != http.StatusOK || got.err != nil && s != got.want {
				t.Errorf("%s by %s: %v, want %d", what, role, got.err, got.want)
			}
		}
	}
}
