package main

import (
	"crypto/rand"
	"errors"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/aditmesh/adit/pkg/netlab"
)

func TestParseTransfer(t *testing.T) {
	for line, want := range map[string]transfer{
		"dev:a/b .":             {workspace: "dev", from: []string{"a/b"}, to: ".", intoDir: true},
		"dev:a dev:b x":         {workspace: "dev", from: []string{"a", "b"}, to: "x"},
		"alice/dev.gpu:~/a b/":  {workspace: "alice/dev.gpu", from: []string{"a"}, to: "b/", intoDir: true},
		"a b dev:":              {workspace: "dev", up: true, from: []string{"a", "b"}, to: ".", intoDir: true},
		"./a:b dev.adit:/tmp/x": {workspace: "dev.adit", up: true, from: []string{"./a:b"}, to: "/tmp/x"},
		`C:\a dev:x`:            {workspace: "dev", up: true, from: []string{`C:\a`}, to: "x"},
	} {
		if got, err := parseTransfer(strings.Fields(line)); err != nil || !reflect.DeepEqual(got, want) {
			t.Errorf("%s: %+v, %v, want %+v", line, got, err, want)
		}
	}
	for _, line := range []string{"a b", "dev:a dev:b", "a:b c:d e", "dev:a other:b .", "/a:b c"} {
		var usage usageError
		if got, err := parseTransfer(strings.Fields(line)); !errors.As(err, &usage) {
			t.Errorf("%s: %+v, %v", line, got, err)
		}
	}
}

// adit cp moves files and directories both ways as they are, sftp makes links as they
// are meant, and programs get at files by HTTP.
func TestCopyToAndFromAWorkspace(t *testing.T) {
	d := deploy(t, netlab.PortRestricted, netlab.PortRestricted)
	in := func(name string) string { return filepath.Join(d.dir, name) }
	data := make([]byte, 8<<20)
	rand.Read(data)
	old := time.Date(2001, 2, 3, 4, 5, 6, 0, time.UTC)
	if err := errors.Join(os.MkdirAll(in("src/sub"), 0o750), os.WriteFile(in("src/sub/big"), data, 0o640), os.WriteFile(in("src/run"), []byte("#!"), 0o755),
		os.Chtimes(in("src/run"), old, old)); err != nil {
		t.Fatal(err)
	}
	d.must("cp", in("src"), "dev:"+in("there"))
	d.must("cp", "dev:"+in("there"), "dev:"+in("there/sub/big"), in("back")+"/")
	for _, name := range []string{"there/sub/big", "back/there/sub/big", "back/big"} {
		if got, err := os.ReadFile(in(name)); err != nil || !slices.Equal(got, data) {
			t.Errorf("%s is not what was sent: %d bytes, %v", name, len(got), err)
		}
	}
	if info, err := os.Stat(in("back/there/run")); err != nil || !info.ModTime().Equal(old) || info.Mode().Perm() != 0o755 {
		t.Errorf("%v, %v", info, err)
	}
	if _, err := d.adit("cp", "dev:"+in("none"), in("x")); err == nil || !strings.Contains(err.Error(), "none") {
		t.Errorf("what is not there: %v", err)
	}
	var out copied
	d.json(&out, "cp", "-o", "json", in("src/run"), "dev:"+in("there/again"))
	if out.Files != 1 || out.Bytes != 2 {
		t.Errorf("%+v", out)
	}

	// OpenSSH's own, by the same server.
	link := d.program(d.laptop, "sftp", append(openSSHArgs(), "-b", "-", "dev.adit")...)
	link.Stdin = strings.NewReader("ln -s b " + in("a") + "\n")
	if out, err := d.output(d.laptop, link); err != nil {
		t.Fatalf("sftp: %v: %s", err, out)
	}
	if to, err := os.Readlink(in("a")); err != nil || to != "b" {
		t.Errorf("ln -s b a leads to %q, %v", to, err)
	}

	// Programs list, read, write and watch by HTTP on the mesh.
	forward := d.start(d.laptop, "forward.log", "port-forward", "dev", "--tcp", "18077:7077")
	forward.waitFor("18077")
	curl := func(args ...string) string {
		args = append([]string{"-sS", "--fail-with-body", "--max-time", "30"}, args...)
		out, err := d.output(d.laptop, d.program(d.laptop, "curl", args...))
		if err != nil {
			t.Errorf("curl %q: %v: %s", args, err, out)
		}
		return out
	}
	const api = "http://127.0.0.1:18077/v1/"
	watch := d.run(d.laptop, "watch.log", d.program(d.laptop, "curl", "-sSN", api+"watch?path="+in("src")))
	watch.waitFor("{}")
	curl("-X", "PUT", "--data-binary", "written", api+"file?path="+in("src/new"))
	watch.waitFor(`"name":"new"`)
	if got := curl(api + "file?path=" + in("src/new")); got != "written" {
		t.Errorf("read %q", got)
	}
	if got := curl(api + "list?path=" + in("src")); !strings.Contains(got, `"name":"new","kind":"file","size":7`) || !strings.Contains(got, `"name":"sub","kind":"directory"`) {
		t.Errorf("listed %s", got)
	}
}
