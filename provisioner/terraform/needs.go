package terraform

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"
)

// configured is what a state says of a resource's provider: its address, after the
// module that configures it unless that is the outermost, and before its alias.
var configured = regexp.MustCompile(`provider\["([^"]+)"\](?:\.[^.]+)?$`)

// builtIn is where the providers are that are in Terraform itself.
const builtIn = "terraform.io/builtin/"

// locked are the addresses of the providers in a lock file, and of our own, which no
// lock file has.
func (r *Run) locked(lock []byte) map[string]bool {
	all := map[string]bool{r.exec.source(): true}
	for _, m := range lockedProvider.FindAllSubmatch(lock, -1) {
		all[string(m[1])] = true
	}
	return all
}

// stateBeyond reports whether the job's state has resources of providers that are not
// locked.
func (r *Run) stateBeyond(locked map[string]bool) (bool, error) {
	raw, err := os.ReadFile(filepath.Join(r.cfg.Dir, stateFile))
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	if err != nil {
		return false, fmt.Errorf("terraform: read the state: %w", err)
	}
	var state struct {
		Resources []struct {
			Provider string `json:"provider"`
		} `json:"resources"`
	}
	if json.Unmarshal(raw, &state) != nil {
		return true, nil // what is wrong with it is for Terraform to say
	}
	for _, res := range state.Resources {
		m := configured.FindStringSubmatch(res.Provider)
		if m != nil && !locked[m[1]] && !strings.HasPrefix(m[1], builtIn) {
			return true, nil
		}
	}
	return false, nil
}

// filesBeyond reports whether the template says that it needs providers that are not
// locked. What its modules from elsewhere need is not known before they are there: they
// count as they were when there was an import, which locked it.
func (r *Run) filesBeyond(locked map[string]bool) bool {
	seen := make(map[string]bool)
	var beyond func(dir string) bool
	beyond = func(dir string) bool {
		if seen[dir] {
			return false
		}
		seen[dir] = true
		module := inspect(dir)
		for name, p := range module.RequiredProviders {
			if address := r.address(name, p.Source); !locked[address] && !strings.HasPrefix(address, builtIn) {
				return true
			}
		}
		for _, call := range module.ModuleCalls {
			if strings.HasPrefix(call.Source, "./") || strings.HasPrefix(call.Source, "../") {
				if beyond(filepath.Join(dir, filepath.FromSlash(call.Source))) {
					return true
				}
			}
		}
		return false
	}
	return beyond(r.cfg.Dir)
}

// address is a provider's address, of which a template may leave out what the program
// that runs it knows by itself.
func (r *Run) address(name, source string) string {
	switch {
	case source == "" && name == "terraform":
		return builtIn + name
	case source == "":
		source = name
	}
	host, _, _ := strings.Cut(r.exec.source(), "/")
	switch source = strings.ToLower(source); strings.Count(source, "/") {
	case 0:
		return host + "/hashicorp/" + source
	case 1:
		return host + "/" + source
	}
	return source
}
