package workspaces

import (
	"context"
	"encoding/base64"
	"errors"
	"io"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/aditmesh/adit/coordinator/forge"
	"github.com/aditmesh/adit/coordinator/forge/forgetest"
	"github.com/aditmesh/adit/coordinator/seal"
	"github.com/aditmesh/adit/coordinator/store"
	provisionerv1 "github.com/aditmesh/adit/pkg/proto/provisionerv1"
)

// following is a template that follows a real repository, and a provisioner.
type following struct {
	*lab
	p          *provisioner
	repository *forgetest.Repository
	template   uuid.UUID
	hook       store.TemplateWebhook
	secret     string
}

// follows makes one whose first fetch is done: it has a version 2 beside the one that
// was pushed.
func follows(t *testing.T, promote bool) *following {
	t.Helper()
	l := newLab(t, Config{PrivateRepositories: true})
	f := &following{lab: l, repository: forgetest.Serve(t)}
	f.p = l.join("one", "built-in")
	f.template = l.template(f.p)
	f.repository.Write("dev/main.tf", "# one\n")
	f.repository.Commit("The first")
	var err error
	f.hook, f.secret, err = l.FollowTemplate(t.Context(), store.TemplateWebhook{
		TemplateID: f.template, URL: f.repository.URL, Branch: "main", Directory: "dev", Promote: promote, CreatorID: l.user.ID,
	})
	must(t, err)
	f.imported(provisionerv1.Result_SUCCEEDED)
	return f
}

// imported has the provisioner end an import, which runs Terraform's own tests, too.
func (f *following) imported(status provisionerv1.Result_Status) {
	f.t.Helper()
	j := f.p.job()
	if !j.GetImport().GetTests() {
		f.t.Errorf("the import is %v, and runs no tests", j)
	}
	_, err := f.p.client.Finish(f.t.Context(), &provisionerv1.Result{Job: j.GetRef(), Status: status, Error: "as it is", Template: &provisionerv1.Template{}})
	must(f.t, err)
}

// post posts what a forge would after a push.
func (f *following) post(branch, secret string) (why string, err error) {
	f.t.Helper()
	req, err := forgetest.Push(f.t.Context(), "http://adit.example.com/", branch, secret)
	must(f.t, err)
	body, err := io.ReadAll(req.Body)
	must(f.t, err)
	w, err := f.st.TemplateWebhook(f.t.Context(), f.hook.ID)
	must(f.t, err)
	return f.Pushed(f.t.Context(), w, req.Header, body)
}

// fetched waits until a webhook is at rest after it was told of something, and returns
// it. What is due later is made due now.
func (f *following) fetched(done func(store.TemplateWebhook) bool) store.TemplateWebhook {
	f.t.Helper()
	var w store.TemplateWebhook
	f.eventually("the fetch", func() bool {
		var err error
		w, err = f.st.TemplateWebhook(f.t.Context(), f.hook.ID)
		must(f.t, err)
		if w.DueAt != nil && w.DueAt.After(time.Now()) {
			f.hurry()
		}
		return done(w)
	})
	return w
}

// hurry spares the test the pauses.
func (f *following) hurry() {
	must(f.t, f.st.TemplateWebhookPushed(f.t.Context(), f.hook.ID, -time.Hour))
	poke(f.pushes)
}

func (f *following) versions() []store.TemplateVersion {
	f.t.Helper()
	list, err := f.TemplateVersions(f.t.Context(), f.template, store.BuildQuery{Max: 100})
	must(f.t, err)
	return list
}

func (f *following) active() int {
	f.t.Helper()
	list, err := f.st.TemplatesByName(f.t.Context(), "process")
	must(f.t, err)
	return list[0].ActiveNumber
}

