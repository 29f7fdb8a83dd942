package main

import (
	"os"
	"os/exec"
	"strings"
	"testing"
)

func TestTheEnvironmentInProcHoldsNoSettings(t *testing.T) {
	if os.Getenv("TEST_HIDE") != "" {
		if err := hideEnvironment(); err != nil {
			t.Fatal(err)
		}
		if got := os.Getenv("ADIT_POSTGRES_URL"); got != "postgres://u:secret@db/adit" {
			t.Errorf("the process itself reads %q", got)
		}
		shown, err := os.ReadFile("/proc/self/environ")
		if err != nil {
			t.Fatal(err)
		}
		if strings.Contains(string(shown), "secret") || !strings.Contains(string(shown), "TEST_HIDE=1") {
			t.Errorf("environ is %q", shown)
		}
		return
	}
	cmd := exec.Command(os.Args[0], "-test.run=^"+t.Name()+"$")
	cmd.Env = append(os.Environ(), "TEST_HIDE=1", "ADIT_POSTGRES_URL=postgres://u:secret@db/adit")
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Errorf("%v\n%s", err, out)
	}
}
