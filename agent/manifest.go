package agent

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/aditmesh/adit/agent/app"
	"github.com/aditmesh/adit/agent/content"
	"github.com/aditmesh/adit/agent/family"
	"github.com/aditmesh/adit/agent/metadata"
	"github.com/aditmesh/adit/agent/script"
	"github.com/aditmesh/adit/agent/ssh"
	"github.com/aditmesh/adit/agent/task"
	"github.com/aditmesh/adit/pkg/sdk"
	"github.com/aditmesh/adit/tunnel"
)

// askAgainEvery is how soon a coordinator that could not give the manifest is
// asked again.
const askAgainEvery = time.Second

// askManifest asks the coordinator what this agent is to be, until it answers,
// the node ends or ctx does; then the manifest is empty.
func askManifest(ctx context.Context, c *sdk.Client, node *tunnel.Node, log *slog.Logger) (sdk.Manifest, error) {
	for {
		m, err := c.Manifest(ctx)
		var refused *sdk.Error
		switch {
		case err == nil:
			return m, nil
		case ctx.Err() != nil:
			return m, nil // and serving ends at once
		case errors.As(err, &refused) && refused.Status < http.StatusInternalServerError:
			// One that is older has none, and one that has just revoked the
			// token says so to the node.
			log.Warn("the coordinator has no manifest for this agent", "err", err)
			return m, nil
		}
		log.Info("waiting for the coordinator's manifest", "err", err)
		select {
		case <-ctx.Done():
		case <-node.Done():
			return m, fmt.Errorf("agent: %w", node.Err())
		case <-time.After(askAgainEvery):
		}
	}
}

// place is where sessions and scripts run.
type place struct {
	account ssh.Account
	dir     string
	env     []string
	start   family.Starter // nil starts programs as they are
}

// scripts returns the runner of a manifest's scripts. They run as a session
// does, and where one would begin.
func (p place) scripts(m sdk.Manifest, c *sdk.Client, cfg Config, out *outgoing) *script.Runner {
	var outputs []script.Output
	for _, o := range cfg.Handover.Outputs {
		outputs = append(outputs, script.Output{Script: o.Script, File: os.NewFile(o.FD, o.Script)})
	}
	return script.New(script.Config{
		Steps:   content.Steps(content.Config{Repositories: m.Repositories, Dotfiles: m.Dotfiles, Home: p.account.Home, Env: p.environ(), Start: p.start, Ports: func(list []task.Port) { out.says(settingsOf(list)) }}),
		Scripts: m.Scripts, Shell: p.account.Shell, Dir: p.dir, Home: p.account.Home, Env: p.environ(), Start: p.start, LastLine: m.LastLine, Coordinator: c, Logger: cfg.Logger,
		Before: cfg.Handover.Scripts, Outputs: outputs,
	})
}

// metadata is how a manifest's measures run: as its scripts do.
func (p place) metadata(m sdk.Manifest, report func(key, value, err string)) metadata.Config {
	return metadata.Config{Items: m.Metadata, Shell: p.account.Shell, Dir: p.begin(), Env: p.environ(), Start: p.start, Report: report}
}

// apps is how a manifest's applications run: as its scripts do.
func (p place) apps(m sdk.Manifest, report func([]app.State), log *slog.Logger) app.Config {
	return app.Config{Apps: m.Apps, Shell: p.account.Shell, Dir: p.begin(), Env: p.environ(), Start: p.start, Report: report, Logger: log}
}

// begin is where scripts begin.
func (p place) begin() string {
	if info, err := os.Stat(p.dir); err == nil && info.IsDir() {
		return p.dir
	}
	return p.account.Home
}

// environ is the environment of scripts.
func (p place) environ() []string {
	return append(slices.Clone(p.env), "USER="+p.account.Name, "LOGNAME="+p.account.Name, "HOME="+p.account.Home, "SHELL="+p.account.Shell)
}

// directory reads where a template wants sessions to begin: below the home
// directory unless it is absolute.
func directory(wanted, home string) string {
	if rest, ok := strings.CutPrefix(wanted, "~"); ok && (rest == "" || rest[0] == '/') {
		return filepath.Join(home, rest)
	}
	if wanted == "" || filepath.IsAbs(wanted) {
		return wanted
	}
	return filepath.Join(home, wanted)
}

// sessionEnv is the agent's environment without what is the agent's own, its
// token above all, and with what the template adds and what tells programs
// where they are.
func sessionEnv(env []string, m sdk.Manifest) []string {
	var kept []string
	for _, kv := range env {
		if !strings.HasPrefix(kv, "ADIT_") {
			kept = append(kept, kv)
		}
	}
	for _, name := range slices.Sorted(maps.Keys(m.Env)) {
		if kv := name + "=" + m.Env[name]; name != "" && !strings.ContainsAny(name, "=\x00") && !strings.Contains(kv, "\x00") {
			kept = append(kept, kv)
		}
	}
	if m.Workspace != "" {
		kept = append(kept, "ADIT_WORKSPACE="+m.Workspace, "ADIT_OWNER="+m.Owner, "ADIT_AGENT="+m.Agent)
	}
	return kept
}

// whereEnv is what tells programs where they are, by the node's name: a workspace that
// was prepared is called otherwise once it is somebody's.
func whereEnv(m sdk.Manifest, name string) []string {
	workspace, owner, ok := strings.Cut(strings.TrimPrefix(name, m.Agent+"."), ".")
	if m.Workspace == "" || !ok {
		return nil
	}
	return []string{"ADIT_WORKSPACE=" + workspace, "ADIT_OWNER=" + owner}
}

// helpGit has git in sessions and scripts ask the agent for credentials. The
// function that it returns ends that.
func (p *place) helpGit(c *sdk.Client, log *slog.Logger) (end func()) {
	program, err := os.Executable()
	if err != nil {
		log.Warn("git gets no credentials", "err", err)
		return func() {}
	}
	answers, err := content.Serve(c, log)
	if err != nil {
		log.Warn("git gets no credentials", "err", err)
		return func() {}
	}
	p.env = answers.Env(p.env, program)
	return func() { _ = answers.Close() } // nobody is left to ask
}
