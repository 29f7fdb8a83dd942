package workspaces

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/aditmesh/adit/coordinator/auth"
	"github.com/aditmesh/adit/coordinator/secret"
	"github.com/aditmesh/adit/coordinator/store"
	"github.com/aditmesh/adit/pkg/agenttoken"
	provisionerv1 "github.com/aditmesh/adit/pkg/proto/provisionerv1"
)

func TestFromTemplateToRunningAndGone(t *testing.T) {
	l := newLab(t, Config{})
	p := l.join("host", "built-in")
	tmpl := l.template(p, &provisionerv1.Parameter{Name: "cpu", Type: "number", Default: "2"})
	list, err := l.st.Templates(t.Context(), store.Scope{Everywhere: true}, store.Page{Max: 9})
	must(t, err)
	if len(list) != 1 || list[0].ActiveNumber != 1 {
		t.Fatalf("templates: %+v", list)
	}
	w := l.workspace(tmpl, "dev")
	j := p.job()
	b := j.GetBuild()
	if string(j.GetLockFile()) != "locked" || b.GetParameters()["cpu"] != "2" || b.GetWorkspaceName() != "dev" || b.GetOwnerName() != "alice" {
		t.Errorf("job %v", j)
	}
	l.phase(w.ID, store.PhaseStarting)
	must(t, p.planned(j.GetRef(), "main"))

	// The agent may come while Terraform is still at it.
	token := agenttoken.Token(w.ID, b.GetAgentSecret(), "main")
	who, err := auth.New(l.st).Authenticate(t.Context(), token)
	if err != nil || who.AgentID != agenttoken.ID(w.ID, "main") {
		t.Fatalf("agent is %+v, %v", who, err)
	}
	m, err := l.AgentManifest(t.Context(), who.AgentID)
	if err != nil || m.Agent.GetDirectory() != "/home/main" {
		t.Errorf("manifest %v, %v", m.Agent, err)
	}

	if current, err := p.save(j.GetRef(), "line", 1, `{"a":1}`); err != nil || !current {
		t.Fatalf("state: %v, %v", current, err)
	}
	must(t, p.finish(j.GetRef(), provisionerv1.Result_SUCCEEDED, ""))
	l.phase(w.ID, store.PhaseRunning)

	// A token is new with each start, and none is good when stopped.
	_, err = l.move(w.ID, store.Start)
	must(t, err)
	j = p.job()
	if s, err := p.load(j.GetRef()); err != nil || s != `{"a":1}` {
		t.Errorf("build starts from %q, %v", s, err)
	}
	must(t, p.planned(j.GetRef(), "main", "other"))
	must(t, p.finish(j.GetRef(), provisionerv1.Result_SUCCEEDED, ""))
	if _, err := auth.New(l.st).Authenticate(t.Context(), token); !errors.Is(err, auth.ErrUnauthenticated) {
		t.Errorf("the token of the build before: %v", err)
	}
	token = agenttoken.Token(w.ID, j.GetBuild().GetAgentSecret(), "main")
	_, err = l.move(w.ID, store.Stop)
	must(t, err)
	j = p.job()
	must(t, p.planned(j.GetRef()))
	must(t, p.finish(j.GetRef(), provisionerv1.Result_SUCCEEDED, ""))
	l.phase(w.ID, store.PhaseStopped)
	if _, err := auth.New(l.st).Authenticate(t.Context(), token); !errors.Is(err, auth.ErrUnauthenticated) {
		t.Errorf("a token of a stopped workspace: %v", err)
	}

	if err := l.DeleteTemplate(t.Context(), tmpl); !errors.As(err, new(*store.TemplateInUse)) {
		t.Errorf("a template in use: %v", err)
	}
	_, err = l.move(w.ID, store.Delete)
	must(t, err)
	j = p.job()
	must(t, p.planned(j.GetRef()))
	must(t, p.finish(j.GetRef(), provisionerv1.Result_SUCCEEDED, ""))
	if _, err := l.st.WorkspaceByID(t.Context(), w.ID); !errors.Is(err, store.ErrNotFound) {
		t.Errorf("deleted workspace: %v", err)
	}
	must(t, l.DeleteTemplate(t.Context(), tmpl))
	l.workspaceNameIsFree(w)
}

