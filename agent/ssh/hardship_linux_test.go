package ssh

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/crypto/ssh"
	"golang.org/x/sys/unix"
)

// hardship is set in the process in which a test goes on that wants another machine
// than this is.
const hardship = "TEST_HARDSHIP"

// elsewhere has the test go on in a process of its own, with what attr gives it, and
// reports whether this is that process.
func elsewhere(t *testing.T, attr *syscall.SysProcAttr, env ...string) bool {
	t.Helper()
	if os.Getenv(hardship) != "" {
		return true
	}
	if os.Geteuid() != 0 {
		t.Skip("needs root, to make a machine worse")
	}
	// By this name, for another user may not look where the program is.
	cmd := exec.Command("/proc/self/exe", "-test.run=^"+t.Name()+"$", "-test.v")
	cmd.Env = append(append(os.Environ(), env...), hardship+"=1")
	cmd.SysProcAttr = attr
	if out, err := cmd.CombinedOutput(); err != nil || !strings.Contains(string(out), "--- PASS") {
		t.Errorf("%v\n%s", err, out)
	}
	return false
}

// ownMounts are mounts that nobody else sees.
func ownMounts() *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWNS, Unshareflags: syscall.CLONE_NEWNS}
}

// mount mounts an empty file system of a size, in these mounts alone.
func mount(t *testing.T, dir, options string) {
	t.Helper()
	if err := errors.Join(unix.Mount("", "/", "", unix.MS_PRIVATE|unix.MS_REC, ""), unix.Mount("none", dir, "tmpfs", 0, options)); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := unix.Unmount(dir, unix.MNT_DETACH); err != nil {
			t.Error(err)
		}
	})
}

// Where there are no terminals, commands run without, and who needs one is told.
func TestWithoutTerminals(t *testing.T) {
	if !elsewhere(t, ownMounts()) {
		return
	}
	mount(t, "/dev/pts", "")
	s := serve(t)
	if _, errs, code := s.run("", "-tt", "true"); code == 0 || !strings.Contains(errs, "PTY allocation request failed") {
		t.Errorf("a terminal: %q, %d", errs, code)
	}
	client := s.dial()
	defer client.Close()
	for name, want := range map[string]string{"": "still here\n", "work": ""} {
		session, err := client.NewSession()
		if err != nil {
			t.Fatal(err)
		}
		var errs bytes.Buffer
		session.Stderr = &errs
		if err := session.RequestPty("xterm", 24, 80, nil); err == nil {
			t.Error("there is a terminal")
		}
		if name != "" {
			if err := session.Setenv(terminalName, name); err != nil {
				t.Fatal(err)
			}
		}
		out, err := session.Output("echo still here")
		if string(out) != want || (err == nil) != (want != "") || err != nil && !strings.Contains(errs.String(), "needs a terminal") {
			t.Errorf("session %q: %q, %q, %v", name, out, &errs, err)
		}
	}
	if out, _, code := s.run("", "echo after"); out != "after\n" || code != 0 {
		t.Errorf("after: %q, %d", out, code)
	}
}

