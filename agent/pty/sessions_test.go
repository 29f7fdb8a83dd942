package pty

import (
	"bytes"
	"errors"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const patience = 30 * time.Second

var normal = Size{Columns: 80, Rows: 24}

// lab is sessions that a test has.
type lab struct {
	*Sessions
	t   *testing.T
	dir string
}

func newLab(t *testing.T, own bool) *lab {
	l := &lab{&Sessions{Own: own}, t, t.TempDir()}
	t.Cleanup(l.Close)
	return l
}

// shell is a program for a session.
func (l *lab) shell(command string) *exec.Cmd {
	cmd := exec.Command("/bin/sh")
	if command != "" {
		cmd.Args = append(cmd.Args, "-c", command)
	}
	cmd.Env = []string{"PATH=" + os.Getenv("PATH"), "PS1=$ ", "HOME=" + l.dir, "TERM=xterm", "SHELL=/bin/sh", "TMUX_TMPDIR=" + l.dir, "TMPDIR=" + l.dir}
	cmd.Dir = l.dir
	return cmd
}

// screenOf is a viewer and what it has seen.
type screenOf struct {
	Viewer
	t    *testing.T
	mu   sync.Mutex
	seen bytes.Buffer
	over chan error // what Read ended with
}

// watch attaches a viewer that reads all it gets.
func (l *lab) watch(name string, size Size, command string) *screenOf {
	l.t.Helper()
	v, err := l.Attach(name, size, l.shell(command), command)
	if err != nil {
		l.t.Fatal(err)
	}
	s := &screenOf{Viewer: v, t: l.t, over: make(chan error, 1)}
	l.t.Cleanup(func() { v.Close() })
	go func() {
		_, err := io.Copy(s, io.Reader(onlyReader{v}))
		s.over <- err
	}()
	return s
}

type onlyReader struct{ io.Reader }

func (s *screenOf) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.seen.Write(p)
}

func (s *screenOf) text() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.seen.String()
}

func (s *screenOf) shows(what string) {
	s.t.Helper()
	eventually(s.t, what, func() bool { return strings.Contains(s.text(), what) })
}

func (s *screenOf) types(what string) {
	s.t.Helper()
	if _, err := s.Viewer.Write([]byte(what)); err != nil {
		s.t.Fatal(err)
	}
}

func eventually(t *testing.T, what string, is func() bool) {
	t.Helper()
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for deadline := time.Now().Add(patience); !is(); <-tick.C {
		if time.Now().After(deadline) {
			t.Fatalf("%q: not within %v", what, patience)
		}
	}
}

func TestASessionOutlivesItsViewers(t *testing.T) {
	l := newLab(t, true)
	first := l.watch("work", normal, "")
	first.types("X=kept; echo said-$((40+2))\n")
	first.shows("said-42")
	first.Close()
	if err := <-first.over; err == nil {
		t.Error("a viewer that left reads on")
	}
	eventually(t, "nobody looks", func() bool { i := l.List(); return len(i) == 1 && i[0].Viewers == 0 })

	second := l.watch("work", normal, "not run: the session is there")
	second.shows("said-42") // what was shown before
	second.types("echo $X-still; exit 3\n")
	second.shows("kept-still")
	if err := <-second.over; err != nil {
		t.Errorf("at the program's end Read says %v", err)
	}
	var exit *exec.ExitError
	if err := second.Wait(); !errors.As(err, &exit) || exit.ExitCode() != 3 {
		t.Errorf("it ended with %v", err)
	}
	eventually(t, "no session", func() bool { return len(l.List()) == 0 })
}

func TestSeveralViewersSeeTheSameAndTheSmallestCounts(t *testing.T) {
	l := newLab(t, true)
	wide := l.watch("s", Size{Columns: 200, Rows: 20}, "")
	high := l.watch("s", Size{Columns: 100, Rows: 50}, "")
	none := l.watch("s", Size{}, "")
	high.types("echo; stty size\n")
	for _, v := range []*screenOf{wide, high, none} {
		v.shows("20 100")
	}
	if err := wide.Resize(Size{Columns: 60, Rows: 30}); err != nil {
		t.Fatal(err)
	}
	high.types("echo; stty size\n")
	wide.shows("30 60")
	wide.Close()
	high.types("echo; stty size\n")
	high.shows("50 100")
}

