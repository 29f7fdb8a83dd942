package main

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net"
	"strings"
	"testing"
)

func TestParseForward(t *testing.T) {
	for _, tt := range []struct {
		kind       byte
		spec       string
		listen, to string
	}{
		{'L', "8080:localhost:80", "localhost:8080", "localhost:80"},
		{'L', "0.0.0.0:8080:db:5432", "0.0.0.0:8080", "db:5432"},
		{'L', "*:8080:db:5432", ":8080", "db:5432"},
		{'R', "[::1]:1:[fd00::2]:2", "[::1]:1", "[fd00::2]:2"},
		{'D', "1080", "localhost:1080", ""},
		{'L', "8080:/run/app.sock", "localhost:8080", "/run/app.sock"},
		{'L', "./near:db:5432", "./near", "db:5432"},
		{'R', "/run/far:/run/near", "/run/far", "/run/near"},
		{'R', "0:localhost:80", "localhost:0", "localhost:80"},
		{'D', "[::]:1080", "[::]:1080", ""},
	} {
		f, err := parseForward(tt.kind, tt.spec)
		if err != nil || f.listen != tt.listen || f.to != tt.to {
			t.Errorf("-%c %s: %+v, %v", tt.kind, tt.spec, f, err)
		}
	}
	for _, spec := range []string{"", "80", "80:host", "0:host:80", "80:host:99999", "80::80", "a:b:c", "1:2:3:4:5", "[::1:1:h:2", "/a", "a/b:1:h:2", "1:h/h:2", ":/a"} {
		if f, err := parseForward('L', spec); !errors.Is(err, errForward) {
			t.Errorf("-L %q: %+v, %v", spec, f, err)
		}
	}
}

func FuzzParseForward(f *testing.F) {
	f.Add("8080:localhost:80")
	f.Add("[::1]:1:[fd00::2]:2")
	// What is taken can be listened on and dialled: host and port are there.
	f.Fuzz(func(t *testing.T, spec string) {
		fw, err := parseForward('L', spec)
		if err != nil {
			return
		}
		for _, addr := range []string{fw.listen, fw.to} {
			if network(addr) == "unix" {
				continue
			}
			if _, port, err := net.SplitHostPort(addr); err != nil || !isPort(port) {
				t.Errorf("%q gives %q: %v", spec, addr, err)
			}
		}
	})
}

func TestReadSOCKSConnect(t *testing.T) {
	for want, request := range map[string]string{
		"192.0.2.1:80":       "\x05\x01\x00\x01\xc0\x00\x02\x01\x00\x50",
		"[2001:db8::1]:443":  "\x05\x01\x00\x04\x20\x01\x0d\xb8\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x01\x01\xbb",
		"db.example.com:543": "\x05\x01\x00\x03\x0edb.example.com\x02\x1f",
	} {
		if got, err := readSOCKSConnect(strings.NewReader(request)); err != nil || got != want {
			t.Errorf("%q: %q, %v, want %q", request, got, err, want)
		}
	}
	for _, request := range []string{"", "\x04\x01", "\x05\x02\x00\x01\x00\x00\x00\x00\x00\x00", "\x05\x01\x00\x09\x00\x00"} {
		if got, err := readSOCKSConnect(strings.NewReader(request)); err == nil {
			t.Errorf("%q: %q", request, got)
		}
	}
}

func FuzzReadSOCKSConnect(f *testing.F) {
	f.Add([]byte("\x05\x01\x00\x03\x01a\x00\x50"))
	// No request makes us read more than it may be long.
	f.Fuzz(func(t *testing.T, b []byte) {
		r := bytes.NewReader(b)
		const longest = 4 + 1 + 255 + 2
		if _, err := readSOCKSConnect(r); err == nil && len(b)-r.Len() > longest {
			t.Errorf("read %d bytes", len(b)-r.Len())
		}
	})
}

func TestEscapes(t *testing.T) {
	for typed, want := range map[string]string{
		"ls\r":         "ls\r",
		"~.":           "HANGUP",
		"ls\r~.more":   "ls\rHANGUP",
		"a~.":          "a~.",
		"~~.":          "~.",
		"~a":           "~a",
		"\r~\r~.":      "\r~\rHANGUP",
		"echo ~ab\r~~": "echo ~ab\r~",
	} {
		hung := false
		e := &escapes{in: io.MultiReader(oneByOne(typed)...), hangUp: func() { hung = true }}
		got, err := io.ReadAll(e)
		text := string(got)
		if hung {
			text += "HANGUP"
		}
		if err != nil || text != want {
			t.Errorf("%q: sent %q, %v, want %q", typed, text, err, want)
		}
	}
}

