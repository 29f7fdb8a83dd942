package main

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/aditmesh/adit/pkg/loadtest"
	"github.com/aditmesh/adit/pkg/postgres"
)

// What a coordinator must bear, with its Postgres and those who load it on one
// machine of two cores. `make load` takes the full measure and writes it down;
// otherwise the same is done for a few seconds with hundreds, where only what
// breaks fails and the bar is not asked for.

// loadScale is how much load.
type loadScale struct {
	full                         bool // then the bar holds
	agents, churnAgents, clients int
	workspaces                   int
	calm, idle, outage           time.Duration
	churn, asking                time.Duration
	rate, events                 float64
	settle                       time.Duration
}

func loadOf() loadScale {
	s := loadScale{
		agents: 300, churnAgents: 100, clients: 20, workspaces: 300,
		calm: time.Second, idle: 2 * time.Second, outage: 5 * time.Second, churn: 3 * time.Second, asking: 3 * time.Second, rate: 50, events: 50, settle: patience,
	}
	if os.Getenv("LOAD") == "full" {
		s = loadScale{
			full: true, agents: 10_000, churnAgents: 9800, clients: 200, workspaces: 10_000,
			calm: 12 * time.Second, idle: 30 * time.Second, outage: 70 * time.Second, churn: 30 * time.Second, asking: 60 * time.Second, rate: 100, events: 100, settle: 2 * time.Minute,
		}
	}
	if n, err := strconv.Atoi(os.Getenv("LOAD_AGENTS")); err == nil {
		s.agents, s.workspaces = n, n
	}
	return s
}

// loadLab is a server with a Postgres beside it, each a process of its own.
type loadLab struct {
	t        *testing.T
	bin, dir string
	pg       *postgres.Server
	listen   string
	server   *exec.Cmd
	log      *os.File
}

func newLoadLab(t *testing.T) *loadLab {
	t.Helper()
	bin, err := buildAdit()
	if err != nil {
		t.Fatal(err)
	}
	dir, err := os.MkdirTemp("", "adit-load-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	if err := os.Chmod(dir, 0o711); err != nil { // for the user that runs Postgres
		t.Fatal(err)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	l.Close() // nobody else is given a port that was just in use
	lab := &loadLab{t: t, bin: bin, dir: dir, listen: l.Addr().String()}
	if lab.pg, err = postgres.Start(t.Context(), postgres.Config{Dir: dir}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { lab.pg.Close() })
	if lab.log, err = os.Create(filepath.Join(dir, "server.log")); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		lab.log.Close()
		if text, err := os.ReadFile(lab.log.Name()); err == nil && t.Failed() {
			t.Logf("server.log:\n%s", text[max(0, len(text)-6000):])
		}
	})
	lab.start("--postgres-url", lab.pg.URL())
	t.Cleanup(lab.stop)
	login := lab.command("login", "http://"+lab.listen, "--first-user", "--username", "alice", "--email", "alice@example.com", "--password-stdin")
	login.Stdin = strings.NewReader("correct horse\n")
	if out, err := login.CombinedOutput(); err != nil {
		t.Fatalf("login: %v: %s", err, out)
	}
	return lab
}

func (l *loadLab) command(args ...string) *exec.Cmd {
	cmd := exec.Command(l.bin, args...)
	cmd.Dir, cmd.Env = l.dir, []string{"PATH=" + os.Getenv("PATH"), "HOME=" + l.dir, "TMPDIR=" + l.dir, "ADIT_CONFIG_DIR=" + filepath.Join(l.dir, "config")}
	return cmd
}

// start starts the server and returns how long it took to be ready.
func (l *loadLab) start(args ...string) time.Duration {
	l.t.Helper()
	l.server = l.command(append([]string{"server", "--listen", l.listen, "--data-dir", l.dir, "--relay=false", "--provisioners", "0"}, args...)...)
	l.server.Stdout, l.server.Stderr = l.log, l.log
	began := time.Now()
	if err := l.server.Start(); err != nil {
		l.t.Fatal(err)
	}
	ready := func() bool {
		resp, err := http.Get("http://" + l.listen + "/readyz")
		if err != nil {
			return false
		}
		resp.Body.Close()
		return resp.StatusCode == http.StatusOK
	}
	for ; !ready(); time.Sleep(5 * time.Millisecond) { // nothing announces it
		if time.Since(began) > patience {
			l.t.Fatalf("the server is not ready after %v", patience)
		}
	}
	return time.Since(began)
}

