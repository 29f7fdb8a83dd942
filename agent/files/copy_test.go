package files

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/pkg/sftp"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// remote is a real SFTP server at the other end of a pipe, in a directory.
func remote(t *testing.T, dir string) Remote {
	t.Helper()
	here, there := net.Pipe()
	t.Chdir(dir) // and not by an option, which changes where links lead
	server, err := sftp.NewServer(there)
	if err != nil {
		t.Fatal(err)
	}
	var wg sync.WaitGroup
	wg.Go(func() { _ = server.Serve(); there.Close() })
	r, err := NewRemote(here, here)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { r.Close(); here.Close(); wg.Wait() })
	return r
}

// describe says what is in a directory, but for times of links.
func describe(t *testing.T, dir string) string {
	t.Helper()
	var b strings.Builder
	err := filepath.WalkDir(dir, func(path string, e fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		info, err := e.Info()
		if err != nil {
			return err
		}
		rel, _ := filepath.Rel(dir, path)
		fmt.Fprint(&b, rel, " ", info.Mode())
		switch {
		case info.Mode()&fs.ModeSymlink != 0:
			target, _ := os.Readlink(path)
			fmt.Fprint(&b, " ", target)
		case info.Mode().IsRegular():
			text, err := os.ReadFile(path)
			if err != nil {
				return err
			}
			fmt.Fprintf(&b, " %s %x", info.ModTime().Truncate(time.Second).UTC(), text)
		default:
			fmt.Fprint(&b, " ", info.ModTime().Truncate(time.Second).UTC())
		}
		b.WriteString("\n")
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return b.String()
}

// plant makes a directory with all kinds of things in it.
func plant(t *testing.T) string {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "src")
	old := time.Date(2001, 2, 3, 4, 5, 6, 0, time.UTC)
	big := make([]byte, 3<<20+17)
	rand.Read(big)
	for name, text := range map[string][]byte{"a": []byte("x"), "empty": nil, "sub/deep/big": big, "sub/with space": []byte("y"), "sub/ünï": []byte("z"), "run": []byte("#!")} {
		path := filepath.Join(dir, name)
		if err := errors.Join(os.MkdirAll(filepath.Dir(path), 0o755), os.WriteFile(path, text, 0o640), os.Chtimes(path, old, old)); err != nil {
			t.Fatal(err)
		}
	}
	if err := errors.Join(os.Chmod(filepath.Join(dir, "run"), 0o755), os.Chmod(filepath.Join(dir, "a"), 0o400), os.Symlink("a", filepath.Join(dir, "link")),
		os.Symlink("/nowhere", filepath.Join(dir, "sub/dangling")), os.Mkdir(filepath.Join(dir, "none"), 0o700),
		os.Chmod(filepath.Join(dir, "sub"), 0o750), os.Chtimes(filepath.Join(dir, "sub"), old, old), os.Chtimes(dir, old, old)); err != nil {
		t.Fatal(err)
	}
	return dir
}

func TestDirectoriesArriveAsTheyAre(t *testing.T) {
	src := plant(t)
	want := describe(t, src)
	home := t.TempDir()
	r := remote(t, home)
	up := &Copy{From: Local{}, To: r}
	if err := up.Run(t.Context(), src, "copy"); err != nil {
		t.Fatal(err)
	}
	if got := describe(t, filepath.Join(home, "copy")); got != want {
		t.Errorf("got\n%.2000s\nwant\n%.2000s", got, want)
	}
	back := filepath.Join(t.TempDir(), "back")
	down := &Copy{From: r, To: Local{}}
	for range 2 { // over itself, too
		if err := down.Run(t.Context(), "copy", back); err != nil {
			t.Fatal(err)
		}
		if got := describe(t, back); got != want {
			t.Errorf("got\n%.2000s\nwant\n%.2000s", got, want)
		}
	}
	if n, bytes, resumed := up.Done(); n != 8 || bytes < 3<<20 || resumed != 0 {
		t.Errorf("%d files, %d bytes, %d resumed", n, bytes, resumed)
	}
}

// What is neither is left out, and a link at the top is what it leads to.
func TestWhatIsLeftOut(t *testing.T) {
	dir := t.TempDir()
	src := filepath.Join(dir, "src")
	if err := errors.Join(os.Mkdir(src, 0o700), syscall.Mkfifo(filepath.Join(src, "pipe"), 0o600), os.WriteFile(filepath.Join(src, "f"), nil, 0o600), os.Symlink("src", filepath.Join(dir, "way"))); err != nil {
		t.Fatal(err)
	}
	var left []string
	c := &Copy{From: Local{}, To: remote(t, dir), Skipped: func(name, why string) { left = append(left, name) }}
	if err := c.Run(t.Context(), filepath.Join(dir, "way"), "dst"); err != nil {
		t.Fatal(err)
	}
	if len(left) != 1 || filepath.Base(left[0]) != "pipe" {
		t.Errorf("left out %q", left)
	}
	if info, err := os.Lstat(filepath.Join(dir, "dst")); err != nil || !info.IsDir() {
		t.Errorf("%v, %v", info, err)
	}
	if err := c.Run(t.Context(), filepath.Join(dir, "none"), "x"); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("what is not there: %v", err)
	}
}

