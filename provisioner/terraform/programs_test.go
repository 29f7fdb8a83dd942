package terraform

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/hashicorp/go-version"
)

// program writes one that says to be of a version.
func program(t *testing.T, path, says string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	script := "#!/bin/sh\necho '" + says + "'\n"
	if err := os.WriteFile(path, []byte(script), 0o755); err != nil {
		t.Fatal(err)
	}
}

func ofVersion(v string) string { return `{"terraform_version": "` + v + `"}` }

func TestTheTerraformIsChosenThatATemplateRequires(t *testing.T) {
	dir := t.TempDir()
	for name, v := range map[string]string{
		"terraform-1.10.5": "1.10.5", "terraform_v1.12.0": "1.12.0", "1.9.8/terraform": "1.9.8", "1.5.7/terraform": "1.5.7",
		"tofu": "1.13.1", "terraform-docs": "1.20.0", "terraform-provider-x_v1.21.0": "1.21.0",
	} {
		program(t, filepath.Join(dir, filepath.FromSlash(name)), ofVersion(v))
	}
	onPath := t.TempDir()
	program(t, filepath.Join(onPath, "terraform"), ofVersion("1.10.1"))
	program(t, filepath.Join(onPath, "terraform-1.11"), ofVersion("1.11.4"))
	t.Setenv("PATH", onPath+string(filepath.ListSeparator)+filepath.Join(dir, "1.9.8")+string(filepath.ListSeparator)+os.Getenv("PATH"))
	only := t.TempDir()
	program(t, filepath.Join(only, "tofu-1.10"), ofVersion("1.10.6"))
	for _, tc := range []struct{ exec, wanted, path string }{
		{dir, "", "terraform_v1.12.0"}, // the newest
		{dir, "~> 1.10.0", "terraform-1.10.5"},
		{dir, ">= 1.9, < 1.10", "1.9.8/terraform"},
		{dir, ">= 1.13", "tofu"}, // where no Terraform does
		{dir, "< 1.9", ""},       // too old for jobs
		{dir, ">= 1.14", ""},
		{"", "", "terraform"}, // what is on PATH goes first
		{"", ">= 1.9", "terraform"},
		{"", "~> 1.11.0", "terraform-1.11"},
		{"", "~> 1.9.0", "terraform"}, // another one of that name
		{only, "", "tofu-1.10"},
		{filepath.Join(dir, "terraform-1.10.5"), "", "terraform-1.10.5"},
		{filepath.Join(dir, "terraform-1.10.5"), ">= 1.11", ""},
	} {
		in, err := Install(Config{Dir: t.TempDir(), Exec: tc.exec, Environ: os.Environ()})
		if err != nil {
			t.Fatal(err)
		}
		wanted, _ := version.NewConstraint(tc.wanted) // none is any
		b, found, err := in.choose(t.Context(), wanted)
		switch {
		case err != nil:
			t.Errorf("%q of %q: %v", tc.wanted, tc.exec, err)
		case tc.path == "" && (b.path != "" || found == ""):
			t.Errorf("%q of %q is %s, found %q", tc.wanted, tc.exec, b.path, found)
		case tc.path != "" && !strings.HasSuffix(b.path, string(filepath.Separator)+filepath.FromSlash(tc.path)):
			t.Errorf("%q of %q is %q, want %s; found %q", tc.wanted, tc.exec, b.path, tc.path, found)
		}
	}
}

func TestWhatThereIsOfTerraformIsTold(t *testing.T) {
	dir := t.TempDir()
	program(t, filepath.Join(dir, "terraform"), ofVersion("1.10.5"))
	program(t, filepath.Join(dir, "tofu-1.8.1"), ofVersion("1.8.1"))
	b := newBench(t)
	b.in.cfg.Exec = dir
	b.files(map[string]string{"versions.tf": "terraform {\n\n  required_version = \"~> 1.11\"\n}\n"})
	r, err := b.in.Open(RunConfig{Dir: b.dir, Mark: b.Name()})
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	r.cfg.Log = b.log
	err = r.Init(t.Context(), nil, nil)
	if err == nil || !strings.Contains(err.Error(), `versions.tf:3: No Terraform fits the required version "~> 1.11"`) {
		t.Fatalf("error is %v", err)
	}
	for _, found := range []string{"1.10.5 (" + dir, "OpenTofu 1.8.1 (" + dir, "too old"} {
		if !strings.Contains(err.Error(), found) {
			t.Errorf("nothing is said of %q: %v", found, err)
		}
	}
	if got, err := b.in.Versions(t.Context()); got != "1.10.5, OpenTofu 1.8.1" || err != nil {
		t.Errorf("versions are %q, %v", got, err)
	}
}

func TestAProgramThatIsNoTerraformIsNamed(t *testing.T) {
	path := filepath.Join(t.TempDir(), "terraform")
	program(t, path, "hello")
	in, err := Install(Config{Dir: t.TempDir(), Exec: path, Environ: os.Environ()})
	if err != nil {
		t.Fatal(err)
	}
	if _, _, err := in.choose(t.Context(), nil); err == nil || !strings.Contains(err.Error(), path+" says no version, as Terraform does") {
		t.Errorf("error is %v", err)
	}
}
