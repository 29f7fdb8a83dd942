package archive

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// entry is one of a tar made by hand.
type entry struct {
	name string
	kind byte
	text string
}

func file(name string) entry { return entry{name, tar.TypeReg, "x"} }

// tarball packs entries, good or not.
func tarball(t testing.TB, entries ...entry) []byte {
	t.Helper()
	var packed bytes.Buffer
	zip := gzip.NewWriter(&packed)
	w := tar.NewWriter(zip)
	for _, e := range entries {
		h := &tar.Header{Typeflag: e.kind, Name: e.name, Mode: 0o644, Linkname: "main.tf"}
		if e.kind == tar.TypeReg {
			h.Linkname, h.Size = "", int64(len(e.text))
		}
		if err := w.WriteHeader(h); err != nil {
			t.Fatal(err)
		}
		if _, err := w.Write([]byte(e.text)[:h.Size]); err != nil {
			t.Fatal(err)
		}
	}
	if err := errors.Join(w.Close(), zip.Close()); err != nil {
		t.Fatal(err)
	}
	return packed.Bytes()
}

func TestWhatATemplateMayNotHave(t *testing.T) {
	main := file("main.tf")
	many := []entry{main}
	for i := range maxEntries {
		many = append(many, file(fmt.Sprintf("f%d", i)))
	}
	for name, packed := range map[string][]byte{
		"nothing":                 nil,
		"no gzip":                 []byte("resource {}"),
		"no tar":                  gzipped(t, strings.Repeat("x", 2000)),
		"cut off":                 tarball(t, main, file("b"))[:60],
		"no Terraform":            tarball(t, file("README.md")),
		"Terraform further down":  tarball(t, file("a/main.tf")),
		"absolute path":           tarball(t, main, file("/etc/passwd")),
		"parent":                  tarball(t, main, file("../x")),
		"parent in the middle":    tarball(t, main, file("a/../../x")),
		"parent at the end":       tarball(t, main, entry{"..", tar.TypeDir, ""}),
		"dots that go nowhere":    tarball(t, main, file("a/./b")),
		"backslash":               tarball(t, main, file(`a\..\b`)),
		"drive":                   tarball(t, main, file("c:x")),
		"line break":              tarball(t, main, file("a\nb")),
		"symbolic link":           tarball(t, main, entry{"l", tar.TypeSymlink, ""}),
		"hard link":               tarball(t, main, entry{"l", tar.TypeLink, ""}),
		"device":                  tarball(t, main, entry{"d", tar.TypeChar, ""}),
		"pipe":                    tarball(t, main, entry{"p", tar.TypeFifo, ""}),
		"a file twice":            tarball(t, main, main),
		"a file that is a folder": tarball(t, main, file("a"), file("a/b")),
		"a folder that is a file": tarball(t, main, file("a/b"), file("a")),
		"too many":                tarball(t, many...),
		"a bomb":                  tarball(t, main, entry{"b", tar.TypeReg, strings.Repeat("\x00", MaxUnpacked+1)}),
		"too large packed":        make([]byte, MaxPacked+1),
	} {
		if err := Check(packed); !errors.Is(err, ErrInvalid) {
			t.Errorf("%s: %v, want ErrInvalid", name, err)
		}
	}
	good := tarball(t, entry{"./", tar.TypeDir, ""}, file("./main.tf"), entry{"a/", tar.TypeDir, ""}, file("a/..b"))
	if err := Check(good); err != nil {
		t.Errorf("as tar(1) makes it: %v", err)
	}
}

func gzipped(t *testing.T, text string) []byte {
	t.Helper()
	var packed bytes.Buffer
	zip := gzip.NewWriter(&packed)
	if _, err := zip.Write([]byte(text)); err != nil {
		t.Fatal(err)
	}
	if err := zip.Close(); err != nil {
		t.Fatal(err)
	}
	return packed.Bytes()
}

