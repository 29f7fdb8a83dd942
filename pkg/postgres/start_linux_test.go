package postgres

import (
	"bufio"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

func start(t *testing.T, dir string) *Server {
	t.Helper()
	s, err := Start(testContext(t), Config{Dir: dir})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	return s
}

// The process that runs a server is killed: its Postgres goes with it, and the
// next start finds the data as they were.
func TestKilledOwnerLeavesNothingInTheWay(t *testing.T) {
	dir := dataDir(t)
	victim := exec.CommandContext(testContext(t), os.Args[0])
	victim.Env = append(os.Environ(), victimDir+"="+dir)
	out, err := victim.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := victim.Start(); err != nil {
		t.Fatal(err)
	}
	line, _ := bufio.NewReader(out).ReadString('\n')
	if strings.TrimSpace(line) != victimReady {
		t.Fatalf("the other process says %q", line)
	}
	if _, err := Start(testContext(t), Config{Dir: dir}); !errors.Is(err, ErrInUse) {
		t.Errorf("second server on a directory in use: %v, want ErrInUse", err)
	}
	if err := victim.Process.Signal(syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	_ = victim.Wait() // it was killed

	s := start(t, dir)
	if got := query(t, s, "select 1::text"); got != "1" {
		t.Errorf("answered %q", got)
	}
}

// initdb was interrupted: it writes PG_VERSION first and much more after.
func TestUnfinishedClusterIsMadeAgain(t *testing.T) {
	dir := dataDir(t)
	half := filepath.Join(dir, "postgres.new")
	if err := os.Mkdir(half, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(half, "PG_VERSION"), []byte("15\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	start(t, dir)
}

func TestLongDirectoryGetsAShortSocket(t *testing.T) {
	dir := filepath.Join(dataDir(t), strings.Repeat("long", 30))
	if err := os.Mkdir(dir, 0o711); err != nil {
		t.Fatal(err)
	}
	s := start(t, dir)
	if n := len(filepath.Join(s.sockets, socketName)); n > socketPathMax {
		t.Errorf("socket path of %d bytes", n)
	}
	query(t, s, "select 1::text")
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(s.sockets); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("%s stays behind: %v", s.sockets, err)
	}
}

func TestSocketDirectoryOfSomebodyElseIsRefused(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("needs root, to be somebody else")
	}
	dir := t.TempDir()
	if err := os.Chown(dir, 4242, 4242); err != nil {
		t.Fatal(err)
	}
	s := &Server{owner: &syscall.Credential{Uid: 1, Gid: 1}}
	if err := s.makeSocketDir(dir); err == nil {
		t.Error("taken over")
	}
	link := filepath.Join(t.TempDir(), "link")
	if err := os.Symlink("/", link); err != nil {
		t.Fatal(err)
	}
	if err := s.makeSocketDir(link); err == nil {
		t.Error("a symbolic link was followed")
	}
}

// As root below a directory that nobody else may enter, the cluster lives
// elsewhere, and is found there again.
func TestClosedDirectory(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("needs root, who runs Postgres as somebody else")
	}
	dir := filepath.Join(dataDir(t), "closed")
	if err := os.Mkdir(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	first := start(t, dir)
	t.Cleanup(func() { os.RemoveAll(first.data) })
	if strings.HasPrefix(first.data, dir) {
		t.Fatalf("cluster in %s, which the user that runs Postgres may not enter", first.data)
	}
	if err := first.Close(); err != nil {
		t.Fatal(err)
	}
	if again := start(t, dir); again.data != first.data {
		t.Errorf("cluster moved from %s to %s", first.data, again.data)
	}
}

func TestMissingDirectoryIsNamed(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "none")
	if _, err := Start(testContext(t), Config{Dir: dir}); err == nil || !strings.Contains(err.Error(), dir) {
		t.Errorf("got %v, want an error that names %s", err, dir)
	}
}

func TestClusterOfUnreadableVersionIsRefused(t *testing.T) {
	dir := dataDir(t)
	if err := os.Mkdir(filepath.Join(dir, "postgres"), 0o700); err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(dir, "postgres", "PG_VERSION")
	if err := os.WriteFile(file, []byte("9.6\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := Start(testContext(t), Config{Dir: dir}); err == nil {
		t.Error("started on a cluster of another version")
	}
}

func TestPassableWhateverTheUmask(t *testing.T) {
	old := syscall.Umask(0o077)
	defer syscall.Umask(old)
	dir := filepath.Join(t.TempDir(), "outside")
	if err := makePassable(dir); err != nil {
		t.Fatal(err)
	}
	if info, err := os.Stat(dir); err != nil || info.Mode().Perm() != 0o711 {
		t.Errorf("mode %v, %v, want 0711", info.Mode().Perm(), err)
	}
}
