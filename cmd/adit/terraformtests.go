//go:build !slim

package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"

	provisionerv1 "github.com/aditmesh/adit/pkg/proto/provisionerv1"
	"github.com/aditmesh/adit/provisioner/terraform"
)

// runTerraformTests runs the tests of a template's files, below temp, with Terraform
// and the provider that a provisioner would have.
func runTerraformTests(ctx context.Context, a *app, f testFlags, temp, files string, variables map[string]string) error {
	self, err := os.Executable()
	if err != nil {
		return fmt.Errorf("find the adit binary: %w", err)
	}
	tf, err := terraform.Install(terraform.Config{
		Dir: filepath.Join(temp, "terraform"), Exec: f.terraform, Adit: self, Version: version, Mirrors: mirrorsOr(f.mirrors), Environ: os.Environ(),
	})
	if err != nil {
		return err
	}
	run, err := tf.Open(terraform.RunConfig{
		Dir: files, Mark: temp, Env: map[string]string{"ADIT_IMPORT": "1", "ADIT_DATA_DIR": temp},
		Log: func(l *provisionerv1.Line) bool {
			if a.verbose || l.GetLevel() == provisionerv1.Line_ERROR || l.GetStage() == "test" {
				fmt.Fprintf(a.err, "  %s\n", oneLine(l.GetText()))
			}
			return true
		},
	})
	if err != nil {
		return err
	}
	defer run.Close()
	if err := run.Init(ctx, nil, variables); err != nil {
		return err
	}
	return run.Test(ctx)
}
