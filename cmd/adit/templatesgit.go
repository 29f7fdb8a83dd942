package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"

	"github.com/aditmesh/adit/pkg/archive"
)

// maxSubject is how much of a commit's subject a version's message has room for.
const maxSubject = 150

// taken is a template's files as a git repository has them.
type taken struct {
	archive []byte
	message string // the commit, for those who read the list of versions
}

// takeFromGit fetches a branch, or tag, of a repository, with the credentials that git
// has, and packs a directory of it. ref is empty for the repository's own branch.
func takeFromGit(ctx context.Context, url, ref, below string) (taken, error) {
	if !filepath.IsLocal(below) {
		return taken{}, usagef("-d %s: with --git it is a directory of the repository", below)
	}
	temp, err := os.MkdirTemp("", "adit-template-")
	if err != nil {
		return taken{}, fmt.Errorf("clone %s: %w", url, err)
	}
	defer os.RemoveAll(temp)
	root := filepath.Join(temp, "repository")
	argv := []string{"clone", "--quiet", "--depth", "1"}
	if ref != "" {
		argv = append(argv, "--branch", ref)
	}
	if _, err := git(ctx, temp, append(argv, "--", url, root)...); err != nil {
		return taken{}, err
	}
	message, err := git(ctx, root, "log", "-1", "--format=%h %s")
	if err != nil {
		return taken{}, err
	}
	t := taken{message: oneLine(message)}
	if r := []rune(t.message); len(r) > maxSubject {
		t.message = string(r[:maxSubject]) + "…"
	}
	where := withoutUser(url)
	if ref != "" {
		where = ref + " of " + where
	}
	t.archive, err = packBelow(root, below, where)
	return t, err
}

// packBelow packs a directory of a repository, which people know as where.
func packBelow(repository, below, where string) ([]byte, error) {
	root, err := os.OpenRoot(repository)
	if err != nil {
		return nil, err
	}
	defer root.Close()
	info, err := root.Stat(below) // a link that leads out is none to it
	if err != nil {
		return nil, fmt.Errorf("there is no directory %s in %s; -d names one of the repository", filepath.ToSlash(below), where)
	}
	if below != "." {
		where = filepath.ToSlash(below) + " in " + where
	}
	if !info.IsDir() {
		return nil, fmt.Errorf("%s is no directory; -d names one of the repository", where)
	}
	packed, err := archive.Pack(filepath.Join(repository, below))
	if err != nil {
		return nil, explainPack(err, where)
	}
	return packed, nil
}

// withUser is a URL with a name, and often a password, or a token in place of both.
var withUser = regexp.MustCompile(`^(?i)(https?://)[^/]*@`)

// withoutUser leaves out of a URL what may be a secret, as git does.
func withoutUser(url string) string { return withUser.ReplaceAllString(url, "$1") }

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
	said := oneLine(strings.TrimSpace(errOut.String()))
	if err != nil && said != "" {
		return "", fmt.Errorf("git %s: %s%s", argv[0], said, adviceOn(said))
	}
	if err != nil {
		return "", fmt.Errorf("git %s: %w", argv[0], err)
	}
	return out.String(), nil
}

// adviceOn is what to try when git says what it says to nobody at a terminal.
func adviceOn(said string) string {
	switch {
	case strings.Contains(said, "could not read "), strings.Contains(said, "Authentication failed"):
		return "; the repository wants a name and a password, or a token: have git keep them (git help credentials), or fetch it by ssh"
	case strings.Contains(said, "certificate verification failed"), strings.Contains(said, "SSL certificate problem"):
		return "; have this machine trust the server's certificate, or name the file with it in GIT_SSL_CAINFO"
	}
	return ""
}
