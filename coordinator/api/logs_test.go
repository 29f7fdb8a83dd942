package api

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/aditmesh/adit/coordinator/store"
	"github.com/aditmesh/adit/pkg/agenttoken"
	provisionerv1 "github.com/aditmesh/adit/pkg/proto/provisionerv1"
	"github.com/aditmesh/adit/pkg/sdk"
)

// texts reads a log until it ends or n lines came.
func texts(t *testing.T, l *sdk.Log, err error, n int) (lines []string, job *sdk.Job) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
	for len(lines) < n || n == 0 {
		e, err := l.Next()
		if errors.Is(err, io.EOF) {
			return lines, job
		}
		if err != nil {
			t.Fatal(err)
		}
		if e.Job != nil {
			job = e.Job
		} else {
			lines = append(lines, e.Line.Stage+": "+e.Line.Text)
		}
	}
	return lines, job
}

// Two follow a build from its beginning, one comes later and knows some lines.
func TestLogsAreFollowedByMany(t *testing.T) {
	d := deploy(t)
	root := d.add(t, "root", store.RoleOwner)
	p := d.provision(t)
	push(t, root, p, &provisionerv1.Template{})
	_, job := start(t, root, p, "dev", nil)
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	first, err := root.BuildLog(ctx, "me", "dev", 1, 0, true)
	if err != nil {
		t.Fatal(err)
	}
	defer first.Close()
	second, err := root.BuildLog(ctx, "me", "dev", 1, 0, true)
	if err != nil {
		t.Fatal(err)
	}
	defer second.Close()
	p.says(job, "init", "a", "b")
	for _, l := range []*sdk.Log{first, second} {
		if got, _ := texts(t, l, nil, 2); !slices.Equal(got, []string{"init: a", "init: b"}) {
			t.Errorf("live: %q", got)
		}
	}
	p.says(job, "apply", "c")
	if got, _ := texts(t, first, nil, 1); !slices.Equal(got, []string{"apply: c"}) {
		t.Errorf("live: %q", got)
	}
	late, err := root.BuildLog(ctx, "me", "dev", 1, 1, true)
	if got, _ := texts(t, late, err, 2); !slices.Equal(got, []string{"init: b", "apply: c"}) {
		t.Errorf("after line 1: %q", got)
	}
	defer late.Close()
	now, err := root.BuildLog(ctx, "me", "dev", 1, 0, false)
	if got, ended := texts(t, now, err, 0); len(got) != 3 || ended != nil {
		t.Errorf("what there is: %q, %v", got, ended)
	}
	now.Close()
	p.planned(job)
	p.finish(job, &provisionerv1.Result{Status: provisionerv1.Result_FAILED, Error: "no disk"})
	for _, l := range []*sdk.Log{first, late} {
		if got, ended := texts(t, l, nil, 0); len(got) != 0 || ended == nil || ended.Status != "failed" || ended.Error != "no disk" || !ended.Done() {
			t.Errorf("at its end: %q, %+v", got, ended)
		}
	}
}

func TestFollowersAreLetGoWhenTheCoordinatorEnds(t *testing.T) {
	d := deploy(t)
	root := d.add(t, "root", store.RoleOwner)
	p := d.provision(t)
	push(t, root, p, &provisionerv1.Template{})
	start(t, root, p, "dev", nil)
	l, err := root.BuildLog(t.Context(), "me", "dev", 1, 0, true)
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	ended := make(chan error, 1)
	go func() { _, err := l.Next(); ended <- err }()
	close(d.closing)
	select {
	case err := <-ended:
		if err == nil {
			t.Error("an event came")
		}
	case <-time.After(patience):
		t.Error("it is held")
	}
}