// cut is a tree whose writes break off after some bytes.
type cut struct {
	Tree
	after int64
}

var errCut = errors.New("the line is cut")

func (c cut) Write(name string, offset int64, r io.Reader) error {
	return c.Tree.Write(name, offset, &failing{r, c.after})
}

type failing struct {
	r    io.Reader
	left int64
}

func (f *failing) Read(p []byte) (int, error) {
	if f.left <= 0 {
		return 0, errCut
	}
	n, err := f.r.Read(p[:min(int64(len(p)), f.left)])
	f.left -= int64(n)
	return n, err
}

// A copy that broke off goes on where it was if its source is what it was, and from
// the beginning if it is not. Until it is whole nobody sees anything of it.
func TestACopyThatBrokeOffGoesOn(t *testing.T) {
	home, dir := t.TempDir(), t.TempDir()
	src := filepath.Join(dir, "big")
	data := make([]byte, 24<<20)
	rand.Read(data)
	if err := errors.Join(os.WriteFile(src, data, 0o600), os.WriteFile(filepath.Join(home, "big"), []byte("old"), 0o600)); err != nil {
		t.Fatal(err)
	}
	r := remote(t, home)
	for _, changed := range []bool{false, true} {
		broken := &Copy{From: Local{}, To: cut{r, 20 << 20}}
		if err := broken.Run(t.Context(), src, "big"); !errors.Is(err, errCut) {
			t.Fatal(err)
		}
		if !changed {
			if b, err := os.ReadFile(filepath.Join(home, "big")); err != nil || string(b) != "old" {
				t.Errorf("half of a file is seen: %d bytes, %v", len(b), err)
			}
		} else {
			data[0]++
			later := time.Now().Add(time.Hour)
			if err := errors.Join(os.WriteFile(src, data, 0o600), os.Chtimes(src, later, later)); err != nil {
				t.Fatal(err)
			}
		}
		c := &Copy{From: Local{}, To: r}
		if err := c.Run(t.Context(), src, "big"); err != nil {
			t.Fatal(err)
		}
		got, err := os.ReadFile(filepath.Join(home, "big"))
		if err != nil || !bytes.Equal(got, data) {
			t.Fatalf("it arrived changed: %d bytes, %v", len(got), err)
		}
		if _, _, resumed := c.Done(); (resumed > 8<<20) == changed {
			t.Errorf("changed %t: went on at %d", changed, resumed)
		}
	}
}

func TestACopyEndsWithItsContext(t *testing.T) {
	src := plant(t)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	c := &Copy{From: Local{}, To: remote(t, t.TempDir())}
	if err := c.Run(ctx, src, "x"); !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
}