func TestAPushToTheBranchMakesAVersion(t *testing.T) {
	f := follows(t, false)
	commit := f.fetched(func(w store.TemplateWebhook) bool { return w.Commit != "" }).Commit
	if v := f.versions()[0]; v.Number != 2 || v.Creator != "alice" || !strings.HasSuffix(v.Message, "The first") || f.active() != 1 {
		t.Errorf("the first fetch made %+v, and %d is active", v, f.active())
	}
	f.repository.Write("dev/main.tf", "# two\n")
	f.repository.Commit("The second")
	for branch, secret := range map[string]string{"main": "wrong", "other": f.secret} {
		if why, err := f.post(branch, secret); !errors.Is(err, forge.ErrUnsigned) && !strings.Contains(why, "follows main") {
			t.Errorf("a push to %s with secret %q: %q, %v", branch, secret, why, err)
		}
	}
	if w, err := f.st.TemplateWebhook(t.Context(), f.hook.ID); err != nil || w.Commit != commit {
		t.Errorf("it was fetched: %+v, %v", w, err)
	}
	if why, err := f.post("main", f.secret); why != "" || err != nil {
		t.Fatalf("%q, %v", why, err)
	}
	f.fetched(func(w store.TemplateWebhook) bool { return w.Commit != commit })
	f.imported(provisionerv1.Result_SUCCEEDED)
	if v := f.versions()[0]; v.Number != 3 || !strings.HasSuffix(v.Message, "The second") {
		t.Errorf("the push made %+v", v)
	}
}

// Whoever has recorded a push and sends it again has it fetched again, not too often, and
// that is all.
func TestAPushThatIsSentAgainMakesNothing(t *testing.T) {
	f := follows(t, true)
	f.fetched(func(w store.TemplateWebhook) bool { return w.DueAt == nil })
	for range 100 {
		if _, err := f.post("main", f.secret); err != nil {
			t.Fatal(err)
		}
	}
	asked := f.repository.Asked()
	w, err := f.st.TemplateWebhook(t.Context(), f.hook.ID)
	must(t, err)
	if soon := w.FetchedAt.Add(fetchPause); w.DueAt.Before(soon) {
		t.Errorf("it is fetched at %v, sooner than %v", w.DueAt, soon)
	}
	f.hurry()
	f.eventually("it was fetched", func() bool { return f.repository.Asked() > asked })
	f.fetched(func(w store.TemplateWebhook) bool { return w.DueAt == nil })
	if list := f.versions(); len(list) != 2 {
		t.Errorf("there are %d versions", len(list))
	}
}

func TestAVersionIsPromotedWhenItsImportSucceeds(t *testing.T) {
	f := follows(t, true)
	f.eventually("version 2 is active", func() bool { return f.active() == 2 })
	f.repository.Write("dev/main.tf", "# broken\n")
	f.repository.Commit("Broken")
	f.fetched(func(w store.TemplateWebhook) bool { return w.DueAt == nil })
	if _, err := f.post("main", f.secret); err != nil {
		t.Fatal(err)
	}
	f.hurry()
	f.imported(provisionerv1.Result_FAILED)
	if v := f.versions()[0]; v.Number != 3 || v.Import.Status != store.JobFailed || v.Import.Error != "as it is" || f.active() != 2 {
		t.Errorf("version %+v failed, and %d is active", v, f.active())
	}
}

