package ssh

import (
	"bufio"
	"bytes"
	"crypto/ed25519"
	"crypto/rand"
	"encoding/pem"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/crypto/ssh"
	"golang.org/x/net/proxy"
)

// eventually waits for what has to come to pass.
func eventually(t *testing.T, what string, is func() bool) {
	t.Helper()
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for deadline := time.Now().Add(patience); !is(); <-tick.C {
		if time.Now().After(deadline) {
			t.Fatalf("%s: not within %v", what, patience)
		}
	}
}

// echoServer sends back what it gets.
func echoServer(t *testing.T, network, addr string) net.Listener {
	t.Helper()
	l, err := net.Listen(network, addr)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	serveEach(l, func(c net.Conn) { io.Copy(c, c) })
	return l
}

// serveEach serves every connection until l is closed. The first may be somebody
// else's: an agent on this machine looks what speaks on each port.
func serveEach(l net.Listener, serve func(net.Conn)) {
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go func() {
				defer c.Close()
				serve(c)
			}()
		}
	}()
}

// master is an OpenSSH connection that others share.
type master struct {
	s    *served
	sock string
}

func (s *served) master(extra ...string) *master {
	s.t.Helper()
	m := &master{s, filepath.Join(s.t.TempDir(), "control")}
	cmd := exec.Command("ssh", append(s.options(append(extra, "-p", s.port, "-M", "-S", m.sock, "-N")...), "127.0.0.1")...)
	cmd.Stderr = os.Stderr
	if err := cmd.Start(); err != nil {
		s.t.Fatal(err)
	}
	s.t.Cleanup(func() {
		ended := make(chan struct{})
		go func() {
			_ = cmd.Wait() // by the signal
			close(ended)
		}()
		// More than once: ssh looks whether there was a signal, and then waits for its
		// connection. One that comes in between is noticed when that moves.
		eventually(s.t, "the end of ssh", func() bool {
			_ = cmd.Process.Signal(syscall.SIGTERM)
			select {
			case <-ended:
				return true
			default:
				return false
			}
		})
	})
	eventually(s.t, "a control socket", func() bool { return m.control("check") == nil })
	return m
}

func (m *master) command(args ...string) *exec.Cmd {
	return exec.Command("ssh", append(append(m.s.options("-S", m.sock), args...), "127.0.0.1")...)
}

func (m *master) control(op string, args ...string) error {
	if out, err := m.command(append([]string{"-O", op}, args...)...).CombinedOutput(); err != nil {
		return fmt.Errorf("ssh -O %s %v: %w: %s", op, args, err, out)
	}
	return nil
}

// echoes checks that what is sent to an address comes back.
func echoes(t *testing.T, network, addr string) {
	t.Helper()
	c, err := net.Dial(network, addr)
	if err != nil {
		t.Error(err)
		return
	}
	checkEcho(t, c)
}

