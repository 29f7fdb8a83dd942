package api

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/aditmesh/adit/coordinator/identity"
	"github.com/aditmesh/adit/coordinator/store"
	provisionerv1 "github.com/aditmesh/adit/pkg/proto/provisionerv1"
	"github.com/aditmesh/adit/pkg/sdk"
)

// The tests of this file go through the OpenAPI document, so that they know an
// operation the day it is added. What they expect is strict: whoever adds one that
// is open, or that shows to all what belongs to somebody, has to say so here.

// openOperations need no token.
var openOperations = []string{
	"buildinfo", "login", "create-first-user", "agent-binary", "agent-digest", "agent-identity", "login-device", "login-device-token", "sign-in-methods",
	"pushed", // signed with a secret
}

// sharedOperations answer everybody who has signed in, though their paths name
// something that somebody made.
var sharedOperations = []string{"get-template", "get-template-limits", "list-versions", "get-version", "list-members", "get-member", "get-organization"}

// call is one operation with values for what it takes.
type call struct {
	method, path string // with braces
	op           operation
	params       map[string]string // by name
	body         map[string]any    // nil if it takes none
	raw          []byte            // sent in place of body, if there is one
}

// calls are all operations of the document, each with the values of its examples.
// Where an example names something, it is what [inhabit] makes.
func (doc document) calls(id string) []call {
	var list []call
	for _, path := range slices.Sorted(maps.Keys(doc.Paths)) {
		for _, method := range slices.Sorted(maps.Keys(doc.Paths[path])) {
			c := call{method: strings.ToUpper(method), path: path, op: doc.Paths[path][method], params: make(map[string]string)}
			for _, p := range c.op.Parameters {
				switch {
				case p.Name == "id" && p.Schema.Type == "string":
					c.params[p.Name] = id
				case p.In == "path":
					c.params[p.Name] = fmt.Sprint(p.Example)
				}
			}
			if c.op.RequestBody != nil {
				c.body, _ = c.op.RequestBody.Content["application/json"].Example.(map[string]any)
				if c.body == nil {
					c.body = map[string]any{}
				}
			}
			list = append(list, c)
		}
	}
	return list
}

// request makes the call's request.
func (c call) request(ctx context.Context, t *testing.T, token string) *http.Request {
	t.Helper()
	path, query, header := c.path, url.Values{}, http.Header{}
	for _, p := range c.op.Parameters {
		v, ok := c.params[p.Name]
		switch {
		case !ok:
		case p.In == "path":
			path = strings.ReplaceAll(path, "{"+p.Name+"}", strings.NewReplacer("+", "%20").Replace(url.QueryEscape(v)))
		case p.In == "query":
			query.Set(p.Name, v)
		case p.In == "header":
			header[http.CanonicalHeaderKey(p.Name)] = []string{v} // as it is
		}
	}
	if len(query) > 0 {
		path += "?" + query.Encode()
	}
	body := c.raw
	if body == nil && c.body != nil {
		var err error
		if body, err = json.Marshal(c.body); err != nil {
			t.Fatal(err)
		}
	}
	req := httptest.NewRequestWithContext(ctx, c.method, path, bytes.NewReader(body))
	req.Header = header
	if c.body != nil {
		req.Header.Set("Content-Type", "application/json")
	}
	if token != "" {
		req.Header.Set("Authorization", token)
	}
	return req
}

// answer makes the call without a network in between, which a large body would
// break before it is answered. What goes on for long is cut off.
func (d *deployment) answer(t *testing.T, c call, token string) *httptest.ResponseRecorder {
	t.Helper()
	limit := patience
	for _, r := range c.op.Responses {
		if _, ok := r.Content["text/event-stream"]; ok {
			limit = 300 * time.Millisecond
		}
	}
	return d.answerWithin(t, c, token, limit)
}

func (d *deployment) answerWithin(t *testing.T, c call, token string, limit time.Duration) *httptest.ResponseRecorder {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), limit)
	defer cancel()
	w := httptest.NewRecorder()
	d.handler.ServeHTTP(w, c.request(ctx, t, token))
	return w
}

