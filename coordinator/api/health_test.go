package api

import (
	"net/http"
	"testing"

	"github.com/aditmesh/adit/coordinator/store"
	"github.com/aditmesh/adit/pkg/sdk"
)

func TestHowItIsDoingIsForOwners(t *testing.T) {
	d := deploy(t)
	owner, member := d.add(t, "olga", store.RoleOwner), d.add(t, "mia", store.RoleMember)
	if h, err := owner.Health(t.Context()); err != nil || h.Status != sdk.HealthWarning || len(h.Findings) != 1 || h.Findings[0].Code != "made-up" {
		t.Errorf("an owner sees %+v, %v", h, err)
	}
	if s, err := owner.Support(t.Context()); err != nil || len(s.Files) != 1 {
		t.Errorf("an owner gets %+v, %v", s, err)
	}
	if _, err := member.Health(t.Context()); status(err) != http.StatusForbidden {
		t.Errorf("a member sees health: %v", err)
	}
	if _, err := member.Support(t.Context()); status(err) != http.StatusForbidden {
		t.Errorf("a member gets support: %v", err)
	}
}
