package main

import (
	"context"
	"fmt"
	"io"
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"github.com/aditmesh/adit/pkg/archive"
	"github.com/aditmesh/adit/pkg/foreign"
	"github.com/aditmesh/adit/pkg/sdk"
)

// fileChange is a file of a template that differs between two versions.
type fileChange struct {
	File string `json:"file"`
	Was  string `json:"was,omitempty"`
	Is   string `json:"is,omitempty"`
}

func newTemplatesDiffCmd(a *app) *cobra.Command {
	var dir string
	cmd := &cobra.Command{
		Use: "diff NAME [FROM [TO]]", Short: "Show how two versions of a template differ", Args: args(cobra.RangeArgs(1, 3)), ValidArgsFunction: a.completeTemplate,
		Long: `Show how two versions of a template differ, as patch(1) reads it: FROM, the active one
unless given, and TO, the newest unless given, or the files of a directory.`,
		Example: `  adit templates diff process            # what the newest changes of the active one
  adit templates diff process 3 5
  adit templates diff process -d .       # what a push would change`,
		RunE: func(command *cobra.Command, argv []string) error {
			if dir != "" && len(argv) == 3 {
				return usagef("-d and TO are two things to compare with; name one")
			}
			diff := comparison{name: argv[0], dir: dir}
			numbers := []*int{&diff.from, &diff.to}
			for i, text := range argv[1:] {
				n, err := strconv.Atoi(text)
				if err != nil || n < 1 {
					return usagef("version %q: want a number, as 'adit templates versions %s' lists them", text, argv[0])
				}
				*numbers[i] = n
			}
			c, err := a.client()
			if err != nil {
				return err
			}
			changes, err := diff.changes(command.Context(), c)
			if err != nil {
				return noTemplate(err, argv[0])
			}
			if len(changes) == 0 {
				fmt.Fprintln(a.err, diff.same()) // what patch(1) reads stays empty
			}
			return a.print(changes, func(w io.Writer) error {
				for _, f := range changes {
					if err := writeDiff(w, foreign.Printable(f.File), f.Was, f.Is); err != nil {
						return err
					}
				}
				return nil
			})
		},
	}
	cmd.Flags().StringVarP(&dir, "directory", "d", "", "compare with the files there, which are not pushed yet")
	return cmd
}

// comparison is of two versions of a template, or of one with a directory.
type comparison struct {
	name     string
	from, to int    // numbers of versions; 0 is the active one, and the newest
	dir      string // in the place of to
}

// changes returns what differs. From then on from and to are what was compared.
func (diff *comparison) changes(ctx context.Context, c *sdk.Client) ([]fileChange, error) {
	if err := diff.settle(ctx, c); err != nil {
		return nil, err
	}
	was, err := filesOf(ctx, c, diff.name, diff.from)
	if err != nil {
		return nil, err
	}
	is := was
	switch {
	case diff.dir != "":
		packed, err := archive.Pack(diff.dir)
		if err != nil {
			return nil, explainPack(err, diff.dir)
		}
		if is, err = archive.Files(packed); err != nil {
			return nil, err
		}
	case diff.to != diff.from:
		if is, err = filesOf(ctx, c, diff.name, diff.to); err != nil {
			return nil, err
		}
	}
	changes := []fileChange{}
	names := slices.Concat(slices.Collect(maps.Keys(was)), slices.Collect(maps.Keys(is)))
	slices.Sort(names)
	for _, n := range slices.Compact(names) {
		if was[n] != is[n] {
			changes = append(changes, fileChange{File: n, Was: strings.ToValidUTF8(was[n], "\uFFFD"), Is: strings.ToValidUTF8(is[n], "\uFFFD")})
		}
	}
	return changes, nil
}

// settle finds the numbers of the versions that are meant.
func (diff *comparison) settle(ctx context.Context, c *sdk.Client) error {
	if diff.from == 0 {
		t, err := c.Template(ctx, diff.name)
		if err != nil {
			return err
		}
		if diff.from = t.ActiveNumber; diff.from == 0 {
			return fmt.Errorf("template %s has no active version; name two, from 'adit templates versions %s'", diff.name, diff.name)
		}
	}
	if diff.to != 0 || diff.dir != "" {
		return nil
	}
	for v, err := range c.EachTemplateVersion(ctx, diff.name, sdk.ListOptions{PageSize: 1}) {
		if err != nil {
			return err
		}
		diff.to = v.Number
		break
	}
	return nil
}

// same says what there is no change between.
func (diff *comparison) same() string {
	switch {
	case diff.dir != "":
		return fmt.Sprintf("The files of %s are those of version %d.", diff.dir, diff.from)
	case diff.from != diff.to:
		return fmt.Sprintf("Versions %d and %d have the same files.", diff.from, diff.to)
	case diff.to == 1:
		return "There is nothing to compare: version 1 is the first. Compare it with files by -d DIR."
	}
	return fmt.Sprintf("There is nothing to compare: both are version %d. Try 'adit templates diff %s %d %d', or -d DIR for files.", diff.to, diff.name, diff.to-1, diff.to)
}

func filesOf(ctx context.Context, c *sdk.Client, name string, number int) (map[string]string, error) {
	packed, err := c.VersionArchive(ctx, name, number)
	if err != nil {
		return nil, err
	}
	return archive.Files(packed)
}
