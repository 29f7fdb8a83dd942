package main

import (
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/aditmesh/adit/pkg/netlab"
)

// Two hard NATs never meet, but a port that one of the routers maps is there to
// be met.
func TestAPortMappingEndsDirectThroughTwoHardNATs(t *testing.T) {
	for name, service := range map[string]netlab.PortMapping{"UPnP": netlab.UPnP, "NAT-PMP and PCP": netlab.NATPMP} {
		t.Run(name, func(t *testing.T) {
			d := deploy(t, netlab.Hard, netlab.Hard)
			public, _ := d.home.MapPorts(service)
			ping := func(args ...string) (string, error) {
				return d.adit(append([]string{"ping", "dev", "--until-direct", "--timeout", "3s"}, args...)...)
			}
			if out, err := ping("--no-port-mapping"); err == nil || !strings.Contains(err.Error(), "hard-nat-both") {
				t.Fatalf("with nothing mapped: %s, %v", out, err)
			}
			start := time.Now()
			if out, err := ping(); err != nil {
				t.Fatalf("not direct: %v: %s", err, out)
			}
			t.Logf("direct after %v", time.Since(start).Round(time.Millisecond))
			d.agentProc.waitFor("direct=" + public.String())
			d.eventually("the mapping is released at the end", func() bool { return !strings.Contains(mappings(t, d.home), "dnat") })
		})
	}
}

// mappings lists what a router maps.
func mappings(t *testing.T, r *netlab.Router) string {
	t.Helper()
	var out []byte
	if err := r.Do(func() (err error) {
		out, err = exec.Command("nft", "list", "table", "inet", "mappings").Output()
		return err
	}); err != nil {
		t.Fatal(err)
	}
	return string(out)
}