func TestForwardsOfOpenSSH(t *testing.T) {
	s := serve(t)
	m := s.master()
	dir := t.TempDir()
	tcp := echoServer(t, "tcp", "127.0.0.1:0").Addr().String()
	sock := echoServer(t, "unix", filepath.Join(dir, "echo")).Addr().String()
	forward := func(args ...string) string {
		t.Helper()
		out, err := m.command(append([]string{"-O", "forward"}, args...)...).Output()
		if err != nil {
			t.Fatalf("%v: %v", args, err)
		}
		return strings.TrimSpace(string(out))
	}

	port := freePort(t)
	forward("-L", port+":"+tcp)
	echoes(t, "tcp", "127.0.0.1:"+port)
	port = freePort(t)
	forward("-L", "127.0.0.1:"+port+":"+sock)
	echoes(t, "tcp", "127.0.0.1:"+port)
	near := filepath.Join(dir, "near")
	forward("-L", near+":"+sock)
	echoes(t, "unix", near)

	port = freePort(t)
	forward("-D", port)
	socks, err := proxy.SOCKS5("tcp", "127.0.0.1:"+port, nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	c, err := socks.Dial("tcp", tcp)
	if err != nil {
		t.Fatal(err)
	}
	checkEcho(t, c)

	// From there to here. The workspace's loopback is this machine's, too.
	chosen := forward("-R", "0:"+tcp)
	echoes(t, "tcp", "127.0.0.1:"+chosen)
	everywhere := forward("-R", "*:0:"+sock)
	echoes(t, "tcp", net.JoinHostPort("127.0.0.2", everywhere))
	if c, err := net.Dial("tcp", net.JoinHostPort("127.0.0.2", chosen)); err == nil {
		c.Close()
		t.Error("a port for loopback is open elsewhere")
	}
	port = freePort(t)
	forward("-R", port+":"+tcp)
	echoes(t, "tcp", "127.0.0.1:"+port)
	if err := m.control("cancel", "-R", port+":"+tcp); err != nil {
		t.Error(err)
	}
	eventually(t, "the end of a forward that was cancelled", func() bool {
		c, err := net.Dial("tcp", "127.0.0.1:"+port)
		if err == nil {
			c.Close()
		}
		return err != nil
	})

	// A socket that somebody left behind is in nobody's way; a file is.
	far := filepath.Join(dir, "far")
	left, err := net.ListenUnix("unix", &net.UnixAddr{Name: far, Net: "unix"})
	if err != nil {
		t.Fatal(err)
	}
	left.SetUnlinkOnClose(false)
	left.Close()
	forward("-R", far+":"+tcp)
	echoes(t, "unix", far)
	if info, err := os.Stat(far); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("the socket: %v, %v", info.Mode(), err)
	}
	if err := m.control("cancel", "-R", far+":"+tcp); err != nil {
		t.Error(err)
	}
	eventually(t, "a socket that is gone", func() bool { _, err := os.Lstat(far); return err != nil })
	file := filepath.Join(dir, "file")
	if err := os.WriteFile(file, []byte("kept"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := m.control("forward", "-R", file+":"+tcp); err == nil {
		t.Error("a file made place for a socket")
	}
	if got, err := os.ReadFile(file); err != nil || string(got) != "kept" {
		t.Errorf("the file: %q, %v", got, err)
	}
}

// The end of one direction is passed on, and the other goes on.
func TestForwardsEndHalfByHalf(t *testing.T) {
	s := serve(t)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	serveEach(l, func(c net.Conn) {
		all, _ := io.ReadAll(c)
		fmt.Fprintf(c, "%d bytes", len(all))
	})
	cmd := s.ssh("-W", l.Addr().String())
	cmd.Stdin = strings.NewReader(strings.Repeat("x", 300_000))
	if out, err := cmd.Output(); err != nil || string(out) != "300000 bytes" {
		t.Errorf("%q, %v", out, err)
	}
}

func TestHundredsOfChannelsAtOnce(t *testing.T) {
	s := serve(t)
	l := echoServer(t, "tcp", "127.0.0.1:0")
	client := s.dial()
	defer client.Close()
	var open []net.Conn
	for range 600 {
		c, err := client.Dial("tcp", l.Addr().String())
		if err != nil {
			t.Fatalf("channel %d: %v", len(open), err)
		}
		open = append(open, c)
	}
	for _, c := range open {
		checkEcho(t, c)
	}
}

// key makes a key pair for ssh-agent.
func key(t *testing.T, file string) {
	t.Helper()
	_, priv, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	block, err := ssh.MarshalPrivateKey(priv, "forwarded")
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(file, pem.EncodeToMemory(block), 0o600); err != nil {
		t.Fatal(err)
	}
}

func TestAgentForwarding(t *testing.T) {
	s := serve(t)
	dir := t.TempDir()
	sock := filepath.Join(dir, "agent")
	agent := exec.Command("ssh-agent", "-D", "-a", sock)
	if err := agent.Start(); err != nil {
		t.Skip(err)
	}
	defer func() {
		agent.Process.Kill()
		_ = agent.Wait() // killed
	}()
	key(t, filepath.Join(dir, "key"))
	t.Setenv("SSH_AUTH_SOCK", sock)
	eventually(t, "a key in the agent", func() bool { return exec.Command("ssh-add", "-q", filepath.Join(dir, "key")).Run() == nil })
	m := s.master("-A")
	run := func(command string) string {
		t.Helper()
		cmd := m.command("-A")
		cmd.Args = append(cmd.Args, command)
		out, err := cmd.CombinedOutput()
		if err != nil {
			t.Fatalf("%v: %s", err, out)
		}
		return strings.TrimSpace(string(out))
	}
	if out := run("ssh-add -l"); !strings.Contains(out, "forwarded") {
		t.Errorf("keys there: %s", out)
	}
	path := run("echo $SSH_AUTH_SOCK")
	if info, err := os.Stat(filepath.Dir(path)); err != nil || info.Mode().Perm() != 0o700 {
		t.Errorf("%s: %v", path, err)
	}
	if err := m.control("exit"); err != nil {
		t.Fatal(err)
	}
	eventually(t, "a socket that is gone", func() bool { _, err := os.Stat(filepath.Dir(path)); return err != nil })
	if out, _, _ := s.run("", "echo _$SSH_AUTH_SOCK"); out != "_\n" {
		t.Errorf("not asked for, and there is %s", out)
	}
}

// A client whose input has ended closes the channel once the output has: the exit
// status has to be there by then.
func TestTheExitStatusIsNeverLate(t *testing.T) {
	m := serve(t).master()
	for i := range 50 {
		cmd := m.command()
		cmd.Args = append(cmd.Args, "echo x; exit 7")
		if err := cmd.Run(); cmd.ProcessState.ExitCode() != 7 {
			t.Fatalf("time %d: %v", i, err)
		}
	}
}

func TestEnvironmentThatIsSent(t *testing.T) {
	s := serve(t)
	t.Setenv("LC_TEST", "sent")
	if out, _, _ := s.run("", "-o", "SendEnv=LC_TEST", "echo $LC_TEST"); out != "sent\n" {
		t.Errorf("got %q", out)
	}
}

// An editor starts its server through a shell's input, and leaves it running.
func TestAServerOutlivesItsSession(t *testing.T) {
	s := serve(t)
	began := time.Now()
	out, errs, code := s.run("(sleep 77; :) >log 2>&1 </dev/null &\necho pid $!\nexit 4\n", "-T", "sh -s")
	if code != 4 || !strings.HasPrefix(out, "pid ") {
		t.Fatalf("%q, %q, exit %d", out, errs, code)
	}
	if took := time.Since(began); took > 5*time.Second {
		t.Errorf("took %v", took)
	}
	pid, err := strconv.Atoi(strings.TrimSpace(strings.TrimPrefix(out, "pid ")))
	if err != nil {
		t.Fatal(err)
	}
	defer syscall.Kill(-pid, syscall.SIGKILL)
	defer syscall.Kill(pid, syscall.SIGKILL)
	if syscall.Kill(pid, 0) != nil {
		t.Error("the server went with its session")
	}
}

// What was told to stay when its client hangs up stays.
func TestNohupOutlivesAClientThatVanishes(t *testing.T) {
	s := serve(t)
	cmd := s.ssh("-T", "nohup sleep 77 >/dev/null 2>&1 & echo $!; trap '' HUP; sleep 78")
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	var pid int
	if _, err := fmt.Fscan(out, &pid); err != nil {
		t.Fatal(err)
	}
	defer syscall.Kill(pid, syscall.SIGKILL)
	eventually(t, "nohup's program", func() bool {
		name, err := os.ReadFile(fmt.Sprintf("/proc/%d/comm", pid))
		return err == nil && string(name) == "sleep\n"
	})
	pgid, err := syscall.Getpgid(pid)
	if err != nil {
		t.Fatal(err)
	}
	defer syscall.Kill(-pgid, syscall.SIGKILL)
	_ = cmd.Process.Kill()
	_ = cmd.Wait() // killed
	eventually(t, "the end of a shell that ignores the hang-up", func() bool { return syscall.Kill(pgid, 0) != nil })
	if syscall.Kill(pid, 0) != nil {
		t.Error("nohup's program went with its client")
	}
}

// A session ends with its program, whoever else holds its output, and all that the
// program has written arrives.
func TestNoOutputIsLostWhenAChildHoldsThePipe(t *testing.T) {
	s := serve(t)
	client := s.dial()
	defer client.Close()
	began := time.Now()
	const rounds, size = 50, 60_000
	for i := range rounds {
		session, err := client.NewSession()
		if err != nil {
			t.Fatal(err)
		}
		out, err := session.Output(fmt.Sprintf("sleep 9 & head -c %d /dev/zero", size))
		if err != nil || len(out) != size {
			t.Fatalf("round %d: %d of %d bytes, %v", i, len(out), size, err)
		}
		session.Close()
	}
	if took := time.Since(began); took > rounds*200*time.Millisecond {
		t.Errorf("%d rounds took %v", rounds, took)
	}
}

// A terminal that a child writes to a little at a time holds no session either.
func TestATerminalThatAChildDripsOnEndsItsSession(t *testing.T) {
	s := serve(t)
	began := time.Now()
	if _, errs, code := s.run("", "-tt", `(trap "" HUP; while echo drop; do sleep 0.01; done) & sleep 0.1`); code != 0 {
		t.Errorf("exit %d, %q", code, errs)
	}
	if took := time.Since(began); took > patience/2 {
		t.Errorf("it took %v", took)
	}
}

func TestATerminalThatAChildHoldsEndsItsSession(t *testing.T) {
	s := serve(t)
	began := time.Now()
	out, errs, code := s.run("", "-tt", "sleep 30 & echo last words; exit 6")
	if code != 6 || !strings.Contains(out, "last words") || time.Since(began) > 10*time.Second {
		t.Errorf("%q, %q, exit %d after %v", out, errs, code, time.Since(began))
	}
}

func TestGit(t *testing.T) {
	s := serve(t)
	git := func(args ...string) {
		t.Helper()
		cmd := exec.Command("git", args...)
		cmd.Env = append(os.Environ(), "GIT_SSH_COMMAND=ssh "+strings.Join(s.options(), " "), "GIT_CONFIG_GLOBAL=/dev/null",
			"GIT_AUTHOR_NAME=a", "GIT_AUTHOR_EMAIL=a@b", "GIT_COMMITTER_NAME=a", "GIT_COMMITTER_EMAIL=a@b")
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Fatalf("git %v: %v: %s", args, err, out)
		}
	}
	repo, clone := filepath.Join(s.home, "repo.git"), filepath.Join(t.TempDir(), "clone")
	git("init", "-q", "--bare", "-b", "main", repo)
	url := "ssh://127.0.0.1:" + s.port + repo
	git("clone", "-q", url, clone)
	if err := os.WriteFile(filepath.Join(clone, "file"), bytes.Repeat([]byte("x"), 1<<20), 0o600); err != nil {
		t.Fatal(err)
	}
	git("-C", clone, "add", "file")
	git("-C", clone, "commit", "-q", "-m", "one")
	git("-C", clone, "push", "-q", "origin", "HEAD:main")
	git("clone", "-q", url, clone+"2")
	if info, err := os.Stat(clone + "2/file"); err != nil || info.Size() != 1<<20 {
		t.Errorf("%v", err)
	}
}

func TestXIsForwarded(t *testing.T) {
	if _, err := exec.LookPath("xauth"); err != nil {
		t.Skip("no xauth on this machine")
	}
	s := serve(t)
	x, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer x.Close()
	number := x.Addr().(*net.TCPAddr).Port - x11Port
	if number < 0 {
		t.Skip("the port is no display's")
	}
	display := fmt.Sprintf("127.0.0.1:%d", number)
	const cookie = "00112233445566778899aabbccddeeff"
	t.Setenv("XAUTHORITY", filepath.Join(t.TempDir(), "xauthority"))
	t.Setenv("DISPLAY", display)
	if out, err := exec.Command("xauth", "add", display, "MIT-MAGIC-COOKIE-1", cookie).CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	got := make(chan string, 1)
	serveEach(x, func(c net.Conn) { // the X server
		setup := make([]byte, 12+20+16)
		if _, err := io.ReadFull(c, setup); err == nil && setup[0] == 'l' {
			got <- fmt.Sprintf("%x", setup[32:])
			io.WriteString(c, "welcome")
		}
	})
	// The X client: what is in the display's name, and a set-up request with the
	// cookie that xauth has for it.
	const client = `set -e; d=${DISPLAY#localhost:}; n=${d%.*}
c=$(xauth list "$DISPLAY" | awk '{print $3}'); test -n "$c"
exec 3<>/dev/tcp/127.0.0.1/$((6000+n))
printf 'l\0\13\0\0\0\22\0\20\0\0\0MIT-MAGIC-COOKIE-1\0\0' >&3
printf "$(echo "$c" | sed 's/../\\x&/g')" >&3
cat <&3`
	out, err := s.ssh("-Y", "bash -c '"+strings.ReplaceAll(client, "'", `'\''`)+"'").CombinedOutput()
	if err != nil || !strings.HasSuffix(string(out), "welcome") {
		t.Fatalf("%v: %s", err, out)
	}
	if c := <-got; c != cookie {
		t.Errorf("the X server was shown %s, want its own cookie", c)
	}
	list, err := exec.Command("xauth", "-f", filepath.Join(s.home, ".Xauthority"), "list").Output()
	if err != nil || !strings.Contains(string(list), "MIT-MAGIC-COOKIE-1") || strings.Contains(string(list), cookie) {
		t.Errorf("the workspace knows %s, %v; want a cookie that is good for nothing else", list, err)
	}
}

func TestForbiddenByPolicy(t *testing.T) {
	s := serveWith(t, Config{Policy: Policy{NoFileTransfer: true, NoForwarding: true}})
	src := filepath.Join(t.TempDir(), "src")
	if err := os.WriteFile(src, []byte("secret"), 0o600); err != nil {
		t.Fatal(err)
	}
	there := filepath.Join(s.home, "there")
	shell := "ssh " + strings.Join(s.options("-p", s.port), " ")
	for name, cmd := range map[string]*exec.Cmd{
		"scp":      exec.Command("scp", s.options("-P", s.port, src, "127.0.0.1:there")...),
		"scp -O":   exec.Command("scp", s.options("-O", "-P", s.port, src, "127.0.0.1:there")...),
		"scp back": exec.Command("scp", s.options("-O", "-P", s.port, "127.0.0.1:"+src, src+"2")...),
		"sftp":     exec.Command("sftp", s.options("-b", "/dev/null", "-P", s.port, "127.0.0.1")...),
		"rsync":    exec.Command("rsync", "-e", shell, src, "127.0.0.1:there"),
	} {
		if out, err := cmd.CombinedOutput(); err == nil {
			t.Errorf("%s went through: %s", name, out)
		}
	}
	for _, f := range []string{there, src + "2"} {
		if _, err := os.Stat(f); err == nil {
			t.Errorf("%s is there", f)
		}
	}

	l := echoServer(t, "tcp", "127.0.0.1:0")
	client := s.dial()
	defer client.Close()
	if c, err := client.Dial("tcp", l.Addr().String()); err == nil {
		c.Close()
		t.Error("-L is open")
	}
	sock := echoServer(t, "unix", filepath.Join(t.TempDir(), "echo"))
	if c, err := client.Dial("unix", sock.Addr().String()); err == nil {
		c.Close()
		t.Error("-L to a socket is open")
	}
	if l, err := client.Listen("tcp", "127.0.0.1:0"); err == nil {
		l.Close()
		t.Error("-R is open")
	}
	if l, err := client.ListenUnix(filepath.Join(s.home, "sock")); err == nil {
		l.Close()
		t.Error("-R of a socket is open")
	}
	if out, _, code := s.run("", "-A", "echo works"); out != "works\n" || code != 0 {
		t.Errorf("a shell: %q, exit %d", out, code)
	}
}

func TestWhatIsAFileTransfer(t *testing.T) {
	for command, want := range map[string]bool{
		"scp -t /tmp": true, "scp -r -p -f x": true, "/usr/bin/scp -v -t .": true, `"scp" -t x`: true, "LC_ALL=C scp -pt x": true, "exec scp -f x": true,
		"rsync --server -vlogDtpre.iLsfxC . x": true, "/usr/lib/openssh/sftp-server": true,
		"": false, "scp a b:c": false, "rsync a b:c": false, "echo scp -t": false, "A=b": false,
	} {
		if got := transfers(command); got != want {
			t.Errorf("%q: %v, want %v", command, got, want)
		}
	}
}

func TestEnvironmentOfALogin(t *testing.T) {
	file := filepath.Join(t.TempDir(), "environment")
	if err := os.WriteFile(file, []byte("# comment\nLOGIN_ONLY=\"two words\"\nexport OTHER='x'\nPATH=/added:/usr/bin\nHAVE=late\nno such line\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	s := serveWith(t, Config{EnvFile: file})
	out, _, _ := s.run("", "echo $LOGIN_ONLY $OTHER; echo $PATH")
	if want := "two words x\n" + joinPaths(os.Getenv("PATH"), "/added:/usr/bin") + "\n"; out != want {
		t.Errorf("got %q, want %q", out, want)
	}
	env := withLogin([]string{"PATH=/go/bin:/usr/bin", "HAVE=early"}, readEnvFile(bufio.NewReader(strings.NewReader("PATH=/usr/bin:/snap/bin\nHAVE=late\n"))))
	if got, want := strings.Join(env, " "), "PATH=/go/bin:/usr/bin:/snap/bin HAVE=early"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}
