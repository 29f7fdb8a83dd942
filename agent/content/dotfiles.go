package content

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/aditmesh/adit/pkg/sdk"
)

// installers are what sets dotfiles up; the first that is there does.
var installers = []string{
	"install.sh", "install", "bootstrap.sh", "bootstrap", "script/bootstrap", "setup.sh", "setup", "script/setup",
}

// notForHome are files of a repository that are about itself.
var notForHome = []string{".git", ".github", ".gitignore", ".gitmodules", ".gitattributes"}

// installTimeout bounds setting dotfiles up: log-ins may wait for it.
const installTimeout = 15 * time.Minute

// installed is where it is noted which commit was set up last.
const installed = ".git/adit/installed"

// dotfiles fetches the owner's dotfiles and sets them up, once a commit.
func (cfg Config) dotfiles(ctx context.Context, d sdk.Dotfiles, say func(level, line string)) error {
	repo := sdk.Repository{URL: d.URL, Ref: d.Ref, Directory: ".dotfiles"}
	dir := cfg.place(repo)
	_, err := os.Stat(filepath.Join(dir, ".git"))
	there := err == nil
	if err := cfg.clone(ctx, repo, dir, say); err != nil {
		return err
	}
	if there {
		cfg.pull(ctx, dir, say)
	}
	head := cfg.ask(ctx, dir, "rev-parse", "HEAD")
	before, err := os.ReadFile(filepath.Join(dir, installed))
	if err == nil && head != "" && string(before) == head {
		say("info", "they are set up already")
		return nil
	}
	limited, cancel := context.WithTimeout(ctx, installTimeout)
	defer cancel()
	if err := cfg.install(limited, dir, say); err != nil {
		return fmt.Errorf("set up the dotfiles: %w", err)
	}
	if err := os.MkdirAll(filepath.Dir(filepath.Join(dir, installed)), 0o755); err != nil {
		return fmt.Errorf("note that dotfiles are set up: %w", err)
	}
	return os.WriteFile(filepath.Join(dir, installed), []byte(head), 0o644)
}

// pull brings dotfiles up to date unless somebody works on them.
func (cfg Config) pull(ctx context.Context, dir string, say func(level, line string)) {
	if cfg.ask(ctx, dir, "status", "--porcelain") != "" {
		say("info", "they have changes of your own, and stay as they are")
		return
	}
	if err := cfg.git(ctx, say, "-C", dir, "pull", "--ff-only"); err != nil {
		say("warn", "they stay as they are: "+err.Error())
	}
}

// ask returns what git answers; nothing if it cannot.
func (cfg Config) ask(ctx context.Context, dir string, args ...string) string {
	var answer []string
	err := cfg.git(ctx, func(_, line string) { answer = append(answer, line) }, append([]string{"-C", dir}, args...)...)
	if err != nil {
		return ""
	}
	return strings.Join(answer, "\n")
}

// install runs what sets dotfiles up or, if there is nothing that does, links them
// into the home directory where nothing is in their place.
func (cfg Config) install(ctx context.Context, dir string, say func(level, line string)) error {
	for _, name := range installers {
		path := filepath.Join(dir, name)
		info, err := os.Stat(path)
		if err != nil || !info.Mode().IsRegular() {
			continue
		}
		say("info", "running "+name)
		if info.Mode()&0o111 == 0 {
			shell, err := exec.LookPath("sh")
			if err != nil {
				return err
			}
			return run(ctx, cfg.Start, shell, []string{path}, dir, cfg.Env, say)
		}
		return run(ctx, cfg.Start, path, nil, dir, cfg.Env, say)
	}
	entries, err := os.ReadDir(dir)
	if err != nil {
		return err
	}
	for _, e := range entries {
		name := e.Name()
		if !strings.HasPrefix(name, ".") || slices.Contains(notForHome, name) {
			continue
		}
		switch err := os.Symlink(filepath.Join(dir, name), filepath.Join(cfg.Home, name)); {
		case errors.Is(err, fs.ErrExist):
			say("info", name+" is in the home directory already, and stays as it is")
		case err != nil:
			return err
		default:
			say("info", "linked "+name)
		}
	}
	return nil
}
