package ssh

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"go.uber.org/goleak"
	"golang.org/x/crypto/ssh"
)

// serveFiles is the argument with which this program is the one that serves SFTP.
const serveFiles = "serve-files"

func TestMain(m *testing.M) {
	if len(os.Args) == 2 && os.Args[1] == serveFiles {
		if err := ServeFiles(os.Stdin, os.Stdout); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	goleak.VerifyTestMain(m)
}

const patience = 30 * time.Second

// served is a server on loopback and what OpenSSH needs to reach it.
type served struct {
	t      *testing.T
	port   string
	home   string
	server *Server
}

func serve(t *testing.T) *served { return serveWith(t, Config{}) }

// serveWith serves with what of cfg is not the same in every test.
func serveWith(t *testing.T, cfg Config) *served {
	t.Helper()
	if _, err := exec.LookPath("ssh"); err != nil {
		t.Skip("no OpenSSH client on this machine")
	}
	key := testHostKey(t)
	home := t.TempDir()
	cfg.HostKey, cfg.Env = key, []string{"PATH=" + os.Getenv("PATH")}
	cfg.Account = Account{Name: "tester", Home: home, Shell: "/bin/sh"}
	program, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cfg.FileServer = []string{program, serveFiles}
	srv := New(cfg)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan error, 1)
	go func() { done <- srv.Serve(l) }()
	t.Cleanup(func() {
		srv.Close()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
	_, port, _ := net.SplitHostPort(l.Addr().String())
	return &served{t: t, port: port, home: home, server: srv}
}

func testHostKey(t *testing.T) ssh.Signer {
	t.Helper()
	key, err := HostKey(bytes.Repeat([]byte{1}, 32))
	if err != nil {
		t.Fatal(err)
	}
	return key
}

// options are what ssh and scp have in common.
func (s *served) options(extra ...string) []string {
	return append([]string{
		"-F", "none", "-o", "BatchMode=yes", "-o", "StrictHostKeyChecking=no",
		"-o", "UserKnownHostsFile=/dev/null", "-o", "LogLevel=ERROR",
	}, extra...)
}

func (s *served) ssh(args ...string) *exec.Cmd {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	s.t.Cleanup(cancel)
	return exec.CommandContext(ctx, "ssh", append(s.options("-p", s.port, "127.0.0.1"), args...)...)
}

// run runs a command there and returns its two outputs and exit code.
func (s *served) run(stdin string, args ...string) (stdout, stderr string, code int) {
	s.t.Helper()
	cmd := s.ssh(args...)
	var out, errs bytes.Buffer
	cmd.Stdin, cmd.Stdout, cmd.Stderr = strings.NewReader(stdin), &out, &errs
	err := cmd.Run()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		s.t.Fatal(err)
	}
	return out.String(), errs.String(), cmd.ProcessState.ExitCode()
}

func TestExec(t *testing.T) {
	s := serve(t)
	for _, tt := range []struct {
		name, command, stdin string
		out, errs            string
		code                 int
	}{
		{"output apart", "echo out; echo err >&2", "", "out\n", "err\n", 0},
		{"exit status", "exit 42", "", "", "", 42},
		{"no such command", "/no/such/command", "", "", "not found", 127},
		{"input to its end", "cat", "typed", "typed", "", 0},
		{"input unread", "true", strings.Repeat("x", 1<<20), "", "", 0},
		{"the home directory", "pwd", "", "HOME\n", "", 0},
		{"who", "echo $USER $LOGNAME $HOME $SHELL", "", "tester tester HOME /bin/sh\n", "", 0},
		{"a background process does not hold the session", "sleep 60 & echo done", "", "done\n", "", 0},
		{"shell through standard input", "", "echo hello\nexit 3\n", "hello\n", "", 3},
	} {
		args := []string{"-T"}
		if tt.command != "" {
			args = append(args, tt.command)
		}
		out, errs, code := s.run(tt.stdin, args...)
		if want := strings.ReplaceAll(tt.out, "HOME", s.home); out != want || code != tt.code || !strings.Contains(errs, tt.errs) {
			t.Errorf("%s: %q, %q, exit %d; want %q, %q, exit %d", tt.name, out, errs, code, want, tt.errs, tt.code)
		}
	}
}

func TestExitSignalReachesTheClient(t *testing.T) {
	s := serve(t)
	client := s.dial()
	defer client.Close()
	session, err := client.NewSession()
	if err != nil {
		t.Fatal(err)
	}
	defer session.Close()
	var exit *ssh.ExitError
	if err := session.Run("kill -TERM $$"); !errors.As(err, &exit) || exit.Signal() != "TERM" {
		t.Errorf("got %v, want signal TERM", err)
	}
}

// dial connects with Go's client, for what OpenSSH cannot be made to do.
func (s *served) dial() *ssh.Client {
	s.t.Helper()
	c, err := ssh.Dial("tcp", "127.0.0.1:"+s.port, &ssh.ClientConfig{User: "x", HostKeyCallback: ssh.InsecureIgnoreHostKey()})
	if err != nil {
		s.t.Fatal(err)
	}
	return c
}

func TestSignalsReachTheProcessGroup(t *testing.T) {
	s := serve(t)
	client := s.dial()
	defer client.Close()
	session, err := client.NewSession()
	if err != nil {
		t.Fatal(err)
	}
	defer session.Close()
	out, err := session.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := session.Start(`trap 'echo got it; exit 5' USR1; echo ready; while :; do sleep 0.05; done`); err != nil {
		t.Fatal(err)
	}
	buf := make([]byte, 6)
	if _, err := io.ReadFull(out, buf); err != nil {
		t.Fatal(err)
	}
	if err := session.Signal(ssh.SIGUSR1); err != nil {
		t.Fatal(err)
	}
	rest, _ := io.ReadAll(out)
	var exit *ssh.ExitError
	if err := session.Wait(); !errors.As(err, &exit) || exit.ExitStatus() != 5 || string(rest) != "got it\n" {
		t.Errorf("%q, %v", rest, err)
	}
}

func TestEnvironment(t *testing.T) {
	s := serve(t)
	out, _, _ := s.run("", "-o", "SetEnv=FOO=bar", "echo $FOO; echo $SSH_CONNECTION | wc -w; env | grep -c ADIT")
	if out != "bar\n4\n0\n" {
		t.Errorf("got %q", out)
	}
	client := s.dial()
	defer client.Close()
	session, err := client.NewSession()
	if err != nil {
		t.Fatal(err)
	}
	defer session.Close()
	for i := range maxEnv {
		if err := session.Setenv("V"+strconv.Itoa(i), "x"); err != nil {
			t.Fatalf("variable %d: %v", i, err)
		}
	}
	if err := session.Setenv("ONE_TOO_MANY", "x"); err == nil {
		t.Error("one variable too many was taken")
	}
}

func TestTerminal(t *testing.T) {
	s := serve(t)
	client := s.dial()
	defer client.Close()
	session, err := client.NewSession()
	if err != nil {
		t.Fatal(err)
	}
	defer session.Close()
	if err := session.RequestPty("xterm-test", 33, 77, ssh.TerminalModes{}); err != nil {
		t.Fatal(err)
	}
	in, err := session.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := session.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := session.Start(`stty size; echo $TERM; test -t 0 && test "$(tty)" = "$SSH_TTY" && echo same; trap 'stty size; exit 9' WINCH; echo ready; while :; do sleep 0.05; done`); err != nil {
		t.Fatal(err)
	}
	var seen strings.Builder
	buf := make([]byte, 1024)
	for !strings.Contains(seen.String(), "ready") {
		n, err := out.Read(buf)
		if err != nil {
			t.Fatalf("%v after %q", err, seen.String())
		}
		seen.Write(buf[:n])
	}
	if got := seen.String(); !strings.HasPrefix(got, "33 77\r\nxterm-test\r\nsame\r\n") {
		t.Errorf("got %q", got)
	}
	if err := session.WindowChange(40, 120); err != nil {
		t.Fatal(err)
	}
	rest, _ := io.ReadAll(out)
	var exit *ssh.ExitError
	if err := session.Wait(); !errors.As(err, &exit) || exit.ExitStatus() != 9 || !strings.Contains(string(rest), "40 120") {
		t.Errorf("after the change: %q, %v", rest, err)
	}
	in.Close()
}

// alive reports whether the process whose id is in file still runs.
func alive(t *testing.T, file string) bool {
	t.Helper()
	raw, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	pid, err := strconv.Atoi(strings.TrimSpace(string(raw)))
	if err != nil {
		t.Fatal(err)
	}
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	return err == nil && !bytes.Contains(stat, []byte(") Z ")) && syscall.Kill(pid, 0) == nil
}

func TestClientThatVanishesTakesItsProcessesAlong(t *testing.T) {
	s := serve(t)
	for _, terminal := range []bool{false, true} {
		pidFile := filepath.Join(s.home, fmt.Sprint("pid", terminal))
		client := s.dial()
		session, err := client.NewSession()
		if err != nil {
			t.Fatal(err)
		}
		if terminal {
			if err := session.RequestPty("xterm", 24, 80, ssh.TerminalModes{}); err != nil {
				t.Fatal(err)
			}
		}
		out, err := session.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := session.Start("sleep 300 & echo $! > " + pidFile + "; echo started; wait"); err != nil {
			t.Fatal(err)
		}
		if _, err := io.ReadFull(out, make([]byte, 7)); err != nil {
			t.Fatal(err)
		}
		client.Close()
		tick := time.NewTicker(10 * time.Millisecond)
		for deadline := time.Now().Add(patience); alive(t, pidFile); <-tick.C {
			if time.Now().After(deadline) {
				t.Fatalf("terminal %v: the command's child outlived its client", terminal)
			}
		}
		tick.Stop()
	}
}

// A client that is killed, or whose cable is pulled, closes nothing.
func TestClientThatFallsSilentTakesItsProcessesAlong(t *testing.T) {
	s := serveWith(t, Config{AliveEvery: 10 * time.Millisecond, AliveFor: time.Second})
	talks, silent := s.ssh("-T", "sleep 2; echo still here"), s.ssh("-T", "echo $$; exec sleep 60")
	var said bytes.Buffer
	talks.Stdout = &said
	out, err := silent.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []*exec.Cmd{talks, silent} {
		if err := c.Start(); err != nil {
			t.Fatal(err)
		}
	}
	var pid int
	if _, err := fmt.Fscan(out, &pid); err != nil {
		t.Fatal(err)
	}
	if err := silent.Process.Signal(syscall.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	for deadline := time.Now().Add(patience); syscall.Kill(pid, 0) == nil; time.Sleep(10 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal("the process outlived its client")
		}
	}
	if err := talks.Wait(); err != nil || said.String() != "still here\n" {
		t.Errorf("the client that answers: %q, %v", said.String(), err)
	}
	_ = silent.Process.Kill()
	_ = silent.Wait() // killed
}

func TestManyBytesBothWays(t *testing.T) {
	s := serve(t)
	data := make([]byte, 10<<20)
	rand.Read(data)
	cmd := s.ssh("cat")
	cmd.Stdin = bytes.NewReader(data)
	out, err := cmd.Output()
	if err != nil || !bytes.Equal(out, data) {
		t.Errorf("10 MiB came back as %d bytes, %v", len(out), err)
	}
}

func TestSlowReaderGetsAllOfTheOutput(t *testing.T) {
	s := serve(t)
	client := s.dial()
	defer client.Close()
	session, err := client.NewSession()
	if err != nil {
		t.Fatal(err)
	}
	defer session.Close()
	out, err := session.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	const size = 8 << 20 // more than every buffer on the way
	if err := session.Start(fmt.Sprintf("head -c %d /dev/zero", size)); err != nil {
		t.Fatal(err)
	}
	<-time.After(1500 * time.Millisecond) // the reader is what is slow here
	n, err := io.Copy(io.Discard, out)
	if err != nil || n != size {
		t.Errorf("read %d of %d, %v", n, size, err)
	}
}

func TestManySessionsOverOneConnection(t *testing.T) {
	s := serve(t)
	client := s.dial()
	defer client.Close()
	var wg sync.WaitGroup
	for i := range 50 {
		wg.Go(func() {
			session, err := client.NewSession()
			if err != nil {
				t.Error(err)
				return
			}
			defer session.Close()
			out, err := session.Output(fmt.Sprintf("echo %d", i))
			if err != nil || string(out) != fmt.Sprintf("%d\n", i) {
				t.Errorf("session %d: %q, %v", i, out, err)
			}
		})
	}
	wg.Wait()
}

func TestFilesByEveryTool(t *testing.T) {
	s := serve(t)
	src, back := filepath.Join(t.TempDir(), "src"), filepath.Join(t.TempDir(), "back")
	data := make([]byte, 3<<20)
	rand.Read(data)
	if err := os.WriteFile(src, data, 0o640); err != nil {
		t.Fatal(err)
	}
	shell := "ssh " + strings.Join(s.options("-p", s.port), " ")
	for name, tool := range map[string]func(from, to string) *exec.Cmd{
		"scp": func(from, to string) *exec.Cmd {
			return exec.Command("scp", append(s.options("-P", s.port), from, to)...)
		},
		"scp -O": func(from, to string) *exec.Cmd {
			return exec.Command("scp", append(s.options("-O", "-P", s.port), from, to)...)
		},
		"rsync": func(from, to string) *exec.Cmd { return exec.Command("rsync", "-e", shell, from, to) },
	} {
		if _, err := exec.LookPath(strings.Fields(name)[0]); err != nil {
			t.Logf("no %s on this machine", name)
			continue
		}
		os.Remove(back)
		for _, cmd := range []*exec.Cmd{tool(src, "127.0.0.1:there"), tool("127.0.0.1:there", back)} {
			if out, err := cmd.CombinedOutput(); err != nil {
				t.Fatalf("%s: %v: %s", name, err, out)
			}
		}
		got, err := os.ReadFile(back)
		if err != nil || !bytes.Equal(got, data) {
			t.Errorf("%s: %d bytes came back, %v", name, len(got), err)
		}
	}
}

func TestForwards(t *testing.T) {
	s := serve(t)
	echo, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer echo.Close()
	serveEach(echo, func(c net.Conn) { io.Copy(c, c) })
	client := s.dial()
	defer client.Close()

	near, err := client.Dial("tcp", echo.Addr().String()) // what -L does
	if err != nil {
		t.Fatal(err)
	}
	checkEcho(t, near)
	if c, err := client.Dial("tcp", "127.0.0.1:1"); err == nil {
		c.Close()
		t.Error("connected to a closed port")
	}

	far, err := client.Listen("tcp", "127.0.0.1:0") // what -R does
	if err != nil {
		t.Fatal(err)
	}
	defer far.Close()
	serveEach(far, func(c net.Conn) { io.Copy(c, c) })
	conn, err := net.Dial("tcp", far.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	checkEcho(t, conn)
	if err := far.Close(); err != nil { // it names the port that was chosen
		t.Error(err)
	}
	if conn, err := net.Dial("tcp", far.Addr().String()); err == nil {
		conn.Close()
		t.Error("a forward that was cancelled is open")
	}
}

func checkEcho(t *testing.T, c net.Conn) {
	t.Helper()
	defer c.Close()
	if _, err := io.WriteString(c, "hello"); err != nil {
		t.Fatal(err)
	}
	buf := make([]byte, 5)
	if _, err := io.ReadFull(c, buf); err != nil || string(buf) != "hello" {
		t.Errorf("%q, %v", buf, err)
	}
}

func TestHostKeyComesFromItsSeedAlone(t *testing.T) {
	seed := func(token string) []byte {
		s, err := TokenSeed(token)
		if err != nil {
			t.Fatal(err)
		}
		return s
	}
	a1, err1 := HostKey(seed("a"))
	a2, err2 := HostKey(seed("a"))
	b, err3 := HostKey(seed("b"))
	if err := errors.Join(err1, err2, err3); err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(a1.PublicKey().Marshal(), a2.PublicKey().Marshal()) {
		t.Error("the same token gave two keys")
	}
	if bytes.Equal(a1.PublicKey().Marshal(), b.PublicKey().Marshal()) {
		t.Error("two tokens gave the same key")
	}
	if _, err := HostKey(seed("a")[:31]); err == nil {
		t.Error("a seed that is too short made a key")
	}
}

func TestMissingShellIsAClearError(t *testing.T) {
	key := testHostKey(t)
	srv := New(Config{HostKey: key, Account: Account{Name: "x", Home: "/", Shell: "/no/such/shell"}})
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan error, 1)
	go func() { done <- srv.Serve(l) }()
	defer func() {
		srv.Close()
		<-done
	}()
	_, port, _ := net.SplitHostPort(l.Addr().String())
	s := &served{t: t, port: port}
	_, errs, code := s.run("", "true")
	if code != notFound || !strings.Contains(errs, "/no/such/shell") {
		t.Errorf("exit %d, %q", code, errs)
	}
}

func TestPasswdShell(t *testing.T) {
	const file = "root:x:0:0:root:/root:/bin/bash\n# comment\nshort:line\nme:x:1:1::/home/me:/bin/zsh\n"
	for name, want := range map[string]string{"root": "/bin/bash", "me": "/bin/zsh", "nobody": "", "short": ""} {
		if got := passwdShell(strings.NewReader(file), name); got != want {
			t.Errorf("%s: %q, want %q", name, got, want)
		}
	}
}

func FuzzPasswdShell(f *testing.F) {
	f.Add("root:x:0:0:root:/root:/bin/bash\n", "root")
	// A shell that is found stands in the file.
	f.Fuzz(func(t *testing.T, file, name string) {
		if got := passwdShell(strings.NewReader(file), name); !strings.Contains(file, got) {
			t.Errorf("%q is not in %q", got, file)
		}
	})
}
