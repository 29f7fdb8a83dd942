package main

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"strings"

	"github.com/spf13/cobra"

	"github.com/aditmesh/adit/provisioner/templates"
)

// written is what 'templates init' says.
type written struct {
	Template  string `json:"template"`
	Directory string `json:"directory"`
}

func newTemplatesInitCmd(a *app) *cobra.Command {
	return &cobra.Command{
		Use: "init TEMPLATE [DIR]", Short: "Write an example template out, to push as it is or to change",
		Long: "Write an example template out, to push as it is or to change: " + strings.Join(templates.Names(), ", ") + ".",
		Example: `  adit templates init process
  adit templates init process ~/templates/mine`,
		Args: args(cobra.RangeArgs(1, 2)), ValidArgs: templates.Names(),
		RunE: func(_ *cobra.Command, argv []string) error {
			name, dir := argv[0], argv[len(argv)-1] // of its own name, unless told
			err := templates.Write(name, dir)
			switch {
			case errors.Is(err, templates.ErrUnknown):
				return usageError{err}
			case errors.Is(err, fs.ErrExist):
				return fmt.Errorf("%w; nothing is overwritten: name another directory", err)
			case err != nil:
				return err
			}
			return a.print(written{Template: name, Directory: dir}, func(w io.Writer) error {
				_, err := fmt.Fprintf(w, "The template is in %s. Push it: adit templates push %s -d %s\n", dir, name, dir)
				return err
			})
		},
	}
}
