package content

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"time"

	"github.com/aditmesh/adit/pkg/sdk"
)

// unfinished marks the names of clones that are not where they belong yet. One that
// is found was left by an agent that was killed.
const unfinished = ".adit-clone-"

// commit is the full name of one.
var commit = regexp.MustCompile(`^[0-9a-f]{40}([0-9a-f]{24})?$`)

// clone makes a clone in dir unless something is there. It is an error if that is
// no clone.
func (cfg Config) clone(ctx context.Context, repo sdk.Repository, dir string, say func(level, line string)) error {
	if err := check(repo.URL, repo.Ref); err != nil {
		return err
	}
	entries, err := os.ReadDir(dir)
	switch {
	case errors.Is(err, fs.ErrNotExist):
	case err != nil:
		return fmt.Errorf("look at %s: %w", dir, err)
	case len(entries) > 0:
		if _, err := os.Stat(filepath.Join(dir, ".git")); err == nil {
			say("info", dir+" is there already, and stays as it is")
			return nil
		}
		return fmt.Errorf("%s has files in it and is no clone; it stays as it is, choose another directory for %s", dir, hidden(repo.URL))
	}
	parent := filepath.Dir(dir)
	if err := os.MkdirAll(parent, 0o755); err != nil {
		return fmt.Errorf("make a place for the clone: %w", err)
	}
	sweep(dir)
	pause := cfg.RetryAfter
	for try := 1; ; try++ {
		err := cfg.cloneOnce(ctx, repo, dir, say)
		switch {
		case err == nil:
			return nil
		case ctx.Err() != nil, try == tries, isFinal(err):
			return err
		}
		say("warn", fmt.Sprintf("try %d of %d failed; the next follows in %v", try, tries, pause))
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(pause):
		}
		pause *= 2
	}
}

// sweep removes what was left unfinished for dir.
func sweep(dir string) {
	left, _ := filepath.Glob(filepath.Join(filepath.Dir(dir), "."+filepath.Base(dir)+unfinished+"*")) // the pattern is a good one
	for _, path := range left {
		_ = os.RemoveAll(path) // what cannot go is in nobody's way
	}
}

// cloneOnce makes a clone beside dir and moves it there.
func (cfg Config) cloneOnce(ctx context.Context, repo sdk.Repository, dir string, say func(level, line string)) error {
	tmp, err := os.MkdirTemp(filepath.Dir(dir), "."+filepath.Base(dir)+unfinished)
	if err != nil {
		return fmt.Errorf("make a place for the clone: %w", err)
	}
	defer os.RemoveAll(tmp)
	at := filepath.Join(tmp, "clone")
	say("info", fmt.Sprintf("cloning %s into %s", hidden(repo.URL), dir))
	for _, args := range commands(repo, at) {
		if err := cfg.git(ctx, say, args...); err != nil {
			return err
		}
	}
	// An empty directory gives way; one on a disk of its own does not.
	if err := os.Remove(dir); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fillIn(at, dir)
	}
	if err := os.Rename(at, dir); err != nil {
		return fmt.Errorf("move the clone to its place: %w", err)
	}
	return nil
}

// fillIn moves what a clone consists of into an empty directory that has to stay
// what it is, .git last: until then it is no clone.
func fillIn(at, dir string) error {
	if entries, err := os.ReadDir(dir); err != nil || len(entries) > 0 {
		return errors.Join(fmt.Errorf("%s is not empty any more", dir), err)
	}
	if err := os.CopyFS(dir, os.DirFS(at)); err != nil {
		return fmt.Errorf("move the clone into %s: %w", dir, err)
	}
	return nil
}

// commands are what makes a clone.
func commands(repo sdk.Repository, at string) [][]string {
	clone := []string{"clone"}
	exact := commit.MatchString(repo.Ref)
	depth := fmt.Sprintf("--depth=%d", repo.Depth)
	if repo.Depth > 0 {
		clone = append(clone, depth)
	}
	switch {
	case exact:
		clone = append(clone, "--no-checkout")
	case repo.Ref != "":
		clone = append(clone, "--branch="+repo.Ref)
	}
	if repo.Submodules && !exact {
		clone = append(clone, "--recurse-submodules")
		if repo.Depth > 0 {
			clone = append(clone, "--shallow-submodules")
		}
	}
	list := [][]string{append(clone, "--", repo.URL, at)}
	if !exact {
		return list
	}
	if repo.Depth > 0 {
		list = append(list, []string{"-C", at, "fetch", depth, "origin", repo.Ref})
	}
	list = append(list, []string{"-C", at, "checkout", "--detach", repo.Ref})
	if repo.Submodules {
		update := []string{"-C", at, "submodule", "update", "--init", "--recursive"}
		if repo.Depth > 0 {
			update = append(update, depth)
		}
		list = append(list, update)
	}
	return list
}

// finals are what git says when another try would end as this one did.
var finals = []string{
	"Authentication failed", "could not read Username", "could not read Password", "terminal prompts disabled",
	"not found", "The requested URL returned error: 40", "is not a commit", "reference is not a tree", "not our ref", "Permission denied",
	"unadvertised object", "transport '", "No space left",
}

// isFinal reports whether an error of git's stays.
func isFinal(err error) bool {
	if errors.Is(err, errNoGit) {
		return true
	}
	for _, f := range finals {
		if strings.Contains(err.Error(), f) {
			return true
		}
	}
	return false
}
