package mesh

import (
	"math"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/aditmesh/adit/coordinator/store"
	meshv1 "github.com/aditmesh/adit/pkg/proto/meshv1"
)

func TestReportsAreOneValueAKeyAndOneSumAnAgent(t *testing.T) {
	r, agent, t0 := newReports(), uuid.New(), time.Unix(1000, 0)
	came := func(report *meshv1.Report, at time.Time) {
		t.Helper()
		if err := r.came(agent, report, at); err != nil {
			t.Fatal(err)
		}
	}
	came(&meshv1.Report{Metadata: []*meshv1.MetadataValue{{Key: "load", Value: "1\n"}, {Key: "disk", Error: "no"}}}, t0)
	came(&meshv1.Report{Stats: &meshv1.Stats{Seconds: 60, Active: true, Ssh: 2, RxBytes: 5, Cpu: 1, Memory: 9}}, t0)
	metadata, stats := r.take()
	if len(metadata) != 2 || len(stats) != 1 || stats[0].Active != time.Minute {
		t.Fatalf("took %+v, %+v", metadata, stats)
	}
	// The database is away, and more comes meanwhile.
	came(&meshv1.Report{
		Metadata: []*meshv1.MetadataValue{{Key: "load", Value: "2"}},
		Stats:    &meshv1.Stats{Seconds: 30, Ssh: 1, RxBytes: 7, Cpu: 4, Memory: 8},
	}, t0.Add(time.Second))
	r.putBack(metadata, stats)
	metadata, stats = r.take()
	for _, v := range metadata {
		if want := map[string]string{"load": "2", "disk": ""}[v.Key]; v.Value != want {
			t.Errorf("%s is %q, want %q", v.Key, v.Value, want)
		}
	}
	want := store.Stats{AgentID: agent, Length: 90 * time.Second, Active: time.Minute, SSH: 2, RxBytes: 12, CPU: 2, Memory: 8}
	if len(metadata) != 2 || len(stats) != 1 || stats[0] != want {
		t.Errorf("took %+v, %+v, want %+v", metadata, stats, want)
	}
	if metadata, stats := r.take(); len(metadata)+len(stats) != 0 {
		t.Errorf("took twice: %v, %v", metadata, stats)
	}
}

func TestReportsThatNoAgentOfOursSends(t *testing.T) {
	long := strings.Repeat("x", maxMetadataValue+1)
	many := &meshv1.Report{}
	for range maxMetadata + 1 {
		many.Metadata = append(many.Metadata, &meshv1.MetadataValue{Key: "k"})
	}
	for name, report := range map[string]*meshv1.Report{
		"too many values": many,
		"a long value":    {Metadata: []*meshv1.MetadataValue{{Key: "k", Value: long}}},
		"a long key":      {Metadata: []*meshv1.MetadataValue{{Key: long}}},
		"no number":       {Stats: &meshv1.Stats{Cpu: math.NaN()}},
		"no end":          {Stats: &meshv1.Stats{Seconds: math.Inf(1)}},
		"less than none":  {Stats: &meshv1.Stats{LatencyMs: -1}},
		"too many bytes":  {Stats: &meshv1.Stats{RxBytes: 1 << 63}},
		"many sessions":   {Stats: &meshv1.Stats{Ssh: 1 << 31}},
	} {
		r := newReports()
		if err := r.came(uuid.New(), report, time.Now()); err == nil {
			t.Errorf("%s was taken", name)
		}
		if metadata, stats := r.take(); len(metadata)+len(stats) != 0 {
			t.Errorf("%s left %v, %v", name, metadata, stats)
		}
	}
}

func TestClientsReportNothing(t *testing.T) {
	v := newVillage(t)
	client := open(t, v.dial(t, "client"))
	client.hello('c')
	client.untilWelcome()
	client.say(&meshv1.Up{Msg: &meshv1.Up_Report{Report: &meshv1.Report{}}})
	client.untilError(meshv1.Error_BAD_MESSAGE)
}

