package main

import (
	"encoding/pem"
	"errors"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/aditmesh/adit/pkg/archive"
)

// commit makes a repository of files, whose branch is main.
func commit(t *testing.T, files map[string]string) (dir string) {
	t.Helper()
	dir = t.TempDir()
	for name, text := range files {
		at := filepath.Join(dir, filepath.FromSlash(name))
		err := os.MkdirAll(filepath.Dir(at), 0o755)
		if to, ok := strings.CutPrefix(text, "-> "); ok {
			err = errors.Join(err, os.Symlink(to, at))
		} else {
			err = errors.Join(err, os.WriteFile(at, []byte(text), 0o600))
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	for _, argv := range [][]string{{"init", "--quiet", "--initial-branch", "main"}, {"add", "."}, {"commit", "--quiet", "-m", "The first"}} {
		cmd := exec.Command("git", append([]string{"-C", dir, "-c", "user.name=alice", "-c", "user.email=alice@example.com"}, argv...)...)
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Fatalf("git %v: %v: %s", argv, err, out)
		}
	}
	return dir
}

func TestATemplateIsTakenFromARepository(t *testing.T) {
	repository := commit(t, map[string]string{"a/dev/main.tf": "# dev\n", "README.md": "others'"})
	temp := t.TempDir()
	t.Setenv("TMPDIR", temp)
	got, err := takeFromGit(t.Context(), "file://"+repository, "main", filepath.FromSlash("a/dev"))
	if err != nil {
		t.Fatal(err)
	}
	if files, err := archive.Files(got.archive); err != nil || len(files) != 1 || files["main.tf"] != "# dev\n" {
		t.Errorf("it has %v, %v", files, err)
	}
	if !strings.HasSuffix(got.message, " The first") {
		t.Errorf("its message is %q", got.message)
	}
	if left, err := os.ReadDir(temp); err != nil || len(left) > 0 {
		t.Errorf("it leaves %v, %v", left, err)
	}
}

// Whoever reads what is wrong knows the repository, and no directory of ours.
func TestWhatIsWrongWithARepositoryIsSaidInItsTerms(t *testing.T) {
	outside := t.TempDir()
	if err := os.WriteFile(filepath.Join(outside, "main.tf"), []byte("# not the repository's\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	url := "file://" + commit(t, map[string]string{
		"process/main.tf": "# one\n", "docs/README.md": "no template", "links/main.tf": "x", "links/passwd": "-> /etc/passwd", "out": "-> " + outside, "alias": "-> process",
	})
	temp := t.TempDir()
	t.Setenv("TMPDIR", temp)
	for _, c := range []struct{ ref, below, want string }{
		{"main", "proces", "there is no directory proces in main of " + url},
		{"", "proces", "there is no directory proces in " + url},
		{"main", "process/main.tf", "process/main.tf in main of " + url + " is no directory"},
		{"main", "out", "there is no directory out in main of " + url}, // it leads out of the repository
		{"", "docs", "docs in " + url + ": not a template's archive: no file *.tf at its top; a template is a directory"},
		{"", ".", url + ": not a template's archive: alias is neither a file nor a directory"},
		{"main", "links", "links in main of " + url + ": not a template's archive: passwd is neither a file nor a directory"},
		{"nothing", ".", "Remote branch nothing not found"},
	} {
		_, err := takeFromGit(t.Context(), url, c.ref, filepath.FromSlash(c.below))
		if err == nil || !strings.Contains(err.Error(), c.want) || strings.Contains(err.Error(), temp) || strings.Contains(err.Error(), "\n") {
			t.Errorf("%s of %q: %v, want %q", c.below, c.ref, err, c.want)
		}
	}
	if _, err := takeFromGit(t.Context(), url, "main", "alias"); err != nil {
		t.Errorf("a link to a directory of the repository: %v", err)
	}
	if left, err := os.ReadDir(temp); err != nil || len(left) > 0 {
		t.Errorf("it leaves %v, %v", left, err)
	}
}

// A token in a URL is often all that there is to know.
func TestWhatIsInAURLBesideTheRepositoryIsNotSaid(t *testing.T) {
	for _, url := range []string{"https://alice:s3cret@127.0.0.1:1/x.git", "https://s3cret@127.0.0.1:1/x.git", "https://alice:s3cret@bad host/x", "https://a:s3%63ret@127.0.0.1:1/x"} {
		_, err := takeFromGit(t.Context(), url, "main", ".")
		if err == nil || strings.Contains(err.Error(), "s3") || !strings.Contains(err.Error(), "git clone: ") {
			t.Errorf("%s: %v", url, err)
		}
	}
	if got := withoutUser("https://alice:s3cret@git.example.com/x.git"); got != "https://git.example.com/x.git" {
		t.Errorf("it is shown as %s", got)
	}
	for _, url := range []string{"git@git.example.com:x.git", "ssh://git.example.com/x.git", "../x@y/z", "/srv/x"} {
		if got := withoutUser(url); got != url {
			t.Errorf("%s is shown as %s", url, got)
		}
	}
}

// git's own words are for somebody at a terminal.
func TestARepositoryThatWantsAPasswordIsSaidWithWhatToTry(t *testing.T) {
	web := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("WWW-Authenticate", "Basic")
		w.WriteHeader(http.StatusUnauthorized)
	}))
	defer web.Close()
	t.Setenv("HOME", t.TempDir()) // with nothing that git would show
	t.Setenv("GIT_CONFIG_NOSYSTEM", "1")
	refused := func(url, want string) {
		t.Helper()
		_, err := takeFromGit(t.Context(), url, "", ".")
		if err == nil || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "s3cret") || strings.Contains(err.Error(), "exit status") {
			t.Errorf("%s: %v, want %q", url, err, want)
		}
	}
	refused(web.URL+"/x.git", "GIT_SSL_CAINFO")
	file := filepath.Join(t.TempDir(), "ca.pem")
	if err := os.WriteFile(file, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: web.Certificate().Raw}), 0o600); err != nil {
		t.Fatal(err)
	}
	t.Setenv("GIT_SSL_CAINFO", file)
	refused(web.URL+"/x.git", "git help credentials")
	refused(strings.Replace(web.URL, "https://", "https://alice:s3cret@", 1)+"/x.git", "Authentication failed")
}
