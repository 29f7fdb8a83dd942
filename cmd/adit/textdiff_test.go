package main

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

// patch(1) is the oracle: what it makes of the old text is the new one.
func TestDiffsAreWhatPatchReads(t *testing.T) {
	program, err := exec.LookPath("patch")
	if err != nil {
		t.Skip("there is no patch(1): ", err)
	}
	dir := t.TempDir()
	text := rapid.Custom(func(t *rapid.T) string {
		all := strings.Join(rapid.SliceOfN(rapid.SampledFrom([]string{"a", "b", "c", "d"}), 1, 40).Draw(t, "lines"), "\n")
		if rapid.Bool().Draw(t, "ends") {
			all += "\n"
		}
		return all
	})
	rapid.Check(t, func(t *rapid.T) {
		was, is := text.Draw(t, "was"), text.Draw(t, "is")
		var diff strings.Builder
		if err := writeDiff(&diff, "main.tf", was, is); err != nil {
			t.Fatal(err)
		}
		if was == is {
			if diff.Len() > 0 {
				t.Fatalf("the same differ: %s", diff.String())
			}
			return
		}
		path := filepath.Join(dir, "main.tf")
		if err := os.WriteFile(path, []byte(was), 0o600); err != nil {
			t.Fatal(err)
		}
		cmd := exec.Command(program, "--silent", "--posix", path)
		cmd.Stdin = strings.NewReader(diff.String())
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Fatalf("%v: %s\n%s", err, out, diff.String())
		}
		if got, err := os.ReadFile(path); err != nil || string(got) != is {
			t.Fatalf("%q becomes %q, %v; want %q by\n%s", was, got, err, is, diff.String())
		}
	})
}

func TestDiffsShowWhatIsNearAChange(t *testing.T) {
	var was []string
	for _, r := range "abcdefghijklmnopqrstuvwxyz" {
		was = append(was, string(r))
	}
	is := append(append([]string{}, was[:5]...), "new")
	is = append(is, was[6:]...)
	var diff strings.Builder
	if err := writeDiff(&diff, "main.tf", strings.Join(was, "\n")+"\n", strings.Join(is, "\n")+"\n"); err != nil {
		t.Fatal(err)
	}
	want := "--- a/main.tf\n+++ b/main.tf\n@@ -3,7 +3,7 @@\n c\n d\n e\n-f\n+new\n g\n h\n i\n"
	if diff.String() != want {
		t.Errorf("got\n%s\nwant\n%s", diff.String(), want)
	}
}
