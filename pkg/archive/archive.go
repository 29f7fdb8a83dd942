// Package archive carries a template's files: a gzipped tar of regular files
// and directories, and nothing else.
//
// [Pack] makes one of a directory, the same bytes for the same files. [Check]
// says whether bytes from elsewhere are one, and [Unpack] writes one out below a
// directory, of which it never leaves. All three keep to the same bounds, and
// errors match ErrInvalid where the archive is to blame. What is wrong in a directory
// is named as it is in there; callers say which directory it is.
package archive

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"errors"
	"fmt"
	"io"
	"path"
	"strings"
	"unicode/utf8"
)

const (
	// MaxPacked bounds an archive, and MaxUnpacked what is in it: templates are
	// text, with a script or an icon here and there.
	MaxPacked   = 8 << 20
	MaxUnpacked = 32 << 20

	// maxEntries bounds files and directories together.
	maxEntries = 2000

	// maxName bounds a path: less than what any file system takes.
	maxName = 512
)

// ErrInvalid is an archive that is none, or too large, or has in it what
// templates may not have.
var ErrInvalid = errors.New("not a template's archive")

func invalid(format string, a ...any) error {
	return fmt.Errorf("%w: %s", ErrInvalid, fmt.Sprintf(format, a...))
}

// Check reports what is wrong with an archive; nil if nothing is.
func Check(packed []byte) error {
	terraform := false
	err := walk(packed, func(h *tar.Header, r io.Reader) error {
		name := strings.TrimSuffix(h.Name, "/")
		terraform = terraform || h.Typeflag == tar.TypeReg && isTerraform(name)
		if _, err := io.Copy(io.Discard, r); err != nil {
			return invalid("%s: %v", h.Name, err)
		}
		return nil
	})
	if err == nil && !terraform {
		return invalid("no file *.tf at its top")
	}
	return err
}

// isTerraform reports whether Terraform reads a file of this name.
func isTerraform(name string) bool {
	return !strings.Contains(name, "/") && (strings.HasSuffix(name, ".tf") || strings.HasSuffix(name, ".tf.json"))
}

// walk calls f with each entry, whose name is good, and with its content, until
// the bounds are reached.
func walk(packed []byte, f func(*tar.Header, io.Reader) error) error {
	if len(packed) > MaxPacked {
		return invalid("%d bytes, more than %d", len(packed), MaxPacked)
	}
	unzip, err := gzip.NewReader(bytes.NewReader(packed))
	if err != nil {
		return invalid("%v", err)
	}
	// A bomb ends here, in whichever way it is built: headers count, too.
	bounded := &io.LimitedReader{R: unzip, N: MaxUnpacked + 1}
	kinds := make(map[string]byte)
	for r := tar.NewReader(bounded); ; {
		h, err := r.Next()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			err = invalid("%v", err)
		} else if err = admit(h, kinds); err == nil {
			err = f(h, r)
		}
		if bounded.N <= 0 {
			return invalid("more than %d bytes unpacked", MaxUnpacked)
		}
		if err != nil {
			return err
		}
	}
}

// admit reports what is wrong with an entry that comes after those in kinds,
// which are entries' types by name.
func admit(h *tar.Header, kinds map[string]byte) error {
	name := strings.TrimSuffix(h.Name, "/")
	switch {
	case h.Typeflag != tar.TypeReg && h.Typeflag != tar.TypeDir:
		return invalid("%.80q is neither a file nor a directory", h.Name)
	case len(kinds) >= maxEntries:
		return invalid("more than %d files and directories", maxEntries)
	case name == "." && h.Typeflag == tar.TypeDir:
		return nil // the directory itself, as tar(1) writes it
	}
	name = strings.TrimPrefix(name, "./")
	switch {
	case name == "", len(name) > maxName, name != path.Clean(name), path.IsAbs(name), name == "..", strings.HasPrefix(name, "../"),
		!utf8.ValidString(name), strings.ContainsAny(name, "\x00\\:\r\n"):
		return invalid("%.80q is no path below the template's directory", h.Name)
	case kinds[name] != 0 && (kinds[name] != tar.TypeDir || h.Typeflag != tar.TypeDir):
		return invalid("%.80q is there twice", h.Name)
	}
	for dir := path.Dir(name); dir != "."; dir = path.Dir(dir) {
		if kinds[dir] == tar.TypeReg {
			return invalid("%.80q is below %.80q, which is a file", h.Name, dir)
		}
		kinds[dir] = tar.TypeDir
	}
	kinds[name] = h.Typeflag
	h.Name = name
	return nil
}