// The webhook may do what its creator may, when it is used.
func TestAWebhookHasTheRightsOfWhoMadeIt(t *testing.T) {
	f := follows(t, false)
	f.fetched(func(w store.TemplateWebhook) bool { return w.DueAt == nil })
	must(t, f.SetGitCredential(t.Context(), f.user.ID, strings.TrimSuffix(f.repository.URL, "/repository/.git"), "alice", "token"))
	f.repository.Want("Basic " + base64.StdEncoding.EncodeToString([]byte("alice:token")))
	commit := f.repository.Commit("Shown the password")
	f.hurry()
	f.fetched(func(w store.TemplateWebhook) bool { return w.Commit == commit })

	_, err := f.st.ChangeUser(t.Context(), f.user.ID, func(u *store.User) error { u.Role = store.RoleMember; return nil })
	if err != nil { // the last owner
		_, err = f.st.CreateUser(t.Context(), store.NewUser{Username: "root", Email: "root@example.com", PasswordHash: "x", Role: store.RoleOwner})
		must(t, err)
		_, err = f.st.ChangeUser(t.Context(), f.user.ID, func(u *store.User) error { u.Role = store.RoleMember; return nil })
		must(t, err)
	}
	f.repository.Write("dev/main.tf", "# more\n")
	f.repository.Commit("By one who may not")
	asked := f.repository.Asked()
	f.hurry()
	w := f.fetched(func(w store.TemplateWebhook) bool { return w.Problem != "" })
	if !strings.Contains(w.Problem, "alice, who made the webhook, may not") || f.repository.Asked() != asked || len(f.versions()) != 2 {
		t.Errorf("%q, asked %d times, %d versions", w.Problem, f.repository.Asked()-asked, len(f.versions()))
	}
	entries, err := f.st.Audit(t.Context(), store.AuditFilter{Action: "template_webhook.changed", Limit: 10})
	must(t, err)
	if len(entries) == 0 || entries[0].ObjectName != "process" || !strings.Contains(string(entries[0].After), "may not change the template") {
		t.Errorf("the audit log has %+v", entries)
	}
	for _, e := range entries {
		if strings.Contains(string(e.After), "adit_push_") || !strings.Contains(string(e.After), `"secret": "hidden"`) {
			t.Errorf("the audit log has the secret: %s", e.After)
		}
	}
}

func TestAFetchThatFailsIsTriedAgainAndGivenUp(t *testing.T) {
	f := follows(t, false)
	f.fetched(func(w store.TemplateWebhook) bool { return w.DueAt == nil })
	w, err := f.st.TemplateWebhook(t.Context(), f.hook.ID)
	must(t, err)
	var waits []time.Duration
	for w.Tries = range fetchTries {
		at := w
		at.URL = "http://127.0.0.1:1/" // where nobody is
		f.fetchOne(context.WithoutCancel(t.Context()), at)
		now, err := f.st.TemplateWebhook(t.Context(), f.hook.ID)
		must(t, err)
		if now.Tries != w.Tries+1 || !strings.Contains(now.Problem, "fetch branch main of http://127.0.0.1:1/: git fetch") {
			t.Errorf("try %d: %+v", w.Tries, now)
		}
		if now.DueAt != nil {
			waits = append(waits, now.DueAt.Sub(*now.FetchedAt))
		}
	}
	if want := []time.Duration{15 * time.Second, 30 * time.Second, time.Minute, 2 * time.Minute}; len(waits) != len(want) || waits[0] != want[0] || waits[3] != want[3] {
		t.Errorf("it waits %v, want %v", waits, want)
	}
	// A push puts an end to that.
	f.hurry()
	if w := f.fetched(func(w store.TemplateWebhook) bool { return w.Problem == "" }); w.Tries != 0 {
		t.Errorf("it is at %+v", w)
	}
}

func TestAWebhookOutlivesTheKeyAndNotItsTemplate(t *testing.T) {
	f := follows(t, false)
	f.fetched(func(w store.TemplateWebhook) bool { return w.DueAt == nil })
	f.withKeys(seal.NewKey() + f.keyText)
	_, err := f.Reseal(t.Context())
	must(t, err)
	newest, _, _ := strings.Cut(f.keyText, "\n")
	f.withKeys(newest)
	if why, err := f.post("main", f.secret); why != "" || err != nil {
		t.Errorf("after the key was changed: %q, %v", why, err)
	}
	if _, _, err := f.FollowTemplate(t.Context(), f.hook); !errors.Is(err, store.ErrConflict) {
		t.Errorf("a second webhook: %v", err)
	}
	must(t, f.DeleteTemplate(t.Context(), f.template))
	if _, err := f.st.TemplateWebhook(t.Context(), f.hook.ID); !errors.Is(err, store.ErrNotFound) {
		t.Errorf("its template is gone, and it is there: %v", err)
	}
}
