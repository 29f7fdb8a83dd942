package ssh

import (
	"runtime"
	"strings"
	"testing"
)

// OpenSSH takes what is fast here, and whoever has only one of the others is served.
func TestCiphers(t *testing.T) {
	s := serve(t)
	_, said, code := s.run("", "-v", "true")
	if code != 0 || !strings.Contains(said, "cipher: ") || runtime.GOARCH == "amd64" && strings.Contains(said, "cipher: chacha20") {
		t.Errorf("exit %d: %s", code, said)
	}
	for _, c := range []string{"aes128-gcm@openssh.com", "aes256-gcm@openssh.com", "aes128-ctr", "aes256-ctr"} {
		if out, errs, code := s.run("", "-c", c, "echo well"); code != 0 || out != "well\n" {
			t.Errorf("%s: exit %d, %q, %s", c, code, out, errs)
		}
	}
}
