package files

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/aditmesh/adit/agent/stats"
)

// client asks a server of a home directory.
type client struct {
	t    *testing.T
	http *http.Client
	base string
	home string
}

func serve(t *testing.T) *client {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	c := &client{t: t, base: "http://" + l.Addr().String(), home: t.TempDir(), http: &http.Client{Transport: &http.Transport{}}}
	s := NewServer(Config{Home: c.home, Tally: new(stats.Tally), Suffixes: []string{"adit", "dev.example.com"}})
	served := make(chan error, 1)
	go func() { served <- s.Serve(l) }()
	t.Cleanup(func() {
		c.http.CloseIdleConnections()
		if err := s.Close(); err != nil {
			t.Error(err)
		}
		if err := <-served; err != nil {
			t.Error(err)
		}
	})
	return c
}

func (c *client) open(method, call, path, body string, header ...string) *http.Response {
	c.t.Helper()
	req, err := http.NewRequestWithContext(c.t.Context(), method, c.base+"/v1/"+call+"?path="+url.QueryEscape(path), strings.NewReader(body))
	if err != nil {
		c.t.Fatal(err)
	}
	for i := 0; i+1 < len(header); i += 2 {
		if req.Header.Set(header[i], header[i+1]); header[i] == "Host" {
			req.Host = header[i+1]
		}
	}
	resp, err := c.http.Do(req)
	if err != nil {
		c.t.Fatal(err)
	}
	return resp
}

func (c *client) ask(method, call, path, body string, header ...string) (int, string, http.Header) {
	c.t.Helper()
	resp := c.open(method, call, path, body, header...)
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		c.t.Fatal(err)
	}
	return resp.StatusCode, string(text), resp.Header
}

func TestFiles(t *testing.T) {
	c := serve(t)
	if code, text, _ := c.ask("PUT", "file", "a/b", "x"); code != http.StatusNotFound {
		t.Errorf("into no directory: %d %s", code, text)
	}
	if code, text, _ := c.ask("POST", "directory", "a/sub", ""); code != http.StatusNoContent {
		t.Fatal(code, text)
	}
	code, text, header := c.ask("PUT", "file", "a/b", "hello", "If-None-Match", "*")
	if code != http.StatusOK || header.Get("ETag") == "" {
		t.Fatal(code, text)
	}
	first := header.Get("ETag")
	if code, _, _ := c.ask("PUT", "file", "a/b", "again", "If-None-Match", "*"); code != http.StatusPreconditionFailed {
		t.Errorf("made twice: %d", code)
	}
	if err := os.Chmod(filepath.Join(c.home, "a/b"), 0o750); err != nil {
		t.Fatal(err)
	}
	if code, _, _ := c.ask("PUT", "file", "a/b", "goodbye", "If-Match", first); code != http.StatusOK {
		t.Errorf("as it was seen: %d", code)
	}
	if code, _, _ := c.ask("PUT", "file", "a/b", "lost", "If-Match", first); code != http.StatusPreconditionFailed {
		t.Errorf("not as it was seen: %d", code)
	}
	if info, err := os.Stat(filepath.Join(c.home, "a/b")); err != nil || info.Mode().Perm() != 0o750 {
		t.Errorf("the mode is another: %v, %v", info.Mode(), err)
	}
	if code, text, header := c.ask("GET", "file", "a/b", ""); code != http.StatusOK || text != "goodbye" || header.Get("Content-Type") != "application/octet-stream" {
		t.Error(code, text, header)
	}
	if code, text, _ := c.ask("GET", "file", filepath.Join(c.home, "a/b"), "", "Range", "bytes=4-"); code != http.StatusPartialContent || text != "bye" {
		t.Error(code, text)
	}
	var l Listing
	if _, text, _ := c.ask("GET", "list", "a", ""); json.Unmarshal([]byte(text), &l) != nil || len(l.Entries) != 2 || l.Next != "" ||
		l.Entries[0].Name != "b" || l.Entries[0].Kind != "file" || l.Entries[0].Size != 7 || l.Entries[0].Mode != "0750" || l.Entries[1].Kind != "directory" {
		t.Error(text)
	}
	if code, text, _ := c.ask("DELETE", "file", "a", ""); code != http.StatusConflict {
		t.Error(code, text)
	}
	for _, name := range []string{"a/b", "a/sub", "a"} {
		if code, text, _ := c.ask("DELETE", "file", name, ""); code != http.StatusNoContent {
			t.Error(code, text)
		}
	}
	if left, err := os.ReadDir(c.home); err != nil || len(left) > 0 {
		t.Errorf("left: %v, %v", left, err)
	}
}