// inhabited is a deployment in which there is what the examples name: a template,
// a workspace and a provisioner key that are called dev. They are root's, who owns
// the deployment, and alice has a workspace of that name, too.
type inhabited struct {
	*deployment
	doc         document
	root, alice *sdk.Client
	agent       string // token of alice's agent
	secrets     []string
}

func inhabit(t *testing.T) *inhabited {
	t.Helper()
	// Instances are proven with the certificates that are published; Google's keys
	// are asked for where nobody is.
	clouds, err := identity.New(identity.Config{GoogleKeys: "http://127.0.0.1:1/"})
	if err != nil {
		t.Fatal(err)
	}
	d := deploy(t, func(c *Config) { c.Identity = clouds })
	in := &inhabited{deployment: d, root: d.add(t, "root", store.RoleOwner), alice: d.add(t, "alice", store.RoleMember)}
	_, in.doc = d.document(t)
	p := d.provision(t)
	if _, err := in.root.PushTemplate(t.Context(), "dev", sdk.PushVersion{Archive: packed(t, "x"), Tags: map[string]string{}}); err != nil {
		t.Fatal(err)
	}
	p.finish(p.job(), &provisionerv1.Result{Template: &provisionerv1.Template{}})
	if _, err := in.root.CreateProvisionerKey(t.Context(), sdk.CreateProvisionerKey{Name: "dev"}); err != nil {
		t.Fatal(err)
	}
	if _, err := in.root.CreateRelay(t.Context(), sdk.CreateRelay{Name: "dev", Region: "eu"}); err != nil {
		t.Fatal(err)
	}
	for _, c := range []*sdk.Client{in.root, in.alice} {
		w, err := c.CreateWorkspace(t.Context(), sdk.CreateWorkspace{Name: "dev", Template: "dev"})
		if err != nil {
			t.Fatal(err)
		}
		j := p.job()
		p.planned(j, &provisionerv1.Agent{Name: "main"})
		p.finish(j, &provisionerv1.Result{})
		in.secrets = append(in.secrets, w.ID)
	}
	made := makeWorkspace(t, in.alice, "box")
	in.agent = made.AgentToken
	in.secrets = append(in.secrets[1:], made.ID, made.Agents[0].ID, "box") // alice's
	return in
}

