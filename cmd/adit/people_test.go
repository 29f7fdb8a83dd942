package main

import (
	"bufio"
	"bytes"
	"encoding/json"
	"io"
	"net/http"
	"net/http/cookiejar"
	neturl "net/url"
	"path/filepath"
	"strings"
	"testing"

	"github.com/aditmesh/adit/pkg/sdk"
)

// quiet keeps this machine's own settings out of a test.
func quiet(t *testing.T) {
	t.Helper()
	for _, name := range []string{"ADIT_URL", "ADIT_TOKEN", "ADIT_LISTEN", "ADIT_DATA_DIR", "ADIT_POSTGRES_URL", "DISPLAY", "WAYLAND_DISPLAY"} {
		t.Setenv(name, "")
	}
}

func TestPeople(t *testing.T) {
	quiet(t)
	url := serve(t)
	alice := commandLine{t, filepath.Join(t.TempDir(), "alice")}
	bob := commandLine{t, filepath.Join(t.TempDir(), "bob")}
	alice.succeeds("Signed in", "correct horse\n", "login", url, "--first-user", "--username", "alice", "--email", "alice@example.com", "--password-stdin")

	// An account, from its making to its end.
	alice.fails(exitUsage, "--email", "", "users", "create", "bob")
	alice.fails(exitFailed, "taken by adit", "", "users", "create", "me", "--email", "me@example.com")
	alice.succeeds("bob@example.com", "battery staple\n", "users", "create", "bob", "--email", "bob@example.com", "--password-stdin")
	alice.fails(exitFailed, "already", "", "users", "create", "bob", "--email", "robert@example.com")
	alice.fails(exitFailed, "already", "", "users", "create", "robert", "--email", "BOB@example.com")
	bob.succeeds("Signed in", "battery staple\n", "login", url, "--username", "bob", "--password-stdin")
	bob.succeeds("bob", "", "users", "show", "me")
	bob.fails(exitFailed, "no user alice", "", "users", "show", "alice")
	bob.fails(exitFailed, "only owners and user admins", "", "users", "create", "eve", "--email", "eve@example.com")
	bob.fails(exitFailed, "may do that", "", "users", "role", "bob", "owner")
	alice.succeeds("user-admin", "", "users", "role", "bob", "user-admin")
	bob.succeeds("eve", "", "users", "create", "eve", "--email", "eve@example.com")
	bob.fails(exitFailed, "only owners", "", "users", "create", "mallory", "--email", "m@example.com", "--role", "owner")
	bob.fails(exitFailed, "only owners", "", "users", "role", "eve", "template-admin")
	bob.fails(exitFailed, "only owners", "", "users", "suspend", "alice")
	alice.fails(exitFailed, "no owner left", "", "users", "role", "alice", "member")
	alice.fails(exitFailed, "no owner left", "", "users", "delete", "alice")
	alice.fails(exitFailed, "role", "", "users", "role", "bob", "emperor")

	// Passwords.
	bob.fails(exitFailed, "old password is wrong", "incorrect\nbattery stable\n", "users", "password", "--password-stdin")
	bob.succeeds("", "battery staple\nbattery stable\n", "users", "password", "--password-stdin")
	bob.fails(exitFailed, "wrong user name", "battery staple\n", "login", url, "--username", "bob", "--password-stdin")
	bob.succeeds("bob", "", "users", "show", "me") // this session lives on
	alice.succeeds("", "chosen by alice\n", "users", "password", "bob", "--password-stdin")
	bob.fails(exitFailed, "adit login URL", "", "users", "show", "me")
	bob.succeeds("Signed in", "chosen by alice\n", "login", url, "--username", "bob", "--password-stdin")

	// Tokens with scopes.
	token := strings.TrimSpace(bob.succeeds("adit_", "", "tokens", "create", "ci", "--scope", "workspace:read"))
	scoped := commandLine{t, t.TempDir()}
	with := func(args ...string) []string { return append(args, "--url", url, "--token", token) }
	scoped.succeeds("No workspaces", "", with("list")...)
	scoped.fails(exitFailed, "scopes do not hold workspace:create", "", with("create", "dev", "--external")...)
	scoped.fails(exitFailed, "scopes", "", with("tokens", "create", "wider")...)
	bob.fails(exitFailed, "RESOURCE:ACTION", "", "tokens", "create", "x", "--scope", "everything")
	alice.succeeds("ci", "", "tokens", "list", "--user", "bob")
	bob.succeeds("adit_", "", "tokens", "create", "ci", "--lifetime", "1s")
	bob.fails(exitFailed, "2 tokens are called ci", "", "tokens", "delete", "ci")
	bob.succeeds("adit_", "", "tokens", "create", "once")
	bob.succeeds("", "", "tokens", "delete", "once")
	bob.fails(exitFailed, "no token once", "", "tokens", "delete", "once")
	bob.fails(exitFailed, "no token", "", "tokens", "delete", "00000000-0000-4000-8000-000000000000")

	// Groups and organizations.
	alice.succeeds("research", "", "organizations", "create", "research")
	alice.fails(exitFailed, "already", "", "organizations", "create", "research")
	alice.succeeds("backend", "", "groups", "create", "backend")
	alice.succeeds("", "", "groups", "add", "backend", "bob")
	alice.succeeds("bob", "", "groups", "show", "backend")
	alice.succeeds("lab", "", "groups", "create", "lab", "--organization", "research")
	alice.fails(exitFailed, "no such user", "", "groups", "add", "lab", "eve", "--organization", "research")
	alice.succeeds("", "", "organizations", "members", "set", "research", "eve")
	alice.succeeds("", "", "groups", "add", "lab", "eve", "--organization", "research")
	alice.succeeds("eve", "", "organizations", "members", "list", "research")
	alice.fails(exitFailed, "1 groups", "", "organizations", "delete", "research")
	alice.succeeds("", "", "groups", "delete", "lab", "--organization", "research")
	alice.succeeds("", "", "organizations", "rename", "research", "science")
	alice.succeeds("", "", "organizations", "delete", "science")
	alice.fails(exitFailed, "default one", "", "organizations", "delete", "default")
	alice.fails(exitUsage, `unknown command "member"`, "", "organizations", "member", "list", "default")
	alice.fails(exitUsage, `unknown command "keyz"`, "", "provisioners", "keyz")
	alice.succeeds("Available Commands", "", "groups")

	// Keeping out, and the end.
	bob.succeeds("", "", "create", "dev", "--external")
	alice.succeeds("suspended", "", "users", "suspend", "bob")
	bob.fails(exitFailed, "adit login URL", "", "list")
	bob.fails(exitFailed, "suspended", "chosen by alice\n", "login", url, "--username", "bob", "--password-stdin")
	alice.succeeds("active", "", "users", "activate", "bob")
	bob.succeeds("dev", "", "list")
	alice.succeeds("", "", "users", "delete", "bob")
	bob.fails(exitFailed, "adit login URL", "", "list")
	alice.fails(exitFailed, "no user bob", "", "users", "show", "bob")
	var left []sdk.Workspace
	if err := json.Unmarshal([]byte(alice.succeeds("", "", "list", "--all", "-o", "json")), &left); err != nil || len(left) != 0 {
		t.Errorf("workspaces left: %+v, %v", left, err)
	}
	alice.succeeds("bob", "", "users", "create", "bob", "--email", "bob@example.com") // the name is free
	var users []sdk.User
	if err := json.Unmarshal([]byte(alice.succeeds("", "", "users", "list", "-o", "json")), &users); err != nil || len(users) != 3 {
		t.Errorf("users: %+v, %v, want alice, bob and eve", users, err)
	}
}

