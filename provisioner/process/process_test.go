//go:build linux

package process

import (
	"context"
	"encoding/json"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/google/uuid"
	"golang.org/x/sys/unix"
)

// The test binary is the adit binary too: supervisor, and an agent that only
// tells what it sees.
func TestMain(m *testing.M) {
	if len(os.Args) > 1 {
		switch os.Args[1] {
		case SuperviseCommand:
			if Supervise(os.Args[2]) != nil {
				os.Exit(1)
			}
			os.Exit(0)
		case "agent":
			agent()
		}
	}
	os.Exit(m.Run())
}

// sighting is what the agent of the tests saw.
type sighting struct {
	PID, Session int
	Env          map[string]string
	Processes    int
	Token, Dir   string
}

// agent appends a sighting to its home's file seen, then does as it is told.
func agent() {
	s := sighting{PID: os.Getpid(), Env: make(map[string]string)}
	s.Session, _ = unix.Getsid(0)
	for _, kv := range os.Environ() {
		k, v, _ := strings.Cut(kv, "=")
		s.Env[k] = v
	}
	token, _ := os.ReadFile(s.Env["ADIT_AGENT_TOKEN_FILE"])
	s.Token = string(token)
	s.Dir, _ = os.Getwd()
	all, _ := filepath.Glob("/proc/[0-9]*")
	s.Processes = len(all)
	// A daemon that nobody waits for, with the environment that sessions have.
	daemon := exec.Command("sh", "-c", "setsid sleep 1000 >/dev/null 2>&1 & echo $! > daemon")
	if s.Env["DAEMON"] != "" {
		daemon.Run()
	}
	f, _ := os.OpenFile("seen", os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	json.NewEncoder(f).Encode(s)
	fmt.Println("agent says hello")
	term := make(chan os.Signal, 1)
	signal.Notify(term, syscall.SIGTERM)
	switch s.Env["MANNER"] {
	case "fails":
		os.Exit(7)
	case "stubborn":
		select {}
	}
	<-term
	os.WriteFile("farewell", nil, 0o600)
	os.Exit(0)
}

type fixture struct {
	*testing.T
	Host
	spec Spec
}

func setUp(t *testing.T, env map[string]string) *fixture {
	t.Helper()
	f := &fixture{T: t, Host: Host{Dir: t.TempDir(), Binary: os.Args[0]}}
	f.spec = Spec{
		Workspace: uuid.New(), Agent: uuid.New(), URL: "https://adit.test", Token: "token-1",
		Env: env, Grace: 5 * time.Second,
	}
	t.Cleanup(func() {
		if err := f.Remove(context.Background(), f.spec.Workspace); err != nil {
			t.Error(err)
		}
	})
	return f
}

func (f *fixture) start() {
	f.Helper()
	if err := f.Start(f.Context(), f.spec); err != nil {
		f.Fatal(err)
	}
}

func (f *fixture) stop() {
	f.Helper()
	if err := f.Stop(f.Context(), f.spec.Workspace, f.spec.Agent); err != nil {
		f.Fatal(err)
	}
}

func (f *fixture) running() bool {
	f.Helper()
	up, err := f.Running(f.spec.Workspace, f.spec.Agent)
	if err != nil {
		f.Fatal(err)
	}
	return up
}

func (f *fixture) supervisor() int {
	f.Helper()
	pid, err := holder(filepath.Join(f.agent(f.spec.Workspace, f.spec.Agent), aliveFile))
	if err != nil || pid == 0 {
		f.Fatalf("no supervisor: %v", err)
	}
	return pid
}

// seen waits for the agent's n-th sighting.
func (f *fixture) seen(n int) sighting {
	f.Helper()
	var lines []string
	f.until(fmt.Sprintf("the agent starts %d times", n), func() bool {
		raw, _ := os.ReadFile(filepath.Join(f.Home(f.spec.Workspace), "seen"))
		lines = strings.Split(strings.TrimSuffix(string(raw), "\n"), "\n")
		return len(lines) >= n && lines[n-1] != "" && strings.HasSuffix(string(raw), "\n")
	})
	var s sighting
	if err := json.Unmarshal([]byte(lines[n-1]), &s); err != nil {
		f.Fatal(err)
	}
	return s
}

func (f *fixture) until(what string, done func() bool) {
	f.Helper()
	for deadline := time.Now().Add(20 * time.Second); !done(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(deadline) {
			f.Fatalf("not in 20 s: %s", what)
		}
	}
}

func (f *fixture) home(name string) bool {
	_, err := os.Stat(filepath.Join(f.Home(f.spec.Workspace), name))
	return err == nil
}

// agentPIDs are the processes that carry the agent's mark, as this host sees
// them.
func (f *fixture) agentPIDs() (pids []int) {
	want := []byte(Mark + "=" + f.spec.Agent.String())
	files, _ := filepath.Glob("/proc/[0-9]*/environ")
	for _, file := range files {
		if env, err := os.ReadFile(file); err == nil && hasEntry(env, want) {
			pid, _ := strconv.Atoi(filepath.Base(filepath.Dir(file)))
			pids = append(pids, pid)
		}
	}
	return pids
}

func TestAgentRunsInItsHome(t *testing.T) {
	t.Setenv("ADIT_BUILD", "secret")
	t.Setenv("AWS_SECRET_ACCESS_KEY", "secret")
	f := setUp(t, map[string]string{"COLOUR": "green"})
	f.start()
	s := f.seen(1)
	home := f.Home(f.spec.Workspace)
	for name, want := range map[string]string{
		"HOME": home, "ADIT_AGENT_HOME": home, "ADIT_URL": "https://adit.test", "COLOUR": "green",
		"ADIT_BUILD": "", "AWS_SECRET_ACCESS_KEY": "",
	} {
		if got := s.Env[name]; got != want {
			t.Errorf("%s=%q, want %q", name, got, want)
		}
	}
	if s.Token != "token-1" || s.Dir != home {
		t.Errorf("token %q, directory %q", s.Token, s.Dir)
	}
	mine, _ := unix.Getsid(0)
	if s.Session == mine {
		t.Error("the agent is in the provisioner's session")
	}
	f.until("the log has what the agent said", func() bool {
		log, _ := os.ReadFile(filepath.Join(f.agent(f.spec.Workspace, f.spec.Agent), logFile))
		return strings.Contains(string(log), "agent says hello")
	})
}

func TestRootHasNamespacesAndCgroup(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("needs root")
	}
	f := setUp(t, nil)
	f.start()
	s := f.seen(1)
	if s.Processes > 3 {
		t.Errorf("the agent sees %d processes; it is not in a PID namespace of its own", s.Processes)
	}
	pid := f.supervisor()
	for _, ns := range []string{"pid", "mnt"} {
		mine, _ := os.Readlink("/proc/self/ns/" + ns)
		theirs, err := os.Readlink(fmt.Sprintf("/proc/%d/ns/%s", pid, ns))
		if err != nil || mine == theirs {
			t.Errorf("%s namespace %s, as ours (%v)", ns, theirs, err)
		}
	}
	if _, err := cgroupOf(f.spec.Agent); err != nil {
		t.Skip(err)
	}
	groups, _ := os.ReadFile(fmt.Sprintf("/proc/%d/cgroup", pid))
	if !strings.Contains(string(groups), f.spec.Agent.String()) {
		t.Errorf("no cgroup of its own:\n%s", groups)
	}
	f.stop()
	group, _ := cgroupOf(f.spec.Agent)
	if _, err := os.Stat(group); err == nil {
		t.Errorf("%s is left", group)
	}
}

