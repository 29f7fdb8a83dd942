package support

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"runtime"
	"runtime/pprof"
	"slices"
	"strings"

	"github.com/aditmesh/adit/pkg/redact"
	"github.com/aditmesh/adit/pkg/sdk"
)

// maxFile bounds one file of a bundle.
const maxFile = 4 << 20

// Sources are where a bundle comes from. What is nil is left out.
type Sources struct {
	Version string
	// Settings are the server's flags by name.
	Settings map[string]string
	Log      *Ring
	// Redactor knows the server's secrets; nil knows none but their looks.
	Redactor *redact.Redactor
	Metrics  func() ([]byte, error)
	Health   func(ctx context.Context) sdk.Health
}

// Files gathers what somebody who helps needs to know, without secrets.
func (s Sources) Files(ctx context.Context) []sdk.SupportFile {
	clean := s.Redactor
	if clean == nil {
		clean = redact.New()
	}
	var files []sdk.SupportFile
	add := func(name string, text []byte, err error) {
		if err != nil {
			text = []byte("could not be gathered: " + err.Error() + "\n")
		}
		if len(text) > maxFile {
			text = text[len(text)-maxFile:] // of a log, the end says more
		}
		files = append(files, sdk.SupportFile{Name: name, Text: clean.Text(strings.ToValidUTF8(string(text), "?"))})
	}
	add("version.txt", fmt.Appendf(nil, "adit %s, %s, %s/%s, %d CPUs, %d goroutines\n",
		s.Version, runtime.Version(), runtime.GOOS, runtime.GOARCH, runtime.NumCPU(), runtime.NumGoroutine()), nil)
	add("config.txt", s.settings(), nil)
	if s.Health != nil {
		text, err := json.MarshalIndent(s.Health(ctx), "", "  ")
		add("health.json", text, err)
	}
	if s.Metrics != nil {
		text, err := s.Metrics()
		add("metrics.txt", text, err)
	}
	var stacks bytes.Buffer
	// Those at the same place are one entry, so that ten thousand are few.
	err := pprof.Lookup("goroutine").WriteTo(&stacks, 1)
	add("goroutines.txt", stacks.Bytes(), err)
	if s.Log != nil {
		add("log.txt", s.Log.Text(), nil)
	}
	return files
}

func (s Sources) settings() []byte {
	var b bytes.Buffer
	for _, name := range slices.Sorted(maps.Keys(s.Settings)) {
		value := s.Settings[name]
		if secret(name) && value != "" {
			value = redact.Hidden
		}
		fmt.Fprintf(&b, "%s=%s\n", name, value)
	}
	return b.Bytes()
}

// secret reports whether a flag's value is one, by its name. Where one lies in a
// file is none.
func secret(name string) bool {
	if strings.HasSuffix(name, "-file") || name == "tls-key" {
		return false
	}
	last := name[strings.LastIndexByte(name, '-')+1:] // max-token-lifetime is none
	return slices.Contains([]string{"secret", "token", "password", "key", "credential"}, last)
}