func oneByOne(s string) []io.Reader {
	var rs []io.Reader
	for i := range len(s) {
		rs = append(rs, strings.NewReader(s[i:i+1]))
	}
	return rs
}

func TestReplaceFenced(t *testing.T) {
	block := sshBlock("/usr/bin/adit", "/home/a b/.config")
	first, err := replaceFenced("Host old\n    User x\n", block)
	if err != nil || !strings.HasPrefix(first, sshFenceBegin) || !strings.HasSuffix(first, "Host old\n    User x\n") {
		t.Fatalf("%v:\n%s", err, first)
	}
	again, err := replaceFenced(first, block)
	if err != nil || again != first {
		t.Errorf("the second time differs (%v):\n%s", err, again)
	}
	if _, err := replaceFenced(sshFenceBegin+"\nHost *.adit\n", block); !errors.Is(err, errFence) {
		t.Errorf("an open fence: %v", err)
	}
	if !strings.Contains(block, `'/home/a b/.config'`) {
		t.Errorf("paths are not quoted:\n%s", block)
	}
}

func TestUsageErrorsExitWithTwo(t *testing.T) {
	for _, args := range [][]string{
		{"nosuch"}, {"ssh"}, {"list", "--nosuch"}, {"-o", "yaml", "list"}, {"create", "x"}, {"port-forward", "x"}, {"ssh", "a/b/c"},
	} {
		var out, errs bytes.Buffer
		t.Setenv("ADIT_CONFIG_DIR", t.TempDir())
		t.Setenv("ADIT_URL", "http://127.0.0.1:1")
		t.Setenv("ADIT_TOKEN", "x")
		code := run(context.Background(), streams{in: strings.NewReader(""), out: &out, err: &errs}, args)
		if code != exitUsage || out.Len() > 0 || errs.Len() == 0 {
			t.Errorf("adit %v: exit %d, %q, %q", args, code, out.String(), errs.String())
		}
	}
}

func TestTheTokenOfOneCoordinatorIsNotSentToAnother(t *testing.T) {
	a := &app{configDir: t.TempDir(), url: "https://evil.example"}
	t.Setenv("ADIT_TOKEN", "")
	if err := a.saveSession(session{URL: "https://good.example", Token: "secret"}); err != nil {
		t.Fatal(err)
	}
	if c, err := a.client(); !errors.Is(err, errNotSignedIn) {
		t.Errorf("client %v, %v", c, err)
	}
}

// Writing the block twice is writing it once, and all else in the file stays.
func FuzzReplaceFenced(f *testing.F) {
	f.Add("Host a\n    User b\n")
	f.Add("x\n" + sshFenceBegin + "\nold\n" + sshFenceEnd + "\ny\n")
	f.Add(sshFenceBegin)
	f.Fuzz(func(t *testing.T, old string) {
		block := sshBlock("/usr/bin/adit", "/home/a/.config/adit")
		once, err := replaceFenced(old, block)
		if err != nil {
			return
		}
		twice, err := replaceFenced(once, block)
		if err != nil || twice != once {
			t.Errorf("%q becomes %q and then %q (%v)", old, once, twice, err)
		}
		if !strings.Contains(old, sshFenceBegin) && !strings.HasSuffix(once, old) {
			t.Errorf("%q is lost in %q", old, once)
		}
	})
}

// What is typed arrives, but for the tildes that mean something.
func FuzzEscapes(f *testing.F) {
	f.Add("ls\r~~x\r")
	f.Add("a~.b\n~.")
	f.Fuzz(func(t *testing.T, typed string) {
		hungUp := false
		got, err := io.ReadAll(&escapes{in: strings.NewReader(typed), hangUp: func() { hungUp = true }})
		if err != nil {
			t.Fatal(err)
		}
		if !strings.Contains(typed, "~") && string(got) != typed {
			t.Errorf("%q arrives as %q", typed, got)
		}
		if hungUp && !strings.Contains(typed, "~.") {
			t.Errorf("%q hangs up", typed)
		}
	})
}