// What ends of links say is written once they have said it, and dropped once the
// link is no more, also by another of the same two, however often the database is
// away in between.
func TestLinksAreWrittenWhileTheyLast(t *testing.T) {
	c, r := linked(), newReports()
	say := func(path string) {
		t.Helper()
		l := c.report(2, agentA.id, &meshv1.Verdict{Path: path}, time.Now())
		if l == nil {
			t.Fatal("there is no link")
		}
		r.said(l)
	}
	expect := func(path string, dropped int) ([]store.Link, []store.LinkKey) {
		t.Helper()
		write, drop := r.takeLinks()
		if len(drop) != dropped || path == "" && len(write) > 0 || path != "" && (len(write) != 1 || write[0].ByClient.Path != path) {
			t.Errorf("to write %+v, to drop %v, want %q and %d", write, drop, path, dropped)
		}
		return write, drop
	}
	expect("", 0)
	say("derp")
	r.putBackLinks(expect("derp", 0))
	say("direct")
	r.putBackLinks(expect("direct", 0))
	expect("direct", 0)
	expect("", 0)

	c.unwant(2, agentA.id)
	must(c.want(2, agentA))
	say("derp") // of a new link, by which the old one is overwritten
	expect("derp", 0)
	c.unwant(2, agentA.id)
	r.putBackLinks(expect("", 1))
	r.putBackLinks(expect("", 1))
	must(c.want(2, agentA))
	say("direct") // what was to be dropped is there again
	expect("direct", 0)
	c.revoke(agentA.id, "over")
	expect("", 1)
	expect("", 0)
}

// Whose a session is says the coordinator, at first; numbers that cannot be end the
// stream of who tells of them.
func TestSessionsAreThoseOfTheLinkedClient(t *testing.T) {
	agent, alice := uuid.New(), uuid.New()
	linked := alice
	userOf := func(string) uuid.UUID { return linked }
	r := newReports()
	id := uuid.NewString()
	must := func(s *meshv1.SessionReport) {
		t.Helper()
		if err := r.sessionsCame(agent, []*meshv1.SessionReport{s}, userOf); err != nil {
			t.Fatal(err)
		}
	}
	must(&meshv1.SessionReport{Id: id, Kind: "shell", From: "192.0.2.1:1\x1b", StartedMs: 1000})
	linked = uuid.Nil // it has left meanwhile
	must(&meshv1.SessionReport{Id: id, Kind: "shell", StartedMs: 1000, EndedMs: 3000, RxBytes: 7})
	list := r.takeSessions()
	if len(list) != 1 || list[0].UserID != alice || list[0].EndedAt.Sub(list[0].StartedAt) != 2*time.Second || list[0].Rx != 7 {
		t.Fatalf("%+v", list)
	}
	must(&meshv1.SessionReport{Id: id, Kind: "shell", StartedMs: 1000, EndedMs: 3000, RxBytes: 9})
	r.putSessionsBack(list)
	if got := r.takeSessions(); len(got) != 1 || got[0].Rx != 9 {
		t.Errorf("what could not be written is in the way of what is newer: %+v", got)
	}
	for _, bad := range []*meshv1.SessionReport{
		{Id: "x"}, {Id: id, Kind: strings.Repeat("x", 300)}, {Id: id, RxBytes: 1 << 63}, {Id: id, StartedMs: -1}, {Id: id, EndedMs: 1 << 60},
	} {
		if err := r.sessionsCame(agent, []*meshv1.SessionReport{bad}, userOf); err == nil {
			t.Errorf("%v was taken", bad)
		}
	}
}

// Who has left is still known for what they did, and not for ever.
func TestWhoHasLeftIsKnownForAWhile(t *testing.T) {
	c := newCore()
	agent, client, alice := uuid.New(), uuid.New(), uuid.New()
	c.join(1, member{id: client, user: alice, key: [32]byte{1}, disco: [32]byte{1}})
	if _, err := c.want(1, member{id: agent, agent: true}); err != nil {
		t.Fatal(err)
	}
	if got := c.userOf(uuid.New(), client.String()); got != uuid.Nil {
		t.Errorf("another agent's client is %v", got)
	}
	c.unwant(1, agent)
	now := time.Unix(1000, 0)
	for i, want := range []uuid.UUID{alice, alice, uuid.Nil} {
		if got := c.userOf(agent, client.String()); got != want {
			t.Errorf("look %d: %v, want %v", i, got, want)
		}
		c.expire(now)
		now = now.Add(forgetAfter + time.Second)
	}
}
