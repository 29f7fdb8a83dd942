package process

import (
	"cmp"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"syscall"

	"github.com/google/uuid"
	"golang.org/x/sys/unix"
)

// readyFD is where a supervisor says how its start went: nothing if well.
const readyFD = 3

// passed are the variables that agents have from the provisioner; what else is
// in its environment, cloud credentials first of all, is none of theirs.
var passed = []string{
	"PATH", "LANG", "LC_ALL", "LC_CTYPE", "TZ", "USER", "LOGNAME", "SHELL",
	"SSL_CERT_FILE", "SSL_CERT_DIR", "HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY", "http_proxy", "https_proxy", "no_proxy",
}

// launch starts the supervisor of an agent's directory and returns when it holds
// its lock.
func launch(binary, dir string, agent uuid.UUID) error {
	var errs error
	for _, how := range ways(agent) {
		err := how.launch(binary, dir, agent)
		if err == nil {
			return nil
		}
		errs = errors.Join(errs, err)
	}
	return errs
}

// way is how much of the host a supervisor has to itself.
type way struct {
	namespaces bool
	cgroup     string // empty: none
}

// ways are what to try, the best first. Root in a container may lack any of it.
func ways(agent uuid.UUID) []way {
	if os.Geteuid() != 0 {
		return []way{{}}
	}
	all := []way{{namespaces: true}, {}}
	if group, err := makeCgroup(agent); err == nil {
		all = append([]way{{namespaces: true, cgroup: group}}, all...)
	}
	return all
}

func (w way) launch(binary, dir string, agent uuid.UUID) error {
	ready, theirs, err := os.Pipe()
	if err != nil {
		return err
	}
	defer ready.Close()
	cmd := exec.Command(binary, SuperviseCommand, dir)
	cmd.Args[0] = "adit" // the provider's own name would make it a provider
	cmd.Dir = "/"
	cmd.Env = []string{Mark + "=" + agent.String()}
	for _, name := range passed {
		if v, ok := os.LookupEnv(name); ok {
			cmd.Env = append(cmd.Env, name+"="+v)
		}
	}
	cmd.ExtraFiles = []*os.File{theirs}
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	if w.namespaces {
		cmd.SysProcAttr.Cloneflags = unix.CLONE_NEWNS | unix.CLONE_NEWPID
	}
	if w.cgroup != "" {
		group, err := os.Open(w.cgroup)
		if err != nil {
			theirs.Close()
			return err
		}
		defer group.Close()
		cmd.SysProcAttr.UseCgroupFD, cmd.SysProcAttr.CgroupFD = true, int(group.Fd())
	}
	err = cmd.Start()
	theirs.Close()
	if err != nil {
		return err
	}
	said, err := io.ReadAll(io.LimitReader(ready, 4<<10))
	if err == nil && string(said) == "ok" {
		return cmd.Process.Release()
	}
	cmd.Process.Kill()
	cmd.Wait()
	return errors.Join(err, fmt.Errorf("%s %s: %s", binary, SuperviseCommand, cmp.Or(string(said), cmd.ProcessState.String())))
}
