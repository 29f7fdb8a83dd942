package container

import (
	"context"
	"errors"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/aditmesh/adit/provisioner/container/podmanlab"
)

// stays is a first process that tells what it sees and ends when it is told to.
const stays = `#!/bin/sh
trap 'echo farewell > /home/dev/farewell; exit 0' TERM
echo "started as $1 with $GREETING"
ulimit -n
while :; do sleep 0.1; done
`

type fixture struct {
	*testing.T
	lab *podmanlab.Lab
	*Engine
	spec Spec
}

func setUp(t *testing.T) *fixture {
	t.Helper()
	f := &fixture{T: t, lab: podmanlab.Start(t, nil)}
	image := f.lab.Image("box:1", "sh", "sleep", "cat", "echo")
	e, err := Open(t.Context(), f.lab.Address())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(e.Close)
	f.Engine = e
	f.spec = Spec{
		Workspace: uuid.New(), Agent: uuid.New(), Image: image, Network: "host", Binary: f.program(stays),
		Env:     map[string]string{"GREETING": "a greeting", "PATH": "/bin"},
		Ulimits: []Ulimit{{"nofile", 512, 1024}, {"nproc", 1024, 1024}},
	}
	return f
}

// program writes a script that stands for the adit binary.
func (f *fixture) program(script string) string {
	f.Helper()
	path := filepath.Join(f.TempDir(), "adit")
	if err := os.WriteFile(path, []byte(script), 0o755); err != nil {
		f.Fatal(err)
	}
	return path
}

func (f *fixture) run() string {
	f.Helper()
	id, err := f.Engine.Run(f.Context(), f.spec)
	if err != nil {
		f.Fatal(err)
	}
	return id
}

func (f *fixture) fails(want ...string) {
	f.Helper()
	_, err := f.Engine.Run(f.Context(), f.spec)
	for _, text := range want {
		if err == nil || !strings.Contains(err.Error(), text) {
			f.Errorf("error %v, want it to say %q", err, text)
		}
	}
	if list := f.lab.Podman("ps", "--all", "--quiet"); list != "" {
		f.Errorf("what failed stays: %s", list)
	}
}

func TestAContainerRunsTheMountedBinaryWithinItsLimits(t *testing.T) {
	f := setUp(t)
	if err := f.MakeVolume(t.Context(), f.spec.Workspace, "home"); err != nil {
		t.Fatal(err)
	}
	home := VolumeName(f.spec.Workspace, "home")
	f.spec.Mounts = []Mount{{Volume: home, Path: "/home/dev"}, {Source: t.TempDir(), Path: "/shared", ReadOnly: true}}
	f.spec.CPUs, f.spec.MemoryMiB, f.spec.Processes, f.spec.Hostname = 0.5, 64, 50, ""
	if !f.podman {
		t.Error("a Podman is not known as one")
	}
	id := f.run()
	if up, err := f.Running(t.Context(), id); !up || err != nil {
		t.Fatalf("running is %v, %v", up, err)
	}
	if said := f.lastWords(t.Context(), id); !strings.Contains(said, "started as container-supervisor with a greeting\n512") {
		t.Errorf("it said %q", said)
	}
	limits := f.lab.Podman("inspect", "--format", "{{.HostConfig.NanoCpus}} {{.HostConfig.Memory}} {{.HostConfig.PidsLimit}}", id)
	if limits != "500000000 67108864 50" {
		t.Errorf("limits are %s", limits)
	}
	if out := f.lab.Podman("--runtime", "runc", "exec", id, "/bin/sh", "-c", "echo kept > /home/dev/file; echo x > /shared/x || echo read-only"); !strings.Contains(out, "read-only") {
		t.Errorf("a path to read was written: %s", out)
	}

	// The next one has what the volume held, and is another.
	if err := f.Remove(t.Context(), f.spec.Workspace, f.spec.Agent, 10*time.Second); err != nil {
		t.Fatal(err)
	}
	next := f.run()
	if out := f.lab.Podman("--runtime", "runc", "exec", next, "/bin/sh", "-c", "cat /home/dev/file /home/dev/farewell"); out != "kept\nfarewell" {
		t.Errorf("the volume has %q: it was to be told to end, and its files to stay", out)
	}
	if up, err := f.Running(t.Context(), id); up || err != nil || id == next {
		t.Errorf("the first one is there still: %v, %v", up, err)
	}
	// Made twice over, as a build does that was killed.
	if again := f.run(); again == next {
		t.Error("it was not replaced")
	}
	if n := len(strings.Fields(f.lab.Podman("ps", "--all", "--quiet"))); n != 1 {
		t.Errorf("%d containers", n)
	}
}