// liar lists names that lead elsewhere.
type liar struct{ Tree }

type lie struct {
	fs.FileInfo
	name string
}

func (l lie) Name() string { return l.name }

func (l liar) ReadDir(name string) ([]fs.FileInfo, error) {
	list, err := l.Tree.ReadDir(name)
	if err == nil && len(list) > 0 {
		for _, n := range []string{"../../evil", "..", "/etc/evil", "a\x00b"} {
			list = append(list, lie{list[0], n})
		}
	}
	return list, err
}

func TestNamesThatLeadElsewhereAreLeftOut(t *testing.T) {
	home, dir := t.TempDir(), t.TempDir()
	if err := errors.Join(os.Mkdir(filepath.Join(home, "d"), 0o700), os.WriteFile(filepath.Join(home, "d/f"), []byte("x"), 0o600)); err != nil {
		t.Fatal(err)
	}
	n := 0
	c := &Copy{From: liar{remote(t, home)}, To: Local{}, Skipped: func(string, string) { n++ }}
	if err := c.Run(t.Context(), "d", filepath.Join(dir, "in/d")); err != nil {
		t.Fatal(err)
	}
	if n != 4 {
		t.Errorf("%d were left out", n)
	}
	if _, err := os.Stat(filepath.Join(dir, "evil")); err == nil {
		t.Error("one was written elsewhere")
	}
}

// twice lists a link that leads elsewhere and a directory by the same name.
type twice struct{ Tree }

type link struct {
	fs.FileInfo
	name string
}

func (l link) Name() string      { return l.name }
func (l link) Mode() fs.FileMode { return fs.ModeSymlink | 0o777 }

func (t twice) ReadDir(name string) ([]fs.FileInfo, error) {
	list, err := t.Tree.ReadDir(name)
	if err == nil && filepath.Base(name) == "d" {
		list = append([]fs.FileInfo{link{list[0], "sub"}}, list...)
	}
	return list, err
}

func (twice) ReadLink(string) (string, error) { return "../elsewhere", nil }

func TestNothingIsWrittenThroughALinkThatTheFarEndSent(t *testing.T) {
	home, dir := t.TempDir(), t.TempDir()
	if err := errors.Join(os.MkdirAll(filepath.Join(home, "d/sub"), 0o700), os.WriteFile(filepath.Join(home, "d/sub/f"), []byte("x"), 0o600), os.Mkdir(filepath.Join(dir, "elsewhere"), 0o700)); err != nil {
		t.Fatal(err)
	}
	c := &Copy{From: twice{remote(t, home)}, To: Local{}}
	if err := c.Run(t.Context(), "d", filepath.Join(dir, "d")); err == nil {
		t.Error("two things by one name were copied")
	}
	if _, err := os.Stat(filepath.Join(dir, "elsewhere/f")); err == nil {
		t.Error("a file was written elsewhere")
	}
}

// A link in the place of what is not whole yet is no file to write to.
func TestAPartThatIsALinkIsReplaced(t *testing.T) {
	home, dir := t.TempDir(), t.TempDir()
	src, other := filepath.Join(home, "f"), filepath.Join(dir, "other")
	if err := errors.Join(os.WriteFile(src, []byte("new"), 0o600), os.WriteFile(other, []byte("mine"), 0o600)); err != nil {
		t.Fatal(err)
	}
	info, err := os.Stat(src)
	if err != nil {
		t.Fatal(err)
	}
	to := filepath.Join(dir, "f")
	if err := os.Symlink(other, partOf(job{src, to, info})); err != nil {
		t.Fatal(err)
	}
	c := &Copy{From: Local{}, To: Local{}}
	if err := c.Run(t.Context(), src, to); err != nil {
		t.Fatal(err)
	}
	if got, err := os.ReadFile(other); err != nil || string(got) != "mine" {
		t.Errorf("another file became %q, %v", got, err)
	}
}
