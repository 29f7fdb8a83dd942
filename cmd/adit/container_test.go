package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/aditmesh/adit/provisioner/container/podmanlab"
)

// maxContainerStart is how long a workspace may take from create to a session,
// with its image present.
const maxContainerStart = 8 * time.Second

// A workspace in a container of a real Podman, from the template that the binary
// carries to its end.
func TestWorkspaceInAContainer(t *testing.T) {
	d := newDeployment(t)
	d.laptop = d.lab.Host("laptop")
	podman := podmanlab.Start(t, d.server.Start) // whose network containers have
	image := podman.Image("dev:1", "sh", "cat", "echo", "id", "hostname", "du", "cut", "env", "ps", "sleep")
	d.startServer()
	d.login()
	dir := filepath.Join(d.dir, "template")
	d.must("templates", "init", "podman", dir)
	// Scripts and a limit that this host can keep.
	added := `
resource "adit_script" "hello" {
  name         = "hello"
  agent_id     = adit_agent.main.id
  run_on       = "start"
  blocks_login = true
  script       = "echo hello > $HOME/hello"
}
`
	if err := os.WriteFile(filepath.Join(dir, "added.tf"), []byte(added), 0o600); err != nil {
		t.Fatal(err)
	}
	d.must("templates", "push", "podman", "-d", dir, "--variable", "image="+image, "--variable", "engine="+podman.Address(),
		"--variable", "network=host", "--variable", `ulimits={"nofile":1024,"nproc":1024}`)

	began := time.Now()
	d.must("create", "dev", "--template", "podman", "--parameter", "memory=1")
	out := d.must("ssh", "dev", "--", "cat hello; echo kept > kept; echo $HOME; env | grep ADIT_AGENT_TOKEN; cat /proc/1/comm")
	took := time.Since(began)
	t.Logf("from create to a session: %v", took.Round(10*time.Millisecond))
	if out != "hello\n/home/dev\nadit\n" {
		t.Errorf("in the container: %q", out)
	}
	if took > maxContainerStart {
		t.Errorf("create to ssh took %v, more than %v", took, maxContainerStart)
	}
	if n := len(strings.Fields(podman.Podman("ps", "--quiet"))); n != 1 {
		t.Errorf("%d containers run", n)
	}

	d.must("stop", "dev")
	if list := podman.Podman("ps", "--all", "--quiet"); list != "" {
		t.Errorf("a workspace that is stopped has containers: %s", list)
	}
	d.must("start", "dev", "--parameter", "memory=2")
	if out := d.must("ssh", "dev", "--", "cat kept"); out != "kept\n" {
		t.Errorf("the volume has %q", out)
	}
	if limit := podman.Podman("ps", "--quiet"); podman.Podman("inspect", "--format", "{{.HostConfig.Memory}}", limit) != "2147483648" {
		t.Error("the container does not have the memory of the parameter")
	}
	// Somebody removes it behind the coordinator's back: a restart makes another.
	podman.Podman("--runtime", "runc", "rm", "--all", "--force", "--time", "0")
	d.must("restart", "dev")
	if out := d.must("ssh", "dev", "--", "cat kept"); out != "kept\n" {
		t.Errorf("the volume has %q", out)
	}
	d.must("delete", "-y", "dev")
	if left := podman.Podman("ps", "--all", "--quiet") + podman.Podman("volume", "ls", "--quiet"); left != "" {
		t.Errorf("a deleted workspace leaves %s", left)
	}

	// Two containers, each with an agent and a volume.
	several := filepath.Join(d.dir, "several")
	d.must("templates", "init", "multi-agent", several)
	d.must("templates", "push", "several", "-d", several, "--variable", "image="+image, "--variable", "data_image="+image,
		"--variable", "engine="+podman.Address(), "--variable", "network=host", "--variable", `ulimits={"nofile":1024,"nproc":1024}`)
	d.must("create", "two", "--template", "several")
	for agent, home := range map[string]string{"main": "/home/dev", "data": "/var/lib/data"} {
		if out := d.must("ssh", "two."+agent, "--", "echo $HOME"); out != home+"\n" {
			t.Errorf("agent %s is at home in %q, want %s", agent, out, home)
		}
	}
	d.must("delete", "-y", "two")
	if left := podman.Podman("ps", "--all", "--quiet") + podman.Podman("volume", "ls", "--quiet"); left != "" {
		t.Errorf("a deleted workspace leaves %s", left)
	}

	// An image that does not exist, and the engine gone.
	d.must("templates", "push", "podman", "-d", dir, "--variable", "image=localhost/none:1", "--variable", "engine="+podman.Address())
	if _, err := d.adit("create", "none", "--template", "podman"); err == nil || !strings.Contains(err.Error(), "image localhost/none:1") {
		t.Errorf("an image that there is not: %v", err)
	}
	d.must("delete", "-y", "none")
	d.must("templates", "push", "podman", "-d", dir, "--variable", "image="+image, "--variable", "engine=unix:///nowhere/podman.sock")
	if _, err := d.adit("create", "dead", "--template", "podman"); err == nil || !strings.Contains(err.Error(), "no engine answers at unix:///nowhere/podman.sock") {
		t.Errorf("an engine that there is not: %v", err)
	}
}
