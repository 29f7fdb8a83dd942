package api

import (
	"bytes"
	"errors"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/aditmesh/adit/coordinator/store"
	"github.com/aditmesh/adit/pkg/archive"
	provisionerv1 "github.com/aditmesh/adit/pkg/proto/provisionerv1"
	"github.com/aditmesh/adit/pkg/sdk"
)

// packed is a template's archive.
func packed(t *testing.T, text string) []byte {
	t.Helper()
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "main.tf"), []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	files, err := archive.Pack(dir)
	if err != nil {
		t.Fatal(err)
	}
	return files
}

// push makes a version of template "process" and has it imported.
func push(t *testing.T, c *sdk.Client, p *provisioner, found *provisionerv1.Template) sdk.TemplateVersion {
	t.Helper()
	v, err := c.PushTemplate(t.Context(), "process", sdk.PushVersion{Archive: packed(t, "# "+t.Name()), Message: "hello", Tags: map[string]string{}})
	if err != nil {
		t.Fatal(err)
	}
	p.finish(p.job(), &provisionerv1.Result{Template: found})
	return v
}

func TestTemplateFromPushToDelete(t *testing.T) {
	d := deploy(t)
	root := d.add(t, "root", store.RoleOwner)
	p := d.provision(t)
	files := packed(t, "resource")
	v, err := root.PushTemplate(t.Context(), "process", sdk.PushVersion{
		Archive: files, Message: "first", Tags: map[string]string{}, Variables: map[string]string{"zone": "eu"},
	})
	if err != nil || v.Number != 1 || v.Active || v.Job.Status != "queued" && v.Job.Status != "running" || v.CreatedBy != "root" || v.Message != "first" {
		t.Fatalf("%+v, %v", v, err)
	}
	job := p.job()
	if job.GetImport().GetTemplateName() != "process" || job.GetVariables()["zone"] != "eu" {
		t.Errorf("job: %v", job)
	}
	if err := root.ActivateVersion(t.Context(), "process", 1); !errors.Is(err, sdk.ErrConflict) {
		t.Errorf("activated before its import: %v, want ErrConflict", err)
	}
	least := 1.0
	p.finish(job, &provisionerv1.Result{Template: &provisionerv1.Template{
		Parameters:      []*provisionerv1.Parameter{{Name: "cpu", Type: "number", Required: true, Min: &least, Options: []*provisionerv1.Option{{Name: "two", Value: "2"}}}},
		Variables:       []*provisionerv1.Variable{{Name: "zone", Type: "string", Sensitive: true}},
		RequiredVersion: ">= 1.5", RequiredProviders: map[string]string{"adit/adit": "~> 0.1"},
	}})
	got, err := root.Template(t.Context(), "process")
	if err != nil || got.ActiveNumber != 1 || got.Active == nil || len(got.Active.Parameters) != 1 || *got.Active.Parameters[0].Min != 1 ||
		len(got.Active.Variables) != 1 || got.Active.RequiredVersion != ">= 1.5" || !got.Active.Active {
		t.Errorf("%+v, %v", got, err)
	}

	push(t, root, p, &provisionerv1.Template{})
	if err := root.ActivateVersion(t.Context(), "process", 1); err != nil {
		t.Errorf("back to the first: %v", err)
	}
	if list, err := root.TemplateVersions(t.Context(), "process"); err != nil || len(list) != 2 || list[0].Number != 2 || list[0].Active || !list[1].Active {
		t.Errorf("versions: %+v, %v", list, err)
	}
	if list, err := root.Templates(t.Context()); err != nil || len(list) != 1 || list[0].ActiveNumber != 1 {
		t.Errorf("templates: %+v, %v", list, err)
	}
	if pulled, err := root.VersionArchive(t.Context(), "process", 1); err != nil || !bytes.Equal(pulled, files) {
		t.Errorf("pulled %d bytes of %d, %v", len(pulled), len(files), err)
	}
	if err := root.DeleteTemplate(t.Context(), "process"); err != nil {
		t.Error(err)
	}
	if _, err := root.Template(t.Context(), "process"); !errors.Is(err, sdk.ErrNotFound) {
		t.Errorf("deleted: %v, want ErrNotFound", err)
	}
}