func TestStartAdoptsWhatRuns(t *testing.T) {
	f := setUp(t, nil)
	f.start()
	f.seen(1)
	before := f.supervisor()
	f.start()
	if after := f.supervisor(); after != before {
		t.Errorf("supervisor %d was replaced by %d", before, after)
	}
	f.spec.Token = "token-2"
	f.start()
	if s := f.seen(2); s.Token != "token-2" {
		t.Errorf("token %q, want the new one", s.Token)
	}
	if f.supervisor() == before {
		t.Error("the supervisor with the old token still runs")
	}
}

func TestAgentIsStartedAgain(t *testing.T) {
	f := setUp(t, map[string]string{"MANNER": "fails"})
	f.start()
	f.seen(3) // after one second, and two more
	f.stop()
}

func TestStopIsCleanAndCanBeRepeated(t *testing.T) {
	f := setUp(t, nil)
	f.stop() // nothing is there
	f.start()
	f.seen(1)
	f.stop()
	if f.running() || !f.home("farewell") {
		t.Errorf("running %v; the agent said farewell: %v", f.running(), f.home("farewell"))
	}
	if pids := f.agentPIDs(); len(pids) > 0 {
		t.Errorf("processes %v are left", pids)
	}
	if _, err := os.Stat(f.agent(f.spec.Workspace, f.spec.Agent)); err == nil {
		t.Error("the token is left on disk")
	}
	f.stop()
}

