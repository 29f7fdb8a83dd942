package terraform

import (
	"archive/zip"
	"bytes"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/ProtonMail/go-crypto/openpgp"
	"github.com/ProtonMail/go-crypto/openpgp/armor"
	"github.com/hashicorp/go-version"

	provisionerv1 "github.com/aditmesh/adit/pkg/proto/provisionerv1"
)

// site is laid out as HashiCorp's, with releases that it signs with a key of its own.
type site struct {
	url, key string
	archives atomic.Int64 // how many were downloaded
}

// serveReleases serves programs that say to be of those versions. spoil may change what is served.
func serveReleases(t *testing.T, versions []string, spoil func(name string, content []byte) []byte) *site {
	t.Helper()
	signer, err := openpgp.NewEntity("releases", "", "releases@example.com", nil)
	if err != nil {
		t.Fatal(err)
	}
	var key bytes.Buffer
	armored, err := armor.Encode(&key, openpgp.PublicKeyType, nil)
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(signer.Serialize(armored), armored.Close()); err != nil {
		t.Fatal(err)
	}
	files := make(map[string][]byte)
	index := make(map[string]any)
	for _, v := range versions {
		archive := fmt.Sprintf("terraform_%s_%s_%s.zip", v, runtime.GOOS, runtime.GOARCH)
		var packed bytes.Buffer
		z := zip.NewWriter(&packed)
		w, err := z.Create("terraform")
		if err != nil {
			t.Fatal(err)
		}
		if _, err := w.Write([]byte("#!/bin/sh\necho '" + ofVersion(v) + "'\n")); err != nil {
			t.Fatal(err)
		}
		if err := z.Close(); err != nil {
			t.Fatal(err)
		}
		sums := fmt.Appendf(nil, "%x  %s\n", sha256.Sum256(packed.Bytes()), archive)
		var signature bytes.Buffer
		if err := openpgp.DetachSign(&signature, signer, bytes.NewReader(sums), nil); err != nil {
			t.Fatal(err)
		}
		files[archive], files["terraform_"+v+"_SHA256SUMS"], files["terraform_"+v+"_SHA256SUMS.sig"] = packed.Bytes(), sums, signature.Bytes()
		index[v] = map[string]any{
			"name": "terraform", "version": v, "shasums": "terraform_" + v + "_SHA256SUMS", "shasums_signature": "terraform_" + v + "_SHA256SUMS.sig",
			"builds": []map[string]string{{
				"name": "terraform", "version": v, "os": runtime.GOOS, "arch": runtime.GOARCH, "filename": archive,
				"url": "https://releases.hashicorp.com/terraform/" + v + "/" + archive,
			}},
		}
	}
	if files["index.json"], err = json.Marshal(map[string]any{"name": "terraform", "versions": index}); err != nil {
		t.Fatal(err)
	}
	s := &site{key: key.String()}
	web := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		name := path.Base(r.URL.Path)
		content, ok := files[name]
		if !ok {
			http.NotFound(w, r)
			return
		}
		switch path.Ext(name) {
		case ".json":
			w.Header().Set("Content-Type", "application/json")
		case ".zip":
			s.archives.Add(1)
			w.Header().Set("Content-Type", "application/zip")
		}
		if spoil != nil {
			content = spoil(name, content)
		}
		_, _ = w.Write(content)
	}))
	t.Cleanup(web.Close)
	s.url = web.URL
	return s
}

// installation is one with the site's releases, on a host without a Terraform.
func (s *site) installation(t *testing.T, dir string) *Installation {
	t.Helper()
	empty := t.TempDir()
	in, err := Install(Config{Dir: dir, Exec: empty, Environ: os.Environ(), Releases: &Releases{URL: s.url, PublicKey: s.key}})
	if err != nil {
		t.Fatal(err)
	}
	return in
}

func noLog(*provisionerv1.Line) bool { return true }

