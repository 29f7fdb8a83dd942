package netlab_test

import (
	"testing"

	"github.com/aditmesh/adit/pkg/netlab"
)

// A test that needs a laptop at home and a server on the internet.
func Example() {
	_ = func(t *testing.T) {
		lab := netlab.New(t)
		server := lab.Host("server")
		home := lab.Router("home", netlab.PortRestricted)
		laptop := home.Host("laptop")

		heal := home.Fault(netlab.BlockUDP())
		defer heal()

		if _, err := laptop.Output(t.Context(), "ping", "-c1", server.Addr().String()); err != nil {
			t.Error(err)
		}
	}
}
