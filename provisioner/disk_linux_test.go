package provisioner

import (
	"strings"
	"testing"
)

func TestADirectoryIsOfOneProvisioner(t *testing.T) {
	dir := t.TempDir()
	unlock, err := lockDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := lockDir(dir); err == nil || !strings.Contains(err.Error(), "another provisioner uses "+dir+"; end that one, or give this one a --data-dir of its own") {
		t.Errorf("to the second it is said: %v", err)
	}
	unlock()
	again, err := lockDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	again()
}
