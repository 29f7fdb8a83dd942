//go:build slim

package main

import (
	"context"
	"errors"
)

func runTerraformTests(context.Context, *app, testFlags, string, string, map[string]string) error {
	return errors.New("this program was built without Terraform's part; test with the adit of a provisioner's host")
}
