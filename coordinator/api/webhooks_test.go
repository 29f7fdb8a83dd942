package api

import (
	"encoding/json"
	"net/http"
	"strings"
	"testing"

	"github.com/google/uuid"

	"github.com/aditmesh/adit/coordinator/store"
	"github.com/aditmesh/adit/pkg/sdk"
)

func TestWebhooksAreMadeListedAndDeleted(t *testing.T) {
	d := deploy(t)
	root, alice := d.add(t, "root", store.RoleOwner), d.add(t, "alice", store.RoleMember)
	req := sdk.CreateWebhook{Name: "chat", URL: "https://hooks.example.com/adit", Kinds: []string{"workspace"}}
	made, err := root.CreateWebhook(t.Context(), req)
	if err != nil || !strings.HasPrefix(made.Secret, secretPrefix) || len(made.Secret) < 40 {
		t.Fatalf("%+v, %v", made, err)
	}
	if _, err := root.CreateWebhook(t.Context(), req); status(err) != http.StatusConflict {
		t.Errorf("again: %v", err)
	}
	list, err := root.Webhooks(t.Context())
	if err != nil || len(list) != 1 || list[0].Name != "chat" {
		t.Errorf("%+v, %v", list, err)
	}
	if raw, err := json.Marshal(list); err != nil || strings.Contains(string(raw), made.Secret) {
		t.Errorf("the secret is shown twice: %s, %v", raw, err)
	}
	for _, url := range []string{"http://127.0.0.1/", "http://[fdad:17:ad17::1]/", "file:///etc/passwd", "x"} {
		if _, err := root.CreateWebhook(t.Context(), sdk.CreateWebhook{Name: "inner", URL: url}); status(err) != http.StatusUnprocessableEntity {
			t.Errorf("%s: %v, want 422", url, err)
		}
	}
	if _, err := root.CreateWebhook(t.Context(), sdk.CreateWebhook{Name: "odd", URL: req.URL, Kinds: []string{"weather"}}); status(err) != http.StatusUnprocessableEntity {
		t.Errorf("a kind that there is not: %v", err)
	}
	for what, err := range map[string]error{
		"list": second(alice.Webhooks(t.Context())), "create": second(alice.CreateWebhook(t.Context(), req)),
		"delete": alice.DeleteWebhook(t.Context(), "chat"), "deliveries": second(deliveries(t, alice, "", 0)),
		"redeliver": second(alice.Redeliver(t.Context(), "chat", 1)),
	} {
		if status(err) != http.StatusForbidden {
			t.Errorf("a member may %s: %v", what, err)
		}
	}
	if err := root.DeleteWebhook(t.Context(), "chat"); err != nil {
		t.Fatal(err)
	}
	if err := root.DeleteWebhook(t.Context(), "chat"); status(err) != http.StatusNotFound {
		t.Errorf("again: %v", err)
	}
}

func second[T any](_ T, err error) error { return err }

func TestDeliveriesComeInPagesAndAreMadeAgain(t *testing.T) {
	d := deploy(t)
	root := d.add(t, "root", store.RoleOwner)
	if _, err := root.CreateWebhook(t.Context(), sdk.CreateWebhook{Name: "chat", URL: "https://hooks.example.com/", Kinds: []string{"workspace"}}); err != nil {
		t.Fatal(err)
	}
	external(t, root, "dev")
	// Nobody delivers here but the test.
	me := uuid.New()
	list, err := d.store.LeaseWebhooks(t.Context(), me, patience)
	if err != nil || len(list) != 1 {
		t.Fatal(list, err)
	}
	del, err := d.store.NextDelivery(t.Context(), list[0].ID, me, 10, func(e store.Event) ([]byte, error) { return e.Data, nil })
	if err != nil {
		t.Fatal(err)
	}
	if _, err := root.Redeliver(t.Context(), "chat", del.ID); status(err) != http.StatusNotFound {
		t.Errorf("one that waits: %v", err)
	}
	if err := d.store.DeliveryTried(t.Context(), del.ID, store.DeliveryDead, 500, "it answered 500", 0); err != nil {
		t.Fatal(err)
	}
	for range 3 {
		again, err := root.Redeliver(t.Context(), "chat", del.ID)
		if err != nil || again.Status != "pending" || again.NextAt == nil {
			t.Fatalf("%+v, %v", again, err)
		}
	}
	tried, err := deliveries(t, root, "", 2) // two pages
	if err != nil || len(tried) != 4 {
		t.Fatalf("%+v, %v", tried, err)
	}
	if got := tried[3]; got.Status != "dead" || got.Event != "workspace.created" || got.Answer != 500 || got.NextAt != nil || !strings.Contains(got.Payload, `"dev"`) {
		t.Errorf("%+v", got)
	}
	if dead, err := deliveries(t, root, "dead", 0); err != nil || len(dead) != 1 {
		t.Errorf("dead: %+v, %v", dead, err)
	}
}

// deliveries lists those of the webhook chat, by pages of a size.
func deliveries(t *testing.T, c *sdk.Client, status string, size int) (list []sdk.Delivery, err error) {
	t.Helper()
	for d, err := range c.EachDelivery(t.Context(), "chat", status, sdk.ListOptions{PageSize: size}) {
		if err != nil {
			return list, err
		}
		list = append(list, d)
	}
	return list, nil
}
