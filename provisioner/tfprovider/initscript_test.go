package tfprovider

import (
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"sync/atomic"
	"testing"
)

// fakeCoordinator serves an agent that says what it got. Of the requests for it
// the first is refused and the second answered with something else.
func fakeCoordinator(t *testing.T) (url string, fetched *atomic.Int32) {
	t.Helper()
	agent := []byte("#!/bin/sh\necho \"agent $1 of $ADIT_URL with $ADIT_AGENT_TOKEN\"\n")
	sum := sha256.Sum256(agent)
	path := "/api/v1/agent/binary/" + runtime.GOOS + "/" + runtime.GOARCH
	fetched = new(atomic.Int32)
	mux := http.NewServeMux()
	mux.HandleFunc(path+"/sha256", func(w http.ResponseWriter, _ *http.Request) {
		w.Write([]byte(hex.EncodeToString(sum[:]) + "\n"))
	})
	mux.HandleFunc(path, func(w http.ResponseWriter, _ *http.Request) {
		switch fetched.Add(1) {
		case 1:
			http.Error(w, "not yet", http.StatusServiceUnavailable)
		case 2:
			w.Write([]byte("#!/bin/sh\necho malice\n"))
		default:
			w.Write(agent)
		}
	})
	s := httptest.NewServer(mux)
	t.Cleanup(s.Close)
	return s.URL, fetched
}

func TestInitScriptRunsWhatTheCoordinatorPromised(t *testing.T) {
	url, fetched := fakeCoordinator(t)
	home := t.TempDir()
	run := func(script string, env ...string) (string, error) {
		cmd := exec.Command("sh", "-c", script)
		cmd.Env = append([]string{"PATH=" + os.Getenv("PATH"), "HOME=" + home}, env...)
		out, err := cmd.CombinedOutput()
		return string(out), err
	}
	script := initScript("linux", url+"/", tokenAuth)
	if out, err := run(script); err == nil || !strings.Contains(out, "no token") {
		t.Errorf("without a token: %v\n%s", err, out)
	}
	want := "agent agent of " + url + " with secret"
	out, err := run(script, "ADIT_AGENT_TOKEN=secret")
	if err != nil || !strings.Contains(out, want) {
		t.Fatalf("want %q; got %v:\n%s", want, err, out)
	}
	if strings.Contains(out, "malice") || !strings.Contains(out, "was promised") {
		t.Errorf("the wrong agent was not refused:\n%s", out)
	}
	if n := fetched.Load(); n != 3 {
		t.Errorf("fetched %d times, want 3", n)
	}
	if out, err = run(script, "ADIT_AGENT_TOKEN=secret"); err != nil || !strings.Contains(out, want) || fetched.Load() != 3 {
		t.Errorf("an agent that is there is fetched again: %v\n%s", err, out)
	}
	if log, _ := os.ReadFile(filepath.Join(home, ".cache", "adit", "init.log")); !strings.Contains(string(log), "was promised") {
		t.Errorf("the log says nothing of it:\n%s", log)
	}
}

func TestInitScriptsQuoteTheURL(t *testing.T) {
	const evil = "https://adit.test/'; echo malice; '"
	cmd := exec.Command("sh", "-n")
	cmd.Stdin = strings.NewReader(initScript("darwin", evil, tokenAuth))
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Errorf("%v\n%s", err, out)
	}
	if s := initScript("linux", evil, tokenAuth); !strings.Contains(s, `url='https://adit.test/'\''; echo malice; '\'''`) {
		t.Error("sh: the URL is not quoted")
	}
	if s := initScript("windows", evil, tokenAuth); !strings.Contains(s, `$url = 'https://adit.test/''; echo malice; '''`) {
		t.Error("PowerShell: the URL is not quoted")
	}
}

func TestCloudInitCarriesScriptAndToken(t *testing.T) {
	data := cloudInit("https://adit.test", "the-token", tokenAuth)
	script := base64.StdEncoding.EncodeToString([]byte(initScript("linux", "https://adit.test", tokenAuth)))
	for _, want := range []string{"#cloud-config\n", `content: "the-token"`, script} {
		if !strings.Contains(data, want) {
			t.Errorf("%q is missing in\n%s", want, data)
		}
	}
	if strings.Contains(data, "@") {
		t.Error("a placeholder is left")
	}
}

func TestAnInstanceThatProvesItselfHasNoToken(t *testing.T) {
	data := cloudInit("https://adit.test", "the-token", "aws-instance-identity")
	script := initScript("linux", "https://adit.test", "aws-instance-identity")
	if strings.Contains(data, "the-token") || !strings.Contains(data, base64.StdEncoding.EncodeToString([]byte(script))) {
		t.Error(data)
	}
	for platform, want := range map[string]string{"linux": "auth='aws-instance-identity'", "windows": "$auth = 'aws-instance-identity'"} {
		if s := initScript(platform, "https://adit.test", "aws-instance-identity"); !strings.Contains(s, want) {
			t.Errorf("%s: %s", platform, s)
		}
	}
}
