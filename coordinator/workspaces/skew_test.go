package workspaces

import "testing"

func TestVersionsMayBeOneMinorApart(t *testing.T) {
	for _, c := range []struct {
		coordinator, provisioner string
		may                      bool
	}{
		{"v1.4.2", "v1.4.0", true},
		{"v1.4.2", "v1.5.9", true},
		{"v1.4.2", "v1.3.0", true},
		{"v1.4.2", "1.5.0-3-gabcdef0-dirty", true},
		{"v1.4.2", "v1.6.0", false},
		{"v1.4.2", "v1.2.9", false},
		{"v1.4.2", "v2.4.2", false},
		{"v0.1.0", "v0.2.0", true},
		{"v0.1.0", "v0.3.0", false},
		{"dev", "v1.2.3", true},
		{"v1.4.2", "c4c5f5f", true},
		{"v1.4.2", "", true},
		{"v1.4.2", "v1.99999999999999999999.0", true}, // no version at all
	} {
		if err := skewed(c.coordinator, c.provisioner); (err == nil) != c.may {
			t.Errorf("a provisioner of %s with a coordinator of %s: %v", c.provisioner, c.coordinator, err)
		}
	}
	want := "this provisioner is adit v1.6.0 and the coordinator v1.4.2; they may be one minor version apart: run a provisioner of 1.3 to 1.5"
	if err := skewed("v1.4.2", "v1.6.0"); err == nil || err.Error() != want {
		t.Errorf("it is told %v", err)
	}
}
