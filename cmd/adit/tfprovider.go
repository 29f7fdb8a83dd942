package main

import (
	"context"
	"os/signal"
	"syscall"

	"github.com/spf13/cobra"

	"github.com/aditmesh/adit/provisioner/process"
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

// newProcessSupervisorCmd is for the provider, which starts one for each
// adit_process.
func newProcessSupervisorCmd(*app) *cobra.Command {
	return &cobra.Command{
		Use: process.SuperviseCommand + " DIR", Short: "Supervise the agent of an adit_process", Hidden: true, Args: args(cobra.ExactArgs(1)),
		RunE: func(_ *cobra.Command, args []string) error { return process.Supervise(args[0]) },
	}
}

// newContainerSupervisorCmd is the first process of an adit_container.
func newContainerSupervisorCmd(*app) *cobra.Command {
	return &cobra.Command{
		Use: process.ContainerCommand, Short: "Supervise the agent of an adit_container", Hidden: true, Args: args(cobra.NoArgs),
		Run: func(*cobra.Command, []string) { process.SuperviseContainer() },
	}
}
