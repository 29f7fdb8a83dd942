package main

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/spf13/pflag"
)

// settings are flags as a relay has them.
type settings struct {
	listen, address string
	plain           bool
	ports           []uint
}

func (s *settings) flags() *pflag.FlagSet {
	flags := pflag.NewFlagSet("test", pflag.ContinueOnError)
	flags.StringVar(&s.listen, "listen", ":443", "")
	flags.StringVar(&s.address, "address", "", "")
	flags.BoolVar(&s.plain, "plain-http", false, "")
	flags.UintSliceVar(&s.ports, "stun-ports", []uint{3478, 3479}, "")
	return flags
}

func write(t *testing.T, text string) string {
	t.Helper()
	file := filepath.Join(t.TempDir(), "relay.yaml")
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return file
}

func TestTheCommandLineGoesBeforeTheEnvironmentAndThatBeforeTheFile(t *testing.T) {
	var s settings
	flags := s.flags()
	t.Setenv("ADIT_RELAY_ADDRESS", "env.example.com")
	t.Setenv("ADIT_RELAY_LISTEN", ":2")
	if err := flags.Parse([]string{"--listen", ":1"}); err != nil {
		t.Fatal(err)
	}
	if err := flagsFromEnv(flags, "ADIT_RELAY_"); err != nil {
		t.Fatal(err)
	}
	file := write(t, "listen: ':3'\naddress: file.example.com\nplain-http: true\nstun-ports: [1, 2, 3]\n")
	if err := flagsFromFile(flags, file, func(string) bool { return false }); err != nil {
		t.Fatal(err)
	}
	if s.listen != ":1" || s.address != "env.example.com" || !s.plain || !slices.Equal(s.ports, []uint{1, 2, 3}) {
		t.Errorf("settled on %+v", s)
	}
}

func TestWhatAFileOfSettingsHasWrongIsNamedWithItsLine(t *testing.T) {
	for _, c := range []struct{ text, want string }{
		{"listen: ':1'\nlissten: ':2'\n", "relay.yaml:2: lissten: there is no such setting"},
		{"plain-http: maybe\n", "relay.yaml:1: plain-http: "},
		{"listen:\n  port: 3\n", "listen: want a value"},
		{"listen\n", "want lines such as"},
	} {
		var s settings
		err := flagsFromFile(s.flags(), write(t, c.text), func(string) bool { return false })
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%q: %v, want %q", c.text, err, c.want)
		}
	}
}
