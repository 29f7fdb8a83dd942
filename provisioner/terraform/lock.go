package terraform

import (
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"runtime"
)

// lockedProvider is one provider in a lock file.
var lockedProvider = regexp.MustCompile(`(?ms)^provider "([^"]+)" \{\n\s+version\s+=\s+"([^"]+)".*?^\}\n*`)

// withoutOwn leaves adit/adit out of a lock file: it is whatever this binary is.
func withoutOwn(lock []byte) []byte {
	return lockedProvider.ReplaceAllFunc(lock, func(block []byte) []byte {
		if source := string(lockedProvider.FindSubmatch(block)[1]); source == Source || source == tofuSource {
			return nil
		}
		return block
	})
}

// chosen returns the providers in a lock file with their versions.
func chosen(lock []byte) (all []string) {
	for _, m := range lockedProvider.FindAllSubmatch(lock, -1) {
		all = append(all, string(m[1])+" "+string(m[2]))
	}
	return all
}

// cached reports whether all is there that is in a lock file, and our own provider,
// whose address is source.
func (in *Installation) cached(lock []byte, source string) bool {
	for _, m := range lockedProvider.FindAllSubmatch(lock, -1) {
		pkg := filepath.Join(in.cacheDir(), filepath.FromSlash(string(m[1])), string(m[2]), runtime.GOOS+"_"+runtime.GOARCH)
		if _, err := os.Stat(pkg); err != nil {
			return false
		}
	}
	own, err := fs.Glob(os.DirFS(in.cacheDir()), source+"/*/*")
	return err == nil && (len(own) > 0 || in.cfg.Adit == "")
}
