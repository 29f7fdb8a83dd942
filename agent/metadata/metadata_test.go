package metadata

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/aditmesh/adit/pkg/sdk"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

type value struct{ key, value, err string }

// run runs items until enough values have come.
func run(t *testing.T, enough int, items ...sdk.Measure) []value {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	values := make(chan value, 100)
	done := make(chan struct{})
	go func() {
		defer close(done)
		Run(ctx, Config{Items: items, Shell: "/bin/sh", Dir: t.TempDir(), Env: os.Environ(), Report: func(k, v, e string) { values <- value{k, v, e} }})
	}()
	var list []value
	for len(list) < enough {
		select {
		case v := <-values:
			list = append(list, v)
		case <-ctx.Done():
			t.Fatalf("%d values came, want %d", len(list), enough)
		}
	}
	cancel()
	<-done
	return list
}

func TestWhatACommandPrintsIsItsValue(t *testing.T) {
	for script, want := range map[string]value{
		"echo ' 0.42 '":                   {value: "0.42"},
		"echo some; echo bad >&2; exit 3": {value: "some", err: "exit code 3 bad"},
		"sleep 100 & echo left":           {value: "left"},
		"kill -9 $$":                      {err: "signal: killed "},
		`printf 'a\377b'`:                 {value: "a?b"},
	} {
		got := run(t, 1, sdk.Measure{Key: "k", Script: script, IntervalSeconds: 60})[0]
		if got.key != "k" || got.value != want.value || got.err != want.err {
			t.Errorf("%s: %+v, want %+v", script, got, want)
		}
	}
}

func TestACommandThatTakesTooLongIsCutOffWithAllItStarted(t *testing.T) {
	mark := filepath.Join(t.TempDir(), "pid")
	began := time.Now()
	got := run(t, 1, sdk.Measure{Key: "k", Script: fmt.Sprintf("sleep 100 & echo $! > %s; wait", mark), IntervalSeconds: 60, TimeoutSeconds: 1})[0]
	if got.err != "it took longer than 1s" || time.Since(began) > 30*time.Second {
		t.Errorf("%+v after %v", got, time.Since(began))
	}
	pid, err := os.ReadFile(mark)
	if err != nil {
		t.Fatal(err)
	}
	for deadline := time.Now().Add(10 * time.Second); ; time.Sleep(10 * time.Millisecond) {
		state, err := os.ReadFile("/proc/" + strings.TrimSpace(string(pid)) + "/stat")
		if err != nil || strings.Contains(string(state), ") Z ") {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("what it started goes on: %s", state)
		}
	}
}

func TestOutputWithoutEndIsCut(t *testing.T) {
	got := run(t, 1, sdk.Measure{Key: "k", Script: "yes | head -c 10000000", IntervalSeconds: 60})[0]
	if len(got.value) > maxValue || len(got.value) < maxValue-2 || got.err != "" {
		t.Errorf("%d bytes, %q", len(got.value), got.err)
	}
}

func TestACommandNeverRunsBesideItself(t *testing.T) {
	// It takes longer than its interval, and notices whether it is there already.
	lock := filepath.Join(t.TempDir(), "lock")
	script := fmt.Sprintf("mkdir %s || exit 9; sleep 1.2; rmdir %s; echo alone", lock, lock)
	for _, v := range run(t, 3, sdk.Measure{Key: "k", Script: script, IntervalSeconds: 1, TimeoutSeconds: 20}) {
		if v.value != "alone" || v.err != "" {
			t.Errorf("%+v", v)
		}
	}
}

func TestFewRunAtOnce(t *testing.T) {
	dir := t.TempDir()
	var items []sdk.Measure
	for i := range 3 * maxAtOnce {
		items = append(items, sdk.Measure{
			Key: fmt.Sprint(i), IntervalSeconds: 100,
			Script: fmt.Sprintf("touch %s/$$; sleep 0.2; ls %s | wc -l; rm %s/$$", dir, dir, dir),
		})
	}
	for _, v := range run(t, len(items), items...) {
		var n int
		if _, err := fmt.Sscan(v.value, &n); err != nil || n > maxAtOnce {
			t.Errorf("%s ran beside %s, at most %d may", v.key, v.value, maxAtOnce)
		}
	}
}
