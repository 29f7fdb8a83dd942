package sdk

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"testing"
	"time"
)

// A log that is cut off, twice, is read once and to its end.
func TestFollowResumes(t *testing.T) {
	const total = 7
	opened := 0
	c := against(t, func(w http.ResponseWriter, r *http.Request) {
		opened++
		if got, want := r.URL.Path, "/adit/api/v1/workspaces/me/dev/builds/3/logs"; got != want || r.URL.Query().Get("follow") != "true" {
			t.Errorf("asked for %s", r.URL)
		}
		var after int64
		if _, err := fmt.Sscan(r.URL.Query().Get("after"), &after); err != nil {
			t.Error(err)
		}
		out := json.NewEncoder(w)
		for seq := after + 1; seq <= min(total, after+3); seq++ {
			_ = out.Encode(LogEvent{Line: &LogLine{Seq: seq, Stage: "apply", Level: "info"}})
			_, _ = w.Write([]byte("\n")) // a sign of life
		}
		if after+3 < total {
			_, _ = w.Write([]byte(`{"line":{"seq":`)) // and gone
			return
		}
		now := time.Now()
		_ = out.Encode(LogEvent{Job: &Job{Status: "failed", Error: "no disk", FinishedAt: &now}})
	})
	var seen []int64
	job, err := Follow(t.Context(), func(after int64) (*Log, error) { return c.BuildLog(t.Context(), "me", "dev", 3, after, true) },
		func(l LogLine) error { seen = append(seen, l.Seq); return nil })
	if err != nil || job.Status != "failed" || job.Error != "no disk" || !job.Done() {
		t.Errorf("%+v, %v", job, err)
	}
	if want := []int64{1, 2, 3, 4, 5, 6, 7}; !slices.Equal(seen, want) || opened != 3 {
		t.Errorf("saw %v in %d goes, want %v in 3", seen, opened, want)
	}
}

func TestFollowGivesUpOnWhatWillNotComeBack(t *testing.T) {
	c := against(t, always(404, `{"status":404,"detail":"not found"}`))
	show := func(LogLine) error { return nil }
	_, err := Follow(t.Context(), func(after int64) (*Log, error) { return c.VersionLog(t.Context(), "x", 1, after, true) }, show)
	if !errors.Is(err, ErrNotFound) {
		t.Errorf("no such log: %v, want ErrNotFound", err)
	}
	full := errors.New("disk is full")
	c = against(t, always(200, `{"line":{"seq":1}}`))
	_, err = Follow(t.Context(), func(after int64) (*Log, error) { return c.VersionLog(t.Context(), "x", 1, after, true) },
		func(LogLine) error { return full })
	if !errors.Is(err, full) {
		t.Errorf("one who cannot show it: %v, want their own error", err)
	}
}
