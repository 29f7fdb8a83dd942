package forge_test

import (
	"encoding/base64"
	"errors"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/aditmesh/adit/coordinator/forge"
	"github.com/aditmesh/adit/coordinator/forge/forgetest"
	"github.com/aditmesh/adit/pkg/archive"
)

// served is a repository with a template in templates/dev, and whence it is fetched.
func served(t *testing.T) (*forgetest.Repository, forge.Source) {
	t.Helper()
	r := forgetest.Serve(t)
	r.Write("templates/dev/main.tf", "# one\n")
	r.Write("templates/dev/scripts/run.sh", "#!/bin/sh\n")
	r.Write("templates/dev/terraform.tfstate", "secrets")
	r.Write("README.md", "not the template's")
	r.Commit("Templates: the first")
	return r, forge.Source{URL: r.URL, Branch: "main", Dir: "templates/dev", Private: true}
}

func TestATemplateIsFetchedAsItWouldBePushed(t *testing.T) {
	r, from := served(t)
	first, err := forge.Fetch(t.Context(), from)
	if err != nil {
		t.Fatal(err)
	}
	files, err := archive.Files(first.Archive)
	if err != nil || len(files) != 2 || files["main.tf"] != "# one\n" || files["scripts/run.sh"] == "" {
		t.Errorf("fetched %v, %v", files, err)
	}
	if first.Commit != r.Git("rev-parse", "HEAD") || !strings.HasSuffix(first.Message, " Templates: the first") {
		t.Errorf("it is %s, %q", first.Commit, first.Message)
	}
	r.Write("README.md", "changed")
	r.Commit("Elsewhere")
	second, err := forge.Fetch(t.Context(), from)
	if err != nil || second.Commit == first.Commit || string(second.Archive) != string(first.Archive) {
		t.Errorf("after a change elsewhere the archive is another, or the commit is not: %v", err)
	}
	r.Write("main.tf", "# of the top\n")
	r.Commit("Top")
	from.Dir = "."
	if top, err := forge.Fetch(t.Context(), from); err != nil || first.Commit == top.Commit {
		t.Errorf("the top: %v", err)
	}
}

// Nothing that the server's own git knows is shown to a repository, and what its user
// keeps is.
func TestARepositoryWantsAPassword(t *testing.T) {
	r, from := served(t)
	home := t.TempDir()
	config := "[http]\n\textraHeader = Authorization: Basic " + base64.StdEncoding.EncodeToString([]byte("server:secret")) + "\n"
	if err := os.WriteFile(filepath.Join(home, ".gitconfig"), []byte(config), 0o600); err != nil {
		t.Fatal(err)
	}
	t.Setenv("HOME", home)
	r.Want("Basic " + base64.StdEncoding.EncodeToString([]byte("server:secret")))
	if _, err := forge.Fetch(t.Context(), from); err == nil {
		t.Error("the server's own credentials were shown")
	}
	r.Want("Basic " + base64.StdEncoding.EncodeToString([]byte("alice:token")))
	_, err := forge.Fetch(t.Context(), from)
	if err == nil || !strings.Contains(err.Error(), "git fetch") || !strings.Contains(err.Error(), "'adit git-credentials'") || strings.Contains(err.Error(), "\n") {
		t.Errorf("without a password: %v", err)
	}
	from.Username, from.Password = "alice", "token"
	if _, err := forge.Fetch(t.Context(), from); err != nil {
		t.Errorf("with a password: %v", err)
	}
}

func TestWhatIsNotFetched(t *testing.T) {
	r, from := served(t)
	elsewhere := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		http.Redirect(w, req, strings.TrimSuffix(r.URL, "/repository/.git")+req.URL.String(), http.StatusFound)
	}))
	defer elsewhere.Close()
	change := func(f func(*forge.Source)) forge.Source { s := from; f(&s); return s }
	for name, c := range map[string]struct {
		from forge.Source
		want string
	}{
		"a private address":    {change(func(s *forge.Source) { s.Private = false }), "no address of the internet; the server's --webhook-private"},
		"a redirect":           {change(func(s *forge.Source) { s.URL = elsewhere.URL + "/repository/.git" }), "git fetch"},
		"another branch":       {change(func(s *forge.Source) { s.Branch = "other" }), "couldn't find remote ref"},
		"no such directory":    {change(func(s *forge.Source) { s.Dir = "templates/other" }), "git archive"},
		"no template":          {change(func(s *forge.Source) { s.Dir = "." }), "no file *.tf at its top"},
		"a local path":         {change(func(s *forge.Source) { s.URL = "/etc" }), "cannot be followed"},
		"a program":            {change(func(s *forge.Source) { s.URL = "ext::sh -c id" }), "cannot be followed"},
		"a file":               {change(func(s *forge.Source) { s.URL = "file:///etc" }), "cannot be followed"},
		"a password in it":     {change(func(s *forge.Source) { s.URL = "https://a:s3cret@git.example.com/x" }), "git-credentials"},
		"a password in no URL": {change(func(s *forge.Source) { s.URL = "https://a:s3cret@git.example.com:x/x" }), "git-credentials"},
		"an option as branch":  {change(func(s *forge.Source) { s.Branch = "--upload-pack=id" }), "no name of a branch"},
		"a refspec as branch":  {change(func(s *forge.Source) { s.Branch = "main:x" }), "no name of a branch"},
		"out of the directory": {change(func(s *forge.Source) { s.Dir = "../x" }), "no directory"},
	} {
		if _, err := forge.Fetch(t.Context(), c.from); err == nil || !strings.Contains(err.Error(), c.want) || strings.Contains(err.Error(), "\n") || strings.Contains(err.Error(), "s3cret") {
			t.Errorf("%s: %v, want %q", name, err, c.want)
		}
	}
	r.Git("rm", "--quiet", "-r", "templates/dev/scripts")
	if err := os.Symlink("/etc/passwd", filepath.Join(r.Dir(), "templates/dev/passwd")); err != nil {
		t.Fatal(err)
	}
	r.Commit("A link")
	if _, err := forge.Fetch(t.Context(), from); !errors.Is(err, archive.ErrInvalid) {
		t.Errorf("a link: %v", err)
	}
	r.Git("rm", "--quiet", "templates/dev/passwd")
	r.Write("templates/dev/large", strings.Repeat("\x00", archive.MaxUnpacked+5<<20))
	r.Commit("A bomb")
	if _, err := forge.Fetch(t.Context(), from); err == nil || !strings.Contains(err.Error(), "larger than the 32 MiB") {
		t.Errorf("a directory that is too large: %v", err)
	}
}
