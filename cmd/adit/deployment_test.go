package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/aditmesh/adit/pkg/netlab"
	"github.com/aditmesh/adit/pkg/sdk"
)

// patience bounds every wait of these tests; what they wait for takes a
// fraction of it on an idle machine.
const patience = 60 * time.Second

// buildAdit builds the binary under test, once.
var buildAdit = sync.OnceValues(func() (string, error) {
	dir, err := os.MkdirTemp("", "adit-test-bin-")
	if err != nil {
		return "", err
	}
	build := exec.Command("go", "build", "-o", dir+"/adit", ".")
	build.Env = append(os.Environ(), "CGO_ENABLED=0") // as it is shipped: containers have another C library, or none
	out, err := build.CombinedOutput()
	if err != nil {
		err = errors.Join(err, errors.New(string(out)))
	}
	return dir + "/adit", err
})

func TestMain(m *testing.M) {
	code := m.Run()
	if bin, err := buildAdit(); err == nil {
		os.RemoveAll(filepath.Dir(bin))
	}
	os.Exit(code)
}

// deployment is a server on the internet, a laptop at home and a devbox in the
// office, each behind a router of its own, with the built binary on all three.
type deployment struct {
	t                      *testing.T
	bin, dir               string
	lab                    *netlab.Lab
	server, laptop, devbox *netlab.Host
	home, office           *netlab.Router
	agentToken             string
	serverArgs             []string
	serverProc, agentProc  *program
}

// deploy starts everything and waits until the agent is connected.
func deploy(t *testing.T, home, office netlab.NAT, serverArgs ...string) *deployment {
	t.Helper()
	d := newDeployment(t, serverArgs...)
	d.home, d.office = d.lab.Router("home", home), d.lab.Router("office", office)
	d.laptop, d.devbox = d.home.Host("laptop"), d.office.Host("devbox")
	d.laptop.IPv4Only() // or IPv6 would pass by the translation that is tested

	d.up()
	return d
}

// newDeployment makes a lab with a host for the server.
func newDeployment(t *testing.T, serverArgs ...string) *deployment {
	t.Helper()
	lab := netlab.New(t)
	bin, err := buildAdit()
	if err != nil {
		t.Fatal(err)
	}
	dir, err := os.MkdirTemp("", "adit-e2e-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	if err := os.Chmod(dir, 0o711); err != nil { // for the user that runs Postgres
		t.Fatal(err)
	}
	return &deployment{t: t, bin: bin, dir: dir, lab: lab, serverArgs: serverArgs, server: lab.Host("server")}
}

// login signs the first user in, on the laptop.
func (d *deployment) login() {
	d.t.Helper()
	login := d.command(d.laptop, "login", d.url(), "--first-user", "--username", "alice", "--email", "alice@example.com", "--password-stdin")
	login.Stdin = strings.NewReader("correct horse\n")
	if out, err := d.output(d.laptop, login); err != nil {
		d.t.Fatalf("login: %v: %s", err, out)
	}
}

// create makes a workspace and returns its agent's token.
func (d *deployment) create(name string) string {
	d.t.Helper()
	var made sdk.CreatedWorkspace
	d.json(&made, "create", name, "--external", "-o", "json")
	return made.AgentToken
}

// up starts everything on hosts that the test has placed, and waits until the
// agent is connected.
func (d *deployment) up() {
	d.t.Helper()
	d.startServer()
	d.login()
	d.agentToken = d.create("dev")
	d.startAgent()
}

// in is the deployment for a subtest, with which ends what it starts.
func (d *deployment) in(t *testing.T) *deployment {
	sub := *d
	sub.t = t
	return &sub
}

// url is where the laptop finds the server.
func (d *deployment) url() string { return d.urlFor(d.laptop) }

// urlFor is where a host finds the server.
func (d *deployment) urlFor(h *netlab.Host) string {
	ip := d.server.Addr()
	if !h.Addr().IsValid() {
		ip = d.server.Addr6()
	}
	return "http://" + netip.AddrPortFrom(ip, 7080).String()
}

func (d *deployment) startServer() {
	d.t.Helper()
	args := append([]string{"server", "--listen", d.server.Addr().String() + ":7080", "--data-dir", filepath.Join(d.dir, "data")}, d.serverArgs...)
	d.serverProc = d.start(d.server, "server.log", args...)
	d.serverProc.waitFor("adit server ready")
}

func (d *deployment) startAgent() {
	d.t.Helper()
	d.agentProc = d.start(d.devbox, "agent.log", "agent", "--url", d.url(), "--token", d.agentToken, "-v")
	d.agentProc.waitFor("agent ready")
	d.agentIs("connected")
}

// env is the environment of every program: a home of its own, for an agent's logins,
// too, which would begin with what root's start-up files do on this machine.
func (d *deployment) env() []string {
	return []string{
		"PATH=" + filepath.Dir(d.bin) + ":" + os.Getenv("PATH"), "HOME=" + d.dir, "USER=root", "TMPDIR=" + d.dir,
		"ADIT_CONFIG_DIR=" + filepath.Join(d.dir, "config"), "ADIT_AGENT_HOME=" + d.dir,
	}
}

func (d *deployment) command(h *netlab.Host, args ...string) *exec.Cmd {
	return d.program(h, d.bin, args...)
}

func (d *deployment) program(h *netlab.Host, program string, args ...string) *exec.Cmd {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	d.t.Cleanup(cancel)
	cmd := h.Command(ctx, program, args...)
	cmd.Env, cmd.Dir = d.env(), d.dir
	return cmd
}