func (l *lab) workspaceNameIsFree(w store.Workspace) {
	l.t.Helper()
	if _, err := l.st.WorkspaceByName(l.t.Context(), "alice", w.Name); !errors.Is(err, store.ErrNotFound) {
		l.t.Errorf("name of a deleted workspace: %v", err)
	}
}

// settled returns a workspace that runs.
func (l *lab) settled(p *provisioner, tmpl uuid.UUID, name string) store.Workspace {
	l.t.Helper()
	w := l.workspace(tmpl, name)
	ref := p.job().GetRef()
	must(l.t, p.planned(ref, "main"))
	must(l.t, p.finish(ref, provisionerv1.Result_SUCCEEDED, ""))
	return w
}

func TestOfTwoBuildsAtOnceOneWins(t *testing.T) {
	l := newLab(t, Config{})
	p := l.join("host", "built-in")
	tmpl := l.template(p)
	for _, pair := range [][2]store.Transition{{store.Start, store.Start}, {store.Start, store.Delete}, {store.Stop, store.Start}} {
		w := l.settled(p, tmpl, fmt.Sprintf("ws-%s-%s", pair[0], pair[1]))
		errs := make(chan error, 8)
		for i := range cap(errs) {
			go func() {
				_, err := l.move(w.ID, pair[i%2])
				errs <- err
			}()
		}
		won := 0
		for range cap(errs) {
			err := <-errs
			var u *Underway
			switch {
			case err == nil:
				won++
			case !errors.As(err, &u) || !errors.Is(err, store.ErrConflict) || u.Number != 2:
				t.Errorf("%v: loser got %v, want *Underway of build 2", pair, err)
			}
		}
		if won != 1 {
			t.Errorf("%v: %d won, want 1", pair, won)
		}
		must(t, p.finish(p.job().GetRef(), provisionerv1.Result_FAILED, "enough"))
	}
}

func TestRenameAgainstStart(t *testing.T) {
	l := newLab(t, Config{})
	p := l.join("host", "built-in")
	tmpl := l.template(p)
	w := l.settled(p, tmpl, "old")
	var renamed error
	var wg sync.WaitGroup
	wg.Go(func() { renamed = l.Rename(t.Context(), w.ID, "new", nil) })
	_, err := l.move(w.ID, store.Start)
	wg.Wait()
	must(t, err) // a rename is over at once and is in nobody's way
	want := "new"
	if renamed != nil {
		if !errors.As(renamed, new(*Underway)) {
			t.Fatalf("rename: %v", renamed)
		}
		want = "old"
	}
	if got := p.job().GetBuild().GetWorkspaceName(); got != want {
		t.Errorf("the build is of %s, want %s", got, want)
	}
	if err := l.Rename(t.Context(), w.ID, "newer", nil); !errors.As(err, new(*Underway)) {
		t.Errorf("rename during a build: %v, want *Underway", err)
	}
}

// The coordinator is killed after every step of a build, and started anew. The
// provisioner, which repeats what was not answered, comes through.
func TestCoordinatorIsKilledBetweenAnyTwoSteps(t *testing.T) {
	l := newLab(t, Config{})
	p := l.join("host", "built-in")
	tmpl := l.template(p)
	again := func(jobs ...*provisionerv1.JobRef) {
		p.close()
		l.restart()
		p = l.join("host", "built-in", jobs...)
	}
	p.close()
	w := l.workspace(tmpl, "dev")
	again() // queued, and nobody was told
	j := p.job()
	again() // handed out, and its provisioner never heard of it
	next := p.job()
	if next.GetRef().GetId() != j.GetRef().GetId() || next.GetRef().GetAttempt() != 2 {
		t.Fatalf("after it was lost %v came, want attempt 2 of %v", next.GetRef(), j.GetRef())
	}
	ref := next.GetRef()
	again(ref) // handed out, and its provisioner has it
	must(t, p.planned(ref, "main"))
	again(ref) // begun, but the answer was lost
	must(t, p.planned(ref, "main"))
	_, err := p.save(ref, "line", 1, `{"a":1}`)
	must(t, err)
	again(ref) // saved, but the answer was lost
	if current, err := p.save(ref, "line", 1, `{"a":1}`); err != nil || !current {
		t.Errorf("the same state again: %v, %v", current, err)
	}
	must(t, l.CancelBuild(t.Context(), w.ID, 1))
	again(ref) // canceled, and nobody was told
	if c := p.cancel(); c.GetJob().GetId() != ref.GetId() {
		t.Errorf("canceled is %v", c)
	}
	must(t, p.finish(ref, provisionerv1.Result_CANCELED, "interrupted"))
	again(ref) // finished, but the answer was lost
	must(t, p.finish(ref, provisionerv1.Result_CANCELED, "interrupted"))
	l.phase(w.ID, store.PhaseFailed)
	_, err = l.move(w.ID, store.Delete)
	must(t, err)
}