func TestAHomeThatCannotBeWrittenTo(t *testing.T) {
	if !elsewhere(t, ownMounts()) {
		return
	}
	s := serve(t)
	mount(t, s.home, "")
	if err := os.WriteFile(filepath.Join(s.home, "read"), []byte("read"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := unix.Mount("", s.home, "", unix.MS_REMOUNT|unix.MS_RDONLY, ""); err != nil {
		t.Fatal(err)
	}
	if out, errs, code := s.run("", "cat read; touch write"); out != "read" || code == 0 || !strings.Contains(errs, "Read-only") {
		t.Errorf("%q, %q, %d", out, errs, code)
	}
	local := filepath.Join(t.TempDir(), "local")
	if out, err := s.sftp("get read " + local + "\n"); err != nil {
		t.Errorf("%v: %s", err, out)
	}
	if out, err := s.sftp("put " + local + " write\n"); err == nil || !strings.Contains(out, "write") {
		t.Errorf("written: %s", out)
	}
	if out, errs, code := s.run("", "-tt", "tty"); code != 0 || !strings.Contains(out, "/dev/pts/") {
		t.Errorf("a terminal: %q, %q, %d", out, errs, code)
	}
}

// A disk that is full keeps nobody out, and what does not fit is an error.
func TestAFullDisk(t *testing.T) {
	if !elsewhere(t, ownMounts()) {
		return
	}
	s := serve(t)
	tmp, local := t.TempDir(), filepath.Join(t.TempDir(), "local")
	if err := os.WriteFile(local, bytes.Repeat([]byte("x"), 1<<20), 0o600); err != nil {
		t.Fatal(err)
	}
	mount(t, s.home, "size=64k")
	mount(t, tmp, "size=4k,nr_inodes=1")
	t.Setenv("TMPDIR", tmp)
	if out, err := s.sftp("put " + local + " large\n"); err == nil || !strings.Contains(out, "large") && !strings.Contains(out, "ailure") {
		t.Errorf("what does not fit was taken: %s", out)
	}
	if out, errs, code := s.run("", "echo more > more; df . | tail -1"); !strings.Contains(out, "100%") {
		t.Errorf("%q, %q, %d", out, errs, code)
	}
	// No socket can be made for the client's agent, and the session goes on without.
	client := s.dial()
	defer client.Close()
	session, err := client.NewSession()
	if err != nil {
		t.Fatal(err)
	}
	if ok, err := session.SendRequest("auth-agent-req@openssh.com", true, nil); err != nil || ok {
		t.Errorf("an agent was forwarded on a full disk: %v", err)
	}
	if out, err := session.Output("echo ${SSH_AUTH_SOCK:-none}"); err != nil || string(out) != "none\n" {
		t.Errorf("%q, %v", out, err)
	}
	if err := os.Truncate(local, 0); err != nil {
		t.Fatal(err)
	}
	if out, err := s.sftp("rm large\nput " + local + " small\n"); err != nil {
		t.Errorf("once there is room: %v: %s", err, out)
	}
}

// A user that the system does not know, as in many containers, has a shell and a home
// all the same.
func TestAUserWithoutAPasswdEntry(t *testing.T) {
	if !elsewhere(t, &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: 54321, Gid: 54321}}, "HOME=/no/such/home", "SHELL=", "USER=", "TMPDIR=/tmp") {
		return
	}
	a := CurrentAccount()
	if a != (Account{Name: "54321", Home: "/", Shell: "/bin/sh"}) {
		t.Errorf("the account is %+v", a)
	}
	s := serve(t)
	s.server.cfg.Account, s.server.cfg.FileServer = a, []string{"/proc/self/exe", serveFiles}
	client, err := ssh.Dial("tcp", "127.0.0.1:"+s.port, &ssh.ClientConfig{HostKeyCallback: ssh.InsecureIgnoreHostKey()}) // OpenSSH itself wants an entry
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	for command, want := range map[string]string{"id -u; pwd; echo $USER $HOME $SHELL": "54321\n/\n54321 / /bin/sh\n", "exit 0": ""} {
		session, err := client.NewSession()
		if err != nil {
			t.Fatal(err)
		}
		if out, err := session.Output(command); err != nil || string(out) != want {
			t.Errorf("%s: %q, %v", command, out, err)
		}
	}
}

// A directory is read in parts: of a hundred thousand files the agent remembers none,
// and what serves them little.
func TestADirectoryOfAHundredThousandFiles(t *testing.T) {
	const files, most = 100_000, 48 << 20
	s := serve(t)
	s.server.cfg.FileServer = []string{withoutRaceDetector(t), serveFiles}
	dir := filepath.Join(s.home, "many")
	if err := os.Mkdir(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	for i := range files {
		if err := os.WriteFile(filepath.Join(dir, strconv.Itoa(i)), nil, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	listed, seen := filepath.Join(t.TempDir(), "listed"), filepath.Join(t.TempDir(), "seen")
	done := make(chan error, 1)
	var out string
	go func() {
		var err error
		out, err = s.sftp(fmt.Sprintf("ls -1f many\n!touch %s; while [ ! -e %s ]; do sleep 0.05; done\n", listed, seen))
		done <- err
	}()
	eventually(t, "the listing", func() bool { _, err := os.Stat(listed); return err == nil })
	peak := peakOf(t, serveFiles)
	if err := os.WriteFile(seen, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	if n := strings.Count(out, "many/"); n != files {
		t.Errorf("%d files were listed", n)
	}
	t.Logf("what served %d files had %d KiB at most", files, peak>>10)
	if peak > most {
		t.Errorf("what served %d files had %d MiB", files, peak>>20)
	}
}

// withoutRaceDetector is this program built without it, for it takes two thirds of the
// memory, and at times more.
func withoutRaceDetector(t *testing.T) string {
	t.Helper()
	program := filepath.Join(t.TempDir(), "plain.test")
	build := exec.Command("go", "test", "-c", "-race=false", "-o", program, ".")
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("go test -c: %v\n%s", err, out)
	}
	return program
}

// peakOf is the most memory that a child of this process has had that was started with
// an argument.
func peakOf(t *testing.T, argument string) int {
	t.Helper()
	list, err := filepath.Glob("/proc/[0-9]*/cmdline")
	if err != nil {
		t.Fatal(err)
	}
	for _, file := range list {
		line, err := os.ReadFile(file)
		if err != nil || !strings.HasSuffix(string(line), "\x00"+argument+"\x00") {
			continue
		}
		status, err := os.ReadFile(filepath.Join(filepath.Dir(file), "status"))
		if err != nil || !strings.Contains(string(status), fmt.Sprintf("PPid:\t%d\n", os.Getpid())) {
			continue
		}
		_, rest, _ := strings.Cut(string(status), "VmHWM:")
		kib, err := strconv.Atoi(strings.Fields(rest)[0])
		if err != nil {
			t.Fatal(err)
		}
		return kib << 10
	}
	t.Fatal("nothing serves files")
	return 0
}
