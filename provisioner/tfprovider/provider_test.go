package tfprovider_test

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/uuid"

	"github.com/aditmesh/adit/pkg/agenttoken"
	provisionerv1 "github.com/aditmesh/adit/pkg/proto/provisionerv1"
	"github.com/aditmesh/adit/provisioner/process"
	"github.com/aditmesh/adit/provisioner/templates"
)

func ctx() context.Context { return context.Background() }

const (
	start = provisionerv1.Transition_START
	stop  = provisionerv1.Transition_STOP
)

func TestTokenIsNewWithEachStart(t *testing.T) {
	w := newWorkspace(t, `
		resource "adit_agent" "main" {
		  name = "main"
		  metadata {
		    key      = "load"
		    script   = "uptime"
		    interval = 10
		  }
		}`)
	id := agenttoken.ID(uuid.MustParse(w.build.GetWorkspaceId()), "main").String()
	token := func() string {
		return agenttoken.Token(uuid.MustParse(w.build.GetWorkspaceId()), w.build.GetAgentSecret(), "main")
	}
	w.next(start)
	if v := w.planned("adit_agent.main"); v["id"] != id || v["token"] != token() {
		t.Fatalf("planned id %v and token %v, want %s and %s", v["id"], v["token"], id, token())
	}
	w.must("apply", "-auto-approve", "plan")
	first := token()
	for _, build := range []struct {
		transition provisionerv1.Transition
		fresh      bool
	}{{stop, false}, {start, true}, {start, true}, {provisionerv1.Transition_DELETE, false}} {
		w.apply(build.transition)
		if build.fresh {
			first = token()
		}
		if v := w.values("adit_agent.main"); v["token"] != first || v["id"] != id {
			t.Errorf("build %d, %v: id %v, token %v; want %s, %s", w.build.GetNumber(), build.transition, v["id"], v["token"], id, first)
		}
	}
	if said := w.must("plan", "-no-color"); !strings.Contains(said, "No changes") {
		t.Errorf("the same build again changes something:\n%s", said)
	}
	if strings.Contains(w.must("plan", "-no-color"), first) {
		t.Error("the token is shown")
	}
}

func TestNameMayComeFromAnotherResource(t *testing.T) {
	w := newWorkspace(t, `
		resource "terraform_data" "name" { input = "late" }
		resource "adit_agent" "main" { name = terraform_data.name.output }`)
	w.apply(start)
	want := agenttoken.Token(uuid.MustParse(w.build.GetWorkspaceId()), w.build.GetAgentSecret(), "late")
	if v := w.values("adit_agent.main"); v["token"] != want {
		t.Errorf("token %v, want %s", v["token"], want)
	}
}

func TestWorkspaceAndOwnerAreTheBuilds(t *testing.T) {
	w := newWorkspace(t, `
		data "adit_workspace" "me" {}
		data "adit_owner" "me" {}`)
	w.apply(stop)
	me := w.values("data.adit_workspace.me")
	for name, want := range map[string]any{
		"id": w.build.GetWorkspaceId(), "name": "dev", "transition": "stop", "start_count": 0.0,
		"access_url": "https://adit.test", "owner": "ann", "template_name": "test", "build_number": 1.0,
	} {
		if me[name] != want {
			t.Errorf("%s is %v, want %v", name, me[name], want)
		}
	}
	if v := w.values("data.adit_owner.me"); v["email"] != "ann@example.com" || v["name"] != "ann" {
		t.Errorf("owner %v", v)
	}
}

