package container

import (
	"bufio"
	"bytes"
	"context"
	"encoding/base64"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/google/uuid"
)

const (
	// settleTime is how long a container must have run to count as started: one
	// whose image or limits are wrong ends within a fraction of it.
	settleTime = 500 * time.Millisecond

	// settlePoll is how often it is looked at meanwhile.
	settlePoll = 50 * time.Millisecond

	// lastLines is how much is told of what a container said before it ended.
	lastLines = 20

	// shell is what sessions and scripts begin with.
	shell = "/bin/sh"
)

// Run replaces an agent's container, if there is one, by one as the spec says, and
// returns its id once it runs.
func (e *Engine) Run(ctx context.Context, s Spec) (id string, err error) {
	if err := e.Remove(ctx, s.Workspace, s.Agent, 0); err != nil {
		return "", err
	}
	s.Image = tagged(s.Image)
	if err := e.fetch(ctx, s); err != nil {
		return "", err
	}
	var made struct{ Id string }
	err = e.call(ctx, http.MethodPost, "/containers/create", url.Values{"name": {name(s.Agent)}}, e.body(s), &made)
	if err != nil {
		return "", fmt.Errorf("container: make one of image %s: %w", s.Image, err)
	}
	if err := e.start(ctx, made.Id, s.Image); err != nil {
		// It is of no use, and is in the way of the next try.
		gone, cancel := context.WithTimeout(context.WithoutCancel(ctx), openTimeout)
		defer cancel()
		return "", errors.Join(err, e.Remove(gone, s.Workspace, s.Agent, 0))
	}
	return made.Id, nil
}

func (e *Engine) start(ctx context.Context, id, image string) error {
	if err := e.call(ctx, http.MethodHead, "/containers/"+id+"/archive", url.Values{"path": {shell}}, nil, nil); err != nil {
		if errors.Is(err, ErrNotFound) {
			return fmt.Errorf("container: image %s has no %s, which sessions and scripts need; take one that has a shell, or add busybox to it", image, shell)
		}
		return fmt.Errorf("container: look for %s in image %s: %w", shell, image, err)
	}
	if err := e.call(ctx, http.MethodPost, "/containers/"+id+"/start", nil, nil, nil); err != nil {
		return fmt.Errorf("container: start one of image %s: %w", image, err)
	}
	return e.settle(ctx, id, image)
}

// adviceOn is what to try when a container ended at once, whose last words these are.
func adviceOn(last string) string {
	// The kernel says so of a program whose loader is not there.
	if strings.HasPrefix(last, "exec ") && strings.HasSuffix(last, ": no such file or directory") {
		return "the provisioner's adit needs libraries that the image does not have; run one that was built by 'make build', which needs none"
	}
	return "look at the resource's user, mounts, limits and runtime, and whether the image is for this host's processor"
}

// settle waits until a container has run for a while.
func (e *Engine) settle(ctx context.Context, id, image string) error {
	settled := time.After(settleTime)
	for {
		state, err := e.inspect(ctx, id)
		if err != nil {
			return fmt.Errorf("container: look after one of image %s: %w", image, err)
		}
		if !state.State.Running || state.RestartCount > 0 {
			last := e.lastWords(ctx, id)
			why, try := fmt.Sprintf("exit code %d", state.State.ExitCode), adviceOn(last)
			if state.State.OOMKilled {
				why, try = "out of memory", "give it more memory"
			}
			said := "nothing"
			if last != "" {
				said = strconv.Quote(last)
			}
			return fmt.Errorf("container: one of image %s ended at once: %s; %s; it said: %s", image, why, try, said)
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("container: %w", context.Cause(ctx))
		case <-settled:
			return nil
		case <-time.After(settlePoll):
		}
	}
}

