package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"golang.org/x/crypto/ssh"
	"golang.org/x/crypto/ssh/agent"

	"github.com/aditmesh/adit/pkg/sdk"
)

// sshPort is where agents serve SSH on the mesh.
const sshPort = 22

// sshLost is the exit code of a connection that ended before the command did,
// as OpenSSH has it.
const sshLost = 255

// waitNotAtAll is how long an agent that is there may take to answer.
const waitNotAtAll = 10 * time.Second

// waitWatched is how long ssh waits for an agent when somebody is watching.
const waitWatched = 5 * time.Minute

type sshFlags struct {
	stdio          bool
	wait           string
	local, remote  []string
	dynamic        []string
	noCommand, tty bool
	noTTY          bool
	environment    []string
	agent          bool
	session        string
}

func newSSHCmd(a *app) *cobra.Command {
	var f sshFlags
	cmd := &cobra.Command{
		Use: "ssh WS [-- COMMAND…]", Short: "Open a shell in a workspace, or run a command there",
		Example: `  adit ssh dev
  adit ssh dev -- make test
  adit ssh dev -L 8080:localhost:80
  adit ssh dev --session work         # and again, from anywhere
  ssh -o ProxyCommand='adit ssh --stdio %h' dev.adit      # OpenSSH through the mesh`,
		Args: args(cobra.MinimumNArgs(1)), ValidArgsFunction: a.completeWorkspace,
		RunE: func(cmd *cobra.Command, argv []string) error {
			wait, err := f.waitFor(isTerminal(a.in))
			if err != nil {
				return err
			}
			forwards, err := parseForwards(f.local, f.remote, f.dynamic)
			if err != nil {
				return err
			}
			t, err := a.connect(cmd.Context(), argv[0], wait)
			if err != nil {
				return err
			}
			defer t.node.Close()
			if f.wait != "no" {
				if err := a.awaitScripts(cmd.Context(), t, f.wait == "yes", waitWatched); err != nil {
					return err
				}
			}
			conn, err := t.node.DialTCP(cmd.Context(), netip.AddrPortFrom(t.addr, sshPort))
			if err != nil {
				return fmt.Errorf("connect to workspace %s: %w", t.name, err)
			}
			defer conn.Close()
			if f.stdio {
				return stdioSSH(cmd.Context(), a, t, conn, argv[0])
			}
			return runSSH(cmd.Context(), a, conn, t, f, forwards, argv[1:])
		},
	}
	a.pathFlags(cmd)
	flags := cmd.Flags()
	flags.BoolVar(&f.stdio, "stdio", false, "carry SSH over standard input and output, for OpenSSH's ProxyCommand")
	flags.StringVar(&f.wait, "wait", "auto", "wait for the build, the agent and the startup scripts: yes, no, or auto, which waits for scripts if the template says so")
	flags.StringArrayVarP(&f.local, "local", "L", nil, "forward [BIND:]PORT:HOST:PORT from here to there; either end may be a socket's path")
	flags.StringArrayVarP(&f.remote, "remote", "R", nil, "forward [BIND:]PORT:HOST:PORT from there to here; either end may be a socket's path")
	flags.StringArrayVarP(&f.dynamic, "dynamic", "D", nil, "serve SOCKS5 on [BIND:]PORT here, connecting from there")
	flags.BoolVarP(&f.noCommand, "no-command", "N", false, "run nothing, only forward")
	flags.BoolVarP(&f.tty, "tty", "t", false, "open a terminal for the command too")
	flags.BoolVarP(&f.noTTY, "no-tty", "T", false, "open no terminal")
	flags.StringArrayVar(&f.environment, "set-env", nil, "set NAME=VALUE there")
	flags.BoolVarP(&f.agent, "forward-agent", "A", false, "let programs there use the SSH agent here")
	flags.StringVar(&f.session, "session", "", "look at the session of this name there, made unless there is one; it outlives the connection")
	// What follows the workspace is the command's, dashes and all.
	flags.SetInterspersed(true)
	return cmd
}

// waitFor reads --wait.
func (f sshFlags) waitFor(watched bool) (time.Duration, error) {
	switch {
	case f.wait == "no":
		return waitNotAtAll, nil
	case f.wait == "yes", f.wait == "auto" && watched:
		return waitWatched, nil
	case f.wait == "auto":
		return connectTimeout, nil
	default:
		return 0, usagef("--wait %q: want yes, no or auto", f.wait)
	}
}

// stdioSSH carries OpenSSH's connection, once the agent speaks and its key is where
// OpenSSH looks for it.
func stdioSSH(ctx context.Context, a *app, t *target, conn net.Conn, called string) error {
	first := bufio.NewReader(conn)
	if _, err := first.Peek(1); err != nil {
		return fmt.Errorf("connection to workspace %s: %w", t.name, err)
	}
	if err := t.knowHost(ctx, a, called); err != nil {
		return err
	}
	greeting, err := first.Peek(first.Buffered())
	if err == nil {
		_, err = a.out.Write(greeting)
	}
	if err != nil {
		return fmt.Errorf("connection to workspace %s: %w", t.name, err)
	}
	return copyStdio(ctx, a, conn)
}

