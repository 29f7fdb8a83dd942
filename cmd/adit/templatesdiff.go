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
		RunE: func(cmd *cobra.Command, argv []string) error {
			if dir != "" && len(argv) == 3 {
				return usagef("-d and TO are two things to compare with; name one")
			}
			numbers := []int{0, 0}
			for i, text := range argv[1:] {
				n, err := strconv.Atoi(text)
				if err != nil || n < 1 {
					return usagef("version %q: want a number, as 'adit templates versions %s' lists them", text, argv[0])
				}
				numbers[i] = n
			}
			c, err := a.client()
			if err != nil {
				return err
			}
			changes, same, err := changesOf(cmd.Context(), c, argv[0], numbers[0], numbers[1], dir)
			if err != nil {
				return noTemplate(err, argv[0])
			}
			if len(changes) == 0 {
				fmt.Fprintln(a.err, same) // what patch(1) reads stays empty
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

// changesOf compares two versions of a template, or one with a directory. If there are
// no changes, same says what is the same.
func changesOf(ctx context.Context, c *sdk.Client, name string, from, to int, dir string) (changes []fileChange, same string, err error) {
	if from == 0 {
		t, err := c.Template(ctx, name)
		if err != nil {
			return nil, "", err
		}
		if from = t.ActiveNumber; from == 0 {
			return nil, "", fmt.Errorf("template %s has no active version; name two, from 'adit templates versions %s'", name, name)
		}
	}
	was, err := filesOf(ctx, c, name, from)
	if err != nil {
		return nil, "", err
	}
	var is map[string]string
	if dir != "" {
		same = fmt.Sprintf("The files of %s are those of version %d.", dir, from)
		packed, err := archive.Pack(dir)
		if err != nil {
			return nil, "", explainPack(err, dir)
		}
		is, err = archive.Files(packed)
		if err != nil {
			return nil, "", err
		}
	} else {
		if to == 0 {
			for v, err := range c.EachTemplateVersion(ctx, name, sdk.ListOptions{PageSize: 1}) {
				if err != nil {
					return nil, "", err
				}
				to = v.Number
				break
			}
		}
		switch {
		case from != to:
			same = fmt.Sprintf("Versions %d and %d have the same files.", from, to)
		case to == 1:
			same = "There is nothing to compare: version 1 is the first. Compare it with files by -d DIR."
		default:
			same = fmt.Sprintf("There is nothing to compare: both are version %d. Try 'adit templates diff %s %d %d', or -d DIR for files.", to, name, to-1, to)
		}
		if from == to {
			return []fileChange{}, same, nil
		}
		if is, err = filesOf(ctx, c, name, to); err != nil {
			return nil, "", err
		}
	}
	changes = []fileChange{}
	names := slices.Concat(slices.Collect(maps.Keys(was)), slices.Collect(maps.Keys(is)))
	slices.Sort(names)
	for _, n := range slices.Compact(names) {
		if was[n] != is[n] {
			changes = append(changes, fileChange{File: n, Was: strings.ToValidUTF8(was[n], "\uFFFD"), Is: strings.ToValidUTF8(is[n], "\uFFFD")})
		}
	}
	return changes, same, nil
}

func filesOf(ctx context.Context, c *sdk.Client, name string, number int) (map[string]string, error) {
	packed, err := c.VersionArchive(ctx, name, number)
	if err != nil {
		return nil, err
	}
	return archive.Files(packed)
}