// fetch makes sure that the image is there.
func (e *Engine) fetch(ctx context.Context, s Spec) error {
	if s.Pull != "always" {
		err := e.call(ctx, http.MethodGet, "/images/"+s.Image+"/json", nil, nil, nil)
		if err == nil {
			return nil
		}
		if !errors.Is(err, ErrNotFound) {
			return fmt.Errorf("container: look for image %s: %w", s.Image, err)
		}
		if s.Pull == "never" {
			return fmt.Errorf("container: image %s is not on this host, and is not to be fetched; build or pull it there, or leave 'pull' out: %w", s.Image, err)
		}
	}
	header := http.Header{}
	if s.Registry.Username != "" {
		raw, err := json.Marshal(map[string]string{
			"username": s.Registry.Username, "password": s.Registry.Password, "serveraddress": s.Registry.Address,
		})
		if err != nil {
			return fmt.Errorf("container: %w", err)
		}
		header.Set("X-Registry-Auth", base64.URLEncoding.EncodeToString(raw))
	}
	resp, err := e.send(ctx, http.MethodPost, "/images/create", url.Values{"fromImage": {s.Image}}, nil, header)
	if err != nil {
		return unfetched(s.Image, err)
	}
	defer resp.Body.Close()
	// It answers that all is well, and then tells how it goes.
	dec := json.NewDecoder(resp.Body)
	for {
		var progress struct{ Error string }
		if err := dec.Decode(&progress); errors.Is(err, io.EOF) {
			return nil
		} else if err != nil {
			return unfetched(s.Image, err)
		}
		if progress.Error != "" {
			return unfetched(s.Image, errors.New(progress.Error))
		}
	}
}

// unfetched is the error of an image that cannot be had. An engine says at length how
// it looked for it, so that what to try comes first.
func unfetched(image string, err error) error {
	return fmt.Errorf("container: image %s cannot be fetched; look whether its name and tag are right, and whether it needs a 'registry' with an account, or build it on the provisioner's host: %w", image, err)
}

// details is what an engine knows of a container.
type details struct {
	Id           string
	RestartCount int
	State        struct {
		Running, OOMKilled bool
		ExitCode           int
	}
	Config struct{ Labels map[string]string }
}

func (e *Engine) inspect(ctx context.Context, container string) (details, error) {
	var d details
	err := e.call(ctx, http.MethodGet, "/containers/"+container+"/json", nil, nil, &d)
	return d, err
}

// Running reports whether a container, by its id, runs.
func (e *Engine) Running(ctx context.Context, id string) (bool, error) {
	d, err := e.inspect(ctx, id)
	if errors.Is(err, ErrNotFound) {
		return false, nil
	}
	if err != nil {
		return false, fmt.Errorf("container: look for %s: %w", id, err)
	}
	return d.State.Running, nil
}

// Remove stops an agent's container, which may take as long as grace, and removes
// it. It is no error if there is none.
func (e *Engine) Remove(ctx context.Context, workspace, agent uuid.UUID, grace time.Duration) error {
	d, err := e.inspect(ctx, name(agent))
	if errors.Is(err, ErrNotFound) {
		return nil
	}
	if err == nil && d.Config.Labels[workspaceLabel] != workspace.String() {
		err = ErrForeign
	}
	if err == nil {
		err = e.remove(ctx, d.Id, grace)
	}
	if err != nil {
		return fmt.Errorf("container: remove %s: %w", name(agent), err)
	}
	return nil
}

func (e *Engine) remove(ctx context.Context, id string, grace time.Duration) error {
	if grace > 0 {
		err := e.call(ctx, http.MethodPost, "/containers/"+id+"/stop", url.Values{"t": {strconv.Itoa(int(grace.Seconds()))}}, nil, nil)
		if err != nil && !errors.Is(err, ErrNotFound) {
			return err
		}
	}
	// With v, volumes without a name go too, which an image may ask for.
	err := e.call(ctx, http.MethodDelete, "/containers/"+id, url.Values{"force": {"1"}, "v": {"1"}}, nil, nil)
	if errors.Is(err, ErrNotFound) {
		return nil
	}
	return err
}

// lastWords are the last lines that a container said; empty if they cannot be had.
func (e *Engine) lastWords(ctx context.Context, id string) string {
	resp, err := e.send(ctx, http.MethodGet, "/containers/"+id+"/logs",
		url.Values{"stdout": {"1"}, "stderr": {"1"}, "tail": {strconv.Itoa(lastLines)}}, nil, nil)
	if err != nil {
		return ""
	}
	defer resp.Body.Close()
	// Each piece comes after a header of eight bytes: which stream, and how long.
	in := bufio.NewReader(io.LimitReader(resp.Body, maxAnswer))
	var said bytes.Buffer
	for {
		var header [8]byte
		if _, err := io.ReadFull(in, header[:]); err != nil {
			return strings.TrimSpace(said.String())
		}
		if _, err := io.CopyN(&said, in, int64(binary.BigEndian.Uint32(header[4:]))); err != nil {
			return strings.TrimSpace(said.String())
		}
	}
}