// copyStdio joins standard input and output to conn. It ends when the far end
// does; the near end's end is passed on.
func copyStdio(ctx context.Context, a *app, conn net.Conn) error {
	go func() { // ends with the process, or with its input
		_, _ = io.Copy(conn, a.in)
		if half, ok := conn.(interface{ CloseWrite() error }); ok {
			_ = half.CloseWrite()
		}
	}()
	copied := make(chan error, 1)
	go func() {
		_, err := io.Copy(a.out, conn)
		copied <- err
	}()
	select {
	case err := <-copied:
		if err != nil {
			return fmt.Errorf("connection to the workspace: %w", err)
		}
		return nil
	case <-ctx.Done():
		return exitError(sshLost)
	}
}

// runSSH speaks SSH on conn: forwards, and a command or a shell.
func runSSH(ctx context.Context, a *app, conn net.Conn, t *target, f sshFlags, forwards []forward, command []string) error {
	name := t.name
	client, err := sshClient(conn, name.String(), t.checkHostKey(ctx, a))
	if err != nil {
		return fmt.Errorf("workspace %s: %w", name, err)
	}
	defer client.Close()
	listening, err := startForwards(ctx, client, forwards, a.logger(0))
	if err != nil {
		return err
	}
	defer listening.Close()
	if f.noCommand {
		ended := make(chan error, 1)
		go func() { ended <- client.Wait() }()
		select {
		case <-ctx.Done():
			return nil
		case <-ended:
			return fmt.Errorf("the connection to workspace %s ended", name)
		}
	}
	s, err := client.NewSession()
	if err != nil {
		return fmt.Errorf("workspace %s: open a session: %w", name, err)
	}
	defer s.Close()
	for _, kv := range f.environment {
		k, v, ok := strings.Cut(kv, "=")
		if !ok {
			return usagef("--set-env %q: want NAME=VALUE", kv)
		}
		if err := s.Setenv(k, v); err != nil {
			return fmt.Errorf("set %s in the workspace: %w", k, err)
		}
	}
	if f.agent {
		if err := forwardAgent(client, s); err != nil {
			return fmt.Errorf("-A: %w", err)
		}
	}
	if f.session != "" {
		if err := s.Setenv(terminalName, f.session); err != nil {
			return fmt.Errorf("--session: the agent of workspace %s is too old for it: %w", name, err)
		}
	}
	line := strings.Join(command, " ")
	if wantsTerminal(a, f, line) {
		err = runInteractive(ctx, a, client, s, line)
	} else {
		err = startSession(ctx, a, s, line, a.in)
	}
	return sshExit(err, name)
}

// forwardAgent lets programs of the session use the SSH agent that runs here.
func forwardAgent(client *ssh.Client, s *ssh.Session) error {
	sock := os.Getenv("SSH_AUTH_SOCK")
	if sock == "" {
		return errors.New("there is no SSH agent here: SSH_AUTH_SOCK is not set")
	}
	if err := agent.ForwardToRemote(client, sock); err != nil {
		return err
	}
	if err := agent.RequestAgentForwarding(s); err != nil {
		return errors.New("the workspace refuses it; its template may forbid forwarding")
	}
	return nil
}

// sshClient makes an SSH client on conn. It needs no key of its own: conn is inside
// WireGuard, whose key the coordinator vouched for.
func sshClient(conn net.Conn, name string, check ssh.HostKeyCallback) (*ssh.Client, error) {
	c, chans, reqs, err := ssh.NewClientConn(conn, name, &ssh.ClientConfig{
		User:            "adit",
		HostKeyCallback: check,
		ClientVersion:   "SSH-2.0-adit",
	})
	if err != nil {
		return nil, fmt.Errorf("SSH handshake: %w", err)
	}
	return ssh.NewClient(c, chans, reqs), nil
}

func wantsTerminal(a *app, f sshFlags, line string) bool {
	if f.noTTY {
		return false
	}
	return f.tty || f.session != "" || line == "" && isTerminal(a.in)
}

// startSession starts a command, or a login shell for none, joins it to the
// streams and waits for its end.
func startSession(ctx context.Context, a *app, s *ssh.Session, line string, input io.Reader) error {
	s.Stdout, s.Stderr = a.out, a.err
	stdin, err := s.StdinPipe()
	if err != nil {
		return err
	}
	if line == "" {
		err = s.Shell()
	} else {
		err = s.Start(line)
	}
	if err != nil {
		return err
	}
	go func() { // ends with the process, or with its input
		_, _ = io.Copy(stdin, input)
		_ = stdin.Close()
	}()
	return waitSession(ctx, s)
}

// waitSession waits for the command, and passes an interrupt on to it.
func waitSession(ctx context.Context, s *ssh.Session) error {
	done := make(chan error, 1)
	go func() { done <- s.Wait() }()
	select {
	case err := <-done:
		return err
	case <-ctx.Done():
	}
	_ = s.Signal(ssh.SIGINT) // if it cannot be sent, closing does it
	select {
	case err := <-done:
		return err
	case <-time.After(2 * time.Second):
		return exitError(128 + 2)
	}
}

// sshExit turns how a session ended into an exit code.
func sshExit(err error, name sdk.WorkspaceName) error {
	var exit *ssh.ExitError
	var missing *ssh.ExitMissingError
	switch {
	case err == nil:
		return nil
	case errors.As(err, &exit) && exit.Signal() != "":
		fmt.Fprintf(os.Stderr, "command in %s ended by signal %s\n", name, exit.Signal())
		return exitError(sshLost)
	case errors.As(err, &exit):
		return exitError(exit.ExitStatus())
	case errors.As(err, &missing):
		fmt.Fprintf(os.Stderr, "the connection to workspace %s ended before the command did\n", name)
		return exitError(sshLost)
	}
	return err
}
