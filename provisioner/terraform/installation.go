// Package terraform runs Terraform for one job at a time in a directory and an
// environment of its own, and reads what it says.
//
// [Install] lays out, once for all jobs, a filesystem mirror with the provider
// adit/adit, a configuration that names it, and a cache of the other plugins.
// [Installation.Open] gives a job its [Run]; its methods are called one after
// another, in the order Init, Plan, Apply, Show. The context of each
// governs it: when it is done, Terraform is interrupted, and killed with all that
// it started after [Config.Grace].
package terraform

import (
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/hashicorp/terraform-exec/tfexec"
)

// DefaultGrace is how long Terraform may take to stop when it is interrupted:
// providers finish the request they are at.
const DefaultGrace = 20 * time.Second

// Source is the address of the provider that adit itself serves.
const Source = "registry.terraform.io/adit/adit"

// tofuSource is the same for OpenTofu, which has another registry.
const tofuSource = "registry.opentofu.org/adit/adit"

// ProviderCommand is the hidden command by which the adit binary serves it.
const ProviderCommand = "terraform-provider"

// Config configures an Installation.
type Config struct {
	// Dir is where the mirror, the plugin cache and the configuration go.
	Dir string
	// Exec is the terraform binary, or a directory with several; empty means those
	// on PATH.
	Exec string
	// Releases are where a Terraform is had that a template requires and that is not
	// there; nil is that none is installed.
	Releases *Releases
	// Adit is the adit binary, which serves the provider adit/adit; empty means
	// that there is no such provider.
	Adit string
	// Version of the provider: X.Y.Z. Anything else means 0.0.1.
	Version string
	// Mirrors are directories with providers that are not fetched, laid out as
	// 'terraform providers mirror' does. What is in none is asked of its registry.
	Mirrors []string
	// Environ is the environment that jobs start from, as os.Environ. What
	// belongs to adit and to databases is left out.
	Environ []string
	// Grace is how long an interrupted Terraform may take; zero means DefaultGrace.
	Grace time.Duration
}

// Installation is what all jobs share.
type Installation struct {
	cfg Config
	env map[string]string

	prepared preparations

	installing chan struct{} // has a value while a Terraform is installed
	fetching   chan struct{} // has a value while an init may fetch plugins

	mu    sync.Mutex        // guards the following
	known map[string]binary // programs that were asked for their version, by path
}

// Install prepares dir. A Terraform that is missing is no error here: jobs fail
// with ErrMissing, so that it can still be installed.
func Install(cfg Config) (*Installation, error) {
	if cfg.Grace == 0 {
		cfg.Grace = DefaultGrace
	}
	dir, err := filepath.Abs(cfg.Dir)
	if err != nil {
		return nil, fmt.Errorf("terraform: directory %s: %w", cfg.Dir, err)
	}
	cfg.Dir = dir
	in := &Installation{cfg: cfg, env: environment(cfg.Environ), known: make(map[string]binary), installing: make(chan struct{}, 1), fetching: make(chan struct{}, 1)}
	_ = os.RemoveAll(in.stagingDir()) // or what an earlier process left is still at work
	if err := os.MkdirAll(in.cacheDir(), 0o700); err != nil {
		return nil, fmt.Errorf("terraform: %w", err)
	}
	if err := in.layMirror(); err != nil {
		return nil, fmt.Errorf("terraform: lay out the provider mirror: %w", err)
	}
	in.env["TF_CLI_CONFIG_FILE"] = in.configFile()
	delete(in.env, "TF_PLUGIN_CACHE_DIR") // each init has one
	// Lock files come from other platforms too; what the cache holds was checked
	// when it got there.
	in.env["TF_PLUGIN_CACHE_MAY_BREAK_DEPENDENCY_LOCK_FILE"] = "1"
	in.env["CHECKPOINT_DISABLE"] = "1"
	in.env["ADIT_EXECUTABLE"] = cfg.Adit
	if in.env["GOGC"] == "" {
		// Most of what Terraform does is to start, and a quarter of that to collect
		// garbage before there is much. With 5,000 resources this costs 60 MiB.
		in.env["GOGC"] = "200"
	}
	return in, nil
}

