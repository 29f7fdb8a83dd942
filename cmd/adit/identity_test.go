package main

import (
	"context"
	"crypto/rsa"
	"crypto/x509"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/aditmesh/adit/coordinator/identity"
	"github.com/aditmesh/adit/coordinator/identity/identitytest"
	"github.com/aditmesh/adit/pkg/sdk"
)

// instances are what the clouds call the machines of the test, one of each.
var instances = map[string]string{
	sdk.AuthAWS: "i-0123456789abcdef0", sdk.AuthGoogle: "4711", sdk.AuthAzure: "dc18de58-292f-4794-9a5d-a4192bad0039",
}

// onInstances has an agent on each. Azure's is known only once it is made.
const onInstances = `
terraform {
  required_providers {
    adit = { source = "adit/adit" }
  }
}

locals {
  planned = { aws = "i-0123456789abcdef0", google = "4711" }
}

resource "adit_agent" "planned" {
  for_each = local.planned
  name     = each.key
  auth     = "${each.key}-instance-identity"
}

resource "adit_agent_instance" "planned" {
  for_each    = local.planned
  agent_id    = adit_agent.planned[each.key].id
  instance_id = each.value
}

resource "terraform_data" "machine" {
  input = "dc18de58-292f-4794-9a5d-a4192bad0039"
}

resource "adit_agent" "made" {
  name = "azure"
  auth = "azure-instance-identity"
}

resource "adit_agent_instance" "made" {
  agent_id    = adit_agent.made.id
  instance_id = terraform_data.machine.output
}
`

// clouds are three clouds of the test's own.
type clouds struct {
	t            *testing.T
	region, host *identitytest.Signer
	google       *rsa.PrivateKey
	trust        identity.Config
}

func newClouds(t *testing.T) *clouds {
	t.Helper()
	root := identitytest.Certify(t, "root", nil)
	c := &clouds{
		t: t, region: identitytest.Certify(t, "region", nil), host: identitytest.Certify(t, "host", root, "metadata.azure.com"),
		google: identitytest.Certify(t, "google", nil).Key,
	}
	c.trust = identity.Config{
		AWS: []*x509.Certificate{c.region.Cert}, AzureRoots: x509.NewCertPool(), AzureIntermediates: x509.NewCertPool(),
		GoogleKeys: identitytest.ServeKeys(t, map[string]*rsa.PrivateKey{"k": c.google}).URL,
	}
	c.trust.AzureRoots.AddCert(root.Cert)
	return c
}

// metadata serves what the clouds' metadata services do on a machine that each calls
// as ids say, and returns its URL.
func (c *clouds) metadata(ids map[string]string) string {
	mux := http.NewServeMux()
	say := func(text func(*http.Request) string) http.HandlerFunc {
		return func(w http.ResponseWriter, r *http.Request) { fmt.Fprint(w, text(r)) }
	}
	document := fmt.Sprintf(`{"accountId": "123456789012", "instanceId": %q, "region": "us-east-1"}`, ids[sdk.AuthAWS])
	mux.HandleFunc("PUT /latest/api/token", say(func(*http.Request) string { return "session" }))
	mux.HandleFunc("GET /latest/dynamic/instance-identity/document", say(func(*http.Request) string { return document }))
	mux.HandleFunc("GET /latest/dynamic/instance-identity/rsa2048", say(func(*http.Request) string { return c.region.Sign(c.t, document, true) }))
	mux.HandleFunc("GET /computeMetadata/v1/instance/service-accounts/default/identity", say(func(r *http.Request) string {
		return identitytest.Token(c.t, c.google, map[string]any{"alg": "RS256", "kid": "k"}, map[string]any{
			"iss": "https://accounts.google.com", "aud": r.URL.Query().Get("audience"), "iat": time.Now().Unix(), "exp": time.Now().Add(time.Hour).Unix(),
			"google": map[string]any{"compute_engine": map[string]any{"instance_id": ids[sdk.AuthGoogle]}},
		})
	}))
	mux.HandleFunc("GET /metadata/attested/document", say(func(*http.Request) string {
		const layout = "01/02/06 15:04:05 -0700"
		content := fmt.Sprintf(`{"vmId":%q,"timeStamp":{"createdOn":%q,"expiresOn":%q}}`, ids[sdk.AuthAzure],
			time.Now().UTC().Format(layout), time.Now().Add(6*time.Hour).UTC().Format(layout))
		answer, err := json.Marshal(map[string]string{"encoding": "pkcs7", "signature": c.host.Sign(c.t, content, false)})
		if err != nil {
			c.t.Error(err)
		}
		return string(answer)
	}))
	web := httptest.NewServer(mux)
	c.t.Cleanup(web.Close)
	return web.URL
}