// kill ends the server as a crash does.
func (l *loadLab) kill() {
	_ = l.server.Process.Kill() // it may be gone
	_ = l.server.Wait()
	l.server = nil
}

// stop interrupts the server and waits for its end.
func (l *loadLab) stop() {
	if l.server == nil {
		return
	}
	_ = l.server.Process.Signal(os.Interrupt) // it may be gone
	_ = l.server.Wait()
	l.server = nil
}

// running is a load test under way.
type running struct {
	cmd    *exec.Cmd
	out    bytes.Buffer
	stages chan string
	done   chan error
}

func (l *loadLab) loadtest(args ...string) *running {
	l.t.Helper()
	r := &running{cmd: l.command(append([]string{"loadtest", "-o", "json"}, args...)...), stages: make(chan string, 100), done: make(chan error, 1)}
	r.cmd.Stdout = &r.out
	stderr, err := r.cmd.StderrPipe()
	if err != nil {
		l.t.Fatal(err)
	}
	if err := r.cmd.Start(); err != nil {
		l.t.Fatal(err)
	}
	go func() {
		defer close(r.stages)
		for s := bufio.NewScanner(stderr); s.Scan(); {
			r.stages <- s.Text()
		}
		r.done <- r.cmd.Wait()
	}()
	l.t.Cleanup(func() {
		if r.cmd.ProcessState == nil {
			_ = r.cmd.Process.Kill() // it may be gone
		}
	})
	return r
}

// until waits for a stage.
func (r *running) until(t *testing.T, stage string) {
	t.Helper()
	for line := range r.stages {
		t.Log(line)
		if strings.HasPrefix(line, stage) {
			return
		}
	}
	t.Fatalf("load test ended before %q: %v", stage, <-r.done)
}

// result waits for the end and reads the result.
func (r *running) result(t *testing.T, into any) {
	t.Helper()
	for line := range r.stages {
		t.Log(line)
	}
	err := <-r.done
	t.Logf("%s", r.out.Bytes())
	if err != nil {
		t.Fatalf("load test: %v", err)
	}
	if err := json.Unmarshal(r.out.Bytes(), into); err != nil {
		t.Fatalf("load test: %v in %s", err, r.out.Bytes())
	}
}

// usage is what a process has used, and its database been asked.
type usage struct {
	at         time.Time
	cpu        time.Duration
	rss        float64 // MB
	statements int64
}

// clockTick is USER_HZ, which Linux has fixed for programs at 100.
const clockTick = 10 * time.Millisecond

func (l *loadLab) usage() usage {
	l.t.Helper()
	u := usage{at: time.Now()}
	raw, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", l.server.Process.Pid))
	if err != nil {
		l.t.Fatal(err)
	}
	f := strings.Fields(string(raw[bytes.LastIndexByte(raw, ')')+1:]))
	for _, ticks := range f[11:13] { // utime and stime
		n, err := strconv.ParseInt(ticks, 10, 64)
		if err != nil {
			l.t.Fatal(err)
		}
		u.cpu += time.Duration(n) * clockTick
	}
	pages, err := strconv.ParseInt(f[21], 10, 64)
	if err != nil {
		l.t.Fatal(err)
	}
	u.rss = float64(pages) * float64(os.Getpagesize()) / 1e6
	u.statements = l.statements()
	return u
}

// statements counts the transactions of the database so far, of which a
// statement without one of its own is one.
func (l *loadLab) statements() int64 {
	out, err := exec.Command("psql", l.pg.URL(), "-Atc", "select xact_commit + xact_rollback from pg_stat_database where datname = current_database()").Output()
	if err != nil {
		l.t.Fatalf("psql: %v", err)
	}
	n, err := strconv.ParseInt(strings.TrimSpace(string(out)), 10, 64)
	if err != nil {
		l.t.Fatal(err)
	}
	return n
}

// figure is one line of the report.
type figure struct {
	what, got, bar string
	met            bool
}