func TestJobsAreHandedOutOnceAndByTag(t *testing.T) {
	l := newLab(t, Config{})
	first := l.join("first", "built-in")
	tmpl := l.template(first)
	first.close()
	const n = 12
	for i := range n {
		l.workspace(tmpl, fmt.Sprint("ws", i))
	}
	var mu sync.Mutex
	got := make(map[string]int)
	var wg sync.WaitGroup
	for i := range 4 {
		p := l.joinAs("built-in", &provisionerv1.Hello{Protocol: 1, Name: fmt.Sprint("p", i), Slots: 3, Tags: map[string]string{"zone": "a"}})
		wg.Go(func() {
			for range 3 {
				id := p.job().GetRef().GetId()
				mu.Lock()
				got[id]++
				mu.Unlock()
			}
		})
	}
	wg.Wait()
	if len(got) != n {
		t.Errorf("%d jobs were handed out, want %d, each once: %v", len(got), n, got)
	}
}

// Somebody starts a provisioner a second time, with another data directory.
func TestASecondProvisionerOfANameIsNotLetIn(t *testing.T) {
	l := newLab(t, Config{Lease: 6 * time.Second})
	as := func(instance string, jobs ...*provisionerv1.JobRef) *provisionerv1.Hello {
		return &provisionerv1.Hello{Protocol: 1, Name: "builder", Slots: 2, Instance: instance, Jobs: jobs}
	}
	first := l.joinAs("built-in", as("one"))
	tmpl := l.template(first)
	w := l.workspace(tmpl, "dev")
	job := first.job()
	beat := func(p *provisioner) {
		p.up(&provisionerv1.Up{Msg: &provisionerv1.Up_Heartbeat{Heartbeat: &provisionerv1.Heartbeat{Jobs: []*provisionerv1.JobRef{job.GetRef()}}}})
	}
	for range 3 {
		beat(first)
		second := l.knock("built-in", as("two"))
		if d := second.down(); !strings.Contains(d.GetError().GetMessage(), "give each its own --name") {
			t.Fatalf("the second is answered with %v", d)
		}
		second.close()
	}
	// The first has its session and its job. It may come anew: its old connection
	// may be dead without the coordinator's knowing.
	beat(first)
	again := l.joinAs("built-in", as("one", job.GetRef()))
	if d := first.down(); d.GetError() == nil {
		t.Errorf("the older session gets %v", d)
	}
	beat(again)
	l.phase(w.ID, store.PhaseStarting)
	// Who says nothing any more is not waited for.
	deadline := time.Now().Add(timeout)
	for {
		second := l.knock("built-in", as("two"))
		if second.down().GetWelcome() != nil {
			break
		}
		if second.close(); time.Now().After(deadline) {
			t.Fatal("a silent provisioner keeps its successor out")
		}
	}
}

func TestTagsOfAJobAndOfAKey(t *testing.T) {
	l := newLab(t, Config{})
	k, text, err := l.CreateProvisionerKey(t.Context(), "gpu", map[string]string{"kind": "gpu"}, l.user.ID, store.DefaultOrganization)
	must(t, err)
	other := l.joinAs("built-in", &provisionerv1.Hello{Protocol: 1, Name: "other", Slots: 1, Tags: map[string]string{"kind": "cpu"}})
	v, err := l.PushTemplate(t.Context(), Push{
		Template: "gpu", Archive: packed(t, "main.tf", ""), Tags: map[string]string{"kind": "gpu"}, CreatorID: l.user.ID,
	})
	must(t, err)
	// What it says of itself does not outdo its key.
	p := l.joinAs(auth.ProvisionerToken(k.ID, text), &provisionerv1.Hello{Protocol: 1, Name: "gpu", Slots: 1, Tags: map[string]string{"kind": "cpu"}})
	if id := p.job().GetRef().GetId(); id != v.Import.ID.String() {
		t.Errorf("job %s, want %s", id, v.Import.ID)
	}
	select {
	case d := <-other.downs:
		t.Errorf("a provisioner without the tag got %v", d)
	default:
	}
	must(t, l.RevokeProvisionerKey(t.Context(), k.ID))
	if d := p.down(); d.GetError().GetMessage() != "the provisioner key was revoked" {
		t.Errorf("after its key was revoked it is told %v", d)
	}
	if p.down() != nil {
		t.Error("the stream goes on")
	}
}