// Agents that are given no token: a template says on which instance of a cloud each
// runs, the cloud's metadata service signs which one that is, and with that the
// agent joins.
func TestAgentsProveWhichInstanceTheyRunOn(t *testing.T) {
	if _, err := exec.LookPath("terraform"); err != nil {
		t.Skip("there is no Terraform: ", err)
	}
	bin, err := buildAdit()
	if err != nil {
		t.Fatal(err)
	}
	c := newClouds(t)
	url := serveBy(t, func(ctx context.Context, s streams, dir string) int {
		f := serverFlags{
			listen: "127.0.0.1:0", dataDir: dir, relay: true, stunPorts: []uint{0, 0}, logFormat: "text", clouds: c.trust,
			nodePing: 15 * time.Second, nodeTimeout: 30 * time.Second, jobLease: 30 * time.Second, cancelGrace: time.Minute,
		}
		if err := runServer(ctx, &app{streams: s}, f, true); err != nil {
			fmt.Fprintln(s.err, err)
			return exitFailed
		}
		return 0
	})
	home, err := os.MkdirTemp("", "adit-") // short, for sockets of Terraform's plugins below it
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(home) })
	adit := commandLine{t, filepath.Join(home, "config")}
	start := func(args ...string) {
		t.Helper()
		cmd := exec.Command(bin, append(args, "--url", url)...)
		cmd.Env = []string{"PATH=" + os.Getenv("PATH"), "HOME=" + home}
		log, err := os.CreateTemp(home, args[0]+"-*.log")
		if err != nil {
			t.Fatal(err)
		}
		cmd.Stdout, cmd.Stderr = log, log
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() {
			_ = cmd.Process.Signal(os.Interrupt) // it may be gone
			_ = cmd.Wait()
			log.Close()
			if text, err := os.ReadFile(log.Name()); err == nil && t.Failed() {
				t.Logf("%s:\n%s", filepath.Base(log.Name()), text)
			}
		})
	}
	adit.succeeds("", "correct horse\n", "login", url, "--first-user", "--username", "alice", "--email", "alice@example.com", "--password-stdin")
	var key sdk.CreatedProvisionerKey
	if err := json.Unmarshal([]byte(adit.succeeds("", "", "provisioners", "keys", "create", "host", "-o", "json")), &key); err != nil {
		t.Fatal(err)
	}
	token := filepath.Join(home, "provisioner.token")
	if err := os.WriteFile(token, []byte(key.Text), 0o600); err != nil {
		t.Fatal(err)
	}
	start("provisioner", "--data-dir", filepath.Join(home, "provisioner"), "--token-file", token)
	template := filepath.Join(home, "template")
	if err := os.Mkdir(template, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(template, "main.tf"), []byte(onInstances), 0o600); err != nil {
		t.Fatal(err)
	}
	adit.succeeds("", "", "templates", "push", "clouds", "-d", template)
	adit.succeeds("", "", "create", "dev", "--template", "clouds", "--no-wait")

	// On machines that nobody knows, and that know nobody's.
	strangers := make(map[string]string)
	for auth, id := range instances {
		strangers[auth] = id[:len(id)-1] + "2"
	}
	for auth := range instances {
		start("agent", "--metadata-url", c.metadata(strangers), "--auth", auth)
	}
	workspace := func() sdk.Workspace {
		t.Helper()
		var w sdk.Workspace
		if err := json.Unmarshal([]byte(adit.succeeds("", "", "show", "dev", "-o", "json")), &w); err != nil {
			t.Fatal(err)
		}
		return w
	}
	for deadline := time.Now().Add(patience); workspace().Phase != "running"; time.Sleep(100 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("the workspace is %+v", workspace())
		}
	}
	for _, a := range workspace().Agents {
		if a.State != "connecting" {
			t.Errorf("before it is there %s is %s", a.Name, a.State)
		}
	}
	for auth := range instances {
		start("agent", "--metadata-url", c.metadata(instances), "--auth", auth)
	}
	for _, name := range []string{"aws", "google", "azure"} {
		var out []byte
		for deadline := time.Now().Add(patience); !strings.Contains(string(out), "it is me"); time.Sleep(100 * time.Millisecond) {
			ssh := exec.CommandContext(t.Context(), bin, "ssh", "dev."+name, "--", "echo it is me")
			ssh.Env = []string{"PATH=" + os.Getenv("PATH"), "HOME=" + home, "ADIT_CONFIG_DIR=" + adit.dir}
			if out, _ = ssh.CombinedOutput(); time.Now().After(deadline) { // it may not be there yet
				t.Fatalf("%s cannot be reached: %s", name, out)
			}
		}
	}
	if n := len(workspace().Agents); n != 3 {
		t.Errorf("%d agents, want three", n)
	}
	adit.succeeds("", "", "delete", "-y", "dev")

	// What came of people's jobs was done by their provisioner, and is noted so.
	var entries []sdk.AuditEntry
	if err := json.Unmarshal([]byte(adit.succeeds("", "", "audit", "-o", "json")), &entries); err != nil {
		t.Fatal(err)
	}
	by := make(map[string]sdk.AuditActor)
	for _, e := range entries {
		by[e.Action] = e.Actor
	}
	for action, who := range map[string]string{"template.changed": "provisioner host", "workspace.deleted": "provisioner host", "build.created": "user alice"} {
		if a := by[action]; a.Kind+" "+a.Name != who || a.Remote != "127.0.0.1" || a.RequestID == "" {
			t.Errorf("%s was done by %+v, want %s", action, a, who)
		}
	}
}
