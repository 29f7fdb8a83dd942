package terraform

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/hashicorp/go-version"
	"github.com/hashicorp/terraform-exec/tfexec"
)

// versionTimeout is how long a program may take to say its version. It takes
// some 100 ms, and more on a machine that starts eight at once.
const versionTimeout = 20 * time.Second

// oldest is the oldest Terraform, or OpenTofu, that jobs can run: it says what init
// does as JSON.
var oldest = version.Must(version.NewVersion("1.9.0"))

// ErrMissing is the absence of Terraform.
var ErrMissing = errors.New("there is no Terraform on the provisioner's host: put a 'terraform' or 'tofu' of 1.9 or newer on its PATH, or name one, or a directory of them, with --terraform")

// binary is a terraform or a tofu as it is on the disk.
type binary struct {
	path     string
	size     int64
	modified time.Time
	version  *version.Version
	tofu     bool
}

// String names it for people.
func (b binary) String() string {
	if b.tofu {
		return "OpenTofu " + b.version.String()
	}
	return b.version.String()
}

// source is the address of the provider adit/adit for it.
func (b binary) source() string {
	if b.tofu {
		return tofuSource
	}
	return Source
}

// programName matches what a program of some version may be called: terraform, tofu,
// terraform-1.9.8, terraform_v1.11.
var programName = regexp.MustCompile(`^(terraform|tofu)([-_]?v?[0-9][0-9A-Za-z.+-]*)?(\.exe)?$`)

// programs returns the programs that there are. With first, the first of them is the
// one to take if it fits.
func (in *Installation) programs() (paths []string, first bool, err error) {
	if in.cfg.Exec == "" {
		for _, dir := range filepath.SplitList(os.Getenv("PATH")) {
			paths = append(paths, programsIn(dir)...)
		}
		for _, name := range []string{"tofu", "terraform"} {
			if path, err := exec.LookPath(name); err == nil {
				paths, first = slices.Insert(paths, 0, path), true
			}
		}
	} else if info, err := os.Stat(in.cfg.Exec); err == nil && info.IsDir() {
		paths = programsIn(in.cfg.Exec)
		// Those who keep several give each a directory of its own, or a name.
		inner, err := filepath.Glob(filepath.Join(in.cfg.Exec, "*"))
		if err != nil {
			return nil, false, fmt.Errorf("terraform: look into %s: %w", in.cfg.Exec, err)
		}
		for _, dir := range inner {
			paths = append(paths, programsIn(dir)...)
		}
	} else {
		path, err := exec.LookPath(in.cfg.Exec)
		if err != nil {
			return nil, false, fmt.Errorf("%w (%w)", ErrMissing, err)
		}
		paths, first = []string{path}, true
	}
	if in.installs() {
		inner, err := os.ReadDir(in.installedDir())
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return nil, false, fmt.Errorf("terraform: %w", err)
		}
		for _, e := range inner {
			paths = append(paths, programsIn(filepath.Join(in.installedDir(), e.Name()))...)
		}
	}
	var known []string
	for _, path := range paths {
		if path, err = filepath.Abs(path); err != nil {
			return nil, false, fmt.Errorf("terraform: %w", err)
		}
		if !slices.Contains(known, path) {
			known = append(known, path)
		}
	}
	if len(known) == 0 {
		return nil, false, ErrMissing
	}
	return known, first, nil
}

// programsIn returns the programs in a directory; none if it cannot be read, as a
// directory of PATH need not be.
func programsIn(dir string) (paths []string) {
	entries, _ := os.ReadDir(dir)
	for _, e := range entries {
		if !programName.MatchString(e.Name()) {
			continue
		}
		if path, err := exec.LookPath(filepath.Join(dir, e.Name())); err == nil { // it can be run
			paths = append(paths, path)
		}
	}
	return paths
}

// ask returns what a program says it is. It is asked once: that takes as long as
// many a build.
func (in *Installation) ask(ctx context.Context, path string) (binary, error) {
	info, err := os.Stat(path)
	if err != nil {
		return binary{}, fmt.Errorf("terraform: %w", err)
	}
	in.mu.Lock()
	defer in.mu.Unlock()
	if k, ok := in.known[path]; ok && k.size == info.Size() && k.modified.Equal(info.ModTime()) {
		return k, nil
	}
	tf, err := tfexec.NewTerraform(in.cfg.Dir, path)
	if err != nil {
		return binary{}, fmt.Errorf("terraform: %w", err)
	}
	if err := tf.SetEnv(in.env); err != nil {
		return binary{}, fmt.Errorf("terraform: %w", err)
	}
	ctx, cancel := context.WithTimeout(ctx, versionTimeout)
	defer cancel()
	v, _, err := tf.Version(ctx, true)
	if ctx.Err() != nil {
		err = fmt.Errorf("it did not answer: %w", ctx.Err())
	}
	if err != nil {
		return binary{}, fmt.Errorf("terraform: %s says no version, as Terraform does: %w", path, err)
	}
	real, err := filepath.EvalSymlinks(path)
	if err != nil {
		return binary{}, fmt.Errorf("terraform: %w", err)
	}
	in.known[path] = binary{path, info.Size(), info.ModTime(), v, strings.HasPrefix(filepath.Base(real), "tofu")}
	return in.known[path], nil
}

// choose returns the program for a template that has these constraints: the first
// there is, or if that does not fit the newest that does, and OpenTofu only where no
// Terraform does. found tells people what there was when there is none.
func (in *Installation) choose(ctx context.Context, wanted version.Constraints) (best binary, found string, err error) {
	paths, first, err := in.programs()
	if err != nil {
		return binary{}, "", err
	}
	var all []string
	var failed error
	for i, path := range paths {
		b, err := in.ask(ctx, path)
		if err != nil {
			failed = errors.Join(failed, err)
			continue
		}
		switch {
		case b.version.LessThan(oldest):
			all = append(all, fmt.Sprintf("%v (%s, too old: it takes 1.9 or newer)", b, path))
		case !wanted.Check(b.version):
			all = append(all, fmt.Sprintf("%v (%s)", b, path))
		case i == 0 && first:
			return b, "", nil
		case best.path == "", best.tofu && !b.tofu, best.tofu == b.tofu && b.version.GreaterThan(best.version):
			best = b
		}
	}
	if best.path == "" && len(all) == 0 {
		return binary{}, "", failed
	}
	return best, strings.Join(all, ", "), nil
}

// maxVersions bounds what Versions returns.
const maxVersions = 128

// Versions returns the versions that jobs can run, for people.
func (in *Installation) Versions(ctx context.Context) (string, error) {
	paths, _, err := in.programs()
	if errors.Is(err, ErrMissing) && in.installs() {
		return "", nil // not yet
	}
	if err != nil {
		return "", err
	}
	var all []string
	for _, path := range paths {
		b, askErr := in.ask(ctx, path)
		if askErr != nil {
			err = errors.Join(err, askErr)
			continue
		}
		if text := b.String(); !slices.Contains(all, text) && len(strings.Join(all, ", "))+len(text)+2 <= maxVersions {
			all = append(all, text)
		}
	}
	return strings.Join(all, ", "), err
}
