package terraform

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	provisionerv1 "github.com/aditmesh/adit/pkg/proto/provisionerv1"
)

const (
	// maxPreparations is how many inits are remembered: as many versions of
	// templates as a provisioner builds in turn, and some.
	maxPreparations = 64

	// maxPreparation bounds what one left. Providers are links to where all jobs
	// share them, so that it is a few hundred bytes.
	maxPreparation = 64 << 10
)

// preparation is what Terraform's init left of a template in its own directory.
// It does not depend on where that is.
//
// An init of the same files with the same locked providers by the same Terraform
// would leave the same again, and takes as long as the build of a small template.
// So the next job takes it over, unless something was fetched that no lock file
// holds, which a module from elsewhere is.
type preparation struct {
	key   [sha256.Size]byte
	lock  []byte            // the lock file with the provider that is ours
	files map[string][]byte // by their path in Terraform's directory
	links map[string]string
}

// preparations are the latest, by their last use.
type preparations struct {
	mu  sync.Mutex // guards the following
	all []*preparation
}

func (p *preparations) find(key [sha256.Size]byte) *preparation {
	p.mu.Lock()
	defer p.mu.Unlock()
	i := slices.IndexFunc(p.all, func(one *preparation) bool { return one.key == key })
	if i < 0 {
		return nil
	}
	one := p.all[i]
	p.all = append(slices.Delete(p.all, i, i+1), one)
	return one
}

func (p *preparations) add(one *preparation) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.all = slices.DeleteFunc(p.all, func(other *preparation) bool { return other.key == one.key })
	if len(p.all) == maxPreparations {
		p.all = slices.Delete(p.all, 0, 1)
	}
	p.all = append(p.all, one)
}

// key is of all that an init depends on: lock is without the provider that is
// ours, which is of one version in one Installation.
func (r *Run) key(lock, values []byte) [sha256.Size]byte {
	h := sha256.New()
	for _, part := range [][]byte{
		r.cfg.Digest, lock, values,
		fmt.Appendf(nil, "%s %d %d", r.exec.path, r.exec.size, r.exec.modified.UnixNano()),
	} {
		sum := sha256.Sum256(part)
		h.Write(sum[:])
	}
	return [sha256.Size]byte(h.Sum(nil))
}

// takeOver lays out what an earlier job's init left, if there was such a job.
func (r *Run) takeOver(lock, values []byte) (done bool, err error) {
	if len(r.cfg.Digest) == 0 {
		return false, nil
	}
	p := r.in.prepared.find(r.key(lock, values))
	if p == nil || !p.holds() {
		return false, nil
	}
	if err := p.lay(r.data); err != nil {
		return false, fmt.Errorf("terraform: lay out what init left: %w", err)
	}
	if err := r.write(lockFile, p.lock); err != nil {
		return false, err
	}
	r.cfg.Log(&provisionerv1.Line{
		AtMs: time.Now().UnixMilli(), Stage: "init", Level: provisionerv1.Line_INFO,
		Text: "Initialized as an earlier job was, with the same files and providers.",
	})
	return true, nil
}

// holds reports whether the plugins are still where it says.
func (p *preparation) holds() bool {
	for _, target := range p.links {
		if _, err := os.Stat(target); err != nil {
			return false
		}
	}
	return true
}

func (p *preparation) lay(dir string) error {
	for path, content := range p.files {
		path = filepath.Join(dir, path)
		if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
			return err
		}
		if err := os.WriteFile(path, content, 0o600); err != nil {
			return err
		}
	}
	for path, target := range p.links {
		path = filepath.Join(dir, path)
		if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
			return err
		}
		if err := os.Symlink(target, path); err != nil {
			return err
		}
	}
	return nil
}

// handOn remembers what init left. lock is what it was given from an import; without
// one, jobs will be given the one that it left.
func (r *Run) handOn(lock, values []byte) error {
	if len(r.cfg.Digest) == 0 || len(r.problems) > 0 {
		return nil // a warning is told each time
	}
	full, err := os.ReadFile(filepath.Join(r.cfg.Dir, lockFile))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("terraform: %w", err)
	}
	left := withoutOwn(full)
	if len(lock) == 0 {
		lock = left
	}
	if !slices.Equal(chosen(left), chosen(lock)) {
		return nil // the next init may choose otherwise
	}
	for _, m := range readModules(r.data) {
		if m.Source != "" && !strings.HasPrefix(m.Source, "./") && !strings.HasPrefix(m.Source, "../") {
			return nil
		}
	}
	p, err := gatherPreparation(r.data)
	if p == nil || err != nil {
		return err
	}
	p.key, p.lock = r.key(lock, values), full
	r.in.prepared.add(p)
	return nil
}

// gatherPreparation reads what init left in dir; nil if that is more than a
// preparation holds.
func gatherPreparation(dir string) (*preparation, error) {
	p := &preparation{files: make(map[string][]byte), links: make(map[string]string)}
	size := int64(0)
	err := filepath.WalkDir(dir, func(path string, e fs.DirEntry, err error) error {
		if err != nil || e.IsDir() {
			return err
		}
		name, err := filepath.Rel(dir, path)
		if err != nil {
			return err
		}
		info, err := e.Info()
		if err != nil {
			return err
		}
		if size += info.Size(); size > maxPreparation {
			return fs.SkipAll
		}
		switch {
		case e.Type() == fs.ModeSymlink:
			p.links[name], err = os.Readlink(path)
		case e.Type().IsRegular():
			p.files[name], err = os.ReadFile(path)
		default:
			size = maxPreparation + 1
		}
		return err
	})
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("terraform: read what init left: %w", err)
	}
	if size > maxPreparation {
		return nil, nil
	}
	return p, nil
}
