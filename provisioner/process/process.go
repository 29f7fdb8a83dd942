// Package process runs agents as supervised processes on the provisioner's own
// host: what stands behind the Terraform resources adit_process and adit_home.
//
// Below the data directory each workspace has
//
//	workspaces/<workspace id>/home/               persistent
//	workspaces/<workspace id>/agents/<agent id>/  spec.json, token, log, alive
//
// [Host.Start] makes sure that a supervisor runs for an agent, [Host.Stop] that
// none does, and both may be repeated. A supervisor is the adit binary in a
// session of its own, so that it outlives the provisioner; it holds a lock on
// the file alive for as long as it lives, and the kernel says who holds it. It
// starts its agent again, with back-off, whenever that ends. As root it is the
// first process of its own PID namespace, sees mounts of its own, and has a
// cgroup; what an agent leaves behind ends with it. That keeps workspaces out of
// each other's way. It is no security boundary: an agent is the provisioner's
// user, and can do on the host whatever that user can.
package process

import (
	"errors"
	"fmt"
	"path/filepath"
	"time"

	"github.com/google/uuid"
)

const (
	// SuperviseCommand is the hidden command of the adit binary that runs
	// [Supervise].
	SuperviseCommand = "process-supervisor"

	// ContainerCommand is the hidden command of the adit binary that runs
	// [SuperviseContainer].
	ContainerCommand = "container-supervisor"

	// ContainerDir is where a container has the adit binary, and the
	// CertificatesFile of its host.
	ContainerDir     = "/opt/adit"
	CertificatesFile = "certificates.pem"

	// DefaultGrace is how long an agent may take to stop: its shutdown scripts
	// run in it.
	DefaultGrace = 30 * time.Second

	// Mark names the agent in the environment of its processes: what it left
	// behind without a PID namespace is found by it. Sessions inherit it, for
	// unlike the agent's own variables it does not begin with ADIT_.
	Mark = "_ADIT_PROCESS"
)

// ErrUnsupported is a platform that has no supervisor.
var ErrUnsupported = errors.New("adit_process and adit_home need a provisioner on Linux")

// Host is what runs on this host.
type Host struct {
	// Dir is the data directory, an absolute path.
	Dir string
	// Binary is the program that runs SuperviseCommand and agents: adit.
	Binary string
}

// Spec is what runs for one agent.
type Spec struct {
	Workspace uuid.UUID `json:"workspace"`
	Agent     uuid.UUID `json:"agent"`
	// URL of the coordinator.
	URL string `json:"url"`
	// Env is added to the agent's environment.
	Env map[string]string `json:"env,omitempty"`
	// Grace is how long the agent may take to stop; zero means DefaultGrace.
	Grace time.Duration `json:"grace"`
	// Token of the agent. It is kept in a file of its own.
	Token string `json:"-"`
}

func (h Host) workspace(id uuid.UUID) string { return filepath.Join(h.Dir, "workspaces", id.String()) }

func (h Host) agent(workspace, agent uuid.UUID) string {
	return filepath.Join(h.workspace(workspace), "agents", agent.String())
}

// Home returns the directory that is a workspace's home on this host.
func (h Host) Home(workspace uuid.UUID) string { return filepath.Join(h.workspace(workspace), "home") }

// check refuses what would end up in a place that is not ours.
func (h Host) check(ids ...uuid.UUID) error {
	if !filepath.IsAbs(h.Dir) {
		return fmt.Errorf("process: data directory %q is not absolute", h.Dir)
	}
	for _, id := range ids {
		if id == uuid.Nil {
			return errors.New("process: no id")
		}
	}
	return nil
}

// Files of an agent's directory.
const (
	specFile  = "spec.json"
	tokenFile = "token"
	logFile   = "log"
	aliveFile = "alive"
)
