package workspaces

import "github.com/aditmesh/adit/pkg/archive"

// MaxArchive bounds a template's archive.
const MaxArchive = archive.MaxPacked

// checkArchive refuses an archive that is no template's.
func checkArchive(packed []byte) error {
	if err := archive.Check(packed); err != nil {
		return badInput("%v", err)
	}
	return nil
}
