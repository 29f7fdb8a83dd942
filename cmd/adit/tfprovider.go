//go:build !slim

package main

import (
	"context"
	"os/signal"
	"syscall"

	"github.com/spf13/cobra"

	"github.com/aditmesh/adit/provisioner/tfprovider"
)

// newTerraformProviderCmd is for Terraform, which starts the provider adit/adit.
func newTerraformProviderCmd(*app) *cobra.Command {
	return &cobra.Command{
		Use: tfprovider.Command, Short: "Serve the Terraform provider adit/adit", Hidden: true, Args: args(cobra.NoArgs),
		RunE: func(cmd *cobra.Command, _ []string) error {
			// An interrupt goes to Terraform and its providers at once, and it is
			// Terraform that tells them when to stop. A request to end is for this
			// process alone.
			signal.Reset(syscall.SIGTERM, syscall.SIGHUP)
			return tfprovider.Serve(context.WithoutCancel(cmd.Context()), version)
		},
	}
}