// Jobs that want the same at once get it once, and it is there for those of the next
// process, too.
func TestATerraformThatIsMissingIsInstalledOnce(t *testing.T) {
	s := serveReleases(t, []string{"1.5.7", "1.9.8", "1.10.5", "1.11.4", "1.12.0-rc1"}, nil)
	dir := t.TempDir()
	in := s.installation(t, dir)
	wanted := version.MustConstraints(version.NewConstraint("< 1.11"))
	var jobs sync.WaitGroup
	for range 8 {
		jobs.Go(func() {
			b, err := in.install(t.Context(), wanted, noLog)
			if err != nil || b.String() != "1.10.5" || b.path != filepath.Join(dir, "installed", "1.10.5", "terraform") {
				t.Errorf("%v at %s, %v", b.version, b.path, err)
			}
		})
	}
	jobs.Wait()
	if b, err := in.install(t.Context(), nil, noLog); err != nil || b.String() != "1.10.5" {
		t.Errorf("for a template that requires nothing: %v, %v", b.version, err)
	}
	if n := s.archives.Load(); n != 1 {
		t.Errorf("%d archives were downloaded", n)
	}
	again := s.installation(t, dir)
	if b, _, err := again.choose(t.Context(), wanted); err != nil || b.path == "" {
		t.Errorf("the next process has %v, %v", b.path, err)
	}
	if text, err := again.Versions(t.Context()); text != "1.10.5" || err != nil {
		t.Errorf("it says that it has %q, %v", text, err)
	}
	_, err := in.install(t.Context(), version.MustConstraints(version.NewConstraint("< 1.9")), noLog)
	if err == nil || !strings.Contains(err.Error(), `terraform: install one that fits "< 1.9": no matching version found`) || strings.Contains(err.Error(), "\n") {
		t.Errorf("one that jobs cannot run: %v", err)
	}
}

func TestATemplateIsRunByWhatWasInstalledForIt(t *testing.T) {
	s := serveReleases(t, []string{"1.10.5"}, nil)
	b := newBench(t)
	b.in = s.installation(t, t.TempDir())
	b.files(map[string]string{"versions.tf": "terraform {\n  required_version = \"~> 1.10.0\"\n}\n"})
	r, err := b.in.Open(RunConfig{Dir: b.dir, Mark: b.Name(), Log: b.log})
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	if err := r.choose(t.Context()); err != nil || r.exec.String() != "1.10.5" {
		t.Errorf("%v, %v", r.exec.version, err)
	}
}

func TestNothingIsInstalledThatIsNotSigned(t *testing.T) {
	for name, spoil := range map[string]func(name string, content []byte) []byte{
		"another program": func(name string, content []byte) []byte {
			if strings.HasSuffix(name, ".zip") {
				content = append(bytes.Clone(content), 0)
			}
			return content
		},
		"other sums": func(name string, content []byte) []byte {
			if strings.HasSuffix(name, "SUMS") {
				content = bytes.ReplaceAll(content, []byte("a"), []byte("b"))
			}
			return content
		},
		"another's signature": func(name string, content []byte) []byte {
			if strings.HasSuffix(name, ".sig") {
				content = content[:len(content)-4]
			}
			return content
		},
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			in := serveReleases(t, []string{"1.10.5"}, spoil).installation(t, dir)
			if b, err := in.install(t.Context(), nil, noLog); err == nil {
				t.Errorf("%s is installed", b.path)
			}
			if left, err := filepath.Glob(filepath.Join(dir, "install*", "*")); err != nil || len(left) > 0 {
				t.Errorf("there is %v, %v", left, err)
			}
		})
	}
}

func TestNothingIsInstalledUnlessItIsAllowed(t *testing.T) {
	s := serveReleases(t, []string{"1.10.5"}, nil)
	in := s.installation(t, t.TempDir())
	in.cfg.Releases = nil
	if in.installs() {
		t.Error("it is installed where nobody allowed that")
	}
	in = s.installation(t, t.TempDir())
	in.cfg.Exec = filepath.Join(in.cfg.Exec, "terraform-1.9")
	if in.installs() {
		t.Error("it is installed in the place of one that somebody has named")
	}
}
