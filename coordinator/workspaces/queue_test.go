package workspaces

import (
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/aditmesh/adit/coordinator/store"
	provisionerv1 "github.com/aditmesh/adit/pkg/proto/provisionerv1"
)

// tags reads "site=lab gpu=yes".
func tags(text string) map[string]string {
	m := make(map[string]string)
	for _, f := range strings.Fields(text) {
		k, v, _ := strings.Cut(f, "=")
		m[k] = v
	}
	return m
}

func TestWhyAJobWaits(t *testing.T) {
	ours, theirs := uuid.New(), uuid.New()
	job := func(wanted string) store.QueuedJob {
		return store.QueuedJob{ID: uuid.New(), OrganizationID: ours, Tags: tags(wanted)}
	}
	// there is a provisioner with tags that runs some of its two slots.
	there := func(has string, running int, change ...func(*store.Provisioner)) store.Provisioner {
		p := store.Provisioner{ID: uuid.New(), KeyID: uuid.New(), OrganizationID: ours, Tags: tags(has), Slots: 2, Running: running, LastSeenAt: epoch}
		for _, c := range change {
			c(&p)
		}
		return p
	}
	draining := func(p *store.Provisioner) { p.Draining = true }
	of := func(organization uuid.UUID) func(*store.Provisioner) {
		return func(p *store.Provisioner) { p.OrganizationID = organization }
	}
	builtIn := func(p *store.Provisioner) { p.KeyID, p.OrganizationID = uuid.Nil, uuid.Nil }
	seen := func(ago time.Duration) func(*store.Provisioner) {
		return func(p *store.Provisioner) { p.LastSeenAt = epoch.Add(-ago) }
	}
	left := func(ago time.Duration) func(*store.Provisioner) {
		return func(p *store.Provisioner) {
			at := epoch.Add(-ago)
			p.LastSeenAt, p.LeftAt = at, &at
		}
	}
	type fleet = []store.Provisioner
	for _, c := range []struct {
		name  string
		wants string
		ahead []store.QueuedJob
		fleet fleet
		want  string
		place int
		stuck bool
	}{
		{"a slot is free", "", nil, fleet{there("", 1)}, "", 1, false},
		{"nobody is there", "site=lab", nil, nil,
			"there is no provisioner; one that is run with 'adit provisioner' --tag site=lab takes it", 0, true},
		{"a typing error", "site=lba gpu=yes", nil, fleet{there("site=lab gpu=yes", 0), there("site=home", 0), there("", 0)},
			"no provisioner has the tags gpu=yes, site=lba; the nearest there is has gpu=yes, site=lab", 0, true},
		{"a typing error in a key", "sites=lab", nil, fleet{there("site=lab", 0), there("kind=gpu", 0)},
			"no provisioner has the tags sites=lab; the nearest there is has site=lab", 0, true},
		{"tags are needed and none has any", "site=lab", nil, fleet{there("", 0)},
			"no provisioner has the tags site=lab; the nearest there is has none", 0, true},
		{"another organization's is no help", "site=lab", nil, fleet{there("site=lab", 0, of(theirs)), there("site=lap", 0)},
			"no provisioner has the tags site=lab; the nearest there is has site=lap", 0, true},
		{"one that is built in works for all", "", nil, fleet{there("", 0, of(theirs)), there("", 1, builtIn)}, "", 1, false},
		{"it has left", "site=lab", nil, fleet{there("site=lab", 0, left(time.Hour)), there("site=home", 0)},
			"no provisioner that takes it is connected (tags site=lab); one was last seen 1h0m0s ago", 0, true},
		{"it is silent for a lease", "", nil, fleet{there("", 0, seen(time.Minute))},
			"no provisioner that takes it is connected; one was last seen 1m0s ago", 0, true},
		{"a heartbeat is late", "", nil, fleet{there("", 0, seen(20*time.Second))}, "", 1, false},
		{"it is about to stop", "site=lab", nil, fleet{there("site=lab", 1, draining)},
			"every provisioner that takes it is about to stop (tags site=lab)", 0, true},
		{"all slots are busy", "", []store.QueuedJob{job(""), job("")}, fleet{there("", 2), there("", 2)},
			"number 3 in the queue: 4 of 4 slots of the provisioners that take it are busy", 3, false},
		{"those that wait for others are not before it", "site=lab", []store.QueuedJob{job("site=home"), job("site=lab"), job("site=nowhere")},
			fleet{there("site=lab", 2), there("site=home", 2)},
			"number 2 in the queue: 2 of 2 slots of the provisioners that take it are busy (tags site=lab)", 2, false},
		{"there is room for all before it", "", []store.QueuedJob{job("")}, fleet{there("", 0)}, "", 2, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			got := waitOf(job(c.wants), c.ahead, c.fleet, epoch, 30*time.Second)
			if want := (Wait{Position: c.place, Stuck: c.stuck, Message: c.want}); got != want {
				t.Errorf("it is told\n%+v, want\n%+v", got, want)
			}
		})
	}
}

