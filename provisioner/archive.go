package provisioner

import (
	"archive/tar"
	"compress/gzip"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
)

const (
	// A template is text with a few files beside it.
	maxUnpacked = 256 << 20
	maxFiles    = 10_000
)

// unpack writes an archive's files below dir. Whoever made the archive reaches
// nothing outside: paths are local, and there are files and directories only.
func unpack(archive io.Reader, dir string) error {
	zipped, err := gzip.NewReader(archive)
	if err != nil {
		return fmt.Errorf("template: not a gzipped tar: %w", err)
	}
	root, err := os.OpenRoot(dir)
	if err != nil {
		return fmt.Errorf("template: %w", err)
	}
	defer root.Close()
	files, left := 0, int64(maxUnpacked)
	for entries := tar.NewReader(zipped); ; {
		h, err := entries.Next()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return fmt.Errorf("template: read archive: %w", err)
		}
		name := filepath.Clean(h.Name)
		if !filepath.IsLocal(name) {
			return fmt.Errorf("template: path %q leads outside", h.Name)
		}
		if files++; files > maxFiles {
			return fmt.Errorf("template: more than %d files", maxFiles)
		}
		switch h.Typeflag {
		case tar.TypeDir:
			err = root.MkdirAll(name, 0o700)
		case tar.TypeReg:
			if left -= h.Size; left < 0 {
				return fmt.Errorf("template: more than %d MiB unpacked", maxUnpacked>>20)
			}
			err = write(root, name, entries, os.FileMode(h.Mode).Perm()&0o700|0o600)
		case tar.TypeXGlobalHeader:
		default:
			return fmt.Errorf("template: %q is neither a file nor a directory", h.Name)
		}
		if err != nil {
			return fmt.Errorf("template: unpack %q: %w", h.Name, err)
		}
	}
}

func write(root *os.Root, name string, content io.Reader, mode os.FileMode) error {
	if err := root.MkdirAll(filepath.Dir(name), 0o700); err != nil {
		return err
	}
	f, err := root.OpenFile(name, os.O_CREATE|os.O_TRUNC|os.O_WRONLY, mode)
	if err != nil {
		return err
	}
	_, err = io.Copy(f, content)
	return errors.Join(err, f.Close())
}
