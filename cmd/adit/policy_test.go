package main

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/aditmesh/adit/pkg/policy"
)

func TestThePolicyOnTheCommandLine(t *testing.T) {
	quiet(t)
	t.Setenv("TMPDIR", t.TempDir())
	t.Setenv("VISUAL", "")
	url := serve(t)
	alice := commandLine{t, filepath.Join(t.TempDir(), "alice")}
	alice.succeeds("Signed in", "correct horse\n", "login", url, "--first-user", "--username", "alice", "--email", "alice@example.com", "--password-stdin")
	file := func(text string) string {
		name := filepath.Join(t.TempDir(), "policy.yaml")
		if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return name
	}

	if _, err := policy.Read([]byte(firstPolicy)); err != nil {
		t.Errorf("what people begin with is no policy: %v", err)
	}
	if out, errOut, code := alice.run("", "policy", "show"); code != 0 || out != "" || !strings.Contains(errOut, "There is no policy") {
		t.Errorf("before there is one: %d %q %q", code, out, errOut)
	}
	alice.fails(exitFailed, "name a file", "", "policy", "test")

	// Files.
	good := file("rules:\n- {from: ['*'], to: [me/*], ports: ['*']}\ntests:\n- {from: bob, to: alice/dev, deny: [tcp:22]}\n")
	wrong := file("rules:\n- {from: ['*'], to: [dev], ports: ['*']}\n")
	failing := file("rules: []\ntests:\n- {from: bob, to: bob/dev, allow: [tcp:22]}\n")
	alice.succeeds("is a policy", "", "policy", "validate", good)
	alice.succeeds("is a policy", "", "policy", "validate", failing)
	alice.succeeds("all of 1 expectations hold", "", "policy", "test", good)
	for _, tt := range []struct{ does, file, says string }{
		{"validate", wrong, wrong + `:2: "dev" is not OWNER/WORKSPACE`},
		{"test", wrong, wrong + ":2: "},
		{"test", failing, failing + ":3: the test fails: bob does not reach all of tcp:22 of bob/dev"},
		{"set", failing, failing + ":3: the test fails"},
	} {
		out, errOut, code := alice.run("", "policy", tt.does, tt.file)
		if code != exitFailed || out != "" || !strings.HasPrefix(errOut, tt.says) || !strings.Contains(errOut, "has 1 problem; docs/policy.md") {
			t.Errorf("%s %s: %d %q %q", tt.does, tt.file, code, out, errOut)
		}
	}
	out, _, code := alice.run("", "policy", "test", failing, "-o", "json")
	var report policyReport
	if err := json.Unmarshal([]byte(out), &report); err != nil || code != exitFailed || report.Valid || len(report.Problems) != 1 || report.Problems[0].Line != 3 {
		t.Errorf("%d %q %v", code, out, err)
	}
	alice.fails(exitFailed, "no such file", "", "policy", "set", filepath.Join(t.TempDir(), "none"))
	alice.succeeds("Version 1 of the policy holds", "", "policy", "set", good)
	alice.succeeds("all of 1 expectations hold", "", "policy", "test")
	alice.succeeds("Version 2", "links: []\n", "policy", "set", "-")

	// The editor.
	t.Setenv("EDITOR", "sed -i s/links/rules/")
	alice.succeeds("Version 3", "", "policy", "edit")
	alice.succeeds("rules: []", "", "policy", "show")
	alice.succeeds("links: []", "", "policy", "show", "--version", "2")
	alice.fails(exitFailed, "no version 7", "", "policy", "show", "--version", "7")
	alice.succeeds("alice", "", "policy", "versions")
	t.Setenv("EDITOR", "true")
	if _, errOut, code := alice.run("", "policy", "edit"); code != 0 || !strings.Contains(errOut, "Nothing was changed") {
		t.Errorf("%d %q", code, errOut)
	}
	t.Setenv("EDITOR", "false")
	alice.fails(exitFailed, "name another with EDITOR", "", "policy", "edit")
	kept := func(says string) {
		t.Helper()
		_, errOut, code := alice.run("", "policy", "edit")
		_, after, ok := strings.Cut(errOut, "your text is kept in ")
		name, _, _ := strings.Cut(after, ",")
		if text, err := os.ReadFile(name); code != exitFailed || !ok || err != nil || !strings.Contains(string(text), "mine") || !strings.Contains(errOut, says) {
			t.Errorf("%d %q: %q %v", code, errOut, text, err)
		}
	}
	t.Setenv("EDITOR", "sed -i s/rules/mine/")
	kept(`has no field "mine"`)
	c, err := (&app{configDir: alice.dir}).client()
	if err != nil {
		t.Fatal(err)
	}
	// An editor that takes until somebody else has saved theirs.
	begun, saved := filepath.Join(t.TempDir(), "begun"), filepath.Join(t.TempDir(), "saved")
	for _, pipe := range []string{begun, saved} {
		if err := syscall.Mkfifo(pipe, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	go func() {
		if _, err := os.ReadFile(begun); err != nil {
			t.Error(err)
		}
		if _, err := c.SetPolicy(t.Context(), "links: [] # somebody else's\n"); err != nil {
			t.Error(err)
		}
		if err := os.WriteFile(saved, nil, 0o600); err != nil {
			t.Error(err)
		}
	}()
	t.Setenv("EDITOR", ": > "+begun+"; cat "+saved+"; sed -i 's/rules/links/; s/$/ # mine/'")
	kept("somebody else has changed the policy meanwhile")
	alice.succeeds("somebody else's", "", "policy", "show")
}
