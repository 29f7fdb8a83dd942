package archive

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"strings"
	"time"
)

// leftOut reports whether a file or directory belongs to somebody's work with
// Terraform, and not to the template.
func leftOut(name string) bool {
	switch base := path.Base(name); base {
	case ".terraform", ".git", ".terraform.tfstate.lock.info", "crash.log":
		return true
	default:
		return strings.HasSuffix(base, ".tfstate") || strings.Contains(base, ".tfstate.")
	}
}

// Pack makes an archive of a directory, without states and what else Terraform
// leaves behind.
func Pack(dir string) ([]byte, error) {
	var packed bytes.Buffer
	zip := gzip.NewWriter(&packed)
	w := tar.NewWriter(zip)
	total := 0
	err := filepath.WalkDir(dir, func(at string, d fs.DirEntry, err error) error {
		if err != nil || at == dir {
			return err
		}
		rel, err := filepath.Rel(dir, at)
		if err != nil {
			return err
		}
		name := filepath.ToSlash(rel)
		switch {
		case leftOut(name) && d.IsDir():
			return fs.SkipDir
		case leftOut(name):
			return nil
		case d.IsDir():
			return w.WriteHeader(&tar.Header{Typeflag: tar.TypeDir, Name: name + "/", Mode: 0o755, ModTime: time.Unix(0, 0)})
		case !d.Type().IsRegular():
			return invalid("%s is neither a file nor a directory; put a copy in its place", at)
		}
		n, err := packFile(w, at, name)
		if total += n; err == nil && total > MaxUnpacked {
			err = invalid("more than %d bytes in %s", MaxUnpacked, dir)
		}
		return err
	})
	if err = errors.Join(err, w.Close(), zip.Close()); err != nil {
		return nil, fmt.Errorf("archive: pack %s: %w", dir, err)
	}
	if err := Check(packed.Bytes()); err != nil {
		return nil, fmt.Errorf("archive: pack %s: %w", dir, err)
	}
	return packed.Bytes(), nil
}

func packFile(w *tar.Writer, at, name string) (int, error) {
	f, err := os.Open(at)
	if err != nil {
		return 0, err
	}
	defer f.Close()
	// Read before its size is written: it may be growing.
	content, err := io.ReadAll(io.LimitReader(f, MaxUnpacked+1))
	if err != nil {
		return 0, err
	}
	info, err := f.Stat()
	if err != nil {
		return 0, err
	}
	mode := int64(0o644)
	if info.Mode()&0o100 != 0 {
		mode = 0o755
	}
	h := &tar.Header{Typeflag: tar.TypeReg, Name: name, Mode: mode, Size: int64(len(content)), ModTime: time.Unix(0, 0)}
	if err := w.WriteHeader(h); err != nil {
		return 0, err
	}
	return w.Write(content)
}

// Unpack writes an archive's files below a directory, which it makes. Nothing
// that is there already is replaced.
func Unpack(packed []byte, dir string) error {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return fmt.Errorf("archive: unpack: %w", err)
	}
	root, err := os.OpenRoot(dir)
	if err != nil {
		return fmt.Errorf("archive: unpack: %w", err)
	}
	defer root.Close()
	err = walk(packed, func(h *tar.Header, r io.Reader) error {
		if h.Typeflag == tar.TypeDir {
			return root.MkdirAll(h.Name, 0o755)
		}
		if err := root.MkdirAll(path.Dir(h.Name), 0o755); err != nil {
			return err
		}
		f, err := root.OpenFile(h.Name, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o644|fs.FileMode(h.Mode)&0o111)
		if err != nil {
			return err
		}
		_, err = io.Copy(f, r)
		return errors.Join(err, f.Close())
	})
	if err != nil {
		return fmt.Errorf("archive: unpack into %s: %w", dir, err)
	}
	return nil
}
