package main

import "github.com/spf13/cobra"

func newTemplatesInitCmd(a *app) *cobra.Command {
	return &cobra.Command{Use: "init TEMPLATE [DIR]", Short: "Write an example template out", Args: args(cobra.RangeArgs(1, 2))}
}
