package main

import (
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// The guide to backups, proved: what docs/operations.md says to run brings back
// workspaces, states that can be opened, people's tokens, and agents that never
// noticed more than an outage. Twice, because a backup of what was restored has
// to be as good.
func TestABackupBringsADeploymentBack(t *testing.T) {
	if _, err := exec.LookPath("terraform"); err != nil {
		t.Skip("there is no Terraform: ", err)
	}
	d := newDeployment(t)
	d.laptop = d.lab.Host("laptop")
	d.devbox = d.laptop
	d.up()
	dir, data := filepath.Join(d.dir, "template"), filepath.Join(d.dir, "data")
	if err := os.Mkdir(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "main.tf"), []byte("resource \"terraform_data\" \"disk\" {}\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	d.must("templates", "push", "disk", "-d", dir)
	d.must("create", "built", "--template", "disk")
	state, list := d.must("state", "pull", "built"), d.must("list")
	script := func(name string, args ...string) (string, error) {
		cmd := exec.CommandContext(t.Context(), filepath.Join("..", "..", "deploy", name), args...)
		cmd.Env = d.env()
		out, err := cmd.CombinedOutput()
		return string(out), err
	}
	for round := range 2 {
		backup := filepath.Join(d.dir, "backup.tar")
		if out, err := script("backup.sh", "--data-dir", data, backup); err != nil {
			t.Fatalf("backup: %v: %s", err, out)
		}
		if info, err := os.Stat(backup); err != nil || info.Mode().Perm() != 0o600 {
			t.Errorf("the backup is %v, %v, want a file for its owner alone", info.Mode(), err)
		}
		d.must("create", "lost", "--external") // since the backup
		if out, err := script("restore.sh", "--data-dir", data, "--adit", d.bin, backup); err == nil || !strings.Contains(out, "move it away") {
			t.Fatalf("restored over what is there: %v: %s", err, out)
		}

		d.serverProc.kill()
		if err := os.RemoveAll(data); err != nil {
			t.Fatal(err)
		}
		if out, err := script("restore.sh", "--data-dir", data, "--adit", d.bin, backup); err != nil {
			t.Fatalf("restore: %v: %s", err, out)
		}
		d.startServer()
		if now := d.must("list"); strings.Fields(now)[0] != strings.Fields(list)[0] || !strings.Contains(now, "alice/built") || !strings.Contains(now, "alice/dev") || strings.Contains(now, "lost") {
			t.Errorf("round %d: workspaces are\n%s\nand were\n%s", round, now, list)
		}
		if now := d.must("state", "pull", "built"); now != state {
			t.Errorf("round %d: the state is\n%s\nand was\n%s", round, now, state)
		}
		d.eventually("the agent is back", func() bool {
			a, err := d.agent()
			return err == nil && a.State == "connected" && a.LastConnectedAt != nil && d.reaches()
		})
	}
	// A build goes on from the state that came back.
	d.must("delete", "-y", "built")

	damaged := filepath.Join(d.dir, "damaged.tar")
	raw := []byte(read(t, filepath.Join(d.dir, "backup.tar")))
	raw[len(raw)/2] ^= 1
	if err := os.WriteFile(damaged, raw, 0o600); err != nil {
		t.Fatal(err)
	}
	if out, err := script("restore.sh", "--data-dir", filepath.Join(d.dir, "other"), "--adit", d.bin, damaged); err == nil || !strings.Contains(out, "damaged") {
		t.Errorf("a damaged backup: %v: %s", err, out)
	}
}

// reaches reports whether a command runs in the workspace dev.
func (d *deployment) reaches() bool {
	out, err := d.adit("ssh", "dev", "--", "echo", "here")
	return err == nil && strings.TrimSpace(out) == "here"
}

// The same with a database that is somebody else's to run: into another one, beside
// it.
func TestABackupMovesToAnotherDatabase(t *testing.T) {
	if _, err := exec.LookPath("terraform"); err != nil {
		t.Skip("there is no Terraform: ", err)
	}
	l := newLoadLab(t)
	must := func(name string, args ...string) string {
		t.Helper()
		cmd := l.command(args...)
		if name != "adit" {
			cmd = exec.CommandContext(t.Context(), name, args...)
			cmd.Env = l.command().Env
		}
		out, err := cmd.Output()
		if err != nil {
			t.Fatalf("%s %s: %v: %s", name, strings.Join(args, " "), err, out)
		}
		return string(out)
	}
	script := func(name string) string { return filepath.Join("..", "..", "deploy", name) }
	l.stop()
	l.start("--postgres-url", l.pg.URL(), "--provisioners", "1")
	dir := filepath.Join(l.dir, "template")
	if err := os.Mkdir(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "main.tf"), []byte("resource \"terraform_data\" \"disk\" {}\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	must("adit", "templates", "push", "disk", "-d", dir)
	must("adit", "create", "built", "--template", "disk")
	state, list := must("adit", "state", "pull", "built"), must("adit", "list", "-o", "json")
	backup := filepath.Join(l.dir, "backup.tar")
	must(script("backup.sh"), "--data-dir", l.dir, "--postgres-url", l.pg.URL(), backup)
	must("adit", "create", "lost", "--external") // since the backup
	l.stop()

	data := filepath.Join(l.dir, "data2")
	refused := exec.CommandContext(t.Context(), script("restore.sh"), "--data-dir", data, "--postgres-url", l.pg.URL(), backup)
	if out, err := refused.CombinedOutput(); err == nil || !strings.Contains(string(out), "name an empty one") {
		t.Errorf("restored over a database that has tables: %v: %s", err, out)
	}
	if err := os.RemoveAll(data); err != nil {
		t.Fatal(err)
	}
	must("psql", l.pg.URL(), "-qc", "create database moved")
	moved, err := url.Parse(l.pg.URL())
	if err != nil {
		t.Fatal(err)
	}
	moved.Path = "/moved"
	must(script("restore.sh"), "--data-dir", data, "--postgres-url", moved.String(), backup)
	l.start("--postgres-url", moved.String(), "--data-dir", data, "--provisioners", "1")
	if now := must("adit", "list", "-o", "json"); now != list {
		t.Errorf("workspaces are\n%s\nand were\n%s", now, list)
	}
	if now := must("adit", "state", "pull", "built"); now != state {
		t.Errorf("the state is\n%s\nand was\n%s", now, state)
	}
	must("adit", "delete", "-y", "built")
}