// With no name given, somebody with a browser lets the command line in.
func TestLoginInABrowser(t *testing.T) {
	quiet(t)
	url := serve(t)
	alice := commandLine{t, filepath.Join(t.TempDir(), "alice")}
	alice.fails(exitFailed, "--first-user", "", "login", url)
	alice.succeeds("Signed in", "correct horse\n", "login", url, "--first-user", "--username", "alice", "--email", "alice@example.com", "--password-stdin")
	browser := signedInBrowser(t, url)

	for _, decision := range []string{"allow", "deny"} {
		read, write := io.Pipe()
		dir := filepath.Join(t.TempDir(), "remote")
		var out bytes.Buffer
		ended := make(chan int, 1)
		go func() {
			ended <- run(t.Context(), streams{in: strings.NewReader(""), out: &out, err: write}, []string{"login", url, "--config-dir", dir})
			write.Close()
		}()
		said := bufio.NewReader(read)
		first, err := said.ReadString('\n')
		if err != nil {
			t.Fatal(err)
		}
		page := strings.TrimSpace(strings.TrimPrefix(first, "Open "))
		_, code, ok := strings.Cut(page, "code=")
		second, err := said.ReadString('\n')
		if err != nil || !ok || !strings.Contains(second, code) {
			t.Fatalf("says %q, %q, %v", first, second, err)
		}
		rest := make(chan string, 1)
		go func() {
			raw, _ := io.ReadAll(said)
			rest <- string(raw)
		}()
		if status, text := browser("GET", page, nil); status != http.StatusOK || !strings.Contains(text, code) || !strings.Contains(text, "127.0.0.1") {
			t.Fatalf("%s: %d %s", page, status, text)
		}
		form := neturl.Values{"code": {code}, "decision": {decision}}
		if status, text := browser("POST", url+"/signin/device", form); status != http.StatusOK {
			t.Fatalf("%d %s", status, text)
		}
		if status, _ := browser("POST", url+"/signin/device", form); status != http.StatusNotFound {
			t.Errorf("decided twice: %d, want 404", status)
		}
		exit, errOut := <-ended, <-rest
		if decision == "deny" {
			if exit != exitFailed || !strings.Contains(errOut, "turned this command line away") {
				t.Errorf("turned away: exit %d, %q", exit, errOut)
			}
			continue
		}
		if exit != 0 || !strings.Contains(out.String(), "as alice") {
			t.Errorf("let in: exit %d, %q, %q", exit, &out, errOut)
		}
		commandLine{t, dir}.succeeds("alice", "", "users", "show", "me")
	}
}

