package ssh

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"os"
	"slices"
	"strings"
)

// environ returns the environment of the session's program, as a login would
// give it, with what the client sent on top.
func (s *session) environ() []string {
	cfg := s.conn.server.cfg
	a := cfg.Account
	env := slices.Clone(cfg.Env)
	if cfg.EnvNow != nil {
		env = append(env, cfg.EnvNow()...)
	}
	if f, err := os.Open(cfg.EnvFile); err == nil {
		env = withLogin(env, readEnvFile(f))
		f.Close()
	}
	env = append(env,
		"USER="+a.Name, "LOGNAME="+a.Name, "HOME="+a.Home, "SHELL="+a.Shell,
		"SSH_CLIENT="+addrFields(s.conn.RemoteAddr(), nil, s.conn.LocalAddr()),
		"SSH_CONNECTION="+addrFields(s.conn.RemoteAddr(), s.conn.LocalAddr(), s.conn.LocalAddr()),
	)
	if s.pty != nil && s.pty.Term != "" {
		env = append(env, "TERM="+s.pty.Term)
	}
	return append(append(env, s.granted...), s.env...)
}

// addrFields writes "ADDR PORT [ADDR] PORT" as OpenSSH does.
func addrFields(remote, local, port net.Addr) string {
	rhost, rport, _ := net.SplitHostPort(remote.String())
	_, lport, _ := net.SplitHostPort(port.String())
	if local == nil {
		return fmt.Sprintf("%s %s %s", rhost, rport, lport)
	}
	lhost, _, _ := net.SplitHostPort(local.String())
	return fmt.Sprintf("%s %s %s %s", rhost, rport, lhost, lport)
}

// readEnvFile reads NAME=VALUE lines as pam_env does: comments, "export" and quotes
// around a value are left out.
func readEnvFile(r io.Reader) (env []string) {
	for lines := bufio.NewScanner(r); lines.Scan(); {
		line := strings.TrimPrefix(strings.TrimSpace(lines.Text()), "export ")
		name, value, ok := strings.Cut(line, "=")
		if name = strings.TrimSpace(name); !ok || name == "" || strings.ContainsAny(name, "# \t") || strings.ContainsRune(line, 0) {
			continue
		}
		if n := len(value); n >= 2 && (value[0] == '"' || value[0] == '\'') && value[n-1] == value[0] {
			value = value[1 : n-1]
		}
		env = append(env, name+"="+value)
	}
	return env
}

// withLogin adds what logins set to the environment that the workspace has, which
// comes first: an image that brings a compiler has it in its PATH. Of the path
// both count.
func withLogin(env, login []string) []string {
	have := make(map[string]int, len(env))
	for i, kv := range env {
		name, _, _ := strings.Cut(kv, "=")
		have[name] = i
	}
	for _, kv := range login {
		name, value, _ := strings.Cut(kv, "=")
		i, ok := have[name]
		switch {
		case !ok:
			have[name] = len(env)
			env = append(env, kv)
		case name == "PATH":
			env[i] = "PATH=" + joinPaths(strings.TrimPrefix(env[i], "PATH="), value)
		}
	}
	return env
}

// joinPaths is a search path with what is only in another behind it.
func joinPaths(first, second string) string {
	dirs := strings.Split(first, ":")
	for dir := range strings.SplitSeq(second, ":") {
		if !slices.Contains(dirs, dir) {
			dirs = append(dirs, dir)
		}
	}
	return strings.Join(dirs, ":")
}
