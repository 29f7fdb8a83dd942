package main

import (
	"encoding/json"
	"net/http"
	"os"
	"os/exec"
	"strings"
	"testing"
)

func pathURL(what, path string) string {
	return "http://apps.test:7081/" + what + "--main--dev--alice" + path
}

// Where no wildcard can be had, apps are paths of one host: the owner's for the owner,
// what is public for everybody, in a sandbox, and nothing else.
func TestAppsBelowPaths(t *testing.T) {
	d := deployWithTemplate(t, "process", served, "--apps-url", "http://apps.test:7081", "--apps-listen", "0.0.0.0:7081")
	d.must("create", "dev", "--template", "process")
	t.Cleanup(func() { _, _ = d.adit("delete", "-y", "dev") })
	serveApps(t, d, 18300, 18301, 18302)
	alice, bob, nobody := d.visitor(), d.visitor(), d.visitor()
	for _, v := range []*visitor{alice, bob, nobody} {
		v.everythingIsTheServer()
	}
	alice.signIn("alice")
	alice.does("POST", "/api/v1/users", `{"username":"bob","email":"bob@example.com","password":"correct horse"}`)
	bob.signIn("bob")
	alice.does("PUT", "/api/v1/workspaces/me/dev/shares/users/bob", `{"level":"apps"}`)

	t.Run("who may", func(t *testing.T) {
		for _, c := range []struct {
			what   string
			who    *visitor
			url    string
			status int
			says   string
		}{
			{"the owner's app, its owner", alice, pathURL("site", "/a?b=c"), 200, `"/a?b=c"`},
			{"without a slash", alice, pathURL("18300", "?b=c"), 200, `"/?b=c"`},
			{"what is escaped stays so", alice, pathURL("18300", "/a%2Fb"), 200, `"/a%2Fb"`},
			{"shared with somebody", bob, pathURL("site", "/"), 403, "Only its owner"},
			{"for all who sign in, somebody", bob, pathURL("18301", "/"), 403, "Only its owner"},
			{"for everybody, nobody", nobody, pathURL("18302", "/x"), 200, `"/x"`},
			{"no app", nobody, "http://apps.test:7081/", 404, "Nothing here"},
			{"the dashboard is not there", alice, "http://apps.test:7081/workspaces", 404, "Nothing here"},
			{"nor its API", alice, "http://apps.test:7081/api/v1/workspaces", 404, "Nothing here"},
		} {
			status, text, at := c.who.page(c.url)
			if status != c.status || !strings.Contains(text, c.says) {
				t.Errorf("%s: %d %.300s at %s, want %d and %s", c.what, status, text, at, c.status, c.says)
			}
		}
		if _, _, at := nobody.page(pathURL("18301", "/")); !strings.Contains(at, "/login?next=%2Fopen") {
			t.Errorf("nobody is led to %s", at)
		}
	})

	t.Run("what the app sees and says", func(t *testing.T) {
		s := alice.opens(pathURL("site", "/"))
		if s.Host != "apps.test:7081" || s.Header.Get("X-Forwarded-Prefix") != "/site--main--dev--alice" {
			t.Errorf("%+v", s)
		}
		if s = alice.opens(pathURL("site", "/")); s.Header.Get("Cookie") != "own=1" {
			t.Errorf("cookies: %q, want the app's own alone", s.Header.Get("Cookie"))
		}
		if s = alice.opens(pathURL("18300", "/")); strings.Contains(s.Header.Get("Cookie"), "own=1;") {
			t.Errorf("another app's cookies: %q", s.Header.Get("Cookie"))
		}
		for to, want := range map[string]string{
			"/there": pathURL("18302", "/there"), "there": pathURL("18302", "/there"), "http://apps.test:7081/x?y": pathURL("18302", "/x?y"),
			"/18302--main--dev--alice/x": pathURL("18302", "/x"),
		} {
			if _, _, at := nobody.page(pathURL("18302", "/redirect?to="+to)); at != want {
				t.Errorf("a redirect to %s leads to %s, want %s", to, at, want)
			}
		}
		status, head := nobody.preflight(t, pathURL("18302", "/"), "null")
		if status != http.StatusNoContent || head.Get("Access-Control-Allow-Origin") != "*" || head.Get("Access-Control-Allow-Credentials") != "" {
			t.Errorf("a preflight: %d %v", status, head)
		}
		if status := alice.post(t, pathURL("18300", "/"), "null"); status != http.StatusForbidden {
			t.Errorf("what a sandbox sends to the owner's: %d", status)
		}
		if status := alice.post(t, pathURL("18300", "/"), "http://apps.test:7081"); status != http.StatusOK {
			t.Errorf("what the owner's own page sends: %d", status)
		}
	})

	t.Run("in a browser", func(t *testing.T) {
		chromium, err := exec.LookPath("chromium")
		if err != nil {
			t.Skip("there is no chromium")
		}
		if _, err := os.Stat(web + "/node_modules"); err != nil {
			t.Skip("the dashboard is not built; make dashboard does it")
		}
		cmd := d.program(d.laptop, "node", "test/paths.mjs", d.url(), pathURL("18300", "/probe"), pathURL("18302", "/probe"), d.server.Addr().String())
		cmd.Env, cmd.Dir = append(d.env(), "CHROMIUM="+chromium), web
		out, err := d.output(d.laptop, cmd)
		if err != nil {
			t.Fatal(err)
		}
		var saw struct {
			Own, Public struct{ Script, Cookie, Origin, Other, API string }
		}
		if err := json.Unmarshal([]byte(out), &saw); err != nil {
			t.Fatalf("%v: %s", err, out)
		}
		if own := saw.Own; own.Script != "ran" || own.Cookie != "own=1" || own.Origin != "http://apps.test:7081" || own.API != "refused" {
			t.Errorf("the owner's page: %+v", own)
		}
		if public := saw.Public; public.Script != "ran" || public.Cookie != "refused" || public.Origin != "null" || public.Other != "refused" || public.API != "refused" {
			t.Errorf("a public page: %+v", public)
		}
	})
}
