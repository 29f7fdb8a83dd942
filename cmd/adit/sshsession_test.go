package main

import (
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/aditmesh/adit/pkg/netlab"
	"github.com/aditmesh/adit/pkg/sdk"
)

// What adit's own client does beside running commands, over the mesh.
func TestSSHOfAditItself(t *testing.T) {
	d := deploy(t, netlab.NoNAT, netlab.NoNAT)

	t.Run("a session by name", func(t *testing.T) {
		d := d.in(t)
		look := func(log string) *program { return d.start(d.laptop, log, "ssh", "dev", "--session", "work") }
		say := func(p *program, command, answer string) {
			t.Helper()
			if _, err := io.WriteString(p.stdin, command+"\n"); err != nil {
				t.Fatal(err)
			}
			p.waitFor(answer)
		}
		first := look("first.log")
		say(first, "X=kept; echo said-$((40+2))", "said-42")
		if out := d.must("sessions", "dev"); !strings.Contains(out, "work") {
			t.Errorf("sessions: %s", out)
		}
		first.kill()
		second := look("second.log")
		say(second, "echo $X-still", "kept-still")
		d.must("sessions", "kill", "dev", "work")
		_ = second.wait() // it has nothing left to look at
		if _, err := d.adit("sessions", "kill", "dev", "work"); err == nil || !strings.Contains(err.Error(), "no such session") {
			t.Errorf("killed twice: %v", err)
		}
	})
	t.Run("sockets both ways", func(t *testing.T) {
		d := d.in(t)
		near, far, web := filepath.Join(d.dir, "near"), filepath.Join(d.dir, "far"), filepath.Join(d.dir, "web")
		l, err := net.Listen("unix", web)
		if err != nil {
			t.Fatal(err)
		}
		defer l.Close()
		go func() {
			for {
				c, err := l.Accept()
				if err != nil {
					return
				}
				_, _ = io.WriteString(c, "hello")
				c.Close()
			}
		}()
		d.start(d.laptop, "forwards.log", "ssh", "dev", "-N", "-L", near+":"+web, "-R", far+":"+web)
		for _, end := range []string{near, far} {
			d.eventually("a forward of "+end, func() bool {
				c, err := net.Dial("unix", end)
				if err != nil {
					return false
				}
				defer c.Close()
				got, _ := io.ReadAll(c)
				return string(got) == "hello"
			})
		}
	})
	t.Run("who did what", func(t *testing.T) {
		d := d.in(t)
		d.must("ssh", "dev", "--", "echo audited")
		d.eventually("an entry of the history", func() bool {
			var list []sdk.SSHSession
			d.json(&list, "sessions", "dev", "--history", "-o", "json")
			for _, s := range list {
				if s.Kind == "command" && s.TxBytes == int64(len("audited\n")) && s.EndedAt != nil {
					if s.User != "alice" || s.Agent != "main" || s.Path == "" || s.From == "" || s.EndedAt.Before(s.StartedAt) {
						t.Errorf("%+v", s)
					}
					return true
				}
			}
			return false
		})
	})
	t.Run("the agent here", func(t *testing.T) {
		d := d.in(t)
		if _, err := exec.LookPath("ssh-agent"); err != nil {
			t.Skip(err)
		}
		sock := filepath.Join(d.dir, "agent.sock")
		agent := exec.Command("ssh-agent", "-D", "-a", sock)
		if err := agent.Start(); err != nil {
			t.Fatal(err)
		}
		defer func() {
			_ = agent.Process.Kill()
			_ = agent.Wait() // killed
		}()
		d.eventually("an SSH agent", func() bool { _, err := os.Stat(sock); return err == nil })
		cmd := d.command(d.laptop, "ssh", "dev", "-A", "--", "ssh-add -l; echo exit $?")
		cmd.Env = append(cmd.Env, "SSH_AUTH_SOCK="+sock)
		if out, err := d.output(d.laptop, cmd); err != nil || !strings.Contains(out, "exit 1") { // there is an agent, and it has no keys
			t.Errorf("%q, %v", out, err)
		}
		if _, err := d.adit("ssh", "dev", "-A", "--", "true"); err == nil || !strings.Contains(err.Error(), "SSH_AUTH_SOCK") {
			t.Errorf("without an agent here: %v", err)
		}
	})
	t.Run("who was at ports and files", func(t *testing.T) {
		d := d.in(t)
		var web net.Listener
		if err := d.devbox.Do(func() (err error) {
			web, err = net.Listen("tcp", "127.0.0.1:8000")
			return err
		}); err != nil {
			t.Fatal(err)
		}
		defer web.Close()
		go func() {
			for {
				c, err := web.Accept()
				if err != nil {
					return
				}
				_, _ = io.WriteString(c, "hello")
				c.Close()
			}
		}()
		p := d.start(d.laptop, "port-forward.log", "port-forward", "dev", "--tcp", "8000,7077")
		p.waitFor("Forwarding 127.0.0.1:7077")
		if err := d.laptop.Do(func() error {
			c, err := net.Dial("tcp", "127.0.0.1:8000")
			if err != nil {
				return err
			}
			defer c.Close()
			_, err = io.ReadAll(c)
			return err
		}); err != nil {
			t.Fatal(err)
		}
		if err := d.laptop.Do(func() error {
			c, err := net.Dial("tcp", "127.0.0.1:7077")
			if err != nil {
				return err
			}
			defer c.Close()
			if _, err = io.WriteString(c, "GET /v1/list HTTP/1.0\r\nHost: 127.0.0.1\r\n\r\n"); err != nil {
				return err
			}
			answer, err := io.ReadAll(c)
			if !strings.Contains(string(answer), " 200 ") {
				t.Errorf("files: %.200s", answer)
			}
			return err
		}); err != nil {
			t.Fatal(err)
		}
		d.agentProc.stop() // with which visits end that might go on
		for kind, least := range map[string]int64{"forwards": int64(len("hello")), "files": 100} {
			d.eventually("an entry of kind "+kind, func() bool {
				var list []sdk.SSHSession
				d.json(&list, "sessions", "dev", "--history", "-o", "json")
				return slices.ContainsFunc(list, func(s sdk.SSHSession) bool {
					return s.Kind == kind && s.User == "alice" && s.From != "" && s.TxBytes >= least && s.EndedAt != nil
				})
			})
		}
	})
}