// figures are what the tests of one run measured.
type figures struct {
	mu   sync.Mutex
	list []figure
}

// atMost notes a figure and, at full scale, fails the test above the bar.
func (f *figures) atMost(t *testing.T, s loadScale, what string, got, bar float64, unit string) {
	t.Helper()
	t.Logf("%s: %.3g %s (bar: %.3g)", what, got, unit, bar)
	f.mu.Lock()
	f.list = append(f.list, figure{what, fmt.Sprintf("%.3g %s", got, unit), fmt.Sprintf("≤ %.3g %s", bar, unit), got <= bar})
	f.mu.Unlock()
	if s.full && got > bar {
		t.Errorf("%s: %.3g %s, want at most %.3g", what, got, unit, bar)
	}
}

func TestLoad(t *testing.T) {
	if runtime.GOOS != "linux" {
		t.Skip("reads /proc")
	}
	if _, err := exec.LookPath("psql"); err != nil {
		t.Skip("needs psql")
	}
	s := loadOf()
	var f figures
	t.Run("agents", func(t *testing.T) { loadAgents(t, s, &f) })
	t.Run("churn", func(t *testing.T) { loadChurn(t, s, &f) })
	t.Run("api", func(t *testing.T) { loadAPI(t, s, &f) })
	t.Run("interrupted", loadInterrupted)
	if path := os.Getenv("LOAD_REPORT"); path != "" {
		doc, err := os.ReadFile(path)
		if err == nil {
			doc, err = loadReport(doc, f.list)
		}
		if err == nil {
			err = os.WriteFile(path, doc, 0o644)
		}
		if err != nil {
			t.Error(err)
		}
	}
}

// loadAgents: agents that do nothing cost little, and all come back.
func loadAgents(t *testing.T, s loadScale, f *figures) {
	l := newLoadLab(t)
	hold := s.calm + s.idle + s.outage
	run := l.loadtest("agents", "--count", strconv.Itoa(s.agents), "--hold", hold.String(), "--settle", s.settle.String())
	run.until(t, "holding agents")
	// What joining left to do is not what holding costs, and Postgres counts what
	// a silent connection did up to 10 s later.
	time.Sleep(s.calm)
	before := l.usage()
	time.Sleep(s.idle)
	after := l.usage()
	span := after.at.Sub(before.at).Seconds()
	idle := fmt.Sprintf("%d idle agents: ", s.agents)
	f.atMost(t, s, idle+"memory of the coordinator", after.rss, 500, "MB")
	f.atMost(t, s, idle+"CPU of the coordinator", (after.cpu-before.cpu).Seconds()/span, 0.3, "cores")
	f.atMost(t, s, idle+"SQL statements", float64(after.statements-before.statements)/span, 5, "a second")
	l.stop()
	took := l.start("--postgres-url", l.pg.URL())
	f.atMost(t, s, "start on an existing database", took.Seconds(), 2, "s")
	run.until(t, "all agents are back")
	l.kill()
	took = l.start("--postgres-url", l.pg.URL())
	f.atMost(t, s, "start after kill -9", took.Seconds(), 2, "s")
	var r loadtest.AgentsResult
	run.result(t, &r)
	if r.Missing > 0 || len(r.Outages) != 2 {
		t.Fatalf("%d agents are missing after %d outages, want none after two", r.Missing, len(r.Outages))
	}
	for i, how := range []string{"a restart", "kill -9"} {
		f.atMost(t, s, fmt.Sprintf("%d agents back after %s", r.Outages[i].Agents, how), r.Outages[i].Seconds, 60, "s")
	}
	l.stop()
	l.pg.Close()
	took = l.start() // the same database, embedded
	f.atMost(t, s, "start with embedded Postgres", took.Seconds(), 2, "s")
}

// loadChurn: who watches a node knows at once what becomes of it.
func loadChurn(t *testing.T, s loadScale, f *figures) {
	l := newLoadLab(t)
	var r loadtest.ChurnResult
	l.loadtest("churn", "--agents", strconv.Itoa(s.churnAgents), "--clients", strconv.Itoa(s.clients), "--watch", "20",
		"--rate", fmt.Sprint(s.events), "--duration", s.churn.String()).result(t, &r)
	if r.Missed > 0 || r.Arrived == 0 {
		t.Errorf("%d updates missed, %d arrived", r.Missed, r.Arrived)
	}
	f.atMost(t, s, fmt.Sprintf("an update of a node reaches its peers, p99 of %d", r.Arrived), r.Update.P99, 100, "ms")
}