func TestWhatIsWrongWithAContainerIsSaid(t *testing.T) {
	f := setUp(t)
	good := f.spec
	f.spec.Image = "localhost/none:1"
	f.fails("image localhost/none:1 cannot be fetched; look whether its name and tag are right")
	f.spec.Pull = "never"
	f.fails("localhost/none:1 is not on this host", "build or pull it there")
	f.spec = good
	f.spec.Image = f.lab.Image("empty:1")
	f.fails("localhost/empty:1 has no /bin/sh", "take one that has a shell")
	f.spec = good
	f.spec.Binary = f.program("#!/bin/sh\necho it cannot be; exit 3\n")
	f.fails("ended at once: exit code 3; look at", "it cannot be")
	f.spec.Binary = f.program("#!/bin/none\n")
	f.fails("no such file")
	f.spec = good
	f.run() // the engine is as good as before
}

func TestASweepLeavesWhatIsKnownAndWhatIsOfOthers(t *testing.T) {
	f := setUp(t)
	ledger := Ledger{Dir: t.TempDir()}
	first := f.spec
	lost := f.run()
	f.spec.Agent = uuid.New()
	known := f.run()
	f.spec.Workspace, f.spec.Agent = uuid.New(), uuid.New()
	others := f.run()
	if err := f.Remove(t.Context(), first.Workspace, f.spec.Agent, 0); !errors.Is(err, ErrForeign) {
		t.Errorf("another workspace's container was removed: %v", err)
	}
	for range 2 {
		if err := ledger.Note(first.Workspace, f.lab.Address()); err != nil {
			t.Fatal(err)
		}
	}
	if err := f.MakeVolume(t.Context(), first.Workspace, "home"); err != nil {
		t.Fatal(err)
	}
	if err := ledger.Sweep(t.Context(), first.Workspace, known); err != nil {
		t.Fatal(err)
	}
	for id, want := range map[string]bool{lost: false, known: true, others: true} {
		if up, err := f.Running(t.Context(), id); up != want || err != nil {
			t.Errorf("after the sweep a container runs: %v (%v), want %v", up, err, want)
		}
	}
	if there, err := f.HasVolume(t.Context(), VolumeName(first.Workspace, "home")); !there || err != nil {
		t.Errorf("the sweep took the volume: %v", err)
	}
	if err := ledger.Remove(t.Context(), first.Workspace); err != nil {
		t.Fatal(err)
	}
	if up, err := f.Running(t.Context(), known); up || err != nil {
		t.Errorf("a deleted workspace's container runs: %v", err)
	}
	if there, err := f.HasVolume(t.Context(), VolumeName(first.Workspace, "home")); there || err != nil {
		t.Errorf("a deleted workspace's volume is there: %v", err)
	}
	if up, err := f.Running(t.Context(), others); !up || err != nil {
		t.Errorf("another workspace's container is gone: %v", err)
	}
}

// An engine is opened for each resource, and again after a build.
func TestOpeningCostsNoMoreThanAFewRequests(t *testing.T) {
	f := setUp(t)
	fastest := func(do func() error) time.Duration {
		least := time.Hour
		for range 5 {
			began := time.Now()
			if err := do(); err != nil {
				t.Fatal(err)
			}
			least = min(least, time.Since(began))
		}
		return least
	}
	request := fastest(func() error { _, err := f.HasVolume(t.Context(), "none"); return err })
	open := fastest(func() error {
		e, err := Open(t.Context(), f.lab.Address())
		if err == nil {
			e.Close()
		}
		return err
	})
	t.Logf("a request takes %v, to open %v", request, open)
	if open > 20*request {
		t.Errorf("to open an engine takes %v, %d times a request", open, int64(open/request))
	}
}