// A viewer that reads nothing holds up neither the session nor others, costs no
// memory, and is told that it has missed something.
func TestAStuckViewer(t *testing.T) {
	l := newLab(t, true)
	const size = 64 << 20
	v, err := l.Attach("s", normal, l.shell("stty raw -echo; printf ready; read x; head -c 67108864 /dev/zero | tr '\\0' 'y'; echo finished; exec cat"), "")
	if err != nil {
		t.Fatal(err)
	}
	defer v.Close()
	if _, err := io.ReadFull(v, make([]byte, len("ready"))); err != nil {
		t.Fatal(err)
	}
	before := heap()
	began := time.Now()
	if _, err := v.Write([]byte("\n")); err != nil {
		t.Fatal(err)
	}
	l.mu.Lock()
	k := l.kept["s"]
	l.mu.Unlock()
	most := before
	eventually(t, "all of the output", func() bool {
		most = max(most, heap())
		k.mu.Lock()
		defer k.mu.Unlock()
		return k.end() >= size
	})
	t.Logf("64 MiB in %v, %d KiB more than before", time.Since(began).Round(time.Millisecond), (most-before)>>10)
	if most-before > 8<<20 {
		t.Errorf("%d MiB more than before", (most-before)>>20)
	}
	late := l.watch("s", normal, "")
	late.shows("finished")
	buf := make([]byte, 4<<20)
	n, err := v.Read(buf)
	if err != nil || string(buf[:n]) != skipped {
		t.Errorf("what has missed most of it reads %.100q, %v", buf[:n], err)
	}
	n, err = v.Read(buf)
	if err != nil || !bytes.HasSuffix(buf[:n], []byte("finished\n")) {
		t.Errorf("and then %d bytes, %v", n, err)
	}
}

func heap() int64 {
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int64(m.HeapInuse + m.StackInuse)
}