// signedInBrowser returns what sends requests as alice's browser does.
func signedInBrowser(t *testing.T, url string) func(method, target string, form neturl.Values) (int, string) {
	t.Helper()
	jar, err := cookiejar.New(nil)
	if err != nil {
		t.Fatal(err)
	}
	client := http.Client{Jar: jar}
	send := func(method, target string, form neturl.Values) (int, string) {
		t.Helper()
		req, err := http.NewRequestWithContext(t.Context(), method, target, strings.NewReader(form.Encode()))
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		if method == http.MethodPost {
			req.Header.Set("Origin", url)
		}
		resp, err := client.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		raw, err := io.ReadAll(resp.Body)
		if err != nil {
			t.Fatal(err)
		}
		return resp.StatusCode, string(raw)
	}
	if status, text := send("POST", url+"/signin", neturl.Values{"username": {"alice"}, "password": {"correct horse"}}); status != http.StatusOK {
		t.Fatalf("sign in: %d %s", status, text)
	}
	return send
}

func TestSignInFlagsAreChecked(t *testing.T) {
	quiet(t)
	c := commandLine{t, t.TempDir()}
	for _, bad := range []struct {
		says string
		args []string
	}{
		{"--oidc-client-id", []string{"--oidc-issuer", "https://id.example.com"}},
		{"want a URL", []string{"--oidc-issuer", "id.example.com", "--oidc-client-id", "x"}},
		{"--oidc-groups-claim", []string{"--oidc-issuer", "https://id.example.com", "--oidc-client-id", "x", "--oidc-allowed-groups", "a"}},
		{"emperor", []string{"--oidc-issuer", "https://id.example.com", "--oidc-client-id", "x", "--oidc-roles-claim", "r", "--oidc-role-mapping", "a=emperor"}},
		{"--github-allow-everybody", []string{"--github-client-id", "x"}},
		{"--trusted-proxies", []string{"--trusted-proxies", "10.0.0.0"}},
		{"--max-token-lifetime", []string{"--max-token-lifetime", "1s"}},
	} {
		c.fails(exitUsage, bad.says, "", append([]string{"server", "--listen", "127.0.0.1:0", "--data-dir", t.TempDir()}, bad.args...)...)
	}
}