func TestKeysWorkForTheirOrganization(t *testing.T) {
	l := newLab(t, Config{})
	o, err := l.st.CreateOrganization(t.Context(), "research", l.user.ID)
	must(t, err)
	theirs, text, err := l.CreateProvisionerKey(t.Context(), "research", nil, l.user.ID, o.ID)
	must(t, err)
	p := l.joinAs(auth.ProvisionerToken(theirs.ID, text), &provisionerv1.Hello{Protocol: 1, Name: "research", Slots: 1})
	_, err = l.PushTemplate(t.Context(), Push{Template: "default", Archive: packed(t, "main.tf", ""), CreatorID: l.user.ID})
	must(t, err)
	v, err := l.PushTemplate(t.Context(), Push{Template: "research", Archive: packed(t, "main.tf", ""), CreatorID: l.user.ID, OrganizationID: o.ID})
	must(t, err)
	// The other is older and waits on.
	if id := p.job().GetRef().GetId(); id != v.Import.ID.String() {
		t.Errorf("job %s, want %s, that of its organization", id, v.Import.ID)
	}
}

// A provisioner cannot see, move or end another key's job, nor an earlier
// attempt's.
func TestProvisionerSeesItsOwnJobsOnly(t *testing.T) {
	l := newLab(t, Config{})
	k, text, err := l.CreateProvisionerKey(t.Context(), "other", nil, l.user.ID, store.DefaultOrganization)
	must(t, err)
	p := l.join("host", "built-in")
	w := l.workspace(l.template(p), "dev")
	ref := p.job().GetRef()
	eve := l.joinAs(auth.ProvisionerToken(k.ID, text), &provisionerv1.Hello{Protocol: 1, Name: "host", Slots: 1, Tags: map[string]string{"kind": "x"}})
	old := &provisionerv1.JobRef{Id: ref.GetId(), Attempt: ref.GetAttempt() - 1}
	_, load := eve.load(ref)
	_, oldLoad := p.load(old)
	_, save := eve.save(ref, "line", 1, "{}")
	for what, c := range map[string]struct {
		err  error
		want codes.Code
	}{
		"load":    {load, codes.NotFound},
		"save":    {save, codes.NotFound},
		"planned": {eve.planned(ref), codes.NotFound},
		"finish":  {eve.finish(ref, provisionerv1.Result_SUCCEEDED, ""), codes.NotFound},
		"log":     {eve.says(ref, 1, "forged"), codes.NotFound},

		"load of an earlier attempt":    {oldLoad, codes.FailedPrecondition},
		"planned of an earlier attempt": {p.planned(old), codes.FailedPrecondition},
		"finish of an earlier attempt":  {p.finish(old, provisionerv1.Result_SUCCEEDED, ""), codes.FailedPrecondition},
	} {
		if status.Code(c.err) != c.want {
			t.Errorf("%s: %v, want %v", what, c.err, c.want)
		}
	}
	eve.up(&provisionerv1.Up{Msg: &provisionerv1.Up_Heartbeat{Heartbeat: &provisionerv1.Heartbeat{Jobs: []*provisionerv1.JobRef{ref}}}})
	if c := eve.cancel(); !c.GetForce() {
		t.Errorf("for running another's job it is told %v", c)
	}
	if lines, err := l.Log(t.Context(), uuid.MustParse(ref.GetId()), 0); err != nil || len(lines) != 0 {
		t.Errorf("log of another: %v, %v", lines, err)
	}
	l.phase(w.ID, store.PhaseStarting)
}

