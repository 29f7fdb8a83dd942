package terraform

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"github.com/hashicorp/go-version"
	"github.com/hashicorp/hc-install/product"
	"github.com/hashicorp/hc-install/releases"

	provisionerv1 "github.com/aditmesh/adit/pkg/proto/provisionerv1"
)

// installTimeout bounds the installation of a Terraform: some 30 MB.
const installTimeout = 5 * time.Minute

// Releases are where Terraforms are had that a template requires and a host lacks.
type Releases struct {
	// URL is of a site laid out as HashiCorp's, and PublicKey what it signs with, as
	// armored text; empty are HashiCorp's own.
	URL, PublicKey string
}

// installedDir is where Terraforms are that were installed, each in a directory of its
// version.
func (in *Installation) installedDir() string { return filepath.Join(in.cfg.Dir, "installed") }

// installs reports whether a Terraform may be installed: not in the place of one that
// somebody has named.
func (in *Installation) installs() bool {
	if in.cfg.Releases == nil || in.cfg.Exec == "" {
		return in.cfg.Releases != nil
	}
	info, err := os.Stat(in.cfg.Exec)
	return err == nil && info.IsDir()
}

// install installs the newest Terraform that fits, unless another job just did. What is
// downloaded is checked against sums that are signed.
func (in *Installation) install(ctx context.Context, wanted version.Constraints, log func(*provisionerv1.Line) bool) (binary, error) {
	select { // one at a time: several jobs want the same
	case in.installing <- struct{}{}:
	case <-ctx.Done():
		return binary{}, context.Cause(ctx)
	}
	defer func() { <-in.installing }()
	if b, _, err := in.choose(ctx, wanted); err == nil && b.path != "" {
		return b, nil
	}
	temp := filepath.Join(in.cfg.Dir, "installing") // a process that was killed may have left some
	defer os.RemoveAll(temp)
	if err := errors.Join(os.RemoveAll(temp), os.Mkdir(temp, 0o700)); err != nil {
		return binary{}, fmt.Errorf("terraform: %w", err)
	}
	say := func(text string) {
		log(&provisionerv1.Line{AtMs: time.Now().UnixMilli(), Stage: "init", Level: provisionerv1.Line_INFO, Text: text})
	}
	say("Installing the Terraform that the template requires ...")
	least := version.MustConstraints(version.NewConstraint(">= " + oldest.String()))
	from := releases.LatestVersion{
		Product: product.Terraform, Constraints: append(least, wanted...), InstallDir: temp, Timeout: installTimeout,
		ApiBaseURL: in.cfg.Releases.URL, ArmoredPublicKey: in.cfg.Releases.PublicKey,
	}
	path, err := from.Install(ctx)
	if err != nil {
		return binary{}, fmt.Errorf("terraform: install one that fits %q: %w; see that its host reaches releases.hashicorp.com, or install one by hand", wanted, err)
	}
	b, err := in.ask(ctx, path)
	if err != nil {
		return binary{}, err
	}
	dir := filepath.Join(in.installedDir(), b.version.String())
	if err := errors.Join(os.RemoveAll(dir), os.MkdirAll(in.installedDir(), 0o700), os.Rename(temp, dir)); err != nil {
		return binary{}, fmt.Errorf("terraform: %w", err)
	}
	say(fmt.Sprintf("Installed Terraform %v.", b))
	return in.ask(ctx, filepath.Join(dir, filepath.Base(path)))
}
