package workspaces

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"errors"
	"io"
	"path"
	"strings"
)

// Limits of a template's archive.
const (
	// MaxArchive bounds it packed: it is Terraform code, and small files.
	MaxArchive = 1 << 20
	// maxUnpacked bounds its files' sizes together.
	maxUnpacked = 10 << 20
	// maxFiles bounds how many there are.
	maxFiles = 1000
)

// checkArchive refuses an archive that is no gzipped tar of plain files below
// the directory it is unpacked in.
func checkArchive(archive []byte) error {
	if len(archive) > MaxArchive {
		return badInput("the template's archive is larger than %d KiB; leave out what Terraform does not need", MaxArchive>>10)
	}
	zip, err := gzip.NewReader(bytes.NewReader(archive))
	if err != nil {
		return badInput("the template's archive is no gzipped tar: %v", err)
	}
	files := tar.NewReader(io.LimitReader(zip, maxUnpacked+1<<20)) // and the headers
	n, size, terraform := 0, int64(0), false
	for {
		h, err := files.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return badInput("the template's archive cannot be read: %v", err)
		}
		n++
		size += h.Size
		clean := path.Clean(h.Name)
		switch {
		case n > maxFiles:
			return badInput("the template has more than %d files", maxFiles)
		case size > maxUnpacked:
			return badInput("the template's files are larger than %d MiB together", maxUnpacked>>20)
		case path.IsAbs(h.Name), clean == "..", strings.HasPrefix(clean, "../"), strings.ContainsAny(h.Name, "\\\x00"):
			return badInput("the template's archive has a file %.100q outside of its directory", h.Name)
		case h.Typeflag != tar.TypeReg && h.Typeflag != tar.TypeDir:
			return badInput("%.100q in the template's archive is no plain file; links and devices are not allowed", h.Name)
		}
		if h.Typeflag == tar.TypeReg && path.Dir(clean) == "." && (strings.HasSuffix(clean, ".tf") || strings.HasSuffix(clean, ".tf.json")) {
			terraform = true
		}
	}
	if !terraform {
		return badInput("the template's directory has no .tf file")
	}
	return nil
}