func TestMessagesPointAtTheAttribute(t *testing.T) {
	for name, c := range map[string]struct{ tf, want string }{
		"agent's name":   {`resource "adit_agent" "a" { name = "No Good" }`, `name = "No Good"`},
		"app's sharing":  {"resource \"adit_app\" \"a\" {\n agent_id = \"x\"\n slug = \"a\"\n url = \"http://localhost\"\n share = \"all\"\n}", `share = "all"`},
		"app's address":  {"resource \"adit_app\" \"a\" {\n agent_id = \"x\"\n slug = \"a\"\n url = \"localhost:80\"\n}", `url = "localhost:80"`},
		"when to run":    {"resource \"adit_script\" \"a\" {\n agent_id = \"x\"\n name = \"a\"\n script = \"x\"\n run_on = \"boot\"\n}", `run_on = "boot"`},
		"default's type": {"data \"adit_parameter\" \"p\" {\n name = \"cpu\"\n type = \"number\"\n default = \"many\"\n}", `default = "many"`},
		"regex":          {"data \"adit_parameter\" \"p\" {\n name = \"p\"\n validation {\n regex = \"(\"\n }\n}", `regex = "("`},
		"twin options":   {"data \"adit_parameter\" \"p\" {\n name = \"p\"\n option {\n name = \"a\"\n value = \"1\"\n }\n option {\n name = \"b\"\n value = \"1\"\n }\n}", `value = "1"`},
		"no value":       {`data "adit_parameter" "p" { name = "size" }`, `name = "size"`},
		"foreign home":   {"resource \"adit_process\" \"p\" {\n agent_id = \"00000000-0000-0000-0000-000000000001\"\n token = \"t\"\n home = \"/etc\"\n}", `home = "/etc"`},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorkspace(t, c.tf)
			w.next(start)
			said, err := w.terraform("plan", "-no-color")
			if err == nil {
				t.Fatalf("it is planned:\n%s", said)
			}
			said = strings.Join(strings.Fields(said), " ")
			if !strings.Contains(said, c.want) || !strings.Contains(said, "on main.tf line") {
				t.Errorf("want a message at %s; got:\n%s", c.want, said)
			}
		})
	}
}

func TestOutsideABuild(t *testing.T) {
	w := newWorkspace(t, `data "adit_parameter" "p" { name = "size" }`)
	w.without = []string{"ADIT_IMPORT=1"}
	if said := w.must("plan", "-no-color"); strings.Contains(said, "Error") { // an import needs no values
		t.Error(said)
	}
	w.without = []string{"ADIT_IMPORT="}
	if said, err := w.terraform("plan", "-no-color"); err == nil || !strings.Contains(said, "ADIT_BUILD is not set") {
		t.Errorf("want a message that says what is missing; got %v:\n%s", err, said)
	}
}

func TestProcessTemplate(t *testing.T) {
	w := newWorkspace(t, "")
	os.Remove(filepath.Join(w.dir, "main.tf"))
	if err := templates.Write("process", w.dir); err != nil {
		t.Fatal(err)
	}
	ws := uuid.MustParse(w.build.GetWorkspaceId())
	agent := agenttoken.ID(ws, "main")
	host := process.Host{Dir: w.data}
	running := func() bool {
		up, err := host.Running(ws, agent)
		if err != nil {
			t.Fatal(err)
		}
		return up
	}
	note := func() string {
		want := fmt.Sprintf("https://adit.test %s", agenttoken.Token(ws, w.build.GetAgentSecret(), "main"))
		var got string
		w.until("the agent has its token", func() bool {
			raw, _ := os.ReadFile(filepath.Join(host.Home(ws), "note"))
			got = string(raw)
			return got == want
		})
		return got
	}

	w.apply(start)
	first := note()
	w.apply(start) // a start of what runs: another token, another process
	if note() == first {
		t.Error("the token is the same in another build")
	}
	w.write(filepath.Join(host.Home(ws), "work"), "mine")
	w.apply(stop)
	if running() {
		t.Error("the process runs in a stopped workspace")
	}
	if _, err := os.Stat(filepath.Join(host.Home(ws), "work")); err != nil {
		t.Errorf("the home did not stay: %v", err)
	}
	w.apply(start)
	note()
	// A process that is gone is made again, in a build that starts it.
	if err := host.Stop(ctx(), ws, agent); err != nil {
		t.Fatal(err)
	}
	w.apply(start)
	note()
	w.next(provisionerv1.Transition_DELETE)
	w.must("destroy", "-auto-approve", "-no-color")
	if left, _ := filepath.Glob(filepath.Join(w.data, "workspaces", "*")); len(left) > 0 || running() {
		t.Errorf("%v is left, running %v", left, running())
	}
}

func TestProcessOfAnotherHostIsLeftAlone(t *testing.T) {
	w := newWorkspace(t, "resource \"adit_home\" \"main\" {}\n")
	w.apply(start)
	w.write(filepath.Join(w.data, "host-id"), uuid.NewString())
	w.next(stop)
	said, err := w.terraform("apply", "-auto-approve", "-no-color")
	if err == nil || !strings.Contains(said, "another host") {
		t.Errorf("want a refusal that names the other host; got %v:\n%s", err, said)
	}
}
