package provisioner

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/aditmesh/adit/provisioner/standin"
)

// Providers listen on unix sockets, whose paths may have some hundred bytes.
func TestADirectoryMayHaveALongPath(t *testing.T) {
	dir := filepath.Join(t.TempDir(), strings.Repeat("long/", 30))
	c := newCoordinator(t)
	cfg := c.config(dir)
	cfg.Terraform.Adit = standin.Path(t)
	temp := t.TempDir()
	t.Setenv("TMPDIR", temp)
	stop := start(t, cfg)
	const prints = agents + `
resource "terraform_data" "x" {
  provisioner "local-exec" { command = "touch $TMPDIR/mark && echo it-is-there" }
}
`
	c.order("b", prints, nil)
	c.succeed("b")
	c.awaitLog("b", "(local-exec): it-is-there")
	noJobs(t, dir)
	stop()
	if left, err := os.ReadDir(temp); err != nil || len(left) > 0 {
		t.Errorf("left in the directory for temporary files: %v, %v", left, err)
	}
}