// loadAPI: many workspaces make no request slow.
func loadAPI(t *testing.T, s loadScale, f *figures) {
	l := newLoadLab(t)
	var r loadtest.APIResult
	l.loadtest("api", "--rate", fmt.Sprint(s.rate), "--workspaces", strconv.Itoa(s.workspaces), "--duration", s.asking.String()).result(t, &r)
	if r.Failed > 0 {
		t.Errorf("%d of %d requests failed", r.Failed, r.Requests)
	}
	if left := l.workspaces(); left != "[]" {
		t.Errorf("the test left workspaces: %.200s", left)
	}
	at := fmt.Sprintf("%.0f requests a second, %d workspaces: ", s.rate, s.workspaces)
	f.atMost(t, s, at+"reads, p95", r.Kinds["read"].P95, 50, "ms")
	f.atMost(t, s, at+"lists, p95", r.Kinds["list"].P95, 50, "ms")
	f.atMost(t, s, at+"writes, p95", r.Kinds["write"].P95, 150, "ms")
}

// loadInterrupted: who ends a load test early leaves nothing either, and what a
// killed one leaves can be cleaned.
func loadInterrupted(t *testing.T) {
	l := newLoadLab(t)
	run := l.loadtest("agents", "--count", "5", "--hold", "1h")
	run.until(t, "holding agents")
	if err := run.cmd.Process.Signal(os.Interrupt); err != nil {
		t.Fatal(err)
	}
	for line := range run.stages {
		t.Log(line)
	}
	if err := <-run.done; err == nil {
		t.Error("an interrupted test ended well")
	}
	if left := l.workspaces(); left != "[]" {
		t.Errorf("an interrupted test left workspaces: %.200s", left)
	}
	run = l.loadtest("agents", "--count", "5", "--hold", "1h")
	run.until(t, "holding agents")
	if err := run.cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	for range run.stages {
	}
	<-run.done
	var cleaned struct{ Deleted int }
	l.loadtest("clean").result(t, &cleaned)
	if left := l.workspaces(); cleaned.Deleted != 5 || left != "[]" {
		t.Errorf("%d workspaces were cleaned, want 5; left are %.200s", cleaned.Deleted, left)
	}
}

// workspaces lists them as JSON, in one line.
func (l *loadLab) workspaces() string {
	l.t.Helper()
	out, err := l.command("list", "-o", "json").Output()
	if err != nil {
		l.t.Fatalf("list: %v", err)
	}
	return strings.Join(strings.Fields(string(out)), "")
}

func TestGarbageIsBoundedWhereMuchLives(t *testing.T) {
	for _, c := range []struct {
		live uint64
		want int
	}{{0, 100}, {10 << 20, 100}, {20 << 20, 100}, {80 << 20, 25}, {200 << 20, 10}, {64 << 30, 5}} {
		if got := gcPercent(c.live); got != c.want {
			t.Errorf("with %d MiB alive: %d %%, want %d %%", c.live>>20, got, c.want)
		}
	}
}

// What stands around the figures in the document that they are written into.
const loadBegin, loadEnd = "<!-- figures of make load -->\n", "<!-- end of figures -->\n"

// loadReport puts figures in the place that doc has for them.
func loadReport(doc []byte, list []figure) ([]byte, error) {
	head, rest, begins := bytes.Cut(doc, []byte(loadBegin))
	_, tail, ends := bytes.Cut(rest, []byte(loadEnd))
	if !begins || !ends {
		return nil, errors.New("the document has no place for figures")
	}
	var b bytes.Buffer
	b.Write(head)
	b.WriteString(loadBegin + "| what | measured | bar |  |\n|---|---|---|---|\n")
	for _, f := range list {
		met := "met"
		if !f.met {
			met = "missed"
		}
		fmt.Fprintf(&b, "| %s | %s | %s | %s |\n", f.what, f.got, f.bar, met)
	}
	b.WriteString(loadEnd)
	b.Write(tail)
	return b.Bytes(), nil
}
