package archive

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"errors"
	"io"
	"io/fs"
	"os"
	"path"
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
// leaves behind. What is in the directory is read, and nothing that a link in it
// leads to.
func Pack(dir string) ([]byte, error) {
	info, err := os.Stat(dir)
	if err != nil {
		return nil, err
	}
	if !info.IsDir() {
		return nil, invalid("it is no directory")
	}
	root, err := os.OpenRoot(dir)
	if err != nil {
		return nil, err
	}
	defer root.Close()
	var packed bytes.Buffer
	zip := gzip.NewWriter(&packed)
	w := tar.NewWriter(zip)
	total := 0
	err = fs.WalkDir(root.FS(), ".", func(name string, d fs.DirEntry, err error) error {
		switch {
		case err != nil || name == ".":
			return err
		case leftOut(name) && d.IsDir():
			return fs.SkipDir
		case leftOut(name):
			return nil
		case d.IsDir():
			return w.WriteHeader(&tar.Header{Typeflag: tar.TypeDir, Name: name + "/", Mode: 0o755, ModTime: time.Unix(0, 0)})
		case !d.Type().IsRegular():
			return invalid("%s is neither a file nor a directory; put a copy in its place", name)
		}
		n, err := packFile(w, root, name)
		if total += n; err == nil && total > MaxUnpacked {
			err = invalid("more than %d bytes", MaxUnpacked)
		}
		return err
	})
	if err = errors.Join(err, w.Close(), zip.Close()); err != nil {
		return nil, err
	}
	if err := Check(packed.Bytes()); err != nil {
		return nil, err
	}
	return packed.Bytes(), nil
}

func packFile(w *tar.Writer, root *os.Root, name string) (int, error) {
	f, err := root.Open(name)
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
		return err
	}
	root, err := os.OpenRoot(dir)
	if err != nil {
		return err
	}
	defer root.Close()
	return walk(packed, func(h *tar.Header, r io.Reader) error {
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
}