// Who reads slower than the program writes, but reads, misses nothing.
func TestASlowViewerMissesNothing(t *testing.T) {
	l := newLab(t, true)
	v, err := l.Attach("s", normal, l.shell("stty raw -echo; printf ready; read x; head -c 8388608 /dev/zero"), "")
	if err != nil {
		t.Fatal(err)
	}
	defer v.Close()
	if _, err := io.ReadFull(v, make([]byte, len("ready"))); err != nil {
		t.Fatal(err)
	}
	if _, err := v.Write([]byte("\n")); err != nil {
		t.Fatal(err)
	}
	total := 0
	buf := make([]byte, 64<<10)
	tick := time.NewTicker(5 * time.Millisecond) // 12 MiB a second
	defer tick.Stop()
	for {
		n, err := v.Read(buf)
		total += n
		if err == io.EOF {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		<-tick.C
	}
	if want := 8388608; total != want {
		t.Errorf("read %d bytes, want %d", total, want)
	}
}

// Who comes while an editor is open sees it drawn anew, and not what it has drawn
// long ago.
func TestAnEditorIsDrawnAnew(t *testing.T) {
	l := newLab(t, true)
	first := l.watch("s", normal, `trap 'printf "drawn %s" "$(stty size)"' WINCH; printf 'old line\n\033[?1049hediting'; while :; do sleep 0.02; done`)
	first.shows("editing")
	second := l.watch("s", normal, "")
	second.shows("drawn 24 80")
	if got := second.text(); !strings.HasPrefix(got, enterFull) || strings.Contains(got, "old line") {
		t.Errorf("it sees %q", got)
	}
}

func TestWhatIsLeftOfALongOutputBeginsWithALine(t *testing.T) {
	l := newLab(t, true)
	first := l.watch("s", normal, "seq 1 300000; echo finished; exec cat")
	first.shows("finished")
	late := l.watch("s", normal, "")
	late.shows("finished")
	got := late.text()
	line, _, _ := strings.Cut(got, "\r\n")
	if len(got) > scrollback || len(line) != 6 {
		t.Errorf("%d bytes, of which the first line is %q", len(got), line)
	}
}

func TestSessionsEnd(t *testing.T) {
	l := newLab(t, true)
	v := l.watch("one", normal, "trap '' HUP; sleep 60 & exec sleep 61")
	l.watch("two", normal, "")
	if list := l.List(); len(list) != 2 || list[0].Name != "one" || list[0].Kept != "agent" || list[1].Viewers != 1 {
		t.Errorf("%+v", list)
	}
	if err := l.Kill("none"); !errors.Is(err, ErrNone) {
		t.Errorf("killing what is not there: %v", err)
	}
	if err := l.Kill("one"); err != nil {
		t.Fatal(err)
	}
	if err := <-v.over; err != nil {
		t.Errorf("a viewer of what was killed: %v", err)
	}
	l.Close()
	if _, err := l.Attach("three", normal, l.shell(""), ""); !errors.Is(err, ErrClosed) {
		t.Errorf("attached after Close: %v", err)
	}
	for _, name := range []string{"", "a b", "../x", "-x", "a:b", strings.Repeat("x", 65)} {
		if _, err := l.Attach(name, normal, l.shell(""), ""); !errors.Is(err, ErrName) {
			t.Errorf("name %q: %v", name, err)
		}
	}
}

func TestThereIsABoundToSessions(t *testing.T) {
	l := newLab(t, true)
	for i := range maxSessions {
		l.watch("s"+string(rune('A'+i/26))+string(rune('A'+i%26)), normal, "exec sleep 60")
	}
	if _, err := l.Attach("more", normal, l.shell(""), ""); !errors.Is(err, ErrTooMany) {
		t.Errorf("one too many: %v", err)
	}
}

// What tmux and screen keep outlives this process, too.
func TestAMultiplexerKeepsSessions(t *testing.T) {
	for _, program := range []string{"tmux", "screen"} {
		t.Run(program, func(t *testing.T) {
			path, err := exec.LookPath(program)
			if err != nil {
				t.Skip(err)
			}
			bin := t.TempDir()
			for _, name := range []string{path, "/bin/sh", "/usr/bin/stty"} {
				if err := os.Symlink(name, filepath.Join(bin, filepath.Base(name))); err != nil {
					t.Fatal(err)
				}
			}
			dir := t.TempDir()
			t.Setenv("PATH", bin)
			t.Setenv("TMUX_TMPDIR", dir)
			t.Setenv("SCREENDIR", filepath.Join(dir, "screens"))
			if err := os.Mkdir(filepath.Join(dir, "screens"), 0o700); err != nil {
				t.Fatal(err)
			}
			l := newLab(t, false)
			l.dir = dir
			attach := func(size Size) *screenOf {
				cmd := l.shell("")
				cmd.Env = append(cmd.Env, "SCREENDIR="+filepath.Join(dir, "screens"), "LC_ALL=C.UTF-8")
				v, err := l.Attach("work", size, cmd, "")
				if err != nil {
					t.Fatal(err)
				}
				s := &screenOf{Viewer: v, t: t, over: make(chan error, 1)}
				t.Cleanup(func() { v.Close() })
				go func() {
					_, err := io.Copy(s, onlyReader{v})
					s.over <- err
				}()
				return s
			}
			first := attach(normal)
			eventually(t, "a session", func() bool { return len(l.List()) == 1 })
			defer func() { _ = l.Kill("work") }()
			first.types("X=kept; echo said-$((40+2))\n")
			first.shows("said-42")
			first.Close()
			eventually(t, "nobody looks", func() bool { i := l.List(); return len(i) == 1 && i[0].Viewers == 0 })
			second := attach(normal)
			second.shows("said-42")
			second.types("echo $X-still\n")
			second.shows("kept-still")
			if i := l.List(); i[0].Name != "work" || i[0].Kept != program || i[0].Viewers != 1 {
				t.Errorf("%+v", i)
			}
			if err := l.Kill("work"); err != nil {
				t.Fatal(err)
			}
			<-second.over
			eventually(t, "no session", func() bool { return len(l.List()) == 0 })
			if err := l.Kill("work"); !errors.Is(err, ErrNone) {
				t.Errorf("killed twice: %v", err)
			}
		})
	}
}
