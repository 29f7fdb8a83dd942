package metrics

import (
	"strings"
	"testing"
	"time"

	"github.com/aditmesh/adit/coordinator/store"
	"github.com/aditmesh/adit/coordinator/workspaces"
)

func TestJobsAreCountedByWhatBecameOfThem(t *testing.T) {
	m := New("test")
	m.JobOver(workspaces.Over{Kind: "start", Status: store.JobSucceeded, Waited: time.Second, Took: 3 * time.Second})
	m.JobOver(workspaces.Over{Kind: "start", Status: store.JobSucceeded, Waited: time.Second, Took: time.Minute})
	m.JobOver(workspaces.Over{Kind: "import", Status: store.JobCanceled, Waited: time.Hour}) // nobody had it
	raw, err := m.Text()
	if err != nil {
		t.Fatal(err)
	}
	for _, line := range []string{
		`adit_jobs_finished_total{kind="start",status="succeeded"} 2`,
		`adit_jobs_finished_total{kind="import",status="canceled"} 1`,
		`adit_job_seconds_bucket{kind="start",status="succeeded",le="5"} 1`,
		`adit_job_seconds_sum{kind="start",status="succeeded"} 63`,
		`adit_job_wait_seconds_count{kind="import"} 1`,
	} {
		if !strings.Contains(string(raw), line+"\n") {
			t.Errorf("there is no %s", line)
		}
	}
	if strings.Contains(string(raw), `adit_job_seconds_count{kind="import"`) {
		t.Error("a job that nobody had took some time")
	}
}
