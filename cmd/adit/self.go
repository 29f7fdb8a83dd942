package main

import (
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/spf13/cobra"

	"github.com/aditmesh/adit/agent/self"
)

func newSelfCmd(a *app) *cobra.Command {
	cmd := &cobra.Command{
		Use: "self", Short: "Within a workspace: ask its agent, and have it stopped or kept running",
		Long: `Ask the agent of the workspace that this runs in, through the socket that
ADIT_SOCKET names. No token is needed: the kernel tells the agent whose programs ask.`,
		Example: `  adit self env
  adit self extend 2h
  adit self stop`,
		Args: args(cobra.NoArgs), RunE: func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	sub := func(use, short string, check cobra.PositionalArgs, run func(cmd *cobra.Command, c *self.Client, argv []string) error) {
		cmd.AddCommand(&cobra.Command{Use: use, Short: short, Args: args(check), RunE: func(cmd *cobra.Command, argv []string) error {
			path := os.Getenv(self.SocketEnv)
			if path == "" {
				return fmt.Errorf("%s is not set: this is for programs that a workspace's agent started", self.SocketEnv)
			}
			return run(cmd, self.NewClient(path), argv)
		}})
	}
	sub("env", "Print the environment of the workspace's programs", cobra.NoArgs, func(cmd *cobra.Command, c *self.Client, _ []string) error {
		env, err := c.Env(cmd.Context())
		if err != nil {
			return err
		}
		return a.print(env, func(out io.Writer) error { _, err := fmt.Fprintln(out, strings.Join(env, "\n")); return err })
	})
	sub("ports", "Show what listens", cobra.NoArgs, func(cmd *cobra.Command, c *self.Client, _ []string) error {
		list, err := c.Ports(cmd.Context())
		if err != nil {
			return err
		}
		return a.print(list, func(out io.Writer) error { return printPorts(out, list) })
	})
	sub("tasks", "Show how each script and task is doing", cobra.NoArgs, func(cmd *cobra.Command, c *self.Client, _ []string) error {
		w, err := c.Workspace(cmd.Context())
		if err != nil {
			return err
		}
		return a.print(w.Agents, func(out io.Writer) error {
			for _, agent := range w.Agents {
				fmt.Fprintf(out, "Startup scripts of agent %s: %s\n", oneLine(agent.Name), agent.Scripts)
				if err := printScripts(out, agent.ScriptRuns); err != nil {
					return err
				}
			}
			return nil
		})
	})
	sub("stop", "Stop the workspace", cobra.NoArgs, func(cmd *cobra.Command, c *self.Client, _ []string) error {
		b, err := c.Stop(cmd.Context())
		if err != nil {
			return err
		}
		return a.print(b, func(out io.Writer) error { _, err := fmt.Fprintln(out, "The workspace stops."); return err })
	})
	sub("extend DURATION", "Have the workspace not stop by itself for some time, such as 2h", cobra.ExactArgs(1), func(cmd *cobra.Command, c *self.Client, argv []string) error {
		by, err := span("DURATION", argv[0])
		if err != nil {
			return err
		}
		w, err := c.Extend(cmd.Context(), by)
		if err != nil {
			return err
		}
		return a.print(w.Schedule, func(out io.Writer) error { printSchedule(out, w); return nil })
	})
	sub("url [PORT]", "Print where the coordinator is, or a port of the workspace for who is on the mesh", cobra.MaximumNArgs(1), func(cmd *cobra.Command, c *self.Client, argv []string) error {
		if len(argv) == 0 {
			u, err := c.URL(cmd.Context())
			if err != nil {
				return err
			}
			return a.print(u, func(out io.Writer) error { _, err := fmt.Fprintln(out, u); return err })
		}
		if !isPort(argv[0]) {
			return usagef("PORT %q: want a number from 1 to 65535", argv[0])
		}
		w, err := c.Workspace(cmd.Context())
		if err != nil {
			return err
		}
		scheme := "http"
		list, err := c.Ports(cmd.Context())
		if err != nil {
			return err
		}
		for _, p := range list {
			if fmt.Sprint(p.Port) == argv[0] && p.Protocol == "https" {
				scheme = "https"
			}
		}
		u := fmt.Sprintf("%s://%s.%s.%s%s:%s", scheme, os.Getenv("ADIT_AGENT"), w.Name, w.Owner, meshSuffix, argv[0])
		return a.print(u, func(out io.Writer) error { _, err := fmt.Fprintln(out, u); return err })
	})
	return cmd
}
