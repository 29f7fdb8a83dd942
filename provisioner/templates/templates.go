// Package templates has the example templates that come with adit: directories
// of Terraform to push as they are, or to begin one's own with.
package templates

import (
	"embed"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
)

// files has a directory for each template.
//
//go:embed aws-linux docker gcp-linux hetzner kubernetes multi-agent podman process
var files embed.FS

// ErrUnknown is a name that no template has.
var ErrUnknown = errors.New("no such example template")

// Names returns what templates there are.
func Names() []string {
	entries, err := files.ReadDir(".")
	if err != nil {
		return nil // it is part of the program
	}
	names := make([]string, len(entries))
	for i, e := range entries {
		names[i] = e.Name()
	}
	return names
}

// Write writes a template's files out into a directory, which it makes if there
// is none. It overwrites nothing: a file that is there fails with fs.ErrExist.
func Write(name, dir string) error {
	root, err := fs.Sub(files, name)
	if err != nil {
		return fmt.Errorf("template %q: %w", name, err)
	}
	if _, err := fs.Stat(root, "."); err != nil {
		return fmt.Errorf("template %q: %w: there is %s", name, ErrUnknown, strings.Join(Names(), ", "))
	}
	err = fs.WalkDir(root, ".", func(path string, d fs.DirEntry, err error) error {
		to := filepath.Join(dir, filepath.FromSlash(path))
		if err != nil || d.IsDir() {
			return errors.Join(err, os.MkdirAll(to, 0o755))
		}
		content, err := fs.ReadFile(root, path)
		if err != nil {
			return err
		}
		f, err := os.OpenFile(to, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o644)
		if err != nil {
			return err
		}
		_, err = f.Write(content)
		return errors.Join(err, f.Close())
	})
	if err != nil {
		return fmt.Errorf("template %q: write into %s: %w", name, dir, err)
	}
	return nil
}
