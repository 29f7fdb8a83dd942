package standin

import (
	"archive/zip"
	"errors"
	"fmt"
	"io"
	"os"
	"path"
	"path/filepath"
	"runtime"
	"testing"
)

// Mirror returns a directory of this machine that has the provider with this
// address, laid out as 'terraform providers mirror' does. A test that needs one
// skips where there is none.
func Mirror(t testing.TB, address string) string {
	t.Helper()
	dirs := []string{os.Getenv("ADIT_TEST_PROVIDER_MIRROR"), "/usr/share/terraform/plugins", "/usr/local/share/terraform/plugins"}
	others, err := filepath.Glob("/opt/*")
	if err != nil {
		t.Fatal(err)
	}
	for _, dir := range append(dirs, others...) {
		if _, err := os.Stat(filepath.Join(dir, filepath.FromSlash(address))); dir != "" && err == nil {
			return dir
		}
	}
	t.Skipf("no mirror with the provider %s; ADIT_TEST_PROVIDER_MIRROR says where one is", address)
	return ""
}

// Pack puts a provider's program into a mirror as its registry has it: in a zip,
// which Terraform unpacks into its cache. A directory it would only link there.
func Pack(t testing.TB, mirror, address, version, program string) {
	t.Helper()
	if err := pack(mirror, address, version, program); err != nil {
		t.Fatal(err)
	}
}

func pack(mirror, address, version, program string) error {
	dir := filepath.Join(mirror, filepath.FromSlash(address))
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	name := "terraform-provider-" + path.Base(address)
	file, err := os.Create(filepath.Join(dir, fmt.Sprintf("%s_%s_%s_%s.zip", name, version, runtime.GOOS, runtime.GOARCH)))
	if err != nil {
		return err
	}
	defer file.Close() // again, after an error
	from, err := os.Open(program)
	if err != nil {
		return err
	}
	defer from.Close()
	all := zip.NewWriter(file)
	header := &zip.FileHeader{Name: name + "_v" + version, Method: zip.Store}
	header.SetMode(0o755)
	to, err := all.CreateHeader(header)
	if err != nil {
		return err
	}
	_, err = io.Copy(to, from)
	return errors.Join(err, all.Close(), file.Close())
}
