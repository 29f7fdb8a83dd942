//go:build slim

package main

import "github.com/spf13/cobra"

func serverRoles(*app) []*cobra.Command { return nil }

func arguments(argv []string) []string { return argv[1:] }
