package terraform

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"strings"

	"github.com/hashicorp/go-version"
	"github.com/hashicorp/hcl/v2"
	tfjson "github.com/hashicorp/terraform-json"
)

// choose picks the program for the template's required_version.
func (r *Run) choose(ctx context.Context) error {
	text, at := required(r.cfg.Dir)
	// What is wrong with them is for Terraform to say.
	wanted, err := version.NewConstraint(text)
	if err != nil {
		wanted = nil
	}
	var found string
	r.exec, found, err = r.in.choose(ctx, wanted)
	if (err == nil && r.exec.path == "" || errors.Is(err, ErrMissing)) && r.in.installs() {
		r.exec, err = r.in.install(ctx, wanted, r.cfg.Log)
	}
	if err != nil || r.exec.path != "" {
		return err
	}
	if wanted == nil {
		return errors.New("terraform: there is only " + found)
	}
	d := &tfjson.Diagnostic{
		Severity: tfjson.DiagnosticSeverityError,
		Summary:  fmt.Sprintf("No Terraform fits the required version %q", text),
		Detail:   "This provisioner has only " + found + ".",
		Range:    &tfjson.Range{Filename: at.file, Start: tfjson.Pos{Line: at.line}},
	}
	r.output("init", func() {}).diagnose(d)
	return summary(r.problems[len(r.problems)-1:])
}

var (
	coreSchema    = &hcl.BodySchema{Blocks: []hcl.BlockHeaderSchema{{Type: "terraform"}}}
	versionSchema = &hcl.BodySchema{Attributes: []hcl.AttributeSchema{{Name: "required_version"}}}
)

// required returns what versions of Terraform the module in dir may be run with, and
// where the first of it is written.
func required(dir string) (constraints string, at place) {
	var all []string
	for path, file := range parsedFiles(dir) {
		content, _, _ := file.Body.PartialContent(coreSchema)
		for _, b := range content.Blocks {
			inner, _, _ := b.Body.PartialContent(versionSchema)
			a := inner.Attributes["required_version"]
			if a == nil {
				continue
			}
			value, diags := a.Expr.Value(nil)
			if diags.HasErrors() || value.Type().FriendlyName() != "string" || !value.IsKnown() || value.IsNull() {
				continue
			}
			if all = append(all, value.AsString()); at.file == "" {
				at = place{filepath.Base(path), a.Range.Start.Line}
			}
		}
	}
	return strings.Join(all, ", "), at
}
