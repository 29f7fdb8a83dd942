package policy

import (
	"os"
	"strings"
	"testing"
)

// What the guide shows is a policy, and does what it says.
func TestTheGuidesExampleIsAPolicy(t *testing.T) {
	guide, err := os.ReadFile("../../docs/policy.md")
	if err != nil {
		t.Fatal(err)
	}
	_, example, ok := strings.Cut(string(guide), "```yaml\n")
	example, _, closed := strings.Cut(example, "```")
	if !ok || !closed {
		t.Fatal("the guide has no example")
	}
	p, err := Read([]byte(example))
	if err != nil {
		t.Fatal(err)
	}
	if !p.Narrows() || p.Tests() < 10 {
		t.Errorf("an example with %d expectations", p.Tests())
	}
}