// A socket that nobody listens at, none at all, one of something else, and one that
// says nothing.
func TestAnEngineThatDoesNotAnswer(t *testing.T) {
	dir, err := os.MkdirTemp("", "adit-engine-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	path := filepath.Join(dir, "socket")
	dead, err := net.ListenUnix("unix", &net.UnixAddr{Name: path})
	if err != nil {
		t.Fatal(err)
	}
	dead.SetUnlinkOnClose(false)
	dead.Close()
	for address, want := range map[string]string{
		"unix://" + path:          "nobody listens at that socket",
		"unix://" + path + ".not": "there is no such socket; start one",
		"tcp://127.0.0.1:2375":    "want unix://",
	} {
		if _, err := Open(t.Context(), address); err == nil || !strings.Contains(err.Error(), want) || !strings.Contains(err.Error(), address) {
			t.Errorf("%s: %v, want %s", address, err, want)
		}
	}
	os.Remove(path)
	other, err := net.Listen("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	server := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.Write([]byte("welcome")) })}
	go server.Serve(other)
	if _, err := Open(t.Context(), "unix://"+path); err == nil || !strings.Contains(err.Error(), "look whose socket it is") {
		t.Errorf("of a server of something else it is said: %v", err)
	}
	server.Close()
	mute, err := net.Listen("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	defer mute.Close()
	go func() {
		if conn, err := mute.Accept(); err == nil {
			defer conn.Close()
			<-t.Context().Done()
		}
	}()
	// Stands for the time that runs out.
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if _, err := Open(ctx, "unix://"+path); err == nil || !strings.Contains(err.Error(), "takes connections and says nothing for 10s; restart it") {
		t.Errorf("of one that says nothing it is said: %v", err)
	}
}

func TestAnImageIsFetchedWithItsRegistrysAccount(t *testing.T) {
	dir, err := os.MkdirTemp("", "adit-engine-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	listener, err := net.Listen("unix", filepath.Join(dir, "socket"))
	if err != nil {
		t.Fatal(err)
	}
	var asked, account string
	server := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch {
		case r.URL.Path == "/_ping":
			w.Write([]byte("OK"))
		case r.URL.Path == "/images/create":
			asked, account = r.URL.Query().Get("fromImage"), r.Header.Get("X-Registry-Auth")
			w.Write([]byte(`{"status":"Pulling"}` + "\n" + `{"error":"denied: no such account"}`))
		default:
			http.Error(w, `{"message":"No such image"}`, http.StatusNotFound)
		}
	})}
	go server.Serve(listener)
	t.Cleanup(func() { server.Close() })
	e, err := Open(t.Context(), "unix://"+filepath.Join(dir, "socket"))
	if err != nil {
		t.Fatal(err)
	}
	defer e.Close()
	_, err = e.Run(t.Context(), Spec{
		Workspace: uuid.New(), Agent: uuid.New(), Image: "registry.test:5000/team/image", Registry: Registry{Username: "ann", Password: "secret"},
	})
	if err == nil || !strings.Contains(err.Error(), "denied: no such account") || strings.Contains(err.Error(), "secret") {
		t.Errorf("error is %v", err)
	}
	// {"password":"secret","serveraddress":"","username":"ann"}
	if asked != "registry.test:5000/team/image:latest" || account != "eyJwYXNzd29yZCI6InNlY3JldCIsInNlcnZlcmFkZHJlc3MiOiIiLCJ1c2VybmFtZSI6ImFubiJ9" {
		t.Errorf("asked for %q as %q", asked, account)
	}
}

func TestAProgramThatNeedsLibrariesIsToldFromOthers(t *testing.T) {
	for last, want := range map[string]string{
		"exec /opt/adit/adit: no such file or directory": "make build",
		"exec /opt/adit/adit: exec format error":         "this host's processor",
		"adit agent: no such file or directory":          "user, mounts, limits",
		"":                                               "user, mounts, limits",
	} {
		if got := adviceOn(last); !strings.Contains(got, want) {
			t.Errorf("%q: %s, want %s", last, got, want)
		}
	}
}
