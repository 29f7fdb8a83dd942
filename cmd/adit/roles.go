//go:build !slim

package main

import (
	"github.com/spf13/cobra"

	"github.com/aditmesh/adit/provisioner/tfprovider"
)

// serverRoles are the commands that only hosts of a deployment need. A program that
// is built with the tag "slim" is without them: half as large, for workspaces.
func serverRoles(a *app) []*cobra.Command {
	return []*cobra.Command{newServerCmd(a), newProvisionerCmd(a), newRelayCmd(a), newTerraformProviderCmd(a)}
}

// arguments are those of this process: to Terraform the program is known by its name.
func arguments(argv []string) []string {
	if tfprovider.IsProvider(argv[0]) {
		return []string{tfprovider.Command}
	}
	return argv[1:]
}
