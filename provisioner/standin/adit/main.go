// Command adit is what tests of provisioners have in place of adit: the provider,
// a supervisor, an agent that only leaves a note, and a provisioner whose
// coordinator is the test.
package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/url"
	"os"
	"os/signal"
	"syscall"

	"github.com/aditmesh/adit/provisioner"
	"github.com/aditmesh/adit/provisioner/process"
	"github.com/aditmesh/adit/provisioner/standin"
	"github.com/aditmesh/adit/provisioner/terraform"
	"github.com/aditmesh/adit/provisioner/tfprovider"
)

func main() {
	if err := run(os.Args); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func run(args []string) error {
	switch {
	case tfprovider.IsProvider(args[0]), len(args) > 1 && args[1] == tfprovider.Command:
		return tfprovider.Serve(context.Background(), "0.0.1")
	case len(args) == 3 && args[1] == process.SuperviseCommand:
		return process.Supervise(args[2])
	case len(args) == 2 && args[1] == "agent":
		return agent()
	case len(args) == 4 && args[1] == standin.ProvisionerCommand:
		return provision(args[2], args[3])
	}
	return fmt.Errorf("unknown arguments %q", args)
}

// agent writes down where it would go and as whom, and waits for its end.
func agent() error {
	term := make(chan os.Signal, 1)
	signal.Notify(term, syscall.SIGTERM)
	token, err := os.ReadFile(os.Getenv("ADIT_AGENT_TOKEN_FILE"))
	err = errors.Join(err, os.WriteFile("note", fmt.Appendf(nil, "%s %s", os.Getenv("ADIT_URL"), token), 0o600))
	<-term
	return err
}

func provision(at, dir string) error {
	self, err := os.Executable()
	if err != nil {
		return err
	}
	u, err := url.Parse(at)
	if err != nil {
		return err
	}
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM)
	defer stop()
	return provisioner.Run(ctx, provisioner.Config{
		URL: u, Token: standin.Token, Name: "stand-in", Slots: standin.Slots, Dir: dir, Version: "test",
		Terraform: terraform.Config{Environ: os.Environ(), Adit: self, Grace: standin.Grace},
		Logger:    slog.New(slog.NewTextHandler(os.Stderr, nil)),
	})
}