// bad are credentials that are no good for operations that want the token of a
// user.
func (in *inhabited) bad(t *testing.T) map[string]string {
	t.Helper()
	me, err := in.alice.Me(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	past := time.Now().Add(-time.Second)
	expired, _, err := in.auth.IssueToken(t.Context(), uuid.MustParse(me.ID), "expired", &past)
	if err != nil {
		t.Fatal(err)
	}
	revoked, err := in.alice.CreateToken(t.Context(), sdk.CreateToken{Name: "revoked"})
	if err != nil {
		t.Fatal(err)
	}
	if err := in.alice.RevokeToken(t.Context(), revoked.ID); err != nil {
		t.Fatal(err)
	}
	key, err := in.root.CreateProvisionerKey(t.Context(), sdk.CreateProvisionerKey{Name: "lab"})
	if err != nil {
		t.Fatal(err)
	}
	program, err := sdk.New(in.url, in.agent).MakeClientToken(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	good := in.alice.Token()
	return map[string]string{
		"none":                      "",
		"nothing":                   "Bearer ",
		"garbage":                   "Bearer xyzzy",
		"garbage behind the prefix": "Bearer adit_xyzzy",
		"bytes":                     "Bearer \xff\x00\x01",
		"very long":                 "Bearer adit_" + strings.Repeat("a", 16<<10),
		"SQL":                       "Bearer adit_' or 1=1 --",
		"no scheme":                 good,
		"another scheme":            "Basic " + good,
		"without its secret":        "Bearer " + good[:strings.LastIndex(good, "_")+1],
		"a wrong secret":            "Bearer " + good + "x",
		"cut off":                   "Bearer " + good[:len(good)-1],
		"expired":                   "Bearer " + expired,
		"revoked":                   "Bearer " + revoked.Text,
		"an agent's":                "Bearer " + in.agent,
		"a workspace's program's":   "Bearer " + program.Token,
		"a provisioner's":           "Bearer " + key.Text,
		"a built-in provisioner's":  "Bearer " + in.auth.BuiltInToken(),
	}
}

func TestNoOperationTakesABadCredential(t *testing.T) {
	in := inhabit(t)
	bad := in.bad(t)
	tried := 0
	for _, c := range in.doc.calls(uuid.NewString()) {
		if slices.Contains(openOperations, c.op.OperationID) {
			continue
		}
		wrong := maps.Clone(bad)
		if c.op.Security[0][agentScheme] != nil {
			delete(wrong, "an agent's")
			if c.op.OperationID == "agent-linked-workspace" {
				delete(wrong, "a workspace's program's")
			}
			wrong["a user's"] = "Bearer " + in.alice.Token()
			wrong["an owner's"] = "Bearer " + in.root.Token()
		}
		for name, token := range wrong {
			tried++
			w := in.answer(t, c, token)
			if w.Code != http.StatusUnauthorized {
				t.Errorf("%s with a credential that is %s: %d %.200s, want 401", c.op.OperationID, name, w.Code, w.Body)
				continue
			}
			p := readProblem(t, w.Result(), w.Body.String())
			if p.Code != "unauthenticated" || !strings.HasPrefix(w.Header().Get("WWW-Authenticate"), "Bearer") {
				t.Errorf("%s: code %q, WWW-Authenticate %q", c.op.OperationID, p.Code, w.Header().Get("WWW-Authenticate"))
			}
		}
	}
	if tried < 400 {
		t.Errorf("tried %d; is the document complete?", tried)
	}
}

// A stranger is told of nothing that is alice's, whatever they ask for.
func TestNoOperationShowsAStrangerWhatIsAnothers(t *testing.T) {
	in := inhabit(t)
	tokens, err := in.alice.Tokens(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	before, err := in.alice.Workspaces(t.Context(), "me")
	if err != nil {
		t.Fatal(err)
	}
	bob := "Bearer " + in.add(t, "bob", store.RoleMember).Token()
	for _, c := range in.doc.calls(tokens[0].ID) {
		id := c.op.OperationID
		if id == "logout" || len(c.op.Security) == 0 || c.op.Security[0][userScheme] == nil {
			continue
		}
		w := in.answer(t, c, bob)
		names := strings.Contains(c.path, "{")
		if names && !slices.Contains(sharedOperations, id) && w.Code != http.StatusForbidden && w.Code != http.StatusNotFound {
			t.Errorf("%s of alice's things by bob: %d %.200s, want 403 or 404", id, w.Code, w.Body)
		}
		if w.Code >= 500 {
			t.Errorf("%s: %d %.200s", id, w.Code, w.Body)
		}
		for _, secret := range append(in.secrets, tokens[0].ID) {
			if strings.Contains(w.Body.String(), secret) {
				t.Errorf("%s tells bob of %s: %.300s", id, secret, w.Body)
			}
		}
	}
	after, err := in.alice.Workspaces(t.Context(), "me")
	if err != nil || fmt.Sprint(names(before)) != fmt.Sprint(names(after)) {
		t.Errorf("alice had %v and has %v, %v", names(before), names(after), err)
	}
	if left, err := in.alice.Tokens(t.Context()); err != nil || len(left) != len(tokens) {
		t.Errorf("alice had %d tokens and has %d, %v", len(tokens), len(left), err)
	}
}

func names(list []sdk.Workspace) []string {
	var out []string
	for _, w := range list {
		out = append(out, w.Name+" "+w.Phase)
	}
	return out
}

// nasty are texts that somebody might have put together with others.
var nasty = map[string]string{
	"SQL":           `' or 1=1; drop table users; --`,
	"SQL, doubly":   `"; drop table workspaces; --`,
	"a header":      "x\r\nX-Injected: yes",
	"a path":        "../../../../etc/passwd",
	"a zero byte":   "a\x00b",
	"no UTF-8":      "\xff\xfe",
	"a terminal":    "\x1b[2J",
	"markup":        `<script>alert(1)</script>`,
	"a placeholder": `%s%n$1{{7*7}}${7*7}`,
	"a direction":   "\u202eved",
	"empty":         "",
}

// Whatever text stands for a parameter or a field, it stays text.
func TestNoOperationMistakesTextForAnythingElse(t *testing.T) {
	in := inhabit(t)
	token := map[string]string{userScheme: "Bearer " + in.root.Token(), agentScheme: "Bearer " + in.agent}
	tried := 0
	check := func(c call, where, what string, w *httptest.ResponseRecorder) {
		t.Helper()
		tried++
		if w.Code >= 500 {
			t.Errorf("%s: %s that is %s: %d %.300s", c.op.OperationID, where, what, w.Code, w.Body)
		}
		if _, ok := c.op.Responses[strconv.Itoa(w.Code)]; !ok {
			t.Errorf("%s: %s that is %s: %d %.200s is not in the document", c.op.OperationID, where, what, w.Code, w.Body)
		}
		for name, values := range w.Header() {
			if name == "X-Injected" || strings.ContainsAny(strings.Join(values, ""), "\r\n") {
				t.Errorf("%s: %s that is %s: header %s: %q", c.op.OperationID, where, what, name, values)
			}
		}
	}
	for _, c := range in.doc.calls(uuid.NewString()) {
		if c.op.OperationID == "logout" {
			continue
		}
		with := ""
		if len(c.op.Security) > 0 {
			for scheme := range c.op.Security[0] {
				with = token[scheme]
			}
		}
		for what, text := range nasty {
			for _, p := range c.op.Parameters {
				if text == "" && p.In == "path" {
					continue
				}
				n := c
				n.params = maps.Clone(c.params)
				n.params[p.Name] = text
				check(n, p.In+" "+p.Name, what, in.answer(t, n, with))
			}
			for field := range textFields(in.doc, c) {
				n := c
				n.body = maps.Clone(c.body)
				n.body[field] = text
				check(n, "field "+field, what, in.answer(t, n, with))
			}
		}
	}
	if tried < 500 {
		t.Errorf("tried %d; is the document complete?", tried)
	}
	if has, err := in.store.HasUsers(t.Context()); err != nil || !has {
		t.Errorf("the users are gone: %v", err)
	}
	if _, err := in.alice.Workspace(t.Context(), "me", "box"); err != nil {
		t.Errorf("alice's workspace: %v", err)
	}
}

// textFields are the fields of a call's body that are texts, and maps and lists of
// texts, which a text is no good for either.
func textFields(doc document, c call) map[string]*schema {
	found := make(map[string]*schema)
	if c.body == nil {
		return found
	}
	s := c.op.RequestBody.Content["application/json"].Schema
	if s.Ref != "" {
		s = doc.Components.Schemas[s.Ref[strings.LastIndex(s.Ref, "/")+1:]]
	}
	for name, p := range s.Properties {
		if kind, _ := p.Type.(string); kind == "string" {
			found[name] = p
		}
	}
	return found
}

// A name of 10 MB is too large for the body or for the field, and nothing else. A
// parameter is a part of the request's head, of which the server takes 32 KiB.
func TestNoOperationTakesATextOf10MB(t *testing.T) {
	in := inhabit(t)
	huge := bytes.Repeat([]byte("x"), 10<<20)
	long := strings.Repeat("x", 32<<10)
	for _, c := range in.doc.calls(uuid.NewString()) {
		with := "Bearer " + in.root.Token()
		if len(c.op.Security) > 0 && c.op.Security[0][agentScheme] != nil {
			with = "Bearer " + in.agent
		}
		for field := range textFields(in.doc, c) {
			n := c
			n.body = maps.Clone(c.body)
			n.body[field] = "@huge@"
			body, err := json.Marshal(n.body)
			if err != nil {
				t.Fatal(err)
			}
			n.raw = bytes.Replace(body, []byte("@huge@"), huge, 1)
			w := in.answer(t, n, with)
			refused := w.Code == http.StatusRequestEntityTooLarge || w.Code == http.StatusUnprocessableEntity
			if c.op.OperationID == "pushed" { // for a webhook that there is not, nothing is read
				refused = w.Code == http.StatusNotFound
			}
			if !refused {
				t.Errorf("%s: %s of 10 MB: %d %.200s, want 413 or 422", c.op.OperationID, field, w.Code, w.Body)
			} else if w.Body.Len() > 10<<10 {
				t.Errorf("%s: %s of 10 MB is answered with %d bytes", c.op.OperationID, field, w.Body.Len())
			}
		}
		for _, p := range c.op.Parameters {
			if p.Schema.Type != "string" {
				continue
			}
			n := c
			n.params = maps.Clone(c.params)
			n.params[p.Name] = long
			// Nothing of this kind goes on for long, and to read it takes a while.
			if w := in.answerWithin(t, n, with, patience); w.Code >= 500 || w.Code < 400 {
				t.Errorf("%s: %s %s of 32 KiB: %d %.200s, want an error of the caller's", c.op.OperationID, p.In, p.Name, w.Code, w.Body)
			}
		}
	}
}

// Tokens are of one kind, whatever is written in them.
func FuzzBearer(f *testing.F) {
	for _, s := range []string{"Bearer adit_x", "bearer  x", "Basic x", "", " ", "Bearer\tx"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, header string) {
		token := bearer(header)
		if token != "" && !strings.HasSuffix(header, token) {
			t.Fatalf("%q has the token %q", header, token)
		}
	})
}

// A cursor that is taken is one that was given, for that list and query.
func FuzzCursor(f *testing.F) {
	f.Add(cursor("workspaces", "me", "alice", "dev"))
	f.Add(cursor("tokens", "", "x"))
	f.Add("bm8")
	f.Fuzz(func(t *testing.T, text string) {
		keys, err := Page{Cursor: text}.after("workspaces", "me", 2)
		if err != nil || text == "" {
			return
		}
		if again, err := (Page{Cursor: cursor("workspaces", "me", keys...)}).after("workspaces", "me", 2); err != nil || !slices.Equal(keys, again) {
			t.Fatalf("%q is %q, and again %q, %v", text, keys, again, err)
		}
	})
}

// heedless are updates that need not look at what they change: favourites and
// dotfiles are the caller's own and nothing more, a credential of git is never shown,
// and a state says itself which it follows.
var heedless = []string{"add-favourite", "set-dotfiles", "set-git-credential", "push-state"}

// Every update can be made to fail if what it changes is not as it was seen, and
// whoever adds one has to see to that. An update of what is not there any more is
// no better.
func TestEveryUpdateHeedsWhatWasSeen(t *testing.T) {
	in := inhabit(t)
	ctx := t.Context()
	// What the examples name: the group dev, and root among those who may be let in.
	if _, err := in.root.CreateGroup(ctx, sdk.CreateGroup{Name: "dev"}); err != nil {
		t.Fatal(err)
	}
	tried := 0
	for _, c := range in.doc.calls(uuid.NewString()) {
		if c.method != http.MethodPut && c.method != http.MethodPatch || slices.Contains(heedless, c.op.OperationID) || c.op.Security[0][userScheme] == nil {
			continue
		}
		tried++
		who := in.root
		if c.params["owner"] == "alice" {
			who = in.alice
		}
		c.params["If-Match"] = `"9999.abc"`
		w := in.answer(t, c, "Bearer "+who.Token())
		heeds := slices.ContainsFunc(c.op.Parameters, func(p parameter) bool { return p.Name == "If-Match" && p.In == "header" })
		if !heeds || w.Code != http.StatusPreconditionFailed {
			t.Errorf("%s takes If-Match: %t; as it was not seen: %d %.200s, want 412", c.op.OperationID, heeds, w.Code, w.Body)
		}
	}
	if tried < 10 {
		t.Errorf("tried %d; is the document complete?", tried)
	}
}
