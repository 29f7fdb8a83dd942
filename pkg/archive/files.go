package archive

import (
	"archive/tar"
	"io"
)

// Files returns the text of an archive's files, by their names.
func Files(packed []byte) (map[string]string, error) {
	files := make(map[string]string)
	err := walk(packed, func(h *tar.Header, r io.Reader) error {
		if h.Typeflag != tar.TypeReg {
			return nil
		}
		text, err := io.ReadAll(r)
		if err != nil {
			return invalid("%s: %v", h.Name, err)
		}
		files[h.Name] = string(text)
		return nil
	})
	return files, err
}
