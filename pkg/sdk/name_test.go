package sdk

import (
	"errors"
	"testing"
)

func TestParseWorkspaceName(t *testing.T) {
	for s, want := range map[string]WorkspaceName{
		"dev":            {Owner: "me", Name: "dev"},
		"alice/dev":      {Owner: "alice", Name: "dev"},
		"dev.main":       {Owner: "me", Name: "dev", Agent: "main"},
		"alice/dev.main": {Owner: "alice", Name: "dev", Agent: "main"},
	} {
		if got, err := ParseWorkspaceName(s); err != nil || got != want {
			t.Errorf("%q: %+v, %v, want %+v", s, got, err, want)
		}
	}
	for _, s := range []string{"", "/", "a/", "/dev", "dev.", ".main", "a/b/c", "de v", "-dev", "dev\n", "../etc"} {
		if got, err := ParseWorkspaceName(s); !errors.Is(err, ErrName) {
			t.Errorf("%q: %+v, %v, want ErrName", s, got, err)
		}
	}
}

func FuzzParseWorkspaceName(f *testing.F) {
	f.Add("alice/dev.main")
	f.Add("dev")
	// What parses is written back as something that parses to the same.
	f.Fuzz(func(t *testing.T, s string) {
		n, err := ParseWorkspaceName(s)
		if err != nil {
			return
		}
		if again, err := ParseWorkspaceName(n.String()); err != nil || again != n {
			t.Errorf("%q is %+v, written %q, read %+v, %v", s, n, n.String(), again, err)
		}
	})
}