// write makes files below a new directory.
func write(t *testing.T, files map[string]string) string {
	t.Helper()
	dir := t.TempDir()
	for name, text := range files {
		at := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(at), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(at, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

func TestADirectoryThereAndBack(t *testing.T) {
	files := map[string]string{"main.tf": "resource", "modules/a/main.tf": "nested", ".terraform.lock.hcl": "lock", "run.sh": "#!/bin/sh"}
	left := map[string]string{".terraform/providers/x": "binary", "terraform.tfstate": "secret", "terraform.tfstate.backup": "secret", ".git/config": "x"}
	all := make(map[string]string)
	for _, m := range []map[string]string{files, left} {
		for name, text := range m {
			all[name] = text
		}
	}
	dir := write(t, all)
	if err := os.Chmod(filepath.Join(dir, "run.sh"), 0o755); err != nil {
		t.Fatal(err)
	}
	packed, err := Pack(dir)
	if err != nil {
		t.Fatal(err)
	}
	if again, err := Pack(dir); err != nil || !bytes.Equal(again, packed) {
		t.Errorf("packed again it is another: %v", err)
	}
	out := filepath.Join(t.TempDir(), "out")
	if err := Unpack(packed, out); err != nil {
		t.Fatal(err)
	}
	for name, text := range files {
		if got, err := os.ReadFile(filepath.Join(out, name)); err != nil || string(got) != text {
			t.Errorf("%s: %q, %v", name, got, err)
		}
	}
	for name := range left {
		if _, err := os.Stat(filepath.Join(out, name)); !errors.Is(err, os.ErrNotExist) {
			t.Errorf("%s came with it: %v", name, err)
		}
	}
	if info, err := os.Stat(filepath.Join(out, "run.sh")); err != nil || info.Mode().Perm()&0o100 == 0 {
		t.Errorf("the script cannot be run any more: %v, %v", info, err)
	}
	if err := Unpack(packed, out); !errors.Is(err, os.ErrExist) {
		t.Errorf("over what is there: %v, want ErrExist", err)
	}
}

func TestPackNamesWhatItCannotTake(t *testing.T) {
	dir := write(t, map[string]string{"main.tf": "x"})
	if err := os.Symlink("/etc/passwd", filepath.Join(dir, "users")); err != nil {
		t.Fatal(err)
	}
	if _, err := Pack(dir); !errors.Is(err, ErrInvalid) || !strings.Contains(err.Error(), "users") {
		t.Errorf("a link: %v", err)
	}
	if _, err := Pack(t.TempDir()); !errors.Is(err, ErrInvalid) {
		t.Errorf("an empty directory: %v", err)
	}
	if _, err := Pack(filepath.Join(dir, "main.tf")); !errors.Is(err, ErrInvalid) {
		t.Errorf("a file: %v", err)
	}
	if _, err := Pack(filepath.Join(dir, "none")); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("no directory: %v", err)
	}
}

// Who packs and unpacks in a place of its own names to people what they know.
func TestErrorsNameWhatIsInADirectoryAndNotTheDirectory(t *testing.T) {
	dir := write(t, map[string]string{"main.tf": "x", "modules/a/main.tf": "x"})
	if err := os.Symlink("main.tf", filepath.Join(dir, "modules/a/users")); err != nil {
		t.Fatal(err)
	}
	out := write(t, map[string]string{"modules/a/main.tf": "x"})
	_, packErr := Pack(dir)
	_, emptyErr := Pack(t.TempDir())
	unpackErr := Unpack(tarball(t, file("main.tf"), file("modules/a/main.tf")), out)
	for in, err := range map[string]error{"modules/a/users": packErr, "*.tf": emptyErr, "modules/a/main.tf": unpackErr} {
		if err == nil || !strings.Contains(err.Error(), in) || strings.Contains(err.Error(), os.TempDir()) {
			t.Errorf("of %s: %v", in, err)
		}
	}
}

// A directory may be a link. What it has in it may not lead out of it, at no time.
func TestALinkToADirectoryIsPacked(t *testing.T) {
	dir := write(t, map[string]string{"main.tf": "x"})
	link := filepath.Join(t.TempDir(), "link")
	if err := os.Symlink(dir, link); err != nil {
		t.Fatal(err)
	}
	direct, err := Pack(dir)
	if err != nil {
		t.Fatal(err)
	}
	if packed, err := Pack(link); err != nil || !bytes.Equal(packed, direct) {
		t.Errorf("by the link it is another: %v", err)
	}
}

// What Check lets pass unpacks below its directory and nowhere else.
func FuzzUnpack(f *testing.F) {
	f.Add(tarball(f, file("main.tf"), file("a/b")))
	f.Add(tarball(f, file("main.tf"), file("../x")))
	f.Fuzz(func(t *testing.T, packed []byte) {
		checked := Check(packed)
		parent := t.TempDir()
		if err := Unpack(packed, filepath.Join(parent, "in")); checked == nil && errors.Is(err, ErrInvalid) {
			t.Errorf("checked, and yet: %v", err)
		}
		entries, err := os.ReadDir(parent)
		if err != nil {
			t.Fatal(err)
		}
		if slices.ContainsFunc(entries, func(e os.DirEntry) bool { return e.Name() != "in" }) {
			t.Errorf("it left its directory: %v", entries)
		}
	})
}