func TestLostProvisionerHoldsTheWorkspaceUntilItDelivers(t *testing.T) {
	l := newLab(t, Config{Lease: 2 * time.Second})
	p := l.join("host", "built-in")
	w := l.workspace(l.template(p), "dev")
	ref := p.job().GetRef()
	must(t, p.planned(ref, "main"))
	p.close() // killed, with Terraform's state on its disk
	l.phase(w.ID, store.PhaseFailed)
	b, err := l.LastBuild(t.Context(), w.ID)
	must(t, err)
	if !strings.Contains(b.Job.Error, "its provisioner is gone") {
		t.Errorf("the job failed because %q", b.Job.Error)
	}
	var held *StateHeld
	if _, err := l.move(w.ID, store.Start); !errors.As(err, &held) || held.Provisioner != "host" {
		t.Fatalf("start: %v, want *StateHeld by host", err)
	}
	p = l.join("host", "built-in", ref)
	if c := p.cancel(); !c.GetForce() || c.GetJob().GetId() != ref.GetId() {
		t.Errorf("it is told %v", c)
	}
	if current, err := p.save(ref, "line", 3, `{"late":1}`); err != nil || !current {
		t.Errorf("late state: %v, %v", current, err)
	}
	if _, err := l.move(w.ID, store.Start); err != nil {
		t.Errorf("start after the state was back: %v", err)
	}
	must(t, p.finish(ref, provisionerv1.Result_FAILED, "killed"))
	l.phase(w.ID, store.PhaseStarting)
}

func TestCancelInterruptsThenForces(t *testing.T) {
	l := newLab(t, Config{CancelGrace: time.Second})
	p := l.join("host", "built-in")
	w := l.workspace(l.template(p), "dev")
	ref := p.job().GetRef()
	must(t, p.planned(ref))
	must(t, l.CancelBuild(t.Context(), w.ID, 1))
	if p.cancel().GetForce() {
		t.Error("killed before it was interrupted")
	}
	for !p.cancel().GetForce() {
	}
	must(t, p.finish(ref, provisionerv1.Result_CANCELED, "interrupted"))
	l.phase(w.ID, store.PhaseFailed)
	if err := l.CancelBuild(t.Context(), w.ID, 1); !errors.Is(err, ErrOver) {
		t.Errorf("cancel of what is over: %v", err)
	}
}

func TestLinesThatAreSentAgainAreKeptOnce(t *testing.T) {
	l := newLab(t, Config{})
	p := l.join("host", "built-in")
	l.workspace(l.template(p), "dev")
	ref := p.job().GetRef()
	must(t, p.says(ref, 1, "a", "b"))
	must(t, p.says(ref, 1, "a", "b")) // the answer was lost
	must(t, p.says(ref, 2, "b", "c"))
	must(t, p.says(ref, 1, "a"))
	must(t, p.says(ref, 4, "d"))
	lines, err := l.Log(t.Context(), uuid.MustParse(ref.GetId()), 0)
	must(t, err)
	var got string
	for _, line := range lines {
		got += line.Text
	}
	if got != "abcd" {
		t.Errorf("the log is %q", got)
	}
	if err := p.says(ref, 0, "x"); status.Code(err) != codes.InvalidArgument {
		t.Errorf("lines without a number: %v", err)
	}
}

func TestLogIsFollowedByManyAndBounded(t *testing.T) {
	l := newLab(t, Config{})
	p := l.join("host", "built-in")
	w := l.workspace(l.template(p), "dev")
	b, err := l.LastBuild(t.Context(), w.ID)
	must(t, err)
	ref := p.job().GetRef()
	said := 0
	say := func(texts ...string) {
		must(t, p.says(ref, uint64(said)+1, texts...))
		said += len(texts)
	}
	say("first")
	var wg sync.WaitGroup
	for range 5 {
		wg.Go(func() {
			var got []store.LogLine
			if err := l.FollowLog(t.Context(), b.Job.ID, 0, func(lines []store.LogLine) error {
				got = append(got, lines...)
				return nil
			}); err != nil {
				t.Error(err)
			}
			size := 0
			for i, line := range got {
				size += len(line.Text)
				if line.Seq != int64(i+1) {
					t.Fatalf("line %d has seq %d", i+1, line.Seq)
				}
			}
			last := got[len(got)-1]
			if got[0].Text != "first" || last.Text != logFull || last.Level != "warn" || size > maxLog+2*maxLine {
				t.Errorf("log of %d lines and %d bytes from %q to %q", len(got), size, got[0].Text, last.Text)
			}
		})
	}
	long := slices.Repeat([]string{strings.Repeat("x", maxLine)}, maxBatch)
	for range 6 { // 6 MiB
		say(long...)
	}
	say("never kept")
	// Calls overtake the stream, whose order is its own: a heartbeat that is
	// answered comes after all lines.
	p.up(&provisionerv1.Up{Msg: &provisionerv1.Up_Heartbeat{Heartbeat: &provisionerv1.Heartbeat{Jobs: []*provisionerv1.JobRef{{Id: uuid.NewString(), Attempt: 1}}}}})
	p.cancel()
	must(t, p.planned(ref))
	must(t, p.finish(ref, provisionerv1.Result_SUCCEEDED, ""))
	wg.Wait()
}