// output runs a command and returns its standard output; what it said to
// standard error is in the error.
func (d *deployment) output(h *netlab.Host, cmd *exec.Cmd) (string, error) {
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	err := h.Start(cmd)
	if err == nil {
		err = cmd.Wait()
	}
	if err != nil && stderr.Len() > 0 {
		err = errors.Join(err, errors.New(strings.TrimSpace(stderr.String())))
	}
	return stdout.String(), err
}

// adit runs a command line on the laptop.
func (d *deployment) adit(args ...string) (string, error) {
	return d.output(d.laptop, d.command(d.laptop, args...))
}

// json runs a command line on the laptop, which must succeed, and reads its
// output.
func (d *deployment) json(into any, args ...string) {
	d.t.Helper()
	out, err := d.adit(args...)
	if err != nil {
		d.t.Fatalf("adit %s: %v", strings.Join(args, " "), err)
	}
	if err := json.Unmarshal([]byte(out), into); err != nil {
		d.t.Fatalf("adit %s: %v in %s", strings.Join(args, " "), err, out)
	}
}

// agent returns what the coordinator says of the agent.
func (d *deployment) agent() (sdk.Agent, error) {
	out, err := d.adit("show", "dev", "-o", "json")
	if err != nil {
		return sdk.Agent{}, err
	}
	var w sdk.Workspace
	if err := json.Unmarshal([]byte(out), &w); err != nil {
		return sdk.Agent{}, err
	}
	return w.Agents[0], nil
}

// agentIs waits until the coordinator has recorded a state of the agent.
func (d *deployment) agentIs(state string) sdk.Agent {
	d.t.Helper()
	var last sdk.Agent
	d.eventually("agent "+state, func() bool {
		a, err := d.agent()
		last = a
		return err == nil && a.State == state
	})
	return last
}

// eventually polls a state outside this process, which nothing announces.
func (d *deployment) eventually(what string, is func() bool) {
	d.t.Helper()
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	for deadline := time.Now().Add(patience); time.Now().Before(deadline); <-tick.C {
		if is() {
			return
		}
	}
	d.t.Fatalf("not within %v: %s", patience, what)
}

// program is a program that runs beside the test, with its output kept.
type program struct {
	t     *testing.T
	cmd   *exec.Cmd
	stdin io.WriteCloser
	lines chan string // of stdout and stderr
	done  chan error
}

// maxLines is how much unread output a program may have.
const maxLines = 100_000

// start starts the binary on a host; log names its output should the test fail.
func (d *deployment) start(h *netlab.Host, log string, args ...string) *program {
	d.t.Helper()
	cmd := h.Command(context.Background(), d.bin, args...)
	cmd.Env, cmd.Dir = d.env(), d.dir
	return d.run(h, log, cmd)
}

func (d *deployment) run(h *netlab.Host, log string, cmd *exec.Cmd) *program {
	d.t.Helper()
	p := &program{t: d.t, cmd: cmd, lines: make(chan string, maxLines), done: make(chan error, 1)}
	r, w, err := os.Pipe()
	if err != nil {
		d.t.Fatal(err)
	}
	cmd.Stderr = w
	if cmd.Stdout == nil {
		cmd.Stdout = w
	}
	if p.stdin, err = cmd.StdinPipe(); err != nil {
		d.t.Fatal(err)
	}
	err = h.Start(cmd)
	w.Close()
	if err != nil {
		d.t.Fatal(err)
	}
	var all bytes.Buffer
	read := make(chan struct{})
	go func() {
		defer close(read)
		defer close(p.lines)
		for s := bufio.NewScanner(r); s.Scan(); {
			all.WriteString(s.Text() + "\n")
			p.lines <- s.Text()
		}
	}()
	go func() { p.done <- cmd.Wait() }()
	d.t.Cleanup(func() {
		p.kill()
		<-read
		r.Close()
		if d.t.Failed() {
			text := all.Bytes()
			d.t.Logf("%s:\n%s", log, text[max(0, len(text)-6000):])
		}
	})
	return p
}

// kill ends a program without a chance to say goodbye.
func (p *program) kill() {
	_ = syscall.Kill(-p.cmd.Process.Pid, syscall.SIGKILL) // it may be gone
	p.wait()
}

// stop interrupts a program and waits for its end.
func (p *program) stop() {
	_ = p.cmd.Process.Signal(os.Interrupt) // it may be gone
	p.wait()
}

// wait waits for the end of a program and returns how it ended.
func (p *program) wait() error {
	err := <-p.done
	p.done <- err
	return err
}

// waitFor reads lines until one contains text, and returns that.
func (p *program) waitFor(text string) string {
	p.t.Helper()
	return p.waitLine(text, func(line string) bool { return strings.Contains(line, text) })
}

func (p *program) waitLine(what string, is func(string) bool) string {
	p.t.Helper()
	timeout := time.After(patience)
	for {
		select {
		case line, ok := <-p.lines:
			if !ok {
				p.t.Fatalf("%s ended before: %s", p.cmd.Args[1], what)
			}
			if is(line) {
				return line
			}
		case <-timeout:
			p.t.Fatalf("%s: not within %v: %s", p.cmd.Args[1], patience, what)
		}
	}
}

// echo sends a line through a program that echoes and waits for it.
func (p *program) echo(text string) {
	p.t.Helper()
	if _, err := io.WriteString(p.stdin, text+"\n"); err != nil {
		p.t.Fatal(err)
	}
	p.waitFor(text)
}

// pingedVia waits for an answered echo of a running "ping -o json" by a kind
// of path.
func (p *program) pingedVia(kind string) pingLine {
	p.t.Helper()
	var line pingLine
	p.waitLine("an echo via "+kind, func(text string) bool {
		line = pingLine{}
		return json.Unmarshal([]byte(text), &line) == nil && line.Error == "" && line.Path.Kind == kind
	})
	return line
}
