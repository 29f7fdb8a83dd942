package main

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/aditmesh/adit/tunnel"
)

// closedTemplate is a workspace whose ports are nobody's.
const closedTemplate = `
terraform {
  required_providers {
    adit = { source = "adit/adit" }
  }
}

data "adit_workspace" "me" {}

resource "adit_agent" "main" {
  name              = "main"
  forbid_forwarding = true
}

resource "adit_home" "main" {}

resource "adit_process" "main" {
  count    = data.adit_workspace.me.start_count
  agent_id = adit_agent.main.id
  token    = adit_agent.main.token
  home     = adit_home.main.path
}
`

// What a workspace does not admit is refused at once, and said to be denied: nobody waits
// for a time-out to learn of it.
func TestWhatIsDeniedIsSaidAtOnce(t *testing.T) {
	v := &vpn{deployment: deployWithTemplate(t, "closed", closedTemplate)}
	v.resolvConf = filepath.Join(v.dir, "resolv.conf")
	if err := os.WriteFile(v.resolvConf, []byte("nameserver "+v.server.Addr().String()+"\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	v.deployment.must("create", "dev", "--template", "closed")
	v.start()
	v.must("ping", "-c", "1", "-W", "20", "dev.adit")

	began := time.Now()
	out, err := v.run("curl", "-sS", "-m", "20", "http://dev.adit:8080/")
	if took := time.Since(began); err == nil || took > 5*time.Second {
		t.Errorf("curl: %s %v after %v, want a refusal at once", out, err, took)
	}
	var s statusReport
	if err := json.Unmarshal([]byte(v.must(v.bin, "status", "-o", "json")), &s); err != nil || len(s.Peers) != 1 {
		t.Fatalf("status: %+v %v", s, err)
	}
	if d := s.Peers[0].Verdict; d == nil || d.Code != tunnel.CodeDenied || !strings.Contains(d.Evidence, "TCP port 8080") {
		t.Errorf("status says %+v", d)
	}
	if out := v.must(v.bin, "ping", "dev", "-c", "1"); !strings.Contains(out, "(denied)") {
		t.Errorf("ping says %s", out)
	}
}
