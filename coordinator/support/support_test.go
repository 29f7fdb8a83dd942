package support

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"

	"github.com/aditmesh/adit/pkg/redact"
	"github.com/aditmesh/adit/pkg/sdk"
)

func TestTheRingKeepsTheLastLinesAndNoMore(t *testing.T) {
	var r Ring
	var all sync.WaitGroup
	for range 4 {
		all.Go(func() {
			for i := range 10_000 {
				fmt.Fprintf(&r, "line %d %s\n", i, strings.Repeat("x", 100))
			}
		})
	}
	all.Wait()
	fmt.Fprintf(&r, "%s\n", strings.Repeat("long", ringLine))
	fmt.Fprint(&r, "the last\n")
	text := r.Text()
	if len(text) > ringBytes || len(text) < ringBytes/2 {
		t.Errorf("%d bytes are kept, want at most %d", len(text), ringBytes)
	}
	lines := bytes.Split(bytes.TrimSuffix(text, []byte("\n")), []byte("\n"))
	if !bytes.HasPrefix(lines[0], []byte("line ")) || string(lines[len(lines)-1]) != "the last" || len(lines[len(lines)-2]) != ringLine-1 {
		t.Errorf("first %.40q, last %.40q, before it %d bytes", lines[0], lines[len(lines)-1], len(lines[len(lines)-2]))
	}
}

func TestFilesHaveNoSecretsAndFailOneByOne(t *testing.T) {
	const planted = "planted-s3cret"
	var log Ring
	fmt.Fprintf(&log, "a line with %s in it\n", planted)
	files := Sources{
		Version: "v1", Log: &log, Redactor: redact.New(planted),
		Settings: map[string]string{
			"listen": "0.0.0.0:443", "oidc-client-secret": "short", "state-key-file": "/etc/adit/key", "tls-key": "/etc/adit/tls.pem",
			"postgres-url": "postgres://adit:hunter2@db/adit",
		},
		Metrics: func() ([]byte, error) { return nil, errors.New("no metrics: " + planted) },
		Health: func(context.Context) sdk.Health {
			return sdk.Health{Status: "error", Findings: []sdk.Finding{{Code: "x", Evidence: planted}}}
		},
	}.Files(t.Context())
	var all strings.Builder
	for _, f := range files {
		all.WriteString(f.Name + "\n" + f.Text)
	}
	for _, secret := range []string{planted, "hunter2", "=short"} {
		if strings.Contains(all.String(), secret) {
			t.Errorf("%s is told: %s", secret, all.String())
		}
	}
	for _, says := range []string{"adit v1", "listen=0.0.0.0:443", "state-key-file=/etc/adit/key", "tls-key=/etc/adit/tls.pem", "no metrics", "goroutine profile", `"code": "x"`, "a line with"} {
		if !strings.Contains(all.String(), says) {
			t.Errorf("%q is not told", says)
		}
	}
}
