package terraform

import (
	"context"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"
)

const onePackage = "example.com/one/slow/1.0.0/"

// unpacks stands for a Terraform whose init needs one plugin. Where its cache has
// none it unpacks that in place, and halfway waits for a word if it is told of where
// to wait. What is there it takes for whole.
const unpacks = `#!/bin/sh
case $1 in version) echo '{"terraform_version": "1.11.4"}'; exit;; esac
pkg=$TF_PLUGIN_CACHE_DIR/` + onePackage + `PLATFORM
if [ ! -e "$pkg" ]; then
	mkdir -p "$pkg"
	printf half > "$pkg/program"
	if [ "$WAIT" ]; then echo here > "$WAIT/at"; read word < "$WAIT/go"; fi
	printf ' whole' >> "$pkg/program"
fi
mkdir -p "$TF_DATA_DIR/providers/` + onePackage + `"
ln -s "$pkg" "$TF_DATA_DIR/providers/` + onePackage + `PLATFORM"
`

// unpacking is an installation whose Terraform unpacks.
type unpacking struct {
	*testing.T
	in       *Installation
	platform string
}

func newUnpacking(t *testing.T) *unpacking {
	t.Helper()
	if _, err := exec.LookPath("mkfifo"); err != nil {
		t.Skip("no mkfifo: ", err)
	}
	platform := runtime.GOOS + "_" + runtime.GOARCH
	program := filepath.Join(t.TempDir(), "terraform")
	if err := os.WriteFile(program, []byte(strings.ReplaceAll(unpacks, "PLATFORM", platform)), 0o755); err != nil {
		t.Fatal(err)
	}
	in, err := Install(Config{Dir: t.TempDir(), Exec: program, Environ: os.Environ(), Grace: time.Millisecond})
	if err != nil {
		t.Fatal(err)
	}
	return &unpacking{t, in, platform}
}

// cached returns what there is of the plugin for all jobs.
func (u *unpacking) cached() string { return u.program(u.in.cacheDir()) }

func (u *unpacking) program(dir string) string {
	raw, err := os.ReadFile(filepath.Join(dir, onePackage, u.platform, "program"))
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		u.Fatal(err)
	}
	return string(raw)
}

// needsTheOne is a template that says that it needs the plugin. unpacks does not ask
// what a template says.
const needsTheOne = `terraform {
  required_providers {
    one = { source = "example.com/one/slow" }
  }
}
`

// run opens a job whose init waits halfway, if there is a directory to wait in.
func (u *unpacking) run(wait, template string) *Run {
	u.Helper()
	dir := filepath.Join(u.TempDir(), "files")
	if err := os.MkdirAll(dir, 0o700); err != nil {
		u.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "main.tf"), []byte(template), 0o600); err != nil {
		u.Fatal(err)
	}
	r, err := u.in.Open(RunConfig{Dir: dir, Mark: dir, Env: map[string]string{"WAIT": wait}, Log: (&bench{T: u.T}).log})
	if err != nil {
		u.Fatal(err)
	}
	u.Cleanup(r.Close)
	return r
}

// halfway begins an init, and returns when that waits.
func (u *unpacking) halfway(ctx context.Context, template string) (r *Run, goOn func(), ended <-chan error) {
	u.Helper()
	wait := u.TempDir()
	for _, name := range []string{"at", "go"} {
		if out, err := exec.Command("mkfifo", filepath.Join(wait, name)).CombinedOutput(); err != nil {
			u.Fatalf("%v\n%s", err, out)
		}
	}
	r = u.run(wait, template)
	done := make(chan error, 1)
	go func() { done <- r.Init(ctx, nil, nil) }()
	if _, err := os.ReadFile(filepath.Join(wait, "at")); err != nil {
		u.Fatal(err)
	}
	return r, func() {
		if err := os.WriteFile(filepath.Join(wait, "go"), []byte("go\n"), 0); err != nil {
			u.Fatal(err)
		}
	}, done
}

func (u *unpacking) wantWhole(what, got string) {
	u.Helper()
	if got != "half whole" {
		u.Errorf("%s has %q", what, got)
	}
}

// A template whose modules from elsewhere want more than when it was imported is taken
// for one that fetches nothing, and its builds wait for nobody.
func TestAPluginIsSharedWhenItIsWhole(t *testing.T) {
	u := newUnpacking(t)
	first, goOn, ended := u.halfway(t.Context(), "")
	second := u.run("", "")
	if err := second.Init(t.Context(), nil, nil); err != nil {
		t.Fatal(err)
	}
	u.wantWhole("who came second", u.program(filepath.Join(second.data, "providers")))
	goOn()
	if err := <-ended; err != nil {
		t.Fatal(err)
	}
	u.wantWhole("who came first", u.program(filepath.Join(first.data, "providers")))
	u.wantWhole("the cache", u.cached())
	for _, r := range []*Run{first, second} {
		target, err := os.Readlink(filepath.Join(r.data, "providers", onePackage, u.platform))
		if want := filepath.Join(u.in.cacheDir(), onePackage, u.platform); err != nil || target != want {
			t.Errorf("a job has %s, %v, want %s", target, err, want)
		}
	}
	if left, err := os.ReadDir(u.in.stagingDir()); err != nil || len(left) > 0 {
		t.Errorf("left are %v, %v", left, err)
	}
}

func TestAnInitThatIsKilledLeavesNoHalfOfAPlugin(t *testing.T) {
	u := newUnpacking(t)
	why := errors.New("enough")
	ctx, cancel := context.WithCancelCause(t.Context())
	_, _, ended := u.halfway(ctx, needsTheOne)
	cancel(why)
	if err := <-ended; !errors.Is(err, why) {
		t.Fatalf("it ended with %v", err)
	}
	if got := u.cached(); got != "" {
		t.Errorf("the cache has %q", got)
	}
	next := u.run("", needsTheOne)
	if err := next.Init(t.Context(), nil, nil); err != nil {
		t.Fatal(err)
	}
	u.wantWhole("the next", u.program(filepath.Join(next.data, "providers")))
}

// Several that fetch want the same more often than not.
func TestWhoMayFetchWaitsForWhoDoes(t *testing.T) {
	u := newUnpacking(t)
	_, goOn, ended := u.halfway(t.Context(), needsTheOne)
	why := errors.New("enough")
	ctx, cancel := context.WithCancelCause(t.Context())
	impatient := make(chan error, 1)
	go func() { impatient <- u.run("", needsTheOne).Init(ctx, nil, nil) }()
	cancel(why)
	if err := <-impatient; !errors.Is(err, why) {
		t.Errorf("who did not want to wait: %v", err)
	}
	next := u.run("", needsTheOne)
	waited := make(chan error, 1)
	go func() { waited <- next.Init(t.Context(), nil, nil) }()
	goOn()
	if err := errors.Join(<-ended, <-waited); err != nil {
		t.Fatal(err)
	}
	u.wantWhole("who waited", u.program(filepath.Join(next.data, "providers")))
}

// A mirror may have moved since a plugin was linked from it.
func TestALinkToNowhereIsReplaced(t *testing.T) {
	u := newUnpacking(t)
	link := filepath.Join(u.in.cacheDir(), onePackage, u.platform)
	if err := relink(filepath.Join(t.TempDir(), "gone"), link); err != nil {
		t.Fatal(err)
	}
	r := u.run("", needsTheOne)
	if err := r.Init(t.Context(), nil, nil); err != nil {
		t.Fatal(err)
	}
	u.wantWhole("the cache", u.cached())
}
