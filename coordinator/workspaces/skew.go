package workspaces

import (
	"fmt"
	"regexp"
	"strconv"
)

// maxSkew is how many minor versions a provisioner may be apart from its coordinator:
// one, so that either can be upgraded first.
const maxSkew = 1

// numbered is a version that is one: v1.2.3, and what was built after it.
var numbered = regexp.MustCompile(`^v?(\d{1,6})\.(\d{1,6})\.\d`)

// skewed says why a provisioner of one version may not work for a coordinator of
// another; nil if it may. Of builds that are no releases nothing is known, and they
// may.
func skewed(coordinator, provisioner string) error {
	c, p := numbered.FindStringSubmatch(coordinator), numbered.FindStringSubmatch(provisioner)
	if c == nil || p == nil {
		return nil
	}
	// The pattern lets nothing pass that is no number.
	ours, _ := strconv.Atoi(c[2])
	theirs, _ := strconv.Atoi(p[2])
	if c[1] == p[1] && theirs-ours <= maxSkew && ours-theirs <= maxSkew {
		return nil
	}
	oldest, newest := fmt.Sprintf("%s.%d", c[1], max(0, ours-maxSkew)), fmt.Sprintf("%s.%d", c[1], ours+maxSkew)
	return fmt.Errorf("this provisioner is adit %s and the coordinator %s; they may be one minor version apart: run a provisioner of %s to %s",
		provisioner, coordinator, oldest, newest)
}
