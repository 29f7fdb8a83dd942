package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
)

// maxSubject is how much of a commit's subject a version's message has room for.
const maxSubject = 150

// checkout is what a push takes from a git repository.
type checkout struct {
	dir     string // where the template's files are
	message string // the commit, for those who read the list of versions
	remove  func()
}

// clone fetches a branch, or tag, of a repository, with the credentials that git has.
// ref is empty for the repository's own branch; below is the template's directory
// within it.
func clone(ctx context.Context, url, ref, below string) (checkout, error) {
	if !filepath.IsLocal(below) {
		return checkout{}, usagef("-d %s: with --git it is a directory of the repository", below)
	}
	temp, err := os.MkdirTemp("", "adit-template-")
	if err != nil {
		return checkout{}, fmt.Errorf("clone %s: %w", url, err)
	}
	c := checkout{dir: filepath.Join(temp, "repository", below), remove: func() { _ = os.RemoveAll(temp) }}
	argv := []string{"clone", "--quiet", "--depth", "1"}
	if ref != "" {
		argv = append(argv, "--branch", ref)
	}
	root := filepath.Join(temp, "repository")
	if _, err = git(ctx, temp, append(argv, "--", url, root)...); err == nil {
		c.message, err = git(ctx, root, "log", "-1", "--format=%h %s")
	}
	if err != nil {
		c.remove()
		return checkout{}, err
	}
	if r := []rune(oneLine(c.message)); len(r) > maxSubject {
		c.message = string(r[:maxSubject]) + "…"
	} else {
		c.message = string(r)
	}
	return c, nil
}

// git runs git, which asks nobody for a password.
func git(ctx context.Context, dir string, argv ...string) (string, error) {
	cmd := exec.CommandContext(ctx, "git", argv...)
	var out, errOut bytes.Buffer
	cmd.Dir, cmd.Stdout, cmd.Stderr = dir, &out, &errOut
	cmd.Env = append(os.Environ(), "GIT_TERMINAL_PROMPT=0")
	err := cmd.Run()
	if errors.Is(err, exec.ErrNotFound) {
		return "", errors.New("there is no git on this machine; install it, or push a directory with -d")
	}
	if err != nil {
		return "", fmt.Errorf("git %s: %s (%w)", argv[0], oneLine(strings.TrimSpace(errOut.String())), err)
	}
	return out.String(), nil
}