func TestAgentsLogsAreKeptOnceAndFollowed(t *testing.T) {
	d := deploy(t)
	root := d.add(t, "root", store.RoleOwner)
	p := d.provision(t)
	push(t, root, p, &provisionerv1.Template{})
	w, job := start(t, root, p, "dev", nil)
	p.planned(job, &provisionerv1.Agent{Name: "main"})
	agent := d.client(agenttoken.Token(uuid.MustParse(w.ID), job.GetBuild().GetAgentSecret(), "main"))
	line := func(seq int64, text string) sdk.LogLine {
		return sdk.LogLine{Seq: seq, At: time.Now(), Stage: "setup", Level: "info", Text: text}
	}
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	l, err := root.AgentLog(ctx, "me", "dev", "main", 0, true)
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	for _, batch := range [][]sdk.LogLine{
		{line(1, "a"), line(2, "b\x00\x1b[2J")}, {line(1, "a"), line(2, "b"), line(3, "c")}, // the second answer was lost
	} {
		if err := agent.SendAgentLines(ctx, batch); err != nil {
			t.Fatal(err)
		}
	}
	if got, _ := texts(t, l, nil, 3); !slices.Equal(got, []string{"setup: a", "setup: b  [2J", "setup: c"}) {
		t.Errorf("%q", got)
	}
	if m, err := agent.Manifest(ctx); err != nil || m.LastLine != 3 {
		t.Errorf("goes on after line %d, %v", m.LastLine, err)
	}
	if err := agent.SendAgentLines(ctx, []sdk.LogLine{line(4, strings.Repeat("x", maxAgentLine+1))}); status(err) != http.StatusUnprocessableEntity {
		t.Errorf("an endless line: %v, want 422", err)
	}
	if err := root.SendAgentLines(ctx, nil); !errors.Is(err, sdk.ErrUnauthorized) {
		t.Errorf("a person sends lines: %v, want 401", err)
	}
	if _, err := agent.Workspaces(ctx, "me"); !errors.Is(err, sdk.ErrUnauthorized) {
		t.Errorf("an agent lists workspaces: %v, want 401", err)
	}
}

func TestAgentsDownloadTheirProgram(t *testing.T) {
	d := deploy(t)
	path := "/api/v1/agent/binary/" + runtime.GOOS + "/" + runtime.GOARCH
	self, err := os.ReadFile("/proc/self/exe")
	if err != nil {
		t.Skip(err)
	}
	sum := sha256.Sum256(self)
	want := hex.EncodeToString(sum[:])
	resp, body := d.send(t, http.MethodGet, path, "", nil)
	got := sha256.Sum256([]byte(body))
	if resp.StatusCode != http.StatusOK || hex.EncodeToString(got[:]) != want || resp.Header.Get("Adit-Sha256") != want {
		t.Errorf("%d, %d bytes, digest %s, want %s", resp.StatusCode, len(body), resp.Header.Get("Adit-Sha256"), want)
	}
	if _, body := d.send(t, http.MethodGet, path+"/sha256", "", nil); strings.TrimSpace(body) != want {
		t.Errorf("digest %s, want %s", body, want)
	}
	for _, other := range []string{"plan9/mips", "linux/..%2F..%2Fetc"} {
		if resp, body := d.send(t, http.MethodGet, "/api/v1/agent/binary/"+other, "", nil); resp.StatusCode != http.StatusNotFound || !strings.Contains(body, runtime.GOOS) {
			t.Errorf("another platform: %d %s, want 404", resp.StatusCode, body)
		}
	}
}

func TestAgentsOfOtherPlatformsDownloadTheirs(t *testing.T) {
	dir := t.TempDir()
	p := newPrograms(dir)
	windows := &platformPath{OS: "windows", Arch: "arm64"}
	own := &platformPath{OS: runtime.GOOS, Arch: runtime.GOARCH}
	if _, err := p.digestText(t.Context(), own); err != nil {
		t.Errorf("its own program: %v", err)
	}
	if _, err := p.digestText(t.Context(), windows); err == nil || !strings.Contains(err.Error(), "make agents") {
		t.Errorf("there is none yet: %v", err)
	}
	for _, version := range []string{"one", "the next"} { // while the coordinator runs
		if err := os.WriteFile(filepath.Join(dir, "adit-windows-arm64.exe"), []byte(version), 0o600); err != nil {
			t.Fatal(err)
		}
		want := sha256.Sum256([]byte(version))
		got, err := p.digestText(t.Context(), windows)
		if err != nil || strings.TrimSpace(string(got.Body)) != hex.EncodeToString(want[:]) {
			t.Errorf("digest %+v of %q, %v", got, version, err)
		}
	}
	// One there is also for this platform: it may be built without the server.
	name := filepath.Join(dir, "adit-"+runtime.GOOS+"-"+runtime.GOARCH)
	if runtime.GOOS == "windows" {
		name += ".exe"
	}
	if err := os.WriteFile(name, []byte("slim"), 0o600); err != nil {
		t.Fatal(err)
	}
	want := sha256.Sum256([]byte("slim"))
	if got, err := p.digestText(t.Context(), own); err != nil || strings.TrimSpace(string(got.Body)) != hex.EncodeToString(want[:]) {
		t.Errorf("digest %+v, %v", got, err)
	}
}
