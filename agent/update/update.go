// Package update puts the program of an agent's coordinator in the place of the
// agent's own.
//
// [Fetch] does it, whole or not at all: what was downloaded is what the coordinator
// says it is, and runs here, before it takes the old one's place. The old one runs on
// until somebody starts the new one.
package update

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"syscall"
	"time"

	"github.com/aditmesh/adit/agent/family"
	"github.com/aditmesh/adit/pkg/sdk"
)

const (
	// maxProgram bounds what is downloaded; one with every role in it has 60 MiB.
	maxProgram = 512 << 20

	// tryFor is how long a new program may take to say its version.
	tryFor = 20 * time.Second
)

// Config configures [Fetch].
type Config struct {
	Coordinator *sdk.Client
	// Program is the file that is replaced, and Running the digest of what runs; see
	// [Digest].
	Program, Running string
	// Start starts the new program, to see that it runs; nil starts it as it is.
	Start family.Starter
}

// Program is one that may run here.
type Program struct {
	// Digest is its SHA-256 in hex.
	Digest string
	// Version is what it says of itself; empty of the one that runs already.
	Version string
}

// Digest returns the SHA-256 of a file in hex.
func Digest(name string) (string, error) {
	f, err := os.Open(name)
	if err != nil {
		return "", fmt.Errorf("update: digest: %w", err)
	}
	defer f.Close()
	sum := sha256.New()
	if _, err := io.Copy(sum, f); err != nil {
		return "", fmt.Errorf("update: digest of %s: %w", name, err)
	}
	return hex.EncodeToString(sum.Sum(nil)), nil
}

// Fetch puts the coordinator's program in place, unless it is there, and returns what
// is there.
func Fetch(ctx context.Context, cfg Config) (Program, error) {
	there, err := Digest(cfg.Program)
	if err != nil {
		return Program{}, err
	}
	body, digest, err := cfg.Coordinator.AgentProgram(ctx, runtime.GOOS, runtime.GOARCH, there)
	if err != nil {
		return Program{}, fmt.Errorf("update: %w", err)
	}
	if body == nil {
		p := Program{Digest: there}
		if there != cfg.Running { // an update that waits to be started
			p.Version, err = try(ctx, cfg.Program, cfg.Start)
		}
		return p, err
	}
	defer body.Close()
	return replace(ctx, cfg, body, digest)
}

// replace writes a program beside the old one and, if it is what it should be, over it.
func replace(ctx context.Context, cfg Config, body io.Reader, digest string) (p Program, err error) {
	old, err := os.Stat(cfg.Program)
	if err != nil {
		return p, fmt.Errorf("update: %w", err)
	}
	f, err := os.CreateTemp(filepath.Dir(cfg.Program), ".adit-update-*")
	if err != nil {
		return p, fmt.Errorf("update: the agent may not replace its program: %w", err)
	}
	defer os.Remove(f.Name()) // it is not there any more if all went well
	sum := sha256.New()
	n, err := io.Copy(io.MultiWriter(f, sum), io.LimitReader(body, maxProgram+1))
	if err = errors.Join(err, f.Chmod(old.Mode().Perm()), f.Sync(), closeAlone(f)); err != nil {
		return p, fmt.Errorf("update: download: %w", err)
	}
	p.Digest = hex.EncodeToString(sum.Sum(nil))
	switch {
	case n > maxProgram:
		return p, fmt.Errorf("update: a program of more than %d MiB", maxProgram>>20)
	case p.Digest != digest:
		return p, fmt.Errorf("update: %d bytes with the SHA-256 %s came, and the coordinator's program has %.64q; try again", n, p.Digest, digest)
	}
	if p.Version, err = try(ctx, f.Name(), cfg.Start); err != nil {
		return p, err
	}
	if err := os.Rename(f.Name(), cfg.Program); err != nil {
		return p, fmt.Errorf("update: %w", err)
	}
	return p, nil
}

// closeAlone closes a file that is to be run. No process starts meanwhile: until it is
// its own program, a child holds what its parent had open, and Linux runs no file that
// anybody may write to.
func closeAlone(f *os.File) error {
	syscall.ForkLock.RLock()
	defer syscall.ForkLock.RUnlock()
	return f.Close()
}

// try returns the version of a program, if it runs here.
func try(ctx context.Context, program string, start family.Starter) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, tryFor)
	defer cancel()
	cmd := exec.CommandContext(ctx, program, "version", "-o", "json")
	var out, said bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &said
	err := start.Start(cmd)
	if err == nil {
		err = cmd.Wait()
	}
	var v struct {
		Version string `json:"version"`
	}
	if err == nil {
		err = json.Unmarshal(out.Bytes(), &v)
	}
	if err != nil {
		return "", fmt.Errorf("update: the coordinator's program does not run here: %w %.200s", err, said.Bytes())
	}
	return v.Version, nil
}