func TestStubbornAgentIsKilled(t *testing.T) {
	f := setUp(t, map[string]string{"MANNER": "stubborn"})
	f.spec.Grace = 100 * time.Millisecond
	f.start()
	f.seen(1)
	f.stop()
	if pids := f.agentPIDs(); len(pids) > 0 {
		t.Errorf("processes %v are left", pids)
	}
}

func TestDaemonsEndWithTheirAgent(t *testing.T) {
	for _, manner := range []string{"stopped", "supervisor killed"} {
		t.Run(manner, func(t *testing.T) {
			f := setUp(t, map[string]string{"DAEMON": "yes"})
			f.start()
			f.seen(1)
			if n := len(f.agentPIDs()); n < 3 {
				t.Fatalf("%d processes, want supervisor, agent and daemon", n)
			}
			if manner == "supervisor killed" {
				syscall.Kill(f.supervisor(), syscall.SIGKILL)
				f.until("the supervisor is gone", func() bool { return !f.running() })
			}
			f.stop()
			f.until("all is gone", func() bool { return len(f.agentPIDs()) == 0 })
		})
	}
}

func TestSweepStopsWhatNoStateKnows(t *testing.T) {
	f := setUp(t, nil)
	f.start()
	f.seen(1)
	kept := f.spec.Agent
	f.spec.Agent = uuid.New()
	f.start()
	f.seen(2)
	if err := f.Sweep(t.Context(), f.spec.Workspace, kept); err != nil {
		t.Fatal(err)
	}
	if f.running() {
		t.Error("the unknown agent still runs")
	}
	if up, err := f.Running(f.spec.Workspace, kept); err != nil || !up {
		t.Errorf("the agent that was to be kept is gone (%v)", err)
	}
}

func TestRemoveTakesTheHome(t *testing.T) {
	f := setUp(t, nil)
	f.start()
	f.seen(1)
	locked := filepath.Join(f.Home(f.spec.Workspace), "mod", "cache")
	if err := os.MkdirAll(locked, 0o700); err != nil {
		t.Fatal(err)
	}
	os.WriteFile(filepath.Join(locked, "file"), nil, 0o400)
	os.Chmod(locked, fs.FileMode(0o500))
	for range 2 {
		if err := f.Remove(t.Context(), f.spec.Workspace); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := os.Stat(f.workspace(f.spec.Workspace)); err == nil || f.running() {
		t.Error("something is left")
	}
}

func TestHostKeepsItsID(t *testing.T) {
	h := Host{Dir: t.TempDir()}
	first, err := h.ID()
	if err != nil || first == "" {
		t.Fatalf("id %q: %v", first, err)
	}
	if second, err := h.ID(); err != nil || second != first {
		t.Errorf("id %q, then %q (%v)", first, second, err)
	}
	if _, err := (Host{Dir: "relative"}).ID(); err == nil {
		t.Error("a relative directory is no place")
	}
}

func TestLogIsBounded(t *testing.T) {
	path := filepath.Join(t.TempDir(), logFile)
	w, err := openLog(path)
	if err != nil {
		t.Fatal(err)
	}
	line := []byte(strings.Repeat("x", 1023) + "\n")
	for range 5 * logMax / len(line) {
		w.Write(line)
	}
	var size int64
	for _, name := range []string{path, path + ".1"} {
		info, err := os.Stat(name)
		if err != nil {
			t.Fatal(err)
		}
		size += info.Size()
	}
	if size > 2*logMax {
		t.Errorf("%d bytes are kept, want at most %d", size, 2*logMax)
	}
}
