// Package content puts into a workspace what people work on: clones of the
// repositories that its template names, and its owner's dotfiles.
//
// [Steps] are what agent/script does before it runs scripts. Nothing that is there
// is ever overwritten: a clone is made beside its place and moved there whole, and
// where something is already it stays as it is. [Serve] answers git, which has no
// credentials of its own, with those that the coordinator keeps for the owner.
package content

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/url"
	"path/filepath"
	"regexp"
	"strings"
	"time"

	"github.com/aditmesh/adit/agent/family"
	"github.com/aditmesh/adit/agent/script"
	"github.com/aditmesh/adit/agent/task"
	"github.com/aditmesh/adit/pkg/sdk"
)

const (
	// tries bounds how often a clone is tried; between two there is a pause that
	// doubles.
	tries             = 5
	defaultRetryAfter = time.Second
)

// Config configures [Steps].
type Config struct {
	Repositories []sdk.Repository
	// Dotfiles are the owner's; nil is none.
	Dotfiles *sdk.Dotfiles
	// Home is where relative directories begin, and Env the environment of git and
	// of what dotfiles run.
	Home string
	Env  []string
	// Start starts those; nil starts them as they are.
	Start family.Starter
	// Ports takes what the repositories say of ports; nil is nobody.
	Ports func([]task.Port)
	// RetryAfter is the first pause after a clone failed. Zero means a second.
	RetryAfter time.Duration
}

// Steps are what has to be done before scripts run, one a repository and one for
// dotfiles.
func Steps(cfg Config) []script.Step {
	cfg.RetryAfter = cmp.Or(cfg.RetryAfter, defaultRetryAfter)
	var steps []script.Step
	for _, repo := range cfg.Repositories {
		if repo.URL == "" {
			continue // a parameter that nobody set
		}
		steps = append(steps, script.Step{
			Name: "repository " + name(repo.URL),
			Do: func(ctx context.Context, say func(level, line string)) ([]sdk.Script, error) {
				return cfg.repository(ctx, repo, say)
			},
		})
	}
	if d := cfg.Dotfiles; d != nil && d.URL != "" {
		steps = append(steps, script.Step{
			Name: "dotfiles",
			Do: func(ctx context.Context, say func(level, line string)) ([]sdk.Script, error) {
				return nil, cfg.dotfiles(ctx, *d, say)
			},
		})
	}
	return steps
}

// repository makes a clone, unless it is there, and returns what its task file
// wants to be run.
func (cfg Config) repository(ctx context.Context, repo sdk.Repository, say func(level, line string)) ([]sdk.Script, error) {
	dir := cfg.place(repo)
	if err := cfg.clone(ctx, repo, dir, say); err != nil {
		return nil, err
	}
	if repo.IgnoreTasks {
		return nil, nil
	}
	found := task.Load(dir)
	for _, w := range found.Warnings {
		say("warn", w.String())
	}
	if found.File != "" {
		say("info", fmt.Sprintf("%s: %d tasks, %d ports", found.File, len(found.Tasks), len(found.Ports)))
	}
	if cfg.Ports != nil && len(found.Ports) > 0 {
		cfg.Ports(found.Ports)
	}
	return found.Scripts(dir, filepath.Base(dir)+": "), nil
}

// place is where a repository goes.
func (cfg Config) place(repo sdk.Repository) string {
	dir := repo.Directory
	if rest, ok := strings.CutPrefix(dir, "~"); ok && (rest == "" || rest[0] == '/') {
		dir = rest
	} else if filepath.IsAbs(dir) {
		return filepath.Clean(dir)
	}
	return filepath.Join(cfg.Home, cmp.Or(dir, name(repo.URL)))
}

// name is what a repository is called by its URL.
func name(u string) string {
	u = strings.TrimSuffix(strings.TrimRight(u, "/"), ".git")
	if n := u[strings.LastIndexAny(u, "/:")+1:]; n != "" && n != "." && n != ".." {
		return n
	}
	return "repository"
}

// likeSCP is USER@HOST:PATH, which git reads as SSH.
var likeSCP = regexp.MustCompile(`^[A-Za-z0-9._-]+@[A-Za-z0-9.-]+:[^\x00-\x1f]+$`)

// protocols are those that a repository may be fetched by.
const protocols = "http:https:ssh:git"

// maxURL bounds URLs and names of refs.
const maxURL = 2 << 10

// check refuses what git would take for an option, a program or a local file.
func check(u, ref string) error {
	if len(u) > maxURL || len(ref) > maxURL {
		return errors.New("a URL or a ref of more than 2 KiB")
	}
	if strings.HasPrefix(ref, "-") || strings.ContainsFunc(ref, func(r rune) bool { return r <= ' ' || r == 0x7f }) {
		return fmt.Errorf("ref %q: want a branch, a tag or a commit", ref)
	}
	if likeSCP.MatchString(u) && !strings.HasPrefix(u, "-") {
		return nil
	}
	parsed, err := url.Parse(u)
	if err != nil || parsed.Host == "" || !strings.Contains(":"+protocols+":", ":"+parsed.Scheme+":") || strings.HasPrefix(parsed.Host, "-") {
		return fmt.Errorf("repository %q: want https://, http://, ssh://, git:// or USER@HOST:PATH", hidden(u))
	}
	return nil
}

// secrets is where a URL has a user's name and password.
var secrets = regexp.MustCompile(`://[^/@\s]*@`)

// hidden is text without what URLs in it have of passwords.
func hidden(text string) string { return secrets.ReplaceAllString(text, "://") }