// A link stays one when what it leads to is written, a pipe holds nobody, and what
// cannot be says so.
func TestOddFiles(t *testing.T) {
	c := serve(t)
	in := func(name string) string { return filepath.Join(c.home, name) }
	for _, err := range []error{os.WriteFile(in("f"), []byte("x"), 0o600), os.Symlink("f", in("link")), syscall.Mkfifo(in("pipe"), 0o600), os.Symlink("loop", in("loop")), os.Mkdir(in("d"), 0o700)} {
		if err != nil {
			t.Fatal(err)
		}
	}
	if code, text, _ := c.ask("PUT", "file", "link", "through"); code != http.StatusOK {
		t.Error(code, text)
	}
	if target, err := os.Readlink(in("link")); err != nil || target != "f" {
		t.Errorf("%q, %v", target, err)
	}
	if b, _ := os.ReadFile(in("f")); string(b) != "through" {
		t.Errorf("%q", b)
	}
	for _, x := range []struct {
		method, call, path string
		want               int
	}{
		{"GET", "file", "pipe", 400}, {"PUT", "file", "pipe", 400}, {"PUT", "file", "d", 400}, {"GET", "file", "d", 400}, {"GET", "file", "none", 404}, {"GET", "list", "none", 404},
		{"GET", "list", "f", 409}, {"GET", "file", "loop", 500}, {"GET", "file", "a\x00b", 400}, {"GET", "file", strings.Repeat("x", 300), 500}, {"GET", "watch", "f", 400}, {"GET", "nothing", "f", 404}, {"POST", "file", "f", 405},
	} {
		if code, text, _ := c.ask(x.method, x.call, x.path, "x"); code != x.want {
			t.Errorf("%s %s %.20q: %d %s, want %d", x.method, x.call, x.path, code, text, x.want)
		}
	}
	for _, header := range [][]string{{"Origin", "https://evil.example"}, {"Sec-Fetch-Site", "same-origin"}, {"Host", "evil.example"}, {"Host", "notadit"}, {"Host", "dev.evil-dev.example.com"}} {
		if code, _, _ := c.ask("GET", "file", "f", "", header...); code != http.StatusForbidden {
			t.Errorf("%v: %d", header, code)
		}
	}
	for _, name := range []string{"dev.alice.adit:7077", "dev.ADIT.", "dev.dev.example.com:7077"} {
		if code, _, _ := c.ask("GET", "file", "f", "", "Host", name); code != http.StatusOK {
			t.Errorf("by its name %s on the mesh: %d", name, code)
		}
	}
}

func TestPagesOfADirectory(t *testing.T) {
	c := serve(t)
	const n = 3000
	for i := range n {
		if err := os.WriteFile(filepath.Join(c.home, fmt.Sprintf("f%05d", i*7919%n)), nil, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	seen, after := 0, ""
	for {
		var l Listing
		resp, err := c.http.Get(c.base + "/v1/list?path=.&limit=70&after=" + after)
		if err != nil {
			t.Fatal(err)
		}
		err = json.NewDecoder(resp.Body).Decode(&l)
		resp.Body.Close()
		if err != nil {
			t.Fatal(err)
		}
		for _, e := range l.Entries {
			if want := fmt.Sprintf("f%05d", seen); e.Name != want {
				t.Fatalf("entry %d is %s", seen, e.Name)
			}
			seen++
		}
		if after = l.Next; after == "" {
			break
		}
	}
	if seen != n {
		t.Errorf("%d entries", seen)
	}
}

func TestWatch(t *testing.T) {
	c := serve(t)
	resp := c.open("GET", "watch", ".", "")
	defer resp.Body.Close()
	lines := bufio.NewScanner(resp.Body)
	next := func() (e Event) {
		t.Helper()
		if !lines.Scan() || json.Unmarshal(lines.Bytes(), &e) != nil {
			t.Fatalf("%q, %v", lines.Text(), lines.Err())
		}
		return e
	}
	if e := next(); e != (Event{}) {
		t.Fatalf("it begins with %+v", e)
	}
	name := filepath.Join(c.home, "f")
	for range 20 { // once is told
		if err := os.WriteFile(name, []byte("x"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if e := next(); e != (Event{"f", "created"}) {
		t.Errorf("%+v", e)
	}
	if err := os.Remove(name); err != nil {
		t.Fatal(err)
	}
	if e := next(); e != (Event{"f", "removed"}) {
		t.Errorf("%+v", e)
	}
	for i := range 3 * maxGathered {
		if err := os.WriteFile(filepath.Join(c.home, fmt.Sprint(i)), nil, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	deadline := time.AfterFunc(20*time.Second, func() { resp.Body.Close() })
	defer deadline.Stop()
	for told := 0; told < 3*maxGathered; told++ {
		if e := next(); e.Kind == "overflow" {
			break // and look again
		}
	}
	var more []*http.Response
	for range maxWatches - 1 {
		more = append(more, c.open("GET", "watch", ".", ""))
	}
	if code, text, _ := c.ask("GET", "watch", ".", ""); code != http.StatusTooManyRequests || !strings.Contains(text, "64 directories") {
		t.Error(code, text)
	}
	for _, r := range more {
		r.Body.Close()
	}
}