func TestAgentsOfAPlanAreChecked(t *testing.T) {
	l := newLab(t, Config{})
	p := l.join("host", "built-in")
	w := l.workspace(l.template(p), "dev")
	ref := p.job().GetRef()
	if err := p.planned(ref, "main", "main"); status.Code(err) != codes.InvalidArgument || !strings.Contains(err.Error(), "two agents are called main") {
		t.Errorf("two of one name: %v", err)
	}
	if err := p.planned(ref, "no name"); status.Code(err) != codes.InvalidArgument {
		t.Errorf("a bad name: %v", err)
	}
	got, err := l.st.WorkspaceByID(t.Context(), w.ID)
	if err != nil || len(got.Agents) != 0 {
		t.Errorf("agents of a refused plan: %v, %v", got.Agents, err)
	}
}

func TestStrangersGetNoStream(t *testing.T) {
	l := newLab(t, Config{})
	text, hash := secret.New()
	tok, err := l.st.CreateToken(t.Context(), store.NewToken{UserID: l.user.ID, Name: "laptop", SecretHash: hash})
	must(t, err)
	who, err := auth.New(l.st).Authenticate(t.Context(), "adit_"+strings.ReplaceAll(tok.ID.String(), "-", "")+"_"+text)
	if err != nil || who.Kind != auth.User {
		t.Fatalf("%+v, %v", who, err)
	}
	if _, err := identity(context.Background()); !errors.Is(err, errNotProvisioner) {
		t.Errorf("no identity: %v", err)
	}
	other := auth.New(l.st).BuiltInToken() // of another process
	if _, err := auth.New(l.st).Authenticate(t.Context(), other); !errors.Is(err, auth.ErrUnauthenticated) {
		t.Errorf("a built-in token of another process: %v", err)
	}
}

func TestJobsThatEndAreToldOfOnce(t *testing.T) {
	over := make(chan Over, 10)
	l := newLab(t, Config{JobOver: func(o Over) { over <- o }})
	p := l.join("p", "built-in")
	tmpl := l.template(p)
	w := l.workspace(tmpl, "dev")
	ref := p.job().GetRef()
	for range 2 { // the second time because the answer was lost
		must(t, p.finish(ref, provisionerv1.Result_FAILED, "no"))
	}
	p.close()
	_, err := l.move(w.ID, store.Start)
	must(t, err)
	must(t, l.CancelBuild(t.Context(), w.ID, 2)) // before anybody had it
	close(over)
	var got []string
	for o := range over {
		got = append(got, o.Kind+" "+string(o.Status))
		if had := o.Status != store.JobCanceled; had != (o.Took > 0) || o.Waited <= 0 {
			t.Errorf("%+v", o)
		}
	}
	if want := []string{"import succeeded", "start failed", "start canceled"}; !slices.Equal(got, want) {
		t.Errorf("told of %v, want %v", got, want)
	}
}

// However much a provisioner has to say of why a job failed, the job is over. What
// is cut is no half of a character, which the database would not take.
func TestALongReasonIsCut(t *testing.T) {
	l := newLab(t, Config{})
	p := l.join("host", "built-in")
	w := l.workspace(l.template(p), "dev")
	must(t, p.finish(p.job().GetRef(), provisionerv1.Result_FAILED, "x"+strings.Repeat("ü", maxReason)))
	l.phase(w.ID, store.PhaseFailed)
	b, err := l.BuildByNumber(t.Context(), w.ID, 1)
	must(t, err)
	if got := b.Job.Error; len(got) > maxReason || !strings.HasPrefix(got, "xü") || !strings.HasSuffix(got, "ü…") {
		t.Errorf("%d bytes: %.40q", len(got), got)
	}
}
