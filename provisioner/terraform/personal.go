package terraform

import (
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"
)

// asksWho finds where a template asks whose a workspace is or what it is called, or
// may: what it mentions of those data sources.
var asksWho = regexp.MustCompile(`adit_owner|adit_workspace\.[A-Za-z0-9_-]+(\.[a-z_]+)?`)

// impersonalFacts are those about a workspace that do not change with its owner, its
// name and its builds.
var impersonalFacts = map[string]bool{".id": true, ".start_count": true, ".transition": true, ".template_name": true, ".access_url": true}

// impersonal reports whether nothing that the files of a template and of its modules
// make depends on whose the workspace is and what it is called. It errs on the other
// side.
func impersonal(dir string) bool {
	is := true
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() || !strings.HasSuffix(path, ".tf") && !strings.HasSuffix(path, ".tf.json") {
			return err
		}
		text, err := os.ReadFile(path)
		for _, m := range asksWho.FindAllStringSubmatch(string(text), -1) {
			is = is && impersonalFacts[m[1]]
		}
		return err
	})
	return is && err == nil
}
