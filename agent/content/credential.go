package content

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"github.com/aditmesh/adit/pkg/sdk"
)

const (
	// maxQuery bounds what is asked for a credential with.
	maxQuery = 8 << 10

	// answerIn bounds an answer: git waits, and somebody for git.
	answerIn = 20 * time.Second
)

// Keeper has the owner's credentials; *sdk.Client is one.
type Keeper interface {
	AgentGitCredential(ctx context.Context, origin string) (sdk.GitSecret, error)
}

// Credentials answers git on a socket that only the agent's own user reaches.
type Credentials struct {
	keeper Keeper
	log    *slog.Logger
	dir    string
	server *http.Server
	wg     sync.WaitGroup
}

// Serve begins to answer; Close ends it.
func Serve(keeper Keeper, log *slog.Logger) (*Credentials, error) {
	dir, err := os.MkdirTemp("", "adit-git-") // mode 0700
	if err != nil {
		return nil, fmt.Errorf("content: %w", err)
	}
	c := &Credentials{keeper: keeper, log: log, dir: dir}
	l, err := net.Listen("unix", c.Socket())
	if err != nil {
		return nil, errors.Join(fmt.Errorf("content: %w", err), os.RemoveAll(dir))
	}
	mux := http.NewServeMux()
	mux.HandleFunc("POST /credential", c.answer)
	c.server = &http.Server{Handler: mux, ReadTimeout: answerIn, WriteTimeout: 2 * answerIn}
	c.wg.Go(func() { _ = c.server.Serve(l) }) // until Close
	return c, nil
}

// Socket is where it listens.
func (c *Credentials) Socket() string { return filepath.Join(c.dir, "socket") }

// Close ends it.
func (c *Credentials) Close() error {
	err := c.server.Close()
	c.wg.Wait()
	return errors.Join(err, os.RemoveAll(c.dir))
}

// Env adds to an environment that git asks here, after those that its user has set
// up. It changes no file. program is adit's own.
func (c *Credentials) Env(env []string, program string) []string {
	if value(env, "GIT_CONFIG_COUNT") != "" {
		return env // somebody else's
	}
	helper := "!'" + strings.ReplaceAll(program, "'", `'\''`) + "' git-credential --socket '" + c.Socket() + "'"
	return append(env[:len(env):len(env)], "GIT_CONFIG_COUNT=1", "GIT_CONFIG_KEY_0=credential.helper", "GIT_CONFIG_VALUE_0="+helper)
}

func (c *Credentials) answer(w http.ResponseWriter, r *http.Request) {
	var q struct{ Protocol, Host string }
	if err := json.NewDecoder(http.MaxBytesReader(w, r.Body, maxQuery)).Decode(&q); err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	ctx, cancel := context.WithTimeout(r.Context(), answerIn)
	defer cancel()
	origin := (&url.URL{Scheme: q.Protocol, Host: q.Host}).String()
	secret, err := c.keeper.AgentGitCredential(ctx, origin)
	var refused *sdk.Error
	switch {
	case errors.As(err, &refused):
		c.log.Info("no credential for git", "origin", origin, "err", err)
		http.Error(w, refused.Error(), refused.Status)
	case err != nil:
		c.log.Warn("no credential for git", "origin", origin, "err", err)
		http.Error(w, "the coordinator does not answer", http.StatusBadGateway)
	default:
		c.log.Info("credential given to git", "origin", origin, "user", secret.Username)
		w.Header().Set("Content-Type", "application/json")
		_ = json.NewEncoder(w).Encode(secret) // git has gone if it fails
	}
}

// Help is git's side: a credential helper that asks the socket. It reads what git
// wants from in, and writes the answer, if there is one, to out; why there is none
// goes to errs. Git asks for nothing but "get" that it could do.
func Help(ctx context.Context, socket, action string, in io.Reader, out, errs io.Writer) error {
	if action != "get" {
		return nil
	}
	asked := make(map[string]string)
	for lines := bufio.NewScanner(io.LimitReader(in, maxQuery)); lines.Scan() && lines.Text() != ""; {
		key, v, _ := strings.Cut(lines.Text(), "=")
		asked[key] = v
	}
	query, err := json.Marshal(map[string]string{"protocol": asked["protocol"], "host": asked["host"]})
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, 2*answerIn)
	defer cancel()
	var dialer net.Dialer
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true, DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return dialer.DialContext(ctx, "unix", socket)
	}}}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, "http://agent/credential", strings.NewReader(string(query)))
	if err != nil {
		return err
	}
	resp, err := client.Do(req)
	if err != nil {
		return fmt.Errorf("ask the agent for a credential: %w", err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(io.LimitReader(resp.Body, maxQuery))
	if err != nil {
		return fmt.Errorf("ask the agent for a credential: %w", err)
	}
	if resp.StatusCode != http.StatusOK {
		_, err := fmt.Fprintf(errs, "adit: %s\n", strings.TrimSpace(string(body)))
		return err
	}
	var secret sdk.GitSecret
	if err := json.Unmarshal(body, &secret); err != nil {
		return fmt.Errorf("ask the agent for a credential: %w", err)
	}
	_, err = fmt.Fprintf(out, "username=%s\npassword=%s\n", secret.Username, secret.Password)
	return err
}
