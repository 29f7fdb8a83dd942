package container

import (
	"cmp"
	"maps"
	"slices"
	"strings"

	"github.com/google/uuid"

	"github.com/aditmesh/adit/provisioner/process"
)

// Labels of what is made.
const (
	workspaceLabel = "adit.workspace"
	agentLabel     = "adit.agent"
)

// Spec is the container of an agent.
type Spec struct {
	Workspace, Agent uuid.UUID
	Image            string
	// Pull is when the image is fetched: "missing", "always" or "never"; empty
	// means missing.
	Pull     string
	Registry Registry

	// Binary is the adit binary of this host, and Certificates a file with those
	// that it trusts; empty for none.
	Binary, Certificates string

	Env map[string]string
	// User, Hostname, Network, UserNamespace and Runtime are as the engine knows
	// them; empty means what it or the image says.
	User, Hostname, Network, UserNamespace, Runtime string
	Mounts                                          []Mount
	Ulimits                                         []Ulimit

	// CPUs, MemoryMiB and Processes bound what it uses; zero is without bound.
	CPUs                 float64
	MemoryMiB, Processes int64
	// GPUs gives it those of the host.
	GPUs bool
}

// Registry is who may fetch an image.
type Registry struct{ Address, Username, Password string }

// Mount is a volume, by its name, or a path of the host, in the container.
type Mount struct {
	Volume, Source string
	Path           string
	ReadOnly       bool
}

// Ulimit bounds a resource of each process.
type Ulimit struct {
	Name       string
	Soft, Hard int64
}

// name is the container's, which tells it from those of all deployments.
func name(agent uuid.UUID) string { return "adit-" + agent.String() }

// Bodies of requests, with the names that the API has.
type (
	createBody struct {
		Image      string
		Entrypoint []string
		Cmd        []string
		Env        []string
		User       string `json:",omitempty"`
		Hostname   string `json:",omitempty"`
		Labels     map[string]string
		HostConfig hostConfig
	}
	hostConfig struct {
		NetworkMode    string `json:",omitempty"`
		UsernsMode     string `json:",omitempty"`
		Runtime        string `json:",omitempty"`
		NanoCpus       int64
		Memory         int64
		PidsLimit      int64    `json:",omitempty"`
		Ulimits        []Ulimit `json:",omitempty"`
		Mounts         []mountBody
		Devices        []device        `json:",omitempty"`
		DeviceRequests []deviceRequest `json:",omitempty"`
		RestartPolicy  restartPolicy
	}
	mountBody struct {
		Type, Source, Target string
		ReadOnly             bool
	}
	device struct {
		PathOnHost string
	}
	deviceRequest struct {
		Driver       string
		Count        int
		Capabilities [][]string
	}
	restartPolicy struct{ Name string }
)

func (e *Engine) body(s Spec) createBody {
	b := createBody{
		Image: s.Image, Entrypoint: []string{process.ContainerDir + "/adit", process.ContainerCommand}, Cmd: []string{},
		User: s.User, Hostname: s.Hostname,
		Labels: map[string]string{workspaceLabel: s.Workspace.String(), agentLabel: s.Agent.String()},
		HostConfig: hostConfig{
			NetworkMode: s.Network, UsernsMode: s.UserNamespace, Runtime: s.Runtime,
			NanoCpus: int64(s.CPUs * 1e9), Memory: s.MemoryMiB << 20, PidsLimit: s.Processes, Ulimits: s.Ulimits,
			Mounts: []mountBody{{Type: "bind", Source: s.Binary, Target: process.ContainerDir + "/adit", ReadOnly: true}},
			// It comes back with its engine: the first process does not end by itself.
			RestartPolicy: restartPolicy{"unless-stopped"},
		},
	}
	for _, key := range slices.Sorted(maps.Keys(s.Env)) {
		b.Env = append(b.Env, key+"="+s.Env[key])
	}
	if s.Certificates != "" {
		b.HostConfig.Mounts = append(b.HostConfig.Mounts, mountBody{
			Type: "bind", Source: s.Certificates, Target: process.ContainerDir + "/" + process.CertificatesFile, ReadOnly: true,
		})
	}
	for _, m := range s.Mounts {
		kind := "bind"
		if m.Volume != "" {
			kind = "volume"
		}
		b.HostConfig.Mounts = append(b.HostConfig.Mounts, mountBody{Type: kind, Source: cmp.Or(m.Volume, m.Source), Target: m.Path, ReadOnly: m.ReadOnly})
	}
	switch {
	case s.GPUs && e.podman: // by the Container Device Interface
		b.HostConfig.Devices = []device{{PathOnHost: "nvidia.com/gpu=all"}}
	case s.GPUs:
		b.HostConfig.DeviceRequests = []deviceRequest{{Count: -1, Capabilities: [][]string{{"gpu"}}}}
	}
	return b
}

// tagged is an image's name with a tag: without one, an engine fetches them all.
func tagged(image string) string {
	last := image[strings.LastIndex(image, "/")+1:]
	if strings.ContainsAny(last, ":@") {
		return image
	}
	return image + ":latest"
}
