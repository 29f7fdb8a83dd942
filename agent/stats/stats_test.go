package stats

import (
	"context"
	"io"
	"net"
	"testing"
	"testing/synctest"
	"time"

	meshv1 "github.com/aditmesh/adit/pkg/proto/meshv1"
)

func TestSomebodyIsThereOnlyIfTheyDoSomething(t *testing.T) {
	for name, tt := range map[string]struct {
		use    func(*Tally)
		active bool
	}{
		"an open session":         {func(t *Tally) { t.Begin(SSH) }, false},
		"output of a command":     {func(t *Tally) { t.Begin(SSH).Out(1 << 20) }, false},
		"a key":                   {func(t *Tally) { t.Begin(SSH).In(1) }, true},
		"the end of what is read": {func(t *Tally) { t.Begin(SSH).In(0) }, false},
		"a file that is read":     {func(t *Tally) { t.Begin(SFTP).Out(1) }, true},
		"an answer of a port":     {func(t *Tally) { t.Begin(Forward).Out(1) }, true},
		"a request to a port":     {func(t *Tally) { t.Begin(Forward).In(1) }, true},
		"a port the other way": {func(t *Tally) {
			u := t.Reverse()
			u.In(1)
			u.Out(1)
		}, false},
	} {
		var tally Tally
		tt.use(&tally)
		if got := tally.Count().Active; got != tt.active {
			t.Errorf("%s: active is %v", name, got)
		}
		if tally.Count().Active {
			t.Errorf("%s: active a minute later, too", name)
		}
	}
}

func TestSessionsAreTheMostAtOnce(t *testing.T) {
	var tally Tally
	a, b := tally.Begin(SSH), tally.Begin(SSH)
	a.End()
	tally.Begin(Forward).End()
	c := tally.Count()
	if c.Most[SSH] != 2 || c.Most[Forward] != 1 || c.Most[SFTP] != 0 {
		t.Errorf("first: %v", c.Most)
	}
	if c := tally.Count(); c.Most[SSH] != 1 || c.Most[Forward] != 0 {
		t.Errorf("with one that goes on: %v", c.Most)
	}
	b.End()
	tally.Count()
	if c := tally.Count(); c.Most != [kinds]int{} {
		t.Errorf("with none: %v", c.Most)
	}
	var none *Tally
	u := none.Begin(SSH)
	u.In(1)
	u.Out(1)
	u.End()
}

func TestConnectionsAreCounted(t *testing.T) {
	client, ours := net.Pipe()
	var tally Tally
	counted := tally.Conn(Forward, ours)
	go func() {
		_, _ = client.Write([]byte("four"))
		_, _ = io.ReadFull(client, make([]byte, 6))
		client.Close()
	}()
	if _, err := io.ReadFull(counted, make([]byte, 4)); err != nil {
		t.Fatal(err)
	}
	if _, err := counted.Write([]byte("twelve")); err != nil {
		t.Fatal(err)
	}
	counted.Close()
	counted.Close() // Join closes twice
	if c := tally.Count(); c.Rx != 4 || c.Tx != 6 || c.Most[Forward] != 1 {
		t.Errorf("%+v", c)
	}
	if c := tally.Count(); c.Most[Forward] != 0 {
		t.Errorf("closed twice: %+v", c)
	}
}

func TestAReportEachMinuteAndOneAtTheEnd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var tally Tally
		var reports []*meshv1.Stats
		ctx, cancel := context.WithTimeout(t.Context(), 150*time.Second)
		defer cancel()
		tally.Begin(SSH).In(3)
		Run(ctx, Config{
			Tally: &tally, Dir: t.TempDir(), Report: func(s *meshv1.Stats) { reports = append(reports, s) },
			RoundTrips: func() []time.Duration { return []time.Duration{9e6, 1e6, 2e6} },
		})
		if len(reports) != 3 || reports[0].GetSeconds() != 60 || reports[2].GetSeconds() != 30 {
			t.Fatalf("%v", reports)
		}
		if r := reports[0]; !r.GetActive() || r.GetRxBytes() != 3 || r.GetSsh() != 1 || r.GetLatencyMs() != 2 || r.GetMemory() == 0 {
			t.Errorf("first: %v", r)
		}
		if r := reports[1]; r.GetActive() || r.GetRxBytes() != 0 || r.GetSsh() != 1 {
			t.Errorf("second, with nobody typing: %v", r)
		}
	})
}

func TestAnAgentRestsOnceTheLastSessionHasGone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var tally Tally
		ctx, cancel := context.WithTimeout(t.Context(), 5*time.Minute+time.Second)
		defer cancel()
		one, two := tally.Begin(SSH), tally.Begin(Forward)
		at := map[time.Duration]func(){90 * time.Second: one.End, 150 * time.Second: two.End}
		for after, end := range at {
			time.AfterFunc(after, end)
		}
		began := time.Now()
		var rested []time.Duration
		Run(ctx, Config{Tally: &tally, Dir: t.TempDir(), Report: func(*meshv1.Stats) {}, Rests: func() { rested = append(rested, time.Since(began)) }})
		if len(rested) != 1 || rested[0] != 3*time.Minute {
			t.Errorf("rested after %v, want once, after 3 min", rested)
		}
	})
}