// Grace is how long an interrupted Terraform may take.
func (in *Installation) Grace() time.Duration { return in.cfg.Grace }

func (in *Installation) cacheDir() string   { return filepath.Join(in.cfg.Dir, "cache") }
func (in *Installation) stagingDir() string { return filepath.Join(in.cfg.Dir, "staging") }
func (in *Installation) mirrorDir() string  { return filepath.Join(in.cfg.Dir, "mirror") }
func (in *Installation) configFile() string { return filepath.Join(in.cfg.Dir, "terraform.tfrc") }

// launcher is the provider's executable in the mirror. Terraform hashes what is
// there at each start: these few bytes take no time, and are the same on every
// host, wherever its adit is.
const launcher = "#!/bin/sh\nexec \"$ADIT_EXECUTABLE\" " + ProviderCommand + " \"$@\"\n"

var releaseVersion = regexp.MustCompile(`^v?([0-9]+\.[0-9]+\.[0-9]+)`)

// layMirror writes the mirror and the configuration that names it. Files that
// are right are left alone: jobs of an earlier process may be using them.
func (in *Installation) layMirror() error {
	version := "0.0.1"
	if m := releaseVersion.FindStringSubmatch(in.cfg.Version); m != nil {
		version = m[1]
	}
	var own string
	sources := list([]string{Source, tofuSource})
	if in.cfg.Adit != "" {
		for _, source := range []string{Source, tofuSource} {
			pkg := filepath.Join(in.mirrorDir(), filepath.FromSlash(source), version, runtime.GOOS+"_"+runtime.GOARCH)
			if err := os.MkdirAll(pkg, 0o755); err != nil {
				return err
			}
			if err := replace(filepath.Join(pkg, "terraform-provider-adit_v"+version), launcher, 0o755); err != nil {
				return err
			}
		}
		own = fmt.Sprintf("  filesystem_mirror {\n    path    = %q\n    include = %s\n  }\n", in.mirrorDir(), sources)
	}
	var others strings.Builder
	here := []string{Source, tofuSource}
	for _, dir := range in.cfg.Mirrors {
		fmt.Fprintf(&others, "  filesystem_mirror {\n    path    = %q\n    exclude = %s\n  }\n", dir, sources)
		mirrored, err := mirroredIn(dir)
		if err != nil {
			return err
		}
		here = append(here, mirrored...)
	}
	config := "provider_installation {\n" + own + others.String() +
		fmt.Sprintf("  direct {\n    exclude = %s\n  }\n}\n", list(here))
	return replace(in.configFile(), config, 0o644)
}

// mirroredIn returns the addresses of the providers in a mirror. Terraform asks every
// place that may have a provider, and fails if one does not answer: a registry must not
// be asked for what is in a mirror, or that is of no use where there is no registry.
func mirroredIn(dir string) ([]string, error) {
	sources, err := fs.Glob(os.DirFS(dir), "*.*/*/*") // host, namespace and type
	if err != nil {
		return nil, fmt.Errorf("provider mirror %s: %w", dir, err)
	}
	return sources, nil
}

// list is a list of strings as Terraform's configuration has it.
func list(all []string) string {
	quoted := make([]string, len(all))
	for i, s := range all {
		quoted[i] = strconv.Quote(s)
	}
	return "[" + strings.Join(quoted, ", ") + "]"
}

// replace makes sure that a file has this content, at no moment half of it.
func replace(path, content string, mode os.FileMode) error {
	if old, err := os.ReadFile(path); err == nil && string(old) == content {
		return nil
	}
	next := path + ".new"
	if err := os.WriteFile(next, []byte(content), mode); err != nil {
		return err
	}
	return os.Rename(next, path)
}

// environment is what Terraform inherits: cloud credentials are, adit's own
// settings and ways into databases are not.
func environment(environ []string) map[string]string {
	env := make(map[string]string)
	for _, kv := range environ {
		name, value, _ := strings.Cut(kv, "=")
		switch {
		case strings.HasPrefix(name, "ADIT_"), strings.HasPrefix(name, "PG"),
			strings.Contains(name, "POSTGRES"), strings.Contains(name, "DATABASE_URL"):
		default:
			env[name] = value
		}
	}
	return tfexec.CleanEnv(env)
}
