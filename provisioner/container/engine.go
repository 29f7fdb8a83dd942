// Package container runs agents in containers of a Docker or a Podman on the
// provisioner's host: what stands behind the Terraform resources adit_container
// and adit_volume.
//
// Both engines speak the same API over a unix socket; [Open] finds out whether
// one answers there. [Engine.Run] makes sure that an agent's container runs as a
// [Spec] says, [Engine.Remove] that there is none, and both may be repeated. A
// container is known by its name, which is of its agent, and all that is made
// carries the label of its workspace: what a killed build left is found by it.
//
// The agent is no part of the image. The adit binary of the host is mounted, and
// is the first process of the container: it starts the agent, again whenever that
// ends, and reaps what nobody waits for.
package container

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"net/http"
	"net/url"
	"os"
	"strings"
	"syscall"
	"time"
)

const (
	// openTimeout is how long an engine may take to say that it is there.
	openTimeout = 10 * time.Second

	// maxAnswer bounds an answer that is held in memory.
	maxAnswer = 8 << 20
)

// Errors of an engine's answers.
var (
	// ErrNotFound is that there is no such thing.
	ErrNotFound = errors.New("not found")
	// ErrForeign is a container or volume of that name that another made.
	ErrForeign = errors.New("it belongs to something else")
)

// Engine is a Docker or a Podman.
type Engine struct {
	socket string
	http   *http.Client
	podman bool
}

// Find returns the address of an engine's socket: what the environment names, or
// the first there is where they usually are.
func Find(lookup func(string) (string, bool)) (string, error) {
	for _, name := range []string{"DOCKER_HOST", "CONTAINER_HOST"} {
		if address, ok := lookup(name); ok && address != "" {
			return address, nil
		}
	}
	usual := []string{"/var/run/docker.sock", "/run/podman/podman.sock"}
	if dir, ok := lookup("XDG_RUNTIME_DIR"); ok && dir != "" {
		usual = append(usual, dir+"/docker.sock", dir+"/podman/podman.sock")
	}
	for _, path := range usual {
		if info, err := os.Stat(path); err == nil && info.Mode().Type() == os.ModeSocket {
			return "unix://" + path, nil
		}
	}
	return "", fmt.Errorf("container: there is no socket of Docker or Podman at %s: start one, such as with 'systemctl start podman.socket', or name one",
		strings.Join(usual, ", "))
}

// Open returns the engine at an address, unix:// and a path, if one answers.
// Close it.
func Open(ctx context.Context, address string) (*Engine, error) {
	socket, ok := strings.CutPrefix(address, "unix://")
	if !ok || !strings.HasPrefix(socket, "/") {
		return nil, fmt.Errorf("container: address %q of an engine: want unix:// and the path of a socket on this host", address)
	}
	e := &Engine{socket: socket, http: &http.Client{Transport: &http.Transport{
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			return (&net.Dialer{}).DialContext(ctx, "unix", socket)
		},
	}}}
	ctx, cancel := context.WithTimeout(ctx, openTimeout)
	defer cancel()
	if err := e.ping(ctx); err != nil {
		e.Close()
		return nil, fmt.Errorf("container: no engine answers at %s: %s: %w", address, revive(err), err)
	}
	return e, nil
}

// ping finds out whether an engine answers, and which. It does not ask for /version:
// for that, Podman asks the system's packages about its programs, over a second long.
func (e *Engine) ping(ctx context.Context) error {
	resp, err := e.send(ctx, http.MethodGet, "/_ping", nil, nil, nil)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	const pong = "OK"
	said, err := io.ReadAll(io.LimitReader(resp.Body, int64(len(pong)+1)))
	if err != nil {
		return fmt.Errorf("GET /_ping: %w", err)
	}
	if string(said) != pong {
		return fmt.Errorf("GET /_ping: answer begins with %q, want %q", said, pong)
	}
	e.podman = resp.Header.Get("Libpod-Api-Version") != ""
	return nil
}

// revive says what to try with an engine that does not answer.
func revive(err error) string {
	const start = "'systemctl start podman.socket', or docker"
	switch {
	case errors.Is(err, context.DeadlineExceeded):
		return fmt.Sprintf("it takes connections and says nothing for %v; restart it, such as with 'systemctl restart podman', or docker", openTimeout)
	case errors.Is(err, syscall.ECONNREFUSED):
		return "nobody listens at that socket, which one that is gone has left; start it, such as with " + start
	case errors.Is(err, fs.ErrNotExist):
		return "there is no such socket; start one, such as with " + start + ", or name another"
	case errors.Is(err, fs.ErrPermission):
		return "the provisioner's user may not use that socket; add it to the socket's group, such as with 'usermod -aG docker USER', and start the provisioner anew"
	}
	return "what is there does not speak as Docker or Podman do; look whose socket it is"
}

// Close lets go of the engine's connections.
func (e *Engine) Close() { e.http.CloseIdleConnections() }

// call makes a request with a JSON body, and reads a JSON answer into out; nil is
// none.
func (e *Engine) call(ctx context.Context, method, path string, query url.Values, in, out any) error {
	resp, err := e.send(ctx, method, path, query, in, nil)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	if out == nil {
		return nil
	}
	if err := json.NewDecoder(io.LimitReader(resp.Body, maxAnswer)).Decode(out); err != nil {
		return fmt.Errorf("%s %s: %w", method, path, err)
	}
	return nil
}

// send makes a request and returns its answer, if that is none of an error.
func (e *Engine) send(ctx context.Context, method, path string, query url.Values, in any, header http.Header) (*http.Response, error) {
	var body io.Reader
	if in != nil {
		raw, err := json.Marshal(in)
		if err != nil {
			return nil, fmt.Errorf("%s %s: %w", method, path, err)
		}
		body = bytes.NewReader(raw)
	}
	// The version of the API is whatever the engine speaks: what is used here is in
	// each.
	u := url.URL{Scheme: "http", Host: "engine", Path: path, RawQuery: query.Encode()}
	req, err := http.NewRequestWithContext(ctx, method, u.String(), body)
	if err != nil {
		return nil, fmt.Errorf("%s %s: %w", method, path, err)
	}
	if in != nil {
		req.Header.Set("Content-Type", "application/json")
	}
	for name, values := range header {
		req.Header[name] = values
	}
	resp, err := e.http.Do(req)
	if err != nil {
		var wrapped *url.Error
		if errors.As(err, &wrapped) {
			err = wrapped.Err // the rest tells of a host that there is not
		}
		return nil, err
	}
	if resp.StatusCode < http.StatusBadRequest {
		return resp, nil
	}
	defer resp.Body.Close()
	return nil, failure(resp)
}

// failure is what an engine says is wrong.
func failure(resp *http.Response) error {
	var said struct{ Message string }
	raw, err := io.ReadAll(io.LimitReader(resp.Body, maxAnswer))
	if err != nil || json.Unmarshal(raw, &said) != nil || said.Message == "" {
		said.Message = strings.TrimSpace(resp.Status + " " + string(raw[:min(len(raw), 200)]))
	}
	if resp.StatusCode == http.StatusNotFound {
		return fmt.Errorf("%s: %w", said.Message, ErrNotFound)
	}
	return errors.New(said.Message)
}
