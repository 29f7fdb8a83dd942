package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/crypto/ssh"
)

// hostKey returns the key that the coordinator vouches for, as authorized_keys has
// it; empty for an agent that is older than the coordinator. An agent has its key
// before it answers, so what is not known when it has is never known.
func (t *target) hostKey(ctx context.Context, a *app) (string, error) {
	if t.agent.HostKey != "" {
		return t.agent.HostKey, nil
	}
	c, err := a.client()
	if err != nil {
		return "", err
	}
	w, err := c.Workspace(ctx, t.name.Owner, t.name.Name)
	if err != nil {
		return "", fmt.Errorf("host key of workspace %s: %w", t.name, err)
	}
	agent, err := w.Agent(t.name)
	t.agent.HostKey = agent.HostKey
	return agent.HostKey, err
}

// checkHostKey refuses any key but the one that the coordinator vouches for.
// Without one, what is left is that WireGuard has proven who is at the other end.
func (t *target) checkHostKey(ctx context.Context, a *app) ssh.HostKeyCallback {
	return func(_ string, _ net.Addr, key ssh.PublicKey) error {
		want, err := t.hostKey(ctx, a)
		if err != nil || want == "" {
			return err
		}
		known, _, _, _, err := ssh.ParseAuthorizedKey([]byte(want))
		if err != nil {
			return fmt.Errorf("host key of workspace %s: %w", t.name, err)
		}
		if !bytes.Equal(known.Marshal(), key.Marshal()) {
			return fmt.Errorf("workspace %s answers with the host key %s, and the coordinator knows it by %s; restart its agent, and if that does not help, do not trust it",
				t.name, ssh.FingerprintSHA256(key), ssh.FingerprintSHA256(known))
		}
		return nil
	}
}

// errKeySeen ends a handshake that was begun to see the key.
var errKeySeen = errors.New("the key was seen")

// presentedKey asks an agent for its key.
func (t *target) presentedKey(ctx context.Context) (string, error) {
	conn, err := t.node.DialTCP(ctx, netip.AddrPortFrom(t.addr, sshPort))
	if err != nil {
		return "", fmt.Errorf("connect to workspace %s: %w", t.name, err)
	}
	defer conn.Close()
	var key string
	_, _, _, err = ssh.NewClientConn(conn, "", &ssh.ClientConfig{HostKeyCallback: func(_ string, _ net.Addr, k ssh.PublicKey) error {
		key = string(bytes.TrimSpace(ssh.MarshalAuthorizedKey(k)))
		return errKeySeen
	}})
	if key == "" {
		return "", fmt.Errorf("host key of workspace %s: %w", t.name, err)
	}
	return key, nil
}

// knownHosts is the file, in the configuration's directory, where OpenSSH finds the
// keys of workspaces.
const knownHosts = "known_hosts"

// knowHost makes OpenSSH, which reads its files once the other end has spoken,
// expect the agent's key of a host that it calls as it was told to.
func (t *target) knowHost(ctx context.Context, a *app, called string) error {
	key, err := t.hostKey(ctx, a)
	if err == nil && key == "" {
		key, err = t.presentedKey(ctx)
	}
	if err != nil {
		return err
	}
	called = strings.ToLower(called) // as OpenSSH looks it up
	line := fmt.Sprintf("%s,[%s]:* %s\n", called, called, key)
	if err := keepKnownHost(filepath.Join(a.configDir, knownHosts), called, line); err != nil {
		return fmt.Errorf("keep the host key of workspace %s: %w", t.name, err)
	}
	return nil
}

// keepKnownHost makes line the only one about a host. Others that do the same at
// this moment are about other hosts, and add theirs.
func keepKnownHost(file, host, line string) error {
	old, err := os.ReadFile(file)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	var others strings.Builder
	var here, stale bool
	for l := range strings.Lines(string(old)) {
		switch {
		case l == line:
			here = true
		case strings.HasPrefix(l, host+","):
			stale = true
			continue
		}
		others.WriteString(l)
	}
	switch {
	case stale && here:
		return writeFileAtomic(file, []byte(others.String()), 0o600)
	case stale:
		return writeFileAtomic(file, []byte(others.String()+line), 0o600)
	case here:
		return nil
	}
	if err := os.MkdirAll(filepath.Dir(file), 0o700); err != nil {
		return err
	}
	f, err := os.OpenFile(file, os.O_WRONLY|os.O_APPEND|os.O_CREATE, 0o600)
	if err != nil {
		return err
	}
	_, err = f.WriteString(line)
	return errors.Join(err, f.Close())
}
