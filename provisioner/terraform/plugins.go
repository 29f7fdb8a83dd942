package terraform

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"sync"
)

// eachPackage matches where Terraform has unpacked packages in a directory of
// plugins: host, namespace, type, version and platform.
const eachPackage = "*/*/*/*/*"

// plugins is the cache of plugins that one init has for itself.
//
// Terraform unpacks into its cache in place and without a lock, and takes what lies
// there for whole, whoever is still at it or was killed at it. So no init gets the
// directory that jobs share: it starts with links to what is in there, and what it
// adds is moved there once it is whole.
type plugins struct {
	dir    string
	shared string
}

// ownPlugins makes an init's cache. Remove it when what is in there has been shared.
func (in *Installation) ownPlugins() (*plugins, error) {
	if err := os.MkdirAll(in.stagingDir(), 0o700); err != nil {
		return nil, fmt.Errorf("terraform: %w", err)
	}
	dir, err := os.MkdirTemp(in.stagingDir(), "")
	if err != nil {
		return nil, fmt.Errorf("terraform: %w", err)
	}
	p := &plugins{dir, in.cacheDir()}
	packages, err := fs.Glob(os.DirFS(p.shared), "*/*/*/*/"+runtime.GOOS+"_"+runtime.GOARCH)
	if err != nil {
		err = fmt.Errorf("terraform: list the plugins that are shared: %w", err)
	}
	for _, pkg := range packages {
		shared := filepath.Join(p.shared, pkg)
		if _, gone := os.Stat(shared); gone != nil {
			continue // it was a link to a mirror
		}
		err = errors.Join(err, relink(shared, filepath.Join(p.dir, pkg)))
	}
	if err != nil {
		p.remove()
		return nil, err
	}
	return p, nil
}

func (p *plugins) remove() { _ = os.RemoveAll(p.dir) } // or the next start does

// share moves what an init added to where all jobs have it, and has the init's own
// directory, data, link to there. Terraform links to a package when it is whole: what
// is not linked stays.
func (p *plugins) share(data string) error {
	providers := filepath.Join(data, "providers")
	packages, err := fs.Glob(os.DirFS(providers), eachPackage)
	if err != nil {
		return fmt.Errorf("terraform: list the plugins of a job: %w", err)
	}
	for _, pkg := range packages {
		own, shared, used := filepath.Join(p.dir, pkg), filepath.Join(p.shared, pkg), filepath.Join(providers, pkg)
		if err := publish(own, shared); err != nil {
			return fmt.Errorf("terraform: keep a plugin for other jobs: %w", err)
		}
		if _, err := os.Readlink(used); err != nil {
			continue // a copy, on a system that has no links
		}
		if err := relink(shared, used); err != nil {
			return err
		}
	}
	return nil
}

// publish moves a package to where jobs may use it from that moment, unless there is
// one.
func publish(from, to string) error {
	if _, err := os.Stat(to); err == nil {
		return nil
	}
	if _, err := os.Lstat(from); errors.Is(err, fs.ErrNotExist) {
		return nil // the template brought it along
	}
	if target, err := os.Readlink(from); err == nil && target == to {
		return nil // somebody emptied the cache meanwhile
	}
	// A link to a mirror that is no more is in the way of a directory.
	if err := os.Remove(to); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	if err := os.MkdirAll(filepath.Dir(to), 0o755); err != nil {
		return err
	}
	if err := syncFiles(from); err != nil {
		return err
	}
	err := os.Rename(from, to)
	if _, exists := os.Stat(to); err != nil && exists == nil {
		return nil // another was first
	}
	return err
}

// syncFiles has what is in a directory on the disk: a plugin that is half there after
// the machine has gone would be taken for whole for ever.
func syncFiles(dir string) error {
	return filepath.WalkDir(dir, func(path string, e fs.DirEntry, err error) error {
		if err != nil || !e.Type().IsRegular() {
			return err
		}
		f, err := os.Open(path)
		if err != nil {
			return err
		}
		return errors.Join(f.Sync(), f.Close())
	})
}

// relink makes a link, in place of what is there.
func relink(target, link string) error {
	err := os.MkdirAll(filepath.Dir(link), 0o755)
	if err == nil {
		err = os.RemoveAll(link)
	}
	if err == nil {
		err = os.Symlink(target, link)
	}
	if err != nil {
		return fmt.Errorf("terraform: link to a plugin: %w", err)
	}
	return nil
}

// init runs Terraform's init. One that is cached most likely fetches nothing; one that
// may fetch waits for others that may, since they may want the same.
func (r *Run) init(ctx context.Context, cached func() bool) error {
	if !cached() {
		select {
		case r.in.fetching <- struct{}{}:
		case <-ctx.Done():
			return fmt.Errorf("terraform init: %w", context.Cause(ctx))
		}
		done := sync.OnceFunc(func() { <-r.in.fetching })
		defer done()
		if cached() {
			done()
		}
	}
	own, err := r.in.ownPlugins()
	if err != nil {
		return err
	}
	defer own.remove()
	env := r.env
	defer func() { r.env = env }()
	r.env = append(slices.Clip(env), "TF_PLUGIN_CACHE_DIR="+own.dir)
	err = r.say(ctx, "init", "init", "-json", "-no-color", "-input=false")
	return errors.Join(err, own.share(r.data))
}