func TestEdits(t *testing.T) {
	for _, c := range []struct {
		a, b string
		want int
	}{{"", "", 0}, {"abc", "abc", 0}, {"site=lab", "sites=lab", 1}, {"lab", "lba", 2}, {"", "xyz", 3}, {"kitten", "sitting", 3}} {
		if got := edits(c.a, c.b); got != c.want || edits(c.b, c.a) != got {
			t.Errorf("%q and %q are %d apart, want %d", c.a, c.b, got, c.want)
		}
	}
}

// Whoever waits is told why within two seconds, and that it has another reason now.
func TestWhoWaitsIsToldWhy(t *testing.T) {
	l := newLab(t, Config{})
	p := l.join("host", "built-in")
	tmpl := l.template(p)
	p.up(&provisionerv1.Up{Msg: &provisionerv1.Up_Bye{Bye: &provisionerv1.Bye{}}})
	l.eventually("the bye is noted", func() bool {
		_, fleet, _, err := l.st.Queue(t.Context())
		return err == nil && len(fleet) == 1 && fleet[0].Draining
	})
	w := l.workspace(tmpl, "dev")
	b, err := l.LastBuild(t.Context(), w.ID)
	must(t, err)
	told := make(chan Wait)
	go func() {
		_ = l.FollowWait(t.Context(), b.Job, func(w Wait) error { told <- w; return nil })
	}()
	expect := func(text string) {
		t.Helper()
		began := time.Now()
		select {
		case w := <-told:
			if took := time.Since(began); !strings.Contains(w.Message, text) || took > 2*time.Second {
				t.Errorf("after %v it is told %+v, want %q", took, w, text)
			}
		case <-time.After(timeout):
			t.Fatalf("it is not told: %s", text)
		}
	}
	expect("about to stop")
	p.close()
	expect("no provisioner that takes it is connected")
	another := l.joinAs("built-in", &provisionerv1.Hello{Protocol: 1, Name: "another", Slots: 1})
	if id := another.job().GetRef().GetId(); id != b.Job.ID.String() {
		t.Errorf("job %s is handed out, want %s", id, b.Job.ID)
	}
	list, err := l.Jobs(t.Context(), store.Scope{Everywhere: true}, store.JobRunning, store.Page{Max: 10})
	must(t, err)
	if len(list) != 1 || list[0].Provisioner != "another" || list[0].Kind != "start" || list[0].Workspace != "dev" || list[0].Owner != "alice" {
		t.Errorf("the jobs that run are %+v", list)
	}
}

// A job that crossed with the bye of its provisioner goes to another at once, and not
// only when its lease is over.
func TestAJobThatIsGivenBackGoesToAnother(t *testing.T) {
	l := newLab(t, Config{Lease: time.Hour})
	p := l.join("host", "built-in")
	w := l.workspace(l.template(p), "dev")
	ref := p.job().GetRef()
	p.up(&provisionerv1.Up{Msg: &provisionerv1.Up_Bye{Bye: &provisionerv1.Bye{}}})
	p.up(&provisionerv1.Up{Msg: &provisionerv1.Up_Refuse{Refuse: &provisionerv1.Refuse{Job: ref}}})
	l.phase(w.ID, store.PhasePending)
	another := l.joinAs("built-in", &provisionerv1.Hello{Protocol: 1, Name: "another", Slots: 1})
	again := another.job().GetRef()
	if again.GetId() != ref.GetId() || again.GetAttempt() != ref.GetAttempt()+1 {
		t.Errorf("handed out is %v, was %v", again, ref)
	}
	// Nobody gives back what is another's.
	p.up(&provisionerv1.Up{Msg: &provisionerv1.Up_Refuse{Refuse: &provisionerv1.Refuse{Job: again}}})
	must(t, another.planned(again))
	must(t, another.finish(again, provisionerv1.Result_SUCCEEDED, ""))
	l.phase(w.ID, store.PhaseRunning)
	// One that comes back while it is about to stop gets nothing.
	p.close()
	back := l.joinAs("built-in", &provisionerv1.Hello{Protocol: 1, Name: "host", Slots: 2, Leaving: true})
	_, err := l.move(w.ID, store.Stop)
	must(t, err)
	if id := another.job().GetRef().GetId(); id == "" {
		t.Error("no job")
	}
	select {
	case d := <-back.downs:
		t.Errorf("it is told %v", d)
	default:
	}
}

func TestAProvisionerOfAFarVersionIsRefused(t *testing.T) {
	l := newLab(t, Config{Version: "v1.4.2"})
	p := l.knock("built-in", &provisionerv1.Hello{Protocol: 1, Name: "host", Slots: 1, Version: "v1.6.0"})
	if d := p.down(); !strings.Contains(d.GetError().GetMessage(), "run a provisioner of 1.3 to 1.5") {
		t.Errorf("it is told %v", d)
	}
	l.joinAs("built-in", &provisionerv1.Hello{Protocol: 1, Name: "host", Slots: 1, Version: "v1.5.0"})
}
