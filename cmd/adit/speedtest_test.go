package main

import (
	"errors"
	"os/exec"
	"regexp"
	"strings"
	"testing"

	"github.com/aditmesh/adit/pkg/netlab"
)

func TestSpeedtest(t *testing.T) {
	d := deploy(t, netlab.PortRestricted, netlab.PortRestricted)
	for name, tt := range map[string]struct {
		args []string
		path string
		udp  bool
	}{
		"to the workspace":            {path: "direct"},
		"from the workspace":          {args: []string{"--reverse"}, path: "direct"},
		"datagrams":                   {args: []string{"--udp"}, udp: true},
		"datagrams of the workspace":  {args: []string{"--udp", "--reverse"}, udp: true},
		"over the relay":              {args: []string{"--relay-only"}, path: "derp"},
		"from the workspace, relayed": {args: []string{"--relay-only", "--reverse"}, path: "derp"},
	} {
		t.Run(name, func(t *testing.T) {
			var got speedReport
			d.in(t).json(&got, append([]string{"speedtest", "dev", "-t", "1s", "-o", "json"}, tt.args...)...)
			if got.Bytes < 1<<20 || got.Seconds < 0.5 || got.Seconds > 30 {
				t.Errorf("%d bytes in %v s", got.Bytes, got.Seconds)
			}
			if want := float64(got.Bytes) * 8 / got.Seconds; got.BitsPerSecond < 0.99*want || got.BitsPerSecond > 1.01*want {
				t.Errorf("%v bit/s, want %v", got.BitsPerSecond, want)
			}
			// A flood of datagrams may cost a path that is direct.
			if tt.path != "" && got.Path.Kind != tt.path || got.Path.MTU == 0 {
				t.Errorf("path %+v, want %s", got.Path, tt.path)
			}
			if (got.Loss != nil) != tt.udp || tt.udp && (*got.Loss < 0 || *got.Loss >= 1) {
				t.Errorf("loss %v", got.Loss)
			}
			t.Logf("%s by %s", bitRate(got.BitsPerSecond), got.Path.Kind)
		})
	}
	t.Run("for people", func(t *testing.T) {
		out, err := d.adit("speedtest", "dev", "-t", "500ms", "--udp")
		if want := regexp.MustCompile(`^[0-9.]+ [MG]bit/s to dev via \S+ \S+ \([0-9.]+ MB in [0-9.]+ s, [0-9.]+ % of datagrams lost\)\n$`); err != nil || !want.MatchString(out) {
			t.Errorf("%q, %v; want a line like %v", out, err, want)
		}
	})
	t.Run("too long", func(t *testing.T) {
		_, err := d.adit("speedtest", "dev", "-t", "61s")
		var exit *exec.ExitError
		if !errors.As(err, &exit) || exit.ExitCode() != exitUsage || !strings.Contains(err.Error(), "at most 1m0s") {
			t.Errorf("got %v", err)
		}
	})
}
