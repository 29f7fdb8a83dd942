package main

import (
	"github.com/spf13/cobra"

	"github.com/aditmesh/adit/provisioner/process"
)

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