func TestAFailedImportSaysWhere(t *testing.T) {
	d := deploy(t)
	root := d.add(t, "root", store.RoleOwner)
	p := d.provision(t)
	if _, err := root.PushTemplate(t.Context(), "process", sdk.PushVersion{Archive: packed(t, "x")}); err != nil {
		t.Fatal(err)
	}
	p.finish(p.job(), &provisionerv1.Result{Status: provisionerv1.Result_FAILED, Error: "the template is wrong", Problems: []*provisionerv1.Problem{
		{Summary: "Unsupported argument", File: "main.tf", Line: 7},
	}})
	v, err := root.TemplateVersion(t.Context(), "process", 1)
	if err != nil || v.Job.Status != "failed" || v.Job.Error != "the template is wrong" || len(v.Job.Problems) != 1 || v.Job.Problems[0].Line != 7 {
		t.Errorf("%+v, %v", v, err)
	}
	if _, err := root.CreateWorkspace(t.Context(), sdk.CreateWorkspace{Name: "dev", Template: "process"}); status(err) != http.StatusUnprocessableEntity {
		t.Errorf("a workspace from it: %v, want 422", err)
	}
}

// A template runs with what provisioners may do.
func TestTemplatesAreTheOwnersToPush(t *testing.T) {
	d := deploy(t)
	root, alice := d.add(t, "root", store.RoleOwner), d.add(t, "alice", store.RoleMember)
	p := d.provision(t)
	push(t, root, p, &provisionerv1.Template{})
	_, pushed := alice.PushTemplate(t.Context(), "mine", sdk.PushVersion{Archive: packed(t, "x")})
	_, pulled := alice.VersionArchive(t.Context(), "process", 1)
	_, logs := alice.VersionLog(t.Context(), "process", 1, 0, false)
	for what, err := range map[string]error{
		"push": pushed, "pull": pulled, "logs": logs,
		"activate": alice.ActivateVersion(t.Context(), "process", 1),
		"cancel":   alice.CancelVersion(t.Context(), "process", 1, false),
		"delete":   alice.DeleteTemplate(t.Context(), "process"),
	} {
		if status(err) != http.StatusForbidden {
			t.Errorf("%s: %v, want 403", what, err)
		}
	}
	if list, err := alice.Templates(t.Context()); err != nil || len(list) != 1 {
		t.Errorf("to choose from: %+v, %v", list, err)
	}
}

func TestPushesThatAreRefused(t *testing.T) {
	d := deploy(t)
	root := d.add(t, "root", store.RoleOwner)
	good := packed(t, "x")
	for name, c := range map[string]struct {
		template string
		req      sdk.PushVersion
		want     int
	}{
		"a name that is no label": {"My_Template", sdk.PushVersion{Archive: good}, 422},
		"no archive":              {"a", sdk.PushVersion{}, 422},
		"no gzipped tar":          {"a", sdk.PushVersion{Archive: []byte("hello")}, 422},
		"too large":               {"a", sdk.PushVersion{Archive: make([]byte, archive.MaxPacked*2)}, 413},
		"a zero byte in a tag":    {"a", sdk.PushVersion{Archive: good, Tags: map[string]string{"a": "\x00"}}, 422},
		"an endless variable":     {"a", sdk.PushVersion{Archive: good, Variables: map[string]string{"a": strings.Repeat("x", maxText+1)}}, 422},
	} {
		if _, err := root.PushTemplate(t.Context(), c.template, c.req); status(err) != c.want {
			t.Errorf("%s: %v, want %d", name, err, c.want)
		}
	}
}
